"""The calculus' nodes: functions of whole vectors and matrices.

Input: nodes. Output: nodes.
"""

from __future__ import annotations

import sympy as sp
from sympy.core.symbol import Str

from derive.arithmetic import Mul, common_shape, joint_kind, same_shape
from derive.errors import ShapeError
from derive.nodes import Kind, Node, Number, Shape, shape_text
from derive.sizes import size_text

EPSILON = sp.Rational(1, 100000)  # what layer_norm adds to the variance


class Function(Node):
    """A function written as `name(operands)`."""

    name = ""

    def text(self) -> str:
        """`name(a, b)`."""
        return f"{self.name}({', '.join(arg.source() for arg in self.operands)})"


class Reduction(Function):
    """All components to a scalar."""

    def infer(self) -> tuple[Shape, Kind]:
        """A scalar."""
        common_shape(self.operands)
        return (), joint_kind(self.operands)


class Sum(Reduction):
    """The sum of all components."""

    name = "sum"


class Mean(Reduction):
    """The mean of all components."""

    name = "mean"


class Norm2(Reduction):
    """The sum of squares of all components."""

    name = "norm2"


class PairReduction(Reduction):
    """Two arrays of one shape to a scalar."""

    def infer(self) -> tuple[Shape, Kind]:
        """A scalar; the shapes must be equal."""
        a, b = self.operands
        if not same_shape(a.shape, b.shape):
            raise ShapeError(
                f"{self.name} takes two arrays of one shape: {a.source()} is {shape_text(a.shape)}, {b.source()} is {shape_text(b.shape)}"
            )
        return (), joint_kind(self.operands)


class Dot(PairReduction):
    """The sum of products of components."""

    name = "dot"


class CrossEntropy(PairReduction):
    """-Σ d log y; with y = softmax(z) written in place, in its stable fused form."""

    name = "cross_entropy"


class RowFunction(Function):
    """A function along the last axis that keeps the shape."""

    def infer(self) -> tuple[Shape, Kind]:
        """The operand's shape."""
        (a,) = self.operands
        if not a.shape:
            raise ShapeError(f"{self.name} takes a vector or a matrix; {a.source()} is a scalar")
        return a.shape, a.kind


class Softmax(RowFunction):
    """exp(a) over its sum."""

    name = "softmax"


class LogSoftmax(RowFunction):
    """a - logsumexp(a)."""

    name = "log_softmax"


class LayerNorm(RowFunction):
    """(a - mean) / sqrt(variance + 1e-5), without gain."""

    name = "layer_norm"


class LogSumExp(Function):
    """log Σ exp(a) along the last axis."""

    name = "logsumexp"

    def infer(self) -> tuple[Shape, Kind]:
        """Without the last axis."""
        (a,) = self.operands
        if not a.shape:
            raise ShapeError(f"logsumexp takes a vector or a matrix; {a.source()} is a scalar")
        return a.shape[:-1], a.kind


class Outer(Function):
    """Vector times vector: a b'."""

    name = "outer"

    def infer(self) -> tuple[Shape, Kind]:
        """(n) and (m) give (n, m)."""
        for a in self.operands:
            if len(a.shape) != 1:
                raise ShapeError(f"outer takes two vectors; {a.source()} is {shape_text(a.shape)}")
        return tuple(a.shape[0] for a in self.operands), joint_kind(self.operands)


class Concat(Function):
    """Arrays joined along the first axis."""

    name = "concat"

    def infer(self) -> tuple[Shape, Kind]:
        """The first dims add; the others must agree."""
        first = self.operands[0]
        for a in self.operands:
            if not a.shape or not same_shape(a.shape[1:], first.shape[1:]):
                raise ShapeError(f"concat takes vectors, or matrices of equal width; {a.source()} is {shape_text(a.shape)}")
        return (sp.expand(sum(a.shape[0] for a in self.operands)), *first.shape[1:]), joint_kind(self.operands)


class Diag(Function):
    """A vector as a diagonal matrix, or a square matrix's diagonal."""

    name = "diag"

    def infer(self) -> tuple[Shape, Kind]:
        """(n) gives (n, n) and the reverse."""
        (a,) = self.operands
        if len(a.shape) == 1:
            return a.shape * 2, a.kind
        if len(a.shape) != 2 or not same_shape(a.shape[:1], a.shape[1:]):
            raise ShapeError(f"diag takes a vector or a square matrix; {a.source()} is {shape_text(a.shape)}")
        return a.shape[:1], a.kind


class Filled(Function):
    """A constant array of a given shape."""

    def infer(self) -> tuple[Shape, Kind]:
        """The sizes given."""
        return tuple(self.args), Kind.SHARED

    def text(self) -> str:
        """`zeros(n, m)`."""
        return f"{self.name}({', '.join(map(size_text, self.args))})"


