"""Stream: a kernel and what does not change over time -> its signals one step at a time, with nothing kept but the state.

It runs the actions of the forward phase that signals need, over one step, so that its results are those of `Kernel.forward` bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.arguments import Arguments, Sizes
from codegen.beginning import blank, given, place_guesses, require_constraints
from codegen.execute import execute
from codegen.frame import Frame
from codegen.program import Action, Phase, Program, is_once

if TYPE_CHECKING:
    from codegen.kernel import Kernel


class StepArguments(Arguments):
    """Checks the values of a stream: the inputs of one step, (B, dims), and any part of the state."""

    def __init__(self, program: Program, dtype: np.dtype, fixed: Mapping[str, int]) -> None:
        super().__init__(program, dtype, fixed)
        self.inputs = tuple(label for label, buffer in self.buffers.items() if buffer.kind == "timed")
        self.optional = frozenset(self.inputs)
        self.buffers = {
            label: replace(buffer, kind="sequence", before=0, after=0) if label in self.inputs else buffer
            for label, buffer in self.buffers.items()
        }
        self.carried = {
            label: replace(program.buffers[name], label=label, kind="sequence", before=0, after=0)
            for label, name, _ in program.streaming.state
        }

    def _check_positions(self, sizes: Sizes) -> None:
        """Fixed positions are read by the objective alone, which no step computes."""

    def of_step(self, label: str, value: object, shape: tuple[int, ...], dims: Mapping[str, int]) -> np.ndarray:
        """One array of a step, of the shape that the stream began with. Raises: ValueError or TypeError naming it."""
        buffer = self.buffers[label] if label in self.inputs else self.carried[label]
        array = self._numbers(buffer, label, value)
        if array.shape != shape:
            raise ValueError(f"{label} has shape {array.shape}; in this stream it must be {shape}")
        self._check_below(buffer, label, array, dims)
        return array


class Stream:
    """A recurrence computed step by step: `step` takes a step's inputs and hands back its signals, `state` is what the next step reads.

    What does not change over time is checked and copied once. Nothing else is kept, and no gradient can be taken. One thread at a time.
    """

    def __init__(
        self, kernel: Kernel, values: Mapping[str, object], outputs: Iterable[str] | None = None, batch: int | None = None
    ) -> None:
        """Begin a stream.

        values: parameters, constants, inputs without time, and any part of the state, in the shapes that `Kernel.forward` takes; inputs of
        a step, (B, dims), may stand among them for their sizes. Where nothing has a batch axis and `batch` is not given there is one
        sequence, without it. outputs: the signals that `step` hands back.
        Raises: ValueError or TypeError naming the argument, or what makes a single step meaningless.
        """
        program = kernel.program
        if program.streaming.problem:
            raise ValueError(f"{program.name} cannot be computed step by step: {program.streaming.problem}")
        if "lengths" in values:
            raise ValueError("a stream takes no lengths: every sequence takes part in every step")
        self._kernel, self._arguments = kernel, StepArguments(program, np.dtype(kernel.dtype), kernel.fixed or {})
        self.inputs = self._arguments.inputs
        sizes, arrays = self._arguments.read(values, 1, batch)
        known = self._arguments.known
        alone = batch is None and all(known[label].kind == "shared" for label in arrays)
        self._sizes = replace(sizes, single=sizes.single or alone)
        self._outputs = self._chosen(outputs)
        self._frame = self._begun(arrays)
        self._runner = kernel._runner("forward", self._frame)
        self._phase = Phase("forward", tuple(a for a in self._actions() if not is_once(a)))
        self._shifted = list(dict.fromkeys(name for _, name, _ in program.streaming.state))
        for label, slot in self._slots().items():
            slot[...] = arrays.get(label, slot)

    def step(self, inputs: Mapping[str, object] | None = None) -> dict[str, np.ndarray]:
        """One step: label -> (B, dims) for every input that signals depend on -> the signals at this step, (B, n) each.

        Raises: ValueError or TypeError naming the input; ConvergenceError. The state is then as it was.
        """
        given, frame, program = inputs or {}, self._frame, self._kernel.program
        for label in given:
            if label not in self.inputs:
                raise ValueError(f"{label!r} is no input of a step; {program.name} takes {', '.join(self.inputs) or 'none'}")
        for label in self.inputs:
            buffer = self._arguments.buffers[label]
            if label in given:
                value: object = self._arguments.of_step(label, given[label], self._lead(frame.shape(buffer)), frame.dims)
            elif label in program.streaming.inputs:
                raise ValueError(f"{label} is missing: {self._lead(frame.shape(buffer))}")
            else:
                value = 0 if buffer.below is None else -1  # read by the objective alone, which no step computes
            frame.arrays[buffer.name][frame.room(buffer.name)] = value
        execute(self._phase, frame, self._runner)
        found = {label: self._handed_back(frame.arrays[name][frame.room(name)]) for label, name in self._outputs.items()}
        for name in self._shifted:
            array, room = frame.arrays[name], frame.room(name)
            array[:room] = array[1 : room + 1]
        return found

    @property
    def state(self) -> dict[str, np.ndarray]:
        """What the next step reads of those before: label -> (B, n). It can be given to a stream, and to `Kernel.forward`."""
        return {label: self._handed_back(slot) for label, slot in self._slots().items()}

    @state.setter
    def state(self, values: Mapping[str, object]) -> None:
        slots, found = self._slots(), {}
        for label, value in values.items():
            if label not in slots:
                raise ValueError(f"{label!r} is no part of the state; it holds {', '.join(slots) or 'nothing'}")
            found[label] = self._arguments.of_step(label, value, self._lead(slots[label].shape[1:]), self._frame.dims)
        for label, value in found.items():
            slots[label][...] = value

    def _slots(self) -> dict[str, np.ndarray]:
        arrays, room = self._frame.arrays, self._frame.room
        return {label: arrays[name][room(name) - 1 + position] for label, name, position in self._kernel.program.streaming.state}

    def _lead(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in which the caller gives and gets an array of a step."""
        return shape if self._sizes.single else (self._sizes.batch, *shape)

    def _handed_back(self, array: np.ndarray) -> np.ndarray:
        return (array[0] if self._sizes.single else array).copy()

    def _chosen(self, outputs: Iterable[str] | None) -> dict[str, str]:
        """The buffers of the signals to hand back."""
        program = self._kernel.program
        names = {label: name for label, name in program.results["forward"].items() if program.buffers[name].kind == "timed"}
        if outputs is None:
            return names
        wanted = self._kernel._outputs(outputs)
        for label in wanted:
            if label not in names:
                raise ValueError(f"outputs has {label!r}, which has no time; a step hands back {', '.join(names)}")
        return {label: names[label] for label in wanted}

    def _actions(self) -> list[Action]:
        program = self._kernel.program
        return [program.phases["forward"].actions[place] for place in program.streaming.actions]

    def _begun(self, arrays: Mapping[str, np.ndarray]) -> Frame:
        """Room for one step, with all that is computed once and the values outside the steps.

        Computed in room for as many steps as the model's fixed positions need, since statements that share a segment with those
        that are needed here may read them.
        """
        program, sizes = self._kernel.program, self._sizes
        enough = max((1 - before - offset if end else offset - after for _, end, offset, before, after in program.least), default=1)
        first = self._filled(max(1, enough), arrays, sizes)
        require_constraints(self._kernel.program, first)
        execute(Phase("forward", tuple(a for a in self._actions() if is_once(a))), first, self._kernel._runner("forward", first))
        frame = self._filled(1, arrays, sizes)
        for name, array in first.arrays.items():
            if program.buffers[name].kind != "timed":
                frame.arrays[name] = array.copy() if program.buffers[name].role == "argument" else array
            elif frame.room(name):
                frame.arrays[name][: frame.room(name)] = array[: frame.room(name)]
        return frame

    def _filled(self, steps: int, arrays: Mapping[str, np.ndarray], sizes: Sizes) -> Frame:
        """A frame of some steps, with the arguments."""
        kernel, program = self._kernel, self._kernel.program
        frame = blank(kernel, replace(sizes, steps=steps, lengths=np.full(sizes.batch, steps, np.int64)))
        for label, buffer in self._arguments.buffers.items():
            if label in self._arguments.inputs:
                frame.arrays[buffer.name] = frame.allocate(buffer.name, whole=True)
            else:
                frame.arrays[buffer.name] = given(frame, buffer, arrays.get(label), sizes)
        place_guesses(self._arguments, frame, sizes, arrays)
        frame.complete(program.phases["forward"].writes)
        return frame
