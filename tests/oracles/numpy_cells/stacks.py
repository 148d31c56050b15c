"""Several layers: deep networks and bidirectional blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from .activations import softmax

Own = dict[str, Any]
Cost = Any


def _cross_entropies(v: Own, last: int, weights: str, bias: str, top: dict[int, np.ndarray]) -> Cost:
    cost = 0.0
    for t in range(1, last + 1):
        v["y"][t] = softmax(v[weights] @ top[t] + v[bias])
        cost -= v["d"][t] @ np.log(v["y"][t])
    return cost


def _net(v: Own, name: str, suffix: str, below: dict[int, np.ndarray], last: int, lag: int) -> dict[int, np.ndarray]:
    """Run a tanh layer on what is below, forward for lag -1 and backward for lag 1."""
    h = v[name]
    for t in range(1, last + 1) if lag < 0 else range(last, 0, -1):
        h[t] = np.tanh(v["W" + suffix] @ h[t + lag] + v["U" + suffix] @ below[t] + v["b" + suffix])
    return h


def _beside(one: dict[int, np.ndarray], other: dict[int, np.ndarray], last: int) -> dict[int, np.ndarray]:
    return {t: np.concatenate([one[t], other[t]]) for t in range(1, last + 1)}


def deep(v: Own, last: int) -> Cost:
    """Three tanh layers, step by step and within a step from the lowest up, softmax, cross entropy."""
    for t in range(1, last + 1):
        below = v["x"][t]
        for layer in "123":
            h = v["h" + layer]
            h[t] = below = np.tanh(v["Wc" + layer] @ below + v["Wr" + layer] @ h[t - 1] + v["b" + layer])
    return _cross_entropies(v, last, "Wo", "bo", v["h3"])


def tied(v: Own, last: int) -> Cost:
    """Two tanh layers with the mean of their recurrent weights in both, softmax, cross entropy."""
    h, g, weights = v["h"], v["g"], (v["W1"] + v["W2"]) / 2
    for t in range(1, last + 1):
        h[t] = np.tanh(weights @ h[t - 1] + v["U"] @ v["x"][t] + v["b1"])
        g[t] = np.tanh(weights @ g[t - 1] + v["P"] @ h[t] + v["b2"])
    return _cross_entropies(v, last, "V", "c", g)


def bidirectional(v: Own, last: int) -> Cost:
    """One net forward from hf[0], one backward from hb[T+1], softmax of both, cross entropy."""
    forward, backward = _net(v, "hf", "f", v["x"], last, -1), _net(v, "hb", "b", v["x"], last, 1)
    return _cross_entropies(v, last, "V", "c", _beside(forward, backward, last))


def bidirectional_stack(v: Own, last: int) -> Cost:
    """A block of two layers forward and one backward, a block of one each on top, softmax, cross entropy."""
    lower = _net(v, "f2", "f2", _net(v, "f1", "f1", v["x"], last, -1), last, -1)
    v["u"] |= _beside(lower, _net(v, "g1", "g1", v["x"], last, 1), last)
    upper = _net(v, "f3", "f3", v["u"], last, -1), _net(v, "g2", "g2", v["u"], last, 1)
    return _cross_entropies(v, last, "V", "c", _beside(*upper, last))


CELLS = (deep, tied, bidirectional, bidirectional_stack)
