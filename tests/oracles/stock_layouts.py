"""Names and shapes of what each stock recurrence takes, and seeded random values for them.

Stage: test oracle. Input: a stock name and sizes. Output: the flat mapping of arrays that kernels and oracles take.
Written by hand from the published equations: nothing here reads a `.rec` file or imports the package under test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

DIMS = {"n": 5, "m": 3, "k": 4, "p": 2, "q": 6}
SUMS = {"N": "nn", "B": "np", "O": "kp", "A": "mkp", "R": "mn"}  # letters for sums of dims


@dataclass(frozen=True, slots=True)
class Layout:
    """Shapes by name, as strings of letters: dims, and those of `SUMS`.

    positive: inputs that are not negative; contraction: a parameter whose steady state must be the only one; hollow: a parameter
    that is symmetric with zeros on the diagonal; equal: parameters that are equal.
    """

    parameters: dict[str, str]
    timed: dict[str, str] = field(default_factory=dict)
    sequence: dict[str, str] = field(default_factory=dict)
    ghosts: dict[str, str] = field(default_factory=dict)
    signals: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    positive: tuple[str, ...] = ()
    contraction: str = ""
    hollow: str = ""
    equal: tuple[str, ...] = ()


def _gates(letters: str) -> dict[str, str]:
    return {f"{kind}{gate}": shape for gate in letters for kind, shape in (("W", "nn"), ("U", "nm"), ("b", "n"))}


CELL = {"W": "nn", "U": "nm", "b": "n"}
READ_OUT = {"V": "kn", "c": "k"}
GATED_READ_OUT = {"V": "kn", "by": "k"}
PAIR = {"x": "m", "d": "k"}
STATE = {"h[0]": "n"}
SEEN = {"h": "n", "y": "k"}

LAYOUTS = {
    "settle": Layout(CELL, sequence={"u": "m", "d": "n"}, signals={"x": "n"}, contraction="W"),
    "trajectory": Layout({"W": "nn", "b": "n"}, {"d": "n", "w": ""}, ghosts={"x[0]": "n"}, signals={"x": "n"}, positive=("w",)),
    "elman": Layout(CELL | READ_OUT, PAIR, ghosts=STATE, signals=SEEN, positive=("d",)),
    "elman_context": Layout(CELL | READ_OUT, PAIR, ghosts=STATE, signals=SEEN | {"s": "n"}, positive=("d",)),
    "jordan": Layout(
        {"W": "nk", "U": "nm", "b": "n"} | READ_OUT,
        PAIR,
        ghosts={"s[0]": "k", "y[0]": "k"},
        signals=SEEN | {"s": "k"},
        constants={"mu": ""},
    ),
    "state_space": Layout(CELL | READ_OUT | {"h0": "n"}, PAIR, signals=SEEN),
    "martens": Layout(
        {"Whx": "nm", "Whh": "nn", "bh": "n", "Wyh": "kn", "by": "k"}, PAIR, ghosts=STATE, signals={"z": "n", "h": "n", "s": "k", "y": "k"}
    ),
    "finite_response": Layout({"B0": "nm", "B1": "nm", "B2": "nm", "b": "n"} | READ_OUT, PAIR, signals=SEEN),
    "narx": Layout(
        {"A1": "nk", "A2": "nk", "A3": "nk", "B0": "nm", "B1": "nm", "B2": "nm", "b": "n"} | READ_OUT,
        PAIR,
        ghosts={"y[0]": "k", "y[-1]": "k", "y[-2]": "k"},
        signals=SEEN,
    ),
    "feedback": Layout(
        {"W1": "nn", "W2": "nn", "F": "nk", "U": "nm", "b": "n"} | READ_OUT,
        PAIR,
        ghosts={"h[0]": "n", "h[-1]": "n", "y[0]": "k"},
        signals=SEEN,
    ),
    "clamped": Layout({"W": "OA", "b": "O"}, PAIR, ghosts={"s[0]": "A"}, signals={"h": "O", "s": "A"}),
    "attractor": Layout({"W": "OO", "U": "Om", "b": "O"}, {"x": "m"}, {"d": "k"}, signals={"h": "O"}),
    "deep": Layout(
        {"Wc1": "nm", "Wr1": "nn", "b1": "n", "Wc2": "pn", "Wr2": "pp", "b2": "p", "Wc3": "qp", "Wr3": "qq", "b3": "q"}
        | {"Wo": "kq", "bo": "k"},
        PAIR,
        ghosts={"h1[0]": "n", "h2[0]": "p", "h3[0]": "q"},
        signals={"h1": "n", "h2": "p", "h3": "q", "y": "k"},
        positive=("d",),
    ),
    "tied": Layout(
        {"W1": "nn", "U": "nm", "b1": "n", "W2": "nn", "P": "nn", "b2": "n"} | READ_OUT,
        PAIR,
        ghosts={"h[0]": "n", "g[0]": "n"},
        signals={"h": "n", "g": "n", "y": "k"},
        positive=("d",),
        equal=("W1", "W2"),
    ),
    "bidirectional": Layout(
        _gates("fb") | {"V": "kN", "c": "k"},
        PAIR,
        ghosts={"hf[0]": "n", "hb[T+1]": "n"},
        signals={"hf": "n", "hb": "n", "y": "k"},
        positive=("d",),
    ),
    "bidirectional_stack": Layout(
        {"Wf1": "nn", "Uf1": "nm", "bf1": "n", "Wf2": "nn", "Uf2": "nn", "bf2": "n", "Wg1": "pp", "Ug1": "pm", "bg1": "p"}
        | {"Wf3": "nn", "Uf3": "nB", "bf3": "n", "Wg2": "pp", "Ug2": "pB", "bg2": "p", "V": "kB", "c": "k"},
        PAIR,
        ghosts={"f1[0]": "n", "f2[0]": "n", "g1[T+1]": "p", "f3[0]": "n", "g2[T+1]": "p"},
        signals={"f1": "n", "f2": "n", "g1": "p", "u": "B", "f3": "n", "g2": "p", "y": "k"},
        positive=("d",),
    ),
    "lstm": Layout(
        _gates("ifgo") | GATED_READ_OUT,
        PAIR,
        ghosts={"h[0]": "n", "c[0]": "n"},
        signals={"i": "n", "f": "n", "g": "n", "o": "n", "c": "n", "h": "n", "y": "k"},
    ),
    "gru": Layout(_gates("rzg") | GATED_READ_OUT, PAIR, ghosts=STATE, signals={"r": "n", "z": "n", "g": "n", "h": "n", "y": "k"}),
    "lstm_peephole": Layout(
        _gates("ifgo") | {"qi": "n", "qf": "n", "qo": "n"} | GATED_READ_OUT,
        PAIR,
        ghosts={"h[0]": "n", "c[0]": "n"},
        signals={"i": "n", "f": "n", "g": "n", "c": "n", "o": "n", "h": "n", "y": "k"},
    ),
    "gru_reset_after": Layout(
        _gates("rzg") | {"ag": "n"} | GATED_READ_OUT, PAIR, ghosts=STATE, signals={"r": "n", "z": "n", "g": "n", "h": "n", "y": "k"}
    ),
    "mgu": Layout(_gates("fg") | GATED_READ_OUT, PAIR, ghosts=STATE, signals={"f": "n", "g": "n", "h": "n", "y": "k"}),
    "leaky": Layout(
        CELL | READ_OUT, PAIR, ghosts={"v[0]": "n"}, signals={"v": "n", "r": "n", "y": "k"}, constants={"dt": "", "tau": ""}
    ),
    "antisymmetric": Layout(
        {"A": "nn", "U": "nm", "b": "n"} | READ_OUT, PAIR, ghosts=STATE, signals=SEEN, constants={"step": "", "gamma": ""}
    ),
    "cornn": Layout(
        CELL | READ_OUT | {"R": "nn"},
        PAIR,
        ghosts={"q[0]": "n", "v[0]": "n"},
        signals={"v": "n", "q": "n", "y": "k"},
        constants={"dt": "", "gamma": "", "epsilon": ""},
    ),
    "hopfield": Layout(
        {"W": "nn", "b": "n"}, sequence={"u": "n", "d": "n"}, signals={"x": "n"}, contraction="W", hollow="W"
    ),
    "equilibrium": Layout(
        CELL | READ_OUT | {"R": "nn"}, PAIR, ghosts={"z[0]": "n"}, signals={"z": "n", "y": "k"}, contraction="W"
    ),
    "indrnn": Layout(
        {"u1": "n", "W1": "nm", "b1": "n", "u2": "p", "W2": "pn", "b2": "p", "V": "kp", "c": "k"},
        PAIR,
        ghosts={"h1[0]": "n", "h2[0]": "p"},
        signals={"h1": "n", "h2": "p", "y": "k"},
    ),
    "clockwork": Layout(
        {"W11": "nn", "W12": "np", "W13": "nq", "U1": "nm", "b1": "n", "W22": "pp", "W23": "pq", "U2": "pm", "b2": "p"}
        | {"W33": "qq", "U3": "qm", "b3": "q", "V1": "kn", "V2": "kp", "V3": "kq", "c": "k"},
        PAIR,
        ghosts={"fast[0]": "n"} | {f"mid[{-i}]": "p" for i in range(2)} | {f"slow[{-i}]": "q" for i in range(4)},
        signals={"fast": "n", "mid": "p", "slow": "q", "y": "k"},
    ),
    "fast_weights": Layout(
        {"Wk": "pm", "Wv": "nm", "Wq": "pm"},
        {"x": "m", "d": "n"},
        ghosts={"A[0]": "np"},
        signals={"key": "p", "value": "n", "query": "p", "A": "np", "y": "n"},
        constants={"lam": ""},
    ),
    "echo_state": Layout(
        {"V": "kR", "c": "k"}, PAIR, ghosts=STATE, signals=SEEN, constants={"W": "nn", "U": "nm", "rate": ""}
    ),
    "spiking": Layout(
        {"W": "nn", "U": "nm", "V": "kn"},
        PAIR,
        ghosts={"i[0]": "n", "v[0]": "n", "s[0]": "n", "y[0]": "k"},
        signals={"i": "n", "v": "n", "s": "n", "y": "k"},
        constants={"alpha": "", "beta": "", "kappa": "", "theta": ""},
    ),
}


def shape(letters: str, dims: Mapping[str, int]) -> tuple[int, ...]:
    """Look up the shape that a string of letters stands for."""
    return tuple(sum(dims[dim] for dim in SUMS.get(letter, letter)) for letter in letters)


def extent(name: str, values: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Read steps T (0 without time) and sequences B from the arrays."""
    layout = LAYOUTS[name]
    if layout.timed:
        return np.shape(values[next(iter(layout.timed))])[:2]
    return 0, np.shape(values[next(iter(layout.sequence))])[0]


