"""Networks of one recurrent layer: steady states, trajectories, taps on inputs and outputs, clamped units."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from .scans import Signals, Values, affine, classified, half_squares, linear, scan


def rest(weights: Array, drive: Array, start: Array) -> Array:
    """Fixed-point iteration of one sequence, then Newton; differentiated at the solution through a dense linear solve."""

    def residual(x: Array) -> Array:
        return x - jnp.tanh(weights @ x + drive)

    def solve(f: Callable, x: Array) -> Array:
        x = jax.lax.fori_loop(0, 200, lambda _, x: x - f(x), x)
        return jax.lax.fori_loop(0, 12, lambda _, x: x - jnp.linalg.solve(jax.jacfwd(f)(x), f(x)), x)

    def tangent_solve(g: Callable, y: Array) -> Array:
        return jnp.linalg.solve(jax.jacfwd(g)(y), y)

    return jax.lax.custom_root(residual, jax.lax.stop_gradient(start), solve, tangent_solve)


def settle(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Tanh network at rest."""
    drive = v["u"] @ v["U"].T + v["b"]
    x = jax.vmap(rest, (None, 0, 0))(v["W"], drive, v.get("x0", jnp.zeros_like(v["d"])))
    return {"x": x}, 0.5 * jnp.sum((x - v["d"]) ** 2, -1)


def trajectory(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Tanh network without input, weighted squared distance."""

    def step(x: Array, _: Array) -> tuple[Array, Array]:
        x = jnp.tanh(x @ v["W"].T + v["b"])
        return x, x

    x = scan(step, v["x[0]"], v["w"], mask)
    return {"x": x}, v["w"] * half_squares(x, v["d"], mask)


def _tanh_states(v: Values, start: Array, mask: Array) -> Array:
    def step(h: Array, x: Array) -> tuple[Array, Array]:
        h = jnp.tanh(affine(v, "", h, x))
        return h, h

    return scan(step, start, v["x"], mask)


def elman(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Tanh state, softmax read-out."""
    h = _tanh_states(v, v["h[0]"], mask)
    y, cost = classified(v, h @ v["V"].T + v["c"], mask)
    return {"h": h, "y": y}, cost


def elman_context(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Every step on a copy of the state."""

    def step(h: Array, x: Array) -> tuple[Array, Signals]:
        s = jax.lax.stop_gradient(h)
        h = jnp.tanh(affine(v, "", s, x))
        return h, {"s": s, "h": h}

    run = scan(step, v["h[0]"], v["x"], mask)
    run["y"], cost = classified(v, run["h"] @ v["V"].T + v["c"], mask)
    return run, cost


def jordan(v: Values, mask: Array) -> tuple[Signals, Array]:
    """The memory is carried, and what reads it is not differentiated by it."""

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Signals]:
        s, y = state
        s = v["mu"] * s + (1 - v["mu"]) * y
        h = jnp.tanh(affine(v, "", jax.lax.stop_gradient(s), x))
        y = jax.nn.sigmoid(h @ v["V"].T + v["c"])
        return (s, y), {"s": s, "h": h, "y": y}

    run = scan(step, (v["s[0]"], v["y[0]"]), v["x"], mask)
    return run, half_squares(run["y"], v["d"], mask)


def _logistic(logits: Array, d: Array, mask: Array) -> tuple[Array, Array]:
    y = jnp.where(mask[..., None], jax.nn.sigmoid(logits), 0.0)
    return y, half_squares(y, d, mask)


def state_space(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Tanh state from a shared start, logistic outputs."""
    h = _tanh_states(v, jnp.broadcast_to(v["h0"], (mask.shape[1], *v["h0"].shape)), mask)
    y, cost = _logistic(h @ v["V"].T + v["c"], v["d"], mask)
    return {"h": h, "y": y}, cost


def martens(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Net inputs and states of both layers."""

    def step(h: Array, x: Array) -> tuple[Array, Signals]:
        z = x @ v["Whx"].T + h @ v["Whh"].T + v["bh"]
        h = jnp.tanh(z)
        return h, {"z": z, "h": h, "s": h @ v["Wyh"].T + v["by"]}

    run = scan(step, v["h[0]"], v["x"], mask)
    run["y"], cost = _logistic(run["s"], v["d"], mask)
    return run, cost


def _taps(v: Values) -> Array:
    """Three taps on the inputs, as shifted copies."""
    padded = jnp.concatenate([jnp.zeros((2, *v["x"].shape[1:])), v["x"]])
    steps = v["x"].shape[0]
    return sum(padded[2 - lag : 2 - lag + steps] @ v[f"B{lag}"].T for lag in range(3)) + v["b"]


def finite_response(v: Values, mask: Array) -> tuple[Signals, Array]:
    """All steps at once."""
    h = jnp.where(mask[..., None], jnp.tanh(_taps(v)), 0.0)
    y, cost = linear(v, h, mask)
    return {"h": h, "y": y}, cost


def narx(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Output and input taps into a tanh layer."""

    def step(taps: tuple[Array, Array, Array], z: Array) -> tuple[tuple[Array, Array, Array], Signals]:
        h = jnp.tanh(z + sum(y @ v[f"A{lag}"].T for lag, y in enumerate(taps, 1)))
        y = h @ v["V"].T + v["c"]
        return (y, *taps[:2]), {"h": h, "y": y}

    run = scan(step, (v["y[0]"], v["y[-1]"], v["y[-2]"]), _taps(v), mask)
    return run, half_squares(run["y"], v["d"], mask)


def feedback(v: Values, mask: Array) -> tuple[Signals, Array]:
    """The two last states and the last output are carried."""

    def step(state: tuple[Array, Array, Array], x: Array) -> tuple[tuple[Array, Array, Array], Signals]:
        h1, h2, y = state
        h = jnp.tanh(h1 @ v["W1"].T + h2 @ v["W2"].T + y @ v["F"].T + x @ v["U"].T + v["b"])
        y = jnp.tanh(h @ v["V"].T + v["c"])
        return (h, h1, y), {"h": h, "y": y}

    run = scan(step, (v["h[0]"], v["h[-1]"], v["y[0]"]), v["x"], mask)
    return run, half_squares(run["y"], v["d"], mask)


def clamped(v: Values, mask: Array) -> tuple[Signals, Array]:
    """The weights in two parts, from clamped units and from the others."""
    inputs = v["x"].shape[-1]
    outputs = v["d"].shape[-1]

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Signals]:
        shown, free = state
        free = jnp.tanh(shown @ v["W"][:, :inputs].T + free @ v["W"][:, inputs:].T + v["b"])
        return (x, free), {"h": free, "s": jnp.concatenate([x, free], -1)}

    run = scan(step, (v["s[0]"][:, :inputs], v["s[0]"][:, inputs:]), v["x"], mask)
    return run, half_squares(run["h"][..., :outputs], v["d"], mask)


def attractor(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Cue and targets switched by masks of steps."""
    number = jnp.arange(mask.shape[0])[:, None]
    cue = (v["x"] @ v["U"].T) * (number < 2)[..., None]

    def step(h: Array, z: Array) -> tuple[Array, Array]:
        h = jnp.tanh(h @ v["W"].T + z + v["b"])
        return h, h

    h = scan(step, jnp.full((mask.shape[1], v["b"].size), 0.5), cue, mask)
    late = mask & (number >= mask.sum(0) - 3)
    return {"h": h}, half_squares(h[..., : v["d"].shape[-1]], v["d"], late)


CELLS = (settle, trajectory, elman, elman_context, jordan, state_space, martens, finite_response, narx, feedback, clamped, attractor)
