"""Directions: an expression linear in tangents of one direction -> the same expression for every direction at once.

Input: the tangent of an expression, with the tangent of W and of every quantity that depends on W as unknowns. Output:
the derivative by W. Where W has p components, what is a vector (n) becomes a matrix (n, p), a scalar a vector (p), and a
matrix (n, m), its rows laid one after the other, a matrix (n*m, p). Every linear node becomes a product with its matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy as sp

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Add, Div, MatMul, Mul, Neg, Transpose, Where, add, is_number, negate, scale
from derive.errors import RecurrenceError
from derive.flattening import Kron, Reshape, count, flat
from derive.nodes import At, Node, Number, Pick, Quantity, Shape, quantity_of
from derive.rules import transpose

Leaf = At | Pick | Quantity
Known = Callable[[Leaf], Node]


def stacked(shape: Shape, directions: sp.Expr) -> Shape:
    """The shape of the derivative of an array by as many components as there are directions."""
    return (count(shape), directions) if shape else (directions,)


def product(matrix: Node, columns: Node) -> Node:
    """Matrix @ columns; the identity leaves no trace."""
    return matrix if isinstance(columns, A.Eye) else MatMul(matrix, columns)


def along(columns: Node, vector: Node) -> Node:
    """The derivative of a scalar whose derivative by an array is `vector`, flattened: columns.T @ vector."""
    return vector if isinstance(columns, A.Eye) else MatMul(transpose(columns), vector)


def scaled(factor: Node, columns: Node) -> Node:
    """Columns whose rows are multiplied by the components of a factor; by all the same, where it is a scalar."""
    return product(A.Diag(flat(factor)), columns) if factor.shape else scale(factor, columns)


def swapped(rows: sp.Expr, columns: sp.Expr) -> Node:
    """The matrix that turns a flattened (rows, columns) matrix into its flattened transpose."""
    first, second = (flat(A.Eye(size)) for size in (columns, rows))
    wide = Reshape(A.Outer(first, second), (columns, count((columns, rows, rows))))
    return Reshape(Transpose(wide), (count((columns, rows)),) * 2)


def spread(size: sp.Expr) -> Node:
    """The matrix whose product with a flattened (size, size) matrix is its diagonal."""
    return Mul(Kron(A.Eye(size), A.Ones(size)), Kron(A.Ones(size), A.Eye(size)))


def chosen(size: sp.Expr, axis: Sequence[sp.Expr]) -> Node:
    """The rows (start, stop) of an identity matrix, or its row (index,)."""
    if len(axis) == 1:
        return A.Pad(Number(1), sp.Tuple(sp.Tuple(axis[0], size)))
    whole = axis[0] == 0 and sp.expand(axis[1] - size) == 0
    return A.Eye(size) if whole else A.Slice(A.Eye(size), sp.Tuple(sp.Tuple(*axis), sp.Tuple(0, size)))


class Directions:
    """The derivatives of expressions by one array. `known` gives the derivative of an unknown that is read."""

    def __init__(self, size: sp.Expr, unknown: Mapping[Quantity, object], known: Known) -> None:
        self.size, self.unknown, self.known = size, unknown, known

    def enters(self, node: Node) -> bool:
        """Whether a tangent is read in an expression."""
        if isinstance(node, (At, Pick, Quantity)):
            return quantity_of(node) in self.unknown
        return any(self.enters(arg) for arg in node.operands)

    def of(self, node: Node) -> Node:
        """The derivative of an expression. Raises RecurrenceError naming a node without a form for many directions."""
        if isinstance(node, (At, Pick, Quantity)) and self.enters(node):
            return self.known(node)
        if not self.enters(node):
            return A.filled(Number(0), stacked(node.shape, self.size))
        rule = _RULES.get(type(node))
        if rule is None:
            raise RecurrenceError(
                f"no sensitivities through {getattr(node, 'name', type(node).__name__)}: {node.source()[:80].replace(' moves', '')}",
                "derive.gradient has no such limit",
            )
        return rule(self, node)

    def like(self, part: Node, node: Node) -> Node:
        """The derivative of an operand that is spread over the shape of the node."""
        columns = self.of(part)
        return A.Outer(A.Ones(count(node.shape)), columns) if node.shape and not part.shape else columns

    def applied(self, matrix: Node, vector: Node) -> Node:
        """The derivative of matrix @ vector by the tangents in the matrix."""
        rows, columns = matrix.shape
        match matrix:
            case A.Diag() if len(matrix.args[0].shape) == 1:
                return self.of(Mul(vector, matrix.args[0]))
            case A.Outer(args=(first, second)) if self.enters(first):
                return self.of(Mul(A.Dot(second, vector), first))
            case A.Outer(args=(first, second)):
                return self.of(Mul(first, A.Dot(second, vector)))
            case Transpose():
                return product(Kron(vector, A.Eye(rows)), self.of(matrix.args[0]))
        return product(Kron(A.Eye(rows), vector), self.of(matrix))


def _add(d: Directions, node: Node) -> Node:
    return add([d.like(term, node) for term in node.args if d.enters(term)])


def _mul(d: Directions, node: Node) -> Node:
    (place,) = (i for i, arg in enumerate(node.args) if d.enters(arg))
    others = [arg for i, arg in enumerate(node.args) if i != place]
    part, factor = node.args[place], others[0] if len(others) == 1 else Mul(*others)
    if not part.shape and factor.shape:
        return A.Outer(flat(factor), d.of(part))
    return scaled(factor, d.of(part))


def _div(d: Directions, node: Node) -> Node:
    top, bottom = node.args
    if bottom.shape:
        return scaled(Div(Number(1), bottom), d.like(top, node))
    return Div(d.of(top), bottom)


def _where(d: Directions, node: Where) -> Node:
    ones = A.Ones(d.size)
    sides = [A.Outer(flat(side), ones) if side.shape else side for side in node.operands[:2]]
    parts = [part if is_number(part, 0) else d.like(part, node) for part in node.operands[2:]]
    return Where(node.relation, *sides, *parts)


def _matmul(d: Directions, node: MatMul) -> Node:
    left, right = node.args
    if not d.enters(left):
        matrix = left if len(right.shape) == 1 else Kron(left, A.Eye(right.shape[1]))
        return product(matrix, d.of(right))
    if len(right.shape) == 1:
        return d.applied(left, right)
    return product(Kron(A.Eye(left.shape[0]), transpose(right)), d.of(left))


def _outer(d: Directions, node: Node) -> Node:
    left, right = node.args
    if d.enters(left):
        return product(Transpose(Kron(A.Eye(left.shape[0]), right)), d.of(left))
    return product(Transpose(Kron(left, A.Eye(right.shape[0]))), d.of(right))


def _dot(d: Directions, node: Node) -> Node:
    left, right = node.args if d.enters(node.args[1]) else node.args[::-1]
    return along(d.of(right), flat(left)) if left.shape else scale(left, d.of(right))


def _sum(d: Directions, node: Node) -> Node:
    (a,) = node.args
    if isinstance(a, Mul) and len(a.args) == 2 and all(arg.shape for arg in a.args):
        return _dot(d, A.Dot(*a.args))
    return along(d.of(a), A.Ones(count(a.shape))) if a.shape else d.of(a)


def _mean(d: Directions, node: Node) -> Node:
    return Div(_sum(d, node), Number(count(node.args[0].shape)))


def _concat(d: Directions, node: Node) -> Node:
    return A.Concat(*(d.of(arg) for arg in node.args))


def _slice(d: Directions, node: A.Slice) -> Node:
    (a,) = node.operands
    columns = d.of(a)
    if len(a.shape) == 1:
        return A.Slice(columns, sp.Tuple(sp.Tuple(*node.spec[0]), sp.Tuple(0, d.size)))
    sides = [chosen(size, axis) for axis, size in zip(node.spec, a.shape, strict=True)]
    return along(columns, Kron(*sides)) if not node.shape else product(Kron(*sides), columns)


def _pad(d: Directions, node: A.Pad) -> Node:
    (a,) = node.operands
    if not a.shape:
        return A.Outer(A.Pad(Number(1), node.args[1]), d.of(a))
    if len(a.shape) == 1:
        return A.Pad(d.of(a), sp.Tuple(sp.Tuple(*node.spec[0]), sp.Tuple(0, d.size)))
    placed = [chosen(size, (start, start + length)) for (start, size), length in zip(node.spec, a.shape, strict=True)]
    return product(Transpose(Kron(*placed)), d.of(a))


def _diag(d: Directions, node: Node) -> Node:
    matrix = spread(node.args[0].shape[0])
    return product(Transpose(matrix) if len(node.shape) == 2 else matrix, d.of(node.args[0]))


_RULES: dict[type, Callable[[Directions, Node], Node]] = {
    Add: _add,
    Neg: lambda d, node: negate(d.of(node.args[0])),
    Mul: _mul,
    Div: _div,
    Where: _where,
    MatMul: _matmul,
    Transpose: lambda d, node: product(swapped(*node.args[0].shape), d.of(node.args[0])),
    A.Outer: _outer,
    A.Dot: _dot,
    A.Sum: _sum,
    A.Mean: _mean,
    A.Concat: _concat,
    A.Slice: _slice,
    A.Pad: _pad,
    A.Diag: _diag,
    Reshape: lambda d, node: d.of(node.args[0]),
    temporal.Each: lambda d, node: temporal.Each(d.of(node.args[0])),
    temporal.TimeSum: lambda d, node: temporal.TimeSum(d.of(node.args[0]), node.window),
    temporal.Within: lambda d, node: temporal.Within(d.of(node.args[0]), node.window),
}
