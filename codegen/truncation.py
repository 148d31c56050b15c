"""Truncation: a kernel and values -> the objective of whole sequences and its gradient by truncated backpropagation through time.

The gradient phase runs over windows of the forward phase's own arrays, in which the steps before stand as values outside the
steps; what it sums over steps is summed over windows before the rest of the phase, which has no steps, is done once.
Source: [werbos1990] backpropagation through time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from codegen.execute import execute
from codegen.frame import Frame
from codegen.layout import Arrays
from codegen.program import Phase, is_once

if TYPE_CHECKING:
    from codegen.kernel import Kernel


def windows(steps: int, k1: int, k2: int) -> list[tuple[int, int, int]]:
    """(steps before it, its last step, the last step of the window before) for every window: one ends at every multiple of k1.

    The last is cut where the sequence ends.
    """
    ends = range(k1, steps + k1, k1)
    return [(min(max(end - k2, 0), steps), min(end, steps), end - k1) for end in ends]


def check_window(name: str, value: object) -> int:
    """A number of steps. Raises: ValueError or TypeError naming it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; it must be a whole number of steps")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return int(value)


class Windows:
    """The gradient phase of a run's frame, window by window."""

    def __init__(self, kernel: Kernel, frame: Frame) -> None:
        self.kernel, self.frame, self.program = kernel, frame, kernel.program
        self.phase = self.program.phases["gradient"]

    def gradient(self, k1: int, k2: int, timed: Iterable[str]) -> Frame:
        """A frame with the arrays of the gradient phase that have no time, and those of the buffers `timed` over all steps."""
        frame, found = self.frame, windows(self.frame.steps, k1, k2)
        base = self._window(0, max((end for start, end, _ in found if not start), default=0), frame.lengths)
        whole = {name: frame.allocate(name, whole=True, zeroed=True) for name in timed}
        for start, end, before in found:
            # Sequences that ended by the end of the window before have had theirs.
            window = self._window(start, end, np.where(frame.lengths > before, frame.lengths, 0))
            with np.errstate(all="ignore"):  # what has no time is computed for sequences without a step here too, and read by nothing
                execute(self.phase, window, self.kernel._runner("gradient", window))
            for name in self.program.streaming.gradient.sums:
                base.arrays[name] += window.arrays[name]
            for name, array in whole.items():
                room = frame.room(name)
                array[room + start : room + end] += window.steps_of(name)
            if not start:
                self._add_beginning(base, window)
        once = Phase("gradient", tuple(action for action in self.phase.actions if is_once(action)))
        execute(once, base, self.kernel._runner("gradient", base))
        arrays = frame.arrays.copy()
        arrays.update({**base.arrays, **whole})
        return replace(frame, arrays=arrays)

    def _add_beginning(self, base: Frame, window: Frame) -> None:
        """What the first steps send to the values outside the steps, which no window that begins later reaches."""
        for name in self.phase.writes:
            if self.program.buffers[name].kind == "timed" and not self.program.buffers[name].loose:
                slots = len(window.arrays[name])
                base.arrays[name][:slots] += window.arrays[name]

    def _window(self, start: int, end: int, lengths: np.ndarray) -> Frame:
        """A frame of the steps after `start` up to `end`, with views of what the forward phase computed."""
        frame, buffers = self.frame, self.program.buffers
        window = replace(frame, steps=end - start, lengths=lengths - start, start=start, arrays=Arrays(frame.dtype))
        for name, array in frame.arrays.items():
            if buffers[name].kind != "timed":
                window.arrays[name] = array
            elif not buffers[name].loose:
                window.arrays[name] = array[start : end + buffers[name].before + buffers[name].after]
        window.complete(self.phase.writes, zeroed=True)
        return window
