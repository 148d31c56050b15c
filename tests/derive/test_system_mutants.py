"""Derived systems made wrong in one equation: the transposed tangent tells, or the proof says that nothing has changed."""

from __future__ import annotations

import numpy as np
import pytest
from fuzzing import THOROUGH, Case, along, gradients_of, outside_constraints, transposed
from generator import DIMS
from sabotage import mutants

from derive.adjoint import gradient
from derive.derivation import Derivation
from derive.errors import RecurrenceError
from derive.language import parse
from derive.nodes import dim
from derive.proof import prove

TEXTS = {
    "matrices": """x[t]: n
q[t]: m
P: (n, n)
A[t]: (n, m) = 0.7*P @ A[t-2] + outer(x[t], tanh(q[t]))
A[0] = outer(u, q[1])
u: n
B[t]: (m, n) = softmax(B[t+1] + A[t].T)
y[t]: n = A[t] @ q[t-1] + B[t][0, :] - logsumexp(A[t])
E = minimize(sum(norm2(y[t]) for t in steps[1:]) + norm2(sum(B[t] for t in steps)) + A[T][0, 1]*y[1][0])
""",
    "indexes, stops and slopes": """c[t]: index[m]
d[t]: index[n]
x[t]: n
U: (n, m)
V: (n, n)
spike = surrogate(lambda a: where(a > 0, 1, 0), lambda a: 1/(1 + a**2))
v[t]: n = 0.9*v[t-1] - stop_gradient(o[t-1]) + U @ onehot(c[t-1]) + x[t]
o[t]: n = spike(v[t] - 0.1)
E = minimize(sum(cross_entropy(onehot(d[t]), softmax(V @ (o[t] + v[t]))) for t in steps) + dot(U.T @ v[T], onehot(c[1])))
""",
    "totals, steady states and constraints": """x[t]: n
W: (n, n)
M: (n, n)
assert M[0, :] == 0
h[t]: n = tanh(M @ h[t] + 0.5*h[t-1] + x[t])
h[...] = s
s: n = tanh(0.5*W @ s + sum(x[t] for t in steps)/T)
S: total[n, n] = outer(s, h[T]) + W
E = minimize(sum(norm2(h[t+1] - h[t-1]) for t in steps) + dot(S, S.T) + mean(kron(s, h[T-1])))
""",
}


SYMBOLS = {dim(name): size for name, size in DIMS.items()}


def agrees(derivation: Derivation, case: Case, moves: dict[str, np.ndarray], change: float) -> bool:
    """Whether the gradient of a derived system is the right one at a point."""
    try:
        with np.errstate(all="ignore"):
            result = case.evaluate(derivation.recurrence, {**_unset(derivation, case), **case.values})
        grads = gradients_of(case, derivation, result)
        return max(transposed(grads, moves, change), outside_constraints(case, grads)) <= 1e-10
    except (RecurrenceError, ValueError, KeyError, np.linalg.LinAlgError):
        return False


def _unset(derivation: Derivation, case: Case) -> dict[str, np.ndarray]:
    """Values outside the steps that lost their equation, which would be zero where they are left out."""
    lost = [ghost for ghost in derivation.recurrence.arguments if ghost.source() not in case.values]
    shapes = {ghost.source(): tuple(int(size.subs(SYMBOLS)) for size in ghost.shape) for ghost in lost}
    return {label: np.random.default_rng(1).standard_normal((case.batch, *shape)) for label, shape in shapes.items()}


@pytest.mark.parametrize("name", TEXTS)
def test_mutants_are_killed(name: str) -> None:
    recurrence = parse(TEXTS[name])
    derivation = gradient(recurrence)
    found = [Case(seed, True, recurrence) for seed in range(40)]
    cases = [*[case for case in found if case.steps == 3 == max(case.lengths)][:2], *[case for case in found if case.steps <= 2][:2]]
    places = []
    for case in cases:
        moves = case.direction([label for label in derivation.gradients if label in case.values])
        places.append((case, moves, along(case, moves)["E"]))
    assert all(agrees(derivation, *place) for place in places)
    tried = list(mutants(derivation))[:: 1 if THOROUGH else 3]
    survivors = [(what, mutant) for what, mutant in tried if all(agrees(mutant, *place) for place in places)]
    assert len(tried) > 50
    assert [what for what, mutant in survivors if not prove(mutant).proved] == []
    assert len(survivors) <= 0.05 * len(tried), [what for what, _ in survivors]
