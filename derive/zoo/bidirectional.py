"""Weights for bidirectional.rec: torch.nn.RNN with bidirectional=True, ONNX's RNN with direction="bidirectional"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from derive.weights import named, onnx_gates, torch_gates, torch_linear


def from_torch(
    state: Mapping[str, object], *, layer: int = 0, prefix: str = "", read_out: str | None = None
) -> dict[str, np.ndarray]:
    """Parameters from the state dict of a torch.nn.RNN with nonlinearity="tanh" and bidirectional=True, or of a model that holds one.

    layer: which of its layers; prefix: that of its keys, "rnn." for an attribute `rnn` of the model; read_out: prefix of the
    torch.nn.Linear that gives V and c, which are left out without it.
    Shapes: Wf, Wb (n, n), Uf, Ub (n, m), bf, bb (n), V (k, 2*n), c (k). The two biases of torch are added. Raises: as
    `derive.import_weights`.
    """
    found = named({name: torch_gates(state, "h", layer, name == "b", prefix)["h"] for name in "fb"})
    return found | torch_linear(state, read_out, "V", "c", 2 * len(found["bf"]))


def from_onnx(inputs: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Parameters from the inputs W, R, B of ONNX's RNN with direction="bidirectional" and the activation Tanh.

    Shapes: Wf, Wb (n, n), Uf, Ub (n, m), bf, bb (n); there is no read-out. Raises: as `derive.import_weights`.
    """
    return named({name: onnx_gates(inputs, "h", direction)["h"] for direction, name in enumerate("fb")})
