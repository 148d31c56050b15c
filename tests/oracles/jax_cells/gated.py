"""Gated cells: LSTM with and without peepholes, GRU with both resets, minimal gated unit."""

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


def _stacked(v: Values, letter: str, gates: str) -> Array:
    return jnp.concatenate([v[letter + gate] for gate in gates])


def lstm_peephole(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Long short-term memory with peepholes; the gates' products are taken in one."""

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Signals]:
        h, c = state
        drive = h @ _stacked(v, "W", "ifgo").T + x @ _stacked(v, "U", "ifgo").T + _stacked(v, "b", "ifgo")
        zi, zf, zg, zo = jnp.split(drive, 4, -1)
        i, f, g = jax.nn.sigmoid(zi + v["qi"] * c), jax.nn.sigmoid(zf + v["qf"] * c), jnp.tanh(zg)
        c = f * c + i * g
        o = jax.nn.sigmoid(zo + v["qo"] * c)
        h = o * jnp.tanh(c)
        return (h, c), {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}

    run = scan(step, (v["h[0]"], v["c[0]"]), v["x"], mask)
    run["y"], cost = linear(v, run["h"], mask, "by")
    return run, cost


def gru_reset_after(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Gated recurrent unit, reset after the product; the gates' products are taken in one."""

    def step(h: Array, x: Array) -> tuple[Array, Signals]:
        ur, uz, ug = jnp.split(x @ _stacked(v, "U", "rzg").T + _stacked(v, "b", "rzg"), 3, -1)
        wr, wz, wg = jnp.split(h @ _stacked(v, "W", "rzg").T, 3, -1)
        r, z = jax.nn.sigmoid(ur + wr), jax.nn.sigmoid(uz + wz)
        g = jnp.tanh(ug + r * (wg + v["ag"]))
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


CELLS = (lstm, lstm_peephole, gru, gru_reset_after, mgu)
