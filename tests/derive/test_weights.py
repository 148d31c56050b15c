"""Weights from other frameworks: gates by name, shapes, errors. Arrays stand for tensors; the frameworks themselves are in tests/peers."""

from __future__ import annotations

import inspect
from importlib import import_module

import numpy as np
import pytest

import derive
from derive.files import ZOO
from derive.weights import FRAMEWORKS

N, M, K = 4, 3, 2
MODULES = sorted(path.stem for path in ZOO.glob("*.py") if path.stem != "__init__")
TORCH = {"elman": [""], "lstm": ["i", "f", "g", "o"], "gru_reset_after": ["r", "z", "g"]}
ONNX = {"elman": [""], "lstm": ["i", "o", "f", "g"], "lstm_peephole": ["i", "o", "f", "g"], "gru": ["z", "r", "g"],
        "gru_reset_after": ["z", "r", "g"]}  # fmt: skip


def state_dict(gates, layer=0, reverse=False, prefix=""):
    """A state dict in which every number is another."""
    ending = f"_l{layer}" + "_reverse" * reverse
    shapes = {"weight_ih": (gates * N, M), "weight_hh": (gates * N, N), "bias_ih": (gates * N,), "bias_hh": (gates * N,)}
    return {f"{prefix}{part}{ending}": 1000.0 * index + np.arange(np.prod(shape)).reshape(shape)
            for index, (part, shape) in enumerate(shapes.items())}  # fmt: skip


