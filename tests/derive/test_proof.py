"""The exact proof: stock and random recurrences are proved, wrong derivations refuted, its own parts checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from generator import generate
from sabotage import mutants, with_equation

import derive
from derive.adjoint import gradient, pullback
from derive.arrays import EPSILON
from derive.comparison import POINTS, Comparison
from derive.functions import FUNCTIONS
from derive.language import load, parse
from derive.proof import default_dims, default_lengths, default_steps, prove
from derive.reference import evaluate
from derive.scalars import SLOPES, Values, canonical, layer_norm_jacobian, softmax_jacobian
from derive.unrolled import Unrolled, array

STOCK = sorted(path.stem for path in (Path(derive.__file__).parent / "zoo").glob("*.rec"))

TEXTS = {
    "abstract trajectory": "f: function\nR = maximize(...)\nx[t]: n = f(W @ x[t-1] + b)\n",
    "abstract steady state": "f: function\nR = maximize(...)\nx: n = f(W @ x + b)\n",
    "read-outs": """d[t]: k
y[t]: k = softmax(V @ y[t-1])
q[t]: k = log_softmax(y[t])
E = minimize(sum(cross_entropy(d[t], y[t]) + dot(d[t], q[t])*logsumexp(y[t]) for t in steps) + 0.5*norm2(V))
""",
    "norms": """x[t]: n
lam: scalar
P: (n, k)
q: k
A: (n, k) = layer_norm(lam*P + outer(p, q))
p: n
y[t]: n = sqrt(1.5 + layer_norm(A @ q + y[t-1] + x[t])**2)
E = minimize(sum(norm2(y[t]) for t in steps[-2:]) + norm2(y[T-1]) + norm2(softmax(A)[:, 0])
  + sum(log_softmax(A)[0, :]*logsumexp(A.T)))
""",
    "powers": """x[t]: n
y[t]: n = (1.5 + x[t])**-0.5 + (2 + x[t])**(3/2) + (3 + x[t])**0.5 + (1 + x[t]**2)**-1.5
E = minimize(sum(norm2(y[t]) for t in steps))
""",
    "sums of rows at each step": """A: (n, k)
s[t]: n = logsumexp(A + 1)
E = minimize(sum(norm2(s[t-1]) for t in steps))
""",
    "kinks": """x[t]: n
h[t]: n = maximum(W @ h[t-1], abs(x[t])) + minimum(x[t], where(x[t] > h[t-1], x[t]*h[t-1], relu(h[t-1])))
E = minimize(sum(norm2(h[t]) for t in steps))
""",
    "shared": """x[t]: n
a: n
M: (n, n) = (P + P.T)/2
P: (n, n)
h[t]: n = M @ h[t-1] + a*x[t]
h[0] = a
g[t]: n = h[t]*g[t+1] + T*x[t-1]
E = minimize(sum(dot(g[t], h[t]) for t in steps[1:-1])/T + sum(a)**2 + dot(h[T], g[1]))
""",
    "shared steady state": "a: const[n]\nx: n = tanh(W @ x + b)\nR = maximize(dot(a, x))\n",
    "a steady state that is first read outside the steps": """x[t]: n
h[t]: n = 0.6*h[t-1] + x[t]
h[0] = s
s: n = tanh(P @ s + q)
q: n
E = minimize(sum(norm2(h[t]) for t in steps))
""",
    "steady states": """x[t]: n
