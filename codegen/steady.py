"""Steady state: a map of rows and a starting guess -> a fixed point of every row.

Input: a callable `apply`, one evaluation of x <- F(x) for B independent rows. Output: a `Solution`.
Anderson acceleration first; Newton with a line search for the rows where it stalls; a homotopy where that is stuck.
Every decision is taken per row: where `apply` treats rows independently bit for bit, so does the solver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.convergence import ConvergenceError, Solution, refuse
from codegen.homotopy import follow
from codegen.jacobian import (
    Apply,
    difference_columns,
    difference_step,
    estimate_stability,
    evaluate,
    evaluate_rows,
    find_condition,
    invert,
    largest,
    split_rows,
    times,
)
from codegen.krylov import solve_krylov
from codegen.polish import polish

__all__ = ["ConvergenceError", "Solution", "estimate_stability", "polish", "solve_fixed_point"]

Array = NDArray[Any]

HISTORY = 5           # differences kept by the acceleration
PATIENCE = 15         # evaluations in which the residual must halve, else Newton takes over
EXTRA = 20            # steps at most from the tolerance down to rounding
HALVINGS = 12         # of a Newton step, before it counts as failed


def solve_fixed_point(
    apply: Apply,
    start: Array,
    *,
    names: str | Sequence[str] = "x",
    tolerance: float | None = None,
    max_iterations: int = 1000,
    newton_limit: int = 512,
    estimate: bool = False,
) -> Solution:
    """Solve x = apply(x) for every row, from the guess `start`.

    Shapes: start and x (B, N), float32 or float64, kept. Converged means max|F(x) - x| <= tolerance * (1 + max|x|);
    rows then go on for as long as rounding lets the residual halve. By default the aim is 1e-13 in float64, 1e-6 in
    float32, and ten times that is accepted where rounding leaves no more. Jacobians are formed up to newton_limit
    unknowns; above, Newton solves by GMRES. max_iterations bounds the steps of each row. estimate=True adds spectral
    radius and condition (`estimate_stability`).
    Raises: ConvergenceError naming the rows that have none; its `partial` holds the others.
    Source: [anderson1965], [walker2011]; [knoll2004] for Newton-GMRES.
    """
    start = np.array(start)
    if start.ndim != 2 or start.dtype not in (np.float32, np.float64):
        raise ValueError(f"start must be a float32 or float64 array (B, N), not {start.dtype} {start.shape}")
    aim = (1e-13 if start.dtype == np.float64 else 1e-6) if tolerance is None else tolerance
    search = _begin(apply, start, aim, max_iterations)
    _accelerate(search)
    _solve_stalled(search, dense=start.shape[1] <= newton_limit)
    unknown = np.full(len(start), np.nan)
    solution = Solution(search.x, search.iterations, search.relative(), unknown, unknown.copy())
    reasons = search.reasons(10 * aim if tolerance is None else tolerance)
    if estimate or reasons:
        wanted = np.arange(len(start)) if estimate else np.array(sorted(reasons))
        radius, condition = estimate_stability(apply, search.x, rows=wanted)
        solution.spectral_radius[wanted], solution.condition[wanted] = radius, condition
    if reasons:
        advice = "Make the weights smaller, start closer to a solution, or look whether the equations have one at all."
        raise refuse(names, reasons, advice, solution)
    return solution


@dataclass(slots=True)
class _Search:
    """The best point of every row so far."""

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
    tolerance: float
    limit: int
    broken: dict[int, str] = field(default_factory=dict)

    def relative(self) -> Array:
        """Evaluate the residuals relative to 1 + max|x|."""
        relative: Array = largest(self.defect) / (1 + largest(self.x))
        return relative

    def probe(self, rows: Array, trial: Array) -> tuple[Array, Array]:
        """Evaluate defects (k, N) and their norms at trial points (k, N), of the dtype of x; keeps what is better."""
        defect = evaluate_rows(self.apply, self.x, rows, trial).astype(np.float64) - trial
        norm = _norm(defect)
        better = norm < self.norm[rows]
        kept = rows[better]
        self.x[kept], self.defect[kept], self.norm[kept] = trial[better], defect[better], norm[better]
        halved = ~(self.norm[rows] > 0.5 * self.mark[rows])
        self.idle[rows] = np.where(halved, 0, self.idle[rows] + 1)
        self.mark[rows] = np.where(halved, self.norm[rows], self.mark[rows])
        return defect, norm

    def settle(self, rows: Array, patience: int) -> Array:
        """Close the rows that are done, or out of steps; return which of them did not converge but stand still."""
        size, error = largest(self.x[rows]), largest(self.defect[rows])
        converged = error <= self.tolerance * (1 + size)
        at_rounding = error <= 4 * np.finfo(self.x.dtype).eps * size
        self.extra[rows] += converged
        # A solution that is 0 has no rounding level of its own: its residual can halve for ever.
        done = converged & (at_rounding | (self.idle[rows] >= 5) | (self.extra[rows] > EXTRA))
        self.open[rows[done | (self.iterations[rows] >= self.limit)]] = False
        return ~converged & (self.idle[rows] >= patience)

    def reasons(self, accepted: float) -> dict[int, str]:
        """Say why each row with a residual above the accepted one failed."""
        failed = np.flatnonzero(~(self.relative() <= accepted))
        spent = {True: f"not converged in max_iterations={self.limit} steps", False: "the residual has stopped falling"}
        return {int(b): self.broken.get(int(b), spent[bool(self.iterations[b] >= self.limit)]) for b in failed}


def _norm(x: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        norm: Array = np.sqrt((x * x).sum(axis=-1))
        return norm


def _begin(apply: Apply, start: Array, tolerance: float, limit: int) -> _Search:
    count = len(start)
    defect = evaluate(apply, start).astype(np.float64) - start
    norm = _norm(defect)
    search = _Search(apply, start, start.copy(), defect, norm, np.zeros(count, int), np.isfinite(norm), norm.copy(),
                     np.zeros(count, int), np.zeros(count, int), tolerance, limit)
    for row in np.flatnonzero(~search.open):
        search.broken[int(row)] = "not finite (NaN or infinite) at the starting guess"
    search.settle(np.flatnonzero(search.open), PATIENCE)
    return search


def _accelerate(search: _Search) -> None:
    """Anderson acceleration of every row, until it is done or stalls."""
    count, size = search.x.shape
    x, defect = search.x.astype(np.float64), search.defect.copy()
    moves, changes = np.zeros((count, HISTORY, size)), np.zeros((count, HISTORY, size))
    used, damping = np.zeros(count, int), np.ones(count)
    rows = np.flatnonzero(search.open)
    while rows.size:
        step = damping[rows, None] * defect[rows] - _mix(defect[rows], moves[rows], changes[rows], damping[rows])
        trial = (x[rows] + step).astype(search.x.dtype)
        new, norm = search.probe(rows, trial)
        search.iterations[rows] += 1
        good = norm <= 2 * search.norm[rows]
        kept, slot = rows[good], used[rows[good]] % HISTORY
        moves[kept, slot], changes[kept, slot] = trial[good] - x[kept], new[good] - defect[kept]
        x[kept], defect[kept] = trial[good], new[good]
        used[kept] += 1
        damping[kept] = np.minimum(1, 2 * damping[kept])
        # A step that overshoots costs the history first, and only then the length of the plain step.
        back = rows[~good]
        damping[back] = np.where(used[back] > 0, damping[back], damping[back] / 2)
        used[back], moves[back], changes[back] = 0, 0, 0
        x[back], defect[back] = search.x[back], search.defect[back]
        stalled = search.settle(rows, PATIENCE)
        rows = rows[~stalled & search.open[rows]]


def _mix(defect: Array, moves: Array, changes: Array, damping: Array) -> Array:
    """Find what the history takes off the plain step: sum_i g_i (moves_i + changes_i), g by least squares."""
    length = _norm(changes)
    unit = changes / np.where(length > 0, length, 1)[:, :, None]
    gram = unit @ unit.transpose(0, 2, 1)
    diagonal = np.arange(HISTORY)
    gram[:, diagonal, diagonal] = np.where(length > 0, 1 + 1e-13, 1)
    weights = times(np.linalg.inv(gram), times(unit, defect)) / np.where(length > 0, length, np.inf)
    return (weights[:, None, :] @ (moves + damping[:, None, None] * changes))[:, 0]


def _solve_stalled(search: _Search, dense: bool) -> None:
    """Newton from the best points, and from the end of a homotopy for the rows where that is stuck."""
    size = search.x.shape[1]
    for rows in split_rows(np.flatnonzero(search.open), 4 * size**2 if dense else 62 * size):
        stuck = _descend(search, rows, search.x[rows], dense)
        if dense and stuck.size:
            ends, steps = follow(search.apply, search.start, stuck, search.limit - search.iterations[stuck])
            search.iterations[stuck] += steps
            _descend(search, stuck, ends, dense)


def _descend(search: _Search, rows: Array, x: Array, dense: bool) -> Array:
    """Newton's method with a line search from x (k, N), in place; returns the rows where the residual stands still."""
    size = search.x.shape[1]
    position = np.full(len(search.x), -1)
    position[rows] = np.arange(len(rows))
    inverses = np.empty((len(rows), size, size)) if dense else None
    stale, stuck = np.ones(len(rows), bool), np.zeros(len(rows), bool)
    x = x.copy()
    defect, norm = search.probe(rows, x)
    everything = rows
    while rows.size:
        here = position[rows]
        if inverses is not None:
            old = here[stale[here]]
            if old.size:
                inverses[old] = _invert_jacobians(search, rows[stale[here]], x[old])
            step = times(inverses[here], defect[here])
        else:
            step = _krylov_step(search, rows, x[here], defect[here])
        search.iterations[rows] += 1
        x[here], defect[here], after = _line_search(search, rows, x[here], defect[here], norm[here], step)
        stuck[here] = ~(after < norm[here]) & stale[here]
        # An old Jacobian serves for as long as it gains a digit per step.
        stale[here] = ~(after < 0.1 * norm[here])
        norm[here] = after
        search.settle(rows, PATIENCE)
        rows = rows[search.open[rows] & ~stuck[here]]
    left = everything[stuck & search.open[everything]]
    still: Array = left[search.relative()[left] > search.tolerance]
    return still


