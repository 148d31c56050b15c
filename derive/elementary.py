"""Elementary: the language's elementwise functions and comparisons on NumPy arrays, real or complex, for the reference."""

from __future__ import annotations

import numpy as np


def elementary(name: str, *args: np.ndarray) -> np.ndarray:
    """An elementwise function of the language, on real or complex arrays."""
    x = args[0]
    match name:
        case "sigmoid":
            return 0.5 * (1 + np.tanh(0.5 * x))
        case "relu":
            return np.where(np.real(x) > 0, x, 0)
        case "softplus":
            return np.maximum(np.real(x), 0) + np.log1p(np.exp(-np.abs(x))) if np.isrealobj(x) else np.log(1 + np.exp(x))
        case "abs":
            return np.where(np.real(x) < 0, -x, x)
        case "sign":
            return np.sign(np.real(x))
        case "atan":
            return np.arctan(x)
        case "erf" | "gelu":
            from scipy.special import erf

            return erf(x) if name == "erf" else x * (1 + erf(x / np.sqrt(2))) / 2
        case "minimum" | "maximum":
            sign = 1 if name == "maximum" else -1
            first = sign * np.real(args[0]) >= sign * np.real(args[1])
            return np.where(first, args[0], args[1])
    return getattr(np, name)(x)


COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal}
