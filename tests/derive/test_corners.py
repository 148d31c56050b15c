"""Small recurrences where a derivation once went wrong: each is derived, stepped numerically, transposed, and derived again."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fuzzing import Case, compare, compare_pullback, complex_step, second_order

import derive.jacobians as jacobians
from derive import arrays as A
from derive.errors import RecurrenceError
from derive.language import parse
from derive.reference import evaluate

TEXTS = {
    "a cross entropy of matrices sums each row by itself": """X0[t]: (n, m)
P: (m, m)
E = minimize(sum(cross_entropy(X0[t], softmax(X0[t] @ P)) for t in steps))
""",
    "a constant is an adjoint, and keeps having no equation": """w0[t]: scalar
c: const
E = minimize(sum(w0[t]**2 for t in steps)*c)
""",
    "a scalar is a term of a total of matrices": """u: input
v: input[n]
A: (n, n)
S: total[n, n] = outer(v, v) + u + A
E = minimize(norm2(S))
""",
    "dims are squared in a quotient": """X0[t]: (m, m)
E = minimize(sum(mean(sin(X0[t])) for t in steps))
""",
    "a surrogate's value and slope call lambdas": """x0[t]: m
phi = lambda a: a/(2 + sin(a))
spike = surrogate(lambda a: phi(a), lambda a: phi(cos(a)))
h[t]: m = spike(x0[t] + 0.5*h[t-1]) + surrogate(phi(x0[t]), cos(phi(x0[t])), h[t-1])
E = minimize(sum(norm2(h[t]) for t in steps))
""",
    "a fixed step falls outside, where no lag has a tangent": """x0[t]: m
h[t]: m = stop_gradient(h[t-1]) + x0[t]
E = minimize(norm2(h[T]))
""",
    "a surrogate's value counts for each sequence where its argument differs": """u: input[n]
P: n
S: total[n] = surrogate(P, cos(P), u)
E = minimize(norm2(S))
""",
    "values outside the steps read some of another signal": """x0[t]: m
h[t]: m = tanh(h[t-1] + x0[t])
h[...] = 0.4
g[t]: m = sin(g[t-1] + x0[t])
g[...] = h[T+2]
E = minimize(norm2(g[T]))
""",
    "what a projection at each step sends is summed before it is projected": """x0[t]: n
P: (n, m)
Q: (n, m)
assert P[0, :] == 0
y[t]: m = project(P, P = sin(Q)).T @ x0[t]
E = minimize(sum(norm2(y[t]) for t in steps))
""",
    "the objective alone reads outside the steps, and a pullback has no objective": """x0[t]: m
P: m
h[t]: m = sin(x0[t])
q: m = P*h[T]
E = minimize(norm2(q) + norm2(h[0]))
""",
    "some of what is projected is zero, and moves": """P: (n, n)
Q: (n, n)
assert P == P.T
E = minimize(sum(sin(1 + project(P, P = stop_gradient(Q)*eye(n) + Q - stop_gradient(Q)))*Q))
""",
    "what no sequence enters but for a stopped value counts for each": """u: input[n]
P: n
S: total[n] = (stop_gradient(u) + P)/2
E = minimize(sum((stop_gradient(u) + P)/2) + norm2(P) + norm2(S))
""",
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", TEXTS)
def test_gradients_agree(name: str, seed: int) -> None:
    with np.errstate(all="ignore"):
        case = Case(seed, True, parse(TEXTS[name]))
        errors = compare(case) | compare_pullback(case) | {"complex step": complex_step(case)}
        errors |= {f"second order, {what}": error for what, error in second_order(case).items()}
    assert all(error <= 1e-11 for error in errors.values()), errors


def test_the_numeric_step_sees_what_tangent_and_adjoint_share(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(3, True, parse(TEXTS["a cross entropy of matrices sums each row by itself"]))
    monkeypatch.setattr(jacobians, "last_sum", A.Sum)
    assert compare(case, through_text=False)["tangent"] <= 1e-11
    assert complex_step(case) > 1e-3


ITSELF = {
    "h[T+1] reads h[1]": "h[t]: m = tanh(h[t-1] + x0[t+1])\nh[T+1] = h[1]\ny[t]: m = h[t+1]\n",
    "h[0] reads h[T]": "h[t]: m = x0[t]\nh[0] = h[T]\ny[t]: m = h[t-1]\n",
    "q reads h[T]": "h[t]: m = x0[t]\nh[0] = q\nq: m = h[T]\ny[t]: m = h[t-1]\n",
}


@pytest.mark.parametrize("read", ITSELF)
def test_what_would_read_itself_in_a_sequence_without_steps_is_refused(read: str) -> None:
    with pytest.raises(RecurrenceError, match=re.escape(f"{read}, in short sequences")):
        parse(f"x0[t]: m\n{ITSELF[read]}E = minimize(sum(norm2(y[t]) for t in steps))\n")


def test_a_fixed_step_must_stand_though_no_window_reads_it() -> None:
    text = "x0[t]: m\nh[t]: m = 2*x0[t]\nE = minimize(sum(norm2(h[3]) for t in steps[4:]))\n"
    values = {"x0": np.ones((2, 1, 3))}
    with pytest.raises(ValueError, match="h is read at step 3 of 2"):
        evaluate(parse(text), values, 2, 1)
    assert evaluate(parse(text), {"x0": np.ones((3, 1, 3))}, 3, 1)["E"] == 0
