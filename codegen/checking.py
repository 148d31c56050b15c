"""Checking: a recurrence -> the Problem that the gradient checker solves, and its Report.

The reference is the Program run in NumPy; what is checked is the compiled kernel. Without an objective, random cotangents stand in
for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from codegen.arguments import arguments_of
from codegen.drawing import Range, Wishes, draw_values, fitted_sizes, read_wishes
from codegen.driver import compile as compile_kernel
from codegen.feasible import Feasible, loosened
from codegen.gradcheck import Problem, Report
from codegen.gradcheck import check as check_problem
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.probes import Probes, find_probes, is_analytic
from codegen.program import Buffer, Program, solves
from codegen.sizes import size_value
from derive.holding import Held, hold
from derive.language import load, parse
from derive.recurrence import Recurrence
from derive.tangents import tangent

POSITIVE_AFTER = 10  # draws near a kink, or without a finite value, before only positive values are drawn
STEPS, BATCH = 7, 3
SIZES = (4, 2, 5, 6, 8, 9, 10, 11)  # neither the steps nor the batch by default


def check(
    recurrence: Recurrence | str | bytes | Path,
    dtype: str = "float64",
    dims: Mapping[str, int] | None = None,
    steps: int | None = None,
    batch: int | None = None,
    seed: int = 0,
    kernel: Kernel | None = None,
    ranges: Mapping[str, Range] | None = None,
    values: Mapping[str, object] | None = None,
) -> Report:
    """Check a recurrence's compiled gradient against numeric differentiation, entry by entry.

    dims: sizes by name (by default all different); steps, batch: sizes of the values drawn, at random from `seed` (by
    default 7, or beyond twice the longest lag, and 3); kernel: what is checked, compiled when not given. ranges: label -> a number, or
    the two ends between which it is drawn; values: label -> array that is taken as it is, with its sizes.
    Raises: RecurrenceError for what cannot be computed; ValueError for sizes; WishError for ranges and values.
    """
    if not isinstance(recurrence, Recurrence):
        recurrence = parse(recurrence) if isinstance(recurrence, bytes) or "\n" in str(recurrence) else load(recurrence)
    program = loosened(lower(recurrence), dtype)
    labels = arguments_of(program)
    wishes = read_wishes(program.name, labels, ranges, values)
    fitted, steps, batch = fitted_sizes(labels, wishes.values, dims or {}, steps, batch)
    steps = max(STEPS, 2 * _longest_lag(recurrence) + 1) if steps is None else steps
    batch = BATCH if batch is None else batch
    if steps < 1 or batch < 1:
        raise ValueError(f"a check needs at least one step and one sequence, not steps={steps}, batch={batch}")
    sizes = choose_dims(program, fitted)
    subject = kernel if kernel is not None else compile_kernel(recurrence, dtype)
    trial = _Checking(recurrence, program, subject, dtype, sizes, steps, batch, np.random.default_rng([seed, 1]), wishes)
    return check_problem(trial.problem(), dtype=dtype, seed=seed)


def choose_dims(program: Program, given: Mapping[str, int]) -> dict[str, int]:
    """Sizes for every dim: those given, and for the others small ones that differ. Raises ValueError for unknown names."""
    for name, size in given.items():
        if name not in program.dims:
            raise ValueError(f"{program.name} has no dim {name}; it has {', '.join(program.dims) or 'none'}")
        if size < 1:
            raise ValueError(f"the dim {name} must be at least 1, not {size}")
    free = (size for size in SIZES if size not in given.values())
    return {name: given[name] if name in given else next(free, 3) for name in program.dims}


def _longest_lag(recurrence: Recurrence) -> int:
    return max((len(ghosts) for ghosts in recurrence.ghosts.values()), default=0)


def _taken(program: Program, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values that a program takes: what is held may have been the only reader of some."""
    labels = {buffer.label for buffer in program.buffers.values() if buffer.role == "argument"}
    return {label: value for label, value in values.items() if label in labels}


