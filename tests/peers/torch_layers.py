"""Recurrent PyTorch modules with everything a comparison needs: values, outputs, gradients of a random linear cost of all outputs.

Stage: test oracle. Gradients are handed out by the names of the stacks, through an assignment of rows written here by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = {"elman": "RNN", "lstm": "LSTM", "gru_reset_after": "GRU"}
ROWS = {"RNN": [""], "LSTM": ["i", "f", "g", "o"], "GRU": ["r", "z", "g"]}    # the order of PyTorch's documentation
STEPS, BATCH, UNITS, WIDTH = 7, 4, 5, 3
LENGTHS = (7, 3, 1, 5)


@dataclass
class Layers:
    """One module with its data; `outputs` and `gradients` by name as NumPy arrays."""

    module: object
    cell: str
    layers: int
    bidirectional: bool
    lengths: tuple[int, ...] | None
    x: np.ndarray
    states: dict[str, np.ndarray]          # h and, for an LSTM, c before the first step: (layers times directions, B, n)
    cotangents: dict[str, np.ndarray]      # of y (T, B, …), zero beyond a sequence's end, and of the final h and c
    outputs: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]       # x, h, c, and the parameters by the stacks' names

    @property
    def suffixes(self):
        directions = ["", "_reverse"] if self.bidirectional else [""]
        return [f"_l{layer}{direction}" for layer in range(self.layers) for direction in directions]

    @property
    def last(self):
        """The last step of each sequence, counted from 0."""
        return np.array(self.lengths or (STEPS,) * BATCH) - 1


def draw(torch, cell, layers, bidirectional, dtype, ragged, seed=0, bias=True):
    """Build a module, run it, and take the gradients."""
    torch.manual_seed(seed)
    real, paths = getattr(torch, dtype), layers * (1 + bidirectional)
    module = getattr(torch.nn, KINDS[cell])(WIDTH, UNITS, layers, bidirectional=bidirectional, bias=bias).to(real)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
    lengths = LENGTHS if ragged else None
    x = torch.randn(STEPS, BATCH, WIDTH, dtype=real, requires_grad=True)
    states = {name: torch.randn(paths, BATCH, UNITS, dtype=real).mul_(0.5).requires_grad_() for name in ("hc" if cell == "lstm" else "h")}
    y, finals = _run(torch, module, x, states, lengths)
    weights = {"y": torch.randn(y.shape, dtype=real), **{name: torch.randn(final.shape, dtype=real) for name, final in finals.items()}}
    if ragged:
        weights["y"][torch.arange(STEPS)[:, None] >= torch.tensor(lengths)[None]] = 0
    outputs = {"y": y, **finals}
    sum((outputs[name] * weight).sum() for name, weight in weights.items()).backward()
    gradients = {"x": x.grad.numpy(), **{name: state.grad.numpy() for name, state in states.items()}}
    return Layers(
        module, cell, layers, bidirectional, lengths, x.detach().numpy(), {name: s.detach().numpy() for name, s in states.items()},
        {name: w.numpy() for name, w in weights.items()}, {name: out.detach().numpy() for name, out in outputs.items()},
        gradients | _parameters(module, cell, layers, bidirectional),
    )  # fmt: skip


def _run(torch, module, x, states, lengths):
    initial = tuple(states.values()) if len(states) == 2 else states["h"]
    pack, pad = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    y, final = module(x if lengths is None else pack(x, torch.tensor(lengths), enforce_sorted=False), initial)
    if lengths is not None:
        y = pad(y, total_length=STEPS)[0]
    return y, dict(zip(states, final if len(states) == 2 else (final,), strict=True))


def _parameters(module, cell, layers, bidirectional):
    found, rows = {}, ROWS[KINDS[cell]]
    for layer in range(layers):
        for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: 1 + bidirectional]:
            grads = {part: getattr(module, f"{part}{suffix}").grad.numpy() for part in ("weight_hh", "weight_ih", "bias_hh", "bias_ih")
                     if hasattr(module, f"{part}{suffix}")}  # fmt: skip
            for index, gate in enumerate(rows):
                own = slice(index * UNITS, (index + 1) * UNITS)
                found |= {f"W{gate}{suffix}": grads["weight_hh"][own], f"U{gate}{suffix}": grads["weight_ih"][own]}
                if "bias_ih" in grads:
                    found[f"b{gate}{suffix}"] = grads["bias_ih"][own]
            if cell == "gru_reset_after" and "bias_hh" in grads:
                found[f"ag{suffix}"] = grads["bias_hh"][-UNITS:]
    return found
