"""Checkpoints: a kernel, values and a budget of bytes -> the value and the gradient of a tape that is never there as a whole.

The steps are cut into windows. The state before some windows is kept; each window is run again from there when the gradient comes to it,
in an order that `codegen.revolve` chooses. Sums go on from window to window in the order of the whole tape, so that the bits are the same.
Sources: [griewank2008]; [werbos1990] backpropagation through time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from codegen.beginning import begin
from codegen.execute import execute
from codegen.frame import BYTE, Frame
from codegen.layout import Arrays
from codegen.program import Phase, is_once
from codegen.revolve import advances, revolve
from codegen.run import Run, asked_for
from codegen.streaming import Share
from codegen.workspace import empty

if TYPE_CHECKING:
    from codegen.kernel import Kernel

LONGEST = 256  # steps of a window where there is room: longer ones save nothing
Slots = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Plan:
    """length: steps of a window; kept: states kept beside the beginning; size: bytes that are used."""

    length: int
    kept: int
    size: int


class Checkpoints:
    """The gradient of one call, window by window. frame: the arguments, of all steps."""

    def __init__(self, kernel: Kernel, frame: Frame, wrt: Iterable[str] | None = None) -> None:
        program = kernel.program
        if program.streaming.windowless:
            raise ValueError(f"{program.name} cannot be computed in windows of steps, as memory= asks: {program.streaming.windowless}")
        self.kernel, self.frame, self.program = kernel, frame, program
        buffers, phases = program.buffers, program.phases
        timed = [buffers[name] for phase in ("forward", "gradient") for name in phases[phase].writes]
        timed = [b for b in timed if b.kind == "timed" and not b.loose]
        self.state = [b.name for b in timed if b.before and b.name in phases["forward"].writes]
        self.ahead = [b.name for b in timed if b.after]
        self.results = dict.fromkeys(asked_for(program.results["gradient"], wrt).values())
        self.rooms = max([1, *(max(b.before, b.after) for b in timed)])

    # -- how to cut

    def plan(self, memory: int) -> Plan | None:
        """How to stay within so many bytes; None where the whole tape does. Raises: ValueError naming the least that is enough."""
        steps = self.frame.steps
        if self._bytes(steps) <= memory:
            return None
        lengths = sorted({min(self.rooms, steps), *(n for n in (LONGEST >> k for k in range(20)) if self.rooms <= n < steps)}, reverse=True)
        plans = [plan for length in lengths if (plan := self._cut(length, memory)) is not None]
        if not plans:
            least = min(self._bytes(length) for length in lengths)
            raise ValueError(f"memory={memory} is too little for {self.program.name} with these sizes; {least} is enough")
        return min(plans, key=lambda plan: plan.length * advances(-(-steps // plan.length), plan.kept))

    def _cut(self, length: int, memory: int) -> Plan | None:
        used, windows = self._bytes(length), -(-self.frame.steps // max(length, 1))
        kept = min((memory - used) // max(self._state_bytes(), 1), windows - 1)
        return Plan(length, kept, used + kept * self._state_bytes()) if kept >= 0 else None

    def _bytes(self, length: int) -> int:
        """What a window of so many steps takes, with its tape and its gradient, and what it leaves for the one before."""
        return sum(self.blocks(length)) + self._edge_bytes(self.ahead)

    def blocks(self, length: int) -> tuple[int, int]:
        """The sizes of the blocks of memory of a window's two phases; the last window may be shorter."""
        found = []
        for steps in {length, self.frame.steps % max(length, 1) or length}:
            frame = self.window(0, steps, {})
            first = frame.layout(self.program.phases["forward"].writes)
            frame.arrays.blocks.append((first, np.empty(0, np.uint8)))
            found.append((first.size, frame.layout(self.program.phases["gradient"].writes, apart=self.results).size))
        return max(first for first, _ in found), max(second for _, second in found)

    def _state_bytes(self) -> int:
        return self._edge_bytes(self.state)

    def _edge_bytes(self, names: Iterable[str]) -> int:
        sizes = (max(self.program.buffers[name].before, self.program.buffers[name].after) * prod(self._row(name)) for name in names)
        return self.frame.dtype.itemsize * sum(sizes)

    def _row(self, name: str) -> tuple[int, ...]:
        return (self.frame.batch, *self.frame.shape(self.program.buffers[name]))

    # -- windows

    def window(self, start: int, end: int, sums: Mapping[str, np.ndarray]) -> Frame:
        """A frame of the steps after `start` up to `end`, with the arguments and the sums."""
        whole, buffers = self.frame, self.program.buffers
        frame = Frame(
            self.program, whole.dims, end - start, whole.batch, whole.lengths - start, whole.dtype, Arrays(whole.dtype), whole.guesses,
            factors=whole.factors, threads=whole.threads, plans=whole.plans, more=True, start=start, known=whole.known,
        )  # fmt: skip
        for name in whole.arrays:
            array, buffer = whole.arrays[name], buffers[name]
            frame.arrays[name] = array[start : end + buffer.before + buffer.after] if buffer.kind == "timed" else array
        frame.arrays.own.update(sums)
        return frame


