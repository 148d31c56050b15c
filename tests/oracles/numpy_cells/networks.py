"""Networks of one recurrent layer: steady states, trajectories, taps on inputs and outputs, clamped units."""

from __future__ import annotations

from typing import Any

import numpy as np

from .activations import halved_square, sigmoid, softmax
from .newton import rest

Own = dict[str, Any]
Cost = Any


def settle(v: Own, last: int) -> Cost:
    """Solve x = tanh(W x + b + U u), from zero or "x0"."""
    drive = v["b"] + v["U"] @ v["u"]
    v["x"] = rest(v["W"], drive, v.get("x0", np.zeros(len(drive))))
    return halved_square(v["x"] - v["d"])


def trajectory(v: Own, last: int) -> Cost:
    """Tanh network without input, scored at every step with weight w[t]."""
    x, cost = v["x"], 0.0
    for t in range(1, last + 1):
        x[t] = np.tanh(v["W"] @ x[t - 1] + v["b"])
        cost += v["w"][t] * halved_square(x[t] - v["d"][t])
    return cost


def elman(v: Own, last: int) -> Cost:
    """Tanh state, softmax read-out, cross entropy."""
    h, y, cost = v["h"], v["y"], 0.0
    for t in range(1, last + 1):
        h[t] = np.tanh(v["W"] @ h[t - 1] + v["U"] @ v["x"][t] + v["b"])
        y[t] = softmax(v["V"] @ h[t] + v["c"])
        cost -= v["d"][t] @ np.log(y[t])
    return cost


def elman_context(v: Own, last: int) -> Cost:
    """As `elman`, on a copy of the state that is held fixed when differentiated."""
    h, y, cost = v["h"], v["y"], 0.0
    for t in range(1, last + 1):
        v["s"][t] = v["hold"](t, h[t - 1])
        h[t] = np.tanh(v["W"] @ v["s"][t] + v["U"] @ v["x"][t] + v["b"])
        y[t] = softmax(v["V"] @ h[t] + v["c"])
        cost -= v["d"][t] @ np.log(y[t])
    return cost


def jordan(v: Own, last: int) -> Cost:
    """A running average of logistic outputs as memory, held fixed when differentiated."""
    s, h, y, cost = v["s"], v["h"], v["y"], 0.0
    for t in range(1, last + 1):
        s[t] = v["mu"] * s[t - 1] + (1 - v["mu"]) * y[t - 1]
        h[t] = np.tanh(v["W"] @ v["hold"](t, s[t]) + v["U"] @ v["x"][t] + v["b"])
        y[t] = sigmoid(v["V"] @ h[t] + v["c"])
        cost += halved_square(y[t] - v["d"][t])
    return cost


def state_space(v: Own, last: int) -> Cost:
    """Tanh state that starts at the parameter h0, logistic outputs."""
    h, y, cost = v["h"], v["y"], 0.0
    h[0] = v["h0"]
    for t in range(1, last + 1):
        h[t] = np.tanh(v["W"] @ h[t - 1] + v["U"] @ v["x"][t] + v["b"])
        y[t] = sigmoid(v["V"] @ h[t] + v["c"])
        cost += halved_square(y[t] - v["d"][t])
    return cost


def martens(v: Own, last: int) -> Cost:
    """Net inputs z and s, tanh hidden units, logistic outputs."""
    z, h, s, y, cost = v["z"], v["h"], v["s"], v["y"], 0.0
    for t in range(1, last + 1):
        z[t] = v["Whx"] @ v["x"][t] + v["Whh"] @ h[t - 1] + v["bh"]
        h[t] = np.tanh(z[t])
        s[t] = v["Wyh"] @ h[t] + v["by"]
        y[t] = sigmoid(s[t])
        cost += halved_square(y[t] - v["d"][t])
    return cost


def finite_response(v: Own, last: int) -> Cost:
    """Three input taps into a tanh layer, linear read-out."""
    x, cost = v["x"], 0.0
    x[0] = x[-1] = np.zeros(v["B0"].shape[1])
    for t in range(1, last + 1):
        v["h"][t] = np.tanh(v["b"] + v["B0"] @ x[t] + v["B1"] @ x[t - 1] + v["B2"] @ x[t - 2])
        v["y"][t] = v["V"] @ v["h"][t] + v["c"]
        cost += halved_square(v["y"][t] - v["d"][t])
    return cost


def narx(v: Own, last: int) -> Cost:
    """Three output taps and three input taps into a tanh layer, linear output fed back."""
    x, y, cost = v["x"], v["y"], 0.0
    x[0] = x[-1] = np.zeros(v["B0"].shape[1])
    for t in range(1, last + 1):
        z = v["b"] + v["B0"] @ x[t] + v["B1"] @ x[t - 1] + v["B2"] @ x[t - 2]
        v["h"][t] = np.tanh(z + v["A1"] @ y[t - 1] + v["A2"] @ y[t - 2] + v["A3"] @ y[t - 3])
        y[t] = v["V"] @ v["h"][t] + v["c"]
        cost += halved_square(y[t] - v["d"][t])
    return cost


def feedback(v: Own, last: int) -> Cost:
    """Recurrences on h one and two steps back and on y one step back."""
    h, y, cost = v["h"], v["y"], 0.0
    for t in range(1, last + 1):
        h[t] = np.tanh(v["W1"] @ h[t - 1] + v["W2"] @ h[t - 2] + v["F"] @ y[t - 1] + v["U"] @ v["x"][t] + v["b"])
        y[t] = np.tanh(v["V"] @ h[t] + v["c"])
        cost += halved_square(y[t] - v["d"][t])
    return cost


def clamped(v: Own, last: int) -> Cost:
    """All units in one vector: first the clamped ones, then outputs, then hidden ones."""
    h, s, cost = v["h"], v["s"], 0.0
    for t in range(1, last + 1):
        h[t] = np.tanh(v["W"] @ s[t - 1] + v["b"])
        s[t] = np.concatenate([v["x"][t], h[t]])
        cost += halved_square(h[t][: len(v["d"][t])] - v["d"][t])
    return cost


def attractor(v: Own, last: int) -> Cost:
    """A cue at the first two steps, a target for the first k units at the last three, all units from 0.5."""
    h, cost = v["h"], 0.0
    h[0] = np.full(len(v["b"]), 0.5)
    for t in range(1, last + 1):
        cue = v["U"] @ v["x"][t] if t <= 2 else 0.0
        h[t] = np.tanh(v["W"] @ h[t - 1] + cue + v["b"])
        if t > last - 3:
            cost += halved_square(h[t][: len(v["d"])] - v["d"])
    return cost


CELLS = (settle, trajectory, elman, elman_context, jordan, state_space, martens, finite_response, narx, feedback, clamped, attractor)
