"""Reports: the steady states of a run of actions -> where their searches begin, and what the caller is told of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.frame import Frame
from codegen.program import Loop, Part, Solve, solves

COLUMNS = 4


def called(frame: Frame, solve: Solve) -> str:
    """What messages call the unknowns of a steady state."""
    return ", ".join(frame.program.buffers[name].label or name.split("_", 1)[-1] for name in solve.names)


class Reports:
    """Of every row of each steady state: the steps taken, the residual, whether it is solved, and whether there is a guess to begin at."""

    def __init__(self, frame: Frame, run: Sequence[Part]) -> None:
        self.frame, self.places, self.back, count = frame, dict[int, slice](), set[int](), 0
        for action, solve in ((each, solve) for each in run for solve in solves(each)):
            rows = {"shared": 1, "sweep": frame.steps * frame.batch}.get(solve.level, frame.batch)
            self.places[solve.segment.number] = slice(count, count + rows)
            if isinstance(action, Loop) and action.direction == "backward":
                self.back.add(solve.segment.number)
            count += rows
        self.rows = np.zeros((count, COLUMNS))

    def begin(self, solve: Solve) -> None:
        """Write the starting guess of every row to its unknowns; where there is none, the search itself begins at zero."""
        frame = self.frame
        if not any(state in frame.guesses for state, _ in solve.cut):
            return
        self.rows[self.places[solve.segment.number], 3] = 1
        for state, _ in solve.cut:
            timed = frame.program.buffers[state].kind == "timed"
            view, guess = frame.steps_of(state) if timed else frame.arrays[state], frame.guesses.get(state, 0)
            if timed and frame.ragged:  # beyond a sequence's end stands what follows its last step
                live = np.arange(frame.steps)[:, None] < frame.lengths
                np.copyto(view, guess, where=live.reshape(live.shape + (1,) * (view.ndim - 2)))
            else:
                view[...] = guess

    def keep(self, solve: Solve) -> None:
        """Tell the caller: of a steady state within a loop, the step of every sequence that came last."""
        from codegen.convergence import Solution

        frame, rows = self.frame, self.rows[self.places[solve.segment.number]]
        found = []
        for state, _ in solve.cut:
            array = frame.arrays[state]
            if solve.level == "step":
                last = 0 if solve.segment.number in self.back else np.clip(frame.lengths, 1, frame.steps) - 1
                array = frame.steps_of(state)[last, np.arange(frame.batch)] if frame.steps else np.zeros((frame.batch, *array.shape[2:]))
            elif solve.level == "sweep":
                array = frame.steps_of(state)
            found.append(array.reshape(len(rows), -1))
        unknown = np.full(len(rows), np.nan)
        x = np.concatenate(found, axis=1)
        frame.solutions[called(frame, solve)] = Solution(x, rows[:, 0].astype(int), rows[:, 1], unknown, unknown.copy())
