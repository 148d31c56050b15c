"""Weights: arrays of another framework -> values by the names of a stock recurrence.

A stock recurrence that has a counterpart elsewhere has, beside its `.rec` file, a module of the same name with one function for each
framework, `from_torch` or `from_onnx`. This module finds it, and holds what those functions share: arrays out of mappings, gates out of
stacked arrays, errors by key. It imports no framework.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from derive.files import ZOO, stock_names

FRAMEWORKS = ("torch", "onnx")
SHOWN = 12  # keys listed in an error


@dataclass(frozen=True, slots=True)
class Gate:
    """Weights of one gate: of the state (n, n), of the input (n, m), and the bias (n) that each of the two products has."""

    state: np.ndarray
    input: np.ndarray
    input_bias: np.ndarray
    state_bias: np.ndarray

    @property
    def bias(self) -> np.ndarray:
        """The one bias (n) of a gate that adds its two products."""
        return self.input_bias + self.state_bias


def import_weights(name: str, weights: Mapping[str, object], framework: str = "torch", **options: object) -> dict[str, np.ndarray]:
    """The parameters of a stock recurrence, by its names, from another framework's arrays.

    name: a stock name; weights: a state dict of PyTorch, or an ONNX operator's inputs by the operator's own names ("W", "R", "B", "P");
    tensors, arrays, or what safetensors returns; framework: "torch" or "onnx"; options: those of `derive/zoo/<name>.py`, such as `layer`.
    Shapes: as the recurrence declares them; arrays are copies and keep their dtype.
    Raises: ValueError for a name without a counterpart, a missing key or a wrong shape; TypeError for what is no array of floats.
    """
    if framework not in FRAMEWORKS:
        raise ValueError(f"framework {framework!r} is not one of {', '.join(FRAMEWORKS)}")
    known = [stock for stock in stock_names() if (ZOO / f"{stock}.py").is_file()]
    if name not in known:
        near = difflib.get_close_matches(str(name), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"weights can be had for {', '.join(known)}"
        raise ValueError(f"no weights are known for {name!r}; {hint}")
    functions = {source: getattr(import_module(f"derive.zoo.{name}"), f"from_{source}", None) for source in FRAMEWORKS}
    if functions[framework] is None:
        others = ", ".join(source for source, function in functions.items() if function)
        raise ValueError(f"{name} has no counterpart in {framework}; it takes weights from {others}")
    return functions[framework](weights, **options)


def torch_gates(state: Mapping[str, object], gates: str, layer: int | None, reverse: bool, prefix: str) -> dict[str, Gate]:
    """The gates of one layer and direction of a recurrent PyTorch module, in the order in which it stacks them.

    layer: None for a module of one step, whose keys bear no layer. Biases are zero where the module has none.
    Raises: as `import_weights`; ValueError for a module with projections.
    """
    ending = ("" if layer is None else f"_l{layer}") + ("_reverse" if reverse else "")
    key = {part: f"{prefix}{part}{ending}" for part in ("weight_hh", "weight_ih", "bias_ih", "bias_hh", "weight_hr")}
    if key["weight_hr"] in state:
        raise ValueError(f"{key['weight_hr']} projects the state (proj_size), which this recurrence does not do")
    count = len(gates)
    hidden, given = (_matrix(state, key[part]) for part in ("weight_hh", "weight_ih"))
    n = _state_size(key["weight_hh"], hidden, count)
    _check(key["weight_ih"], given, (count * n, given.shape[1]))
    biases = [np.zeros(count * n, hidden.dtype)] * 2
    if key["bias_ih"] in state or key["bias_hh"] in state:
        biases = [take(state, key[part], (count * n,)) for part in ("bias_ih", "bias_hh")]
    return _cut(gates, hidden, given, *biases)


def torch_linear(state: Mapping[str, object], prefix: str | None, weight: str, bias: str, size: int) -> dict[str, np.ndarray]:
    """The read-out: a linear layer of PyTorch under the names of its matrix (k, size) and bias (k); nothing where prefix is None.

    The bias is zero where the layer has none. Raises: as `import_weights`.
    """
    if prefix is None:
        return {}
    matrix = _matrix(state, f"{prefix}weight")
    rows = matrix.shape[0]
    _check(f"{prefix}weight", matrix, (rows, size))
    has_bias = f"{prefix}bias" in state
    return {weight: matrix, bias: take(state, f"{prefix}bias", (rows,)) if has_bias else np.zeros(rows, matrix.dtype)}


def onnx_gates(inputs: Mapping[str, object], gates: str, direction: int) -> dict[str, Gate]:
    """The gates of one direction of a recurrent ONNX operator, in the order in which it stacks them; biases are zero without "B".

    direction: 0, or 1 for the second of an operator that runs both ways. Raises: as `import_weights`.
    """
    count = len(gates)
    hidden, given = (onnx_direction(inputs, key, direction, 3) for key in ("R", "W"))
    n = _state_size(f"R[{direction}]", hidden, count)
    _check(f"W[{direction}]", given, (count * n, given.shape[1]))
    biases = np.zeros(2 * count * n, hidden.dtype)
    if inputs.get("B") is not None:
        biases = onnx_direction(inputs, "B", direction, 2, 2 * count * n)
    return _cut(gates, hidden, given, *np.split(biases, 2))


def onnx_direction(inputs: Mapping[str, object], key: str, direction: int, axes: int, size: int | None = None) -> np.ndarray:
    """One direction's part of an ONNX operator's input, whose first of `axes` axes counts directions, and of that size if one is given.

    Raises: as `import_weights`.
    """
    array = take(inputs, key)
    if array.ndim != axes:
        raise ValueError(f"{key} has shape {array.shape}; it must have {axes} axes, of which the first counts directions")
    if direction not in range(len(array)):
        raise ValueError(f"{key} has shape {array.shape}, so it has no direction {direction}; they count from 0")
    if size is not None:
        _check(f"{key}[{direction}]", array[direction], (size,))
    return array[direction]


def named(gates: Mapping[str, Gate]) -> dict[str, np.ndarray]:
    """Gates as parameters: for a gate g the matrices Wg (n, n) and Ug (n, m) and the bias bg (n)."""
    return {f"{kind}{name}": array for name, gate in gates.items() for kind, array in
            (("W", gate.state), ("U", gate.input), ("b", gate.bias))}  # fmt: skip


def take(weights: Mapping[str, object], key: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A copy of the array under a key, of the given shape. Raises: as `import_weights`."""
    if key not in weights:
        raise ValueError(f"there is no {key}; {_nearby(key, [str(other) for other in weights])}")
    value = weights[key]
    if hasattr(value, "detach"):  # a tensor that takes part in a gradient does not turn into an array
        value = value.detach().cpu()
    try:
        array = np.asarray(value).copy()
    except (TypeError, ValueError) as error:
        raise TypeError(f"{key} is no array of floats: {error}") from None
    if array.dtype.kind != "f":
        raise TypeError(f"{key} is no array of floats that NumPy knows, but of {array.dtype}; convert it to float32 or float64")
    if shape is not None:
        _check(key, array, shape)
    return array


