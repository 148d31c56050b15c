"""Calls: a call in a syntax tree -> a node, one row for each function of the language that is not a user's own."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Protocol

import sympy as sp

from derive import arrays, flattening, temporal
from derive.arithmetic import Abstract, Apply, Surrogate, Transpose, Where
from derive.functions import FUNCTIONS
from derive.indexing import Indexing
from derive.limits import Source
from derive.nodes import Node, Quantity, Window
from derive.suggestions import plural

RELATIONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
MAX_ORDER = 8


class Reader(Protocol):
    """What a call needs of the expression reader."""

    source: Source
    indexing: Indexing
    functions: frozenset[str]
    quantities: Mapping[str, Quantity]

    def node(self, tree: ast.expr) -> Node:
        """The node of an expression."""

    def build(self, kind: Callable[..., Node], tree: ast.expr, *operands: Node) -> Node:
        """A node from operands, with hints where shapes clash."""

    def over_time(self, tree: ast.Call, body: ast.expr, window: Window) -> Node:
        """A sum over time."""

    def onehot(self, tree: ast.expr) -> Node:
        """An index at a step, as a vector."""

    def inside_steps(self, tree: ast.expr, written: str) -> None:
        """Raises RecurrenceError where no step is given."""


def arguments(reader: Reader, tree: ast.Call, count: int) -> list[Node]:
    """The arguments as nodes, if there are so many."""
    if len(tree.args) != count:
        name = tree.func.id  # type: ignore[attr-defined]
        hint = f"write {name}({', '.join('abcd'[:count])})" if count <= 4 else ""
        raise reader.source.error(tree, f"{name} takes {plural(count, 'argument')}, not {len(tree.args)}", hint)
    return [reader.node(arg) for arg in tree.args]


def _sum(reader: Reader, tree: ast.Call) -> Node:
    if len(tree.args) != 1 or not isinstance(tree.args[0], ast.GeneratorExp):
        return arrays.Sum(*arguments(reader, tree, 1))
    generator = tree.args[0]
    (clause, *more) = generator.generators
    if not (isinstance(clause.target, ast.Name) and clause.target.id == "t"):
        raise reader.source.error(clause.target, "the step is named t", "write sum(… for t in steps)")
    if more or clause.ifs or clause.is_async:
        hint = "write sum(… for t in steps) or steps[a:b]; a choice is where(a > b, x, y)"
        raise reader.source.error(tree, "a sum over time has one clause and no condition", hint)
    return reader.over_time(tree, generator.elt, reader.indexing.window(clause.iter))


def _within(reader: Reader, tree: ast.Call) -> Node:
    if len(tree.args) != 2:
        raise reader.source.error(
            tree, "within takes an expression and a range of steps", "write within(e[t], steps[-3:])"
        )
    reader.inside_steps(tree, "within(…)")
    return temporal.Within(reader.node(tree.args[0]), reader.indexing.window(tree.args[1]))


def _where(reader: Reader, tree: ast.Call) -> Node:
    compare = tree.args[0] if tree.args else None
    if len(tree.args) != 3 or not isinstance(compare, ast.Compare):
        raise reader.source.error(tree, "where takes one comparison and two values", "write where(a > b, x, y)")
    if len(compare.ops) != 1 or type(compare.ops[0]) not in RELATIONS:
        hint = "comparisons are <, <=, >, >=, == and !=; nest two of them: where(a < b, where(b < c, x, y), y)"
        raise reader.source.error(compare, "where takes one comparison", hint)
    operands = [reader.node(part) for part in (compare.left, compare.comparators[0], *tree.args[1:])]
    return reader.build(lambda *parts: Where(RELATIONS[type(compare.ops[0])], *parts), tree, *operands)


def _concat(reader: Reader, tree: ast.Call) -> Node:
    if not tree.args:
        raise reader.source.error(tree, "concat takes at least one vector", "write concat(a, b)")
    return arrays.Concat(*(reader.node(arg) for arg in tree.args))


def _filled(kind: Callable[..., Node], example: str, counts: tuple[int, ...]) -> Callable[[Reader, ast.Call], Node]:
    def read(reader: Reader, tree: ast.Call) -> Node:
        if len(tree.args) not in counts:
            name = tree.func.id  # type: ignore[attr-defined]
            problem = f"{name} takes {plural(counts[-1], 'dim')}" + (" or fewer" if len(counts) > 1 else "")
            raise reader.source.error(tree, problem, f"write {example}")
        return kind(*(reader.indexing.dimension(arg) for arg in tree.args))

    return read


def _pad(reader: Reader, tree: ast.Call) -> Node:
    if len(tree.args) not in (3, 5):
        raise reader.source.error(
            tree, "pad takes an array, and a start and a size for each axis", "write pad(v, 0, 2*n)"
        )
    numbers = [reader.indexing.dimension(arg, signed=True) for arg in tree.args[1:]]
    spec = [tuple(numbers[i : i + 2]) for i in range(0, len(numbers), 2)]
    operand = reader.node(tree.args[0])
    for (start, size), length in zip(spec, operand.shape or (sp.S.One,), strict=False):
        if start.is_negative or sp.expand(size - start - length).is_negative:
            problem = f"{operand.source()[:120]} does not fit at {start} into {size}"
            raise reader.source.error(tree, problem, "write pad(v, start, size) with start + dim of v at most size")
    return arrays.Pad(operand, sp.Tuple(*(sp.Tuple(*axis) for axis in spec)))


def _reshape(reader: Reader, tree: ast.Call) -> Node:
    if len(tree.args) not in (2, 3):
        raise reader.source.error(
            tree, "reshape takes an array and one or two dims", "write reshape(v, n, m) or reshape(A, n*m)"
        )
    sizes = [reader.indexing.dimension(arg) for arg in tree.args[1:]]
    return reader.build(lambda operand: flattening.Reshape(operand, tuple(sizes)), tree, reader.node(tree.args[0]))


def _slope(reader: Reader, tree: ast.Call) -> Node:
    name = tree.args[0] if tree.args else None
    if len(tree.args) not in (2, 3) or not isinstance(name, ast.Name) or name.id not in reader.functions:
        raise reader.source.error(
            tree, "slope takes a declared function, its argument and an order", "write slope(f, z[t])"
        )
    order = reader.indexing.dimension(tree.args[2]) if len(tree.args) == 3 else sp.S.One
    if not order.is_Integer or order > MAX_ORDER:
        raise reader.source.error(
            tree.args[2], f"the order is a number from 1 to {MAX_ORDER}", f"write slope({name.id}, z[t], 2)"
        )
    return Abstract(name.id, int(order), reader.node(tree.args[1]))


def _onehot(reader: Reader, tree: ast.Call) -> Node:
    if len(tree.args) != 1:
        raise reader.source.error(tree, f"onehot takes 1 argument, not {len(tree.args)}", "write onehot(c[t])")
    return reader.onehot(tree.args[0])


def _project(reader: Reader, tree: ast.Call) -> Node:
    hint = "write project(W, W = change), with parameters of one assert"
    whole = tree.args[0] if len(tree.args) == 1 else None
    if not isinstance(whole, ast.Name) or not tree.keywords:
        raise reader.source.error(tree, "project takes a parameter, and changes of parameters by their names", hint)
    for name in (whole.id, *(part.arg for part in tree.keywords)):
        if name not in reader.quantities or reader.quantities[name].role != "parameter":
            raise reader.source.error(tree, f"{name} is not a parameter", hint)
    names = tuple(part.arg for part in tree.keywords)
    shape = reader.quantities[whole.id].shape
    values = [reader.node(part.value) for part in tree.keywords]
    return reader.build(lambda *parts: arrays.Project(whole.id, shape, names, *parts), tree, *values)  # type: ignore[arg-type]


def _plain(kind: Callable[..., Node], count: int) -> Callable[[Reader, ast.Call], Node]:
    return lambda reader, tree: reader.build(kind, tree, *arguments(reader, tree, count))


def _elementwise(name: str) -> Callable[[Reader, ast.Call], Node]:
    return _plain(lambda *operands: Apply(name, *operands), FUNCTIONS[name].arity)


CALLS: dict[str, Callable[[Reader, ast.Call], Node]] = {
    **{name: _elementwise(name) for name in FUNCTIONS},
    "where": _where,
    "softmax": _plain(arrays.Softmax, 1),
    "log_softmax": _plain(arrays.LogSoftmax, 1),
    "logsumexp": _plain(arrays.LogSumExp, 1),
    "layer_norm": _plain(arrays.LayerNorm, 1),
    "mean": _plain(arrays.Mean, 1),
    "norm2": _plain(arrays.Norm2, 1),
    "diag": _plain(arrays.Diag, 1),
    "transpose": _plain(Transpose, 1),
    "each": _plain(temporal.Each, 1),
    "stop_gradient": _plain(temporal.StopGradient, 1),
    "surrogate": _plain(Surrogate, 3),
    "dot": _plain(arrays.Dot, 2),
    "outer": _plain(arrays.Outer, 2),
    "cross_entropy": _plain(arrays.CrossEntropy, 2),
    "onehot": _onehot,
    "kron": _plain(flattening.Kron, 2),
    "sum": _sum,
    "within": _within,
    "concat": _concat,
    "zeros": _filled(arrays.Zeros, "zeros(n) or zeros(n, m)", (1, 2)),
    "ones": _filled(arrays.Ones, "ones(n) or ones(n, m)", (1, 2)),
    "eye": _filled(arrays.Eye, "eye(n)", (1,)),
    "pad": _pad,
    "reshape": _reshape,
    "project": _project,
    "slope": _slope,
}
INSIDE_LAMBDAS = frozenset([*FUNCTIONS, "where", "slope", "stop_gradient", "surrogate"])
