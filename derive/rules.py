"""Rules: one adjoint rule and one tangent rule for each type of node, as a table.

adjoint(node, g) -> (operand, what g sends to it) for every operand that gets something; g has the node's shape.
tangent(node, tangents) -> the node's tangent from its operands' (None where an operand has none).
Sums over time and windows change the place of an expression in time; `derive.adjoint` gives them theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sympy as sp

from derive import arrays as A
from derive import flattening, jacobians, temporal
from derive.arithmetic import (
    Abstract,
    Add,
    Apply,
    Div,
    MatMul,
    Mul,
    Neg,
    Pow,
    Surrogate,
    Transpose,
    Where,
    add,
    negate,
    quotient,
    scale,
)  # fmt: skip
from derive.errors import RecurrenceError
from derive.functions import FUNCTIONS
from derive.nodes import Node, Number

Sent = list[tuple[Node, Node]]
Tangents = Sequence[Node | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A node type's two rules and the sentence that explains them."""

    adjoint: Callable[[Node, Node], Sent]
    tangent: Callable[[Node, Tangents], Node | None]
    because: str


def transpose(node: Node) -> Node:
    """The transpose, with double transposes and transposed outer products undone."""
    if isinstance(node, Transpose):
        return node.args[0]
    return A.Outer(*node.args[::-1]) if isinstance(node, A.Outer) else Transpose(node)


def _filled(node: Node, like: Node) -> Node:
    return A.filled(node, like.shape)


# -- arithmetic


def _add_tangent(node: Node, d: Tangents) -> Node | None:
    terms = [part for part in d if part is not None]
    return _filled(add(terms), node) if terms else None


def _mul_others(node: Node, index: int) -> Node:
    others = [arg for place, arg in enumerate(node.args) if place != index]
    return others[0] if len(others) == 1 else Mul(*others)


def _mul(node: Node, g: Node) -> Sent:
    return [(arg, jacobians.fold(arg, jacobians.times(_mul_others(node, i), g))) for i, arg in enumerate(node.args)]


def _mul_tangent(node: Node, d: Tangents) -> Node | None:
    terms = [scale(_mul_others(node, i), part) for i, part in enumerate(d) if part is not None]
    return _filled(add(terms), node) if terms else None


def _div(node: Node, g: Node) -> Sent:
    a, b = node.args
    return [(a, jacobians.fold(a, quotient(g, b))), (b, jacobians.fold(b, negate(Div(jacobians.times(node, g), b))))]


def _div_tangent(node: Node, d: Tangents) -> Node | None:
    terms = ([d[0]] if d[0] is not None else []) + ([negate(scale(node, d[1]))] if d[1] is not None else [])
    return Div(_filled(add(terms), node), node.args[1]) if terms else None


def _pow_slope(node: Pow) -> Node:
    base, exponent = node.args[0], node.exponent
    if exponent == 2:
        return Mul(Number(2), base)
    if exponent < 0:
        return scale(Number(exponent), Div(node, base))
    lowered = Pow(base, Number(exponent - 1)) if exponent != 1 else Number(1)
    return scale(Number(exponent), lowered)


def _apply_slopes(node: Node) -> list[Node]:
    if isinstance(node, Abstract):
        return [Abstract(node.name, node.order + 1, node.operands[0])]
    return [slope(node.operands, node) for slope in FUNCTIONS[node.name].slopes]


def _apply(node: Node, g: Node) -> Sent:
    slopes = zip(node.operands, _apply_slopes(node), strict=True)
    return [(arg, jacobians.fold(arg, jacobians.times(slope, g))) for arg, slope in slopes if slope != Number(0)]


def _apply_tangent(node: Node, d: Tangents) -> Node | None:
    slopes = zip(_apply_slopes(node), d, strict=True)
    terms = [scale(slope, part) for slope, part in slopes if part is not None and slope != Number(0)]
    return _filled(add(terms), node) if terms else None


def _surrogate(node: Surrogate, g: Node) -> Sent:
    _, slope, argument = node.operands
    return [(argument, jacobians.fold(argument, jacobians.times(slope, g)))]


def _surrogate_tangent(node: Surrogate, d: Tangents) -> Node | None:
    return None if d[2] is None else _filled(scale(node.operands[1], d[2]), node)


def _where(node: Where, g: Node) -> Sent:
    a, b, x, y = node.operands
    zero = Number(0)
    return [(x, jacobians.fold(x, Where(node.relation, a, b, g, zero))), (y, jacobians.fold(y, Where(node.relation, a, b, zero, g)))]


