"""Names and shapes of what each stock recurrence takes, and seeded random values for them.

Stage: test oracle. Input: a stock name and sizes. Output: the flat mapping of arrays that kernels and oracles take.
Written by hand from the published equations: nothing here reads a `.rec` file or imports the package under test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

DIMS = {"n": 5, "m": 3, "k": 4}


@dataclass(frozen=True, slots=True)
class Layout:
    """Shapes by name; each is a string of dim letters, where "N" stands for 2 n."""

    parameters: dict[str, str]
    timed: dict[str, str] = field(default_factory=dict)
    sequence: dict[str, str] = field(default_factory=dict)
    ghosts: dict[str, str] = field(default_factory=dict)
    signals: dict[str, str] = field(default_factory=dict)


def _gates(letters: str) -> dict[str, str]:
    return {f"{kind}{gate}": shape for gate in letters for kind, shape in (("W", "nn"), ("U", "nm"), ("b", "n"))}


READ_OUT = {"V": "kn", "by": "k"}
PAIR = {"x": "m", "d": "k"}

LAYOUTS = {
    "settle": Layout({"W": "nn", "U": "nm", "b": "n"}, sequence={"u": "m", "d": "n"}, signals={"x": "n"}),
    "trajectory": Layout({"W": "nn", "b": "n"}, {"d": "n", "w": ""}, ghosts={"x[0]": "n"}, signals={"x": "n"}),
    "elman": Layout({"W": "nn", "U": "nm", "b": "n", "V": "kn", "c": "k"}, PAIR, ghosts={"h[0]": "n"},
                    signals={"h": "n", "y": "k"}),
    "lstm": Layout(_gates("ifgo") | READ_OUT, PAIR, ghosts={"h[0]": "n", "c[0]": "n"},
                   signals={"i": "n", "f": "n", "g": "n", "o": "n", "c": "n", "h": "n", "y": "k"}),
    "gru": Layout(_gates("rzg") | READ_OUT, PAIR, ghosts={"h[0]": "n"},
                  signals={"r": "n", "z": "n", "g": "n", "h": "n", "y": "k"}),
    "lstm_peephole": Layout(_gates("ifgo") | {"qi": "n", "qf": "n", "qo": "n"} | READ_OUT, PAIR,
                            ghosts={"h[0]": "n", "c[0]": "n"},
                            signals={"i": "n", "f": "n", "g": "n", "c": "n", "o": "n", "h": "n", "y": "k"}),
    "gru_reset_after": Layout(_gates("rzg") | {"ag": "n"} | READ_OUT, PAIR, ghosts={"h[0]": "n"},
                              signals={"r": "n", "z": "n", "g": "n", "h": "n", "y": "k"}),
    "bidirectional": Layout(_gates("fb") | {"V": "kN", "c": "k"}, PAIR, ghosts={"hf[0]": "n", "hb[T+1]": "n"},
                            signals={"hf": "n", "hb": "n", "y": "k"}),
    "narx": Layout({"A1": "nk", "A2": "nk", "A3": "nk", "B0": "nm", "B1": "nm", "B2": "nm", "b": "n", "V": "kn",
                    "c": "k"}, PAIR, ghosts={"y[0]": "k", "y[-1]": "k", "y[-2]": "k"},
                   signals={"h": "n", "y": "k"}),
}

# Cross entropy wants weights that are not negative; they need not sum to one.
POSITIVE = {("elman", "d"), ("bidirectional", "d"), ("trajectory", "w")}


def shape(letters: str, dims: Mapping[str, int]) -> tuple[int, ...]:
    """Look up the shape that a string of dim letters stands for."""
    sizes = {**dims, "N": 2 * dims["n"]}
    return tuple(sizes[letter] for letter in letters)


def extent(name: str, values: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Read steps T (0 without time) and sequences B from the arrays."""
    layout = LAYOUTS[name]
    if layout.timed:
        return np.shape(values[next(iter(layout.timed))])[:2]
    return 0, np.shape(values[next(iter(layout.sequence))])[0]


def sizes(name: str, values: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Read the dims from the parameters."""
    found = {"m": 0, "k": 0}
    for key, letters in LAYOUTS[name].parameters.items():
        found.update({c: s for c, s in zip(letters, np.shape(values[key]), strict=True) if c != "N"})
    return found


def completed(name: str, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put in every ghost that was left out, as zeros."""
    batch, dims = extent(name, values)[1], sizes(name, values)
    zeros = {key: np.zeros((batch, *shape(s, dims))) for key, s in LAYOUTS[name].ghosts.items() if key not in values}
    return {**values, **zeros}


def draw(
    name: str,
    seed: int,
    steps: int = 7,
    batch: int = 2,
    dims: Mapping[str, int] = DIMS,
    lengths: Sequence[int] | None = None,
) -> dict[str, np.ndarray]:
    """Draw seeded random values; with lengths, every input is NaN beyond each sequence's own end.

    Shapes: parameters as declared, timed inputs (T, B, dims), per-sequence inputs and ghosts (B, dims).
    """
    rng, layout, values = np.random.default_rng(seed), LAYOUTS[name], {}
    batch = batch if lengths is None else len(lengths)
    for key, letters in layout.parameters.items():
        form = shape(letters, dims)
        values[key] = rng.normal(size=form) * (0.8 / np.sqrt(form[-1]) if len(form) > 1 else 0.3)
    for lead, group in (((steps, batch), layout.timed), ((batch,), layout.sequence), ((batch,), layout.ghosts)):
        for key, letters in group.items():
            values[key] = rng.normal(size=lead + shape(letters, dims)) * 0.7
            if (name, key) in POSITIVE:
                values[key] = np.abs(values[key])
    if name == "settle":
        # A contraction has one steady state only, so that independent solvers must agree.
        values["W"] *= 0.8 / np.linalg.norm(values["W"], 2)
    if lengths is not None:
        values["lengths"] = np.asarray(lengths)
        for key in layout.timed:
            for s, own in enumerate(lengths):
                values[key][own:, s] = np.nan
    return values
