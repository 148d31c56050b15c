"""Forward passes of the stock recurrences in plain NumPy, one sequence and one step at a time.

Stage: test oracle. Input: a stock name and the flat mapping of arrays that a kernel takes. Output: every signal and the
objective. Steps are keyed by their number, 1..T and the ghosts outside; reading any other position is a KeyError.
Everything is analytic, so complex arrays pass through for complex-step differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .numpy_gated import gru_reset_after, lstm_peephole
from .stock_layouts import LAYOUTS, completed, extent, shape, sizes

Own = dict[str, Any]  # one sequence: arrays for what has no time, {step: array} for what has
Cost = Any


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Logistic function, through tanh, which saturates without overflow."""
    return 0.5 + 0.5 * np.tanh(z / 2)


def softmax(z: np.ndarray) -> np.ndarray:
    """Exponentials divided by their sum."""
    e = np.exp(z - np.max(z.real))
    return e / e.sum()


def halved_square(difference: np.ndarray) -> Cost:
    """Half the sum of squares, without conjugation."""
    return (difference * difference).sum() / 2


def settle(v: Own, last: int) -> Cost:
    """Solve x = tanh(W x + b + U u), from zero or "x0", until Newton's step is at rounding level."""
    drive = v["b"] + v["U"] @ v["u"]
    x = np.array(v.get("x0", np.zeros(len(drive))), dtype=np.result_type(drive, v["W"]))
    for _ in range(200):
        x = np.tanh(v["W"] @ x + drive)
    for _ in range(20):
        response = np.tanh(v["W"] @ x + drive)
        step = np.linalg.solve(np.eye(len(x)) - (1 - response**2)[:, None] * v["W"], response - x)
        x = x + step
        if np.abs(step).max() < 1e-15:
            break
    if not np.abs(x - np.tanh(v["W"] @ x + drive)).max() < 1e-13:
        raise ArithmeticError("settle: no steady state found")
    v["x"] = x
    return halved_square(x - v["d"])


def trajectory(v: Own, last: int) -> Cost:
    """Tanh network without input, scored at every step with weight w[t]."""
    x, cost = v["x"], 0.0
    for t in range(1, last + 1):
        x[t] = np.tanh(v["W"] @ x[t - 1] + v["b"])
        cost += v["w"][t] * halved_square(x[t] - v["d"][t])
    return cost


def elman(v: Own, last: int) -> Cost:
    """Tanh state, softmax read-out, cross entropy."""
    h, y, cost = v["h"], v["y"], 0.0
    for t in range(1, last + 1):
        h[t] = np.tanh(v["W"] @ h[t - 1] + v["U"] @ v["x"][t] + v["b"])
        y[t] = softmax(v["V"] @ h[t] + v["c"])
        cost -= v["d"][t] @ np.log(y[t])
    return cost


def lstm(v: Own, last: int) -> Cost:
    """Gates i, f, o and candidate g, cell c, state h, linear read-out y."""
    h, c, cost = v["h"], v["c"], 0.0
    for t in range(1, last + 1):
        for gate, squash in (("i", sigmoid), ("f", sigmoid), ("g", np.tanh), ("o", sigmoid)):
            v[gate][t] = squash(v["W" + gate] @ h[t - 1] + v["U" + gate] @ v["x"][t] + v["b" + gate])
        c[t] = v["f"][t] * c[t - 1] + v["i"][t] * v["g"][t]
        h[t] = v["o"][t] * np.tanh(c[t])
        v["y"][t] = v["V"] @ h[t] + v["by"]
        cost += halved_square(v["y"][t] - v["d"][t])
    return cost


def gru(v: Own, last: int) -> Cost:
    """Reset gate r inside the product, update gate z that keeps the old state, linear read-out y."""
    h, r, z, g, cost = v["h"], v["r"], v["z"], v["g"], 0.0
    for t in range(1, last + 1):
        r[t] = sigmoid(v["Wr"] @ h[t - 1] + v["Ur"] @ v["x"][t] + v["br"])
        z[t] = sigmoid(v["Wz"] @ h[t - 1] + v["Uz"] @ v["x"][t] + v["bz"])
        g[t] = np.tanh(v["Wg"] @ (r[t] * h[t - 1]) + v["Ug"] @ v["x"][t] + v["bg"])
        h[t] = z[t] * h[t - 1] + (1 - z[t]) * g[t]
        v["y"][t] = v["V"] @ h[t] + v["by"]
        cost += halved_square(v["y"][t] - v["d"][t])
    return cost


