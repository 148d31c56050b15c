"""Nonlinearities and costs, analytic, so that complex arrays pass through for complex-step differences."""

from __future__ import annotations

from typing import Any

import numpy as np


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Logistic function, through tanh, which saturates without overflow."""
    return 0.5 + 0.5 * np.tanh(z / 2)


def softmax(z: np.ndarray) -> np.ndarray:
    """Exponentials divided by their sum."""
    e = np.exp(z - np.max(z.real))
    return e / e.sum()


def relu(z: np.ndarray) -> np.ndarray:
    """The argument where its real part is positive, zero elsewhere."""
    return np.where(z.real > 0, z, 0 * z)


def halved_square(difference: np.ndarray) -> Any:
    """Half the sum of squares, without conjugation."""
    return (difference * difference).sum() / 2
