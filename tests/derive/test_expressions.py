"""Expressions of the language: shapes, the text they write themselves as, and values against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from derive.errors import RecurrenceError, ShapeError
from derive.language import parse
from derive.nodes import shape_text
from derive.recurrence import Recurrence
from derive.reference import evaluate

DECLARED = """
a: scalar
b: n
c: n
v: 2*n
W: (n, n)
V: (m, n)
x[t]: n
u: input[m]
f: function
square = lambda p: p*p
mix = lambda p, q: p*square(q) + n
s: n = tanh(s/4 + b)
"""


def equation(expression: str, shape: str) -> Recurrence:
    return parse(f"{DECLARED}r[t]: {shape} = {expression}")


# Expression, its shape, and its value from arrays named as above (h is x one step before); None where none is compared.
FORMS = [
    ("2 + 0.5 - 1e-1 - .25", "scalar", lambda e: 2.15),
    ("-a - -a + +a", "scalar", lambda e: e["a"]),
    ("a*b/2", "n", lambda e: e["a"] * e["b"] / 2),
    ("b/a*c", "n", lambda e: e["b"] / e["a"] * e["c"]),
    ("b/(a*c)", "n", lambda e: e["b"] / (e["a"] * e["c"])),
    ("b - (c - b) - c", "n", lambda e: 2 * e["b"] - 2 * e["c"]),
    ("b**2 + c**-1 + (b**2)**0.5", "n", lambda e: e["b"] ** 2 + 1 / e["c"] + np.abs(e["b"])),
    ("-b**2", "n", lambda e: -(e["b"] ** 2)),
    ("(1 + b**2)**(3/2)", "n", lambda e: (1 + e["b"] ** 2) ** 1.5),
    ("W @ b", "n", lambda e: e["W"] @ e["b"]),
    ("V.T @ V @ b", "n", lambda e: e["V"].T @ e["V"] @ e["b"]),
    ("(W @ W).T @ b", "n", lambda e: (e["W"] @ e["W"]).T @ e["b"]),
    ("transpose(V) @ u", "n", lambda e: e["V"].T @ e["u"]),
    ("v[0:n] + v[n:] + v[n:2*n] + v[:n]", "n", lambda e: 2 * (e["v"][:2] + e["v"][2:])),
    ("x[t][0]", "scalar", lambda e: e["x"][0]),
    ("x[t][-1] + x[t-1][n-1]", "scalar", lambda e: e["x"][-1] + e["h"][-1]),
    ("W[:, 0] + W[0, :]", "n", lambda e: e["W"][:, 0] + e["W"][0]),
    ("V[0, n-1]", "scalar", lambda e: e["V"][0, -1]),
    ("n*b + m + T", "n", lambda e: 2 * e["b"] + 3 + 4),
    ("tanh(b) + sigmoid(b) + relu(b)", "n",
     lambda e: np.tanh(e["b"]) + 1 / (1 + np.exp(-e["b"])) + np.maximum(e["b"], 0)),
    ("softplus(b) + exp(b) + log(a) + sqrt(a)", "n",
     lambda e: np.log1p(np.exp(e["b"])) + np.exp(e["b"]) + np.log(e["a"]) + np.sqrt(e["a"])),
    ("sin(b) + cos(b) + abs(b) + sign(b) + atan(b)", "n",
     lambda e: np.sin(e["b"]) + np.cos(e["b"]) + np.abs(e["b"]) + np.sign(e["b"]) + np.arctan(e["b"])),
    ("minimum(b, c) + maximum(b, 0)", "n", lambda e: np.minimum(e["b"], e["c"]) + np.maximum(e["b"], 0)),
    ("where(b > c, b, 2) + where(a <= 0, c, -c)", "n",
     lambda e: np.where(e["b"] > e["c"], e["b"], 2) + np.where(e["a"] <= 0, e["c"], -e["c"])),
    ("where(a == a, 1, 0) + where(a != a, 1, 0) + where(a >= a, 1, 0) + where(a < a, 1, 0)", "scalar", lambda e: 2.0),
    ("softmax(b)", "n", lambda e: np.exp(e["b"]) / np.exp(e["b"]).sum()),
    ("log_softmax(b)", "n", lambda e: e["b"] - np.log(np.exp(e["b"]).sum())),
    ("logsumexp(b)", "scalar", lambda e: np.log(np.exp(e["b"]).sum())),
    ("logsumexp(W)", "n", lambda e: np.log(np.exp(e["W"]).sum(1))),
    ("sum(b) + mean(c) + norm2(W)", "scalar", lambda e: e["b"].sum() + e["c"].mean() + (e["W"] ** 2).sum()),
    ("dot(b, c)", "scalar", lambda e: e["b"] @ e["c"]),
    ("outer(u, b) @ c", "m", lambda e: np.outer(e["u"], e["b"]) @ e["c"]),
    ("concat(b, u, 2*u)", "n + 2*m", lambda e: np.concatenate([e["b"], e["u"], 2 * e["u"]])),
    ("diag(b) @ c + diag(W)", "n", lambda e: e["b"] * e["c"] + np.diag(e["W"])),
    ("zeros(n) + ones(n) + eye(n) @ b", "n", lambda e: 1 + e["b"]),
    ("pad(b, n, 2*n) + pad(b, 0, 2*n)", "2*n", lambda e: np.concatenate([e["b"], e["b"]])),
    ("cross_entropy(b**2, softmax(c))", "scalar",
     lambda e: -(e["b"] ** 2 * np.log(np.exp(e["c"]) / np.exp(e["c"]).sum())).sum()),
    ("layer_norm(v)", "2*n", lambda e: (e["v"] - e["v"].mean()) / np.sqrt(e["v"].var() + 1e-5)),
    ("square(b)", "n", lambda e: e["b"] ** 2),
    ("mix(b, c)", "n", lambda e: e["b"] * e["c"] ** 2 + 2),
    ("f(b) + slope(f, b) + slope(f, b, 2)", "n", None),
    ("x[t-1] + x[t]", "n", lambda e: e["x"] + e["h"]),
    ("x[1] + x[T] + x[T-1]", "n", lambda e: e["first"] + e["last"] + e["last but one"]),
    ("within(x[t], steps[-1:]) + within(b, steps[:2])", "n", lambda e: e["x"]),
    ("s", "n", None),
]  # fmt: skip


def numbers() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3)
    shapes = {"b": 2, "c": 2, "v": 4, "W": (2, 2), "V": (3, 2)}
    values = {name: draw.uniform(0.3, 1.5, shape) * draw.choice([-1, 1], shape) for name, shape in shapes.items()}
    return {**values, "a": np.array(0.7), "x": draw.standard_normal((4, 1, 2)), "u": draw.standard_normal((1, 3))}


@pytest.mark.parametrize(("expression", "shape", "value"), FORMS)
def test_form(expression: str, shape: str, value: object) -> None:
    recurrence = equation(expression, shape)
    node = next(e.expr for e in recurrence.equations if e.target.name == "r")
    assert node.func(*node.args) == node
    again = next(e.expr for e in equation(node.source(), shape).equations if e.target.name == "r")
    assert again.source() == node.source() and shape_text(again.shape) == shape_text(node.shape)
    if value is None:
        return
    arrays = numbers()
    last = {"x": arrays["x"][3, 0], "h": arrays["x"][2, 0], "u": arrays["u"][0], "first": arrays["x"][0, 0]}
    last |= {"last": arrays["x"][3, 0], "last but one": arrays["x"][2, 0]}
    found = evaluate(recurrence, arrays, 4, 1)["r"][3, 0]
    expected = value({**arrays, **last})
    assert np.all(np.isfinite(found))
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-13, atol=1e-14)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            found, np.broadcast_to(expected, found.shape) * 1.0001 + 1e-7, rtol=1e-13, atol=1e-14
        )


def test_terms_keep_their_order_and_nothing_cancels() -> None:
    text = "c + b - b + 0*c + b*1"
    node = next(e.expr for e in equation(text, "n").equations if e.target.name == "r")
    assert node.source() == text


@pytest.mark.parametrize("number", ["0.1", "1e-3", "2", "12.50", "0x10", "1_0", "1_0.5", "1e-30"])
def test_literals_are_exact(number: str) -> None:
    node = parse(f"q: scalar = {number}").equations[0].expr
    plain = number.replace("_", "")
    assert node.value == (sp.Integer(int(plain, 16)) if "x" in plain else sp.Rational(plain))
    assert node.value != sp.Rational(0.1) or number != "0.1"


@pytest.mark.parametrize("window", ["steps", "steps[-3:]", "steps[1:5]", "steps[:2]", "steps[-2:-1]", "steps[0:]"])
def test_windows(window: str) -> None:
    text = f"x[t]: n\nE = minimize(sum(norm2(x[t]) for t in {window}))"
    values = {"x": np.arange(1.0, 15.0).reshape(7, 1, 2)}
    expected = (values["x"][as_slice(window)] ** 2).sum()
    assert float(evaluate(parse(text), values, 7, 1)["E"]) == pytest.approx(expected, rel=1e-14)


def as_slice(window: str) -> slice:
    inner = window.removeprefix("steps").strip("[]")
    return slice(*(int(part) if part else None for part in inner.split(":"))) if inner else slice(None)


def test_lambdas_see_their_own_arguments_only() -> None:
    with pytest.raises(RecurrenceError, match="q is not an argument of the lambda"):
        parse("inner = lambda p: p*q\nouter_ = lambda q: inner(q)\nh[t]: n = outer_(h[t-1])")
    found = parse("one = lambda p: 2*p\ntwo = lambda p: one(p + 1)*p\nx: n\ny: n = two(x)")
    values = evaluate(found, {"x": np.array([3.0])}, 1, 1)
    assert values["y"].tolist() == [24.0]


@pytest.mark.parametrize(
    ("expression", "shape"),
    [("b + v", "n"), ("W @ u", "n"), ("b @ c", "n"), ("b.T", "n"), ("W + V", "(n, n)"), ("dot(b, u)", "scalar"),
     ("where(b > u, 1, 2)", "n"), ("b", "m"), ("v[0:3*n]", "3*n"), ("outer(W, b)", "n"), ("softmax(a)", "scalar"),
     ("concat(W, b)", "n"), ("diag(V)", "n"), ("cross_entropy(b, v)", "scalar"), ("maximum(b, u)", "n")],
)  # fmt: skip
def test_shapes_that_do_not_fit(expression: str, shape: str) -> None:
    text = f"{DECLARED}r: {shape} = {expression}"
    with pytest.raises(ShapeError) as caught:
        parse(text)
    where = caught.value.where
    assert where is not None and where.line == DECLARED.count("\n") + 1 and where.column is not None
