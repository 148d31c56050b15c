"""Stacks of recurrent layers, in one direction or both, as PyTorch builds them: a family of recurrences.

Input: which cell, how many layers, whether there is a second direction. Output: a recurrence for `codegen.compile`, and its values from
the state dict of a torch.nn.RNN, LSTM or GRU. Cells bear the names of the stock recurrences whose equations they repeat.

Run `python stacks.py` to see a stack beside PyTorch, which it needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

import codegen
import derive
from derive import concat, sigmoid, t, tanh

MODULES = {"elman": "RNN", "lstm": "LSTM", "gru_reset_after": "GRU"}       # what PyTorch calls the cells


def affine(b, gate, suffix, x, h, shift):
    """Declare a gate's weights; its pre-activation reads the state at t + shift."""
    W = b.parameter(f"W{gate}{suffix}", "n", "n")
    U = b.parameter(f"U{gate}{suffix}", "n", x.shape[0])
    return W @ h[t + shift] + U @ x[t] + b.parameter(f"b{gate}{suffix}", "n")


def elman(b, suffix, x, shift):
    """Add a tanh layer, and hand back its state."""
    h = b.signal(f"h{suffix}", "n")
    b.define(h[t], tanh(affine(b, "", suffix, x, h, shift)))
    return h


def lstm(b, suffix, x, shift):
    """Add a layer of long short-term memory, and hand back its state."""
    i, f, g, o, c, h = (b.signal(f"{name}{suffix}", "n") for name in "ifgoch")
    for name, gate, squash in (("i", i, sigmoid), ("f", f, sigmoid), ("g", g, tanh), ("o", o, sigmoid)):
        b.define(gate[t], squash(affine(b, name, suffix, x, h, shift)))
    b.define(c[t], f[t] * c[t + shift] + i[t] * g[t])
    b.define(h[t], o[t] * tanh(c[t]))
    return h


def gru_reset_after(b, suffix, x, shift):
    """Add a layer of gated recurrent units, and hand back its state."""
    r, z, g, h = (b.signal(f"{name}{suffix}", "n") for name in "rzgh")
    b.define(r[t], sigmoid(affine(b, "r", suffix, x, h, shift)))
    b.define(z[t], sigmoid(affine(b, "z", suffix, x, h, shift)))
    W, U = b.parameter(f"Wg{suffix}", "n", "n"), b.parameter(f"Ug{suffix}", "n", x.shape[0])
    bg, ag = b.parameter(f"bg{suffix}", "n"), b.parameter(f"ag{suffix}", "n")
    b.define(g[t], tanh(r[t] * (W @ h[t + shift] + ag) + U @ x[t] + bg))
    b.define(h[t], z[t] * h[t + shift] + (1 - z[t]) * g[t])
    return h


CELLS = {cell.__name__: cell for cell in (elman, lstm, gru_reset_after)}


def parts(layers: int, bidirectional: bool) -> list[tuple[int, bool, str]]:
    """Layer, direction and suffix of names, in PyTorch's order."""
    directions = (False, True) if bidirectional else (False,)
    return [(layer, reverse, f"_l{layer}" + "_reverse" * reverse) for layer in range(layers) for reverse in directions]


def stack(cell: str, layers: int = 1, bidirectional: bool = False) -> derive.Recurrence:
    """Build the recurrence: input x (T, B, m), output y (T, B, n), or (T, B, 2*n) for both directions side by side.

    Names are those of the stock recurrence with a suffix for layer and direction, such as Wi_l0, h_l1_reverse, and y_l0 between layers.
    """
    b = derive.Builder(f"{cell}_stack")
    below = b.input("x", "m")
    for layer in range(layers):
        suffixes = [suffix for at, _, suffix in parts(layers, bidirectional) if at == layer]
        states = [CELLS[cell](b, suffix, below, shift) for suffix, shift in zip(suffixes, (-1, 1), strict=False)]
        out = b.signal("y" if layer == layers - 1 else f"y_l{layer}", len(states) * states[0].shape[0])
        b.define(out[t], concat(*(h[t] for h in states)) if bidirectional else states[0][t])
        below = out
    return b.recurrence()


def parameters(cell: str, state: Mapping[str, object], layers: int = 1, bidirectional: bool = False) -> dict[str, np.ndarray]:
    """Name the weights of a state dict as the stack does."""
    values = {}
    for layer, reverse, suffix in parts(layers, bidirectional):
        found = derive.import_weights(cell, state, layer=layer, reverse=reverse)
        values |= {f"{name}{suffix}": array for name, array in found.items()}
    return values


def initial(name: str, states: np.ndarray, layers: int = 1, bidirectional: bool = False) -> dict[str, np.ndarray]:
    """Name PyTorch's h_0 or c_0, (layers times directions, B, n), as values outside the steps; a reversed layer begins at T+1."""
    places = parts(layers, bidirectional)
    return {f"{name}{suffix}[{'T+1' if reverse else '0'}]": array
            for array, (_, reverse, suffix) in zip(states, places, strict=True)}


def main(cell: str = "lstm", layers: int = 2, bidirectional: bool = True, seed: int = 0) -> dict[str, float]:
    """Compare a stack with PyTorch in float64; returns the largest differences of output and input gradient."""
    import torch

    torch.manual_seed(seed)
    module = getattr(torch.nn, MODULES[cell])(3, 5, layers, bidirectional=bidirectional).double()
    x = torch.randn(7, 4, 3, dtype=torch.float64, requires_grad=True)
    y = module(x)[0]
    y.square().sum().backward()

    kernel = codegen.compile(stack(cell, layers, bidirectional))
    run = kernel.forward({"x": x.detach().numpy(), **parameters(cell, module.state_dict(), layers, bidirectional)})
    grads = run.backward({"y": 2 * run["y"]}, wrt=["x"])
    differences = {
        "y": float(np.abs(run["y"] - y.detach().numpy()).max()),
        "gradient at x": float(np.abs(grads["x"] - x.grad.numpy()).max()),
    }
    for name, difference in differences.items():
        print(f"{name:16s}{difference:.1e}")
    return differences


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=sorted(CELLS), default="lstm")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--one-direction", dest="bidirectional", action="store_false")
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
