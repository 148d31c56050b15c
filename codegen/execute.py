"""Execute: runs a phase's actions on a frame, through whatever runs segments (a compiled module or the interpreter)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from codegen.frame import Frame
from codegen.program import Loop, Part, Phase, Segment, Solve
from codegen.reports import called


class Runner(Protocol):
    """Runs segments by their numbers over the steps t0..t1."""

    def run(self, number: int, t0: int, t1: int) -> None:
        """Run one segment that takes part in a steady state."""

    def settle(self, number: int, t: int) -> np.ndarray | None:
        """Solve a segment's equations for each row, from what their unknowns hold at step t; None where that cannot be done here."""

    def together(self, phase: str, actions: Sequence[Part], t0: int, t1: int) -> Sequence[Part]:
        """Run actions of a phase, one after the other: those that are left to be run one by one, with their steady states."""


def execute(phase: Phase, frame: Frame, runner: Runner) -> None:
    """Run every action of a phase. Raises ConvergenceError where a steady state is not found."""
    if not frame.batch and not any(frame.program.buffers[s.out].kind == "shared" for s in phase.statements()):
        return
    for run in phase.runs:
        if isinstance(run, tuple):
            for action in runner.together(phase.name, run, 1, frame.steps):
                _execute(phase.name, action, frame, runner)
        else:
            from codegen.constraints import project

            project(run, frame)


def _execute(phase: str, action: Part, frame: Frame, runner: Runner) -> None:
    """Run one action, what it solves for by all means there are."""
    match action:
        case Segment():
            runner.together(phase, [action], 1, frame.steps)
        case Solve():
            settle(action, frame, runner, 1)
        case Loop():
            steps = range(1, frame.steps + 1)
            for t in steps if action.direction == "forward" else reversed(steps):
                for inner in action.body:
                    if isinstance(inner, Solve):
                        settle(inner, frame, runner, t)
                    else:
                        runner.run(inner.number, t, t)


def settle(solve: Solve, frame: Frame, runner: Runner, t: int) -> None:
    """Find the steady state of a segment's unknowns and leave every buffer of the segment at it."""
    views = [(_view(frame, state, solve.level, t), _view(frame, new, solve.level, t)) for state, new in solve.cut]
    rows = 1 if solve.level == "shared" else views[0][0].shape[0]
    if solve.level == "sweep":
        rows = frame.steps * frame.batch
    last = frame.steps if solve.level == "sweep" else t
    first = 1 if solve.level == "sweep" else t
    widths = np.cumsum([int(np.prod(state.shape)) // max(rows, 1) for state, _ in views])[:-1]

    live = np.arange(frame.steps)[:, None] < frame.lengths if solve.level == "sweep" else np.array(True)

    def apply(z: np.ndarray) -> np.ndarray:
        for (state, _), part in zip(views, np.split(np.asarray(z), widths, axis=1), strict=True):
            # Beyond a sequence's end stands what follows its last step.
            np.copyto(state, part.reshape(state.shape), where=live.reshape(live.shape + (1,) * (state.ndim - live.ndim)))
        runner.run(solve.segment.number, first, last)
        return np.concatenate([new.reshape(rows, -1) for _, new in views], axis=1)

    if rows == 0:
        return
    start = np.concatenate([_guess(frame, state, view, rows) for (state, _), (view, _) in zip(solve.cut, views, strict=True)], axis=1)
    names = called(frame, solve)
    if solve.level in ("rows", "step") and frame.dtype.kind == "f":
        for (state, _), part in zip(views, np.split(start, widths, axis=1), strict=True):
            np.copyto(state, part.reshape(state.shape))
        report = runner.settle(solve.segment.number, t)
        if report is not None and report[:rows, 2].all():
            from codegen.convergence import Solution

            x = np.concatenate([state.reshape(rows, -1) for state, _ in views], axis=1)
            unknown = np.full(rows, np.nan)
            frame.solutions[names] = Solution(x, report[:rows, 0].astype(int), report[:rows, 1], unknown, unknown.copy())
            return
    solution = _solve(solve, frame, apply, start, names)
    apply(solution)


def _solve(solve: Solve, frame: Frame, apply: object, start: np.ndarray, names: str) -> np.ndarray:
    from codegen.linear import solve_affine
    from codegen.steady import polish, solve_fixed_point

    dtype = np.dtype(frame.dtype)
    if solve.linear and dtype.kind != "O":
        found = solve_affine(apply, start.shape, dtype, names=names)  # type: ignore[arg-type]
    elif dtype.kind == "f":
        found = solve_fixed_point(apply, start, names=names)  # type: ignore[arg-type]
    else:
        return _polished(solve, dtype, apply, start, names, polish, solve_fixed_point)
    frame.solutions[names] = found
    return found.x


def _polished(
    solve: Solve, dtype: np.dtype, apply: object, start: np.ndarray, names: str, polish: object, fixed_point: object
) -> np.ndarray:
    """Complex and mpmath values: the real steady state first, then the linearised system at it, never the iterations."""

    def in_float(z: np.ndarray) -> np.ndarray:
        value = apply(z.astype(dtype))  # type: ignore[operator]
        return np.array(value.real if dtype.kind == "c" else value, dtype=np.float64)

    begin = np.array(start.real if dtype.kind == "c" else start, dtype=np.float64)
    root = begin if solve.linear else fixed_point(in_float, begin, names=names).x  # type: ignore[operator]
    return polish(apply, root.astype(dtype), names=names)  # type: ignore[operator]


def _guess(frame: Frame, name: str, view: np.ndarray, rows: int) -> np.ndarray:
    if name not in frame.guesses:
        return np.zeros((rows, view.size // max(rows, 1)), frame.dtype)
    guess = frame.guesses[name]
    guess = (
        np.broadcast_to(guess, (frame.steps, *guess.shape)) if rows == frame.steps * frame.batch and view.ndim == guess.ndim + 1 else guess
    )
    return np.array(guess[: view.shape[0]] if 0 < view.ndim == guess.ndim else guess, frame.dtype).reshape(rows, -1)


def _view(frame: Frame, name: str, level: str, t: int) -> np.ndarray:
    """The values of an unknown at a solve's level."""
    if level in ("shared", "rows"):
        return frame.arrays[name]
    if level == "sweep":
        return frame.steps_of(name)
    return frame.steps_of(name)[t - 1, : int(frame.active[t - 1])]
