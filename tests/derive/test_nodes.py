"""Nodes: they rebuild, know their shape and kind, keep their order, and print what reads back as themselves."""

from __future__ import annotations

import pickle
from fractions import Fraction
from functools import cache

import pytest
import sympy as sp
from generator import generate

import derive.operators  # noqa: F401 -- gives nodes their operators
from derive.arithmetic import Add, Apply, MatMul, Mul, Neg
from derive.builder import Builder
from derive.errors import ShapeError
from derive.language import parse
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, Window, dim, replace, walk
from derive.operators import T, steps, sum_over, t, within
from derive.recurrence import Recurrence
from derive.temporal import Argument, TimeSum, Within

n, m = dim("n"), dim("m")
h = Quantity("h", "signal", (n,), Kind.TIMED)
x = Quantity("x", "input", (m,), Kind.TIMED)
W = Quantity("W", "parameter", (n, n), Kind.SHARED)
U = Quantity("U", "parameter", (n, m), Kind.SHARED)
b = Quantity("b", "parameter", (n,), Kind.SHARED)
u = Quantity("u", "input", (n,), Kind.SEQUENCE)


@cache
def samples() -> list[Recurrence]:
    return [parse(generate(seed, analytic).text) for seed in range(10) for analytic in (True, False)]


def nodes(recurrences: list[Recurrence]) -> set[Node]:
    return {node for r in recurrences for e in r.equations for node in walk(e.expr)}


def test_every_node_rebuilds() -> None:
    found = nodes(samples())
    assert len({type(node) for node in found}) > 25
    for node in found:
        again = node.func(*node.args)
        assert again == node and hash(again) == hash(node)
        assert (again.shape, again.kind, again.source()) == (node.shape, node.kind, node.source())
        assert type(again) is type(node)


def test_nodes_pickle_and_compare() -> None:
    for node in list(nodes(samples()))[::17]:
        assert pickle.loads(pickle.dumps(node)) == node
    assert h[t] != h[t - 1] and h[T] != h[t] and Neg(b) != b
    assert Quantity("h", "input", (n,), Kind.TIMED) != h


def test_what_is_written_reads_back() -> None:
    for recurrence in samples():
        text = "\n".join(declared(recurrence))
        for equation in recurrence.equations:
            if isinstance(equation.target, Quantity) and equation.target.role == "signal":
                shape = f"({', '.join(map(str, equation.target.shape))})" if equation.target.shape else "scalar"
                again = parse(f"{text}\nresult[t]: {shape} = {equation.expr.source()}")
                found = again.equation[again.named["result"]].expr
                assert plain(found).source() == plain(equation.expr).source()
                assert plain(-found).source() != plain(equation.expr).source()


def plain(node: Node) -> Node:
    """Without the marks of inlined arguments, which no text shows; negative numbers as negatives."""
    if isinstance(node, Argument):
        return plain(node.args[0])
    if isinstance(node, Number) and node.value.is_negative:
        return Neg(Number(-node.value))
    return node.func(*(plain(arg) if isinstance(arg, Node) else arg for arg in node.args)) if node.operands else node


def declared(recurrence: Recurrence) -> list[str]:
    """Every quantity as an input of its shape and kind."""
    lines = []
    for quantity in recurrence.quantities:
        sizes = ", ".join(map(str, quantity.shape))
        if quantity.role == "index":
            lines.append(f"{quantity.name}[t]: index[{sizes}]")
        elif quantity.kind == Kind.TIMED:
            lines.append(f"{quantity.name}[t]: {f'({sizes})' if len(quantity.shape) == 2 else sizes or 'scalar'}")
        elif quantity.kind == Kind.SEQUENCE:
            lines.append(f"{quantity.name}: input" + (f"[{sizes}]" if sizes else ""))
        else:
            lines.append(f"{quantity.name}: {f'({sizes})' if len(quantity.shape) == 2 else sizes or 'scalar'}")
    return lines


