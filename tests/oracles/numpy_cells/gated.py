"""Gated cells: LSTM with and without peepholes, GRU with both resets, minimal gated unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .activations import halved_square, sigmoid

Own = dict[str, Any]
Cost = Any


def _gate(v: Own, gate: str, t: int, seen: np.ndarray, squash: Callable) -> np.ndarray:
    return squash(v["W" + gate] @ seen + v["U" + gate] @ v["x"][t] + v["b" + gate])


def _read_out(v: Own, t: int) -> Cost:
    v["y"][t] = v["V"] @ v["h"][t] + v["by"]
    return halved_square(v["y"][t] - v["d"][t])


def lstm(v: Own, last: int) -> Cost:
    """Gates i, f, o and candidate g, cell c, state h, linear read-out y."""
    h, c, cost = v["h"], v["c"], 0.0
    for t in range(1, last + 1):
        for gate, squash in (("i", sigmoid), ("f", sigmoid), ("g", np.tanh), ("o", sigmoid)):
            v[gate][t] = _gate(v, gate, t, h[t - 1], squash)
        c[t] = v["f"][t] * c[t - 1] + v["i"][t] * v["g"][t]
        h[t] = v["o"][t] * np.tanh(c[t])
        cost += _read_out(v, t)
    return cost


def gru(v: Own, last: int) -> Cost:
    """Reset gate r inside the product, update gate z that keeps the old state, linear read-out y."""
    h, r, z, g, cost = v["h"], v["r"], v["z"], v["g"], 0.0
    for t in range(1, last + 1):
        r[t] = _gate(v, "r", t, h[t - 1], sigmoid)
        z[t] = _gate(v, "z", t, h[t - 1], sigmoid)
        g[t] = _gate(v, "g", t, r[t] * h[t - 1], np.tanh)
        h[t] = z[t] * h[t - 1] + (1 - z[t]) * g[t]
        cost += _read_out(v, t)
    return cost


def lstm_peephole(v: Own, last: int) -> Cost:
    """Gates that see the cell, i and f the old one and o the new one; linear read-out y."""
    h, c, cost = v["h"], v["c"], 0.0
    for t in range(1, last + 1):
        drive = {gate: _gate(v, gate, t, h[t - 1], np.positive) for gate in "ifgo"}
        v["i"][t] = sigmoid(drive["i"] + v["qi"] * c[t - 1])
        v["f"][t] = sigmoid(drive["f"] + v["qf"] * c[t - 1])
        v["g"][t] = np.tanh(drive["g"])
        c[t] = v["f"][t] * c[t - 1] + v["i"][t] * v["g"][t]
        v["o"][t] = sigmoid(drive["o"] + v["qo"] * c[t])
        h[t] = v["o"][t] * np.tanh(c[t])
        cost += _read_out(v, t)
    return cost


def gru_reset_after(v: Own, last: int) -> Cost:
    """Reset gate r on the product and its own bias, update gate z that keeps the old state, linear read-out y."""
    h, r, z, cost = v["h"], v["r"], v["z"], 0.0
    for t in range(1, last + 1):
        r[t] = _gate(v, "r", t, h[t - 1], sigmoid)
        z[t] = _gate(v, "z", t, h[t - 1], sigmoid)
        v["g"][t] = np.tanh(v["Ug"] @ v["x"][t] + v["bg"] + r[t] * (v["Wg"] @ h[t - 1] + v["ag"]))
        h[t] = z[t] * h[t - 1] + (1 - z[t]) * v["g"][t]
        cost += _read_out(v, t)
    return cost


def mgu(v: Own, last: int) -> Cost:
    """One gate f, inside the product and for the update, linear read-out y."""
    h, f, g, cost = v["h"], v["f"], v["g"], 0.0
    for t in range(1, last + 1):
        f[t] = _gate(v, "f", t, h[t - 1], sigmoid)
        g[t] = _gate(v, "g", t, f[t] * h[t - 1], np.tanh)
        h[t] = h[t - 1] + f[t] * (g[t] - h[t - 1])
        cost += _read_out(v, t)
    return cost


CELLS = (lstm, lstm_peephole, gru, gru_reset_after, mgu)
