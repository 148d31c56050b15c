"""The stock recurrences as JAX scans in float64, for `jax.grad`.

Stage: test oracle. Input: a stock name and the flat mapping of arrays that a kernel takes. Output: the signals, the
objective, or its gradient at every entry. Batched and masked, so written quite unlike `numpy_cells`; inputs beyond a
sequence's own end are replaced before use, since a mask put on afterwards would still let NaN into the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from . import jax_gated
from .stock_layouts import LAYOUTS, completed, extent

jax.config.update("jax_enable_x64", True)

Values = dict[str, Array]
Signals = dict[str, Array]


def _scan(step: Callable, start: Any, inputs: Any, mask: Array, reverse: bool = False) -> Any:
    """Scan that leaves the carried state alone at masked steps, and returns zeros there."""

    def guarded(carry: Any, at: Any) -> Any:
        row, live = at
        after, out = step(carry, row)
        keep = jax.tree.map(lambda new, old: jnp.where(live[:, None], new, old), after, carry)
        return keep, jax.tree.map(lambda new: jnp.where(live[:, None], new, 0.0), out)

    return jax.lax.scan(guarded, start, (inputs, mask), reverse=reverse)[1]


def _affine(v: Values, gate: str, h: Array, x: Array) -> Array:
    return h @ v["W" + gate].T + x @ v["U" + gate].T + v["b" + gate]


def _half_squares(y: Array, d: Array, mask: Array) -> Array:
    return jnp.where(mask, 0.5 * jnp.sum((y - d) ** 2, -1), 0.0)


def _cross_entropies(logits: Array, d: Array, mask: Array) -> Array:
    return jnp.where(mask, -jnp.sum(d * jax.nn.log_softmax(logits), -1), 0.0)


def _probabilities(logits: Array, mask: Array) -> Array:
    return jnp.where(mask[..., None], jax.nn.softmax(logits), 0.0)


def settle(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Fixed-point iteration, then Newton; differentiated at the solution through a dense linear solve."""

    def rest(drive: Array, start: Array) -> Array:
        def residual(x: Array) -> Array:
            return x - jnp.tanh(v["W"] @ x + drive)

        def solve(f: Callable, x: Array) -> Array:
            x = jax.lax.fori_loop(0, 200, lambda _, x: x - f(x), x)
            return jax.lax.fori_loop(0, 12, lambda _, x: x - jnp.linalg.solve(jax.jacfwd(f)(x), f(x)), x)

        def tangent_solve(g: Callable, y: Array) -> Array:
            return jnp.linalg.solve(jax.jacfwd(g)(y), y)

        return jax.lax.custom_root(residual, jax.lax.stop_gradient(start), solve, tangent_solve)

    x = jax.vmap(rest)(v["u"] @ v["U"].T + v["b"], v.get("x0", jnp.zeros_like(v["d"])))
    return {"x": x}, 0.5 * jnp.sum((x - v["d"]) ** 2, -1)


