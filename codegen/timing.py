"""Timing: a compiled Kernel and its recurrence -> a Comparison with the NumPy interpreter.

Results are compared first: a wrong kernel has no speed. Prints nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from codegen.arguments import arguments_of
from codegen.checking import choose_dims
from codegen.drawing import Range, Wishes, draw_values, fitted_sizes, read_wishes
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.program import Program
from derive.recurrence import Recurrence

STEPS, BATCH = 50, 16
DIM = 32  # size of every dim that is not given
DRAWS = 20
POSITIVE_AFTER = 10  # draws without a finite value before only positive values are drawn
TOLERANCE = {"float64": 1e-9, "float32": 1e-3}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found: sizes; the largest relative error, and in what; rows of (what, kernel, peer), in seconds."""

    name: str
    dtype: str
    sizes: Mapping[str, int]
    repeat: int
    error: float
    worst: str
    tolerance: float
    rows: tuple[tuple[str, float, float], ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the results are the same up to rounding; NaN is not."""
        return self.error <= self.tolerance


def compare(
    recurrence: Recurrence,
    kernel: Kernel,
    dims: Mapping[str, int],
    steps: int | None,
    batch: int | None,
    repeat: int,
    progress: Callable[[str], None] | None = None,
    ranges: Mapping[str, Range] | None = None,
    values: Mapping[str, object] | None = None,
) -> Comparison:
    """Compare results of a kernel and of the interpreter, then their times; nothing is timed where results differ.

    steps, batch: 50 and 16 where they are None; repeat: runs whose median is taken; ranges, values: as in `checking.check`.
    Raises: ValueError for dims that are not there, or where no values with a finite result were drawn; WishError;
    ConvergenceError.
    """
    say = progress or (lambda stage: None)
    program = lower(recurrence)
    wishes = read_wishes(program.name, arguments_of(program), ranges, values)
    sizes, steps, batch = chosen_sizes(program, wishes, dims, steps, batch)
    peer = Kernel(program, kernel.dtype)
    say("comparing results of")
    drawn, seeds = draw_finite(peer, sizes, steps, batch, wishes)
    ours, theirs = (_results(each, drawn, seeds, steps, batch) for each in (kernel, peer))
    errors = {label: relative_error(ours[label], theirs[label]) for label in theirs}
    worst = max(errors, key=lambda label: (np.isnan(errors[label]), errors[label]), default="")
    shown = {"T": steps, "B": batch, **sizes}
    found = Comparison(
        recurrence.name, kernel.dtype, shown, repeat, errors.get(worst, 0.0), worst, TOLERANCE[kernel.dtype]
    )
    if not found.agrees:
        return found
    say("timing")
    calls = _calls(program, drawn, seeds, steps, batch)
    return replace(found, rows=tuple((what, *_medians(call, (kernel, peer), repeat)) for what, call in calls.items()))


def chosen_sizes(
    program: Program, wishes: Wishes, dims: Mapping[str, int], steps: int | None, batch: int | None
) -> tuple[dict[str, int], int, int]:
    """Dims, steps and batch: as given, as the user's arrays have them, or those of a benchmark. Raises: ValueError, WishError."""
    fitted, steps, batch = fitted_sizes(arguments_of(program), wishes.values, dims, steps, batch)
    sizes = {name: fitted.get(name, DIM) for name in choose_dims(program, fitted)}
    return sizes, STEPS if steps is None else steps, BATCH if batch is None else batch


def _medians(call: Callable[[Kernel], object], sides: tuple[Kernel, Kernel], repeat: int) -> tuple[float, float]:
    """The median seconds of each side, which are called turn by turn, so that both meet the same state of the machine."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeat):
        for taken, each in zip(times, sides, strict=True):
            start = time.perf_counter()
            call(each)
            taken.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def _calls(
    program: Program, values: Mapping[str, np.ndarray], seeds: Mapping[str, np.ndarray] | None, steps: int, batch: int
) -> dict[str, Callable[[Kernel], object]]:
    if program.objective is None:
        backward = {
            "forward and backward": lambda kernel: kernel.forward(values, steps=steps, batch=batch).backward(seeds)
        }
    else:
        backward = {"value and gradient": lambda kernel: kernel.value_and_grad(values, steps=steps, batch=batch)}
    return {"forward": lambda kernel: kernel.forward(values, steps=steps, batch=batch), **backward}


def _results(
    kernel: Kernel, values: Mapping[str, np.ndarray], seeds: Mapping[str, np.ndarray] | None, steps: int, batch: int
) -> dict[str, np.ndarray]:
    run = kernel.forward(values, steps=steps, batch=batch)
    signals = {label: np.asarray(run[label]) for label in kernel.program.results["forward"]}
    return {**signals, **{f"gradient at {label}": np.asarray(found) for label, found in run.backward(seeds).items()}}


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The norm of the difference, relative to that of the peer's; NaN where either holds one."""
    scale = float(np.linalg.norm(theirs.astype(np.float64).ravel()))
    return float(np.linalg.norm((ours.astype(np.float64) - theirs).ravel())) / (scale or 1.0)


def draw_finite(
    peer: Kernel, dims: Mapping[str, int], steps: int, batch: int, wishes: Wishes
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
    """Values with a finite result, and cotangents where there is no objective. Raises: ValueError where none were found."""
    rng, program = np.random.default_rng(0), peer.program
    buffers = arguments_of(program)
    for draw in range(DRAWS):
        drawn = draw_values(program, buffers, dims, steps, batch, rng, draw >= POSITIVE_AFTER, wishes)
        values = {label: array if array.dtype.kind == "i" else array.astype(peer.dtype) for label, array in drawn.items()}
        with np.errstate(all="ignore"):
            values = peer.nearest(values, steps=steps, batch=batch)  # type: ignore[assignment]
            run = peer.forward(values, steps=steps, batch=batch)
        results = {label: np.asarray(run[label]) for label in program.results["forward"]}
        if all(np.all(np.isfinite(result)) for result in results.values()):
            seeds = {
                label: rng.standard_normal(results[label].shape).astype(peer.dtype) for label in program.cotangents
            }
            return values, seeds if program.objective is None else None
    raise ValueError(f"no values were found for which {program.name} is finite; try other --dims, or fewer --steps")