h[t]: n = tanh(W @ h[t] + V @ h[t-1] + x[t])
s: n = softmax(A @ s + sum(h[t] for t in steps))
q: n = 0.1*q*q + B @ s
E = minimize(norm2(q) + sum(norm2(h[t]) for t in steps))
""",
}
RICH = """x[t]: n
u: input[m]
p: m
h[t]: n = tanh(W @ h[t-2] + concat(p, u)[0:n] + 0.3*h[t-1])
h[...] = U @ u
g[t]: n = softmax(Q @ h[t])*g[t+1]
E = minimize(sum(dot(g[t], x[t]) for t in steps[1:3]) + norm2(h[T-1]) + norm2(g[1][0:1]) + norm2(p))
"""


def spread(found: list, count: int) -> list:
    """At most that many of each operator, from everywhere in the system."""
    groups: dict[str, list] = {}
    for name, mutant in found:
        groups.setdefault(name.split(" in ")[0].split(" ghost")[0], []).append((name, mutant))
    return [entry for group in groups.values() for entry in group[:: -(-len(group) // count)]]


@pytest.mark.parametrize("name", STOCK)
def test_stock_is_proved_by_cancelling(name):
    derivation = gradient(load(name))
    proof = prove(derivation)
    assert proof.proved, proof.to_text()
    assert [v.label for v in proof.verdicts] == list(derivation.gradients)
    assert {v.method for v in proof.verdicts} == {"cancelled"}
    assert len(set(proof.dims.values())) == len(proof.dims)


@pytest.mark.parametrize("name", ["settle", "trajectory", "elman", "bidirectional"])
def test_points_agree_with_cancelling(name):
    derivation = gradient(load(name))
    comparison = Comparison(derivation, default_dims(derivation.primal), (3, 1))
    assert comparison.at_points(list(derivation.gradients)) == []


@pytest.mark.parametrize("derive_by", [gradient, pullback])
@pytest.mark.parametrize("name", TEXTS)
def test_text_is_proved(name, derive_by):
    proof = prove(derive_by(parse(TEXTS[name])))
    assert proof.proved, proof.to_text()
    assert {v.method for v in proof.verdicts} == {"cancelled"}


@pytest.mark.parametrize("seed", range(24))
def test_random_recurrence_is_proved(seed):
    proof = prove(gradient(parse(generate(seed, analytic=seed % 2 == 0, abstract=seed % 4 == 3, budget=16).text)))
    assert proof.proved, proof.to_text()


@pytest.mark.parametrize("name, count", [("settle", 99), ("trajectory", 5), ("elman", 2)])
def test_sabotage_of_stock_is_refuted(name, count):
    found = spread(list(mutants(gradient(load(name)))), count)
    assert len(found) > 8
    for what, mutant in found:
        proof = prove(mutant)
        assert not proof.proved, what
        assert proof.failures and {f.label for f in proof.failures} <= set(mutant.gradients), what


def test_sabotage_of_windows_ghosts_and_slices_is_refuted():
    derivation = gradient(parse(RICH))
    assert prove(derivation).proved
    found = spread(list(mutants(derivation)), 2)
    operators = {what.split(" in ")[0].split(" ghost")[0] for what, _ in found}
    assert operators >= {
        "sign",
        "factor 1.01",
        "dropped term",
        "lag + 1",
        "lag - 1",
        "transpose",
        "missing",
        "window off by one",
    }
    assert [what for what, mutant in found if prove(mutant).proved] == []


def test_failures_name_label_and_index():
    derivation = gradient(load("elman"))
    equations = {e.target.source(): e for e in derivation.recurrence.equations}
    wrong = {
        "V_bar": {"V"},
        "h_back": {"W", "U", "b", "h[0]", "x"},
        "s_y": {"W", "U", "b", "V", "c", "h[0]", "x"},
        "x_bar": {"x"},
    }
    for name, labels in wrong.items():
        changed = with_equation(derivation, equations[name], equations[name].expr + equations[name].expr)
        proof = prove(changed)
        assert {f.label for f in proof.failures} == labels == {v.label for v in proof.verdicts if not v.zero}
    assert {f.index for f in proof.failures} == {
        (t, b, i) for t, b in [(1, 0), (2, 0), (3, 0), (1, 1)] for i in range(4)
    }
    assert "NOT PROVED" in proof.to_text() and "x[2, 0, 3]: derived" in proof.to_text()


def test_changed_model_is_refuted():
    derivation = gradient(load("elman"))
    equation = next(e for e in derivation.recurrence.equations if e.target.source() == "z_h")
    proof = prove(with_equation(derivation, equation, -equation.expr))
    assert not proof.proved and [f.label for f in proof.failures][0] == "z_h"


def test_hints_are_not_trusted():
    derivation = gradient(load("trajectory"))
    adjoints = dict(derivation.adjoints)
    x, z = derivation.primal.named["x"], derivation.primal.named["z"]
    adjoints[x], adjoints[z] = adjoints[z], adjoints[x]
    proof = prove(replace(derivation, adjoints=adjoints))
    assert proof.proved and {v.method for v in proof.verdicts} == {f"rational points: {POINTS}"}


def test_steps_cover_lags_windows_and_picks():
    assert default_steps(load("narx")) == 7
    assert default_steps(parse("x[t]: n\nE = minimize(sum(norm2(x[t]) for t in steps[-4:2]))\n")) == 5
    assert default_steps(parse("x[t]: n\nE = minimize(norm2(x[T-5]))\n")) == 7
    assert default_lengths(load("narx")) == (7, 1, 0)
    assert default_lengths(
        parse("x[t]: n\nh[t]: n = W @ h[t-1] + x[t]\nE = minimize(norm2(h[T-1])/T + norm2(h[2]))")
    ) == (3, 2)


@pytest.mark.parametrize("name", SLOPES)
def test_slopes_are_those_of_sympy(name):
    x = sp.Symbol("x")
    true = FUNCTIONS["sqrt" if name == "root" else name].scalar
    at = lambda other, z: FUNCTIONS[other].scalar(z)  # noqa: E731
    for place in (sp.Rational(3, 10), sp.Rational(17, 10)):
        mine = SLOPES[name](place, true(place), at)
        assert abs(sp.N(mine - sp.diff(true(x), x).subs(x, place), 40)) < sp.Float("1e-38")


def test_jacobians_are_those_of_sympy():
    row = sp.symbols("a b c")
    soft = [sp.exp(x) / sum(map(sp.exp, row)) for x in row]
    mean = sum(row) / 3
    scatter = sp.sqrt(sum((x - mean) ** 2 for x in row) / 3 + EPSILON)
    norm = [(x - mean) / scatter for x in row]
    for made, true in ((softmax_jacobian(soft), soft), (layer_norm_jacobian(norm, scatter), norm)):
        difference = sp.Matrix(made) - sp.Matrix(true).jacobian(row)
        assert (
            max(
                abs(sp.N(entry.subs(dict(zip(row, (1, -2, sp.Rational(1, 3)), strict=True))), 40))
                for entry in difference
            )
            < 1e-35
        )


def test_one_value_for_equal_arguments():
    values = Values(lambda name: sp.Dummy(name))
    a, b = sp.symbols("a b")
    assert values.call("exp", (a + b) * (a - b)) is values.call("exp", a**2 - b**2)
    assert values.call("exp", a) is not values.call("exp", b)
    assert canonical((a**2 - b**2) / (a + b)) == a - b
    above, at = values.signs(a - b)
    assert values.signs(b - a) == (1 - above - at, at)


def test_unrolling_is_that_of_the_reference():
    text = """x[t]: n
