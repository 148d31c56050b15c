"""Frame: the arrays of one call. Program and sizes -> buffers, steps and lengths, ready for an executor."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from codegen.layout import Arrays, Layout, lay_out
from codegen.program import Buffer, Program
from codegen.sizes import Size, size_value
from codegen.workspace import empty

BYTE, MOST_PLANS = np.dtype(np.uint8), 256
FEW = 6  # sequences, below which products of a step waste much of a register tile; they are made for all steps at once where they can be
Plan = TypeVar("Plan")


@dataclass(slots=True)
class Frame:
    """Everything a segment reads and writes.

    arrays: by buffer, shared `shape`, sequence `(B, shape)`, timed `(before + T + after, B, shape)` or `(1, B, shape)` where one
    step's room is enough; lengths: `(B,)`, rows are sorted, longest first; ragged: whether any row ends before T; start: how many steps
    lie before a window of a longer call, whose lengths are what each row has left (more than T where it goes on, at most 0 where it has
    ended); guesses: starting guesses of steady states by buffer; factors: decomposed constraints by their system's place, and plans: what
    follows from sizes alone, both kept from call to call; threads: how many take part, None for as many as there are processors where
    that is worth it; more: whether sums over steps go on from what they hold; known: shapes found so far.
    """

    program: Program
    dims: dict[str, int]
    steps: int
    batch: int
    lengths: np.ndarray
    dtype: np.dtype
    arrays: Arrays
    guesses: dict[str, np.ndarray] = field(default_factory=dict)
    solutions: dict[str, object] = field(default_factory=dict)
    factors: dict[int, object] = field(default_factory=dict)
    threads: int | None = None
    plans: dict[object, Any] = field(default_factory=dict)
    more: bool = False
    start: int = 0
    known: dict[tuple[Size, ...], tuple[int, ...]] = field(default_factory=dict)
    ragged: bool = field(init=False)

    def __post_init__(self) -> None:
        self.ragged = bool(self.batch) and int(self.lengths[-1]) < self.steps

    @property
    def few(self) -> bool:
        """Whether what is known before a loop is multiplied before it."""
        return self.batch < FEW

    @property
    def active(self) -> np.ndarray:
        """How many rows, from the first, take part in each step 1..T, `(T,)`."""
        return np.count_nonzero(self.lengths[None, :] >= np.arange(1, self.steps + 1)[:, None], axis=1).astype(np.int64)

    @property
    def sizes(self) -> tuple[int, ...]:
        """All that decides shapes."""
        return (self.steps, self.batch, *self.dims.values())

    def keep(self, key: object, plan: Plan) -> Plan:
        """Keep what follows from sizes for the next calls with the same ones."""
        if len(self.plans) >= MOST_PLANS:
            self.plans.clear()
        self.plans[key] = plan
        return plan

    def shape(self, buffer: Buffer) -> tuple[int, ...]:
        """A buffer's components."""
        if buffer.shape not in self.known:
            self.known[buffer.shape] = tuple(size_value(size, self.dims) for size in buffer.shape)
        return self.known[buffer.shape]

    def room_for(self, name: str, whole: bool) -> tuple[int, ...]:
        """The shape of a buffer's array; `whole` keeps every step also where one step's room is enough."""
        buffer = self.program.buffers[name]
        if buffer.kind == "shared":
            return self.shape(buffer)
        if buffer.kind == "sequence":
            return (self.batch, *self.shape(buffer))
        single = buffer.loose and not whole and not (buffer.hoisted and self.few)
        return (1 if single else buffer.before + self.steps + buffer.after, self.batch, *self.shape(buffer))

    def allocate(self, name: str, whole: bool, zeroed: bool = False) -> np.ndarray:
        """An array of its own for a buffer, of -1 where it holds integers.

        Zeroed where asked for, and where not all of it is written before it is read.
        """
        return self._blank(self.program.buffers[name], self.room_for(name, whole), zeroed)

    def _blank(self, buffer: Buffer, shape: tuple[int, ...], zeroed: bool) -> np.ndarray:
        if buffer.below is not None:
            return np.full(shape, -1, np.int64)
        if self.dtype == object:
            return np.full(shape, 0, object)
        made = empty(shape, self.dtype)
        if zeroed or self._is_partial or buffer.role == "argument":
            made[...] = 0
        return made

    @property
    def _is_partial(self) -> bool:
        """Whether statements leave some of a buffer as it was."""
        return self.ragged or not self.batch or not self.steps

    def layout(self, names: Iterable[str], whole: Collection[str] = (), apart: Collection[str] = ()) -> Layout:
        """Where the buffers among `names` lie that are not there yet."""
        key = (tuple(names), frozenset(whole), tuple(apart), self.sizes, self.arrays.known)
        return self.plans.get(key) or self.keep(key, self._laid_out(names, whole, apart))

    def complete(
        self, names: Iterable[str], whole: Collection[str] = (), zeroed: bool = False, apart: Collection[str] = (),
        memory: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Make room for the buffers among `names` that have none yet, in one block (or at the beginning of `memory`); those in `whole` keep
        every step, those in `apart` are arrays of their own."""  # noqa: D205, D209
        layout = self.layout(names, whole, apart)
        for name, shape in layout.apart.items():
            self.arrays.own[name] = self._blank(self.program.buffers[name], shape, zeroed)
        memory = empty((layout.size,), BYTE) if memory is None else memory[: layout.size]
        if zeroed or self._is_partial:
            memory[...] = 0
        self.arrays.blocks.append((layout, memory))

    def _laid_out(self, names: Iterable[str], whole: Collection[str], apart: Collection[str]) -> Layout:
        """Where new buffers lie; objects and integers have arrays of their own too."""
        new = {name: self.room_for(name, name in whole) for name in names if name not in self.arrays}
        lone = {
            name: room for name, room in new.items()
            if name in apart or self.dtype == object or self.program.buffers[name].below is not None
        }  # fmt: skip
        return lay_out({name: room for name, room in new.items() if name not in lone}, self.dtype.itemsize, lone)

    def following(self) -> Frame:
        """A frame for a phase that follows: the same arrays, to which it adds its own."""
        return Frame(
            self.program, self.dims, self.steps, self.batch, self.lengths, self.dtype, self.arrays.copy(), self.guesses, self.solutions,
            self.factors, self.threads, self.plans, self.more, self.start, self.known,
        )  # fmt: skip

    def steps_of(self, name: str) -> np.ndarray:
        """A timed buffer's steps 1..T, without the room outside."""
        before = self.program.buffers[name].before
        return self.arrays[name][before : before + self.steps]

    def is_single(self, name: str) -> bool:
        """Whether a timed buffer holds one step only."""
        buffer = self.program.buffers[name]
        return buffer.kind == "timed" and buffer.loose and self.arrays[name].shape[0] == 1 and self.steps != 1

    def room(self, name: str) -> int:
        """The index of step 1 of a timed buffer."""
        return self.program.buffers[name].before
