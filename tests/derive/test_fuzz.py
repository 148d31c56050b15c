"""Random recurrences: gradient against tangent and numeric steps, through text, and the gradient of the gradient."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from fuzzing import Case, compare, compare_abstract, compare_pullback, complex_step, second_order

import derive.rules as rules
from derive import arrays as A
from derive.arithmetic import Apply, MatMul, Mul, Neg

CASES = int(os.environ.get("RETROGRAD_FUZZ", "50"))
TOLERANCE = 1e-11


def errors_of(seed: int) -> dict[str, float]:
    """Every error of the case of a seed; the dearer comparisons for some of the seeds."""
    with np.errstate(all="ignore"):
        case = Case(seed, analytic=seed % 2 == 0)
        errors = compare(case)
        stepped = complex_step(case) if seed % 4 < 2 else None
        errors |= {} if stepped is None else {"complex step": stepped}
        errors |= compare_pullback(case) if seed % 3 == 0 else {}
        errors |= {f"second order, {name}": error for name, error in second_order(case).items()} if seed % 5 == 0 else {}
        errors |= compare_abstract(seed) if seed % 12 == 0 else {}
    return errors


@pytest.mark.parametrize("seed", range(CASES))
def test_gradient_is_the_transpose_of_the_tangent(seed: int) -> None:
    errors = errors_of(seed)
    assert all(error <= TOLERANCE for error in errors.values()), errors


def test_cases_have_every_edge() -> None:
    cases = [Case(seed, analytic=seed % 2 == 0) for seed in range(40)]
    steps = Counter(case.steps for case in cases)
    assert {0, 1, 2, 3, 5} <= set(steps)
    assert any(len(set(case.lengths)) > 1 for case in cases) and {case.batch for case in cases} == {1, 2, 3}
    indexes = [value for case in cases for value in case.values.values() if value.dtype.kind == "i" and value.size]
    assert any(np.any(value == -1) for value in indexes)


SABOTAGED = {
    "sign": (Neg, lambda rule: lambda node, g: [(node.args[0], g)]),
    "transpose": (MatMul, lambda rule: lambda node, g: [rule.adjoint(node, g)[0]]),
    "dropped term": (Mul, lambda rule: lambda node, g: rule.adjoint(node, g)[:-1]),
    "one per cent": (Apply, lambda rule: lambda node, g: [(arg, sent * 1.01) for arg, sent in rule.adjoint(node, g)]),
    "missing sum": (A.Norm2, lambda rule: lambda node, g: [(arg, sent * 0.5) for arg, sent in rule.adjoint(node, g)]),
}


@pytest.mark.parametrize("name", SABOTAGED)
def test_a_sabotaged_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, change = SABOTAGED[name]
    whole = rules.RULES[kind]
    monkeypatch.setitem(rules.RULES, kind, replace(whole, adjoint=change(whole)))
    worst = 0.0
    for seed in range(0, 24, 2):
        with np.errstate(all="ignore"):
            worst = max(worst, compare(Case(seed, analytic=True), through_text=False)["tangent"])
    assert worst > 1e-6, "no random recurrence noticed"
