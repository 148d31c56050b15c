"""Other ways to remember: independent units, long delays, a matrix, a fixed reservoir, spikes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from .scans import Signals, Values, half_squares, linear, scan


def indrnn(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Two layers, one scan each."""
    run, below = {}, v["x"]
    for layer in "12":
        own, start = v["u" + layer], v[f"h{layer}[0]"]

        def step(h: Array, drive: Array, own: Array = own) -> tuple[Array, Array]:
            h = jax.nn.relu(drive + own * h)
            return h, h

        below = run["h" + layer] = scan(step, start, below @ v["W" + layer].T + v["b" + layer], mask)
    run["y"], cost = linear(v, below, mask)
    return run, cost


def clockwork(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Three groups, the last two and four states of the slower ones carried."""

    def step(state: tuple, x: Array) -> tuple[tuple, Signals]:
        fast, mids, slows = state
        new_slow = jnp.tanh(slows[3] @ v["W33"].T + x @ v["U3"].T + v["b3"])
        new_mid = jnp.tanh(mids[1] @ v["W22"].T + slows[1] @ v["W23"].T + x @ v["U2"].T + v["b2"])
        driven = mids[0] @ v["W12"].T + slows[0] @ v["W13"].T
        fast = jnp.tanh(fast @ v["W11"].T + driven + x @ v["U1"].T + v["b1"])
        y = fast @ v["V1"].T + new_mid @ v["V2"].T + new_slow @ v["V3"].T + v["c"]
        after = (fast, (new_mid, mids[0]), (new_slow, *slows[:3]))
        return after, {"fast": fast, "mid": new_mid, "slow": new_slow, "y": y}

    start = (v["fast[0]"], (v["mid[0]"], v["mid[-1]"]), tuple(v[f"slow[{-lag}]"] for lag in range(4)))
    run = scan(step, start, v["x"], mask)
    return run, half_squares(run["y"], v["d"], mask)


def fast_weights(v: Values, mask: Array) -> tuple[Signals, Array]:
    """A matrix for each sequence."""

    def step(memory: Array, x: Array) -> tuple[Array, Signals]:
        key, value, query = (x @ v[name].T for name in ("Wk", "Wv", "Wq"))
        memory = v["lam"] * memory + jnp.einsum("bi,bj->bij", value, key)
        y = jnp.einsum("bij,bj->bi", memory, query)
        return memory, {"key": key, "value": value, "query": query, "A": memory, "y": y}

    run = scan(step, v["A[0]"], v["x"], mask)
    return run, half_squares(run["y"], v["d"], mask)


def echo_state(v: Values, mask: Array) -> tuple[Signals, Array]:
    """A leaky reservoir."""

    def step(h: Array, x: Array) -> tuple[Array, Array]:
        h = (1 - v["rate"]) * h + v["rate"] * jnp.tanh(h @ v["W"].T + x @ v["U"].T)
        return h, h

    h = scan(step, v["h[0]"], v["x"], mask)
    y, cost = linear(v, jnp.concatenate([v["x"], h], -1), mask)
    return {"h": h, "y": y}, cost


def fire(excess: Array) -> Array:
    """One above the threshold, else zero; with the slopes, first and second, of a smooth step."""
    smooth = excess / (1 + 5 * jnp.abs(excess))
    return jnp.where(excess > 0, 1.0, 0.0) + smooth - jax.lax.stop_gradient(smooth)


def spiking(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Integrate-and-fire units with a custom derivative."""

    def step(state: tuple[Array, ...], x: Array) -> tuple[tuple[Array, ...], Signals]:
        current, potential, spikes, y = state
        current = v["alpha"] * current + spikes @ v["W"].T + x @ v["U"].T
        potential = v["beta"] * potential + current - v["theta"] * spikes
        spikes = fire(potential - v["theta"])
        y = v["kappa"] * y + spikes @ v["V"].T
        return (current, potential, spikes, y), {"i": current, "v": potential, "s": spikes, "y": y}

    run = scan(step, tuple(v[f"{name}[0]"] for name in "ivsy"), v["x"], mask)
    return run, half_squares(run["y"], v["d"], mask)


CELLS = (indrnn, clockwork, fast_weights, echo_state, spiking)
