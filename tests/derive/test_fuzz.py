"""Random recurrences: gradient against tangent and complex step, through text, and the gradient of the gradient."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from fuzzing import Case, compare, complex_step, second_order

import derive.rules as rules
from derive import arrays as A
from derive.arithmetic import Apply, MatMul, Mul, Neg

CASES = int(os.environ.get("RETROGRAD_FUZZ", "60"))
TOLERANCE = 1e-11


@pytest.mark.parametrize("seed", range(CASES))
def test_gradient_is_the_transpose_of_the_tangent(seed: int) -> None:
    case = Case(seed, analytic=seed % 2 == 0)
    with np.errstate(all="ignore"):
        errors = compare(case)
        if seed % 4 == 0:
            errors["complex step"] = complex_step(case)
        if seed % 5 == 0:
            errors |= {f"second order, {name}": error for name, error in second_order(case).items()}
    assert all(error <= TOLERANCE for error in errors.values()), errors


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
