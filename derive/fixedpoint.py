"""Fixed points: a map of vectors -> where it stays, for the reference's steady states. Literal and slow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def settle(step: Callable[[np.ndarray], np.ndarray], start: np.ndarray, linear: bool) -> np.ndarray:
    """The fixed point u = step(u): of an affine map by one linear system, else by iteration, and Newton's method near the end."""
    unit = np.eye(start.size)
    if linear:
        base = step(start)
        columns = np.array([step(start + row) - base for row in unit]).T.reshape(start.size, start.size)
        return start + np.linalg.solve(unit - columns, base - start)
    u = start
    for _ in range(2000):
        before, u = u, np.asarray(step(u))
        if not np.any(np.abs(u - before) > 1e-10):
            break
    for _ in range(4):
        columns = np.array([(step(u + 1e-7 * row) - step(u - 1e-7 * row)) / 2e-7 for row in unit]).T
        u = u + np.linalg.solve(unit - columns.reshape(start.size, start.size), step(u) - u)
    return u
