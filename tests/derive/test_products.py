"""Products with a direction: symmetric, equal to complex steps of the gradient, and of the network and the loss as they are split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from fuzzing import Case, uncommented
from generator import generate

import derive
import derive.rules as rules
from derive.adjoint import gradient
from derive.arithmetic import Apply, MatMul, Mul, Transpose
from derive.errors import RecurrenceError
from derive.gauss_newton import gauss_newton_product
from derive.holding import hold
from derive.language import parse
from derive.products import hessian_product, jacobian_product
from derive.writing import write


def is_twice_a_function(seed):
    """Whether nothing is stopped, whose slopes are no derivatives, and no constraint turns directions away."""
    recurrence = parse(generate(seed, analytic=seed % 4 == 0).text)
    return hold(recurrence) is None and not recurrence.constraints


SEEDS = [seed for seed in range(0, 200, 2) if is_twice_a_function(seed)][:24]


class Direct:
    """A recurrence with values, at which the products are evaluated by the reference."""

    def __init__(self, text, seed=0, steps=4, batch=2, lengths=None):
        self.case = Case.__new__(Case)
        self.case.rng, self.case.recurrence = np.random.default_rng(seed), parse(text)
        self.case.steps, self.case.batch = steps, batch
        with np.errstate(invalid="ignore"):  # a moved probability may be negative where it is drawn
            self.case.place()
        self.case.lengths = np.full(batch, self.case.steps) if lengths is None else np.array(lengths)
        self.labels = list(gradient(self.case.recurrence).gradients)

    def times(self, product, direction):
        return multiply(self.case, product, direction)


def multiply(case, product, direction):
    """A product with a direction, by label."""
    moves = {target.source(): direction[label] for label, target in product.directions.items() if label in direction}
    still = {target.source(): np.zeros_like(case.values[label]) for label, target in product.directions.items() if label not in direction}
    found = case.evaluate(product.recurrence, {**case.values, **still, **moves})
    return {label: found[quantity.name] for label, quantity in product.results.items()}


def inner(first, second):
    return sum(float(np.sum(first[label] * second[label])) for label in first if label in second)


def norm(arrays):
    return np.sqrt(sum(float(np.sum(np.abs(array) ** 2)) for array in arrays.values()))


def asymmetry(case, product):
    """|u'Hv - v'Hu| relative to the sizes of what is multiplied."""
    u, v = (case.direction(list(product.results)) for _ in range(2))
    Hu, Hv = (multiply(case, product, direction) for direction in (u, v))
    error = abs(inner(u, Hv) - inner(v, Hu))
    return error / max(norm(u) * norm(Hv), norm(v) * norm(Hu), 1e-3) if np.isfinite(error) else np.inf


def against_complex_step(case):
    """The error of H v against the complex step of the gradient along v."""
    derivation, product = gradient(case.recurrence), hessian_product(case.recurrence)
    v = case.direction(list(product.results))
    shifted = {label: value + 1e-30j * v[label] if label in v else value for label, value in case.values.items()}
    along = case.evaluate(derivation.recurrence, shifted)
    found = multiply(case, product, v)
    error = norm({label: np.imag(along[q.name]) / 1e-30 - found[label] for label, q in derivation.gradients.items()})
    return error / max(norm(found), 1e-3) if np.isfinite(error) else np.inf


@pytest.mark.parametrize("seed", SEEDS)
def test_hessians_of_random_recurrences_are_symmetric(seed):
    case = Case(seed, analytic=seed % 4 == 0)
    with np.errstate(all="ignore"):
        assert asymmetry(case, hessian_product(case.recurrence)) <= 1e-11
        if seed % 4 == 0:
            assert against_complex_step(case) <= 1e-11


def scaled(factor):
    """A tangent rule that is off by a factor."""

    def change(rule):
        def tangent(node, d):
            moved = rule.tangent(node, d)
            return None if moved is None else moved * factor

        return tangent

    return change


SABOTAGED = {
    "a dropped term": (Mul, lambda rule: lambda node, d: rule.tangent(node, [*d[:-1], None])),
    "one per cent": (Apply, scaled(1.01)),
    "sign": (MatMul, scaled(-1)),
    "a matrix that stands still": (Transpose, lambda rule: lambda node, d: None),
}


@pytest.mark.parametrize("name", SABOTAGED)
def test_a_sabotaged_tangent_is_found(name, monkeypatch):
    kind, change = SABOTAGED[name]
    whole = rules.RULES[kind]
    monkeypatch.setitem(rules.RULES, kind, replace(whole, tangent=change(whole)))
    cases = [Case(seed, analytic=True) for seed in range(0, 16, 4)]
    with np.errstate(all="ignore"):
        assert max(asymmetry(case, hessian_product(case.recurrence)) for case in cases) > 1e-6
        assert max(against_complex_step(case) for case in cases) > 1e-6


@pytest.mark.parametrize("derived", [jacobian_product, hessian_product, lambda r: gauss_newton_product(r, "y")])
@pytest.mark.parametrize("name", ["narx", "lstm"])
def test_products_are_files_in_the_language(derived, name):
    product = derived(derive.load(name))
    text = product.to_rec()
    again = parse(text, "again")
    assert uncommented(write(again)) == uncommented(text)
    assert "direction at V" in text and all(quantity.name in again.named for quantity in product.results.values())
    names = [quantity.name for quantity in product.recurrence.quantities]
    assert len(names) == len(set(names))


# The split between network and loss. Outputs have n = 2 components, what is hidden m = 3.

LINEAR = """
x[t]: m
d[t]: n
y[t]: n = within(V @ x[t-1], steps[1:]) + c + 0.5*y[t-1]
E = minimize(sum(LOSS for t in steps))
"""
LOSSES = {
    "squares": "norm2(y[t] - d[t])",
    "of a softmax": "cross_entropy(exp(d[t]), softmax(y[t]))",
    "softplus": "sum(softplus(y[t]))",
    "differences": "norm2(y[t] - y[t-1]) + norm2(y[t])**2",
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("lengths", [None, [4, 1]])
def test_of_a_linear_network_it_is_the_hessian(name, lengths):
    direct = Direct(LINEAR.replace("LOSS", LOSSES[name]), lengths=lengths)
    r, at = direct.case.recurrence, "y"
    labels = [label for label in direct.labels if label not in ("d", "x")]
    v = direct.case.direction(labels)
    found, wanted = direct.times(gauss_newton_product(r, at), v), direct.times(hessian_product(r), v)
    assert max(np.max(np.abs(found[label] - wanted[label])) for label in labels) < 1e-13 * norm(wanted)
    assert norm(wanted) > 1e-3 and max(np.max(np.abs(1.000001 * found[label] - wanted[label])) for label in labels) > 1e-13 * norm(wanted)


@dataclass(frozen=True)
class Curved:
    """A network, the loss of its outputs o and q, how these are y and g moved by inputs of their own, and where those inputs' moves are."""

    network: str
    loss: str
    moved: str = "o[t]: n = y[t] + p[t]\np[t]: n\n"
    moves: Mapping[str, str] = field(default_factory=lambda: {"p": "y"})
    at: str | tuple[str, ...] = "y"

    def text(self, apart):
        """The recurrence, with the outputs as they are or moved."""
        loss = self.loss if apart else re.sub(r"\bq\b", "g", re.sub(r"\bo\b", "y", self.loss))
        return f"x[t]: m\nd[t]: n\nA: (n, n)\nV: (n, m)\nU: (m, m)\na: m\n{self.network}{self.moved if apart else ''}{loss}\n"


