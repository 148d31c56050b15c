"""Prepared: a call that was made before -> its value and gradient again, for other values of the same shapes.

Everything that follows from shapes alone is known; what is left is to make room, take addresses and run. Whatever is out of the
ordinary is left to the kernel's long way, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from codegen.compiled import Compiled, Table, shares, worth_starting
from codegen.frame import BYTE, Frame
from codegen.program import Phase, Program, number_of
from codegen.reports import COLUMNS, Reports
from codegen.run import asked_for
from codegen.workspace import empty

if TYPE_CHECKING:
    from codegen.kernel import Kernel

MOST_SPARE = 1 << 20  # bytes of rooms that wait for the next call of their sizes; greater ones go back to all
Rooms = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # what begins as zeros, both phases' blocks, the objective within one


@dataclass(frozen=True, slots=True)
class Unit:
    """One call of the module: the unit's number, what is wanted of it, the table by which it finds its buffers, and the rows of its report
    on steady states."""  # noqa: D205, D209

    number: int
    wanted: bytes
    table: Table
    rows: int

    def run(self, module: ModuleType, bases: tuple[np.ndarray, ...], split: np.ndarray, steps: int) -> bool:
        """Run the unit on the memory that `bases` hold: whether all steady states were found."""
        table, report = self.table, np.zeros((self.rows, COLUMNS)) if self.rows else None
        return module.run(self.number, (table.active, table.lengths, *bases), *table.addresses, split, self.wanted, 1, steps, False, report)


@dataclass(frozen=True, slots=True)
class Result:
    """A gradient. place: its array's, among those made; span: its steps, where the array has room outside them."""

    label: str
    place: int
    span: slice | None
    scalar: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """labels: arguments in the order of their buffers; rooms: steps before and after those of an input that is read there, which are zero;
    checked: arguments that must be finite; zeroed, blocks: bytes of the blocks of memory of
    the forward phase, and of the gradient's; value: where in a block the objective lies; made: shapes of the arrays of the gradient;
    splits: borders between the rows of threads, by how many there are; spare: rooms of calls that have ended."""  # noqa: D205, D209

    module: ModuleType
    dtype: np.dtype
    steps: int
    labels: tuple[str, ...]
    rooms: Mapping[str, tuple[int, int]]
    checked: tuple[str, ...]
    zeroed: int
    blocks: tuple[int, int]
    made: tuple[tuple[int, ...], ...]
    forward: Unit
    gradient: Unit
    value: int
    results: tuple[Result, ...]
    splits: dict[int, np.ndarray]
    spare: list[Rooms]

    def __call__(self, values: Mapping[str, np.ndarray], threads: int | None) -> tuple[float, dict[str, np.ndarray]] | None:
        """The objective and its gradient; None where the long way must be taken."""
        arrays = [values[label] for label in self.labels]
        if self.rooms:
            both = zip(self.labels, arrays, strict=True)
            arrays = [self._padded(array, *self.rooms[label]) if label in self.rooms else array for label, array in both]
        split = self._split(threads)
        zeroed, kept, work, value = self.spare.pop() if self.spare else self._rooms()
        found = [empty(shape, self.dtype) for shape in self.made]
        try:
            if self.module.unfinite(tuple([values[label] for label in self.checked])) >= 0:
                return None
            if not self.forward.run(self.module, (zeroed, kept, *arrays), split, self.steps):
                return None
            if not self.gradient.run(self.module, (zeroed, kept, work, *arrays, *found), split, self.steps):
                return None
        except BufferError:  # an array that is not contiguous, or not aligned
            return None
        objective = value[0]
        if kept.size + work.size <= MOST_SPARE:
            zeroed[...] = 0
            self.spare.append((zeroed, kept, work, value))
        gradients = {}
        for result in self.results:
            array = found[result.place]
            gradients[result.label] = array[()] if result.scalar else array if result.span is None else array[result.span]
        return objective, gradients

    def _rooms(self) -> Rooms:
        """Memory for one call."""
        kept = empty((self.blocks[0],), BYTE)
        value = kept[self.value : self.value + self.dtype.itemsize].view(self.dtype)
        return np.zeros(self.zeroed, np.uint8), kept, empty((self.blocks[1],), BYTE), value

    def _padded(self, array: np.ndarray, before: int, after: int) -> np.ndarray:
        """An input with zeros outside its steps."""
        padded = empty((before + self.steps + after, *array.shape[1:]), self.dtype)
        padded[:before] = padded[before + self.steps :] = 0
        padded[before : before + self.steps] = array
        return padded

    def _split(self, threads: int | None) -> np.ndarray:
        table = self.forward.table
        count = worth_starting(table, threads)
        if count not in self.splits:
            self.splits[count] = table.alone if count == 1 else shares(table.lengths, count)
        return self.splits[count]