def _where_tangent(node: Where, d: Tangents) -> Node | None:
    a, b = node.operands[:2]
    if d[2] is None and d[3] is None:
        return None
    return _filled(Where(node.relation, a, b, *(part if part is not None else Number(0) for part in d[2:])), node)


# -- products


def _matmul(node: Node, g: Node) -> Sent:
    a, b = node.args
    to_a = A.Outer(g, b) if len(b.shape) == 1 else MatMul(g, transpose(b))
    return [(a, to_a), (b, MatMul(transpose(a), g))]


def _bilinear_tangent(node: Node, d: Tangents) -> Node | None:
    a, b = node.args
    terms = ([node.func(d[0], b)] if d[0] is not None else []) + ([node.func(a, d[1])] if d[1] is not None else [])
    return add(terms) if terms else None


def _linear_tangent(node: Node, d: Tangents) -> Node | None:
    return None if d[0] is None else node.func(d[0], *node.args[1:])


# -- vectors


def _concat(node: Node, g: Node) -> Sent:
    sent, start = [], sp.S.Zero
    for arg in node.args:
        stop = sp.expand(start + arg.shape[0])
        spec = [(start, stop), *((sp.S.Zero, size) for size in arg.shape[1:])]
        sent.append((arg, A.Slice(g, sp.Tuple(*(sp.Tuple(*axis) for axis in spec)))))
        start = stop
    return sent


def _concat_tangent(node: Node, d: Tangents) -> Node | None:
    if all(part is None for part in d):
        return None
    return A.Concat(*(part if part is not None else A.Zeros(*arg.shape) for part, arg in zip(d, node.args, strict=True)))


def _slice(node: A.Slice, g: Node) -> Sent:
    operand = node.args[0]
    if all(len(axis) == 2 for axis in node.spec) or len(operand.shape) == 1:
        return [(operand, A.Pad(g, sp.Tuple(*(sp.Tuple(axis[0], size) for axis, size in zip(node.spec, operand.shape, strict=True)))))]
    sides: list[Node] = []
    kept = [i for i, axis in enumerate(node.spec) if len(axis) == 2]
    for i, (axis, size) in enumerate(zip(node.spec, operand.shape, strict=True)):
        part = g if i in kept else Number(1)
        sides.append(A.Pad(part, sp.Tuple(sp.Tuple(axis[0], size))))
    return [(operand, A.Outer(*sides) if kept else jacobians.times(g, A.Outer(*sides)))]


def _pad(node: A.Pad, g: Node) -> Sent:
    operand = node.args[0]
    if not operand.shape:
        return [(operand, A.Slice(g, sp.Tuple(sp.Tuple(node.spec[0][0]))))]
    spec = [(start, sp.expand(start + size)) for (start, _), size in zip(node.spec, operand.shape, strict=True)]
    return [(operand, A.Slice(g, sp.Tuple(*(sp.Tuple(*axis) for axis in spec))))]


def _project(node: A.Project, g: Node) -> Sent:
    return [(value, A.Project(name, value.shape, (node.name,), g)) for name, value in zip(node.names, node.operands, strict=True)]


def _project_tangent(node: A.Project, d: Tangents) -> Node | None:
    moved = [(name, part) for name, part in zip(node.names, d, strict=True) if part is not None]
    return A.Project(node.name, node.shape, tuple(name for name, _ in moved), *(part for _, part in moved)) if moved else None


def _nothing(node: Node, g: Node) -> Sent:
    return []


def _map_linear(send: Callable[[Node, Node], Node], because: str) -> Rule:
    return Rule(lambda node, g: [(node.args[0], send(node, g))], _linear_tangent, because)


def _map_slope(slope: Callable[[Node, Node], Node], because: str) -> Rule:
    """A symmetric Jacobian: one expression serves both directions."""
    return Rule(lambda node, g: [(node.args[0], slope(node, g))], lambda node, d: None if d[0] is None else slope(node, d[0]), because)


