"""Several layers, one scan each: deep networks and bidirectional blocks."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from .scans import Signals, Values, classified, scan


def _net(v: Values, names: tuple[str, str, str], start: Array, below: Array, mask: Array, reverse: bool = False) -> Array:
    recurrent, current, bias = (v[name] for name in names)

    def step(h: Array, x: Array) -> tuple[Array, Array]:
        h = jnp.tanh(h @ recurrent.T + x @ current.T + bias)
        return h, h

    return scan(step, start, below, mask, reverse)


def deep(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Layer by layer over the whole sequence."""
    run, below = {}, v["x"]
    for layer in "123":
        below = run[f"h{layer}"] = _net(v, (f"Wr{layer}", f"Wc{layer}", f"b{layer}"), v[f"h{layer}[0]"], below, mask)
    run["y"], cost = classified(v, below @ v["Wo"].T + v["bo"], mask)
    return run, cost


def tied(v: Values, mask: Array) -> tuple[Signals, Array]:
    """One matrix for both layers, of which the parameters are two halves."""
    shared = {**v, "W": v["W1"] / 2 + v["W2"] / 2}
    h = _net(shared, ("W", "U", "b1"), v["h[0]"], v["x"], mask)
    g = _net(shared, ("W", "P", "b2"), v["g[0]"], h, mask)
    y, cost = classified(v, g @ v["V"].T + v["c"], mask)
    return {"h": h, "g": g, "y": y}, cost


def bidirectional(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Two tanh nets in opposite directions, softmax read-out."""
    hf = _net(v, ("Wf", "Uf", "bf"), v["hf[0]"], v["x"], mask)
    hb = _net(v, ("Wb", "Ub", "bb"), v["hb[T+1]"], v["x"], mask, True)
    y, cost = classified(v, jnp.concatenate([hf, hb], -1) @ v["V"].T + v["c"], mask)
    return {"hf": hf, "hb": hb, "y": y}, cost


def bidirectional_stack(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Two blocks."""

    def net(name: str, below: Array) -> Array:
        reverse = name.startswith("g")
        return _net(v, (f"W{name}", f"U{name}", f"b{name}"), v[name + ("[T+1]" if reverse else "[0]")], below, mask, reverse)

    run = {"f1": net("f1", v["x"]), "g1": net("g1", v["x"])}
    run["f2"] = net("f2", run["f1"])
    run["u"] = jnp.concatenate([run["f2"], run["g1"]], -1)
    run |= {"f3": net("f3", run["u"]), "g2": net("g2", run["u"])}
    run["y"], cost = classified(v, jnp.concatenate([run["f3"], run["g2"]], -1) @ v["V"].T + v["c"], mask)
    return run, cost


CELLS = (deep, tied, bidirectional, bidirectional_stack)
