"""Weights for gru.rec: ONNX's GRU without linear_before_reset. torch.nn.GRU resets after the product, and so does not fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from derive.weights import named, onnx_gates


def from_torch(state: Mapping[str, object], **options: object) -> dict[str, np.ndarray]:
    """Refused: torch.nn.GRU resets after the product, gru before it. Raises: ValueError, always."""
    raise ValueError("torch.nn.GRU applies its reset gate after the product, gru before it; its weights fit gru_reset_after")


def from_onnx(inputs: Mapping[str, object], *, direction: int = 0) -> dict[str, np.ndarray]:
    """Parameters from the inputs W, R, B of ONNX's GRU with linear_before_reset=0, the default, and its default activations.

    direction: 0, or 1 for the second of a bidirectional operator. Shapes: W (n, n), U (n, m) and b (n) of each gate r, z, g; there is no
    read-out. ONNX stacks z, r, h, where h is our g. Raises: as `derive.import_weights`.
    """
    return named(onnx_gates(inputs, "zrg", direction))
