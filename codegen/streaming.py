"""Streaming: the record of how a program runs in pieces, a step or a window of steps at a time. Imports nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Streaming:
    """What a stream carries from one step to the next, and what runs at each.

    problem: why the signals cannot be computed step by step, empty where they can; state: (label, buffer, position) of every value
    that a lag reads, position 0 being the last step; inputs: labels of the input sequences that signals depend on; actions: places of the
    forward phase's actions that signals need; windowless: why the objective has no windows, empty where it has; sums: buffers
    of the gradient phase in which the steps are summed, totals: those of the forward phase; forward, backward: places of the actions that
    a window of steps needs.
    """

    problem: str = ""
    state: tuple[tuple[str, str, int], ...] = ()
    inputs: tuple[str, ...] = ()
    actions: tuple[int, ...] = ()
    windowless: str = ""
    sums: tuple[str, ...] = ()
    totals: tuple[str, ...] = ()
    forward: tuple[int, ...] = ()
    backward: tuple[int, ...] = ()