@dataclass
class _Checking:
    recurrence: Recurrence
    program: Program
    kernel: Kernel
    dtype: str
    dims: dict[str, int]
    steps: int
    batch: int
    rng: np.random.Generator
    wishes: Wishes
    draws: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def problem(self) -> Problem:
        """The problem as callables on arrays."""
        settles = any(solves(action) for phase in self.program.phases.values() for action in phase.actions)
        phase = "gradient" if "gradient" in self.program.phases else "pullback"
        return Problem(
            value=self.value,
            gradient=self.gradient,
            draw=self.draw,
            free=tuple(self.program.results[phase]),
            analytic=is_analytic(self.moving),
            reference_gradient=lambda values: self._gradient(self.reference, values),
            kernel_value=self._kernel_value if self.dtype == "float64" else None,
            path=self._paths(list(self.program.results[phase])),
            kink_distance=self.kink_distance,
            held=self.measure if self.held else None,
            saturation=self.saturation if self.probes.saturating else None,
            jvp=self.jvp,
            feasible=self.feasible.project if self.feasible else None,
            precision=1e-13 if settles else float(np.finfo(np.float64).eps),
            weaknesses=tuple(self._weaknesses()),
        )

    def _paths(self, labels: list[str]) -> dict[str, bool]:
        """Whether the objective depends on each label: as derived; as the tangent says, where that hangs on the number of steps or on
        constraints: in sequences too short for some lag, at values outside the steps, where fixed steps may fall, and where
        constraints leave few directions."""  # noqa: D205, D209
        paths = {label: label not in self.program.zero for label in labels}
        bound = self.feasible.bound if self.feasible else set()
        short = self.steps <= 2 * _longest_lag(self.recurrence)
        asked = [label for label in labels if paths[label] and (short or label in bound or "[" in label)]
        values = self.draw(np.random.default_rng(2)) if asked else {}
        self.draws = 0
        for label in asked:
            along = {other: np.zeros_like(values[other]) for other in labels}
            along[label] = self.rng.standard_normal(np.shape(values[label]))
            along = self.feasible.project(along) if self.feasible else along
            paths[label] = bool(self.jvp(values, along) != 0)
        return paths

    # -- values

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Random values for every argument."""
        self.draws += 1
        labels, positive = arguments_of(self.program), self.draws > POSITIVE_AFTER
        values = draw_values(self.program, labels, self.dims, self.steps, self.batch, rng, positive, self.wishes)
        return self.feasible.place(values) if self.feasible else values

    @cached_property
    def feasible(self) -> Feasible | None:
        """Where values may lie and move, where constraints bind parameters."""
        given = frozenset(self.wishes.values)
        return Feasible(self.recurrence, self.reference, self.dtype, self.rng, given) if self.program.systems else None

    def _shape(self, buffer: Buffer) -> tuple[int, ...]:
        lead = {"shared": (), "sequence": (self.batch,), "timed": (self.steps, self.batch)}[buffer.kind]
        return (*lead, *(size_value(size, self.dims) for size in buffer.shape))

    # -- the reference, and what is under test

    @cached_property
    def reference(self) -> Kernel:
        """The program in NumPy, float64."""
        return Kernel(self.program, "float64")

    @cached_property
    def held(self) -> Held | None:
        """The recurrence as numeric differentiation may move it, where something in it stops the gradient."""
        return hold(self.recurrence)

    @property
    def moving(self) -> Recurrence:
        """What numeric differentiation differences."""
        return self.held.recurrence if self.held else self.recurrence

    def _plain(self, recurrence: Recurrence) -> Program:
        """A recurrence without derivatives of its own."""
        return loosened(lower(recurrence, derivatives=False), self.dtype)

    @cached_property
    def _moving_program(self) -> Program:
        return self._plain(self.moving) if self.held else self.program

    def measure(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What is held, at these values."""
        assert self.held is not None
        with np.errstate(all="ignore"):
            run = self._measuring.forward(values, steps=self.steps, batch=self.batch)
        return {name: run[name] for name in self.held.names}

    @cached_property
    def _measuring(self) -> Kernel:
        return Kernel(self._plain(self.held.measured), "float64")  # type: ignore[union-attr]

    def _own(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The model's own arguments, without what is held."""
        return {name: value for name, value in values.items() if not self.held or name not in self.held.names}

    @cached_property
    def cotangents(self) -> dict[str, np.ndarray]:
        """Random cotangents for every signal, where there is no objective."""
        return {
            label: self.rng.standard_normal(self._shape(self.program.buffers[name]))
            for label, name in self.program.cotangents.items() if name in self.program.buffers
        }  # fmt: skip

    def value(self, values: Mapping[str, np.ndarray]) -> complex:
        """The objective by the reference, for float64 or complex128 values."""
        values = _taken(self._moving_program, values) if self.held else values
        return self._value(Kernel(self._moving_program, "float64"), values)

    def _value(self, kernel: Kernel, values: Mapping[str, np.ndarray]) -> complex:
        if any(np.iscomplexobj(value) for value in values.values()):
            kernel = Kernel(self._moving_program, "complex128")
        with np.errstate(all="ignore"):
            run = kernel.forward(values, steps=self.steps, batch=self.batch)
        if self.program.objective is not None:
            return run.value
        return sum(np.sum(run[label] * seed) for label, seed in self.cotangents.items())  # type: ignore[return-value]

    def _kernel_value(self, values: Mapping[str, np.ndarray]) -> float:
        return self._value(self.kernel, self._own(values))  # type: ignore[return-value]

    def gradient(self, values: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The gradient under test."""
        return self._gradient(self.kernel, values)

    def _gradient(self, kernel: Kernel, values: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        run = kernel.forward(self._own(values), steps=self.steps, batch=self.batch)
        return run.backward() if self.program.objective is not None else run.backward(self.cotangents)

    @cached_property
    def _tangent(self) -> tuple[Kernel, Mapping[str, object]]:
        forward = tangent(self.recurrence)
        return Kernel(self._plain(forward.recurrence), "float64"), forward.tangents

    def jvp(self, values: Mapping[str, np.ndarray], direction: Mapping[str, np.ndarray]) -> float:
        """The derivative of the objective along a direction, by the tangent recurrence."""
        kernel, names = self._tangent
        given = self._own(values)
        for label, move in direction.items():
            given[names[label].source()] = move  # type: ignore[attr-defined]
        given = _taken(kernel.program, given)
        run = kernel.forward(given, steps=self.steps, batch=self.batch)
        if self.program.objective is not None:
            return run[names[self.program.objective].source()]  # type: ignore[attr-defined, return-value]
        return sum(np.sum(run[names[label].source()] * seed) for label, seed in self.cotangents.items())  # type: ignore[attr-defined, return-value]

    # -- where the point lies

    @cached_property
    def probes(self) -> Probes:
        """What to look at beside the signals: distances from kinks, arguments of saturating functions."""
        return find_probes(self.recurrence)

    @cached_property
    def _probing(self) -> Kernel:
        return Kernel(self._plain(self.probes.recurrence), "float64")

    def kink_distance(self, values: Mapping[str, np.ndarray]) -> float:
        """The least distance of any argument from a kink; 0 where the objective is not finite, so that values are drawn again."""
        if not np.isfinite(self.value(values)):
            return 0.0
        if not self.probes.kinks:
            return np.inf
        run = self._probing.forward(self._own(values), steps=self.steps, batch=self.batch)
        return min(float(np.min(np.abs(run[name]), initial=np.inf)) for name in self.probes.kinks)

    def saturation(self, values: Mapping[str, np.ndarray]) -> float:
        """The fraction of sigmoid-like units whose slope is all but zero."""
        run = self._probing.forward(self._own(values), steps=self.steps, batch=self.batch)
        dead = [np.abs(run[name]) > limit for name, limit in self.probes.saturating.items()]
        return float(np.mean(np.concatenate([np.ravel(part) for part in dead])))

    def _weaknesses(self) -> list[str]:
        found = []
        lag = _longest_lag(self.recurrence)
        if lag and self.steps <= 2 * lag:
            found.append(f"T = {self.steps} is not beyond twice the longest lag, {lag}: not every path through time is taken")
        groups: dict[int, list[str]] = {}
        for name, size in self.dims.items():
            groups.setdefault(size, []).append(name)
        found += [f"{' = '.join(names)} = {size}: a transposed matrix could hide" for size, names in groups.items() if len(names) > 1]
        return found