def total(cost):
    return f"E = minimize(sum({cost} for t in steps))"


BOTH = "o[t]: n = y[t] + p[t]\nq[t]: n = g[t] + r[t]\np[t]: n\nr[t]: n\n"
SCALAR = "y[t]: scalar = dot(a, tanh(U @ x[t]))\n"
CURVED = {
    "a loop": Curved("h[t]: m = tanh(U @ (h[t-1] + x[t]))\ny[t]: n = V @ tanh(h[t])\n", total("norm2(o[t] - d[t])**2")),
    "fed back": Curved("y[t]: n = tanh(A @ y[t-1] + V @ x[t])\n", total("norm2(o[t] - d[t])")),
    "scored with its past": Curved(
        "y[t]: n = tanh(A @ y[t-1] + A @ y[t-2] + V @ x[t])\n", total("norm2(o[t] - o[t-1]) + norm2(o[t-2])"),
        "o[t]: n = y[t] + p[t]\no[0] = y[0] + p0\no[-1] = y[-1] + p1\np[t]: n\np0: input[n]\np1: input[n]\n",
        {"p": "y", "p0": "y[0]", "p1": "y[-1]"},
    ),
    "scored with its future": Curved(
        "y[t]: n = tanh(A @ y[t+1] + V @ x[t])\ny[...] = start\nstart: input[n]\n", total("norm2(o[t] - 2*o[t+1])"),
        "o[t]: n = y[t] + p[t]\no[T+1] = start + p1\np[t]: n\np1: input[n]\n", {"p": "y", "p1": "start"},
    ),
    "a softmax": Curved("y[t]: n = softmax(V @ tanh(U @ x[t]))\n", total("cross_entropy(exp(d[t]), o[t])")),
    "before a softmax": Curved("y[t]: n = V @ tanh(U @ x[t])\n", total("cross_entropy(exp(d[t]), softmax(o[t]))")),
    "a sigmoid": Curved("y[t]: n = sigmoid(V @ tanh(U @ x[t]))\n", total("-(sum(d[t]**2*log(o[t])) + sum(log(1 - o[t])))")),
    "two signals": Curved(
        "y[t]: n = V @ tanh(U @ x[t])\ng[t]: n = sin(y[t])\n", total("dot(o[t], o[t]) + norm2(q[t]*o[t] - d[t])"), BOTH,
        {"p": "y", "r": "g"}, ("y", "g"),
    ),
    "a steady state": Curved("y: n = tanh(0.3*(A @ y) + V @ x[1])\n", "E = minimize(norm2(o)**2)", "o: n = y + p\np: input[n]\n"),
    "a loss with a memory": Curved(
        "y[t]: n = tanh(V @ x[t])\n", "r[t]: n = 0.5*r[t-1] + o[t]\nr[0] = 0\n" + total("norm2(r[t] - d[t])")
    ),
    "the last step": Curved("y[t]: n = tanh(A @ y[t-1] + V @ x[t])\n", "E = minimize(norm2(o[T])**2)"),
    "a step that may lie before the first": Curved(
        "y[t]: n = tanh(A @ y[t-1] + A @ y[t-2] + V @ x[t])\n", "E = minimize(norm2(o[T])**2 + norm2(o[T-1] - o[T]))",
        "o[t]: n = y[t] + p[t]\no[0] = y[0] + p0\np[t]: n\np0: input[n]\n", {"p": "y", "p0": "y[0]"},
    ),
    "a total": Curved("y: total[n] = sum(tanh(V @ x[t]) for t in steps)\n", total("norm2(o - d[t])"), "o: n = y + p\np: n\n"),
    "scalars": Curved(SCALAR, total("o[t]**3"), "o[t]: scalar = y[t] + p[t]\np[t]: scalar\n"),
    "a scalar, and another that counts as it is": Curved(
        SCALAR + "g[t]: scalar = y[t]*y[t]\n", total("o[t]**3 + q[t]"), BOTH.replace(": n", ": scalar"), {"p": "y", "r": "g"}, ("y", "g")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVED)
@pytest.mark.parametrize("lengths", [None, [4, 1]])
def test_it_is_the_hessian_of_the_loss_between_tangents(name, lengths):
    curved = CURVED[name]
    whole, apart = (Direct(curved.text(apart), lengths=lengths) for apart in (False, True))
    r = whole.case.recurrence
    product = gauss_newton_product(r, curved.at)
    u, v = (whole.case.direction(whole.labels) for _ in range(2))
    found = inner(u, whole.times(product, v))
    apart.case.values = {label: whole.case.values.get(label, np.zeros_like(array)) for label, array in apart.case.values.items()}
    along = [{**w, **whole.times(jacobian_product(r), w)} for w in (u, v)]
    shapes = {label: np.shape(apart.case.values[label]) for label in curved.moves}
    moves = [{label: np.broadcast_to(J[of], shapes[label]) for label, of in curved.moves.items()} for J in along]
    wanted = inner(moves[0], apart.times(hessian_product(apart.case.recurrence), moves[1]))
    assert abs(found - wanted) < 1e-12 * max(1.0, abs(wanted)) and abs(wanted) > 1e-3
    assert asymmetry(whole.case, product) < 1e-12
    assert abs(inner(u, whole.times(hessian_product(r), v)) - wanted) > 1e-6


def test_the_argument_of_a_softmax_may_be_named_as_in_the_normal_form():
    start, end = "x[t]: m\nd[t]: n\nV: (n, m)\nU: (m, m)\n", total("cross_entropy(exp(d[t]), y[t])") + "\n"
    inline = Direct(f"{start}y[t]: n = softmax(V @ tanh(U @ x[t]))\n{end}")
    named = Direct(f"{start}l[t]: n = V @ tanh(U @ x[t])\ny[t]: n = softmax(l[t])\n{end}")
    named.case.values = inline.case.values
    v = inline.case.direction(inline.labels)
    found, wanted = (d.times(gauss_newton_product(d.case.recurrence, at), v) for d, at in ((inline, "z_y2"), (named, "l")))
    assert all(np.allclose(found[label], wanted[label], rtol=1e-13, atol=1e-14) for label in wanted)
    at_y = inline.times(gauss_newton_product(inline.case.recurrence, "y"), v)
    assert not np.allclose(at_y["V"], wanted["V"], rtol=1e-3)


SQUARES = total("norm2(y[t])") + "\n"
REFUSED = {
    "a penalty": (
        "y[t]: n = V @ x[t]\nE = minimize(sum(norm2(y[t]) for t in steps) + norm2(V))\n", "y",
        "depends on V other than through y[t]: E reads V",
    ),
    "a way around": (
        f"h[t]: m = U @ x[t]\ny[t]: n = V @ h[t]\ne[t]: scalar = norm2(h[t])\n{total('norm2(y[t]) + e[t]')}\n", "y",
        "depends on U other than through y[t]: E reads e[t], e[t] reads h[t], h[t] reads U",
    ),
    "a start": (
        f"y[t]: n = V @ x[t]\nr[t]: n = 0.5*r[t-1] + y[t]\n{total('norm2(r[t])')}\n", "y",
        "depends on r[0] other than through y[t]: E reads r[t]\n",
    ),
    "read by both": (
        f"e[t]: n = y[t] - 1\ny[t]: n = tanh(V @ x[t] + e[t-1])\ne[0] = 0\n{total('norm2(e[t])')}\n", "y",
        "e depends on y, and network and loss both read it\n  split there instead: at='e'",
    ),
    "not read": (f"y[t]: n = V @ x[t]\nh[t]: n = 2*y[t]\n{SQUARES}", "h", "E does not read h[t]"),
    "no signal": (f"y[t]: n = V @ x[t]\n{SQUARES}", "x", "has no signal 'x' between network and loss\n  there are y"),
    "none named": (f"y[t]: n = V @ x[t]\n{SQUARES}", (), "has no signal '' between network and loss"),
    "no objective": ("y[t]: n = V @ x[t]\n", "y", "has no objective"),
    "abstract": ("y[t]: n = V @ x[t]\nE = minimize(...)\n", "y", "has no objective that is written out"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_come_apart_is_refused(name):
    text, at, said = REFUSED[name]
    with pytest.raises(RecurrenceError) as caught:
        gauss_newton_product(parse(f"x[t]: m\n{text}"), at)
    assert said in str(caught.value)


def test_what_network_and_loss_both_read_can_be_split_where_the_error_says():
    direct = Direct(f"x[t]: m\n{REFUSED['read by both'][0]}")
    assert asymmetry(direct.case, gauss_newton_product(direct.case.recurrence, "e")) < 1e-12
