"""Interpret: runs a Program's segments in NumPy, in float64, float32, complex128 or objects of mpmath.

The stand-in where nothing can be compiled, and the reference for numeric differentiation. It has the compiled module's interface:
`run(number, t0, t1)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.element import Const, Element, Hot, InWindow, Load, OnDiagonal, Op, Piece, Present, Select, SizeValue, Steps
from codegen.frame import Frame
from codegen.numerics import COMPARE, apply, real
from codegen.program import Part, Segment, number_of
from codegen.sizes import size_value
from codegen.statements import Accumulate, Fill, Map, OuterSum, PickStep, Product, Reduce, Statement

Ranges = tuple[tuple[int, int], ...]


class Interpreter:
    """Segments of one program on the arrays of one frame."""

    def __init__(self, segments: dict[int, Segment], frame: Frame) -> None:
        self.segments, self.frame = segments, frame
        self.active = frame.active

    def together(self, phase: str, actions: Sequence[Part], t0: int, t1: int) -> Sequence[Part]:
        """Run segments one after the other over the steps t0..t1; with steady states among them, all are left to be run one by one."""
        if not all(isinstance(action, Segment) for action in actions):
            return actions
        for action in actions:
            self.run(number_of(action), t0, t1)
        return ()

    def settle(self, number: int, t: int) -> None:
        """Steady states are left to the solvers in NumPy."""

    def run(self, number: int, t0: int, t1: int) -> None:
        """Run a segment over the steps t0..t1."""
        segment = self.segments[number]
        match segment.order:
            case "once":
                for statement in segment.statements:
                    self._execute(statement, None)
            case "step":
                for statement in segment.statements:
                    self._execute(statement, t0)
            case "sweep":
                for statement in segment.statements:
                    self._zero(statement)
                    if isinstance(statement, OuterSum):
                        self._outer_over_steps(statement, t0, t1)
                        continue
                    for t in range(t0, t1 + 1):
                        self._execute(statement, t, fresh=False)
            case _:
                steps = range(t0, t1 + 1) if segment.order == "forward" else range(t1, t0 - 1, -1)
                for t in steps:
                    for statement in segment.statements:
                        self._execute(statement, t)

    # -- statements

    def _view(self, name: str, t: int | None, lag: int = 0) -> np.ndarray:
        """A buffer's values with a leading axis of rows (one for shared buffers)."""
        frame, buffer = self.frame, self.frame.program.buffers[name]
        array = frame.arrays[name]
        if buffer.kind == "shared":
            return array[None]
        rows = frame.batch if t is None else int(self.active[t - 1])
        if buffer.kind == "sequence":
            return array[:rows]
        return array[0, :rows] if frame.is_single(name) else array[t - 1 + lag + frame.room(name), :rows]  # type: ignore[operator]

    def _ranges(self, name: str) -> Ranges:
        return tuple((0, n) for n in self.frame.shape(self.frame.program.buffers[name]))

    def _zero(self, statement: Statement) -> None:
        if isinstance(statement, Accumulate) and not (self.frame.more and statement.window[0] is not None):
            self.frame.arrays[statement.out][...] = 0

    def _execute(self, statement: Statement, t: int | None, fresh: bool = True) -> None:
        if fresh:
            self._zero(statement)
        match statement:
            case Map():
                self._view(statement.out, t)[...] = self._value(statement.element, self._ranges(statement.out), t)
            case Reduce():
                self._reduce(statement, t)
            case Product():
                self._product(statement, t)
            case OuterSum():
                left, right = (self._view(read.buffer, t, read.lag) for read in (statement.left, statement.right))
                self.frame.arrays[statement.out][...] = left.T @ right
            case Accumulate():
                self._accumulate(statement, t)
            case PickStep():
                self._pick(statement)
            case Fill():
                self._fill(statement)

    def _product(self, statement: Product, t: int | None) -> None:
        out = self._view(statement.out, t)
        for place, (name, transposed, read) in enumerate(statement.factors):
            matrix, operand = self.frame.arrays[name], self._view(read.buffer, t, read.lag)
            product = operand @ (matrix if transposed else matrix.T)
            out[...] = out + product if place else product

    def _reduce(self, statement: Reduce, t: int | None) -> None:
        kept = self._ranges(statement.out)
        sizes = tuple((0, size_value(size, self.frame.dims)) for size in statement.axes)
        value = self._value(statement.element, (*kept, *sizes), t)
        rows = self._view(statement.out, t).shape[0]
        value = np.broadcast_to(value, (rows, *(stop for _, stop in (*kept, *sizes))))
        axes = tuple(range(1 + len(kept), value.ndim))
        if statement.operation == "sum":
            self._view(statement.out, t)[...] = np.sum(value, axis=axes)
        elif np.iscomplexobj(value):
            self._view(statement.out, t)[...] = np.max(value.real, axis=axes)
        else:
            self._view(statement.out, t)[...] = np.max(value, axis=axes)

    def _accumulate(self, statement: Accumulate, t: int | None) -> None:
        out, ranges = self.frame.program.buffers[statement.out], self._ranges(statement.out)
        if statement.place:
            ranges = tuple((0, 1) if axis == statement.place[0] else span for axis, span in enumerate(ranges))
        element: Element = statement.element
        if t is not None and statement.window not in ((None, None), (0, None)):
            element = InWindow(*statement.window, element)
        value = self._value(element, ranges, t)
        rows = self.frame.batch if t is None else int(self.active[t - 1])
        value = np.broadcast_to(value, (rows, *(stop for _, stop in ranges)))
        if statement.place:
            self._scatter(statement, value, t)
        elif out.kind == "shared":
            self.frame.arrays[statement.out][...] += np.sum(value, axis=0)
        else:
            self._view(statement.out, t)[...] += value

    def _scatter(self, statement: Accumulate, value: np.ndarray, t: int | None) -> None:
        """Add each row's value where its integer says; nowhere for a negative one."""
        axis, integer = statement.place  # type: ignore[misc]
        shared = self.frame.program.buffers[statement.out].kind == "shared"
        total = self.frame.arrays[statement.out]
        for row, place in enumerate(np.broadcast_to(self._view(integer.buffer, t, integer.lag), value.shape[:1])):
            if place >= 0:
                target = total if shared else total[row]
                target[(slice(None),) * axis + (slice(place, place + 1),)] += value[row]

    def _outer_over_steps(self, statement: OuterSum, t0: int, t1: int) -> None:
        total = self.frame.arrays[statement.out]
        total[...] = total if self.frame.more else 0
        for t in range(t1, t0 - 1, -1):
            left, right = (self._view(read.buffer, t, read.lag) for read in (statement.left, statement.right))
            total[...] += left.T @ right

    def _slots(self, from_end: bool, offset: int, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Where in a buffer a fixed step lies, and the rows of which it lies in this window."""
        lengths, start, steps = self.frame.lengths, self.frame.start, self.frame.steps
        at = lengths + offset if from_end else np.full_like(lengths, offset - start)
        rows = np.flatnonzero(((start == 0) | ((at >= 1) & (lengths > 0))) & ((lengths <= steps) | (at <= steps)))
        return at[rows] - 1 + self.frame.room(name), rows

    def _pick(self, statement: PickStep) -> None:
        slots, rows = self._slots(statement.from_end, statement.offset, statement.buffer)
        self.frame.arrays[statement.out][rows] = self.frame.arrays[statement.buffer][slots, rows]

    def _fill(self, statement: Fill) -> None:
        slots, rows = self._slots(statement.from_end, statement.offset, statement.out)
        ranges = self._ranges(statement.out)
        value = self._value(statement.element, ranges, None)
        shape = (self.frame.batch, *(stop for _, stop in ranges))
        self.frame.arrays[statement.out][slots, rows] = np.broadcast_to(value, shape)[rows]

    # -- elements, with a leading axis of rows and one axis for each range

    def _value(self, element: Element, ranges: Ranges, t: int | None) -> np.ndarray:
        match element:
            case Const():
                value = element.numerator if element.denominator == 1 else self._ratio(element)
                return np.asarray(value, self.frame.dtype)
            case SizeValue():
                return np.asarray(size_value(element.size, self.frame.dims), self.frame.dtype)
            case Steps():
                rows = self.frame.batch if t is None else int(self.active[t - 1])
                return (self.frame.lengths[:rows] + self.frame.start).astype(self.frame.dtype).reshape(-1, *([1] * len(ranges)))
            case Load():
                return self._load(element, ranges, t)
            case Op():
                return self._operation(element, ranges, t)
            case Select():
                a, b, x, y = (self._value(arg, ranges, t) for arg in element.args)
                return np.where(COMPARE[element.relation](real(a), real(b)).astype(bool), x, y)
            case Piece():
                return self._piece(element, ranges, t)
            case Hot():
                return (self._place(element.place, ranges, t) == self._integers(element.integer, ranges, t)).astype(self.frame.dtype)
            case Present():
                return np.where(self._integers(element.integer, ranges, t) >= 0, self._value(element.arg, ranges, t), 0)
            case OnDiagonal():
                first, second = (self._axis(axis, ranges) for axis in element.axes)
                return np.where(first == second, self._value(element.arg, ranges, t), 0)
            case InWindow():
                return np.where(self._inside(element, t).reshape(-1, *([1] * len(ranges))), self._value(element.arg, ranges, t), 0)
        raise TypeError(f"no value rule for {type(element).__name__}")

    def _ratio(self, element: Const) -> object:
        if self.frame.dtype == object:
            import mpmath as mp

            return mp.mpf(element.numerator) / element.denominator
        return element.numerator / element.denominator

    def _operation(self, element: Op, ranges: Ranges, t: int | None) -> np.ndarray:
        args = [self._value(arg, ranges, t) for arg in element.args]
        match element.name:
            case "add" | "mul":
                result = args[0]
                for arg in args[1:]:
                    result = result + arg if element.name == "add" else result * arg
                return result
            case "div":
                return args[0] / args[1]
            case "neg":
                return -args[0]
            case "power":
                numerator, denominator = element.exponent  # type: ignore[misc]
                if denominator == 2:
                    root = apply("sqrt", args[0])
                    return root**numerator
                return args[0] ** numerator if numerator >= 0 else 1 / args[0] ** -numerator
        return np.asarray(apply(element.name, *args), self.frame.dtype)

    @staticmethod
    def _axis(axis: int, ranges: Ranges) -> np.ndarray:
        shape = [1] * (len(ranges) + 1)
        shape[axis + 1] = -1
        return np.arange(*ranges[axis]).reshape(shape)

    def _load(self, load: Load, ranges: Ranges, t: int | None) -> np.ndarray:
        view = self._view(load.buffer, t, load.lag)
        if load.shape is not None:
            view = view.reshape(view.shape[0], *(size_value(size, self.frame.dims) for size in load.shape))
        if not load.index:
            return view.reshape(view.shape[0], *([1] * len(ranges)))
        if not any(isinstance(base, Load) for base, _ in load.index):
            return view[(slice(None), *(self._place(place, ranges, t)[0] for place in load.index))]
        rows = np.arange(view.shape[0]).reshape(-1, *([1] * len(ranges)))
        return view[(rows, *(np.maximum(self._place(place, ranges, t), 0) for place in load.index))]

    def _place(self, place: tuple, ranges: Ranges, t: int | None) -> np.ndarray:
        """Where along its axis an index points, with a leading axis of rows."""
        base, offset = place
        start = size_value(offset, self.frame.dims)
        if isinstance(base, Load):
            return self._integers(base, ranges, t) + start
        return np.array(start).reshape([1] * (len(ranges) + 1)) if base is None else self._axis(base, ranges) + start

    def _integers(self, load: Load, ranges: Ranges, t: int | None) -> np.ndarray:
        return self._view(load.buffer, t, load.lag).reshape(-1, *([1] * len(ranges)))

    def _piece(self, piece: Piece, ranges: Ranges, t: int | None) -> np.ndarray:
        low, high = ranges[piece.axis]
        start = min(max(low, size_value(piece.start, self.frame.dims)), high)
        stop = max(start, min(high, size_value(piece.stop, self.frame.dims)))
        inner = (*ranges[: piece.axis], (start, stop), *ranges[piece.axis + 1 :])
        value = self._load(piece.load, inner, t)
        shape = [value.shape[0], *(b - a for a, b in ranges)]
        out = np.zeros(shape, self.frame.dtype)
        place = [slice(None)] * len(shape)
        place[piece.axis + 1] = slice(start - low, stop - low)
        out[tuple(place)] = value
        return out

    def _inside(self, element: InWindow, t: int | None) -> np.ndarray:
        rows, place = int(self.active[t - 1]), self.frame.start + t - 1  # type: ignore[operator]
        lengths = self.frame.lengths[:rows] + self.frame.start

        def bound(value: int | None, missing: np.ndarray) -> np.ndarray:
            if value is None:
                return missing
            return np.full_like(lengths, value) if value >= 0 else np.maximum(0, lengths + value)

        return (place >= bound(element.start, 0 * lengths)) & (place < bound(element.stop, lengths))
