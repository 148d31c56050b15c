"""Krylov: products with the matrices of k independent rows -> solutions of their linear systems.

GMRES with a Krylov space for each row, all rows advancing together: a row's result does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def solve_krylov(
    product: Callable[[Array], Array], right: Array, tolerance: float, *, memory: int = 60, cycles: int = 8
) -> tuple[Array, Array]:
    """Solve M_b y_b = right_b for each row b by restarted GMRES.

    Shapes: right and the result (k, N); product maps (k, N) to (k, N), one matrix-vector product per row. Stops, row by
    row, at |right - M y| <= tolerance * |right| or where a cycle no longer halves it. Returns y and the number of
    products spent on each row (k,); it is for the caller to look at the residual.
    Source: [saad1986].
    """
    result = np.zeros_like(right)
    used = np.zeros(len(right), int)
    target = tolerance * _norm(right)
    residual = right
    active = _norm(right) > target
    for _ in range(cycles):
        if not active.any():
            break
        step, products = _run_cycle(product, residual, target, min(memory, right.shape[1]))
        attempt = result + step
        after = right - product(attempt)
        shrunk = active & (_norm(after) < _norm(residual))
        used += np.where(active, products, 0)
        active = shrunk & (_norm(after) > target) & (_norm(after) < 0.5 * _norm(residual))
        result = np.where(shrunk[:, None], attempt, result)
        residual = np.where(shrunk[:, None], after, residual)
    return result, used


def _norm(x: Array) -> Array:
    norm: Array = np.sqrt((np.abs(x) ** 2).sum(axis=-1))
    return norm


def _run_cycle(
    product: Callable[[Array], Array], residual: Array, target: Array, memory: int
) -> tuple[Array, Array]:
    """One Arnoldi cycle: the correction (k, N) of least residual, and the products each row needed (k,)."""
    count, size = residual.shape
    basis = np.zeros((count, memory + 1, size), residual.dtype)
    reduced = np.zeros((count, memory + 1, memory), residual.dtype)
    length = _norm(residual)
    basis[:, 0] = residual / np.where(length > 0, length, 1)[:, None]
    weights = np.zeros((count, memory), residual.dtype)
    needed = np.zeros(count, int)
    open_rows = np.ones(count, bool)
    for j in range(memory):
        _extend(product, basis, reduced, j)
        if (j + 1) % 10 and j + 1 < memory:
            continue
        y, left = _least_squares(reduced[:, :j + 2, :j + 1], length)
        weights[open_rows, :j + 1] = y[open_rows]
        needed[open_rows] = j + 1
        open_rows &= left > 0.5 * target
        if not open_rows.any():
            break
    return (weights[:, None, :] @ basis[:, :memory])[:, 0], needed


def _extend(product: Callable[[Array], Array], basis: Array, reduced: Array, j: int) -> None:
    """Add vector j + 1 to each basis; zero where the space is exhausted."""
    vector = product(basis[:, j])
    before = _norm(vector)
    # Twice: once leaves a component of size cond * eps along the basis.
    for _ in range(2):
        known = basis[:, :j + 1]
        along = (known.conj() @ vector[:, :, None])[:, :, 0]
        vector = vector - (along[:, None, :] @ known)[:, 0]
        reduced[:, :j + 1, j] += along
    length = _norm(vector)
    length = np.where(length > 1e-14 * before, length, 0)
    reduced[:, j + 1, j] = length
    basis[:, j + 1] = np.where(length > 0, 1 / np.where(length > 0, length, 1), 0)[:, None] * vector


def _least_squares(reduced: Array, length: Array) -> tuple[Array, Array]:
    """Minimise |length e_1 - H y| for each row; y (k, j) and the minimum (k,)."""
    finite: Array = np.isfinite(reduced.sum(axis=(1, 2)))
    inverse: Array = np.linalg.pinv(np.where(finite[:, None, None], reduced, 0), rcond=1e-14)
    y = inverse[:, :, 0] * length[:, None]
    image: Array = reduced @ y[:, :, None]
    image[:, 0, 0] -= length
    return y, _norm(image[:, :, 0])
