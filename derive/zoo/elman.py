"""Weights for elman.rec: torch.nn.RNN, ONNX's RNN."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from derive.weights import named, onnx_gates, torch_gates, torch_linear


def from_torch(
    state: Mapping[str, object], *, layer: int | None = 0, reverse: bool = False, prefix: str = "", read_out: str | None = None
) -> dict[str, np.ndarray]:
    """Parameters from the state dict of a torch.nn.RNN with nonlinearity="tanh", or of a model that holds one.

    layer, reverse: which of its layers and directions, None for the keys of a torch.nn.RNNCell; prefix: that of its keys, "rnn." for an
    attribute `rnn` of the model; read_out: prefix of the torch.nn.Linear that gives V and c, which are left out without it.
    Shapes: W (n, n), U (n, m), b (n), V (k, n), c (k). The two biases of torch are added. Raises: as `derive.import_weights`.
    """
    found = named({"": torch_gates(state, "h", layer, reverse, prefix)["h"]})
    return found | torch_linear(state, read_out, "V", "c", len(found["b"]))


def from_onnx(inputs: Mapping[str, object], *, direction: int = 0) -> dict[str, np.ndarray]:
    """Parameters from the inputs W, R, B of ONNX's RNN with the activation Tanh.

    direction: 0, or 1 for the second of a bidirectional operator. Shapes: W (n, n), U (n, m), b (n); there is no read-out.
    Raises: as `derive.import_weights`.
    """
    return named({"": onnx_gates(inputs, "h", direction)["h"]})
