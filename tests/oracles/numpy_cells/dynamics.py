"""Discretised differential equations and networks at rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from .activations import halved_square
from .newton import rest

Own = dict[str, Any]
Cost = Any


def _read_out(v: Own, t: int, state: np.ndarray) -> Cost:
    v["y"][t] = v["V"] @ state + v["c"]
    return halved_square(v["y"][t] - v["d"][t])


def leaky(v: Own, last: int) -> Cost:
    """Euler steps of tau v' = -v + W tanh(v) + U x + b."""
    voltage, rates, cost = v["v"], v["r"], 0.0
    rates[0] = np.tanh(voltage[0])
    for t in range(1, last + 1):
        slope = (-voltage[t - 1] + v["W"] @ rates[t - 1] + v["U"] @ v["x"][t] + v["b"]) / v["tau"]
        voltage[t] = voltage[t - 1] + v["dt"] * slope
        rates[t] = np.tanh(voltage[t])
        cost += _read_out(v, t, rates[t])
    return cost


def antisymmetric(v: Own, last: int) -> Cost:
    """Euler steps with the antisymmetric part of 2 A and diffusion."""
    h, cost = v["h"], 0.0
    for t in range(1, last + 1):
        turned = v["A"] @ h[t - 1] - v["A"].T @ h[t - 1] - v["gamma"] * h[t - 1]
        h[t] = h[t - 1] + v["step"] * np.tanh(turned + v["U"] @ v["x"][t] + v["b"])
        cost += _read_out(v, t, h[t])
    return cost


def cornn(v: Own, last: int) -> Cost:
    """Oscillators q with velocity v, the velocity first."""
    q, velocity, cost = v["q"], v["v"], 0.0
    for t in range(1, last + 1):
        force = np.tanh(v["W"] @ q[t - 1] + v["R"] @ velocity[t - 1] + v["U"] @ v["x"][t] + v["b"])
        velocity[t] = velocity[t - 1] + v["dt"] * (force - v["gamma"] * q[t - 1] - v["epsilon"] * velocity[t - 1])
        q[t] = q[t - 1] + v["dt"] * velocity[t]
        cost += _read_out(v, t, q[t])
    return cost


def hopfield(v: Own, last: int) -> Cost:
    """A network at rest, with the nearest weights that are symmetric without a diagonal."""
    weights = (v["W"] + v["W"].T) / 2
    weights = weights - np.diag(np.diag(weights))
    v["x"] = rest(weights, v["u"] + v["b"], v.get("x0", np.zeros(len(v["b"]))))
    return halved_square(v["x"] - v["d"])


def equilibrium(v: Own, last: int) -> Cost:
    """A network that comes to rest at every step, on the step before."""
    z, cost = v["z"], 0.0
    for t in range(1, last + 1):
        drive = v["R"] @ z[t - 1] + v["U"] @ v["x"][t] + v["b"]
        z[t] = rest(v["W"], drive, np.zeros(len(drive)))
        cost += _read_out(v, t, z[t])
    return cost


CELLS = (leaky, antisymmetric, cornn, hopfield, equilibrium)