def trajectory(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Tanh network without input, weighted squared distance."""

    def step(x: Array, _: Array) -> tuple[Array, Array]:
        x = jnp.tanh(x @ v["W"].T + v["b"])
        return x, x

    x = _scan(step, v["x[0]"], v["w"], mask)
    return {"x": x}, v["w"] * _half_squares(x, v["d"], mask)


def elman(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Tanh state, softmax read-out."""

    def step(h: Array, x: Array) -> tuple[Array, Array]:
        h = jnp.tanh(h @ v["W"].T + x @ v["U"].T + v["b"])
        return h, h

    h = _scan(step, v["h[0]"], v["x"], mask)
    logits = h @ v["V"].T + v["c"]
    return {"h": h, "y": _probabilities(logits, mask)}, _cross_entropies(logits, v["d"], mask)


def lstm(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Long short-term memory with forget gate."""

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Signals]:
        h, c = state
        i, f, o = (jax.nn.sigmoid(_affine(v, gate, h, x)) for gate in "ifo")
        g = jnp.tanh(_affine(v, "g", h, x))
        c = f * c + i * g
        h = o * jnp.tanh(c)
        return (h, c), {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h, "y": h @ v["V"].T + v["by"]}

    run = _scan(step, (v["h[0]"], v["c[0]"]), v["x"], mask)
    return run, _half_squares(run["y"], v["d"], mask)


def gru(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Gated recurrent unit, reset before the product."""

    def step(h: Array, x: Array) -> tuple[Array, Signals]:
        r, z = jax.nn.sigmoid(_affine(v, "r", h, x)), jax.nn.sigmoid(_affine(v, "z", h, x))
        g = jnp.tanh(_affine(v, "g", r * h, x))
        h = g + z * (h - g)
        return h, {"r": r, "z": z, "g": g, "h": h, "y": h @ v["V"].T + v["by"]}

    run = _scan(step, v["h[0]"], v["x"], mask)
    return run, _half_squares(run["y"], v["d"], mask)


def bidirectional(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Two tanh nets in opposite directions, softmax read-out."""

    def net(gate: str, start: Array, reverse: bool) -> Array:
        def step(h: Array, x: Array) -> tuple[Array, Array]:
            h = jnp.tanh(_affine(v, gate, h, x))
            return h, h

        return _scan(step, start, v["x"], mask, reverse)

    hf, hb = net("f", v["hf[0]"], False), net("b", v["hb[T+1]"], True)
    logits = jnp.concatenate([hf, hb], -1) @ v["V"].T + v["c"]
    return {"hf": hf, "hb": hb, "y": _probabilities(logits, mask)}, _cross_entropies(logits, v["d"], mask)


def lstm_peephole(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Long short-term memory with peepholes."""
    run = _scan(partial(jax_gated.lstm_peephole, v), (v["h[0]"], v["c[0]"]), v["x"], mask)
    return run, _half_squares(run["y"], v["d"], mask)


def gru_reset_after(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Gated recurrent unit, reset after the product."""
    run = _scan(partial(jax_gated.gru_reset_after, v), v["h[0]"], v["x"], mask)
    return run, _half_squares(run["y"], v["d"], mask)


def narx(v: Values, mask: Array) -> tuple[Signals, Array]:
    """Output and input taps into a tanh layer; the inputs' taps as shifted copies."""
    padded = jnp.concatenate([jnp.zeros((2, *v["x"].shape[1:])), v["x"]])
    steps = v["x"].shape[0]
    drive = sum(padded[2 - lag : 2 - lag + steps] @ v[f"B{lag}"].T for lag in range(3)) + v["b"]

    def step(taps: tuple[Array, Array, Array], z: Array) -> tuple[tuple[Array, Array, Array], Signals]:
        h = jnp.tanh(z + sum(y @ v[f"A{lag}"].T for lag, y in enumerate(taps, 1)))
        y = h @ v["V"].T + v["c"]
        return (y, *taps[:2]), {"h": h, "y": y}

    run = _scan(step, (v["y[0]"], v["y[-1]"], v["y[-2]"]), drive, mask)
    return run, _half_squares(run["y"], v["d"], mask)


CELLS: dict[str, Callable[[Values, Array], tuple[Signals, Array]]] = {
    cell.__name__: cell for cell in (settle, trajectory, elman, lstm, gru, bidirectional, narx, lstm_peephole, gru_reset_after)
}


def _prepared(name: str, values: Mapping[str, Any], lengths: Any) -> tuple[Values, Array]:
    """Make inputs harmless beyond each sequence's own end; also the mask of live steps (T, B)."""
    steps, _ = extent(name, values)
    mask = jnp.arange(steps)[:, None] < lengths
    safe = dict(values)
    for key in LAYOUTS[name].timed:
        live = mask.reshape(mask.shape + (1,) * (jnp.ndim(values[key]) - 2))
        safe[key] = jnp.where(live, values[key], 0.0)
    return safe, mask


def _split(name: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Separate the differentiable arrays, ghosts filled in, from the lengths, always given."""
    steps, batch = extent(name, values)
    arrays = {key: jnp.asarray(a, jnp.float64) for key, a in completed(name, values).items() if key != "lengths"}
    return arrays, jnp.asarray(values.get("lengths", np.full(batch, steps)))


def _cost(name: str, arrays: dict[str, Any], lengths: Any) -> tuple[Array, Signals]:
    signals, costs = CELLS[name](*_prepared(name, arrays, lengths))
    return costs.sum(), signals


# Tiny programs, each run a few times: LLVM's optimisation would take longer than it saves.
@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
def _compiled(name: str, arrays: dict[str, Any], lengths: Any) -> tuple[tuple[Array, Signals], dict[str, Array]]:
    return jax.value_and_grad(partial(_cost, name), has_aux=True)(arrays, lengths)


def forward(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Signals, zero beyond each sequence's own end, and the scalar "objective"."""
    value, signals = _compiled(name, *_split(name, values))[0]
    return {**{key: np.asarray(a) for key, a in signals.items()}, "objective": float(value)}


def gradient(name: str, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Gradient of the objective at every parameter, input and ghost, those left out included; same shapes."""
    return {key: np.asarray(g) for key, g in _compiled(name, *_split(name, values))[1].items()}


def objective(name: str, values: Mapping[str, Any]) -> Array:
    """Compute the objective alone, for JAX to trace: second derivatives, Jacobians by `jax.jvp`, and the like."""
    return _cost(name, *_split(name, values))[0]


@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
def _along(name: str, arrays: dict[str, Any], direction: dict[str, Any], lengths: Any) -> Any:
    return jax.jvp(lambda at: jax.value_and_grad(partial(_cost, name), has_aux=True)(at, lengths), (arrays,), (direction,))[1]


def along(name: str, values: Mapping[str, Any], direction: Mapping[str, Any]) -> tuple[float, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Derivatives along a direction, forward over reverse: of the objective, of the signals, and of the gradient (Hessian times direction).

    A label without direction stands still.
    """
    arrays, lengths = _split(name, values)
    moves = {key: jnp.asarray(direction.get(key, np.zeros(a.shape))) for key, a in arrays.items()}
    (derivative, signals), products = _along(name, arrays, moves, lengths)
    return float(derivative), *({key: np.asarray(a) for key, a in part.items()} for part in (signals, products))


@partial(jax.jit, static_argnums=(0, 4, 5), compiler_options={"xla_backend_optimization_level": 0})
def _gauss_newton(name: str, arrays: Any, direction: Any, lengths: Any, loss: Callable, outputs: Callable) -> dict[str, Array]:
    safe, mask = _prepared(name, arrays, lengths)

    def network(at: Any) -> Signals:
        return outputs(_cost(name, at, lengths)[1])

    (found, moved), back = jax.jvp(network, (arrays,), (direction,)), jax.vjp(network, arrays)[1]
    return back(jax.jvp(jax.grad(lambda at: loss(safe, mask, at).sum()), (found,), (moved,))[1])[0]


def gauss_newton(name: str, values: Mapping[str, Any], direction: Mapping[str, Any], loss: Callable[[Values, Array, Signals], Array],
                 outputs: Callable[[Signals], Signals]) -> dict[str, np.ndarray]:  # fmt: skip
    """J' H J times a direction. outputs: what of the signals stands between network and loss; loss: of values, mask and outputs."""
    arrays, lengths = _split(name, values)
    moves = {key: jnp.asarray(direction.get(key, np.zeros(a.shape))) for key, a in arrays.items()}
    return {key: np.asarray(a) for key, a in _gauss_newton(name, arrays, moves, lengths, loss, outputs).items()}
