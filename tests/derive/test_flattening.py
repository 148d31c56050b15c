"""Reshape and the Kronecker product: shapes, text, values, and their rules against differences."""

from __future__ import annotations

import numpy as np
import pytest

from derive import arrays, kron, reshape
from derive.adjoint import gradient
from derive.errors import RecurrenceError, ShapeError
from derive.flattening import Kron, Reshape
from derive.language import parse
from derive.nodes import Kind, Quantity, dim
from derive.proof import prove
from derive.reference import evaluate
from derive.rules import RULES
from derive.sizes import size_text
from derive.tangents import tangent
from derive.writing import write

n, m, k = dim("n"), dim("m"), dim("k")
SIZES = {"n": 2, "m": 3, "k": 4}
A, B = Quantity("A", "parameter", (n, m), Kind.SHARED), Quantity("B", "parameter", (k, n), Kind.SHARED)
u, v = Quantity("u", "parameter", (n,), Kind.SHARED), Quantity("v", "parameter", (m,), Kind.SHARED)
PAIRS = {"matrices": (A, B), "matrix and row": (A, v), "row and matrix": (u, B), "rows": (u, v)}


def drawn(quantity: Quantity, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal([SIZES[str(size)] for size in quantity.shape])


@pytest.mark.parametrize("pair", PAIRS)
def test_kron_is_numpys(pair: str) -> None:
    first, second = PAIRS[pair]
    node, rng = kron(first, second), np.random.default_rng(0)
    values = {q.name: drawn(q, rng) for q in (first, second)}
    wanted = np.kron(values[first.name], values[second.name])
    assert tuple(int(size.subs({s: SIZES[s.name] for s in size.free_symbols})) for size in node.shape) == wanted.shape
    sizes = ", ".join(map(size_text, node.shape))
    written = {1: "{}", 2: "({})"}
    head = "".join(f"{q.name}: {written[len(q.shape)].format(', '.join(map(str, q.shape)))}\n" for q in (first, second))
    text = head + f"K: {f'({sizes})' if len(node.shape) == 2 else sizes} = {node.source()}\n"
    recurrence = parse(text)
    assert np.array_equal(evaluate(recurrence, values, 0, 1)["K"], wanted)
    assert write(recurrence) == text


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("sabotage", [False, True])
def test_kron_sends_back_what_its_tangent_says(pair: str, sabotage: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = PAIRS[pair]
    if sabotage:
        rule = RULES[Kron]
        wrong = type(rule)(lambda node, g: rule.adjoint(node, arrays.Outer(arrays.Ones(g.shape[0]), g[0, :]) if len(g.shape) == 2 else -g),
                           rule.tangent, rule.because)  # fmt: skip
        monkeypatch.setitem(RULES, Kron, wrong)
    heads = [f"{q.name}: ({', '.join(map(str, q.shape))}{',' * (len(q.shape) == 1)})" for q in (first, second)]
    recurrence = parse("\n".join(head.replace(",)", ")") for head in heads) + f"\nE = minimize(sum(sin({kron(first, second).source()})))\n")
    rng = np.random.default_rng(1)
    values = {q.name: drawn(q, rng) for q in (first, second)}
    moves = {q.name: drawn(q, rng) for q in (first, second)}
    derivation, moved = gradient(recurrence), tangent(recurrence)
    grads = evaluate(derivation.recurrence, values, 0, 1)
    product = sum(np.sum(grads[derivation.gradients[name].name] * move) for name, move in moves.items())
    given = values | {moved.tangents[name].source(): move for name, move in moves.items()}
    along = evaluate(moved.recurrence, given, 0, 1)[moved.tangents["E"].source()]
    assert (abs(product - along) < 1e-12 * max(1.0, abs(along))) != sabotage


def test_reshape_lays_rows_one_after_the_other() -> None:
    recurrence = parse("A: (n, m)\nv: n*m = reshape(A, n*m)\nB: (m, n) = reshape(v, m, n)\nC: (m, n) = reshape(A, m, n)\n")
    values = {"A": np.arange(6.0).reshape(2, 3)}
    found = evaluate(recurrence, values, 0, 1)
    assert np.array_equal(found["v"], np.arange(6.0)) and np.array_equal(found["B"], np.arange(6.0).reshape(3, 2))
    assert np.array_equal(found["C"], found["B"]) and not np.array_equal(found["B"], values["A"].T)
    assert parse(write(recurrence)).equations == recurrence.equations


def test_reshape_in_python_takes_dims_as_the_builder_does() -> None:
    assert reshape(A, n * m).shape == (n * m,) and reshape(A, "m", "n") == Reshape(A, (m, n))
    for wrong in (lambda: reshape(A, "n"), lambda: reshape(u[0], 1), lambda: kron(u[0], A)):
        with pytest.raises(ShapeError):
            wrong()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("y[t]: m = reshape(x[t], m)", "x[t] is (n) and cannot become (m)"),
        ("y[t]: n = reshape(x[t])", "reshape takes an array and one or two dims"),
        ("y[t]: n = kron(x[t])", "kron takes 2 arguments"),
        ("y[t]: n = kron(2, x[t])", "kron takes vectors or matrices; 2 is a scalar"),
    ],
)
def test_what_has_no_shape_is_refused_with_a_place(line: str, problem: str) -> None:
    with pytest.raises(RecurrenceError) as error:
        parse(f"x[t]: n\nw: m\n{line}\n")
    assert problem in str(error.value) and ":3:" in str(error.value)


def test_powers_of_dims_are_written_as_products() -> None:
    text = "W: (n, n)\nP: (n*n, m*n*n) = kron(W, reshape(V, n, m*n))\nV: (n, m*n)\n"
    written = write(parse(text))
    assert "P: (n*n, m*n*n) =" in written and "**" not in written
    assert write(parse(written)) == written


def test_gradients_through_both_are_proved() -> None:
    text = """x[t]: n
h[t]: n = tanh(reshape(kron(h[t-1], W[0, :]), n, n) @ x[t] + kron(W, x[t]) @ reshape(W, n*n))
W: (n, n)
E = minimize(sum(norm2(h[t]) for t in steps) + sum(kron(W, W)))
"""
    assert prove(gradient(parse(text)), dims={"n": 2}, steps=2).proved
