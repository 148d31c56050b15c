"""Streaming: the record of how a program runs in pieces, a step or a window of steps at a time. Imports nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """How a phase runs window by window. needed: places of the actions that fill the steps of a window and sum over them; picks: of those
    that take fixed steps out of it; after: of those that follow from all windows; sums: buffers without time in which the steps are
    summed; lasting: further ones that stay from window to window."""  # noqa: D205, D209

    needed: tuple[int, ...] = ()
    picks: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    sums: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Streaming:
    """What a stream carries from one step to the next, and what runs at each.

    problem: why the signals cannot be computed step by step, empty where they can; state: (label, buffer, position) of every value
    that a lag reads, position 0 being the last step; inputs: labels of the input sequences that signals depend on; actions: places of the
    forward phase's actions that signals need; windowless: why the objective has no windows, empty where it has; untruncated: likewise, why
    a window has no share of it; forward, gradient: how these phases run window by window.
    """

    problem: str = ""
    state: tuple[tuple[str, str, int], ...] = ()
    inputs: tuple[str, ...] = ()
    actions: tuple[int, ...] = ()
    windowless: str = ""
    untruncated: str = ""
    forward: Share = Share()
    gradient: Share = Share()