class Zeros(Filled):
    """Zeros."""

    name = "zeros"


class Ones(Filled):
    """Ones."""

    name = "ones"


class Eye(Filled):
    """The identity matrix."""

    name = "eye"

    def infer(self) -> tuple[Shape, Kind]:
        """(n, n)."""
        return (self.args[0],) * 2, Kind.SHARED


class Slice(Node):
    """Components of an array; each axis has (start, stop), or (index,) and is dropped."""

    def __new__(cls, operand: Node, spec: sp.Tuple) -> Slice:
        """Build from an array and one Tuple for each axis."""
        return super().__new__(cls, operand, sp.Tuple(*(sp.Tuple(*axis) for axis in spec)))

    @property
    def spec(self) -> tuple[tuple[sp.Expr, ...], ...]:
        """(start, stop) or (index,) for each axis."""
        return tuple(tuple(axis) for axis in self.args[1])

    def infer(self) -> tuple[Shape, Kind]:
        """The lengths of the axes that are kept."""
        a = self.operands[0]
        if len(self.spec) != len(a.shape):
            raise ShapeError(f"{a.source()} is {shape_text(a.shape)} and takes {len(a.shape)} slices, not {len(self.spec)}")
        for axis, size in zip(self.spec, a.shape, strict=True):
            room = sp.expand(size - (axis[-1] if len(axis) == 2 else axis[0] + 1))
            if axis[0].is_negative or room.is_negative or (len(axis) == 2 and sp.expand(axis[1] - axis[0]).is_negative):
                raise ShapeError(f"the slice [{':'.join(map(size_text, axis))}] leaves {a.source()}, {shape_text(a.shape)}")
        return tuple(sp.expand(axis[1] - axis[0]) for axis in self.spec if len(axis) == 2), a.kind

    def text(self) -> str:
        """`z[t][0:n]`."""
        return f"{self.args[0].source(4)}[{', '.join(':'.join(map(size_text, axis)) for axis in self.spec)}]"


class Pad(Node):
    """An array placed into zeros: one (start, size) for each axis of the result; a scalar goes into a vector.

    The adjoint of a slice, and the one function that slices need for the language to be closed.
    """

    def __new__(cls, operand: Node, spec: sp.Tuple) -> Pad:
        """Build from an array and (start, size) for each axis."""
        return super().__new__(cls, operand, sp.Tuple(*(sp.Tuple(*axis) for axis in spec)))

    spec = Slice.spec

    def infer(self) -> tuple[Shape, Kind]:
        """The sizes given."""
        a = self.operands[0]
        if len(a.shape) != len(self.spec) and not (not a.shape and len(self.spec) == 1):
            raise ShapeError(f"pad takes a start and a size for each axis of {a.source()}, {shape_text(a.shape)}")
        return tuple(size for _, size in self.spec), a.kind

    def text(self) -> str:
        """`pad(v, 0, 2*n)`."""
        return f"pad({', '.join([self.args[0].source(), *(size_text(part) for axis in self.spec for part in axis)])})"


class Project(Node):
    """A parameter's part of the projection of values onto the directions that the recurrence's constraints allow.

    The values stand for changes of the parameters named with them; those of the same constraints that are not named do
    not change. Linear and self-adjoint, so that its tangent and its adjoint are projections too.
    """

    def __new__(cls, name: Str | str, shape: Shape | sp.Tuple, names: sp.Tuple | tuple[Str | str, ...], *values: Node) -> Project:
        """Build from a parameter, its shape, and one value for each of some parameters."""
        as_str = [part if isinstance(part, Str) else Str(part) for part in (name, *names)]
        return super().__new__(cls, as_str[0], sp.Tuple(*shape), sp.Tuple(*as_str[1:]), *values)

    @property
    def name(self) -> str:
        """The parameter whose part it is."""
        return self.args[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters whose changes are given, in the order of the operands."""
        return tuple(name.name for name in self.args[2])

    def infer(self) -> tuple[Shape, Kind]:
        """The shape of the parameter; constraints know nothing of sequences."""
        for operand in self.operands:
            if operand.kind != Kind.SHARED:
                raise ShapeError(f"project takes changes of parameters; {operand.source()} differs from sequence to sequence")
        return tuple(self.args[1]), Kind.SHARED

    def text(self) -> str:
        """`project(W, W = W_free_bar)`."""
        given = (f"{name} = {value.source()}" for name, value in zip(self.names, self.operands, strict=True))
        return f"project({', '.join([self.name, *given])})"


def filled(node: Node, shape: Shape) -> Node:
    """The node, spread over the shape where it is a scalar."""
    if node.shape or not shape:
        return node
    if isinstance(node, Number) and node.value in (0, 1):
        return (Zeros if node.value == 0 else Ones)(*shape)
    return Mul(node, Ones(*shape))
