"""Elements: nodes -> scalar expressions over the index of their result.

What is not elementwise (products, reductions, sums over time, fixed steps) becomes a buffer of its own through `aside`.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from codegen.element import Const, Element, Hot, Index, InWindow, Load, OnDiagonal, Op, Piece, Present, Select
from codegen.lower.parts import Blocks, RowMax, RowScatter, RowSum, RowSumExp, is_scaling
from codegen.lower.sizes import as_element, as_size
from codegen.sizes import ZERO_SIZE, Size
from codegen.statements import Read
from derive import arrays as A
from derive import temporal
from derive.arithmetic import Abstract, Add, Apply, Div, MatMul, Mul, Neg, Pow, Surrogate, Transpose, Where
from derive.errors import RecurrenceError
from derive.flattening import Kron, Reshape
from derive.nodes import At, Node, Number, Pick, Quantity, walk

Aside = Callable[[Node], Read]

# What has a component of its own for every component of its operands, so that one alone can be computed.
COMPONENTWISE = (At, Quantity, Number, Add, Mul, Div, Neg, Pow, Apply, Where, Transpose, A.LogSoftmax, A.Softmax)
OPERATIONS = {Add: "add", Mul: "mul", Div: "div", Neg: "neg"}


def shifted(index: Index, axis: int, by: Size) -> Index:
    """An index with one of its components moved."""
    moved = list(index)
    base, offset = moved[axis]
    merged: dict[tuple[str, ...], int] = {}
    for coefficient, names in (*offset, *by):
        merged[names] = merged.get(names, 0) + coefficient
    moved[axis] = (base, tuple(sorted(((c, n) for n, c in merged.items() if c), key=lambda term: (term[1], term[0]))))
    return tuple(moved)


def is_index(node: Node) -> bool:
    """Whether the node is the vector that an index input stands for."""
    return isinstance(node, (At, Pick)) and node.quantity.role == "index"


def negative(size: Size) -> Size:
    """-size."""
    return tuple((-c, names) for c, names in size)


class Elements:
    """Turns nodes into elements; `place` names the buffer of a quantity, `aside` computes a node into a buffer."""

    def __init__(self, place: Callable[[Quantity], str], aside: Aside, picked: Aside) -> None:
        self.place, self.aside, self.picked = place, aside, picked

    def of(self, node: Node, index: Index) -> Element:
        """The element of a node at an index of its shape."""
        match node:
            case Number():
                return as_element(node.value)
            case At() | Pick() if is_index(node):
                return Hot(index[0], self.integer(node))
            case At():
                return Load(self.place(node.quantity), node.lag, index)
            case Quantity():
                return Load(self.place(node), 0, index)
            case Add() | Mul() | Div() | Neg():
                return Op(OPERATIONS[type(node)], tuple(self._operand(arg, index) for arg in node.args))
            case Pow():
                exponent = node.exponent
                return Op("power", (self._operand(node.args[0], index),), (int(exponent.p), int(exponent.q)))
            case Apply():
                return Op(node.name, tuple(self._operand(arg, index) for arg in node.operands))
            case Where():
                return Select(node.relation, tuple(self._operand(arg, index) for arg in node.operands))  # type: ignore[arg-type]
            case Abstract():
                raise RecurrenceError(
                    f"{node.name} is declared as a function without a definition",
                    f"to compute it, write {node.name} = lambda u: tanh(u), say",
                )
            case temporal.Within():
                return InWindow(*node.window.bounds, self.of(node.args[0], index))
            case temporal.StopGradient() | Surrogate():
                return self._operand(node.args[0], index)
        return self._array(node, index)

    def integer(self, node: At | Pick) -> Load:
        """The integer of an index input at a step."""
        read = self.picked(node) if isinstance(node, Pick) else Read(self.place(node.quantity), node.lag)
        return Load(read.buffer, read.lag, ())

    def gathered(self, node: Node, index: Index) -> Element | None:
        """What a product with the vector of an index input comes to: the component that it chooses. None for anything else."""
        match node:
            case MatMul(args=(matrix, operand)) if is_index(operand):
                return self._chosen(operand, matrix, index)
            case A.Dot(args=(a, b)) if is_index(a) or is_index(b):
                return self._chosen(a, b, ()) if is_index(a) else self._chosen(b, a, ())
            case A.Sum(args=(a,)) if is_index(a):
                return Present(self.integer(a), Const(1))
            case A.CrossEntropy(args=(target, y)) if is_index(target):
                log = A.LogSoftmax(y.args[0]) if isinstance(y, A.Softmax) else Apply("log", y)
                return Op("neg", (self._chosen(target, log, ()),))
        return None

    def _chosen(self, choice: At | Pick, node: Node, before: Index) -> Element:
        """A component of a node, the integer along its last axis."""
        integer = self.integer(choice)
        index = (*before, (integer, ZERO_SIZE))
        alone = all(isinstance(part, COMPONENTWISE) for part in walk(node))
        return Present(integer, self.of(node, index) if alone else self.load(self.aside(node), index))

    def _operand(self, node: Node, index: Index) -> Element:
        return self.of(node, index if node.shape else ())

    def _array(self, node: Node, index: Index) -> Element:
        chosen = self.gathered(node, index)
        if chosen is not None:
            return chosen
        match node:
            case Transpose():
                return self.of(node.args[0], index[::-1])
            case A.Outer():
                return Op("mul", (self.of(node.args[0], index[:1]), self.of(node.args[1], index[1:])))
            case A.Zeros():
                return Const(0)
            case A.Ones():
                return Const(1)
            case A.Eye():
                return OnDiagonal(self._axes(index), Const(1))
            case A.Diag() if len(node.shape) == 2:
                return OnDiagonal(self._axes(index), self.of(node.args[0], index[:1]))
            case A.Diag():
                return self.of(node.args[0], (index[0], index[0]))
            case MatMul() if is_scaling(node):
                return Op("mul", self._scaled(node, index))
            case Reshape():
                return self._reshaped(node.args[0], node, index)
            case Kron():
                return self._reshaped(Blocks(*node.args), node, index)
            case Blocks():
                first, second = node.split(index)
                return Op("mul", (self.of(node.args[0], first), self.of(node.args[1], second)))
            case A.Slice():
                return self._slice(node, index)
            case A.Pad():
                return self._pad(node, index)
            case A.Concat():
                return self._concat(node, index)
            case A.Mean() | A.LogSumExp() | A.Softmax() | A.LogSoftmax() | A.LayerNorm():
                return self._normalised(node, index)
        return self.load(self.aside(node), index)

    @staticmethod
    def load(read: Read, index: Index) -> Load:
        """A component of a buffer that is read whole."""
        return Load(read.buffer, read.lag, index)

    def _scaled(self, node: MatMul, index: Index) -> tuple[Element, Element]:
        """The factors of a product with a diagonal matrix: each row, or each column, times its own component."""
        left, right = node.args
        if isinstance(left, A.Diag):
            return self.of(left.args[0], index[:1]), self.of(right, index)
        return self.of(left, index), self.of(right.args[0], index[1:])

    def _reshaped(self, operand: Node, node: Node, index: Index) -> Load:
        read = self.aside(operand)
        return Load(read.buffer, read.lag, index, tuple(as_size(size) for size in node.shape))

    def _axes(self, index: Index) -> tuple[int, int]:
        (first, a), (second, b) = index
        if not (isinstance(first, int) and isinstance(second, int)) or a or b:
            raise RecurrenceError("a slice of a diagonal matrix is not available", "give the matrix a name of its own")
        return first, second

    def _leaf(self, node: Node) -> Read:
        return self.aside(node)

    def _slice(self, node: A.Slice, index: Index) -> Element:
        inner: list[tuple[int | None, Size]] = []
        kept = iter(index)
        for axis in node.spec:
            inner.append(next(kept) if len(axis) == 2 else (None, ZERO_SIZE))
        full: Index = tuple(inner)
        for place, axis in enumerate(node.spec):
            full = shifted(full, place, as_size(axis[0]))
        operand = node.args[0]
        return self.of(operand, full) if isinstance(operand, (At, Quantity)) else self.load(self._leaf(operand), full)

    def _pieced(self, read: Read, index: Index, place: int, start: Size, stop: Size, inner: Index) -> Element:
        axis, offset = index[place]
        if not isinstance(axis, int):
            raise RecurrenceError("a single component of a padded or joined vector is not available", "give the vector a name of its own")
        low, high = (shifted(((None, bound),), 0, negative(offset))[0][1] for bound in (start, stop))
        return Piece(axis, low, high, Load(read.buffer, read.lag, inner))

    def _pad(self, node: A.Pad, index: Index) -> Element:
        if len(node.spec) == 2:
            return self._pad_matrix(node, index)
        operand = node.args[0]
        read = self._leaf(operand)
        start = as_size(node.spec[0][0])
        length = as_size(operand.shape[0]) if operand.shape else ((1, ()),)
        stop = shifted(((None, start),), 0, length)[0][1]
        inner = shifted(index, 0, negative(start)) if operand.shape else ()
        return self._pieced(read, index, 0, start, stop, inner)

    def _pad_matrix(self, node: A.Pad, index: Index) -> Element:
        """Along one axis; along both, the columns of a matrix whose rows are padded already."""
        operand, (rows, columns) = node.args[0], node.spec
        place = 0 if rows[1] != operand.shape[0] else 1
        if place == 0 and columns[1] != operand.shape[1]:
            operand, place = A.Pad(operand, sp.Tuple(rows, sp.Tuple(0, operand.shape[1]))), 1
        start = as_size(node.spec[place][0])
        stop = shifted(((None, start),), 0, as_size(operand.shape[place]))[0][1]
        return self._pieced(self._leaf(operand), index, place, start, stop, shifted(index, place, negative(start)))

    def _concat(self, node: A.Concat, index: Index) -> Element:
        start: Size = ZERO_SIZE
        parts = []
        for arg in node.args:
            stop = shifted(((None, start),), 0, as_size(arg.shape[0]))[0][1]
            parts.append(self._pieced(self._leaf(arg), index, 0, start, stop, shifted(index, 0, negative(start))))
            start = stop
        return Op("add", tuple(parts)) if len(parts) > 1 else parts[0]

    def _normalised(self, node: Node, index: Index) -> Element:
        """Functions along the last axis, through their reductions."""
        operand = node.args[0]
        if isinstance(node, A.Mean):
            count = 1
            for size in operand.shape:
                count = count * size
            return Op("div", (self.load(self.aside(A.Sum(operand)), ()), as_element(count) if operand.shape else Const(1)))
        rows = index if isinstance(node, A.LogSumExp) else index[:-1]
        if isinstance(node, A.LayerNorm):
            return self._layer_norm(node, index, rows)
        top = self.load(self.aside(RowMax(operand)), rows)
        spread = self.load(self.aside(RowSumExp(operand)), rows)
        if isinstance(node, A.LogSumExp):
            return Op("add", (top, Op("log", (spread,))))
        read = self.of(operand, index) if isinstance(operand, (At, Quantity)) else self.load(self._leaf(operand), index)
        below = Op("add", (read, Op("neg", (top,))))
        if isinstance(node, A.Softmax):
            return Op("div", (Op("exp", (below,)), spread))
        return Op("add", (below, Op("neg", (Op("log", (spread,)),))))

    def _layer_norm(self, node: A.LayerNorm, index: Index, rows: Index) -> Element:
        operand = node.args[0]
        count = as_element(operand.shape[-1])
        mean = Op("div", (self.load(self.aside(RowSum(operand)), rows), count))
        scatter = Op("div", (self.load(self.aside(RowScatter(operand)), rows), count))
        centred = Op("add", (self.of(operand, index), Op("neg", (mean,))))
        epsilon = Const(int(A.EPSILON.p), int(A.EPSILON.q))
        return Op("div", (centred, Op("sqrt", (Op("add", (scatter, epsilon)),))))