@pytest.mark.parametrize(
    ("node", "shape", "kind", "text"),
    [
        (W @ h[t - 1] + U @ x[t] + b, (n,), Kind.TIMED, "W @ h[t-1] + U @ x[t] + b"),
        (b - (b - 1), (n,), Kind.SHARED, "b - (b - 1)"),
        (-((b * 2) ** 2), (n,), Kind.SHARED, "-(b*2)**2"),
        ((-b) ** 2, (n,), Kind.SHARED, "(-b)**2"),
        (b / (b * 2), (n,), Kind.SHARED, "b/(b*2)"),
        (b / b * 2, (n,), Kind.SHARED, "b/b*2"),
        (1 - b, (n,), Kind.SHARED, "1 - b"),
        (2 * b + Fraction(1, 4), (n,), Kind.SHARED, "2*b + 0.25"),
        (Fraction(1, 3) * b, (n,), Kind.SHARED, "1/3*b"),
        (b * Fraction(1, 3), (n,), Kind.SHARED, "b*(1/3)"),
        (W.T @ (W @ b), (n,), Kind.SHARED, "W.T @ (W @ b)"),
        ((W @ W).T, (n, n), Kind.SHARED, "(W @ W).T"),
        (W @ W @ b, (n,), Kind.SHARED, "W @ W @ b"),
        (h[T] + h[0] + h[T - 1] + h[2], (n,), Kind.SEQUENCE, "h[T] + h[0] + h[T-1] + h[2]"),
        (b[0:n], (n,), Kind.SHARED, "b[0:n]"),
        (W[0:n, 0], (n,), Kind.SHARED, "W[0:n, 0]"),
        (b[-1], (), Kind.SHARED, "b[n - 1]"),
        (T * b, (n,), Kind.SEQUENCE, "T*b"),
        (Number(n + m) * u, (n,), Kind.SEQUENCE, "(m + n)*u"),
        (sum_over(h[t]), (n,), Kind.SEQUENCE, "sum(h[t] for t in steps)"),
        (sum_over(h[t], steps[-3:]), (n,), Kind.SEQUENCE, "sum(h[t] for t in steps[-3:])"),
        (within(b, steps[1:5]), (n,), Kind.TIMED, "within(b, steps[1:5])"),
    ],
)
def test_shape_kind_and_text(node: Node, shape: tuple, kind: Kind, text: str) -> None:
    assert (node.shape, node.kind, node.source()) == (shape, kind, text)
    assert str(node) == text and node.func(*node.args) == node


def test_nothing_is_evaluated() -> None:
    assert Add(b, Neg(b)).args == (b, Neg(b))
    assert Mul(Number(0), b).args == (Number(0), b)
    assert Add(Add(b, b), b).args == (b, b, b)
    assert Add(b, u).args != Add(u, b).args and Add(b, u) != Add(u, b)


@pytest.mark.parametrize("build", [
    lambda: W @ x[t], lambda: b @ b, lambda: b + x[t], lambda: b.T, lambda: Apply("maximum", b, x[t]), lambda: At(b,
    0), lambda: Pick(b, sp.S.One),
    lambda: b[0 : 2 * n], lambda: b[n], lambda: MatMul(b, W),
])  # fmt: skip
def test_shapes_that_clash_are_refused(build: object) -> None:
    with pytest.raises(ShapeError):
        build()


@pytest.mark.parametrize(("window", "length", "inside"), [
    (Window(), 3, [1, 2, 3]), (Window(-2, None), 3, [2, 3]), (Window(1, 5), 3, [2, 3]), (Window(None, -1), 3, [1, 2]),
    (Window(-9, None), 2, [1, 2]), (Window(0, None), 0, []), (Window(4, None), 3, []),
])  # fmt: skip
def test_windows_clip_as_python_clips(window: Window, length: int, inside: list[int]) -> None:
    assert list(window.range(length)) == inside and window.func(*window.args) == window


def test_replace_and_walk() -> None:
    node = W @ h[t - 1] + b
    assert [part.source() for part in walk(node)] == ["W @ h[t-1] + b", "W @ h[t-1]", "W", "h[t-1]", "b"]
    assert replace(node, {b: u}).source() == "W @ h[t-1] + u"
    assert replace(node, {u: b}) == node
    assert isinstance(sum_over(node), TimeSum) and isinstance(within(node, steps), Within)


def test_builder_quantities_are_these_nodes() -> None:
    builder = Builder("one")
    assert builder.signal("h", "n") == h and builder.parameter("W", "n", "n") == W
