"""Indexing: syntax inside brackets -> steps, lags, windows, dims and slices of components."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import NamedTuple

import sympy as sp

from derive.errors import RecurrenceError
from derive.limits import MAX_INTEGER, MAX_LAG, Source
from derive.nodes import Kind, Node, Quantity, Shape, T, Window, dim
from derive.operators import Step, subscript
from derive.reserved import RESERVED
from derive.suggestions import near, plural

MAX_TERMS = 32  # terms of a dim, multiplied out
MAX_POWER = 64  # names multiplied in one of them
MAX_REACH = 20_000  # values outside the steps, all signals together
MAX_LAGGED = 250_000  # values outside the steps, each counted once for every read of its signal
STEPS = "steps are [t], [t-1], [t+2] with a whole number, or fixed: [1], [T], [T-1]; components come after: h[t][0:n]"


class Position(NamedTuple):
    """A step: an offset from `t`, from `T`, or from 0 (anchor empty)."""

    offset: int
    anchor: str


class Indexing:
    """Reads what stands in brackets, given the quantities and the dims of a file."""

    def __init__(self, source: Source, quantities: Mapping[str, Quantity], dims: frozenset[str]) -> None:
        self.source, self.quantities, self.dims = source, quantities, dims
        self._reach: dict[str, tuple[int, int, int]] = {}
        self._outside = self._lagged = 0

    # -- dims

    def dimension(self, tree: ast.expr, signed: bool = False) -> sp.Expr:
        """A dim: names, integers, their sums and products (differences and negatives too, where signed)."""
        value = self._dimension(tree, signed, tree)
        if not signed and value.is_nonpositive:
            raise self.source.error(tree, f"a dim must be at least 1, not {value}")
        return value

    def _dimension(self, tree: ast.expr, signed: bool, whole: ast.expr) -> sp.Expr:
        match tree:
            case ast.Constant(value=int()) if _is_integer(tree):
                return sp.Integer(int(self.source.decimal(tree)))
            case ast.Name():
                return self._dim(tree)
            case ast.BinOp(op=ast.Add() | ast.Mult()) | ast.BinOp(op=ast.Sub()) if signed or not isinstance(
                tree.op, ast.Sub
            ):
                left, right = (self._dimension(part, signed, whole) for part in (tree.left, tree.right))
                return self._combine(left, right, tree.op, whole)
            case ast.UnaryOp(op=ast.USub()) if signed:
                return sp.expand(-self._dimension(tree.operand, signed, whole))
        hint = "dims are names, integers, and their sums and products" + (
            ", and differences in slices" if signed else ""
        )
        raise self.source.error(tree, f"{self.source.written(tree)} is not a dim", hint)

    def _combine(self, left: sp.Expr, right: sp.Expr, sign: ast.operator, whole: ast.expr) -> sp.Expr:
        """Multiplied out as it grows, so that a product of sums cannot explode."""
        counts = [len(sp.Add.make_args(part)) for part in (left, right)]
        product = isinstance(sign, ast.Mult)
        if (counts[0] * counts[1] if product else sum(counts)) > MAX_TERMS:
            raise self.source.error(
                whole, f"the dim has more than {MAX_TERMS} terms", "give its parts names of their own"
            )
        value = sp.expand(left * right) if product else (left - right if isinstance(sign, ast.Sub) else left + right)
        if any(abs(term.as_coeff_Mul()[0]) >= MAX_INTEGER**2 for term in sp.Add.make_args(value)):
            raise self.source.error(whole, "the dim is too large", f"its factors stay below {MAX_INTEGER**2:.0e}")
        if any(_degree(term) > MAX_POWER for term in sp.Add.make_args(value)):
            raise self.source.error(
                whole, f"the dim has a power above {MAX_POWER}", "give its parts names of their own"
            )
        return value

    def _dim(self, tree: ast.Name) -> sp.Expr:
        name = tree.id
        if name in self.dims and name not in self.quantities:
            return dim(name)
        if name in self.quantities:
            raise self.source.error(
                tree, f"{name} is a quantity and no dim", "a name is a dim or a quantity, never both"
            )
        if name == "T":
            raise self.source.error(
                tree, "T is the number of steps and no dim", "dims do not depend on the number of steps"
            )
        if name == "t":
            raise self.source.error(
                tree,
                "t is the step and no dim",
                "steps stand in the first brackets, h[t]; dims in the second, h[t][0:n]",
            )
        if name in RESERVED:
            raise self.source.error(tree, f"{name} is no dim", "dims are names, integers, and their sums and products")
        hint = f"{near(name, self.dims)}the dims of this file are {', '.join(sorted(self.dims)) or 'none so far'}"
        raise self.source.error(tree, f"{name} is not a dim of this file", hint)

    # -- components

    def components(self, tree: ast.Subscript, operand: Node) -> Node:
        """`operand[0:n]`, `operand[:, 0]`."""
        axes = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
        if len(axes) != len(operand.shape):
            problem = (
                f"{operand.source()[:120]} takes {plural(len(operand.shape), 'index')} of components, not {len(axes)}"
            )
            raise self.source.error(
                tree,
                problem,
                "one for each dim, as in z[t][0:n] or A[:, 0]" if operand.shape else "leave out the brackets",
            )
        if not operand.shape:
            raise self.source.error(
                tree, f"{operand.source()[:120]} is a scalar and has no components", "leave out the brackets"
            )
        return subscript(operand, tuple(self._axis(axis) for axis in axes))

    def _axis(self, tree: ast.expr) -> object:
        if not isinstance(tree, ast.Slice):
            return self.dimension(tree, signed=True)
        if tree.step is not None:
            raise self.source.error(tree, "slices have no stride", "write [a:b]")
        return slice(
            *(None if part is None else self.dimension(part, signed=True) for part in (tree.lower, tree.upper))
        )

    def shape(self, tree: ast.Subscript, whole: Shape) -> Shape | None:
        """The shape that components of an array of shape `whole` have, where it is known."""
        axes = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
        if len(axes) != len(whole):
            return None
        try:
            return subscript(
                Quantity("a", "parameter", whole, Kind.SHARED), tuple(self._axis(axis) for axis in axes)
            ).shape
        except RecurrenceError:
            return None

    # -- steps

    def step(self, tree: ast.Subscript, quantity: Quantity) -> Node:
        """`h[t-1]`, `h[T]`, `h[0]`."""
        index, position = tree.slice, self.position(tree.slice)
        outside = position.offset > 0 if position.anchor == "T" else position.offset <= 0
        if abs(position.offset) > MAX_LAG and (position.anchor == "t" or outside):
            kind = "lag" if position.anchor == "t" else "distance from the steps"
            raise self.source.error(index, f"the {kind} {abs(position.offset)} is too long", f"lags go up to {MAX_LAG}")
        self._count(tree, quantity.name, position, outside)
        if position.anchor == "t":
            return subscript(quantity, Step(position.offset))
        return subscript(quantity, T + position.offset if position.anchor == "T" else sp.Integer(position.offset))

    def _count(self, tree: ast.Subscript, name: str, position: Position, outside: bool) -> None:
        """Long lags in many places would make a short text stand for a very large graph."""
        low, high, reads = self._reach.get(name, (0, 0, 0))
        self._outside, self._lagged = self._outside - low - high, self._lagged - (low + high) * reads
        offset = position.offset
        if position.anchor == "t":
            low, high = max(low, -offset), max(high, offset)
        elif outside:
            low, high = (low, max(high, offset)) if position.anchor else (max(low, 1 - offset), high)
        self._reach[name] = low, high, reads + 1
        self._outside, self._lagged = self._outside + low + high, self._lagged + (low + high) * (reads + 1)
        if self._outside > MAX_REACH or self._lagged > MAX_LAGGED:
            hint = f"together they reach more than {MAX_REACH} values outside the steps, or read them too often"
            raise self.source.error(tree, "too many long lags", hint)

    def position(self, tree: ast.expr) -> Position:
        """`t`, `t-1`, `T`, `T+1`, `0`, `-1`."""
        match tree:
            case ast.Name(id="t" | "T" as anchor):
                return Position(0, anchor)
            case ast.Constant() if _is_integer(tree):
                return Position(int(self.source.decimal(tree)), "")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() as shift) if _is_integer(shift):
                return Position(-int(self.source.decimal(shift)), "")
            case ast.BinOp(
                op=ast.Add() | ast.Sub(), left=ast.Name(id="t" | "T" as anchor), right=ast.Constant() as shift
            ) if _is_integer(shift):
                distance = int(self.source.decimal(shift))
                return Position(distance if isinstance(tree.op, ast.Add) else -distance, anchor)
        raise self.source.error(tree, f"[{self.source.written(tree)}] is not a step", STEPS)

    def window(self, tree: ast.expr) -> Window:
        """`steps` or `steps[a:b]`."""
        match tree:
            case ast.Name(id="steps"):
                return Window()
            case ast.Subscript(value=ast.Name(id="steps"), slice=ast.Slice(lower=lower, upper=upper, step=None)):
                bounds = [None if bound is None else self.position(bound) for bound in (lower, upper)]
                if all(b is None or not b.anchor for b in bounds):
                    return Window(*(None if b is None else b.offset for b in bounds))
        stride = isinstance(tree, ast.Subscript) and isinstance(tree.slice, ast.Slice) and tree.slice.step is not None
        problem = "steps have no stride" if stride else f"{self.source.written(tree)} is not a range of steps"
        raise self.source.error(tree, problem, "write steps, steps[-3:] or steps[1:5]")


def _degree(term: sp.Expr) -> int:
    """How many names are multiplied in a term."""
    return sum(int(power) for base, power in term.as_powers_dict().items() if base.is_Symbol)


def _is_integer(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Constant) and isinstance(tree.value, int) and not isinstance(tree.value, bool)
