"""Cells: the recurrent networks that PyTorch has modules for, whose states are scored by their squares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

HEAD = "x[t]: m\n"
GOAL = "E = minimize(sum(norm2(h[t]) for t in steps))\n"
TEXTS = {
    "cell_tanh": HEAD + "h[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)\n" + GOAL,
    "cell_lstm": HEAD
    + "".join(f"{g}[t]: n = {'tanh' if g == 'g' else 'sigmoid'}(W{g} @ h[t-1] + U{g} @ x[t] + b{g})\n" for g in "ifgo")
    + "c[t]: n = f[t]*c[t-1] + i[t]*g[t]\nh[t]: n = o[t]*tanh(c[t])\n"
    + GOAL,
    "cell_gru": HEAD
    + "r[t]: n = sigmoid(Wr @ h[t-1] + Ur @ x[t] + br)\nz[t]: n = sigmoid(Wz @ h[t-1] + Uz @ x[t] + bz)\n"
    + "q[t]: n = Wg @ h[t-1] + a\ng[t]: n = tanh(r[t]*q[t] + Ug @ x[t] + bg)\nh[t]: n = g[t] + z[t]*(h[t-1] - g[t])\n"
    + GOAL,
}
GATES = {"cell_tanh": ("",), "cell_lstm": tuple("ifgo"), "cell_gru": tuple("rzg")}


def stacked(values: Mapping[str, np.ndarray], letter: str, gates: str | tuple[str, ...]) -> np.ndarray:
    """One array of the weights of several gates."""
    return np.concatenate([values[f"{letter}{gate}"] for gate in gates])
