"""Forward passes of the stock recurrences in plain NumPy, one sequence and one step at a time.

Stage: test oracle. Input: a stock name and the flat mapping of arrays that a kernel takes. Output: every signal and the
objective. Steps are keyed by their number, 1..T and the ghosts outside; reading any other position is a KeyError.
Everything is analytic, so complex arrays pass through for complex-step differences. What no gradient passes is kept in
`held` by the first run that is given it, and read from there by later ones, so that differences leave it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..stock_layouts import LAYOUTS, completed, extent, shape, sizes
from . import dynamics, gated, memories, networks, stacks

Own = dict[str, Any]  # one sequence: arrays for what has no time, {step: array} for what has
Cost = Any
Held = dict[tuple[int, int], np.ndarray]

FAMILIES = (networks, stacks, gated, dynamics, memories)
CELLS: dict[str, Callable[[Own, int], Cost]] = {cell.__name__: cell for family in FAMILIES for cell in family.CELLS}


def _one_sequence(name: str, values: Mapping[str, np.ndarray], s: int, last: int, held: Held) -> Own:
    """Take the values of sequence s: steps 1..last only, and the ghosts at its own ends."""
    layout = LAYOUTS[name]
    own: Own = {key: values[key] for key in (*layout.parameters, *layout.constants)}
    own["hold"] = lambda step, value: held.setdefault((s, step), value)
    own |= {key: values[key][s] for key in (*layout.sequence, "x0") if key in values}
    own |= {key: {} for key in layout.signals}
    own |= {key: {t: values[key][t - 1, s] for t in range(1, last + 1)} for key in layout.timed}
    for key in layout.ghosts:
        signal, position = key[:-1].split("[")
        own[signal][last + 1 if position == "T+1" else int(position)] = values[key][s]
    return own


def forward(name: str, values: Mapping[str, np.ndarray], held: Held | None = None) -> dict[str, Any]:
    """Run a stock recurrence.

    Shapes: signals (T, B, dims), zero beyond a sequence's own end, or (B, dims) without time; "objective" a scalar,
    summed over sequences. held: stopped values by sequence and step; filled where empty.
    """
    held = {} if held is None else held
    layout, dims, values = LAYOUTS[name], sizes(name, values), completed(name, values)
    steps, batch = extent(name, values)
    lengths = np.asarray(values.get("lengths", np.full(batch, steps)))
    kind = np.result_type(*(a for key, a in values.items() if key != "lengths"))
    lead = (steps, batch) if layout.timed else (batch,)
    run: dict[str, Any] = {key: np.zeros(lead + shape(s, dims), kind) for key, s in layout.signals.items()}
    run["objective"] = kind.type(0)
    for s in range(batch):
        last = int(lengths[s])
        own = _one_sequence(name, values, s, last, held)
        run["objective"] += CELLS[name](own, last)
        for key in layout.signals:
            if not layout.timed:
                run[key][s] = own[key]
            for t in range(1, last + 1) if layout.timed else ():
                run[key][t - 1, s] = own[key][t]
    return run


def objective(name: str, values: Mapping[str, np.ndarray], held: Held | None = None) -> Any:
    """Compute the objective alone."""
    return forward(name, values, held)["objective"]
