"""Weights for lstm_peephole.rec: ONNX's LSTM. PyTorch has no peepholes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from derive.weights import named, onnx_direction, onnx_gates


def from_onnx(inputs: Mapping[str, object], *, direction: int = 0) -> dict[str, np.ndarray]:
    """Parameters from the inputs W, R, B, P of ONNX's LSTM with its default activations.

    direction: 0, or 1 for the second of a bidirectional operator. Shapes: W (n, n), U (n, m) and b (n) of each gate i, f, g, o, and q (n)
    of i, f, o, zero without P; there is no read-out. ONNX stacks i, o, f, c in W, R and B, where c is our g, and i, o, f in P.
    Raises: as `derive.import_weights`.
    """
    found = named(onnx_gates(inputs, "iofg", direction))
    n = len(found["bi"])
    peepholes = np.zeros(3 * n, found["Wi"].dtype)
    if inputs.get("P") is not None:
        peepholes = onnx_direction(inputs, "P", direction, 2, 3 * n)
    return found | dict(zip(("qi", "qo", "qf"), map(np.copy, np.split(peepholes, 3)), strict=True))
