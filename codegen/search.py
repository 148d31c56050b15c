"""Search: the state of an iterative solve of many rows: best points, residuals, and which rows are done.

Knows what converged means; takes no steps of its own but the last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.jacobian import Apply, evaluate, evaluate_rows, largest

Array = NDArray[Any]

PATIENCE = 15         # evaluations in which the residual must halve, else another method takes over
EXTRA = 20            # steps at most from the tolerance down to rounding


@dataclass(slots=True)
class Search:
    """The best point of every row so far, and what counts as converged there."""

    apply: Apply
    start: Array
    x: Array              # (B, N), dtype of the start
    defect: Array         # (B, N) float64, F(x) - x
    norm: Array           # (B,) Euclidean norm of the defect
    iterations: Array     # (B,)
    open: Array           # (B,) still searched
    mark: Array           # (B,) norm when it last halved
    idle: Array           # (B,) evaluations since
    extra: Array          # (B,) steps since converged
    holes: Array          # (B,) whether the map was NaN or infinite at a trial point
    first: Array          # (B,) max|F(x) - x| at the start
    tolerance: float
    limit: int
    broken: dict[int, str] = field(default_factory=dict)

    def relative(self) -> Array:
        """Evaluate the residuals relative to 1 + max|x|."""
        relative: Array = largest(self.defect) / (1 + largest(self.x))
        return relative

    def converged(self, rows: Array, tolerance: float) -> Array:
        """Decide where max|F(x) - x| <= tolerance * (1 + max|x|), and not because x ran off to infinity."""
        size, error, begun = largest(self.x[rows]), largest(self.defect[rows]), largest(self.start[rows])
        fallen = error <= np.maximum(1e-3 * self.first[rows], tolerance * (1 + begun))
        converged: Array = fallen & (error <= tolerance * (1 + size))
        return converged

    def probe(self, rows: Array, trial: Array) -> tuple[Array, Array]:
        """Evaluate defects (k, N) and their norms at trial points (k, N), of the dtype of x; keeps what is better."""
        defect = evaluate_rows(self.apply, self.x, rows, trial).astype(np.float64) - trial
        self.holes[rows] |= ~np.isfinite(defect).all(axis=1)
        # So far out, x + 1 equals x, and is no fixed point all the same.
        near = largest(trial) <= 1e12 * (largest(self.start[rows]) + self.first[rows])
        norm = np.where(near, find_norm(defect), np.inf)
        better = norm < self.norm[rows]
        kept = rows[better]
        self.x[kept], self.defect[kept], self.norm[kept] = trial[better], defect[better], norm[better]
        halved = ~(self.norm[rows] > 0.5 * self.mark[rows])
        self.idle[rows] = np.where(halved, 0, self.idle[rows] + 1)
        self.mark[rows] = np.where(halved, self.norm[rows], self.mark[rows])
        return defect, norm

    def settle(self, rows: Array, last: bool) -> Array:
        """Close the rows that are done, or out of steps; return which of the others stand still."""
        size, error = largest(self.x[rows]), largest(self.defect[rows])
        converged = self.converged(rows, self.tolerance)
        at_rounding = error <= 4 * np.finfo(self.x.dtype).eps * size
        self.extra[rows] += converged
        # A solution that is 0 has no rounding level of its own: its residual can halve for ever.
        still = (self.idle[rows] >= 5) | (self.extra[rows] > (2 * EXTRA if last else EXTRA))
        done = converged & (at_rounding | (still & (last | (error <= self.tolerance * size))))
        self.open[rows[done | (self.iterations[rows] >= self.limit)]] = False
        stalled: Array = np.where(converged, still, self.idle[rows] >= PATIENCE)
        return stalled

    def reasons(self, accepted: float) -> dict[int, str]:
        """Say why each row that has not converged to the accepted tolerance failed."""
        reasons = dict(self.broken)
        relative = self.relative()
        for row in np.flatnonzero(~self.converged(np.arange(len(self.x)), accepted)).tolist():
            if relative[row] <= accepted:
                why = "the unknowns grow without bound"
            elif self.iterations[row] >= self.limit:
                why = f"not converged in max_iterations={self.limit} steps"
            else:
                why = "the residual has stopped falling"
            holes = ", and the map is NaN or infinite nearby" if self.holes[row] else ""
            reasons.setdefault(row, why + holes)
        return reasons


    def land(self) -> None:
        """Take one plain step where that costs no accuracy, else at least the zeros it gives.

        A rectified unit that is off must be 0 itself, not within rounding of it: its slope is read off its value.
        """
        rows = np.flatnonzero(self.converged(np.arange(len(self.x)), 10 * self.tolerance))
        for exact in (False, True):
            point, defect = self.x[rows], self.defect[rows]
            value = point + defect
            trial = (np.where(value == 0, 0, point) if exact else value).astype(self.x.dtype)
            new = evaluate_rows(self.apply, self.x, rows, trial).astype(np.float64) - trial
            rounding = 8 * np.finfo(self.x.dtype).eps * largest(point)
            good = largest(new) <= np.maximum(2 * largest(defect), rounding)
            kept = rows[good]
            self.x[kept], self.defect[kept] = trial[good], new[good]
            rows = rows[~good]
            if not rows.size:
                break


def find_norm(x: Array) -> Array:
    """Euclidean norm of each row, inf where it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        norm: Array = np.sqrt((x * x).sum(axis=-1))
        return norm


def begin(apply: Apply, start: Array, tolerance: float, limit: int) -> Search:
    """Evaluate the map at the starting guess; rows where it is not finite fail at once."""
    count = len(start)
    defect = evaluate(apply, start).astype(np.float64) - start
    norm = find_norm(defect)
    finite: Array = np.isfinite(norm)
    search = Search(apply, start, start.copy(), defect, norm, np.zeros(count, int), finite, norm.copy(),
                    np.zeros(count, int), np.zeros(count, int), ~finite, largest(defect), tolerance, limit)
    for row in np.flatnonzero(~search.open):
        search.broken[int(row)] = "not finite (NaN or infinite) at the starting guess"
    search.settle(np.flatnonzero(search.open), last=False)
    return search
