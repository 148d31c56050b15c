"""Wrong derivations: one equation of the derived system changed, by each operator in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import sympy as sp

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Add, Div, MatMul, Mul, Neg, Transpose, add, same_shape
from derive.derivation import Derivation
from derive.errors import ShapeError
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, Window, walk
from derive.nodes import replace as substitute
from derive.recurrence import Equation


def mutants(derivation: Derivation) -> Iterator[tuple[str, Derivation]]:
    """Every mutant of every generated equation, with a name."""
    primal = {e.target.source() for e in derivation.primal.equations}
    for equation in derivation.recurrence.equations:
        if equation.target.source() in primal:
            continue
        if isinstance(equation.target, Pick):
            yield f"missing ghost {equation.target.source()}", without(derivation, equation)
            continue
        seen = {equation.expr}
        for operator, expr in changes(equation.expr, derivation):
            if expr not in seen and same_shape(expr.shape, equation.expr.shape) and not _zero(equation.expr):
                seen.add(expr)
                yield (
                    f"{operator} in {equation.target.source()} = {expr.source()}",
                    with_equation(derivation, equation, expr),
                )


def with_equation(derivation: Derivation, equation: Equation, expr: Node) -> Derivation:
    """The derivation with another right side."""
    made = tuple(replace(e, expr=expr) if e is equation else e for e in derivation.recurrence.equations)
    return replace(derivation, recurrence=replace(derivation.recurrence, equations=made))


def without(derivation: Derivation, equation: Equation) -> Derivation:
    """The derivation with an equation left out."""
    made = tuple(e for e in derivation.recurrence.equations if e is not equation)
    return replace(derivation, recurrence=replace(derivation.recurrence, equations=made))


def _same(node: Node) -> Node:
    return node


def _zero(expr: Node) -> bool:
    return isinstance(expr, A.Zeros) or (isinstance(expr, Number) and expr.value == 0)


def changes(expr: Node, derivation: Derivation) -> Iterator[tuple[str, Node]]:
    """An expression with one thing wrong."""
    yield "sign", Neg(expr)
    yield "factor 1.01", Mul(Number(sp.Rational(101, 100)), expr)
    for node in dict.fromkeys(walk(expr)):
        for operator, build in _at(node, derivation):
            try:
                yield operator, substitute(expr, {node: build()})
            except ShapeError:
                continue


def _at(node: Node, derivation: Derivation) -> Iterator[tuple[str, Callable[[], Node]]]:
    match node:
        case Add():
            for i in range(len(node.args)):
                rest = node.args[:i] + node.args[i + 1 :]
                yield "dropped term", partial(add, list(rest))
                yield "sign of a term", partial(Add, *node.args[:i], Neg(node.args[i]), *node.args[i + 1 :])
        case At():
            yield "lag + 1", partial(At, node.quantity, node.lag + 1)
            yield "lag - 1", partial(At, node.quantity, node.lag - 1)
            for other in derivation.recurrence.quantities:
                if other.kind == Kind.TIMED and other != node.quantity and same_shape(other.shape, node.shape):
                    yield "swapped operand", partial(At, other, node.lag)
        case Quantity():
            if len(node.shape) == 2:
                yield "transpose", partial(Transpose, node)
        case Transpose():
            yield "transpose", partial(_same, node.args[0])
        case A.Outer() | MatMul() | Div():
            yield "swapped operands", partial(node.func, *node.args[::-1])
        case temporal.TimeSum() | temporal.Within():
            start, stop = node.window.bounds
            yield "window off by one", partial(node.func, node.args[0], Window((start or 0) + 1, stop))
            yield "window off by one", partial(node.func, node.args[0], Window(start, -1 if stop is None else stop - 1))
