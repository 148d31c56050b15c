"""Kernel: a compiled (or interpreted) program, called with arrays. Checks arguments, holds buffers, runs phases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import EllipsisType, ModuleType
from typing import TYPE_CHECKING

import numpy as np

from codegen.arguments import Arguments, text_of
from codegen.beginning import begin
from codegen.compiled import Compiled, check_threads
from codegen.execute import Runner, execute
from codegen.frame import Frame
from codegen.prepared import value_and_grad
from codegen.program import Program, Segment
from codegen.run import Run

if TYPE_CHECKING:
    from codegen.second_order import Tangents
    from codegen.stream import Stream


def check_memory(value: object) -> int:
    """A number of bytes. Raises: ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"memory is {value!r}; it must be a whole number of bytes, such as 200_000_000")
    return int(value)


@dataclass(frozen=True)
class Kernel:
    """A recurrence that can be computed, with its gradient.

    program: what it computes; dtype: float32 or float64 (the interpreter also takes complex128 and object); module: the compiled
    segments, or None for the interpreter; fixed: dims set at compile time; pullback: loads, or builds at its first use, the segments for
    cotangents where they are not in `module`; origin: text, name and file of the recurrence, by which a kernel is pickled and found or
    built again elsewhere; products: finds, or builds at its first use, the kernel of a product with a direction, by its name.
    Values are one mapping from names as written to arrays: parameters and constants `dims`, input sequences `(T, B, dims)`, inputs
    without time `(B, dims)`, values outside the steps such as "h[0]" `(B, dims)` (zero where left out), "lengths" `(B,)`.
    A batch axis left out of all of them is added and taken off again.
    """

    program: Program
    dtype: str
    module: ModuleType | None = None
    fixed: Mapping[str, int] | None = None
    pullback: Callable[[], ModuleType] | None = None
    origin: tuple[bytes, str, str] | None = None
    products: Callable[[str], Kernel] | None = None
    factors: dict[int, object] = field(default_factory=dict, compare=False, repr=False)
    plans: dict[object, object] = field(default_factory=dict, compare=False, repr=False)
    threads: int | None = None
    memory: int | None = None

    @cached_property
    def _arguments(self) -> Arguments:
        return Arguments(self.program, np.dtype(self.dtype), self.fixed or {}, self.module.unfinite if self.module is not None else None)

    def using(self, threads: int | None | EllipsisType = ..., memory: int | None | EllipsisType = ...) -> Kernel:
        """The same kernel with other wishes; what is left out stays as it is. Results are the same bits for any of them.

        threads: how many a call takes; None for as many as there are processors, where that is worth it. memory: how many bytes
        `value_and_grad` may use beside arguments and results, None for all that it needs; where these do not hold the signals of all steps,
        some are computed again when the gradient comes to them. Raises: ValueError.
        """
        wishes: dict[str, int | None] = {}
        if threads is not ...:
            wishes["threads"] = None if threads is None else check_threads(threads, "threads")
        if memory is not ...:
            wishes["memory"] = None if memory is None else check_memory(memory)
        return replace(self, **wishes)  # type: ignore[arg-type]

    def forward(
        self,
        values: Mapping[str, object],
        *,
        outputs: Iterable[str] | None = None,
        out: Mapping[str, np.ndarray] | None = None,
        steps: int | None = None,
        batch: int | None = None,
    ) -> Run:
        """Compute every signal and keep what the gradient needs.

        outputs: which signals are handed back, all by default; the others are stored for all steps only where the gradient reads them;
        out: arrays that are filled with outputs; steps, batch: where no array says them.
        Raises: ValueError or TypeError naming the argument; ConvergenceError naming the sequences whose steady state was not found.
        """
        run = self._run(values, steps, batch, self._outputs(outputs), keep=True)
        run.fill(out)
        return run

    def value_and_grad(
        self,
        values: Mapping[str, object],
        *,
        wrt: Iterable[str] | None = None,
        out: Mapping[str, np.ndarray] | None = None,
        steps: int | None = None,
        batch: int | None = None,
    ) -> tuple[float, dict[str, np.ndarray]]:
        """The objective, summed over sequences, and its gradient at every differentiable name (or those in `wrt`), shaped as given.

        out: arrays that are filled with gradients, and handed back in their place.
        Raises: as `forward`; ValueError where the recurrence has no objective, and where `memory` is too little for it.
        """
        self._require_objective()
        if self.memory is not None:
            from codegen.checkpoints import value_and_grad as within_memory

            return within_memory(self, values, wrt, out, steps, batch)
        if not out and self.module is not None:
            return value_and_grad(self, values, wrt, steps, batch)
        run = self._run(values, steps, batch, ())
        return run.value, run.backward(wrt=wrt, out=out)

    def truncated(
        self,
        values: Mapping[str, object],
        *,
        k1: int,
        k2: int,
        wrt: Iterable[str] | None = None,
        out: Mapping[str, np.ndarray] | None = None,
        steps: int | None = None,
        batch: int | None = None,
    ) -> tuple[float, dict[str, np.ndarray]]:
        """The objective, and its gradient by truncated backpropagation through time, shaped as in `value_and_grad`.

        The gradient is the sum, over windows of k2 steps that end at the steps k1, 2*k1, and so on, of the gradient of what the steps of
        the window add to the objective, with the state before the window held fixed; a window is cut at step 1 and at each sequence's
        own end (the last may so be shorter). Terms without time count once, and so do parameters that meet h[T] in the objective.
        Raises: as `value_and_grad`; ValueError where the objective is no sum over steps, nor reads the last one, and where a step
        does not follow from those before.
        """
        self._require_objective()
        run = self._run(values, steps, batch, ())
        return run.value, run.truncated(k1, k2, wrt=wrt, out=out)

    def stream(self, values: Mapping[str, object], *, outputs: Iterable[str] | None = None, batch: int | None = None) -> Stream:
        """Begin to compute step by step; values: parameters, constants, inputs without time, and the state, zero where left out.

        See `Stream`. Raises: ValueError or TypeError naming the argument, or what makes a single step meaningless.
        """
        from codegen.stream import Stream

        known = self._arguments.buffers
        for label in values:
            if label in known and known[label].kind == "timed":
                raise ValueError(f"{label} is an input sequence; give it to the stream's step, one step at a time")
        return Stream(self, values, outputs, batch)

    def step(
        self, state: Mapping[str, object], values: Mapping[str, object], *, outputs: Iterable[str] | None = None, batch: int | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """A single step from a state: the signals and the next state, (B, n) each; state: {} at the beginning.

        values: all arguments, with this step's inputs, (B, dims). `stream` is cheaper for many steps: it checks what stays the same once.
        Raises: as `stream`.
        """
        from codegen.stream import Stream

        stream = Stream(self, {**values, **state}, outputs, batch)
        inputs = {label: value for label, value in values.items() if label in stream.inputs}
        return stream.step(inputs), stream.state

    def jvp(
        self, values: Mapping[str, object], direction: Mapping[str, object], *, steps: int | None = None, batch: int | None = None
    ) -> Tangents:
        """The objective, its derivative along a direction, and the tangents of all signals (a Jacobian-vector product).

        direction: label -> array, for any of the labels that have gradients; what is left out stands still.
        Raises: as `forward`.
        """
        from codegen.second_order import jvp

        return jvp(self, values, direction, steps, batch)

    def hvp(
        self, values: Mapping[str, object], direction: Mapping[str, object], *, wrt: Iterable[str] | None = None,
        steps: int | None = None, batch: int | None = None,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """The objective's Hessian times a direction, at every differentiable name (or those in `wrt`), shaped as the gradient.

        Raises: as `value_and_grad`.
        """
        from codegen.second_order import product

        self._require_objective()
        return product(self, "hvp", values, direction, wrt, steps, batch)

    def gnvp(
        self, values: Mapping[str, object], direction: Mapping[str, object], at: str | Iterable[str], *, wrt: Iterable[str] | None = None,
        steps: int | None = None, batch: int | None = None,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """The Gauss-Newton matrix J' H J times a direction: J the Jacobian of the signals `at`, H the Hessian of the loss by them.

        Raises: as `hvp`; RecurrenceError where the objective depends on parameters other than through these signals.
        """
        from codegen.second_order import product

        self._require_objective()
        names = (at,) if isinstance(at, str) else tuple(at)
        return product(self, " ".join(["gnvp", *names]), values, direction, wrt, steps, batch)

    def _outputs(self, outputs: Iterable[str] | None) -> tuple[str, ...]:
        """The names of results to hand back."""
        names = self.program.results["forward"]
        if isinstance(outputs, str):
            raise TypeError(f"outputs is a string; write outputs=[{outputs!r}]")
        wanted = tuple(names) if outputs is None else tuple(dict.fromkeys(outputs))
        for name in wanted:
            if name not in names:
                raise ValueError(f"outputs has {name!r}, which is no signal; there are {', '.join(names)}")
        return wanted

    def nearest(self, values: Mapping[str, object], *, steps: int | None = None, batch: int | None = None) -> dict[str, object]:
        """The same values, with parameters moved as little as possible (in the sum of squares) to where every constraint holds.

        Raises: ValueError naming the constraints where no values satisfy them all; as `forward` for the arguments.
        """
        if not self.program.systems:
            return dict(values)
        from codegen.constraints import nearest

        moved = nearest(self.program, begin(self, values, steps, batch, checked=False)[0])
        return {**values, **{self.program.buffers[name].label: array.astype(self.dtype) for name, array in moved.items()}}

    def project(
        self, values: Mapping[str, object], changes: Mapping[str, object], *, steps: int | None = None, batch: int | None = None
    ) -> dict[str, np.ndarray]:
        """The changes of constrained parameters that keep every constraint and are nearest to the given ones; zero where left out.

        values: as for `forward`, for sizes and constants. Raises: as `forward`.
        """
        if not self.program.systems:
            return {}
        from codegen.constraints import project_changes

        given = {label: np.asarray(change, self.dtype) for label, change in changes.items()}
        return project_changes(self.program, begin(self, values, steps, batch, checked=False)[0], given)

    def _require_objective(self) -> None:
        if "gradient" not in self.program.phases:
            raise ValueError(f"{self.program.name} has no objective; use forward(…).backward(cotangents)")

    def _run(
        self, values: Mapping[str, object], steps: int | None, batch: int | None, outputs: tuple[str, ...], keep: bool = False
    ) -> Run:
        """Run the forward phase; keep: copy all but input sequences, so that weights may be updated before the gradient is taken."""
        frame, sizes, arrays = begin(self, values, steps, batch, keep)
        frame.complete(self.program.phases["forward"].writes, {self.program.results["forward"][label] for label in outputs})
        execute(self.program.phases["forward"], frame, self._runner("forward", frame))
        return Run(self, frame, sizes, arrays, outputs)

    def _runner(self, phase: str, frame: Frame) -> Runner:
        if self.module is not None:
            apart = phase == "pullback" and self.pullback is not None
            return Compiled(self.pullback() if apart else self.module, frame)  # type: ignore[misc]
        from codegen.interpret import Interpreter

        segments: dict[int, Segment] = {part.number: part for part in self.program.phases[phase].segments()}
        return Interpreter(segments, frame)

    def __reduce__(self) -> tuple:
        if self.origin is None:
            return Kernel, (self.program, self.dtype, None, self.fixed)
        from codegen.driver import compile_text

        return compile_text, (*self.origin, self.dtype, dict(self.fixed or {}))

    def __repr__(self) -> str:
        takes = ", ".join(f"{b.label} {text_of(b)}" for b in self.program.buffers.values() if b.role == "argument" and b.label)
        how = "compiled" if self.module is not None else "interpreted"
        return f"<Kernel {self.program.name}, {self.dtype}, {how}: {takes}>"
