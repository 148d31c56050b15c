"""Cells: recurrent networks whose states are scored by their squares, with values for them. What every peer computes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

HEAD = "x[t]: m\n"
GOAL = "E = minimize(sum(norm2(h[t]) for t in steps))\n"
TEXTS = {
    "tanh": HEAD + "h[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)\n" + GOAL,
    "lstm": HEAD
    + "".join(f"{g}[t]: n = {'tanh' if g == 'g' else 'sigmoid'}(W{g} @ h[t-1] + U{g} @ x[t] + b{g})\n" for g in "ifgo")
    + "c[t]: n = f[t]*c[t-1] + i[t]*g[t]\nh[t]: n = o[t]*tanh(c[t])\n"
    + GOAL,
    "gru": HEAD
    + "r[t]: n = sigmoid(Wr @ h[t-1] + Ur @ x[t] + br)\nz[t]: n = sigmoid(Wz @ h[t-1] + Uz @ x[t] + bz)\n"
    + "q[t]: n = Wg @ h[t-1] + a\ng[t]: n = tanh(r[t]*q[t] + Ug @ x[t] + bg)\nh[t]: n = g[t] + z[t]*(h[t-1] - g[t])\n"
    + GOAL,
}
GATES = {"tanh": ("",), "lstm": tuple("ifgo"), "gru": tuple("rzg")}
SIZES = {"small": (200, 1, 16, 32), "mid": (100, 32, 64, 128), "large": (50, 64, 256, 512)}  # T, B, inputs, units


def values(cell: str, sizes: tuple[int, int, int, int], dtype: str) -> dict[str, np.ndarray]:
    """Values of every argument, initial states included, from a fixed seed."""
    T, B, m, n = sizes
    rng = np.random.default_rng(0)
    found = {"x": rng.standard_normal((T, B, m)), "h[0]": 0.5 * rng.standard_normal((B, n))}
    for gate in GATES[cell]:
        found |= {f"W{gate}": rng.standard_normal((n, n)) / n**0.5, f"U{gate}": rng.standard_normal((n, m)) / m**0.5}
        found[f"b{gate}"] = 0.1 * rng.standard_normal(n)
    if cell == "lstm":
        found["c[0]"] = 0.5 * rng.standard_normal((B, n))
    if cell == "gru":
        found["a"] = 0.1 * rng.standard_normal(n)
    return {name: np.ascontiguousarray(array, dtype) for name, array in found.items()}


def flops(cell: str, sizes: tuple[int, int, int, int]) -> float:
    """Floating-point operations in the products of a value and its gradient."""
    T, B, m, n = sizes
    return 6.0 * T * B * len(GATES[cell]) * n * (n + m)


def stacked(values: Mapping[str, np.ndarray], letter: str, gates: str | tuple[str, ...]) -> np.ndarray:
    """One array of the weights of several gates."""
    return np.concatenate([values[f"{letter}{gate}"] for gate in gates])
