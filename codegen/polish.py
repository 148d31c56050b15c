"""Polish: a float64 fixed point and a map of complex or mpmath rows -> the fixed point in those numbers.

Newton corrections with a real Jacobian: the derivative of a solution is that of its linearised system, never of the
iterations that found it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.convergence import Solution, refuse
from codegen.jacobian import Apply, evaluate, find_condition, invert, largest, linearise, times

Array = NDArray[Any]


def polish(apply: Apply, x: Array, steps: int = 100, *, names: str | Sequence[str] = "x") -> Array:
    """Carry a float64 solution over to complex or mpmath numbers: x += (I - J)^-1 (F(x) - x), J real, at Re x.

    Shapes: x (B, N), complex or object; J in float64. Each step gains the digits to which J is known (8 by
    differences, 16 by complex step); a row ends when neither the real nor the imaginary part of its correction halves
    any more, or after `steps`. The derivative of a solution is taken so, never through the iterations.
    Raises: ConvergenceError where I - J is singular or the corrections do not shrink.
    """
    x = np.array(x)
    real = np.array([float(v.real) for v in x.flat]).reshape(x.shape) if x.dtype == object else x.real.astype(float)
    matrices = np.eye(x.shape[1]) - linearise(apply, real)
    inverses = invert(matrices)
    rows = np.flatnonzero(find_condition(matrices, inverses) < 1e15)
    reasons = dict.fromkeys(sorted(set(range(len(x))) - set(rows.tolist())), "I - J is singular there")
    iterations, previous = np.zeros(len(x), int), np.full((2, len(x)), np.inf)
    for _ in range(steps):
        if not rows.size:
            break
        correction = times(inverses[rows], evaluate(apply, x)[rows] - x[rows])
        size = _parts(correction)
        x[rows] += correction
        iterations[rows] += 1
        going = (size < 0.5 * previous[:, rows]).any(axis=0) & (size > 0).any(axis=0)
        previous[:, rows] = size
        rows = rows[going]
    residual = _parts(evaluate(apply, x) - x).max(axis=0) / (1 + _parts(x).max(axis=0))
    reasons |= dict.fromkeys(np.flatnonzero(~(residual <= 1e-12)).tolist(), "the corrections do not shrink")
    if reasons:
        unknown = np.full(len(x), np.nan)
        partial = Solution(x, iterations, residual, unknown, find_condition(matrices, inverses))
        advice = "Polish a fixed point found by solve_fixed_point, away from a bifurcation."
        raise refuse(names, reasons, advice, partial)
    return x


def _parts(x: Array) -> Array:
    """Largest magnitudes of the real and of the imaginary parts of each row, (2, B) float64."""
    if x.dtype != object:
        return np.stack([largest(x.real), largest(x.imag)])
    parts = [[[abs(v.real), abs(v.imag)] for v in row] for row in x]
    return np.array([[float(max((v[i] for v in row), default=0)) for row in parts] for i in (0, 1)])
