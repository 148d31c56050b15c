"""Reference: the LSTM and its gradient, step by step in NumPy float64, straight from the equations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def problem(T: int, B: int, I: int, H: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:  # noqa: E741
    """Draw float32 arrays: x (T, B, I), h0, c0 (B, H), W (4H, H), U (4H, I), b (4H); gates in the order i, f, g, o."""
    draw = np.random.default_rng(seed).standard_normal
    shapes = {"x": (T, B, I), "h0": (B, H), "c0": (B, H), "W": (4 * H, H), "U": (4 * H, I), "b": (4 * H,)}
    scale = {"W": H**-0.5, "U": I**-0.5}
    return {name: (draw(s) * scale.get(name, 1.0)).astype(np.float32) for name, s in shapes.items()}


def sigmoid(x: NDArray) -> NDArray:
    """Logistic function."""
    return 1 / (1 + np.exp(-x))


def gradient(values: dict[str, NDArray], lengths: NDArray | None = None) -> dict[str, NDArray]:
    """Value and gradients of sum(y**2) over the active steps, by the same names as the inputs."""
    v = {name: a.astype(np.float64) for name, a in values.items()}
    T, B, _ = v["x"].shape
    live = np.ones((T, B)) if lengths is None else (np.arange(T)[:, None] < lengths) * 1.0
    h, c, tape, y = v["h0"], v["c0"], [], []
    for t in range(T):
        z = h @ v["W"].T + v["x"][t] @ v["U"].T + v["b"]
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new = f * c + i * g
        tape.append((h, c, i, f, g, o, new))
        h, c = o * np.tanh(new), new
        y.append(h * live[t][:, None])
    out = {name: np.zeros_like(a) for name, a in v.items()}
    dh, dc = np.zeros_like(h), np.zeros_like(c)
    for t in reversed(range(T)):
        h, c, i, f, g, o, new = tape[t]
        on, tc = live[t][:, None], np.tanh(new)
        dh = dh + 2 * y[t]
        d = dc + dh * o * (1 - tc**2)
        dz = on * np.hstack([d * g * i * (1 - i), d * c * f * (1 - f), d * i * (1 - g**2), dh * tc * o * (1 - o)])
        out["W"] += dz.T @ h
        out["U"] += dz.T @ v["x"][t]
        out["b"] += dz.sum(0)
        out["x"][t] = dz @ v["U"]
        dh, dc = dz @ v["W"], on * d * f
    out["h0"], out["c0"] = dh, dc
    return {**out, "y": np.array(y), "value": np.array(sum((a**2).sum() for a in y))}