def operator(gates, paths=1):
    """Inputs of an ONNX operator in which every number is another."""
    shapes = {"W": (paths, gates * N, M), "R": (paths, gates * N, N), "B": (paths, 2 * gates * N), "P": (paths, 3 * N)}
    return {name: 1000.0 * index + np.arange(np.prod(shape)).reshape(shape) for index, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("name", MODULES)
def test_every_module_stands_beside_a_recurrence_and_documents_its_functions(name):
    assert (ZOO / f"{name}.rec").is_file()
    module = import_module(f"derive.zoo.{name}")
    functions = {label: function for label, function in inspect.getmembers(module, inspect.isfunction) if label.startswith("from_")}
    assert functions and functions.keys() <= {f"from_{framework}" for framework in FRAMEWORKS}
    assert all("Raises:" in function.__doc__ for function in functions.values())


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_comes_back_are_parameters_of_the_recurrence(name, framework):
    declared = {q.name: len(q.shape) for q in derive.load(name).quantities if q.role == "parameter"}
    gates = len(TORCH.get(name) or ONNX.get(name) or [""])
    try:
        if framework == "torch":
            read_out = {"head.weight": np.ones((K, N * (1 + (name == "bidirectional")))), "head.bias": np.ones(K)}
            state = state_dict(gates) | state_dict(gates, reverse=True) | read_out
            found = derive.import_weights(name, state, read_out="head.")
            assert found.keys() == declared.keys()
        else:
            inputs = operator(gates, paths=2)
            if name != "lstm_peephole":
                inputs.pop("P")
            found = derive.import_weights(name, inputs, "onnx")
            assert found.keys() == {label for label in declared if label not in ("V", "by", "c")}
    except ValueError as error:
        assert (name, framework) in {("gru", "torch"), ("lstm_peephole", "torch")}, error
    else:
        assert all(array.ndim == declared[label] for label, array in found.items())


@pytest.mark.parametrize(("layer", "reverse", "prefix"), [(0, False, ""), (2, True, "model.rnn.")])
@pytest.mark.parametrize("name", TORCH)
def test_torch_rows_go_to_their_gates(name, layer, reverse, prefix):
    state = state_dict(len(TORCH[name]), layer, reverse, prefix)
    part = {key.removeprefix(prefix).split("_l")[0]: array for key, array in state.items()}
    found = derive.import_weights(name, {**state, "other": None}, layer=layer, reverse=reverse, prefix=prefix)
    for index, gate in enumerate(TORCH[name]):
        rows = slice(index * N, (index + 1) * N)
        assert np.array_equal(found[f"W{gate}"], part["weight_hh"][rows]) and np.array_equal(found[f"U{gate}"], part["weight_ih"][rows])
        apart = (name, gate) == ("gru_reset_after", "g")
        assert np.array_equal(found[f"b{gate}"], part["bias_ih"][rows] + (0 if apart else part["bias_hh"][rows]))
        if apart:
            assert np.array_equal(found["ag"], part["bias_hh"][rows])


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("name", ONNX)
def test_onnx_rows_go_to_their_gates(name, direction):
    inputs, count = operator(len(ONNX[name]), paths=2), len(ONNX[name])
    if name != "lstm_peephole":
        inputs.pop("P")
    found = derive.import_weights(name, inputs, "onnx", direction=direction)
    own = {key: array[direction] for key, array in inputs.items()}
    first, second = own["B"][: count * N], own["B"][count * N :]
    for index, gate in enumerate(ONNX[name]):
        rows = slice(index * N, (index + 1) * N)
        assert np.array_equal(found[f"W{gate}"], own["R"][rows]) and np.array_equal(found[f"U{gate}"], own["W"][rows])
        apart = (name, gate) == ("gru_reset_after", "g")
        assert np.array_equal(found[f"b{gate}"], first[rows] + (0 if apart else second[rows]))
        if apart:
            assert np.array_equal(found["ag"], second[rows])
    if name == "lstm_peephole":
        assert [found[label][0] for label in ("qi", "qo", "qf")] == [own["P"][0], own["P"][N], own["P"][2 * N]]


def test_both_directions_of_one_layer():
    state = state_dict(1, layer=1) | state_dict(1, layer=1, reverse=True)
    state["weight_hh_l1_reverse"] = state["weight_hh_l1"] + 0.5
    found = derive.import_weights("bidirectional", state, layer=1)
    assert np.array_equal(found["Wb"], found["Wf"] + 0.5)
    with pytest.raises(ValueError, match="there is no weight_hh_l1_reverse"):
        derive.import_weights("bidirectional", state_dict(1, layer=1), layer=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_are_copies_of_the_same_dtype(dtype):
    state = {key: array.astype(dtype) for key, array in state_dict(3).items()}
    found = derive.import_weights("gru_reset_after", state)
    assert all(array.dtype == dtype and array.flags.c_contiguous for array in found.values())
    for array in found.values():
        array[...] = np.nan
    assert all(np.isfinite(array).all() for array in state.values())


def test_left_out_biases_and_peepholes_are_zero():
    state = {key: array for key, array in state_dict(4).items() if "bias" not in key}
    found = derive.import_weights("lstm", {**state, "head.weight": np.ones((K, N))}, read_out="head.")
    assert not any(found[label].any() for label in ("bi", "bf", "bg", "bo", "by"))
    inputs = {key: array for key, array in operator(4).items() if key in "WR"}
    found = derive.import_weights("lstm_peephole", {**inputs, "B": None, "P": None}, "onnx")
    assert not any(found[label].any() for label in ("bi", "bf", "bg", "bo", "qi", "qf", "qo"))


def without(mapping, key):
    return {label: array for label, array in mapping.items() if label != key}


WRONG = [
    ("settle", {}, {}, "no weights are known for 'settle'; weights can be had for bidirectional, elman"),
    ("lsmt", {}, {}, "did you mean lstm?"),
    ("../zoo/elman", {}, {}, "no weights are known for '../zoo/elman'"),
    ("elman", {}, {"framework": "keras"}, "framework 'keras' is not one of torch, onnx"),
    ("lstm_peephole", {}, {}, "lstm_peephole has no counterpart in torch; it takes weights from onnx"),
    ("gru", state_dict(3), {}, "its weights fit gru_reset_after"),
    ("elman", {}, {}, "there is no weight_hh_l0; the mapping is empty"),
    ("elman", state_dict(1), {"layer": 1}, "there is no weight_hh_l1; the keys are weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0"),
    ("elman", state_dict(1, prefix="net.rnn."), {}, "there is no weight_hh_l0; net.rnn.weight_hh_l0 is there: give prefix='net.rnn.'"),
    ("elman", without(state_dict(1), "bias_hh_l0"), {}, "there is no bias_hh_l0"),
    ("elman", {**state_dict(1), "bias_ih_l0": np.ones(3)}, {}, r"bias_ih_l0 has shape (3,); it must be (4,)"),
    ("lstm", state_dict(3), {}, r"weight_hh_l0 has shape (12, 4); it must be (16, 4), 4 gates of 4 units"),
    ("lstm", {**state_dict(4), "weight_ih_l0": np.ones((12, 3))}, {}, r"weight_ih_l0 has shape (12, 3); it must be (16, 3)"),
    ("lstm", {**state_dict(4), "weight_ih_l0": np.ones(16)}, {}, r"weight_ih_l0 has shape (16,); it must be a matrix"),
    ("lstm", {**state_dict(4), "weight_hr_l0": np.ones((2, 4))}, {}, "weight_hr_l0 projects the state"),
    ("lstm", {**state_dict(4), "fc.weight": np.ones((2, 3))}, {"read_out": "fc."}, r"fc.weight has shape (2, 3); it must be (2, 4)"),
    ("lstm", state_dict(4), {"read_out": "fc."}, "there is no fc.weight"),
    ("lstm", operator(4), {"framework": "onnx"}, "P holds peepholes, which lstm does not have; use lstm_peephole"),
    ("gru", operator(3), {"framework": "onnx", "direction": 1}, r"R has shape (1, 12, 4), so it has no direction 1"),
    ("gru", {**operator(3), "R": np.ones((12, 4))}, {"framework": "onnx"}, r"R has shape (12, 4); it must have 3 axes"),
    ("gru", operator(4), {"framework": "onnx"}, r"R[0] has shape (16, 4); it must be (12, 4), 3 gates of 4 units"),
    ("gru", {**operator(3), "B": np.ones((1, 12))}, {"framework": "onnx"}, r"B[0] has shape (12,); it must be (24,)"),
    ("lstm_peephole", {**operator(4), "P": np.ones((1, 8))}, {"framework": "onnx"}, r"P[0] has shape (8,); it must be (12,)"),
    ("bidirectional", without(operator(1), "P"), {"framework": "onnx"}, "so it has no direction 1"),
]


@pytest.mark.parametrize(("name", "weights", "options", "said"), WRONG, ids=[said[:40] for *_, said in WRONG])
def test_what_does_not_fit_is_named(name, weights, options, said):
    with pytest.raises(ValueError) as caught:
        derive.import_weights(name, weights, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize("value", [np.ones((4, 4), int), np.ones((4, 4), complex), "weights", [[1.0], [1.0, 2.0]], None])
def test_what_is_no_array_of_floats_is_named(value):
    with pytest.raises(TypeError, match="weight_hh_l0 is no array of floats"):
        derive.import_weights("elman", {**state_dict(1), "weight_hh_l0": value})
