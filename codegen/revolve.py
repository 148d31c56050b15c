"""Revolve: a number of windows and of states that may be kept -> the order in which windows are run forward and turned round.

Source: [griewank2008] the binomial schedule, which runs the fewest windows again for the states it keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb


def reach(states: int, repeats: int) -> int:
    """How many windows so many kept states (the beginning among them) can turn round, each run at most so often before its turn."""
    return comb(states + repeats, states) if repeats >= 0 else 0


def advances(windows: int, kept: int) -> int:
    """How many windows are run forward only to reach later ones, where `kept` states are kept beside the beginning."""
    states = kept + 1
    repeats = next(r for r in range(windows + 1) if reach(states, r) >= windows)
    return repeats * windows - comb(states + repeats, states + 1)


def split(windows: int, kept: int) -> int:
    """Behind how many windows the next state is kept; at least one may be."""
    states = kept + 1
    repeats = next(r for r in range(windows + 1) if reach(states, r) >= windows)
    return max(1, reach(states, repeats - 2), windows - reach(states - 1, repeats))


def revolve(windows: int, kept: int) -> Iterator[tuple[str, int]]:
    """The schedule: ("go back", i) to the state before window i, ("run", i) forward, ("keep", i) the state before window i, ("turn", i):
    run it with its tape and take its gradient; what was kept before a window that is turned is not needed again."""  # noqa: D205, D209
    starts, end, now = [0], windows, 0
    while end:
        begin = starts[-1]
        if now != begin:
            yield "go back", begin
            now = begin
        free = kept + 1 - len(starts)
        goal = begin + split(end - begin, free) if free and end - begin > 1 else end - 1
        for window in range(begin, goal):
            yield "run", window
        now = goal
        if free and end - begin > 1:
            yield "keep", goal
            starts.append(goal)
            continue
        yield "turn", goal
        now, end = -1, goal
        if goal == begin:
            starts.pop()
