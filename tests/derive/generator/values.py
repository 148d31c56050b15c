"""Random values for everything a caller gives."""

from __future__ import annotations

import numpy as np

from derive.nodes import Kind, Quantity, dim
from derive.recurrence import Recurrence
from generator.vocabulary import DIMS

CONTRACTION = 0.85  # the norm of square parameters: cycles without lag have one solution, loops do not grow


def _size(shape: tuple) -> tuple[int, ...]:
    return tuple(int(size.subs({dim(name): length for name, length in DIMS.items()})) for size in shape)


def draw(recurrence: Recurrence, rng: np.random.Generator, steps: int, batch: int, scale: float = 0.4) -> dict[str, np.ndarray]:
    """Values by label; an index draws "none" too, and a constant with a default is left out half of the time."""
    values = {}
    for quantity in recurrence.of_role("input", "index", "parameter", "constant"):
        lead = {Kind.SHARED: (), Kind.SEQUENCE: (batch,), Kind.TIMED: (steps, batch)}[quantity.kind]
        if quantity.role == "index":
            values[quantity.name] = rng.integers(-1, *_size(quantity.shape), (steps, batch))
        elif quantity.name not in recurrence.defaults or rng.random() < 0.5:
            values[quantity.name] = _value(quantity, rng, (*lead, *_size(quantity.shape)), scale)
    for ghost in recurrence.arguments:
        values[ghost.source()] = scale * rng.standard_normal((batch, *_size(ghost.shape)))
    return values


def _value(quantity: Quantity, rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    value = scale * rng.standard_normal(shape)
    if quantity.role == "parameter" and len(shape) == 2 and shape[0] == shape[1]:
        value *= min(1.0, CONTRACTION / np.linalg.norm(value, 2))
    return value
