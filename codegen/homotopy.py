"""Homotopy: a map of rows and a starting guess -> points near fixed points, by deforming the trivial system.

Follows the curve x = (1 - l) start + l F(x) from l = 0, where start solves it, to l = 1, by arc length, so that it
passes the folds where l turns back. For a bounded F and almost every start the curve gets there. All rows at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.jacobian import Apply, difference_columns, evaluate_rows, invert, largest, times

Array = NDArray[Any]

CORRECTIONS = 4       # chord steps back to the curve after each step along it
CLOSE = 1e-4          # distance from the curve that counts as on it, in units of the first step


def follow(apply: Apply, start: Array, rows: Array, limit: Array) -> tuple[Array, Array]:
    """Follow the curve of each given row to l = 1, in at most `limit` (k,) steps.

    Shapes: start (B, N); returns points (k, N) of its dtype, to be refined by Newton, and the steps taken (k,). A row
    whose curve does not arrive returns where it got to. One Jacobian (N + 1 applications) per step, and a few more.
    Source: [chow1978], [allgower1990].
    """
    count, size = len(rows), start.shape[1]
    curve = _Curve(apply, start, rows)
    point, tangent = np.zeros((count, size + 1)), np.zeros((count, size + 1))
    tangent[:, size] = 1
    length, steps = np.full(count, 0.1), np.zeros(count, int)
    end = point[:, :size].copy()
    going = np.arange(count)
    while going.size:
        guess = point[going] + length[going, None] * tangent[going]
        new, direction, reached = _correct(curve, going, guess, tangent[going])
        steps[going] += 1
        there, here = new[reached], going[reached]
        passed = there[:, size] >= 1
        share = (1 - point[here, size]) / np.where(passed, there[:, size] - point[here, size], 1)
        reach = np.where(passed, share, 1)[:, None]
        point[here] += reach * (there - point[here])
        tangent[here] = direction[reached]
        far = np.maximum(1, 0.3 * largest(point[going]))
        length[going] = np.where(reached, np.minimum(1.5 * length[going], far), length[going] / 3)
        end[here] = point[here, :size]
        over = np.zeros(count, bool)
        over[here[passed]] = True
        lost = (length < 1e-6) | (steps >= limit) | (largest(point) > 1e6)
        going = going[~(over | lost)[going]]
    return curve.place(np.arange(count), end), steps


class _Curve:
    """The system y = l (F(start + size*y) - start)/size of each row, size the first step's length."""

    def __init__(self, apply: Apply, start: Array, rows: Array):
        self.apply, self.start, self.rows = apply, start, rows
        first = evaluate_rows(apply, start, rows, start[rows]).astype(np.float64) - start[rows]
        self.size = np.sqrt((first * first).sum(axis=1, keepdims=True))

    def place(self, which: Array, y: Array) -> Array:
        """Give the points x (k, N) that y (k, N) stands for."""
        x: Array = self.start[self.rows[which]] + self.size[which] * y
        return x.astype(self.start.dtype)

    def pull(self, which: Array, y: Array) -> Array:
        """Evaluate (F(x) - start)/size at y (k, N)."""
        rows = self.rows[which]
        value = evaluate_rows(self.apply, self.start, rows, self.place(which, y)).astype(np.float64)
        pull: Array = (value - self.start[rows]) / self.size[which]
        return pull

    def bordered(self, which: Array, point: Array, pull: Array, tangent: Array) -> Array:
        """Form the system's derivative by (y, l), and the tangent as last row, (k, N + 1, N + 1)."""
        size = self.start.shape[1]
        full = self.start.copy()
        full[self.rows[which]] = self.place(which, point[:, :size])
        matrix = np.empty((len(which), size + 1, size + 1))
        jacobian = difference_columns(self.apply, full, self.rows[which])
        matrix[:, :size, :size] = np.eye(size) - point[:, size, None, None] * jacobian
        matrix[:, :size, size] = -pull
        matrix[:, size] = tangent
        return matrix


def _correct(curve: _Curve, which: Array, guess: Array, tangent: Array) -> tuple[Array, Array, Array]:
    """Points (k, N + 1) on the curve near the guesses, unit tangents there, and whether the corrections converged."""
    size = guess.shape[1] - 1
    pull = curve.pull(which, guess[:, :size])
    inverse = invert(curve.bordered(which, guess, pull, tangent))
    point = guess.copy()
    with np.errstate(invalid="ignore", over="ignore"):
        for _ in range(CORRECTIONS):
            defect = np.zeros_like(point)
            defect[:, :size] = point[:, :size] - point[:, size:] * pull
            step = times(inverse, defect)
            point -= step
            pull = curve.pull(which, np.where(np.isfinite(point), point, 0)[:, :size])
        direction = inverse[:, :, size]
        norm = np.sqrt((direction * direction).sum(axis=1, keepdims=True))
        far = np.maximum(1, largest(guess))
        reached = np.isfinite(point).all(axis=1) & (largest(step) <= CLOSE * far) & np.isfinite(pull).all(axis=1)
        return point, direction / norm, reached & (largest(point - guess) <= 0.5 * far)
