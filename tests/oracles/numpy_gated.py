"""Gated cells in plain NumPy, one sequence and one step at a time, as `numpy_cells` calls them.

Stage: test oracle. Input: one sequence's arrays by name. Output: its cost; signals are filled in.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(z / 2)


def lstm_peephole(v: dict[str, Any], last: int) -> Any:
    """Gates that see the cell, i and f the old one and o the new one; linear read-out y."""
    h, c, cost = v["h"], v["c"], 0.0
    for t in range(1, last + 1):
        drive = {gate: v["W" + gate] @ h[t - 1] + v["U" + gate] @ v["x"][t] + v["b" + gate] for gate in "ifgo"}
        v["i"][t] = _sigmoid(drive["i"] + v["qi"] * c[t - 1])
        v["f"][t] = _sigmoid(drive["f"] + v["qf"] * c[t - 1])
        v["g"][t] = np.tanh(drive["g"])
        c[t] = v["f"][t] * c[t - 1] + v["i"][t] * v["g"][t]
        v["o"][t] = _sigmoid(drive["o"] + v["qo"] * c[t])
        h[t] = v["o"][t] * np.tanh(c[t])
        v["y"][t] = v["V"] @ h[t] + v["by"]
        cost += ((v["y"][t] - v["d"][t]) ** 2).sum() / 2
    return cost


def gru_reset_after(v: dict[str, Any], last: int) -> Any:
    """Reset gate r on the product and its own bias, update gate z that keeps the old state, linear read-out y."""
    h, cost = v["h"], 0.0
    for t in range(1, last + 1):
        v["r"][t] = _sigmoid(v["Wr"] @ h[t - 1] + v["Ur"] @ v["x"][t] + v["br"])
        v["z"][t] = _sigmoid(v["Wz"] @ h[t - 1] + v["Uz"] @ v["x"][t] + v["bz"])
        v["g"][t] = np.tanh(v["Ug"] @ v["x"][t] + v["bg"] + v["r"][t] * (v["Wg"] @ h[t - 1] + v["ag"]))
        h[t] = v["z"][t] * h[t - 1] + (1 - v["z"][t]) * v["g"][t]
        v["y"][t] = v["V"] @ h[t] + v["by"]
        cost += ((v["y"][t] - v["d"][t]) ** 2).sum() / 2
    return cost