def _nearby(key: str, others: list[str]) -> str:
    longer = next((other for other in others if other.endswith(f".{key}")), None)
    if longer is not None:
        return f"{longer} is there: give prefix={longer[: -len(key)]!r}"
    listed = ", ".join(others[:SHOWN]) + (", …" if len(others) > SHOWN else "")
    return f"the keys are {listed}" if others else "the mapping is empty"


def _matrix(weights: Mapping[str, object], key: str) -> np.ndarray:
    array = take(weights, key)
    if array.ndim != 2:
        raise ValueError(f"{key} has shape {array.shape}; it must be a matrix")
    return array


def _state_size(key: str, hidden: np.ndarray, count: int) -> int:
    n = hidden.shape[1]
    _check(key, hidden, (count * n, n), f", {count} gate{'s' if count > 1 else ''} of {n} units")
    return n


def _check(key: str, array: np.ndarray, shape: tuple[int, ...], why: str = "") -> None:
    if array.shape != shape:
        raise ValueError(f"{key} has shape {array.shape}; it must be {shape}{why}")


def _cut(gates: str, *stacked: np.ndarray) -> dict[str, Gate]:
    parts = [np.split(array, len(gates)) for array in stacked]
    return {gate: Gate(*(part[index].copy() for part in parts)) for index, gate in enumerate(gates)}
