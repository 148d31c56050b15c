"""Affine: statements on shared buffers -> what they are as affine functions of parameters, and their values.

Every buffer is a pair: values, and how it depends on the parameters (None where it does not). What stands for the
dependence is one of two things: rows of a sparse matrix, or bounds that say how large the terms of each component are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from codegen.element import Const, Element, Load, OnDiagonal, Op, Piece, Select, SizeValue
from codegen.numerics import COMPARE, apply
from codegen.sizes import size_value
from codegen.statements import Map, Reduce, Statement
from codegen.systems import System

Pair = tuple[Any, Any]  # values, one for each point or one for all; dependence or None


class Dependence(Protocol):
    """How components depend on parameters; one row for each point."""

    def load(self, parameter: str, places: np.ndarray) -> Pair:
        """Components of a parameter."""

    def add(self, parts: Sequence[Any]) -> Any:
        """The dependence of a sum."""

    def scale(self, part: Any, factor: Any) -> Any:
        """The dependence of a multiple, by one factor for each point or one for all."""

    def gather(self, part: Any, places: np.ndarray) -> Any:
        """Some of the rows."""

    def fold(self, part: Any, count: int) -> Any:
        """Sums of so many rows that stand one after the other."""


class Rows:
    """Dependence as rows of a sparse matrix, with a column for each component of each parameter."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        ends = np.cumsum([0, *sizes.values()])
        self.starts = dict(zip(sizes, ends.tolist(), strict=False))
        self.width = int(ends[-1])

    def load(self, parameter: str, places: np.ndarray) -> Pair:
        """Components of a parameter: zero, and a row with a one for each."""
        from scipy.sparse import csr_array

        count = places.size
        return 0.0, csr_array((np.ones(count), places + self.starts[parameter], np.arange(count + 1)), shape=(count, self.width))

    def add(self, parts: Sequence[Any]) -> Any:
        """The sum of rows."""
        return sum(parts[1:], parts[0])

    def scale(self, part: Any, factor: Any) -> Any:
        """Every row times its factor."""
        from scipy.sparse import dia_array

        count = part.shape[0]
        return dia_array((np.broadcast_to(factor, (1, count)), [0]), shape=(count, count)).tocsr() @ part

    def gather(self, part: Any, places: np.ndarray) -> Any:
        """Some of the rows, in any order."""
        return part[places]

    def fold(self, part: Any, count: int) -> Any:
        """Sums of so many rows that stand one after the other."""
        from scipy.sparse import coo_array

        found = part.tocoo()
        shape = (part.shape[0] // count, self.width)
        return coo_array((found.data, (found.row // count, found.col)), shape=shape).tocsr()


class Bounds:
    """Dependence as a bound for each component: of its terms' sizes, if every component of a parameter were its largest."""

    def __init__(self, values: Mapping[str, np.ndarray]) -> None:
        self.values = values
        self.largest = {name: float(np.max(np.abs(array), initial=0.0)) for name, array in values.items()}

    def load(self, parameter: str, places: np.ndarray) -> Pair:
        """Components of a parameter, each bounded by its largest."""
        return self.values[parameter].ravel()[places], np.full(places.shape, self.largest[parameter])

    def add(self, parts: Sequence[Any]) -> Any:
        """Bounds add."""
        return sum(parts[1:], parts[0])

    def scale(self, part: Any, factor: Any) -> Any:
        """A bound times the size of its factor."""
        return part * np.abs(factor)

    def gather(self, part: Any, places: np.ndarray) -> Any:
        """Some of the bounds."""
        return part[places]

    def fold(self, part: Any, count: int) -> Any:
        """Sums of so many bounds that stand one after the other."""
        return part.reshape(-1, count).sum(axis=1)


class Evaluation:
    """The buffers of a system by name, each a pair over its components in order of rows.

    constants: arrays by buffer, in float64. Raises: TypeError for what is no statement of shared quantities.
    """

    def __init__(self, system: System, dims: Mapping[str, int], constants: Mapping[str, np.ndarray], dependence: Dependence) -> None:
        self.system, self.dims, self.constants, self.dependence = system, dims, constants, dependence
        self.pairs: dict[str, Pair] = {}
        for statement in system.statements:
            self.pairs[statement.out] = self._statement(statement)

    def shape(self, buffer: str) -> tuple[int, ...]:
        """A buffer's components."""
        return tuple(size_value(size, self.dims) for size in self.system.buffers[buffer].shape)

    def _statement(self, statement: Statement) -> Pair:
        kept = self.shape(statement.out)
        match statement:
            case Map():
                return self._spread(self._over(statement.element, kept), kept)
            case Reduce():
                summed = tuple(size_value(size, self.dims) for size in statement.axes)
                whole = (*kept, *summed)
                values, part = self._spread(self._over(statement.element, whole), whole)
                count = int(np.prod(summed))
                if statement.operation == "max":
                    return values.reshape(-1, count).max(axis=1), None
                return values.reshape(-1, count).sum(axis=1), None if part is None else self.dependence.fold(part, count)
        raise TypeError(f"no affine form for {type(statement).__name__}")

    def _over(self, element: Element, sizes: tuple[int, ...]) -> Pair:
        count = int(np.prod(sizes))
        return self._value(element, np.unravel_index(np.arange(count), sizes) if sizes else (), count)

    @staticmethod
    def _spread(pair: Pair, sizes: tuple[int, ...]) -> Pair:
        return np.broadcast_to(pair[0], int(np.prod(sizes))), pair[1]

    def _value(self, element: Element, axes: tuple[np.ndarray, ...], count: int) -> Pair:
        match element:
            case Const():
                return element.numerator / element.denominator, None
            case SizeValue():
                return float(size_value(element.size, self.dims)), None
            case Load():
                return self._load(element.buffer, self._places(element, axes, count))
            case Op():
                return self._operation(element, [self._value(arg, axes, count) for arg in element.args])
            case Select():
                (a, _), (b, _), *branches = (self._value(arg, axes, count) for arg in element.args)
                chosen = np.broadcast_to(COMPARE[element.relation](a, b), count)
                return self._sum([self._masked(branches[0], chosen), self._masked(branches[1], ~chosen)])
            case OnDiagonal():
                first, second = element.axes
                return self._masked(self._value(element.arg, axes, count), axes[first] == axes[second])
            case Piece():
                return self._piece(element, axes, count)
        raise TypeError(f"no affine form for {type(element).__name__}")

    def _places(self, load: Load, axes: tuple[np.ndarray, ...], count: int) -> np.ndarray:
        """Where in its buffer a load reads, for every point."""
        places = np.zeros(count, np.intp)
        sizes = self.shape(load.buffer) if load.shape is None else (size_value(size, self.dims) for size in load.shape)
        for (base, offset), size in zip(load.index, sizes, strict=True):
            start = size_value(offset, self.dims)
            places = places * size + (start if base is None else axes[base] + start)  # type: ignore[index]
        return places

    def _load(self, buffer: str, places: np.ndarray) -> Pair:
        if buffer in self.system.parameters:
            return self.dependence.load(buffer, places)
        if buffer in self.constants:
            return self.constants[buffer].ravel()[places], None
        values, part = self.pairs[buffer]
        return values[places], None if part is None else self.dependence.gather(part, places)

    def _piece(self, piece: Piece, axes: tuple[np.ndarray, ...], count: int) -> Pair:
        low, high = (size_value(bound, self.dims) for bound in (piece.start, piece.stop))
        inside = (axes[piece.axis] >= low) & (axes[piece.axis] < high)
        held = tuple(np.where(inside, axis, low) if place == piece.axis else axis for place, axis in enumerate(axes))
        if low >= high:
            return 0.0, None
        return self._masked(self._load(piece.load.buffer, self._places(piece.load, held, count)), inside)

    def _masked(self, pair: Pair, mask: np.ndarray) -> Pair:
        values, part = pair
        return np.where(mask, values, 0.0), None if part is None else self.dependence.scale(part, mask.astype(np.float64))

    def _sum(self, pairs: Sequence[Pair]) -> Pair:
        parts = [part for _, part in pairs if part is not None]
        return sum(values for values, _ in pairs), self.dependence.add(parts) if parts else None

    def _operation(self, op: Op, args: list[Pair]) -> Pair:
        part = next((part for _, part in args if part is not None), None)
        if op.name == "add":
            return self._sum(args)
        if op.name == "neg":
            return -args[0][0], None if part is None else self.dependence.scale(part, -1.0)
        if op.name in ("mul", "div"):
            values = args[0][0] / args[1][0] if op.name == "div" else np.prod(np.broadcast_arrays(*(v for v, _ in args)), axis=0)
            if part is None:
                return values, None
            others = [v for v, held in args if held is None]
            factor = 1 / others[0] if op.name == "div" else np.prod(np.broadcast_arrays(*others, 1.0), axis=0)
            return values, self.dependence.scale(part, factor)
        if op.name == "power":
            numerator, denominator = op.exponent  # type: ignore[misc]
            return args[0][0] ** (numerator / denominator), None
        return apply(op.name, *(np.asarray(values) for values, _ in args)), None
