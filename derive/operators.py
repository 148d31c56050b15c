"""Python's operators on nodes, and the names with which recurrences are written in Python: `t`, `T`, `steps`.

Input: nodes, ints and Fractions. Output: nodes. Attached here, since the node's class stands below its operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from derive.arithmetic import Add, Apply, Div, MatMul, Mul, Neg, Pow, Transpose, number
from derive.arrays import Slice
from derive.builder import as_shape
from derive.errors import RecurrenceError, ShapeError
from derive.flattening import Reshape
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, Window, shape_text
from derive.nodes import T as T_SYMBOL
from derive.temporal import TimeSum, Within


@dataclass(frozen=True, slots=True)
class Step:
    """The step t plus a lag, as in `h[t-1]`."""

    lag: int = 0

    def __add__(self, lag: int) -> Step:
        return Step(self.lag + lag)

    def __sub__(self, lag: int) -> Step:
        return Step(self.lag - lag)


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps 1..T; slices narrow them."""

    window: Window = Window()

    def __getitem__(self, part: slice) -> Steps:
        return Steps(Window(part.start, part.stop))


t = Step()
T = Number(T_SYMBOL)
steps = Steps()


def sum_over(expression: Node, span: Steps = steps) -> TimeSum:
    """The sum of a timed expression over some steps; `sum(… for t in steps)` in a file."""
    return TimeSum(expression, span.window)


def within(expression: Node, span: Steps) -> Within:
    """The expression at some steps and zero at the others."""
    return Within(expression, span.window)


def reshape(expression: Node, *dims: object) -> Reshape:
    """The components of an array, row by row, in another shape; dims as the builder takes them."""
    return Reshape(expression, as_shape(dims))


def power(base: Node, exponent: object) -> Pow:
    """Base ** exponent, for a constant rational exponent."""
    node = number(exponent)
    if not isinstance(node, Number) or not node.value.is_Rational:
        raise RecurrenceError(f"the exponent {node.source()} is not a number", "write exp(b*log(a)) for a power that varies")
    return Pow(base, node)


def subscript(node: Node, index: object) -> Node:
    """`h[t-1]`, `h[T]`, `h[0]` of what has time; `w[0:n]` of what has none."""
    if isinstance(node, Quantity) and node.kind == Kind.TIMED:
        if isinstance(index, Step):
            return At(node, index.lag)
        return Pick(node, index.value if isinstance(index, Number) else _position(index))
    axes = index if isinstance(index, tuple) else (index,)
    if len(axes) != len(node.shape):
        raise ShapeError(f"{node.source()} is {shape_text(node.shape)} and takes {len(node.shape)} indices of components, not {len(axes)}")
    return Slice(node, sp.Tuple(*(_axis(axis, size) for axis, size in zip(axes, node.shape, strict=True))))


def _position(index: object) -> sp.Expr:
    if isinstance(index, Add):
        return sum((sp.sympify(term.args[0].value * -1 if isinstance(term, Neg) else term.value) for term in index.args), sp.S.Zero)
    return sp.sympify(index)


def _axis(axis: object, size: sp.Expr) -> tuple[sp.Expr, ...]:
    if not isinstance(axis, slice):
        return (_bound(axis, size),)
    start = sp.S.Zero if axis.start is None else _bound(axis.start, size)
    return (start, size if axis.stop is None else _bound(axis.stop, size))


def _bound(bound: object, size: sp.Expr) -> sp.Expr:
    value = sp.sympify(bound.value if isinstance(bound, Number) else bound)
    return sp.expand(size + value) if value.is_negative else value


def _binary(build: object, swap: bool = False) -> object:
    def operator(self: Node, other: object) -> Node:
        left, right = (number(other), self) if swap else (self, number(other))
        return build(left, right)  # type: ignore[operator]

    return operator


def elementwise(name: str) -> object:
    """The function of that name, to call on nodes."""

    def function(*arguments: object) -> Apply:
        return Apply(name, *(number(argument) for argument in arguments))

    function.__name__ = name
    function.__doc__ = f"{name}, elementwise."
    return function


for _name, _build in {
    "add": Add,
    "sub": lambda a, b: Add(a, Neg(b)),
    "mul": Mul,
    "truediv": Div,
    "matmul": MatMul,
}.items():
    setattr(Node, f"__{_name}__", _binary(_build))
    setattr(Node, f"__r{_name}__", _binary(_build, swap=True))
Node.__radd__ = lambda self, other: self if isinstance(other, int) and other == 0 else number(other) + self  # so that sum(…) starts at 0
Node.__neg__ = lambda self: Neg(self)
Node.__pow__ = power
Node.__getitem__ = subscript
Node.T = property(lambda self: Transpose(self))
