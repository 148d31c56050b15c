"""Steady states of tanh networks by plain iteration, then Newton's method."""

from __future__ import annotations

import numpy as np


def rest(weights: np.ndarray, drive: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Solve x = tanh(W x + drive) until Newton's step is at rounding level. Raises: ArithmeticError."""
    x = np.array(start, dtype=np.result_type(drive, weights))
    for _ in range(200):
        x = np.tanh(weights @ x + drive)
    for _ in range(20):
        response = np.tanh(weights @ x + drive)
        step = np.linalg.solve(np.eye(len(x)) - (1 - response**2)[:, None] * weights, response - x)
        x = x + step
        if np.abs(step).max() < 1e-15:
            break
    if not np.abs(x - np.tanh(weights @ x + drive)).max() < 1e-13:
        raise ArithmeticError("no steady state found")
    return x