def value_and_grad(
    kernel: Kernel, values: Mapping[str, object], wrt: Iterable[str] | None, out: Mapping[str, np.ndarray] | None, steps: int | None,
    batch: int | None,
) -> tuple[float, dict[str, np.ndarray]]:  # fmt: skip
    """As `Kernel.value_and_grad`, within the kernel's memory."""
    frame, sizes, arrays = begin(kernel, values, steps, batch)
    parts = Checkpoints(kernel, frame, wrt)
    plan = parts.plan(kernel.memory)  # type: ignore[arg-type]
    if plan is None:
        run = kernel._run(values, steps, batch, ())
        return run.value, run.backward(wrt=wrt, out=out)
    run = Run(kernel, frame, sizes, arrays, ())
    names = asked_for(kernel.program.results["gradient"], wrt)
    filled = run._filled(names, out, {})
    value, done = _Sweep(parts, plan).run()
    return value, run._results(names, done, filled)


class _Parts:
    """The actions of a phase: those that a window needs, before its loops and in them, those that take fixed steps out of it, those that
    follow from all windows, and of these those that stand among the first too."""  # noqa: D205, D209

    def __init__(self, phase: Phase, share: Share) -> None:
        def chosen(places: Iterable[int], once: bool = True) -> Phase:
            return Phase(phase.name, tuple(phase.actions[place] for place in sorted(places) if is_once(phase.actions[place]) == once))

        self.before, self.loops = chosen(share.needed), chosen(share.needed, once=False)
        self.picks, self.after, self.again = chosen(share.picks), chosen(share.after), chosen({*share.after} & {*share.needed})


class _Sweep:
    """The windows of one gradient, in the order of the schedule; what one leaves for the next."""

    def __init__(self, parts: Checkpoints, plan: Plan) -> None:
        self.parts, self.plan, self.frame, self.program = parts, plan, parts.frame, parts.program
        forward, gradient = self.program.streaming.forward, self.program.streaming.gradient
        self.forward, self.gradient = _Parts(self.program.phases["forward"], forward), _Parts(self.program.phases["gradient"], gradient)
        self.totals, self.picked = self._zeros(forward.sums), self._zeros(forward.lasting)
        self.sums = self._zeros(name for name in (*gradient.sums, *gradient.lasting) if name not in parts.results)
        self.whole = self._zeros(parts.results)
        self.rooms = [empty((size,), BYTE) for size in parts.blocks(plan.length)]
        self.states: dict[int, Slots] = {}
        self.now: Slots = {}
        self.later: Slots = {}
        self.counted = 0

    def _zeros(self, names: Iterable[str]) -> Slots:
        return {name: self.frame.allocate(name, whole=True, zeroed=True) for name in names}

    def run(self) -> tuple[np.ndarray, Frame]:
        """Every window in its turn."""
        length, steps = self.plan.length, self.frame.steps
        for action, window in revolve(-(-steps // length), self.plan.kept):
            start, end = window * length, min((window + 1) * length, steps)
            if action == "run":
                self._forward(start, end)
            elif action == "keep":
                self.states[start] = self.now
            elif action == "go back":
                self.now = self.states.get(start, {})
            else:
                last = self._backward(self._forward(start, end), start, end)
                self.states.pop(start, None)
        return self._finished(*last)

    def _forward(self, start: int, end: int) -> Frame:
        """Run a window forward from the state before it; its share of the totals counts the first time."""
        first = start >= self.counted
        self.counted = max(self.counted, end)
        totals = self.totals if first else {name: array.copy() for name, array in self.totals.items()}
        frame = self.parts.window(start, end, {**self.picked, **totals})
        frame.complete(self.program.phases["forward"].writes, memory=self.rooms[0])
        self._execute(self.forward.before, frame)
        if start:
            for name, slots in self.now.items():
                frame.arrays[name][: len(slots)] = slots
        self._execute(self.forward.loops, frame)
        frame.arrays.own.update(self.totals)
        if first:
            self._execute(self.forward.picks, frame)
        if self.counted == self.frame.steps:
            self._execute(self.forward.after if first else self.forward.again, frame)
        rooms = {name: self.program.buffers[name].before for name in self.parts.state}
        self.now = {name: frame.arrays[name][frame.steps : frame.steps + room].copy() for name, room in rooms.items()}
        return frame

    def _backward(self, frame: Frame, start: int, end: int) -> tuple[Frame, Frame]:
        """The gradient over a window whose tape is there."""
        work, buffers = frame.following(), self.program.buffers
        work.arrays.own.update(self.sums)
        for name, array in self.whole.items():
            buffer = buffers[name]
            work.arrays[name] = array[start : end + buffer.before + buffer.after] if buffer.kind == "timed" else array
        work.complete(self.program.phases["gradient"].writes, memory=self.rooms[1])
        self._execute(self.gradient.before, work)
        going_on = int(np.count_nonzero(self.frame.lengths > end))
        for name, slots in self.later.items():
            place = buffers[name].before + work.steps
            work.arrays[name][place : place + len(slots), :going_on] = slots[:, :going_on]
        self._execute(self.gradient.loops, work)
        if not start:
            self._execute(self.gradient.after, work)
        rooms = {name: (buffers[name].before, buffers[name].after) for name in self.parts.ahead}
        self.later = {name: work.arrays[name][before : before + after].copy() for name, (before, after) in rooms.items()}
        return frame, work

    def _execute(self, phase: Phase, frame: Frame) -> None:
        if phase.actions:
            execute(phase, frame, self.parts.kernel._runner(phase.name, frame))

    def _finished(self, frame: Frame, work: Frame) -> tuple[np.ndarray, Frame]:
        """The objective, and a frame with all that is asked for, from the frames of the first window."""
        arrays, done = work.arrays, self.frame.following()
        done.arrays.update({name: self.whole[name] if self.program.buffers[name].kind == "timed" else arrays[name] for name in self.whole})
        return frame.arrays[self.program.results["forward"][self.program.objective]][()], done  # type: ignore[index]
