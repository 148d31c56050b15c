"""Jacobians of functions of whole vectors, applied to an adjoint or a tangent; along the last axis for matrices.

Input: a node and what meets it. Output: expressions. The table that uses them is `derive.rules`.
"""

from __future__ import annotations

from collections.abc import Sequence

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Add, Apply, Div, MatMul, Mul, Neg, Pow, add, negate, scale
from derive.nodes import Node, Number

Sent = list[tuple[Node, Node]]
Tangents = Sequence[Node | None]


def times(factor: Node, g: Node) -> Node:
    """Factor * g elementwise; windows stay outermost."""
    if isinstance(g, temporal.Within):
        return temporal.Within(times(factor, g.args[0]), g.window)
    return scale(factor, g)


def fold(operand: Node, g: Node) -> Node:
    """What reaches an operand that was spread over g's shape: the sum of g's components, where the operand is a scalar."""
    if operand.shape or not g.shape:
        return g
    if isinstance(g, Mul) and len(g.args) == 2 and all(arg.shape for arg in g.args):
        return A.Dot(*g.args)
    return A.Sum(g)


def last_sum(node: Node) -> Node:
    """Sums along the last axis, spread over it again (a scalar for vectors)."""
    if len(node.shape) == 1:
        return A.Dot(*node.args) if isinstance(node, Mul) and len(node.args) == 2 and all(a.shape for a in node.args) else A.Sum(node)
    ones = A.Ones(node.shape[-1])
    return A.Outer(MatMul(node, ones), ones)


def last_mean(node: Node) -> Node:
    """Means along the last axis, as last_sum."""
    return Div(last_sum(node), Number(node.shape[-1]))


def softmax(node: Node, g: Node) -> Sent:
    """What softmax sends back: (diag(y) - y y') g."""
    return [(node.args[0], Mul(node, Add(g, Neg(last_sum(Mul(node, g))))))]


def log_softmax(node: Node, g: Node) -> Sent:
    """What log softmax sends back: g - softmax Σg."""
    return [(node.args[0], Add(g, Neg(Mul(A.Softmax(node.args[0]), last_sum(g)))))]


def spread_last(g: Node, like: Node) -> Node:
    """A value for each row, along the row."""
    return g if len(like.shape) == 1 else A.Outer(g, A.Ones(like.shape[-1]))


def logsumexp(node: Node, g: Node) -> Sent:
    """What log sum exp sends back: softmax times g."""
    (z,) = node.args
    return [(z, times(A.Softmax(z), spread_last(g, z)))]


def logsumexp_tangent(node: Node, d: Tangents) -> Node | None:
    """The tangent of log sum exp."""
    if d[0] is None:
        return None
    product = Mul(A.Softmax(node.args[0]), d[0])
    return last_sum(product) if len(product.shape) == 1 else MatMul(product, A.Ones(product.shape[-1]))


def layer_norm_slope(node: Node, g: Node) -> Node:
    """The Jacobian of the normalisation, which is symmetric, applied to g."""
    (a,) = node.args
    centred = Add(a, Neg(last_mean(a)))
    scatter = Apply("sqrt", Add(last_mean(Pow(centred, Number(2))), Number(A.EPSILON)))
    return Div(Add(g, Neg(last_mean(g)), Neg(Mul(node, last_mean(Mul(node, g))))), scatter)


def cross_entropy(node: Node, g: Node) -> Sent:
    """What a cross entropy sends back; with softmax written in place, to the softmax's argument."""
    d, y = node.args
    if isinstance(y, A.Softmax):
        (z,) = y.args
        slope = Add(Mul(y, last_sum(d)), Neg(d))
        return [(d, negate(times(A.LogSoftmax(z), g))), (z, times(slope, g))]
    return [(d, negate(times(Apply("log", y), g))), (y, negate(Div(times(d, g), y)))]


def cross_entropy_tangent(node: Node, d: Tangents) -> Node | None:
    """The tangent of a cross entropy; with softmax written in place, d[1] is that of the softmax's argument."""
    target, y = node.args
    fused = isinstance(y, A.Softmax)
    terms: list[Node] = []
    if d[0] is not None:
        terms.append(Neg(A.Dot(d[0], A.LogSoftmax(y.args[0]) if fused else Apply("log", y))))
    if d[1] is not None:
        terms.append(A.Dot(Add(Mul(y, last_sum(target)), Neg(target)), d[1]) if fused else Neg(A.Dot(target, Div(d[1], y))))
    return add(terms) if terms else None
