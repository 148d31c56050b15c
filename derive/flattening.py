"""The calculus' nodes that flatten: an array in another shape, and the Kronecker product. What they send back.

Input: nodes. Output: nodes. The derivative of a vector by a matrix would be an array of order three; with the matrix
flattened row by row it is a matrix, and the direct part of W @ h becomes kron(eye(n), h).
"""

from __future__ import annotations

import sympy as sp

from derive.arithmetic import MatMul, Mul, Transpose, joint_kind, same_shape
from derive.arrays import Eye, Function, Ones
from derive.errors import ShapeError
from derive.nodes import Kind, Node, Shape, shape_text
from derive.sizes import size_text

Sent = list[tuple[Node, Node]]


def count(shape: Shape) -> sp.Expr:
    """The number of components of an array of this shape."""
    return sp.expand(sp.Mul(*shape))


class Reshape(Node):
    """The components of an array, row by row, in another shape."""

    def __new__(cls, operand: Node, sizes: sp.Tuple | Shape) -> Reshape:
        """Build from an array and the sizes of the result."""
        return super().__new__(cls, operand, sp.Tuple(*sizes))

    def infer(self) -> tuple[Shape, Kind]:
        """The sizes given; there must be as many components."""
        a, sizes = self.args[0], tuple(self.args[1])
        if not a.shape or not sizes or not same_shape((count(a.shape),), (count(sizes),)):
            raise ShapeError(
                f"{a.source()} is {shape_text(a.shape)} and cannot become {shape_text(sizes)}",
                "a vector or matrix takes a shape of as many components",
            )
        return sizes, a.kind

    def text(self) -> str:
        """`reshape(v, n, m)`."""
        return f"reshape({', '.join([self.args[0].source(), *map(size_text, self.args[1])])})"


class Kron(Function):
    """The Kronecker product, blocks a[i, j] b; a vector counts as one row, and two vectors give a vector."""

    name = "kron"

    def infer(self) -> tuple[Shape, Kind]:
        """(a, b) and (c, d) give (a c, b d)."""
        for a in self.operands:
            if not a.shape:
                raise ShapeError(f"kron takes vectors or matrices; {a.source()} is a scalar", "a scalar factor is written a*B")
        (a, b), (c, d) = (as_rows(arg.shape) for arg in self.operands)
        whole = tuple(sp.expand(size) for size in (a * c, b * d))
        return whole[1:] if all(len(arg.shape) == 1 for arg in self.operands) else whole, joint_kind(self.operands)


def as_rows(shape: Shape) -> Shape:
    """The shape of a matrix; that of a vector as one row."""
    return shape if len(shape) == 2 else (sp.S.One, *shape)


def flat(node: Node) -> Node:
    """The components as a vector, row by row."""
    if isinstance(node, Ones):
        return Ones(count(node.shape))
    return node if len(node.shape) == 1 else reshaped(node, (count(node.shape),))


def reshaped(node: Node, shape: Shape) -> Node:
    """The components in a shape; in their own they stay as they are, and of two changes the last one counts."""
    inner = node.args[0] if isinstance(node, Reshape) else node
    return inner if same_shape(inner.shape, shape) else Reshape(inner, shape)


def reshape_adjoint(node: Node, g: Node) -> Sent:
    """What a change of shape sends back: the adjoint in the old shape."""
    return [(node.args[0], reshaped(g, node.args[0].shape))]


def kron_adjoint(node: Node, g: Node) -> Sent:
    """What a Kronecker product sends back: to each factor, the adjoint times the other, summed over what the other spans."""
    a, b = node.args
    if len(node.shape) == 1:
        square = Reshape(g, (*a.shape, *b.shape))
        return [(a, MatMul(square, b)), (b, MatMul(Transpose(square), a))]
    (rows, columns), (below, beside) = as_rows(a.shape), as_rows(b.shape)
    to_a = MatMul(Mul(g, Kron(Ones(*a.shape), b)), Transpose(Kron(Eye(columns), Ones(beside))))
    if len(a.shape) == 1:
        to_a = MatMul(Transpose(to_a), Ones(below))
    elif len(b.shape) == 2:
        to_a = MatMul(Kron(Eye(rows), Ones(below)), to_a)
    to_b = MatMul(Mul(g, Kron(a, Ones(*b.shape))), Transpose(Kron(Ones(columns), Eye(beside))))
    if len(b.shape) == 1:
        to_b = MatMul(Transpose(to_b), Ones(rows))
    elif len(a.shape) == 2:
        to_b = MatMul(Kron(Ones(rows), Eye(below)), to_b)
    return [(a, to_a), (b, to_b)]
