"""Affine systems: an affine map of rows -> its fixed points.

Input: a callable `apply` that maps an array (B, N) to an array (B, N), row by row. Output: a `Solution`.
Knows arrays and callables only. Every decision is taken per row, so a row's result does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.convergence import ConvergenceError, Solution, refuse
from codegen.jacobian import Apply, evaluate, find_condition, invert, is_singular, largest, linearise, split_rows, times
from codegen.krylov import solve_krylov

__all__ = ["ConvergenceError", "Solution", "linearise", "solve_affine"]

Array = NDArray[Any]

SINGULAR = "the Jacobian D^-1 - W is singular here"


@dataclass(slots=True)
class _Affine:
    """The system z = g + A z of all rows, its solution so far, and the rows given up, with the reason."""

    apply: Apply
    offset: Array
    scale: Array          # per row (B, 1), near max|g|: what A is probed with, so that g does not drown A v
    z: Array
    iterations: Array
    condition: Array
    reasons: dict[int, str]

    def product(self, rows: Array, vectors: Array) -> Array:
        """Multiply by A: vectors (k, N) of the given rows."""
        trial = np.zeros_like(self.z)
        trial[rows] = self.scale[rows] * vectors
        product: Array = (evaluate(self.apply, trial)[rows] - self.offset[rows]) / self.scale[rows]
        return product

    def defect(self, rows: Array) -> Array:
        """Evaluate the residual vectors g + A z - z of the given rows, (k, N)."""
        defect: Array = evaluate(self.apply, self.z)[rows].astype(self.offset.dtype) - self.z[rows]
        return defect

    def relative(self, rows: Array) -> Array:
        """Evaluate the residuals relative to max|z| + max|g|, (k,)."""
        size = largest(self.z[rows]) + largest(self.offset[rows])
        relative: Array = largest(self.defect(rows)) / np.where(size > 0, size, 1)
        return relative


def solve_affine(
    apply: Apply, shape: tuple[int, int], dtype: Any, *, names: str | Sequence[str] = "s", dense_limit: int = 256
) -> Solution:
    """Solve z = apply(z) for an affine map of rows: (I - A_b) z_b = g_b with g = apply(0).

    Shapes: z (B, N) = shape. Up to dense_limit unknowns, and for complex dtypes always, by inverse and two steps of
    refinement on the map itself (N + 4 applications); above, by GMRES, refined to rounding, and by the inverse where
    that stalls. `iterations` counts refinement or Krylov steps. float32, float64 and complex128.
    Raises: ConvergenceError naming the rows whose system is singular, not finite or not affine.
    Source: [skeel1980] for refinement; [saad1986] for GMRES.
    """
    dtype = np.dtype(dtype)
    wide = np.result_type(dtype, np.float64)
    offset = evaluate(apply, np.zeros(shape, dtype)).astype(wide)
    size, info = largest(offset), np.finfo(dtype)
    finite = np.isfinite(size)
    exponent = np.log2(np.where(finite & (size > 0), size, 1)).round().clip(3 * info.minexp // 4, 3 * info.maxexp // 4)
    count = shape[0]
    system = _Affine(apply, offset, np.exp2(exponent)[:, None], np.zeros(shape, dtype), np.zeros(count, int),
                     np.full(count, np.nan), {int(b): "the map is not finite at 0" for b in np.flatnonzero(~finite)})
    rows = np.flatnonzero(finite)
    if shape[1] > dense_limit and wide == np.float64:
        rows = np.concatenate([rows[:0], *(_solve_krylov_rows(system, g) for g in split_rows(rows, 62 * shape[1]))])
    for group in split_rows(rows, 3 * shape[1] ** 2):
        _solve_dense(system, group)
    solution = Solution(system.z, system.iterations, system.relative(np.arange(count)), np.full(count, np.nan),
                        system.condition)
    if system.reasons:
        advice = "Change the parameters or the steady state it is taken at: there, the gradient does not exist."
        raise refuse(names, system.reasons, advice, solution)
    return solution


def _solve_dense(system: _Affine, rows: Array) -> None:
    size = system.z.shape[1]
    matrices = np.empty((len(rows), size, size), system.offset.dtype)
    for j in range(size):
        unit = np.zeros((len(rows), size))
        unit[:, j] = 1
        matrices[:, :, j] = unit - system.product(rows, unit)
    inverses = invert(matrices)
    system.condition[rows] = find_condition(matrices, inverses)
    eps = np.finfo(system.z.dtype).eps
    lost = is_singular(matrices, inverses, system.condition[rows], eps)
    for row in rows[lost]:
        system.reasons[int(row)] = SINGULAR
    rows, matrices, inverses = rows[~lost], matrices[~lost], inverses[~lost]
    system.z[rows] = times(inverses, system.offset[rows])
    for _ in range(2):
        system.z[rows] += times(inverses, system.defect(rows)).astype(system.z.dtype)
        system.iterations[rows] += 1
    norm = np.abs(matrices).sum(axis=2).max(axis=1, initial=0.0)
    allowed = 1e3 * eps * (norm * largest(system.z[rows]) + largest(system.offset[rows]))
    for row in rows[~(largest(system.defect(rows)) <= allowed)]:
        system.reasons[int(row)] = "the residual stays large: the map is not affine, or not the same at each call"


def _solve_krylov_rows(system: _Affine, rows: Array) -> Array:
    """Solve by GMRES in place; return the rows where it stalled, for the dense solver."""
    tolerance = 1e2 * np.finfo(system.z.dtype).eps
    left = rows
    before = np.full(len(left), np.inf)

    def product(vectors: Array) -> Array:
        return vectors - system.product(left, vectors)

    for _ in range(8):
        step, used = solve_krylov(product, system.defect(left), 1e-8)
        system.z[left] += step.astype(system.z.dtype)
        system.iterations[left] += used
        residual = system.relative(left)
        going = (residual > tolerance) & (residual < 0.5 * before)
        left, before = left[going], residual[going]
        if not left.size:
            break
    stalled: Array = rows[~(system.relative(rows) <= tolerance)]
    return stalled
