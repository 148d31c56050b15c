"""Steady state: a map of rows and a starting guess -> a fixed point of every row.

Input: a callable `apply`, one evaluation of x <- F(x) for B independent rows. Output: a `Solution`.
Anderson acceleration first; Newton with a line search for the rows where it stalls; a homotopy where that is stuck.
Every decision is taken per row: where `apply` treats rows independently bit for bit, so does the solver.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    evaluate_rows,
    find_condition,
    invert,
    largest,
    split_rows,
    times,
)
from codegen.krylov import solve_krylov
from codegen.polish import polish
from codegen.search import PATIENCE, Search, begin, find_norm

__all__ = ["ConvergenceError", "Solution", "estimate_stability", "polish", "solve_fixed_point"]

Array = NDArray[Any]

HISTORY = 5           # differences kept by the acceleration
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
    search = begin(apply, start, aim, max_iterations)
    _accelerate(search)
    _solve_stalled(search, dense=start.shape[1] <= newton_limit)
    search.land()
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


def _accelerate(search: Search) -> None:
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
        stalled = search.settle(rows, last=False)
        rows = rows[~stalled & search.open[rows]]


def _mix(defect: Array, moves: Array, changes: Array, damping: Array) -> Array:
    """Find what the history takes off the plain step: sum_i g_i (moves_i + changes_i), g by least squares."""
    length = find_norm(changes)
    unit = changes / np.where(length > 0, length, 1)[:, :, None]
    gram = unit @ unit.transpose(0, 2, 1)
    diagonal = np.arange(HISTORY)
    gram[:, diagonal, diagonal] = np.where(length > 0, 1 + 1e-13, 1)
    weights = times(np.linalg.inv(gram), times(unit, defect)) / np.where(length > 0, length, np.inf)
    mixed: Array = (weights[:, None, :] @ (moves + damping[:, None, None] * changes))[:, 0]
    return mixed


def _solve_stalled(search: Search, dense: bool) -> None:
    """Newton from the best points, and from the end of a homotopy for the rows where that is stuck."""
    size = search.x.shape[1]
    for rows in split_rows(np.flatnonzero(search.open), 4 * size**2 if dense else 62 * size):
        stuck = _descend(search, rows, search.x[rows], dense)
        if dense and stuck.size:
            ends, steps = follow(search.apply, search.start, stuck, search.limit - search.iterations[stuck])
            search.iterations[stuck] += steps
            search.settle(stuck, last=True)
            left = search.open[stuck]
            _descend(search, stuck[left], ends[left], dense)


def _descend(search: Search, rows: Array, x: Array, dense: bool) -> Array:
    """Newton's method with a line search from x (k, N), in place; returns the rows where the residual stands still."""
    size = search.x.shape[1]
    position = np.full(len(search.x), -1)
    position[rows] = np.arange(len(rows))
    inverses = np.empty((len(rows), size, size)) if dense else None
    stale, stuck, slow = np.ones(len(rows), bool), np.zeros(len(rows), bool), np.zeros(len(rows), int)
    x = x.copy()
    defect, norm = search.probe(rows, x)
    mark, everything = norm.copy(), rows
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
        halved = after < 0.5 * mark[here]
        mark[here], slow[here] = np.where(halved, after, mark[here]), np.where(halved, 0, slow[here] + 1)
        stuck[here] = (~(after < norm[here]) & stale[here]) | (slow[here] >= PATIENCE)
        # An old Jacobian serves for as long as it gains a digit per step.
        stale[here] = ~(after < 0.1 * norm[here])
        norm[here] = after
        search.settle(rows, last=True)
        rows = rows[search.open[rows] & ~stuck[here]]
    left = everything[stuck & search.open[everything]]
    still: Array = left[~search.converged(left, search.tolerance)]
    return still


def _at(search: Search, rows: Array, x: Array) -> Array:
    full = search.x.copy()
    full[rows] = x
    return full


def _invert_jacobians(search: Search, rows: Array, x: Array) -> Array:
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


def _krylov_step(search: Search, rows: Array, x: Array, defect: Array) -> Array:
    """Newton steps (k, N) by GMRES, products with the Jacobian by differences along each vector."""
    full = _at(search, rows, x)
    step = difference_step(x, x + defect).max(axis=1, keepdims=True)

    def product(vectors: Array) -> Array:
        size = largest(vectors)[:, None]
        reach = step / np.where(size > 0, size, 1)
        there = evaluate_rows(search.apply, full, rows, (x + reach * vectors).astype(x.dtype))
        image: Array = vectors - (there.astype(np.float64) - (x + defect)) / reach
        return image

    return solve_krylov(product, defect, 1e-3 if x.dtype == np.float64 else 1e-2)[0]


def _line_search(
    search: Search, rows: Array, x: Array, defect: Array, norm: Array, step: Array
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
