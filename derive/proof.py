"""Proof: Derivation -> Proof, an exact check that does not trust the adjoint rules.

The model is unrolled into scalar equations, for sequences of several lengths. SymPy differentiates each of them, and
the chain rule over these scalars says what every adjoint must be. The derived equations are evaluated on the same
symbols. Each adjoint has one symbol on both sides, so that every difference is small and cancels by itself; both
sides are then one linear system (for a steady state, that of the implicit function theorem), and its solution is the
gradient. Where a difference does not cancel, both sides are evaluated as wholes at random rational points, in exact
arithmetic, and every gradient is compared there.

A function's values and slopes are symbols; what is proved holds for all their values, so for the true ones. Functions
with kinks are treated by cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from derive.arrays import Slice
from derive.chain import reach, shortest
from derive.comparison import POINTS, Comparison, Failure
from derive.derivation import Derivation
from derive.nodes import At, walk
from derive.recurrence import Recurrence
from derive.temporal import Windowed

__all__ = ["Failure", "Proof", "Verdict", "default_dims", "default_lengths", "default_steps", "prove"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one gradient was compared ("cancelled" or "rational points: N"), and whether the difference is zero."""

    label: str
    method: str
    zero: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """The outcome.

    dims: name -> size; lengths: steps of each sequence; verdicts: one for each gradient; failures: what differs.
    """

    name: str
    dims: Mapping[str, int]
    lengths: tuple[int, ...]
    verdicts: tuple[Verdict, ...]
    failures: tuple[Failure, ...]

    @property
    def proved(self) -> bool:
        """Whether every gradient is right."""
        return not self.failures and all(verdict.zero for verdict in self.verdicts)

    def to_text(self) -> str:
        """A line for the whole, one for each gradient and one for each failure."""
        sizes = ", ".join(
            [*(f"{name} = {size}" for name, size in self.dims.items()), f"{' and '.join(map(str, self.lengths))} steps"]
        )
        lines = [f"{self.name}: {'proved' if self.proved else 'NOT PROVED'} ({sizes})"]
        lines += [f"  {v.label}: {'difference 0' if v.zero else 'DIFFERS'}, {v.method}" for v in self.verdicts]
        return "\n".join([*lines, *(f"  {failure}" for failure in self.failures)])


def prove(derivation: Derivation, *, dims: Mapping[str, int] | None = None, steps: int | None = None) -> Proof:
    """Compare every gradient of a derivation with SymPy's scalar differentiation of the unrolled model.

    dims: sizes by name (small and unequal where left out); steps: length of the longest sequence (from lags, windows
    and fixed steps where left out). Differences cancel adjoint by adjoint; where a derivation has none, as that of forward
    sensitivities, they are evaluated at rational points. Raises: ValueError where a fixed step that is read does not exist;
    NotImplementedError for a function without a rule here.
    """
    primal = derivation.primal
    sizes = {**default_dims(primal), **(dims or {})}
    lengths = default_lengths(primal, steps)
    comparison = Comparison(derivation, sizes, lengths)
    failures = list(comparison.changed())
    stepwise = any(target.source() not in derivation.gradients for target in derivation.adjoints)
    cancelled = comparison.cancelled() if stepwise and not failures else set()
    rest = [label for label in derivation.gradients if label not in cancelled]
    failures += comparison.at_points(rest) if rest else []
    wrong = {failure.label for failure in failures}
    verdicts = tuple(
        Verdict(label, "cancelled" if label in cancelled else f"rational points: {POINTS}", label not in wrong)
        for label in derivation.gradients
    )
    return Proof(derivation.source.name, sizes, lengths, verdicts, tuple(failures))


def default_steps(recurrence: Recurrence) -> int:
    """More than twice the longest lag, more than the longest window, enough for every fixed step."""
    nodes = [node for equation in recurrence.equations for node in walk(equation.expr)]
    lag = max((abs(node.lag) for node in nodes if isinstance(node, At)), default=0)
    bounds = [abs(b) for node in nodes if isinstance(node, Windowed) for b in node.window.bounds if b is not None]
    return max(3, 2 * lag + 1, max(bounds, default=0) + 1, reach(recurrence) + 1)


def default_lengths(recurrence: Recurrence, steps: int | None = None) -> tuple[int, ...]:
    """One long sequence, and short ones of every length at which something that is read falls outside the steps."""
    longest = default_steps(recurrence) if steps is None else steps
    least = shortest(recurrence)
    return (
        longest,
        *(short for short in range(max(least, reach(recurrence) - 1, 1), least - 1, -1) if short < longest),
    )


def default_dims(recurrence: Recurrence) -> dict[str, int]:
    """Small unequal sizes, the dims of square matrices first: from 2, so that every sum has terms; from 3 where constraints must leave
    some components free; at least so many that every component that is read by its number stands."""  # noqa: D205, D209
    first = 3 if recurrence.constraints else 2
    square = {str(q.shape[0]) for q in recurrence.quantities if len(q.shape) == 2 and q.shape[0] == q.shape[1]}
    ordered = sorted(recurrence.dims, key=lambda name: (name not in square, name))
    sizes: dict[str, int] = {}
    for name in ordered:
        least = max(first, _least(recurrence, name))
        sizes[name] = next(size for size in count(least) if size not in sizes.values())
    return dict(sorted(sizes.items()))


def _least(recurrence: Recurrence, name: str) -> int:
    """The least size of a dim at which slices with numbers for bounds lie within it."""
    least = 1
    for node in (n for e in recurrence.equations for n in walk(e.expr) if isinstance(n, Slice)):
        for axis, size in zip(node.spec, node.operands[0].shape, strict=True):
            last = axis[-1] + int(len(axis) == 1)
            if str(size) == name and last.is_Integer:
                least = max(least, int(last))
    return least
