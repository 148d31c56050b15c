"""Checks of constrained recurrences: right projections pass, wrong ones are rejected, the caller's values stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from constraint_cases import CASES, N, text
from sabotage import with_equation

import codegen
import codegen.lower
from codegen import allowed
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.program import Projection
from derive.adjoint import gradient
from derive.language import parse
from derive.rules import transpose
from tests.codegen.kernel_cases import interpreted


@pytest.fixture(scope="module")
def kernels():
    """An interpreted kernel of every case."""
    return {name: interpreted(text(case)) for name, case in CASES.items()}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("summed", "rows")])
def test_check_passes(name, dtype, kernels):
    program = kernels[name].program
    report = codegen.check(parse(text(CASES[name])), dtype, kernel=Kernel(program, dtype), steps=3, batch=2)
    assert report.passed, report.to_text()


def wrong(derivation, change):
    """The derivation with the last equation of W's projection changed."""
    target = derivation.gradients["W"]
    equation = next(e for e in derivation.recurrence.equations if e.target.source() == target.name)
    return with_equation(derivation, equation, change(equation.expr, derivation.free["W"]))


SABOTAGE = {
    "missing projection": lambda expr, free: free,
    "wrong sign of the transpose": lambda expr, free: (free - transpose(free)) / 2,
    "projection without its half": lambda expr, free: free + transpose(free),
    "one percent": lambda expr, free: 1.01 * expr,
    "sign": lambda expr, free: -expr,
}  # fmt: skip


@pytest.mark.parametrize("change", SABOTAGE)
def test_check_rejects_wrong_projections(change, monkeypatch):
    recurrence = parse(text(CASES["symmetric"]))
    mutant = wrong(gradient(recurrence), SABOTAGE[change])
    monkeypatch.setattr(codegen.lower, "gradient", lambda _: mutant)
    report = codegen.check(recurrence, kernel=Kernel(lower(recurrence), "float64"), steps=3, batch=2)
    assert not report.passed and "W: wrong at" in report.verdict


@pytest.mark.parametrize("change", ["another parameter", "missing change", "missing projection"])
def test_check_rejects_wrong_general_projections(change, monkeypatch):
    recurrence = parse(text(CASES["sums of two"]))
    program = lower(recurrence)

    def sabotaged(statement):
        if change == "another parameter":
            return replace(statement, part=next(name for name, _ in statement.changes if name != statement.part))
        return replace(statement, changes=statement.changes[1:])

    actions = []
    for action in program.phases["gradient"].actions:
        if isinstance(action, Projection) and change != "missing projection":
            action = replace(action, statements=tuple(map(sabotaged, action.statements)))
        actions.append(action)
    phase = replace(program.phases["gradient"], actions=tuple(actions))
    kernel = Kernel(replace(program, phases={**program.phases, "gradient": phase}), "float64")
    if change == "missing projection":
        monkeypatch.setattr(allowed.Allowed, "project", lambda self, vector: vector)
    report = codegen.check(recurrence, kernel=kernel, steps=3, batch=2)
    assert not report.passed and "wrong at" in report.verdict



def test_check_takes_the_callers_values_as_they_are(kernels):
    recurrence, program = parse(text(CASES["masked"])), kernels["masked"].program
    mask = np.triu(np.ones((N, N)))
    lower_part = np.tril(np.full((N, N), 0.1), -1)
    options = {"kernel": Kernel(program, "float64"), "steps": 3, "batch": 2}
    report = codegen.check(recurrence, values={"M": mask, "W": lower_part}, **options)
    assert report.passed, report.to_text()
    with pytest.raises(ValueError, match=r"assert M\*W == 0, line 5, does not hold"):
        codegen.check(recurrence, values={"M": mask, "W": lower_part.T}, **options)
