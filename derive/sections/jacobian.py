"""Blocks of the Jacobian: an expression and a read in it -> its derivative, as signed products of matrices."""

from __future__ import annotations

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Abstract, Add, Apply, Div, MatMul, Mul, Neg, Surrogate
from derive.nodes import At, Node, Pick, Quantity
from derive.recurrence import reads
from derive.sections.boxes import (
    ONE,
    Big,
    Box,
    Call,
    Fence,
    Fraction,
    Listing,
    Name,
    Script,
    operator,
    row,
    terms,
    with_index,
)
from derive.sections.notation import Notation, size

Leaf = At | Pick | Quantity
Product = tuple[bool, tuple[Box, ...]]


def diagonal(box: Box) -> Box:
    """A vector as a diagonal matrix."""
    return Call(operator("diag"), (box,))


def jacobian(notation: Notation, node: Node, leaf: Leaf) -> list[Product] | None:
    """The derivative of a scalar or vector by a read in it; None where it has no form as a product of matrices."""
    if node == leaf:
        return [(False, ())]
    if leaf not in reads(node) or isinstance(node, temporal.StopGradient) and not isinstance(node, (temporal.Each, temporal.Argument)):
        return []
    match node:
        case Add():
            parts = [jacobian(notation, term, leaf) for term in node.args]
            return None if any(part is None for part in parts) else [entry for part in parts for entry in part]  # type: ignore[union-attr]
        case Neg():
            inner = jacobian(notation, node.args[0], leaf)
            return None if inner is None else [(not negative, factors) for negative, factors in inner]
        case MatMul() if leaf not in reads(node.args[0]) and len(node.shape) == 1:
            return _before(notation.box(node.args[0]), jacobian(notation, node.args[1], leaf))
        case Mul():
            return _product(notation, node, leaf)
        case Div() if leaf not in reads(node.args[1]) and not node.args[1].shape and node.args[0].shape == node.shape:
            return _before(Fraction(ONE, notation.box(node.args[1])), jacobian(notation, node.args[0], leaf))
        case Apply() | Abstract() if len(node.operands) == 1 and len(node.shape) < 2:
            slope = Call(notation.applied(node, getattr(node, "order", 0) + 1), (notation.box(node.operands[0]),))
            return _before(diagonal(slope) if node.shape else slope, jacobian(notation, node.operands[0], leaf))
        case Surrogate() if len(node.shape) < 2:
            slope = notation.box(node.operands[1])
            return _before(diagonal(slope) if node.shape else slope, jacobian(notation, node.operands[2], leaf))
        case A.Concat() if len(node.shape) == 1:
            return _stacked(notation, node, leaf)
        case A.Slice() if len(node.shape) == len(node.args[0].shape) == 1:
            inner = jacobian(notation, node.args[0], leaf)
            rows = Listing(tuple(size(part) for part in node.spec[0]), ":")
            return (
                None if inner is None else [(False, (Script(Fence(_matrix(notation, inner, True), "()"), sub=rows),))]
            )
        case temporal.Each() | temporal.Argument():
            return jacobian(notation, node.args[0], leaf)
    return None


def _matrix(notation: Notation, products: list[Product], vector: bool) -> Box:
    unit = notation.identity if vector else ONE
    return terms(*((negative, row(*factors) if factors else unit) for negative, factors in products))


def _stacked(notation: Notation, node: A.Concat, leaf: Leaf) -> list[Product] | None:
    found = [jacobian(notation, arg, leaf) for arg in node.args]
    if any(part is None for part in found):
        return None
    return [(False, (Fence(Listing(tuple(_matrix(notation, part, True) for part in found), ";"), "[]"),))]  # type: ignore[arg-type]


def _before(factor: Box, inner: list[Product] | None) -> list[Product] | None:
    return None if inner is None else [(negative, (factor, *factors)) for negative, factors in inner]


def _product(notation: Notation, node: Mul, leaf: Leaf) -> list[Product] | None:
    if len(node.shape) > 1:
        return None
    found: list[Product] = []
    for place, arg in enumerate(node.args):
        if leaf not in reads(arg):
            continue
        if arg.shape != node.shape:
            return None
        others = [other for i, other in enumerate(node.args) if i != place]
        rest = others[0] if len(others) == 1 else Mul(*others)
        factor = notation.box(rest)
        inner = _before(diagonal(factor) if rest.shape else factor, jacobian(notation, arg, leaf))
        if inner is None:
            return None
        found += inner
    return found


def component(notation: Notation, node: Node, letter: Name, inner: Name | None) -> Box | None:
    """A component of a vector, written with indices, `inner` running in a product; None where it has no such form."""
    if not node.shape:
        return notation.box(node)
    if len(node.shape) > 1:
        return None
    match node:
        case At() | Pick() | Quantity():
            box = notation.box(node)
            return with_index(box, letter) if isinstance(box, (Name, Call)) else None
        case MatMul() if isinstance(node.args[0], Quantity) and inner is not None:
            part = component(notation, node.args[1], inner, None)
            return (
                None
                if part is None
                else Big(inner, None, row(with_index(Name(node.args[0].name), letter, inner), part))
            )
        case Mul():
            parts = [component(notation, arg, letter, None) for arg in node.args]
            return None if any(part is None for part in parts) else row(*parts)  # type: ignore[arg-type]
    return None