def _at(search: _Search, rows: Array, x: Array) -> Array:
    full = search.x.copy()
    full[rows] = x
    return full


def _invert_jacobians(search: _Search, rows: Array, x: Array) -> Array:
    """(I - J)^-1 of the rows at x (k, N); where that is singular, a damped least-squares inverse."""
    matrices = np.eye(x.shape[1]) - difference_columns(search.apply, _at(search, rows, x), rows)
    inverses = invert(matrices)
    lost = ~(find_condition(matrices, inverses) < 1e12)
    if lost.any():
        turned = matrices[lost].transpose(0, 2, 1)
        square = turned @ matrices[lost]
        ridge = 1e-8 * np.abs(square).max(axis=(1, 2), initial=0.0)[:, None, None] * np.eye(x.shape[1])
        inverses[lost] = invert(square + ridge) @ turned
    return inverses


def _krylov_step(search: _Search, rows: Array, x: Array, defect: Array) -> Array:
    """Newton steps (k, N) by GMRES, products with the Jacobian by differences along each vector."""
    full = _at(search, rows, x)
    step = difference_step(x, x + defect).max(axis=1, keepdims=True)

    def product(vectors: Array) -> Array:
        size = largest(vectors)[:, None]
        reach = step / np.where(size > 0, size, 1)
        there = evaluate_rows(search.apply, full, rows, (x + reach * vectors).astype(x.dtype))
        return vectors - (there.astype(np.float64) - (x + defect)) / reach

    return solve_krylov(product, defect, 1e-3 if x.dtype == np.float64 else 1e-2)[0]


def _line_search(
    search: _Search, rows: Array, x: Array, defect: Array, norm: Array, step: Array
) -> tuple[Array, Array, Array]:
    """Halve each row's step until its residual falls; points, defects and norms, unchanged where it never does."""
    x, defect, result = x.copy(), defect.copy(), norm.copy()
    left = np.flatnonzero(np.isfinite(step).all(axis=1))
    length = 1.0
    for _ in range(HALVINGS):
        if not left.size:
            break
        trial = (x[left] + length * step[left]).astype(x.dtype)
        new, reached = search.probe(rows[left], trial)
        good = reached < (1 - 1e-4 * length) * norm[left]
        kept = left[good]
        x[kept], defect[kept], result[kept] = trial[good], new[good], reached[good]
        left, length = left[~good], length / 2
    return x, defect, result
