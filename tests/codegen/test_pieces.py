"""Random recurrences in pieces: window by window and one gradient at a time, what comes out is the gradient as a whole."""

from collections.abc import Iterator

import numpy as np
import pytest
from fuzzing import THOROUGH, Case
from generator import draw

from codegen import plan
from codegen.beginning import begin
from codegen.checkpoints import Checkpoints
from codegen.kernel import Kernel
from codegen.lower import lower
from tests.codegen.kernel_cases import worst

SEEDS, PARTS = range(6000 if THOROUGH else 120), 4
# Seeds that once failed: an action read what is computed after all windows; a steady state followed from the last step; what was read at
# a steady state did not ask for all its equations.
FOUND = (22, 83, 182, 272, 750, 1121, 1424, 4734, 4825, 4954, 4962, 5285, 5505, 5584, 5785, 5803)


def differences(seed) -> Iterator[float]:
    """How far gradients one by one, within budgets, and of one truncated window are from the whole."""
    case = Case(seed, analytic=False)
    program, rng = lower(case.recurrence), np.random.default_rng([seed, 12])
    sizes = {"steps": case.steps + int(rng.integers(1, 7)), "batch": case.batch}
    values = {**draw(case.recurrence, rng, **sizes), "lengths": rng.integers(case.steps, sizes["steps"] + 1, case.batch)}
    kernel = Kernel(program, "float64")
    with np.errstate(all="ignore"):
        whole = kernel.value_and_grad(values, **sizes)
        if not np.isfinite(whole[0]):
            return
        for label in whole[1]:
            yield apart(kernel.value_and_grad(values, wrt=[label], **sizes), whole)
        if not program.streaming.windowless:
            parts = Checkpoints(kernel, begin(kernel, values, **sizes)[0])
            for length in {min(parts.rooms, sizes["steps"]), max(parts.rooms, 2)}:
                yield apart(kernel.using(memory=parts._bytes(length) + parts._state_bytes()).value_and_grad(values, **sizes), whole)
        if not program.streaming.untruncated:
            yield apart(kernel.truncated(values, k1=sizes["steps"], k2=sizes["steps"] + 2, **sizes), whole)


def apart(found, whole) -> float:
    return max(worst(found[0], whole[0]), *(worst(found[1][label], whole[1][label]) for label in found[1]))


@pytest.mark.parametrize("part", range(PARTS))
def test_pieces_are_those_of_the_whole(part):
    wrong = {}
    for seed in (*SEEDS, *FOUND)[part::PARTS]:
        error = max(differences(seed), default=0.0)
        if not error < 1e-9:
            wrong[seed] = error
    assert not wrong


def test_what_is_read_at_a_steady_state_asks_for_all_its_equations(monkeypatch):
    assert max(differences(5803)) < 1e-9
    monkeypatch.setattr(plan, "solves", lambda action: [])
    assert max(differences(5803)) > 1e-3


def test_what_follows_from_all_windows_follows_in_actions_that_windows_need_too(monkeypatch):
    monkeypatch.setattr(plan, "_followed", lambda program, phase, begin: begin)
    assert max(differences(1424)) > 1e-3