def value_and_grad(
    kernel: Kernel, values: Mapping[str, np.ndarray], wrt: Iterable[str] | None, steps: int | None, batch: int | None
) -> tuple[float, dict[str, np.ndarray]]:
    """The objective and its gradient, by a prepared call where there is one. Raises: as `Kernel.value_and_grad`."""
    asked = None if wrt is None else tuple(asked_for(kernel.program.results["gradient"], wrt))
    shapes = kernel._arguments.key(values, steps, batch)
    key = None if shapes is None else (shapes, asked)
    prepared = None if key is None else kernel.plans.get(key)
    found = prepared(values, kernel.threads) if prepared else None
    if found is None:
        run = kernel._run(values, steps, batch, ())
        found = run.value, run.backward(wrt=asked)
        if key is not None and prepared is None:
            names = asked_for(kernel.program.results["gradient"], asked)
            run._frame.keep(key, prepare(kernel, run._frame, values, names) or False)
    return found


def prepare(kernel: Kernel, frame: Frame, values: Mapping[str, np.ndarray], names: Mapping[str, str]) -> Prepared | None:
    """From the frame of the forward phase, what is needed to make the same call again, for the gradients at `names`; None for what is out
    of the ordinary."""  # noqa: D205, D209
    program, work = kernel.program, frame.following()
    work.complete(program.phases["gradient"].writes, apart=names.values())
    phases = (program.phases["forward"], frame), (program.part("gradient", names), work)
    forward, gradient = (_unit(program, phase, Compiled(kernel.module, each)) for phase, each in phases)
    labels = {program.buffers[name].label: name for name in frame.arrays.own}
    made = {name: array for name, array in work.arrays.own.items() if name not in frame.arrays.own}
    inputs = {label: program.buffers[name] for label, name in labels.items()}
    rooms = {label: (buffer.before, buffer.after) for label, buffer in inputs.items() if buffer.before or buffer.after}
    in_place = len(values) == len(labels) and all(
        label in values and (label in rooms or values[label] is frame.arrays.own[name]) for label, name in labels.items()
    )  # fmt: skip
    apart = set(names.values()) <= set(made) and len(set(names.values())) == len(names)
    integers = any(program.buffers[name].below is not None for name in work.arrays.own)
    if forward is None or gradient is None or not in_place or not apart or integers or program.systems or frame.guesses:
        return None
    (first, _), (second, _), (third, _) = work.arrays.blocks
    return Prepared(
        kernel.module, frame.dtype, frame.steps, tuple(labels), rooms,
        tuple(label for label in labels if label in kernel._arguments.shared), first.size, (second.size, third.size),
        tuple(array.shape for array in made.values()), forward, gradient,
        second.places[program.results["forward"][program.objective]][0],  # type: ignore[index]
        tuple(_result(program, frame.steps, label, name, list(made).index(name)) for label, name in names.items()), {}, [],
    )  # fmt: skip


def _result(program: Program, steps: int, label: str, name: str, place: int) -> Result:
    buffer = program.buffers[name]
    outside = buffer.kind == "timed" and (buffer.before or buffer.after)
    span = slice(buffer.before, buffer.before + steps) if outside else None
    return Result(label, place, span, buffer.kind == "shared" and not buffer.shape)


def _unit(program: Program, part: Phase, compiled: Compiled) -> Unit | None:
    """The one call that runs a phase, or a part of its actions."""
    runs = program.phases[part.name].runs
    if len(runs) != 1 or not isinstance(runs[0], tuple):
        return None
    wanted = bytes(action in part.actions for action in runs[0])
    return Unit(number_of(runs[0][0]), wanted, compiled.table, len(Reports(compiled.frame, runs[0]).rows))
