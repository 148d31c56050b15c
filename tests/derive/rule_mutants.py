"""Wrong rules: what a row of the table sends to one operand, changed by each operator in turn.

A mutant changes a rule wherever it is applied; what the rule was given, the adjoint and the operands, is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import sympy as sp

from derive import arrays as A
from derive.arithmetic import Add, Div, MatMul, Mul, Neg, Pow, Transpose, Where, add, same_shape
from derive.errors import ShapeError
from derive.flattening import Kron
from derive.nodes import At, Node, Number, Pick, Quantity, walk
from derive.nodes import replace as substitute
from derive.rules import Rule, Sent

Key = tuple[int, str, int]  # an operand, an operator, and which of the places where the operator applies


def mutants(sent: Sent, given: frozenset[Node]) -> Iterator[tuple[Key, Sent]]:
    """Every mutant of what a rule sends. given: the adjoint and the operands, inside which nothing is changed."""
    for place, (operand, value) in enumerate(sent):
        if not any(isinstance(node, (At, Pick, Quantity)) for node in walk(operand)):
            continue  # a number has no adjoint
        yield (place, "dropped", 0), sent[:place] + sent[place + 1 :]
        for other, (_, theirs) in enumerate(sent):
            if other > place and same_shape(value.shape, theirs.shape) and value != theirs:
                swapped = [*sent]
                swapped[place], swapped[other] = (operand, theirs), (sent[other][0], value)
                yield (place, "swapped adjoints", other), swapped
        counts: dict[str, int] = {}
        for operator, changed in _changes(value, given):
            counts[operator] = counts.get(operator, -1) + 1
            if changed != value and same_shape(changed.shape, value.shape):
                yield (place, operator, counts[operator]), [*sent[:place], (operand, changed), *sent[place + 1 :]]


def mutated(rule: Rule, key: Key) -> Rule:
    """The rule with one of its mutants in place of what it sends, wherever that one applies."""
    return replace(rule, adjoint=lambda node, g: dict(_all(rule, node, g)).get(key, rule.adjoint(node, g)))


def recording(rule: Rule, keys: set[Key]) -> Rule:
    """The rule, which notes its mutants as it is applied."""

    def adjoint(node: Node, g: Node) -> Sent:
        keys.update(key for key, _ in _all(rule, node, g))
        return rule.adjoint(node, g)

    return replace(rule, adjoint=adjoint)


def _all(rule: Rule, node: Node, g: Node) -> Iterator[tuple[Key, Sent]]:
    return mutants(rule.adjoint(node, g), frozenset({g, node, *node.operands}))


def _changes(expr: Node, given: frozenset[Node]) -> Iterator[tuple[str, Node]]:
    yield "sign", Neg(expr)
    yield "factor 1.01", Mul(Number(sp.Rational(101, 100)), expr)
    if len(expr.shape) == 2 and not isinstance(expr, A.Diag):
        yield "transpose", Transpose(expr)
    for node in _own(expr, given):
        for operator, build in _at(node, given):
            try:
                yield operator, substitute(expr, {node: build()})
            except (ShapeError, IndexError):
                continue


def _own(expr: Node, given: frozenset[Node]) -> list[Node]:
    """The parts of an expression that the rule made."""
    found: dict[Node, None] = {}
    stack = [expr]
    while stack:
        node = stack.pop()
        if node not in given and node not in found:
            found[node] = None
            stack += node.operands
    return list(found)


def _at(node: Node, given: frozenset[Node]) -> Iterator[tuple[str, Callable[[], Node]]]:
    match node:
        case Add():
            for i, term in enumerate(node.args):
                rest = node.args[:i] + node.args[i + 1 :]
                yield "dropped term", partial(add, list(rest))
                yield "sign of a term", partial(Add, *node.args[:i], Neg(term), *node.args[i + 1 :])
        case Mul():
            for i, factor in enumerate(node.args):
                if not isinstance(factor, A.Ones):
                    yield "dropped factor", partial(_product, [*node.args[:i], *node.args[i + 1 :]])
        case A.Sum() | A.Mean():
            yield "missing sum", partial(_first, node.args[0])
        case A.Dot():
            yield "missing sum", partial(_first, Mul(*node.args))
        case MatMul() | A.Outer() | Div() | Kron():
            yield "swapped operands", partial(node.func, *node.args[::-1])
            if isinstance(node.args[-1], A.Ones) and node.args[-1] not in given:
                yield "missing sum", partial(_first_column, node)
            for i, arg in enumerate(node.args):
                if len(arg.shape) == 2 and not isinstance(arg, A.Eye):
                    yield "transpose", partial(node.func, *node.args[:i], Transpose(arg), *node.args[i + 1 :])
        case Transpose():
            yield "transpose", partial(_inner, node)
        case Pow():
            yield "power", partial(Pow, node.args[0], Number(node.exponent + 1))
        case Where():
            a, b, x, y = node.operands
            yield "swapped operands", partial(Where, node.relation, a, b, y, x)
        case A.Slice() | A.Pad():
            for i, axis in enumerate(node.spec):
                for step in (-1, 1):
                    yield "slice off by one", partial(_moved, node, i, axis, step)
    for operand in node.operands:
        if isinstance(operand, Number) and operand not in given and operand.value.is_Rational and not isinstance(node, Pow):
            yield "wrong number", partial(substitute, node, {operand: Number(operand.value + 1)})


def _inner(node: Node) -> Node:
    return node.args[0]


def _product(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Mul(*factors)


def _first(node: Node) -> Node:
    """The first component, in place of the sum of all."""
    return A.Slice(node, sp.Tuple(*(sp.Tuple(0) for _ in node.shape)))


def _first_column(node: Node) -> Node:
    """The first column, in place of the sum of all."""
    return A.Slice(node.args[0], sp.Tuple(sp.Tuple(0, node.shape[0]), sp.Tuple(0)))


def _moved(node: Node, place: int, axis: tuple[sp.Expr, ...], step: int) -> Node:
    """A slice, or the place of padding, shifted by one along an axis."""
    spec = list(node.spec)
    both = isinstance(node, A.Slice) and len(axis) == 2
    spec[place] = tuple(sp.expand(part + step) for part in axis) if both else (axis[0] + step, *axis[1:])
    if spec[place][0].is_negative or (isinstance(node, A.Pad) and sp.expand(spec[place][1] - spec[place][0]).is_negative):
        raise IndexError
    return node.func(node.args[0], sp.Tuple(*(sp.Tuple(*part) for part in spec)))
