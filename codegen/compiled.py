"""Compiled: a loaded extension and a frame -> a runner of segments. Takes the addresses of a frame's arrays once.

Threads take the rows of a call for themselves, in shares of equal work; results do not depend on how many there are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from codegen.frame import Frame
from codegen.stages import runs

TILE = 8  # rows of a register tile
MOST_THREADS = 64
LEAST_WORK = 1 << 18  # about the numbers in the buffers of a call, below which other threads are not worth starting


class Compiled:
    """Runs the segments of a compiled module on a frame's buffers."""

    def __init__(self, module: ModuleType, frame: Frame) -> None:
        program, self.frame, self.module = frame.program, frame, module
        self.active, self.lengths = frame.active, np.ascontiguousarray(frame.lengths)
        pointers, strides = [address(self.active), address(self.lengths)], [0, 0]
        for name, buffer in program.buffers.items():
            array, step = frame.arrays.get(name), 0
            if array is not None and buffer.kind == "timed" and not frame.is_single(name):
                step = array.strides[0]
            pointers.append(0 if array is None else address(array) + buffer.before * step)
            strides.append(step // array.itemsize if step else 0)  # type: ignore[union-attr]
        self.pointers, self.strides = np.array(pointers, np.uintp), np.array(strides, np.int64)
        self.sizes = np.array([frame.steps, frame.batch, int(frame.ragged), *frame.dims.values()], np.int64)
        self.addresses = (address(self.pointers), address(self.strides), address(self.sizes))
        self.split = shares(frame.lengths, self._threads())

    def _threads(self) -> int:
        if self.frame.threads is not None:
            return check_threads(self.frame.threads, "threads")
        frame = self.frame
        work = frame.steps * frame.batch * sum(frame.dims.values()) * len(frame.program.buffers)
        return available_threads() if work >= LEAST_WORK else 1

    def run(self, number: int, t0: int, t1: int) -> None:
        """Run one segment over the steps t0..t1, in this thread."""
        self._call(number, np.array([0, self.frame.batch], np.int64), b"\1", t0, t1)

    def together(self, phase: str, numbers: Sequence[int], t0: int, t1: int) -> None:
        """Run segments that stand side by side in a phase, one after the other over the steps t0..t1."""
        for part in runs(self.frame.program.phases[phase].actions):
            order = [segment.number for segment in part] if isinstance(part, tuple) else []
            if set(order) & set(numbers):
                self._call(order[0], self.split, bytes(number in numbers for number in order), t0, t1)

    def _call(self, number: int, split: np.ndarray, wanted: bytes, t0: int, t1: int) -> None:
        self.module.run(number, *self.addresses, address(split), len(split) - 1, wanted, t0, t1)


def address(array: np.ndarray) -> int:
    """Where an array's memory begins."""
    return array.__array_interface__["data"][0]


def shares(lengths: np.ndarray, threads: int) -> np.ndarray:
    """Borders between the rows of threads, so that each has as many steps to take; rows come longest first.

    Whole tiles of rows where there are enough of them; one thread where there are not as many rows.
    """
    rows = len(lengths)
    if threads < 2 or rows < threads:
        return np.array([0, rows], np.int64)
    done = np.concatenate([[0], np.cumsum(lengths)])
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
