"""Every row of the table of rules, made wrong in every way: the transposed tangent tells."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
from fuzzing import THOROUGH, Case, along, gradients_of, transposed
from rule_mutants import Key, mutated, recording

from derive import arrays as A
from derive import flattening, rules, temporal
from derive.adjoint import gradient
from derive.arithmetic import Abstract, Add, Apply, Div, MatMul, Mul, Neg, Pow, Surrogate, Transpose, Where
from derive.derivation import Derivation
from derive.errors import RecurrenceError
from derive.language import parse
from derive.nodes import Number
from derive.proof import prove
from derive.recurrence import Recurrence

HEADER = """x[t]: n
c[t]: index[n]
u: input[n]
a: scalar
v: n
w: n
q: m
A: (n, m)
B: (m, n)
S: (n, n)
R: (n, n)
assert R[0, :] == 0
"""
# For each row expressions of every shape of operands, among whose applications all of a rule's branches are.
EXPRESSIONS = {
    Add: ["v + w + a", "A + a"],
    Neg: ["-v", "-a*v"],
    Mul: ["v*w*a", "a*A", "v*sum(w)"],
    Div: ["v/(2 + w**2)", "a/(2 + v**2)", "v/(2 + a**2)"],
    Pow: ["(2 + v**2)**0.5", "v**3", "(2 + a*a)**-2*v"],
    Apply: ["tanh(v)", "maximum(v, a)", "gelu(a)*v", "minimum(v, w)", "exp(S)", "maximum(v, 1*v)", "minimum(1*w, w)"],
    Abstract: ["f(v)*f(a)"],
    Where: ["where(v > 0, w, a)", "where(a > 0, sin(v), w)"],
    Surrogate: ["surrogate(sign(v), 1/(1 + v**2), v)", "surrogate(w, w, a)"],
    MatMul: ["A @ q", "S @ v", "A @ B @ v", "B @ S @ A"],
    Transpose: ["S.T @ v", "B.T"],
    A.Outer: ["outer(v, q)", "outer(v, w)", "outer(onehot(c[t]), w)"],
    A.Dot: ["dot(v, w)*w", "dot(A, sin(B.T))"],
    A.Norm2: ["norm2(v)", "norm2(A)*v"],
    A.Sum: ["sum(A)*v", "sum(v*w)"],
    A.Mean: ["mean(sin(A))*v", "mean(v)"],
    A.Softmax: ["softmax(v)", "softmax(A)"],
    A.LogSoftmax: ["log_softmax(v)", "log_softmax(A)"],
    A.LogSumExp: ["logsumexp(v)", "logsumexp(A)"],
    A.LayerNorm: ["layer_norm(2*v)", "layer_norm(2*A)"],
    A.CrossEntropy: ["cross_entropy(w, softmax(v))", "cross_entropy(A, softmax(B.T))", "cross_entropy(v, 0.2 + sigmoid(w))"],
    A.Concat: ["concat(v, q, w)", "concat(A, S @ A)"],
    A.Slice: ["v[1:n]", "A[0:1, :]", "A[:, 1]", "S[0, 0:1]", "S[1, 0]", "v[1]"],
    A.Pad: ["pad(v, 1, n + 2)", "pad(a, 1, n)", "pad(A, 0, n + 1, 1, m + 1)"],
    A.Diag: ["diag(v)", "diag(S)", "diag(v) @ w"],
    A.Project: ["project(R, R = sin(S))"],
    flattening.Reshape: ["reshape(A, m, n)", "reshape(A, n*m)", "reshape(kron(v, q), n, m)"],
    flattening.Kron: ["kron(v, w)", "kron(A, B)", "kron(v, A)", "kron(A, v)", "kron(q, B)"],
    temporal.Each: ["each(v)*u", "each(a)"],
}
NOTHING = {A.Zeros, A.Ones, A.Eye, Number, temporal.StopGradient}  # send nothing, so that nothing can be wrong


def text_of(kind: type) -> str:
    costs = [f"norm2(x[t]*sum({expr}) + 0.3) + sum(sin({expr} + 0.2))" for expr in EXPRESSIONS[kind]]
    timed = " + ".join(f"sum({cost} for t in steps)" for cost in costs)
    return f"{HEADER}{'f: function' if kind is Abstract else ''}\nE = minimize({timed})\n"


@dataclass(frozen=True)
class Point:
    """Values of a recurrence, a direction, and the change of the objective along it."""

    case: Case
    moves: dict[str, np.ndarray]
    change: float


def points(recurrence: Recurrence) -> list[Point]:
    """Three points with two steps: at one of them the branch that a mutant is in may not be taken."""
    labels, found = list(gradient(recurrence).gradients), (Case(seed, True, recurrence) for seed in range(50))
    cases = list(islice((case for case in found if case.steps == 2 == max(case.lengths)), 3))
    moves = [case.direction([label for label in labels if label in case.values]) for case in cases]
    return [Point(case, moved, along(case, moved)["E"]) for case, moved in zip(cases, moves, strict=True)]


def keys_of(kind: type, recurrence: Recurrence, patch: pytest.MonkeyPatch) -> set[Key]:
    """Every mutant of a row that a recurrence meets."""
    found: set[Key] = set()
    with patch.context() as context:
        context.setitem(rules.RULES, kind, recording(rules.RULES[kind], found))
        gradient(recurrence)
    return found


def survives(recurrence: Recurrence, places: list[Point]) -> bool:
    """Whether a wrong rule gives the right gradient; one that gives none is found as well. Without values, the proof tells."""
    try:
        derivation = gradient(recurrence)
        if not places:
            return prove(derivation).proved
        with np.errstate(all="ignore"):
            return all(_agrees(derivation, place) for place in places)
    except (RecurrenceError, ValueError, IndexError):
        return False


def _agrees(derivation: Derivation, place: Point) -> bool:
    result = place.case.evaluate(derivation.recurrence, place.case.values)
    return transposed(gradients_of(place.case, derivation, result), place.moves, place.change) <= 1e-11


def test_every_row_has_expressions() -> None:
    assert set(rules.RULES) == set(EXPRESSIONS) | NOTHING
    assert all(rules.RULES[kind].adjoint(Number(1), Number(1)) == [] for kind in NOTHING)


@pytest.mark.parametrize("kind", EXPRESSIONS, ids=lambda kind: kind.__name__)
def test_mutants_are_killed(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    recurrence, whole = parse(text_of(kind)), rules.RULES[kind]
    places = [] if kind is Abstract else points(recurrence)
    assert survives(recurrence, places)
    keys = keys_of(kind, recurrence, monkeypatch)
    assert len(keys) >= 3
    survivors = []
    for key in sorted(keys)[:: 1 if THOROUGH else 2]:
        monkeypatch.setitem(rules.RULES, kind, mutated(whole, key))
        survivors += [key] if survives(recurrence, places) else []
    assert survivors == []
