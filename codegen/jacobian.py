"""Jacobians: a map of independent rows and a point -> Jacobians, their inverses, conditions and spectral radii.

Input: a callable `apply` that maps an array (B, N) to an array (B, N), row by row. Output: arrays, one entry per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Apply = Callable[[Array], Array]

MEMORY = 2**25                                    # doubles held by one group of matrices or Krylov bases (256 MB)


def evaluate(apply: Apply, x: Array) -> Array:
    """Apply once to an array (B, N) that `apply` may keep or overwrite; overflow is left to the caller's checks."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value = np.asarray(apply(x.copy()))
    if value.shape != x.shape:
        raise ValueError(f"the map returned shape {value.shape} for an argument of shape {x.shape}; they must agree")
    return value


def evaluate_rows(apply: Apply, x: Array, rows: Array, trial: Array) -> Array:
    """Values (k, N) of the map at `trial` (k, N) in the given rows, all other rows held at x (B, N)."""
    full = x.copy()
    full[rows] = trial
    return evaluate(apply, full)[rows]


def split_rows(rows: Array, per_row: int) -> Iterator[Array]:
    """Split row indices into groups whose matrices, `per_row` numbers each, fit in memory."""
    size = max(1, MEMORY // max(1, per_row))
    return (rows[first:first + size] for first in range(0, len(rows), size))


def largest(x: Array) -> Array:
    """Largest magnitude in each row, (B,); 0 for rows without elements, NaN where the row holds one."""
    size: Array = np.max(np.abs(x), axis=-1, initial=0.0)
    return size


def difference_step(x: Array, value: Array) -> Array:
    """Step sizes (B, N) of a one-sided difference at x: relative to the element, or to the row where that is small."""
    row = largest(x) + largest(value - x)
    typical = np.where(row > 0, np.minimum(row, 1), 1)[:, None]
    with np.errstate(under="ignore"):
        step: Array = np.sqrt(np.finfo(x.dtype).eps) * np.maximum(np.abs(x), typical)
    return step


def linearise(apply: Apply, x: Array) -> Array:
    """Jacobians ∂F_i/∂x_j of each row, (B, N, N), at real x (B, N).

    By complex step where the map takes complex arrays and agrees with a difference along one direction, else by
    one-sided differences (relative accuracy about 1e-8 in float64). N + 1 applications, 3 more for the attempt.
    Source: [squire1998] for the complex step.
    """
    x = np.asarray(x)
    rows = np.arange(len(x))
    if not _takes_complex(apply, x):
        return difference_columns(apply, x, rows)
    step = 1e-20
    base = evaluate(apply, x.astype(complex)).imag
    jacobian = np.empty((*x.shape, x.shape[1]))
    for j in range(x.shape[1]):
        trial = x.astype(complex)
        trial[:, j] += 1j * step
        jacobian[:, :, j] = (evaluate(apply, trial).imag - base) / step
    return jacobian


def _takes_complex(apply: Apply, x: Array) -> bool:
    """Compare the complex step with a difference along one direction: a modulus or a lost imaginary part shows."""
    if x.dtype != np.float64 or not x.size:
        return False
    direction = np.random.default_rng(0).standard_normal(x.shape[1])
    try:
        value = evaluate(apply, x + 1e-20j * direction)
        base = evaluate(apply, x.astype(complex))
        if value.dtype != np.complex128:
            return False
        step = difference_step(x, base.real).min(axis=1, keepdims=True)
        there = evaluate(apply, x + step * direction)
    except (TypeError, ValueError):
        return False
    by_difference = (np.real(there) - base.real) / step
    by_step = (value.imag - base.imag) / 1e-20
    return bool(np.all(largest(by_step - by_difference) <= 1e-4 * (1e-3 + largest(by_difference))))


def difference_columns(apply: Apply, x: Array, rows: Array) -> Array:
    """Jacobians (k, N, N) of the given rows by one-sided differences, one column of all of them at a time."""
    base = _real(evaluate(apply, x)[rows])
    step = difference_step(x[rows], base)
    jacobian = np.empty((len(rows), x.shape[1], x.shape[1]))
    for j in range(x.shape[1]):
        trial = x[rows].copy()
        trial[:, j] += step[:, j]
        # The step as stored, not as asked for: in float32 they differ by more than the difference's own error.
        taken = (trial[:, j] - x[rows, j])[:, None]
        jacobian[:, :, j] = (_real(evaluate_rows(apply, x, rows, trial)) - base) / taken
    return jacobian


def _real(values: Array) -> Array:
    """Real parts as float64, of numbers of any kind."""
    if values.dtype == object:
        return np.array([float(v.real) for v in values.flat]).reshape(values.shape)
    return values.real.astype(np.float64)


def invert(matrices: Array) -> Array:
    """Inverses (k, N, N), one matrix at a time where one of them is singular; NaN in its place."""
    with np.errstate(all="ignore"):
        try:
            return np.linalg.inv(matrices)
        except np.linalg.LinAlgError:
            if len(matrices) == 1:
                return np.full_like(matrices, np.nan)
    return np.concatenate([invert(matrices[i:i + 1]) for i in range(len(matrices))])


def find_condition(matrices: Array, inverses: Array) -> Array:
    """Condition numbers (k,) in the 1-norm, inf where singular."""
    def norm(a: Array) -> Array:
        size: Array = np.abs(a).sum(axis=1).max(axis=1, initial=0.0)
        return size

    with np.errstate(all="ignore"):
        product = norm(matrices) * norm(inverses)
    return np.where(np.isnan(product), np.inf, np.maximum(product, 1))


def is_singular(matrices: Array, inverses: Array, condition: Array, eps: float) -> Array:
    """Whether fewer than one digit is left; badly scaled rows alone do not count (Skeel's condition), (k,)."""
    singular = ~(condition < 0.1 / eps)
    doubtful = np.flatnonzero(singular & np.isfinite(condition))
    if doubtful.size:
        skeel = (np.abs(inverses[doubtful]) @ np.abs(matrices[doubtful])).sum(axis=2).max(axis=1)
        singular[doubtful] = ~(skeel < 0.1 / eps)
    return singular


def times(matrices: Array, vectors: Array) -> Array:
    """Products of k matrices (k, N, N) with k vectors (k, N)."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def estimate_stability(apply: Apply, x: Array, *, rows: Array | None = None) -> tuple[Array, Array]:
    """Spectral radius of J = ∂F/∂x and condition (1-norm) of I - J at x (B, N), for all or the given rows: (k,), (k,).

    To 128 unknowns from the Jacobian, N + 1 applications; above, the radius is the growth over ten of thirty power
    iterations, and the condition NaN. NaN where the map is not finite. Below one, the plain iteration x <- F(x) is
    stable at x.
    """
    rows = np.arange(len(x)) if rows is None else rows
    radius, condition = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    if x.shape[1] > 128:
        return _power_iterations(apply, x, rows), condition
    jacobians = difference_columns(apply, x, rows)
    finite = np.isfinite(jacobians).all(axis=(1, 2))
    radius[finite] = np.abs(np.linalg.eigvals(jacobians[finite])).max(axis=1, initial=0.0)
    matrices = np.eye(x.shape[1]) - jacobians[finite]
    condition[finite] = find_condition(matrices, invert(matrices))
    return radius, condition


def _power_iterations(apply: Apply, x: Array, rows: Array) -> Array:
    base = evaluate(apply, x)[rows].astype(np.float64)
    step = difference_step(x[rows], base).max(axis=1, keepdims=True)
    vector = np.tile(np.random.default_rng(0).standard_normal(x.shape[1]), (len(rows), 1))
    growth = []
    for _ in range(30):
        vector = vector / np.maximum(np.linalg.norm(vector, axis=1), np.finfo(float).tiny)[:, None]
        reach = step * np.sqrt(x.shape[1])
        there = evaluate_rows(apply, x, rows, (x[rows] + reach * vector).astype(x.dtype))
        vector = (there - base) / reach
        growth.append(np.linalg.norm(vector, axis=1))
    with np.errstate(divide="ignore"):
        radius: Array = np.exp(np.mean(np.log(growth[-10:]), axis=0))
    return radius
