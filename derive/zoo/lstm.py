"""Weights for lstm.rec: torch.nn.LSTM, ONNX's LSTM without peepholes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from derive.weights import named, onnx_gates, torch_gates, torch_linear


def from_torch(
    state: Mapping[str, object], *, layer: int | None = 0, reverse: bool = False, prefix: str = "", read_out: str | None = None
) -> dict[str, np.ndarray]:
    """Parameters from the state dict of a torch.nn.LSTM, or of a model that holds one.

    layer, reverse: which of its layers and directions, None for the keys of a torch.nn.LSTMCell; prefix: that of its keys, "rnn." for an
    attribute `rnn` of the model; read_out: prefix of the torch.nn.Linear that gives V and by, which are left out without it.
    Shapes: W (n, n), U (n, m) and b (n) of each gate i, f, g, o, such as Wi; V (k, n), by (k). torch stacks the gates in that order; its
    two biases are added. Projections (proj_size) are refused. Raises: as `derive.import_weights`.
    """
    found = named(torch_gates(state, "ifgo", layer, reverse, prefix))
    return found | torch_linear(state, read_out, "V", "by", len(found["bi"]))


def from_onnx(inputs: Mapping[str, object], *, direction: int = 0) -> dict[str, np.ndarray]:
    """Parameters from the inputs W, R, B of ONNX's LSTM with its default activations.

    direction: 0, or 1 for the second of a bidirectional operator. Shapes: W (n, n), U (n, m) and b (n) of each gate i, f, g, o; there is
    no read-out. ONNX stacks i, o, f, c, where c is our g. Raises: as `derive.import_weights`; ValueError for peepholes.
    """
    if inputs.get("P") is not None:
        raise ValueError("P holds peepholes, which lstm does not have; use lstm_peephole")
    return named(onnx_gates(inputs, "iofg", direction))
