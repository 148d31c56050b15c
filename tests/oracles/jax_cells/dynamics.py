"""Discretised differential equations and networks at rest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from .networks import rest
from .scans import Signals, Values, affine, linear, scan


def leaky(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Leaky integrators; the carried state is the voltage alone."""

    def step(voltage: Array, x: Array) -> tuple[Array, Signals]:
        share = v["dt"] / v["tau"]
        voltage = (1 - share) * voltage + share * affine(v, "", jnp.tanh(voltage), x)
        return voltage, {"v": voltage, "r": jnp.tanh(voltage)}

    run = scan(step, v["v[0]"], v["x"], mask)
    run["y"], cost = linear(v, run["r"], mask)
    return run, cost


def antisymmetric(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Euler steps with W = A - A' - gamma I."""
    weights = {**v, "W": v["A"] - v["A"].T - v["gamma"] * jnp.eye(len(v["A"]))}

    def step(h: Array, x: Array) -> tuple[Array, Array]:
        h = h + v["step"] * jnp.tanh(affine(weights, "", h, x))
        return h, h

    h = scan(step, v["h[0]"], v["x"], mask)
    y, cost = linear(v, h, mask)
    return {"h": h, "y": y}, cost


def cornn(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Coupled oscillators."""

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Signals]:
        q, velocity = state
        force = jnp.tanh(affine(v, "", q, x) + velocity @ v["R"].T) - v["gamma"] * q - v["epsilon"] * velocity
        velocity = velocity + v["dt"] * force
        q = q + v["dt"] * velocity
        return (q, velocity), {"q": q, "v": velocity}

    run = scan(step, (v["q[0]"], v["v[0]"]), v["x"], mask)
    run["y"], cost = linear(v, run["q"], mask)
    return run, cost


def hopfield(v: Values, mask: Array) -> tuple[Signals, Array]:
    """A network at rest; both triangles receive what a weight of both directions would."""
    pairs = jnp.triu(v["W"], 1) + jnp.tril(v["W"], -1).T
    weights = (pairs + pairs.T) / 2
    x = jax.vmap(rest, (None, 0, 0))(weights, v["u"] + v["b"], v.get("x0", jnp.zeros_like(v["d"])))
    return {"x": x}, 0.5 * jnp.sum((x - v["d"]) ** 2, -1)


def equilibrium(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Sixty layers of equal weights for the infinitely many, differentiated one by one."""

    def step(z: Array, x: Array) -> tuple[Array, Array]:
        drive = z @ v["R"].T + x @ v["U"].T + v["b"]
        z = jax.lax.scan(lambda z, _: (jnp.tanh(z @ v["W"].T + drive), None), jnp.zeros_like(z), None, 60)[0]
        return z, z

    z = scan(step, v["z[0]"], v["x"], mask)
    y, cost = linear(v, z, mask)
    return {"z": z, "y": y}, cost


CELLS = (leaky, antisymmetric, cornn, hopfield, equilibrium)
