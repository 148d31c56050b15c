"""Random values for everything a caller gives."""

from __future__ import annotations

import numpy as np

from derive.nodes import Kind, dim
from derive.recurrence import Recurrence
from derive.reference import nullspaces
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
            values[quantity.name] = scale * rng.standard_normal((*lead, *_size(quantity.shape)))
    for ghost in recurrence.arguments:
        values[ghost.source()] = scale * rng.standard_normal((batch, *_size(ghost.shape)))
    free = {quantity.name for quantity in recurrence.of_role("parameter")}
    for allowed in nullspaces(recurrence, values) if recurrence.constraints else ():
        values |= _contracted(allowed.nearest(values))
        free -= {*allowed.shapes}
    for name in free:
        values |= _contracted({name: values[name]})
    return values


def _contracted(together: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters, scaled together so that the square ones are contractions."""
    norms = [np.linalg.norm(value, 2) for value in together.values() if value.ndim == 2 and value.shape[0] == value.shape[1]]
    largest = max(norms, default=0.0)
    return {name: CONTRACTION / largest * value for name, value in together.items()} if largest > CONTRACTION else together
