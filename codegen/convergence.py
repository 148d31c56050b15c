"""Convergence: what a solver found for each of many rows -> a `Solution`, or the error that names the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Solution:
    """Fixed points of B independent rows, and what is known about each.

    Shapes: x (B, N), everything else (B,). Units: residual is max|F(x) - x| relative to 1 + max|x| for a nonlinear
    system, to max|x| + max|F(0)| for an affine one. spectral_radius belongs to the Jacobian J of F at x, condition
    (1-norm) to I - J; NaN where they were not estimated.
    """

    x: Array
    iterations: Array
    residual: Array
    spectral_radius: Array
    condition: Array


class ConvergenceError(ArithmeticError):
    """No fixed point was found for some rows.

    `names` are the unknowns, `rows` the indices of the sequences that failed, `partial` the `Solution` of all rows,
    right for those not in `rows`; `residual`, `iterations` and `spectral_radius` are those of `rows`.
    """

    def __init__(self, message: str, names: str = "", rows: Sequence[int] = (), partial: Solution | None = None):
        super().__init__(message, names, tuple(rows), partial)
        self.names = names
        self.rows = tuple(rows)
        self.partial = partial

    def __str__(self) -> str:
        return str(self.args[0])

    def _of_rows(self, field: str) -> Array:
        return np.empty(0) if self.partial is None else getattr(self.partial, field)[list(self.rows)]

    @property
    def residual(self) -> Array:
        """Residuals of the rows that failed, (len(rows),)."""
        return self._of_rows("residual")

    @property
    def iterations(self) -> Array:
        """Iterations spent on the rows that failed, (len(rows),)."""
        return self._of_rows("iterations")

    @property
    def spectral_radius(self) -> Array:
        """Spectral radius of the Jacobian at the last point of the rows that failed, (len(rows),)."""
        return self._of_rows("spectral_radius")


def refuse(names: str | Sequence[str], reasons: dict[int, str], advice: str, partial: Solution) -> ConvergenceError:
    """Build the error for the rows that failed, {row: reason}, grouped by reason."""
    called = names if isinstance(names, str) else ", ".join(names)
    lines = [f"no steady state found for {called} in {len(reasons)} of {len(partial.x)} sequences"]
    for reason in sorted(set(reasons.values())):
        rows = sorted(row for row, why in reasons.items() if why == reason)
        listed = ", ".join(map(str, rows[:10])) + (f" and {len(rows) - 10} more" if len(rows) > 10 else "")
        worst = max(rows, key=lambda row: np.nan_to_num(partial.residual[row], nan=np.inf))
        lines.append(
            f"  sequence{'s' if len(rows) > 1 else ''} {listed}: {reason} (worst: sequence {worst}, "
            f"residual {partial.residual[worst]:.2g} after {partial.iterations[worst]} iterations, "
            f"spectral radius {_shown(partial.spectral_radius[worst])}, condition {_shown(partial.condition[worst])})"
        )
    return ConvergenceError("\n".join([*lines, "  " + advice]), called, sorted(reasons), partial)


def _shown(value: float) -> str:
    return "not estimated" if np.isnan(value) else f"{value:.3g}"
