"""Compiled: a loaded extension and a frame -> a runner of segments, with the table by which it finds a frame's buffers.

Threads take the rows of a call for themselves, in shares of equal work; results do not depend on how many there are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from types import ModuleType

import numpy as np

from codegen.frame import Frame
from codegen.program import Part, number_of, solves
from codegen.reports import COLUMNS, Reports

TILE = 8  # rows of a register tile
MOST_THREADS = 64
LEAST_WORK = 1 << 18  # about the numbers in the buffers of a call for which one more thread is worth starting
LEAST_SHARED = 1 << 21  # likewise, where it has no rows of its own, and meets the others after every stage
LEAST_SEARCH = 1 << 19  # about the multiplications in one evaluation of a steady state's equations, likewise


@dataclass(frozen=True, slots=True)
class Table:
    """Where a module finds the buffers of calls of the same sizes. places: for each of `bases` an index and an offset in bytes, (-1, 0)
    for a buffer that is not there; strides: of a step, in numbers, 0 where there is one step's room; sizes: T, B, whether rows differ
    in length, whether they are few, the steps before, dims; addresses: of the three; alone: the border of rows for one thread; worth: how
    many are worth starting."""  # noqa: D205, D209

    places: np.ndarray
    strides: np.ndarray
    sizes: np.ndarray
    addresses: tuple[int, int, int]
    active: np.ndarray
    lengths: np.ndarray
    alone: np.ndarray
    worth: int


class Compiled:
    """Runs the actions of a compiled module on a frame's buffers."""

    def __init__(self, module: ModuleType, frame: Frame) -> None:
        self.frame, self.module = frame, module
        key = ("table", frame.sizes, frame.arrays.known)
        table: Table
        if frame.ragged or frame.start or (frame.batch and frame.lengths[0] > frame.steps):
            table = _table(frame)
        else:
            table = frame.plans.get(key) or frame.keep(key, _table(frame))
        self.table, arrays = table, frame.arrays
        self.bases = (table.active, table.lengths, *[memory for _, memory in arrays.blocks], *arrays.own.values())
        threads = worth_starting(table, frame.threads)
        self.split = table.alone if threads == 1 else shares(np.minimum(frame.lengths, frame.steps), threads)

    def run(self, number: int, t0: int, t1: int) -> None:
        """Run one segment that takes part in a steady state over the steps t0..t1, in this thread."""
        self._call(~number, self.table.alone, b"\1", t0, t1)

    def settle(self, number: int, t: int) -> np.ndarray:
        """Solve for a steady state from what its unknowns hold at step t: for every row (steps taken, residual, whether it is solved)."""
        report = np.ones((self.frame.batch, COLUMNS))
        self._call(~number, self.split, b"\1", t, t, report)
        return report

    def together(self, phase: str, actions: Sequence[Part], t0: int, t1: int) -> Sequence[Part]:
        """Run actions that stand side by side in a phase over the steps t0..t1: those that are left, where a steady state was not found."""
        numbers = {number_of(action) for action in actions}
        for run in self.frame.program.phases[phase].runs:
            if isinstance(run, tuple):
                wanted = bytes(number_of(action) in numbers for action in run)
                if any(wanted) and not self._together(phase, run, wanted, t0, t1):
                    return [action for action in actions if number_of(action) >= number_of(run[0])]
        return ()

    def _together(self, phase: str, run: Sequence[Part], wanted: bytes, t0: int, t1: int) -> bool:
        sought = [solve for action, chosen in zip(run, wanted, strict=True) if chosen for solve in solves(action)]
        begun = self._begun(phase) if sought else {}
        reports = Reports(self.frame, run)
        for solve in sought:
            reports.begin(solve)
        done = self._call(number_of(run[0]), self.split, wanted, t0, t1, reports.rows)
        for solve in sought if done else ():
            reports.keep(solve)
        for name, array in (begun if not done else {}).items():
            self.frame.arrays[name][...] = array
        return done

    def _begun(self, phase: str) -> dict[str, np.ndarray]:
        """Sums over steps that go on from other windows, as they are before this one: what is run again adds to them once more."""
        streaming = self.frame.program.streaming
        names = (streaming.forward if phase == "forward" else streaming.gradient).sums if self.frame.more else ()
        return {name: self.frame.arrays[name].copy() for name in names if name in self.frame.arrays}

    def _call(self, number: int, split: np.ndarray, wanted: bytes, t0: int, t1: int, report: np.ndarray | None = None) -> bool:
        return self.module.run(number, self.bases, *self.table.addresses, split, wanted, t0, t1, self.frame.more, report)