u: input[m]
W: (n, m)
U: (n, m)
B: n
h[t]: n = 0.3*x[t]*h[t-1] - h[t-2]/2 + (W @ u)**2
h[0] = U @ u
g[t]: n = concat(h[t+1], u)[1:n+1]*g[t+1] + within(x[t-1], steps[-2:])
h[T+1] = 0.5
M: total[n, n] = sum(outer(g[t], diag(outer(h[t], x[t]))) for t in steps) + outer(B, B)
E = minimize(sum(norm2(g[t])/T for t in steps[:2]) + norm2(B) + dot(h[T], g[1]) + mean(M.T @ M) + dot(M[:, 0], h[T-1]))
"""
    recurrence, lengths, rng = parse(text), (4, 2), np.random.default_rng(5)
    sizes = {"n": 2, "m": 3}
    unrolled = Unrolled(recurrence, sizes, lengths, Values(sp.Symbol))
    given: dict[str, np.ndarray] = {}
    for target in (*recurrence.of_role("input", "parameter"), *recurrence.arguments):
        shape = tuple(sizes[str(size)] for size in target.shape)
        label, lead = target.source(), {0: (), 1: (2,), 2: (4, 2)}[int(target.kind)]
        given[label] = rng.integers(-8, 9, (*lead, *shape)) / 8
        for key in unrolled.instances(target):
            part = given[label][{0: (), 1: key[2:], 2: (key[1] - 1, key[2])}[int(target.kind)]]
            unrolled.memo[key] = array([sp.Rational(float(v)) for v in part.ravel()]).reshape(part.shape)
    expected = evaluate(recurrence, given, 4, 2, lengths)
    for name in ("h", "g", "M", "E"):
        target = recurrence.named[name]
        for key in unrolled.instances(target):
            want = expected[name][{0: (), 2: (key[1] - 1, key[2])}[int(target.kind)]]
            np.testing.assert_allclose(unrolled.value(target, *key[1:]).astype(float), want, rtol=1e-13, atol=1e-13)
