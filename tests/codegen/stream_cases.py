"""What the tests of streams share: recurrences with values, and stepping through them."""

import numpy as np
from oracles import stock_layouts

TAPS = """
x[t]: m
d[t]: n
h[t]: n = tanh(W @ h[t-1] + A @ h[t-3] + U @ x[t] + V @ x[t-2])
h[0] = start
h[-1] = 0.5
start: n
E = minimize(sum(norm2(h[t] - d[t-1]) for t in steps) + norm2(W))
"""
INSIDE = """
x[t]: n
z[t]: n = tanh(R @ z[t] + W @ z[t-1] + x[t])
E = minimize(sum(norm2(z[t]) for t in steps) + norm2(z[T]))
"""


def drawn(shapes, seed=3):
    rng = np.random.default_rng(seed)
    return {label: 0.5 * rng.standard_normal(shape) for label, shape in shapes.items()}


def taps(T=9, B=2):
    return drawn({"W": (3, 3), "A": (3, 3), "U": (3, 2), "V": (3, 2), "start": (3,), "x": (T, B, 2), "d": (T, B, 3), "h[-2]": (B, 3)})


def settling(T=6, B=3):
    values = drawn({"R": (2, 2), "W": (2, 2), "x": (T, B, 2)})
    return {**values, "R": 0.5 * values["R"] / np.linalg.norm(values["R"], 2)}


STOCK = ("elman", "lstm", "gru", "narx", "trajectory")
CASES = {
    **{name: (name, lambda name=name: stock_layouts.draw(name, seed=4, steps=9, batch=3)) for name in STOCK},
    "taps": (TAPS, taps),
    "inside": (INSIDE, settling),
}


def apart(kernel, values):
    """Input sequences, and what does not change over time."""
    timed = {b.label for b in kernel.program.buffers.values() if b.role == "argument" and b.kind == "timed"}
    return {label: v for label, v in values.items() if label in timed}, {label: v for label, v in values.items() if label not in timed}


def walked(stream, sequences, steps):
    """Every signal of a stream over some steps."""
    found = [stream.step({label: array[t] for label, array in sequences.items()}) for t in range(steps)]
    return {label: np.stack([step[label] for step in found]) for label in found[0]}
