"""What the cells share: scans over live steps, read-outs and their costs, zero at masked steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Values = dict[str, Array]
Signals = dict[str, Array]
Cell = Callable[[Values, Array], tuple[Signals, Array]]


def live(mask: Array, like: Array) -> Array:
    """The mask with axes for the components of an array."""
    return mask.reshape(mask.shape + (1,) * (like.ndim - mask.ndim))


def scan(step: Callable, start: Any, inputs: Any, mask: Array, reverse: bool = False) -> Any:
    """Scan that leaves the carried state alone at masked steps, and returns zeros there."""

    def guarded(carry: Any, at: Any) -> Any:
        row, now = at
        after, out = step(carry, row)
        keep = jax.tree.map(lambda new, old: jnp.where(live(now, new), new, old), after, carry)
        return keep, jax.tree.map(lambda new: jnp.where(live(now, new), new, 0.0), out)

    return jax.lax.scan(guarded, start, (inputs, mask), reverse=reverse)[1]


def affine(v: Values, suffix: str, h: Array, x: Array) -> Array:
    """W h + U x + b, with the names' suffix."""
    return h @ v["W" + suffix].T + x @ v["U" + suffix].T + v["b" + suffix]


def half_squares(y: Array, d: Array, mask: Array) -> Array:
    """Half the squared distance at live steps."""
    return jnp.where(mask, 0.5 * jnp.sum((y - d) ** 2, -1), 0.0)


def classified(v: Values, logits: Array, mask: Array) -> tuple[Array, Array]:
    """Softmax of the logits, and its cross entropy with the targets d."""
    probabilities = jnp.where(mask[..., None], jax.nn.softmax(logits), 0.0)
    return probabilities, jnp.where(mask, -jnp.sum(v["d"] * jax.nn.log_softmax(logits), -1), 0.0)


def linear(v: Values, state: Array, mask: Array, bias: str = "c") -> tuple[Array, Array]:
    """Linear read-out V, and half its squared distance from the targets d."""
    y = jnp.where(mask[..., None], state @ v["V"].T + v[bias], 0.0)
    return y, half_squares(y, v["d"], mask)
