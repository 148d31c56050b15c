"""Modules: PyTorch's own RNN, LSTM and GRU as peers of the cells that they compute. A Task -> what can be called and timed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.cells import GATES, stacked
from codegen.peers.tasks import VALUE, Call, Task


def module(task: Task, variant: str) -> dict[str, Call]:
    """The module; its second bias is zero where the cell has none."""
    import torch

    torch.set_num_threads(task.threads)
    given, cell = task.values, str(task.options["name"])
    order = GATES[cell]
    make = {"cell_tanh": torch.nn.RNN, "cell_lstm": torch.nn.LSTM, "cell_gru": torch.nn.GRU}[cell]
    m, n = given["x"].shape[2], given["h[0]"].shape[1]
    built = make(m, n).to(getattr(torch, task.dtype))
    second = np.zeros(len(order) * n, task.dtype)
    if "a" in given:
        second[2 * n :] = given["a"]
    weights = {
        "weight_ih_l0": stacked(given, "U", order), "weight_hh_l0": stacked(given, "W", order),
        "bias_ih_l0": stacked(given, "b", order), "bias_hh_l0": second,
    }  # fmt: skip
    with torch.no_grad():
        for name, array in weights.items():
            getattr(built, name).copy_(torch.from_numpy(array))
    x, *states = (torch.from_numpy(given[name]).requires_grad_() for name in ("x", "h[0]", "c[0]") if name in given)
    start = tuple(state[None] for state in states)
    leaves = [x, *states, *built.parameters()]

    def score() -> torch.Tensor:
        return (built(x, start if len(start) > 1 else start[0])[0] ** 2).sum()

    def forward() -> Mapping[str, object]:
        with torch.no_grad():
            return {VALUE: score()}

    def gradient() -> Mapping[str, object]:
        value = score()
        grads = torch.autograd.grad(value, leaves)
        found = {VALUE: value.detach(), "x": grads[0]} | dict(zip(("h[0]", "c[0]"), grads[1 : 1 + len(states)], strict=False))
        by_name = dict(zip((name for name, _ in built.named_parameters()), grads[1 + len(states) :], strict=True))
        for letter, name in (("U", "weight_ih_l0"), ("W", "weight_hh_l0"), ("b", "bias_ih_l0")):
            found |= {f"{letter}{gate}": part for gate, part in zip(order, by_name[name].chunk(len(order)), strict=True)}
        return found | ({"a": by_name["bias_hh_l0"][2 * n :]} if "a" in given else {})

    return {"forward": forward, "gradient": gradient}


MAKER = f"{__name__}:module"
