"""Revolve: every window is turned once, from the last to the first, with no more runs than the best schedule there is."""

import functools

import pytest

from codegen.revolve import advances, revolve

SIZES = [(windows, kept) for windows in (1, 2, 3, 7, 12, 30, 61) for kept in (0, 1, 2, 3, 5, 29)]


@functools.cache
def fewest(windows, kept):
    """The fewest runs that only lead to later windows, by trying every place for the next state."""
    if windows == 1 or not kept:
        return windows * (windows - 1) // 2
    return min(at + fewest(windows - at, kept - 1) + fewest(at, kept) for at in range(1, windows))


def followed(windows, kept):
    """Run a schedule on windows that count: the windows that were turned, how many were run, and the most states kept at once."""
    states, now, turned, runs, most = {0}, 0, [], 0, 0
    for action, window in revolve(windows, kept):
        match action:
            case "go back":
                assert window in states
                now = window
            case "run":
                assert window == now
                now, runs = window + 1, runs + 1
            case "keep":
                assert window == now
                states.add(window)
                most = max(most, len(states) - 1)
            case "turn":
                assert window == now
                turned.append(window)
                states -= {window} - {0}
    return turned, runs, most


@pytest.mark.parametrize(("windows", "kept"), SIZES)
def test_every_window_is_turned_with_the_fewest_runs(windows, kept):
    turned, runs, most = followed(windows, kept)
    assert turned == list(reversed(range(windows)))
    assert runs == advances(windows, kept) == fewest(windows, kept) and most <= kept


def test_no_more_runs_than_another_binomial_schedule():
    schedules = pytest.importorskip("checkpoint_schedules")
    for windows, kept in SIZES:
        if 0 < kept < windows - 1:  # theirs counts the beginning among the kept states, and every turn as a run
            steps = [a for a in schedules.Revolve(windows, kept + 1) if isinstance(a, schedules.Forward)]
            assert advances(windows, kept) + windows <= sum(step.n1 - step.n0 for step in steps)


def test_a_schedule_that_keeps_too_early_runs_more():
    assert 1 + fewest(29, 2) + fewest(1, 3) > advances(30, 3)
