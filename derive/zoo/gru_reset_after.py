"""Weights for gru_reset_after.rec: torch.nn.GRU, ONNX's GRU with linear_before_reset."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from derive.weights import Gate, named, onnx_gates, torch_gates, torch_linear


def from_torch(
    state: Mapping[str, object], *, layer: int | None = 0, reverse: bool = False, prefix: str = "", read_out: str | None = None
) -> dict[str, np.ndarray]:
    """Parameters from the state dict of a torch.nn.GRU, or of a model that holds one.

    layer, reverse: which of its layers and directions, None for the keys of a torch.nn.GRUCell; prefix: that of its keys, "rnn." for an
    attribute `rnn` of the model; read_out: prefix of the torch.nn.Linear that gives V and by, which are left out without it.
    Shapes: W (n, n), U (n, m) and b (n) of each gate r, z, g, such as Wr; ag (n); V (k, n), by (k). torch stacks the gates in that order,
    and calls g n; the two biases of r and of z are added, those of g stay apart, as bg and ag. Raises: as `derive.import_weights`.
    """
    found = _named(torch_gates(state, "rzg", layer, reverse, prefix))
    return found | torch_linear(state, read_out, "V", "by", len(found["br"]))


def from_onnx(inputs: Mapping[str, object], *, direction: int = 0) -> dict[str, np.ndarray]:
    """Parameters from the inputs W, R, B of ONNX's GRU with linear_before_reset=1 and its default activations.

    direction: 0, or 1 for the second of a bidirectional operator. Shapes: W (n, n), U (n, m) and b (n) of each gate r, z, g, and ag (n);
    there is no read-out. ONNX stacks z, r, h, where h is our g. Raises: as `derive.import_weights`.
    """
    return _named(onnx_gates(inputs, "zrg", direction))


def _named(gates: Mapping[str, Gate]) -> dict[str, np.ndarray]:
    return named(gates) | {"bg": gates["g"].input_bias, "ag": gates["g"].state_bias}