RULES: dict[type, Rule] = {
    Add: Rule(
        lambda node, g: [(arg, jacobians.fold(arg, g)) for arg in node.args], _add_tangent, "a sum passes the adjoint on to every term"
    ),
    Neg: _map_linear(lambda node, g: negate(g), "the sign is kept"),
    Mul: Rule(_mul, _mul_tangent, "each factor receives the adjoint times the other factors"),
    Div: Rule(_div, _div_tangent, "quotient rule, through the quotient's own value"),
    Pow: Rule(
        lambda node, g: [(node.args[0], jacobians.fold(node.args[0], jacobians.times(_pow_slope(node), g)))],
        lambda node, d: None if d[0] is None else scale(_pow_slope(node), d[0]),
        "power rule",
    ),
    Apply: Rule(_apply, _apply_tangent, "the slope of the function, written through its output"),
    Abstract: Rule(_apply, _apply_tangent, "the slope of the abstract function"),
    Where: Rule(_where, _where_tangent, "the branch that was taken receives the adjoint"),
    Surrogate: Rule(_surrogate, _surrogate_tangent, "the slope that was chosen, in place of the value's own"),
    MatMul: Rule(_matmul, _bilinear_tangent, "a product sends the transposed matrix times the adjoint; its matrix, an outer product"),
    Transpose: _map_linear(lambda node, g: transpose(g), "the transpose of the adjoint"),
    A.Outer: Rule(
        lambda node, g: [(node.args[0], MatMul(g, node.args[1])), (node.args[1], MatMul(transpose(g), node.args[0]))],
        _bilinear_tangent,
        "an outer product sends the adjoint times the other vector",
    ),
    A.Dot: Rule(
        lambda node, g: [(node.args[0], jacobians.times(g, node.args[1])), (node.args[1], jacobians.times(g, node.args[0]))],
        _bilinear_tangent,
        "each side receives the other",
    ),
    A.Norm2: Rule(
        lambda node, g: [(node.args[0], jacobians.times(scale(Number(2), node.args[0]), g))],
        lambda node, d: None if d[0] is None else scale(Number(2), A.Dot(node.args[0], d[0])),
        "the slope of a sum of squares",
    ),
    A.Sum: _map_linear(lambda node, g: A.filled(g, node.args[0].shape), "every component receives the adjoint"),
    A.Mean: _map_linear(
        lambda node, g: A.filled(quotient(g, Number(sp.Mul(*node.args[0].shape))), node.args[0].shape), "every component receives its share"
    ),
    A.Softmax: _map_slope(lambda node, g: jacobians.softmax(node, g)[0][1], "the Jacobian of softmax, diag(y) - y y'"),
    A.LogSoftmax: Rule(
        jacobians.log_softmax,
        lambda node, d: None if d[0] is None else Add(d[0], Neg(jacobians.last_sum(Mul(A.Softmax(node.args[0]), d[0])))),
        "the Jacobian of log softmax",
    ),
    A.LogSumExp: Rule(jacobians.logsumexp, jacobians.logsumexp_tangent, "the slope of log sum exp is softmax"),
    A.LayerNorm: _map_slope(jacobians.layer_norm_slope, "the Jacobian of the normalisation, through its output"),
    A.CrossEntropy: Rule(jacobians.cross_entropy, jacobians.cross_entropy_tangent, "with softmax, the slope of the fused form is y Σd - d"),
    A.Concat: Rule(_concat, _concat_tangent, "each part receives its slice"),
    A.Slice: Rule(_slice, _linear_tangent, "a slice's adjoint is placed into zeros"),
    A.Pad: Rule(_pad, _linear_tangent, "what was placed into zeros receives its slice"),
    A.Diag: _map_linear(lambda node, g: A.Diag(g), "the diagonal of the adjoint"),
    flattening.Reshape: Rule(flattening.reshape_adjoint, _linear_tangent, "the adjoint in the old shape"),
    flattening.Kron: Rule(flattening.kron_adjoint, _bilinear_tangent, "each factor receives the adjoint times the other, summed"),
    A.Project: Rule(_project, _project_tangent, "a projection is its own adjoint"),
    temporal.Each: _map_linear(lambda node, g: g, "one for each sequence; the total sums them"),
    temporal.StopGradient: Rule(_nothing, lambda node, d: None, "nothing flows back through stop_gradient"),
    A.Zeros: Rule(_nothing, lambda node, d: None, "a constant"),
    A.Ones: Rule(_nothing, lambda node, d: None, "a constant"),
    A.Eye: Rule(_nothing, lambda node, d: None, "a constant"),
    Number: Rule(_nothing, lambda node, d: None, "a constant"),
}


def differentiated(node: Node) -> tuple[Node, ...]:
    """The operands a rule sees: a node's own, but of a fused cross entropy the softmax's argument."""
    if isinstance(node, A.CrossEntropy) and isinstance(node.args[1], A.Softmax):
        return node.args[0], node.args[1].args[0]
    return node.operands


def rule(node: Node) -> Rule:
    """The rules of a node's type. Raises RecurrenceError naming a type without any."""
    try:
        return RULES[type(node)]
    except KeyError:
        raise RecurrenceError(f"no derivative rule for {type(node).__name__}: {node.source()[:80]}") from None
