"""Run: what a kernel has computed forward -> its results, and gradients from what was kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from codegen.arguments import LEAD, Sizes
from codegen.beginning import given
from codegen.execute import execute
from codegen.filling import check_out
from codegen.frame import Frame

if TYPE_CHECKING:
    from codegen.kernel import Kernel


def asked_for(gradients: Mapping[str, str], wrt: Iterable[str] | None) -> dict[str, str]:
    """The gradients at the labels in `wrt`, or all. Raises: TypeError for a string; ValueError for a label without gradient."""
    if isinstance(wrt, str):
        raise TypeError(f"wrt is a string; write wrt=[{wrt!r}]")
    wanted = list(gradients) if wrt is None else list(wrt)
    for label in wanted:
        if label not in gradients:
            raise ValueError(f"there is no gradient at {label!r}; there are {', '.join(gradients)}")
    return {label: gradients[label] for label in wanted}


class Run:
    """A forward computation and all that its gradient needs."""

    def __init__(self, kernel: Kernel, frame: Frame, sizes: Sizes, given: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> None:
        self.kernel, self._frame, self._sizes, self._given, self._outputs = kernel, frame, sizes, given, outputs
        self._names = kernel.program.results["forward"]

    def __getitem__(self, name: str) -> np.ndarray:
        """A signal (T, B, n), a quantity without time (B, n) or a total (n), by its name; zero beyond each sequence's end."""
        if name not in self._names:
            raise KeyError(f"{self.kernel.program.name} has no signal {name!r}; it has {', '.join(sorted(self._names))}")
        if name not in self._outputs:
            raise KeyError(f"{name} was not kept; name it in outputs=")
        return self._handed_back(self._names[name], self._frame, kept=True)

    def fill(self, out: Mapping[str, np.ndarray] | None) -> None:
        """Write outputs into the caller's arrays. Raises: ValueError or TypeError naming the array."""
        names = {label: self._names[label] for label in self._outputs}
        for label, array in self._filled(names, out, {}).items():
            np.copyto(array, self[label])

    @property
    def value(self) -> float:
        """The objective, summed over sequences."""
        return self._frame.arrays[self._names[self._objective()]][()]

    def _objective(self) -> str:
        aim = self.kernel.program.objective
        if aim is None:
            raise ValueError(f"{self.kernel.program.name} has no objective")
        return aim

    @property
    def losses(self) -> np.ndarray:
        """What each sequence adds to the objective, (B,); their sum and `shared_loss` are `value`."""
        self._objective()
        name, frame = self.kernel.program.losses[0], self._frame
        found = np.zeros(frame.batch, frame.dtype) if name is None else frame.arrays[name].copy()
        return self._unsorted(found, 0)

    @property
    def shared_loss(self) -> float:
        """The terms of the objective that depend on no sequence, which count once: a weight penalty, say."""
        self._objective()
        name, frame = self.kernel.program.losses[1], self._frame
        return np.zeros((), frame.dtype)[()] if name is None else frame.arrays[name][()]

    @property
    def final(self) -> dict[str, np.ndarray]:
        """Every output at each sequence's last step, (B, n); where a sequence has none what stands before step 1, or zero."""
        found, frame = {}, self._frame
        for label in self._outputs:
            name = self._names[label]
            buffer = self.kernel.program.buffers[name]
            if buffer.kind == "timed":
                slots, rows = frame.lengths - 1 + buffer.before, np.arange(frame.batch)
                last = np.zeros((frame.batch, *frame.shape(buffer)), frame.dtype)
                last[slots >= 0] = frame.arrays[name][slots[slots >= 0], rows[slots >= 0]]
                found[label] = self._unsorted(last, 0)
        return found

    @property
    def state(self) -> dict[str, np.ndarray]:
        """What a following part of the stream reads of this one, (B, n) each: give it as `{**values, **run.state}`.

        Every value that lags reach, at each sequence's own end; where a sequence is shorter than a lag, what stood before it.
        Raises: ValueError where steps cannot be computed one after the other.
        """
        program, frame = self.kernel.program, self._frame
        if program.streaming.problem:
            raise ValueError(f"{program.name} has no state between steps: {program.streaming.problem}")
        rows = np.arange(frame.batch)
        return {
            label: self._unsorted(frame.arrays[name][frame.lengths - 1 + frame.room(name) + position, rows], 0)
            for label, name, position in program.streaming.state
        }

    @property
    def solutions(self) -> dict[str, object]:
        """For each steady state its iterations, residual and estimates."""
        return dict(self._frame.solutions)

    def backward(
        self,
        cotangents: Mapping[str, object] | None = None,
        *,
        wrt: Iterable[str] | None = None,
        out: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """The gradient of the objective, or the vector-Jacobian product for cotangents of any of the signals.

        cotangents: label -> array of the signal's shape; the objective plays no part then. wrt: labels to hand back, all by default;
        out: label -> array that is filled with its gradient, and handed back.
        Raises: ValueError naming what is wrong.
        """
        program, frame = self.kernel.program, self._frame
        phase = "gradient" if cotangents is None else "pullback"
        if cotangents is None:
            self.kernel._require_objective()
        names = asked_for(program.results.get(phase, {}), wrt)
        seeds = {} if cotangents is None else self._seeds(cotangents)
        read = {f"the cotangent of {label}": np.asarray(array) for label, array in (cotangents or {}).items()}
        filled = self._filled(names, out, read)
        work = frame.following()
        work.arrays.update(seeds)
        work.complete(program.phases[phase].writes, apart=names.values())
        execute(program.phases[phase] if wrt is None else program.part(phase, names), work, self.kernel._runner(phase, work))
        return self._results(names, work, filled)

    def truncated(
        self, k1: int, k2: int, *, wrt: Iterable[str] | None = None, out: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """The gradient by truncated backpropagation through time; see `Kernel.truncated`."""
        from codegen.truncation import Windows, check_window

        program = self.kernel.program
        if program.streaming.untruncated:
            raise ValueError(f"{program.name} cannot be truncated to windows of steps: {program.streaming.untruncated}")
        names = asked_for(program.results.get("gradient", {}), wrt)
        filled = self._filled(names, out, {})
        timed = [name for name in names.values() if program.buffers[name].kind == "timed"]
        work = Windows(self.kernel, self._frame).gradient(check_window("k1", k1), check_window("k2", k2), timed)
        return self._results(names, work, filled)

    def _filled(
        self, names: Mapping[str, str], out: Mapping[str, np.ndarray] | None, read: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The arrays to fill with results, checked. names: label -> buffer; read: further arrays that nothing may write to."""
        if not out:
            return {}
        shapes = {label: self._shape(name) for label, name in names.items()}
        return check_out(out, shapes, self._frame.dtype, {**self._given, **read})

    def _results(self, names: Mapping[str, str], work: Frame, filled: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Gradients as the caller sees them, in the arrays to fill where there are any."""
        shared = {name for name in names.values() if name in self._frame.arrays}
        found = {label: self._handed_back(name, work, kept=name in shared) for label, name in names.items()}
        for label, array in filled.items():
            np.copyto(array, found[label])
        return {**found, **filled}

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
            seeds[name] = given(frame, buffer, array, self._sizes)
        return seeds

    def _unsorted(self, array: np.ndarray, axis: int) -> np.ndarray:
        """Rows back in the caller's order, and the batch axis off where the caller left it out."""
        if self._sizes.order is not None:
            back = np.empty_like(self._sizes.order)
            back[self._sizes.order] = np.arange(len(back))
            array = np.take(array, back, axis)
        return np.take(array, 0, axis) if self._sizes.single else array

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape in which a result is handed back."""
        buffer, lead = self.kernel.program.buffers[name], {"T": self._frame.steps, "B": self._frame.batch}
        axes = [axis for axis in LEAD[buffer.kind] if not (axis == "B" and self._sizes.single)]
        return (*(lead[axis] for axis in axes), *self._frame.shape(buffer))

    def _handed_back(self, name: str, frame: Frame, kept: bool = False) -> np.ndarray:
        """A result as the caller sees it; kept: still needed here, so that the caller gets a copy."""
        buffer, array = self.kernel.program.buffers[name], frame.arrays[name]
        if kept:
            array = array.copy()
        if buffer.kind == "shared":
            return array if buffer.shape else array[()]
        if buffer.kind == "sequence":
            return self._unsorted(array, 0)
        if buffer.before or buffer.after:
            array = array[buffer.before : buffer.before + frame.steps]
        if frame.ragged:
            array[np.arange(frame.steps)[:, None] >= frame.lengths[None, :]] = 0
        return self._unsorted(array, 1)
