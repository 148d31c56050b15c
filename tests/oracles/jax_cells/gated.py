"""Gated cells: LSTM, GRU, minimal gated unit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from .scans import Signals, Values, affine, linear, scan


def lstm(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Long short-term memory with forget gate."""

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Signals]:
        h, c = state
        i, f, o = (jax.nn.sigmoid(affine(v, gate, h, x)) for gate in "ifo")
        g = jnp.tanh(affine(v, "g", h, x))
        c = f * c + i * g
        h = o * jnp.tanh(c)
        return (h, c), {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}

    run = scan(step, (v["h[0]"], v["c[0]"]), v["x"], mask)
    run["y"], cost = linear(v, run["h"], mask, "by")
    return run, cost


def gru(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Gated recurrent unit, reset before the product."""

    def step(h: Array, x: Array) -> tuple[Array, Signals]:
        r, z = jax.nn.sigmoid(affine(v, "r", h, x)), jax.nn.sigmoid(affine(v, "z", h, x))
        g = jnp.tanh(affine(v, "g", r * h, x))
        h = g + z * (h - g)
        return h, {"r": r, "z": z, "g": g, "h": h}

    run = scan(step, v["h[0]"], v["x"], mask)
    run["y"], cost = linear(v, run["h"], mask, "by")
    return run, cost


def mgu(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Minimal gated unit."""

    def step(h: Array, x: Array) -> tuple[Array, Signals]:
        f = jax.nn.sigmoid(affine(v, "f", h, x))
        g = jnp.tanh(affine(v, "g", f * h, x))
        h = (1 - f) * h + f * g
        return h, {"f": f, "g": g, "h": h}

    run = scan(step, v["h[0]"], v["x"], mask)
    run["y"], cost = linear(v, run["h"], mask, "by")
    return run, cost


CELLS = (lstm, gru, mgu)