def _table(frame: Frame) -> Table:
    program, arrays = frame.program, frame.arrays
    bases = {name: place + 2 + len(arrays.blocks) for place, name in enumerate(arrays.own)}
    inside = {name: (place + 2, layout) for place, (layout, _) in reversed(list(enumerate(arrays.blocks))) for name in layout.places}
    places, strides = [(0, 0), (1, 0)], [0, 0]
    for name, buffer in program.buffers.items():
        if name not in bases and name not in inside:
            places.append((-1, 0))
            strides.append(0)
            continue
        step = 0 if buffer.kind != "timed" or frame.is_single(name) else frame.batch * prod(frame.shape(buffer))
        size = 8 if buffer.below is not None else frame.dtype.itemsize
        base, start = (bases[name], 0) if name in bases else (inside[name][0], inside[name][1].places[name][0])
        places.append((base, start + buffer.before * step * size))
        strides.append(step)
    tables = (
        np.array(places, np.int64), np.array(strides, np.int64),
        np.array([frame.steps, frame.batch, int(frame.ragged), int(frame.few), frame.start, *frame.dims.values()], np.int64),
    )  # fmt: skip
    work = frame.steps * frame.batch * sum(frame.dims.values()) * len(program.buffers)
    searches = any(solves(action) for phase in program.phases.values() for action in phase.actions)
    search = frame.batch * sum(frame.dims.values()) ** 2 if searches else 0
    worth = max(min(frame.batch, 1 + max(work // LEAST_WORK, search // LEAST_SEARCH)), 1 + work // LEAST_SHARED)
    return Table(
        *tables, tuple(address(table) for table in tables), frame.active, np.ascontiguousarray(frame.lengths),
        np.array([0, frame.batch], np.int64), worth,
    )  # type: ignore[arg-type]  # fmt: skip


def address(array: np.ndarray) -> int:
    """Where an array's memory begins."""
    return array.__array_interface__["data"][0]


def worth_starting(table: Table, threads: int | None) -> int:
    """How many threads a call has: as many as asked for, else those that there are and that its work is worth. Raises: ValueError."""
    return min(available_threads(), table.worth) if threads is None else check_threads(threads, "threads")


def shares(lengths: np.ndarray, threads: int) -> np.ndarray:
    """Borders between the rows of threads, so that each has as many steps to take; rows come longest first.

    Whole tiles of rows where there are enough of them. Where there are fewer rows than threads, the last threads have none: they share in
    what belongs to no row.
    """
    rows = len(lengths)
    if threads < 2 or not rows:
        return np.array([0, rows], np.int64)
    if rows < threads:
        return np.minimum(np.arange(threads + 1, dtype=np.int64), rows)
    done = np.concatenate([[0], np.cumsum(np.maximum(lengths, 1))])
    middles = (done[1:] + done[:-1]) / 2
    borders = np.searchsorted(middles, done[-1] * np.arange(threads + 1) / threads)
    unit = TILE if rows >= 2 * TILE * threads else 1
    borders = (borders + unit // 2) // unit * unit
    borders[0], borders[-1] = 0, rows
    return np.maximum.accumulate(np.minimum(borders, rows)).astype(np.int64)


def available_threads() -> int:
    """How many threads a call may have: RETROGRAD_THREADS where that is set, else the processors of this process."""
    asked = os.environ.get("RETROGRAD_THREADS", "")
    if asked:
        return check_threads(int(asked) if asked.isdigit() else asked, "RETROGRAD_THREADS")
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MOST_THREADS)


def check_threads(count: object, what: str) -> int:
    """A number of threads. Raises: ValueError naming where it was given."""
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 1 <= count <= MOST_THREADS:
        raise ValueError(f"{what} is {count!r}; it must be a whole number from 1 to {MOST_THREADS}")
    return int(count)
