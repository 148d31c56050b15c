"""Drawing: an argument's buffer and sizes -> random values for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codegen.arguments import LEAD
from codegen.program import Buffer, Program, size_value


def draw_values(
    program: Program,
    labels: Mapping[str, Buffer],
    dims: Mapping[str, int],
    steps: int,
    batch: int,
    rng: np.random.Generator,
    positive: bool,
) -> dict[str, np.ndarray]:
    """Values for every label: of unit size for inputs, of a size that neither dies nor explodes for weights, defaults where given.

    positive: only values above zero, for functions that have no others. Integers of an index are drawn among all it may take, "none" too.
    """
    lead = {"T": steps, "B": batch}
    values = {}
    for label, buffer in labels.items():
        components = tuple(size_value(size, dims) for size in buffer.shape)
        shape = (*(lead[axis] for axis in LEAD[buffer.kind]), *components)
        if buffer.below is not None:
            values[label] = rng.integers(-1, size_value(buffer.below, dims), shape)
            continue
        scale = 0.6 / np.sqrt(components[-1]) if buffer.kind == "shared" and len(components) == 2 else 0.6
        drawn = scale * rng.standard_normal(shape)
        values[label] = np.asarray(program.defaults.get(label, np.abs(drawn) + 0.05 if positive else drawn))
    return values