def bidirectional(v: Own, last: int) -> Cost:
    """One net forward from hf[0], one backward from hb[T+1], softmax of both, cross entropy."""
    hf, hb, cost = v["hf"], v["hb"], 0.0
    for t in range(1, last + 1):
        hf[t] = np.tanh(v["Wf"] @ hf[t - 1] + v["Uf"] @ v["x"][t] + v["bf"])
    for t in range(last, 0, -1):
        hb[t] = np.tanh(v["Wb"] @ hb[t + 1] + v["Ub"] @ v["x"][t] + v["bb"])
    for t in range(1, last + 1):
        v["y"][t] = softmax(v["V"] @ np.concatenate([hf[t], hb[t]]) + v["c"])
        cost -= v["d"][t] @ np.log(v["y"][t])
    return cost


def narx(v: Own, last: int) -> Cost:
    """Three output taps and three input taps into a tanh layer, linear output fed back."""
    x, y, cost = v["x"], v["y"], 0.0
    x[0] = x[-1] = np.zeros(v["B0"].shape[1])
    for t in range(1, last + 1):
        z = v["b"] + v["B0"] @ x[t] + v["B1"] @ x[t - 1] + v["B2"] @ x[t - 2]
        v["h"][t] = np.tanh(z + v["A1"] @ y[t - 1] + v["A2"] @ y[t - 2] + v["A3"] @ y[t - 3])
        y[t] = v["V"] @ v["h"][t] + v["c"]
        cost += halved_square(y[t] - v["d"][t])
    return cost


CELLS: dict[str, Callable[[Own, int], Cost]] = {
    cell.__name__: cell for cell in (settle, trajectory, elman, lstm, gru, bidirectional, narx, lstm_peephole, gru_reset_after)
}


def _one_sequence(name: str, values: Mapping[str, np.ndarray], s: int, last: int) -> Own:
    """Take the values of sequence s: steps 1..last only, and the ghosts at its own ends."""
    layout = LAYOUTS[name]
    own: Own = {key: values[key] for key in layout.parameters}
    own |= {key: values[key][s] for key in (*layout.sequence, "x0") if key in values}
    own |= {key: {} for key in layout.signals}
    own |= {key: {t: values[key][t - 1, s] for t in range(1, last + 1)} for key in layout.timed}
    for key in layout.ghosts:
        signal, position = key[:-1].split("[")
        own[signal][last + 1 if position == "T+1" else int(position)] = values[key][s]
    return own


def forward(name: str, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Run a stock recurrence.

    Shapes: signals (T, B, dims), zero beyond a sequence's own end, or (B, dims) without time; "objective" a scalar,
    summed over sequences.
    """
    layout, dims, values = LAYOUTS[name], sizes(name, values), completed(name, values)
    steps, batch = extent(name, values)
    lengths = np.asarray(values.get("lengths", np.full(batch, steps)))
    kind = np.result_type(*(a for key, a in values.items() if key != "lengths"))
    lead = (steps, batch) if layout.timed else (batch,)
    run: dict[str, Any] = {key: np.zeros(lead + shape(s, dims), kind) for key, s in layout.signals.items()}
    run["objective"] = kind.type(0)
    for s in range(batch):
        last = int(lengths[s])
        own = _one_sequence(name, values, s, last)
        run["objective"] += CELLS[name](own, last)
        for key in layout.signals:
            if not layout.timed:
                run[key][s] = own[key]
            for t in range(1, last + 1) if layout.timed else ():
                run[key][t - 1, s] = own[key][t]
    return run


def objective(name: str, values: Mapping[str, np.ndarray]) -> Any:
    """Compute the objective alone."""
    return forward(name, values)["objective"]
