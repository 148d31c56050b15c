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

from ..stock_layouts import LAYOUTS, completed, extent
from . import dynamics, gated, memories, networks, stacks
from .scans import Cell, Signals, Values

jax.config.update("jax_enable_x64", True)

FAMILIES = (networks, stacks, gated, dynamics, memories)
CELLS: dict[str, Cell] = {cell.__name__: cell for family in FAMILIES for cell in family.CELLS}


def _prepared(name: str, values: Mapping[str, Any], lengths: Any) -> tuple[Values, Array]:
    """Make inputs harmless beyond each sequence's own end; also the mask of live steps (T, B)."""
    steps, _ = extent(name, values)
    mask = jnp.arange(steps)[:, None] < lengths
    safe = dict(values)
    for key in LAYOUTS[name].timed:
        live = mask.reshape(mask.shape + (1,) * (jnp.ndim(values[key]) - 2))
        safe[key] = jnp.where(live, values[key], 0.0)
    return safe, mask


def split(name: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate the differentiable arrays, ghosts filled in, from constants and the lengths, always given."""
    steps, batch = extent(name, values)
    fixed = {key: jnp.asarray(values[key]) for key in LAYOUTS[name].constants}
    fixed["lengths"] = jnp.asarray(values.get("lengths", np.full(batch, steps)))
    return {key: jnp.asarray(a, jnp.float64) for key, a in completed(name, values).items() if key not in fixed}, fixed


def cost(name: str, arrays: dict[str, Any], fixed: dict[str, Any]) -> tuple[Array, Signals]:
    """The objective, summed over sequences, and the signals, for JAX to trace."""
    signals, costs = CELLS[name](*_prepared(name, {**arrays, **fixed}, fixed["lengths"]))
    return costs.sum(), signals


# Tiny programs, each run a few times: LLVM's optimisation would take longer than it saves.
@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
def _compiled(name: str, arrays: dict[str, Any], fixed: dict[str, Any]) -> tuple[tuple[Array, Signals], dict[str, Array]]:
    return jax.value_and_grad(partial(cost, name), has_aux=True)(arrays, fixed)


def forward(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Signals, zero beyond each sequence's own end, and the scalar "objective"."""
    value, signals = _compiled(name, *split(name, values))[0]
    return {**{key: np.asarray(a) for key, a in signals.items()}, "objective": float(value)}


def gradient(name: str, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Gradient of the objective at every parameter, input and ghost, those left out included; same shapes."""
    return {key: np.asarray(g) for key, g in _compiled(name, *split(name, values))[1].items()}


def objective(name: str, values: Mapping[str, Any]) -> Array:
    """Compute the objective alone, for JAX to trace: second derivatives, Jacobians by `jax.jvp`, and the like."""
    return cost(name, *split(name, values))[0]


@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
def _along(name: str, arrays: dict[str, Any], direction: dict[str, Any], fixed: dict[str, Any]) -> Any:
    return jax.jvp(lambda at: jax.value_and_grad(partial(cost, name), has_aux=True)(at, fixed), (arrays,), (direction,))[1]


def along(name: str, values: Mapping[str, Any], direction: Mapping[str, Any]) -> tuple[float, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Derivatives along a direction, forward over reverse: of the objective, of the signals, and of the gradient (Hessian times direction).

    A label without direction stands still.
    """
    arrays, fixed = split(name, values)
    moves = {key: jnp.asarray(direction.get(key, np.zeros(a.shape))) for key, a in arrays.items()}
    (derivative, signals), products = _along(name, arrays, moves, fixed)
    return float(derivative), *({key: np.asarray(a) for key, a in part.items()} for part in (signals, products))


@partial(jax.jit, static_argnums=(0, 4, 5), compiler_options={"xla_backend_optimization_level": 0})
def _gauss_newton(name: str, arrays: Any, direction: Any, fixed: Any, loss: Callable, outputs: Callable) -> dict[str, Array]:
    safe, mask = _prepared(name, {**arrays, **fixed}, fixed["lengths"])

    def network(at: Any) -> Signals:
        return outputs(cost(name, at, fixed)[1])

    (found, moved), back = jax.jvp(network, (arrays,), (direction,)), jax.vjp(network, arrays)[1]
    return back(jax.jvp(jax.grad(lambda at: loss(safe, mask, at).sum()), (found,), (moved,))[1])[0]


def gauss_newton(name: str, values: Mapping[str, Any], direction: Mapping[str, Any], loss: Callable[[Values, Array, Signals], Array],
                 outputs: Callable[[Signals], Signals]) -> dict[str, np.ndarray]:  # fmt: skip
    """J' H J times a direction. outputs: what of the signals stands between network and loss; loss: of values, mask and outputs."""
    arrays, fixed = split(name, values)
    moves = {key: jnp.asarray(direction.get(key, np.zeros(a.shape))) for key, a in arrays.items()}
    return {key: np.asarray(a) for key, a in _gauss_newton(name, arrays, moves, fixed, loss, outputs).items()}
