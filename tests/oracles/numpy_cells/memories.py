"""Other ways to remember: independent units, long delays, a matrix, a fixed reservoir, spikes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .activations import halved_square, relu

Own = dict[str, Any]
Cost = Any


def indrnn(v: Own, last: int) -> Cost:
    """Two rectified layers whose units are recurrent on themselves alone."""
    h1, h2, cost = v["h1"], v["h2"], 0.0
    for t in range(1, last + 1):
        h1[t] = relu(v["W1"] @ v["x"][t] + v["u1"] * h1[t - 1] + v["b1"])
        h2[t] = relu(v["W2"] @ h1[t] + v["u2"] * h2[t - 1] + v["b2"])
        v["y"][t] = v["V"] @ h2[t] + v["c"]
        cost += halved_square(v["y"][t] - v["d"][t])
    return cost


def clockwork(v: Own, last: int) -> Cost:
    """Delays of one step, two and four; the slow groups feed the fast ones."""
    fast, mid, slow, cost = v["fast"], v["mid"], v["slow"], 0.0
    for t in range(1, last + 1):
        x = v["x"][t]
        slow[t] = np.tanh(v["W33"] @ slow[t - 4] + v["U3"] @ x + v["b3"])
        mid[t] = np.tanh(v["W22"] @ mid[t - 2] + v["W23"] @ slow[t - 2] + v["U2"] @ x + v["b2"])
        fast[t] = np.tanh(v["W11"] @ fast[t - 1] + v["W12"] @ mid[t - 1] + v["W13"] @ slow[t - 1] + v["U1"] @ x + v["b1"])
        v["y"][t] = v["V1"] @ fast[t] + v["V2"] @ mid[t] + v["V3"] @ slow[t] + v["c"]
        cost += halved_square(v["y"][t] - v["d"][t])
    return cost


def fast_weights(v: Own, last: int) -> Cost:
    """A decaying sum of outer products, read by a query."""
    memory, cost = v["A"], 0.0
    for t in range(1, last + 1):
        v["key"][t], v["value"][t], v["query"][t] = v["Wk"] @ v["x"][t], v["Wv"] @ v["x"][t], v["Wq"] @ v["x"][t]
        memory[t] = v["lam"] * memory[t - 1] + np.outer(v["value"][t], v["key"][t])
        v["y"][t] = memory[t] @ v["query"][t]
        cost += halved_square(v["y"][t] - v["d"][t])
    return cost


def echo_state(v: Own, last: int) -> Cost:
    """A leaky reservoir; inputs and states side by side into the read-out."""
    h, cost = v["h"], 0.0
    for t in range(1, last + 1):
        h[t] = h[t - 1] + v["rate"] * (np.tanh(v["W"] @ h[t - 1] + v["U"] @ v["x"][t]) - h[t - 1])
        v["y"][t] = v["V"] @ np.concatenate([v["x"][t], h[t]]) + v["c"]
        cost += halved_square(v["y"][t] - v["d"][t])
    return cost


def spiking(v: Own, last: int) -> Cost:
    """Integrate-and-fire units; when differentiated, spikes lie on the line through their value with the surrogate slope."""
    current, potential, spikes, y, cost = v["i"], v["v"], v["s"], v["y"], 0.0
    for t in range(1, last + 1):
        current[t] = v["alpha"] * current[t - 1] + v["W"] @ spikes[t - 1] + v["U"] @ v["x"][t]
        potential[t] = v["beta"] * potential[t - 1] + current[t] - v["theta"] * spikes[t - 1]
        excess = potential[t] - v["theta"]
        base = v["hold"](t, excess)
        spikes[t] = (base.real > 0) + (excess - base) / (1 + 5 * abs(base)) ** 2
        y[t] = v["kappa"] * y[t - 1] + v["V"] @ spikes[t]
        cost += halved_square(y[t] - v["d"][t])
    return cost


CELLS = (indrnn, clockwork, fast_weights, echo_state, spiking)
