"""Frame: the arrays of one call. Program and sizes -> buffers, steps and lengths, ready for an executor."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from codegen.program import Buffer, Program, Size, size_value
from codegen.workspace import empty


@dataclass(slots=True)
class Frame:
    """Everything a segment reads and writes.

    arrays: by buffer, shared `shape`, sequence `(B, shape)`, timed `(before + T + after, B, shape)` or `(1, B, shape)` where one
    step's room is enough; active: `(T,)`, how many rows are at least as long as each step (rows are sorted, longest first);
    lengths: `(B,)`; ragged: whether any row ends before T; guesses: starting guesses of steady states by buffer; factors: decomposed
    constraints by their system's place, kept from call to call; threads: how many take part, None for as many as there are processors
    where that is worth it; known: shapes found so far.
    """

    program: Program
    dims: dict[str, int]
    steps: int
    batch: int
    lengths: np.ndarray
    dtype: np.dtype
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    guesses: dict[str, np.ndarray] = field(default_factory=dict)
    solutions: dict[str, object] = field(default_factory=dict)
    factors: dict[int, object] = field(default_factory=dict)
    threads: int | None = None
    known: dict[tuple[Size, ...], tuple[int, ...]] = field(default_factory=dict)

    @property
    def ragged(self) -> bool:
        """Whether some sequence ends before the longest."""
        return bool(self.batch and self.lengths.min() < self.steps)

    @property
    def active(self) -> np.ndarray:
        """How many rows, from the first, take part in each step 1..T."""
        return np.count_nonzero(self.lengths[None, :] >= np.arange(1, self.steps + 1)[:, None], axis=1).astype(np.int64)

    def shape(self, buffer: Buffer) -> tuple[int, ...]:
        """A buffer's components."""
        if buffer.shape not in self.known:
            self.known[buffer.shape] = tuple(size_value(size, self.dims) for size in buffer.shape)
        return self.known[buffer.shape]

    def allocate(self, name: str, whole: bool, zeroed: bool = False) -> np.ndarray:
        """An array for a buffer, of -1 where it holds integers; `whole` keeps every step also where one step's room is enough.

        Zeroed where asked for, and where not all of it is written before it is read.
        """
        buffer = self.program.buffers[name]
        shape = self.shape(buffer)
        if buffer.kind == "timed":
            rooms = buffer.before + self.steps + buffer.after if whole or not buffer.loose else 1
            shape = (rooms, self.batch, *shape)
        elif buffer.kind == "sequence":
            shape = (self.batch, *shape)
        if buffer.below is not None:
            return np.full(shape, -1, np.int64)
        if self.dtype == object:
            return np.full(shape, 0, object)
        made = empty(shape, np.dtype(self.dtype))
        if zeroed or buffer.role == "argument" or buffer.kind != "timed" or self.ragged:
            made[...] = 0
        return made

    def complete(self, names: Iterable[str], whole: Collection[str] = (), zeroed: bool = False) -> None:
        """Allocate the buffers among `names` that have no array yet; those in `whole` keep every step."""
        for name in names:
            if name not in self.arrays:
                self.arrays[name] = self.allocate(name, name in whole, zeroed)

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
