"""Kernel: a compiled (or interpreted) program, called with arrays. Checks arguments, holds buffers, runs phases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from codegen.arguments import LEAD, Arguments, Sizes, text_of
from codegen.execute import Runner, execute
from codegen.frame import Frame
from codegen.program import Buffer, Program, Segment


class Compiled:
    """Runs the segments of a compiled module on a frame's buffers."""

    def __init__(self, module: ModuleType, frame: Frame) -> None:
        program, self.frame, self.module = frame.program, frame, module
        self.active, self.lengths = frame.active, np.ascontiguousarray(frame.lengths)
        pointers = [self.active.ctypes.data, self.lengths.ctypes.data]
        strides = [0, 0]
        for name in program.buffers:
            array = frame.arrays.get(name)
            if array is None:
                pointers.append(0)
                strides.append(0)
                continue
            timed = program.buffers[name].kind == "timed"
            step = 0 if timed and frame.is_single(name) else (array.strides[0] // array.itemsize if timed else 0)
            pointers.append(array.ctypes.data + (frame.room(name) * array.strides[0] if timed and step else 0))
            strides.append(step)
        self.pointers = np.array(pointers, np.uintp)
        self.strides = np.array(strides, np.int64)
        self.sizes = np.array([frame.steps, frame.batch, int(frame.ragged), *frame.dims.values()], np.int64)
        self.addresses = (self.pointers.ctypes.data, self.strides.ctypes.data, self.sizes.ctypes.data)

    def run(self, number: int, t0: int, t1: int) -> None:
        """Run a segment over the steps t0..t1."""
        self.module.run(number, *self.addresses, t0, t1)


@dataclass(frozen=True)
class Kernel:
    """A recurrence that can be computed, with its gradient.

    program: what it computes; dtype: float32 or float64 (the interpreter also takes complex128 and object); module: the compiled
    segments, or None for the interpreter; fixed: dims set at compile time; pullback: loads, or builds at its first use, the segments for
    cotangents where they are not in `module`; origin: text, name and file of the recurrence, by which a kernel is pickled and found or
    built again elsewhere.
    Values are one mapping from names as written to arrays: parameters and constants `dims`, input sequences `(T, B, dims)`, inputs
    without time `(B, dims)`, values outside the steps such as "h[0]" `(B, dims)` (zero where left out), "lengths" `(B,)`.
    A batch axis left out of all of them is added and taken off again.
    """

    program: Program
    dtype: str
    module: ModuleType | None = None
    fixed: Mapping[str, int] | None = None
    pullback: Callable[[], ModuleType] | None = None
    origin: tuple[bytes, str, str] | None = None

    def forward(self, values: Mapping[str, object], *, steps: int | None = None, batch: int | None = None) -> Run:
        """Compute every signal and keep what the gradient needs.

        steps, batch: where no array says them. Raises: ValueError or TypeError naming the argument; ConvergenceError naming the
        sequences whose steady state was not found.
        """
        return self._run(values, steps, batch, whole=True)

    def value_and_grad(
        self, values: Mapping[str, object], *, wrt: Iterable[str] | None = None, steps: int | None = None, batch: int | None = None
    ) -> tuple[float, dict[str, np.ndarray]]:
        """The objective, summed over sequences, and its gradient at every differentiable name (or those in `wrt`), shaped as given.

        Raises: as `forward`; ValueError where the recurrence has no objective.
        """
        self._require_objective()
        run = self._run(values, steps, batch, whole=False)
        return run.value, run.backward(wrt=wrt)

    def _require_objective(self) -> None:
        if "gradient" not in self.program.phases:
            raise ValueError(f"{self.program.name} has no objective; use forward(…).backward(cotangents)")

    def _run(self, values: Mapping[str, object], steps: int | None, batch: int | None, whole: bool) -> Run:
        arguments = Arguments(self.program, np.dtype(self.dtype), self.fixed or {})
        sizes, arrays = arguments.read(values, steps, batch)
        frame = Frame(self.program, sizes.dims, sizes.steps, sizes.batch, sizes.lengths, np.dtype(self.dtype))
        for label, buffer in arguments.buffers.items():
            frame.arrays[buffer.name] = self._given(frame, buffer, arrays.get(label), sizes)
        for name, label in self.program.guesses.items():
            if label in arrays:
                frame.guesses[name] = self._given(frame, arguments.guessed[label], arrays[label], sizes)
        labelled = {b.name for b in self.program.buffers.values() if b.label and b.role == "value"}
        for name in self.program.phases["forward"].writes:
            if name not in frame.arrays:
                frame.arrays[name] = frame.allocate(name, whole=whole and name in labelled)
        execute(self.program.phases["forward"], frame, self._runner("forward", frame))
        return Run(self, frame, sizes)

    def _given(self, frame: Frame, buffer: Buffer, array: np.ndarray | None, sizes: Sizes) -> np.ndarray:
        """An argument as a buffer: in the order of rows, zero beyond each sequence's end, with room outside the steps."""
        if array is None:
            filled = frame.allocate(buffer.name, whole=True)
            if buffer.label in self.program.defaults:
                filled[...] = self.program.defaults[buffer.label]
            return filled
        if sizes.order is not None and buffer.kind != "shared":
            array = array[sizes.order] if buffer.kind == "sequence" else array[:, sizes.order]
            if buffer.kind == "timed":
                beyond = np.arange(frame.steps)[:, None] >= frame.lengths[None, :]
                array[beyond] = 0 if buffer.below is None else -1
        if buffer.kind == "timed" and (buffer.before or buffer.after):
            padded = frame.allocate(buffer.name, whole=True)
            padded[buffer.before : buffer.before + frame.steps] = array
            return padded
        return np.require(array, np.dtype(self.dtype) if buffer.below is None else np.int64, ["C", "A"])

    def _runner(self, phase: str, frame: Frame) -> Runner:
        if self.module is not None:
            apart = phase == "pullback" and self.pullback is not None
            return Compiled(self.pullback() if apart else self.module, frame)  # type: ignore[misc]
        from codegen.interpret import Interpreter

        segments: dict[int, Segment] = {part.number: part for part in self.program.phases[phase].segments()}
        return Interpreter(segments, frame)

    def __reduce__(self) -> tuple:
        if self.origin is None:
            return Kernel, (self.program, self.dtype, None, self.fixed)
        from codegen.driver import compile_text

        return compile_text, (*self.origin, self.dtype, dict(self.fixed or {}))

    def __repr__(self) -> str:
        takes = ", ".join(f"{b.label} {text_of(b)}" for b in self.program.buffers.values() if b.role == "argument" and b.label)
        how = "compiled" if self.module is not None else "interpreted"
        return f"<Kernel {self.program.name}, {self.dtype}, {how}: {takes}>"


class Run:
    """A forward computation and all that its gradient needs."""

    def __init__(self, kernel: Kernel, frame: Frame, sizes: Sizes) -> None:
        self.kernel, self._frame, self._sizes = kernel, frame, sizes
        self._names = kernel.program.results["forward"]

    def __getitem__(self, name: str) -> np.ndarray:
        """A signal (T, B, n), a quantity without time (B, n) or a total (n), by its name; zero beyond each sequence's end."""
        if name not in self._names:
            raise KeyError(f"{self.kernel.program.name} has no signal {name!r}; it has {', '.join(sorted(self._names))}")
        return self._handed_back(self._names[name], kept=True)

    @property
    def value(self) -> float:
        """The objective, summed over sequences."""
        aim = self.kernel.program.objective
        if aim is None:
            raise ValueError(f"{self.kernel.program.name} has no objective")
        return self._frame.arrays[self._names[aim]][()]

    @property
    def final(self) -> dict[str, np.ndarray]:
        """Every signal at each sequence's last step, (B, n); where a sequence has none what stands before step 1, or zero."""
        found, frame = {}, self._frame
        for label, name in self._names.items():
            buffer = self.kernel.program.buffers[name]
            if buffer.kind == "timed":
                slots, rows = frame.lengths - 1 + buffer.before, np.arange(frame.batch)
                last = np.zeros((frame.batch, *frame.shape(buffer)), frame.dtype)
                last[slots >= 0] = frame.arrays[name][slots[slots >= 0], rows[slots >= 0]]
                found[label] = self._unsorted(last, 0)
        return found

    @property
    def solutions(self) -> dict[str, object]:
        """For each steady state its iterations, residual and estimates."""
        return dict(self._frame.solutions)

    def backward(self, cotangents: Mapping[str, object] | None = None, *, wrt: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The gradient of the objective, or the vector-Jacobian product for cotangents of any of the signals.

        cotangents: label -> array of the signal's shape; the objective plays no part then. wrt: labels to hand back, all by default.
        Raises: ValueError naming what is wrong.
        """
        program, frame = self.kernel.program, self._frame
        phase = "gradient" if cotangents is None else "pullback"
        if cotangents is None:
            self.kernel._require_objective()
        names = program.results.get(phase, {})
        wanted = list(names) if wrt is None else list(wrt)
        for label in wanted:
            if label not in names:
                raise ValueError(f"there is no gradient at {label!r}; there are {', '.join(names)}")
        arrays = dict(frame.arrays)
        frame.arrays.update(self._seeds(cotangents or {}))
        for name in program.phases[phase].writes:
            if name not in frame.arrays:
                frame.arrays[name] = frame.allocate(name, whole=False)
        try:
            execute(program.phases[phase], frame, self.kernel._runner(phase, frame))
            return {label: self._handed_back(names[label]) for label in wanted}
        finally:
            frame.arrays = arrays

    def _seeds(self, cotangents: Mapping[str, object]) -> dict[str, np.ndarray]:
        program, frame = self.kernel.program, self._frame
        seeds = {}
        for label in cotangents:
            if label not in program.cotangents:
                raise ValueError(f"there is no signal {label!r} to give a cotangent; there are {', '.join(program.cotangents)}")
        for label, name in program.cotangents.items():
            if name not in program.buffers:
                continue
            buffer = program.buffers[name]
            array = None
            if label in cotangents:
                array = np.asarray(cotangents[label], np.dtype(self.kernel.dtype))
                if self._sizes.single and buffer.kind != "shared":
                    array = np.expand_dims(array, 1 if buffer.kind == "timed" else 0)
                lead = {"T": frame.steps, "B": frame.batch}
                shape = (*(lead[axis] for axis in LEAD[buffer.kind]), *frame.shape(buffer))
                if array.shape != shape:
                    raise ValueError(f"the cotangent of {label} has shape {array.shape}; it must be {shape}")
            seeds[name] = self.kernel._given(frame, buffer, array, self._sizes)
        return seeds

    def _unsorted(self, array: np.ndarray, axis: int) -> np.ndarray:
        """Rows back in the caller's order, and the batch axis off where the caller left it out."""
        if self._sizes.order is not None:
            back = np.empty_like(self._sizes.order)
            back[self._sizes.order] = np.arange(len(back))
            array = np.take(array, back, axis)
        return np.take(array, 0, axis) if self._sizes.single else array

    def _handed_back(self, name: str, kept: bool = False) -> np.ndarray:
        """A result as the caller sees it; kept: still needed here, so that the caller gets a copy."""
        buffer, frame = self.kernel.program.buffers[name], self._frame
        if buffer.kind == "shared":
            return frame.arrays[name].copy() if buffer.shape else frame.arrays[name][()]
        if buffer.kind == "sequence":
            return self._unsorted(frame.arrays[name].copy(), 0)
        array = frame.steps_of(name)
        if frame.ragged or kept:
            array = array.copy()
        if frame.ragged:
            array[np.arange(frame.steps)[:, None] >= frame.lengths[None, :]] = 0
        return self._unsorted(array, 1)
