"""Gated cells as one step of a JAX scan, batched; `jax_cells` runs and masks them.

Stage: test oracle. Input: parameters by name, the carried states (B, n), the inputs of a step (B, m). Output: the
states after it, and every signal. The gates' products are taken in one, unlike in `numpy_gated`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

Values = dict[str, Array]


def _stacked(v: Values, letter: str, gates: str) -> Array:
    return jnp.concatenate([v[letter + gate] for gate in gates])


def lstm_peephole(v: Values, state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Values]:
    """Long short-term memory with peepholes."""
    h, c = state
    drive = h @ _stacked(v, "W", "ifgo").T + x @ _stacked(v, "U", "ifgo").T + _stacked(v, "b", "ifgo")
    zi, zf, zg, zo = jnp.split(drive, 4, -1)
    i, f, g = jax.nn.sigmoid(zi + v["qi"] * c), jax.nn.sigmoid(zf + v["qf"] * c), jnp.tanh(zg)
    c = f * c + i * g
    o = jax.nn.sigmoid(zo + v["qo"] * c)
    h = o * jnp.tanh(c)
    return (h, c), {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h, "y": h @ v["V"].T + v["by"]}


def gru_reset_after(v: Values, h: Array, x: Array) -> tuple[Array, Values]:
    """Gated recurrent unit, reset after the product."""
    ur, uz, ug = jnp.split(x @ _stacked(v, "U", "rzg").T + _stacked(v, "b", "rzg"), 3, -1)
    wr, wz, wg = jnp.split(h @ _stacked(v, "W", "rzg").T, 3, -1)
    r, z = jax.nn.sigmoid(ur + wr), jax.nn.sigmoid(uz + wz)
    g = jnp.tanh(ug + r * (wg + v["ag"]))
    h = g + z * (h - g)
    return h, {"r": r, "z": z, "g": g, "h": h, "y": h @ v["V"].T + v["by"]}