def sizes(name: str, values: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Read the dims from the arrays; a dim that stands only in sums is what is left of one."""
    layout = LAYOUTS[name]
    found: dict[str, int] = {}
    axes = []
    for group in (layout.parameters, layout.constants, layout.sequence, layout.timed):
        for key, letters in group.items():
            form = np.shape(values[key])
            axes += zip(letters, form[len(form) - len(letters) :], strict=True)
    for letter, size in sorted(axes, key=lambda axis: axis[0] in SUMS):
        unknown = [dim for dim in SUMS.get(letter, letter) if dim not in found]
        if len(unknown) == 1:
            found[unknown[0]] = size - sum(found.get(dim, 0) for dim in SUMS.get(letter, ""))
    return found


def completed(name: str, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put in every ghost that was left out, as zeros."""
    batch, dims = extent(name, values)[1], sizes(name, values)
    zeros = {key: np.zeros((batch, *shape(s, dims))) for key, s in LAYOUTS[name].ghosts.items() if key not in values}
    return {**values, **zeros}


def allowed(name: str, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The nearest values, or directions, that keep the constraints."""
    layout, found = LAYOUTS[name], dict(values)
    if layout.hollow:
        found[layout.hollow] = (found[layout.hollow] + found[layout.hollow].T) / 2
        np.fill_diagonal(found[layout.hollow], 0.0)
    return found | {key: sum(values[other] for other in layout.equal) / len(layout.equal) for key in layout.equal}


def draw(
    name: str,
    seed: int,
    steps: int = 7,
    batch: int = 2,
    dims: Mapping[str, int] = DIMS,
    lengths: Sequence[int] | None = None,
) -> dict[str, np.ndarray]:
    """Draw seeded random values; with lengths, every input is NaN beyond each sequence's own end.

    Shapes: parameters and constants as declared, timed inputs (T, B, dims), per-sequence inputs and ghosts (B, dims).
    """
    rng, layout, values = np.random.default_rng(seed), LAYOUTS[name], {}
    batch = batch if lengths is None else len(lengths)
    for key, letters in (layout.parameters | layout.constants).items():
        form = shape(letters, dims)
        values[key] = rng.normal(size=form) * (0.8 / np.sqrt(form[-1]) if len(form) > 1 else 0.3)
    for key in (key for key, letters in layout.constants.items() if not letters):
        values[key] = np.asarray(rng.uniform(0.2, 0.9))
    for lead, group in (((steps, batch), layout.timed), ((batch,), layout.sequence), ((batch,), layout.ghosts)):
        for key, letters in group.items():
            values[key] = rng.normal(size=lead + shape(letters, dims)) * 0.7
            if key in layout.positive:
                values[key] = np.abs(values[key])
    values = allowed(name, values)
    if layout.contraction:
        # A contraction has one steady state only, so that independent solvers must agree.
        values[layout.contraction] *= 0.6 / np.linalg.norm(values[layout.contraction], 2)
    if lengths is not None:
        values["lengths"] = np.asarray(lengths)
        for key in layout.timed:
            for s, own in enumerate(lengths):
                values[key][own:, s] = np.nan
    return values
