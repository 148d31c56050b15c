"""ONNX's recurrent operators: the vectors of its backend tests, and its reference implementation on models with random weights.

The vectors that ONNX ships have one number for all weights of a direction, except those named seq_length, so that they cannot tell gates
apart; none has peepholes backward in time, or a reset after the product. Models made here, with random weights and initial states, cover
that through `onnx.reference.ReferenceEvaluator`, which does not heed `sequence_lens`: unequal lengths are compared with PyTorch.
"""

import functools
import warnings

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import derive
from codegen.kernel import Kernel
from codegen.lower import lower
from tests.codegen.kernel_cases import worst
from tests.peers.onnx_operators import DIRECTIONS, INPUTS, run

VECTORS = [
    "test_simple_rnn_defaults", "test_simple_rnn_with_initial_bias", "test_rnn_seq_length", "test_simple_rnn_batchwise",
    "test_simple_rnn_reverse", "test_simple_rnn_bidirectional",
    "test_lstm_defaults", "test_lstm_with_initial_bias", "test_lstm_with_peepholes", "test_lstm_batchwise", "test_lstm_reverse",
    "test_lstm_bidirectional",
    "test_gru_defaults", "test_gru_with_initial_bias", "test_gru_seq_length", "test_gru_batchwise", "test_gru_reverse",
    "test_gru_bidirectional",
]  # fmt: skip
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
MODELS = [("RNN", None), ("LSTM", None), ("LSTM", "peepholes"), ("GRU", None), ("GRU", "reset after")]
T, B, M, N = 6, 3, 4, 5
SINGLE, DOUBLE = 1e-6, 1e-12


@functools.cache
def vectors():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the operators that are not ours
        cases = collect_testcases(None)
    found = {}
    for case in cases:
        node = case.model.graph.node[0]
        if len(case.model.graph.node) == 1 and node.op_type in INPUTS:
            found[case.name] = (node, case.data_sets)
    return found


@functools.cache
def interpreted(text):
    return Kernel(lower(derive.parse(text)), "float64")


def attributes_of(node):
    found = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def errors(kernel_of, node, arrays, wanted):
    """The largest difference of each output that the node has."""
    inputs = {name: array for name, key, array in zip(INPUTS[node.op_type], node.input, arrays, strict=False) if key}
    found = run(kernel_of, node.op_type, attributes_of(node), inputs)
    return {name: worst(found[name], array) for name, array in zip(filter(None, node.output), wanted, strict=True)}


def test_no_vector_is_left_out():
    assert set(vectors()) == set(VECTORS)


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_the_backend_tests(compiled, name):
    node, data = vectors()[name]
    assert len(node.input) <= len(INPUTS[node.op_type]) and len(data) == 1
    for arrays, wanted in data:
        found = errors(lambda text: compiled(text, "float32"), node, arrays, wanted)
        assert max(found.values()) < SINGLE, found
        wrong = [array * np.float32(1.001) for array in wanted]
        assert min(errors(interpreted, node, arrays, wrong).values()) > SINGLE


def model(operator, variant, direction, seed):
    """A node with random weights and initial states in float64, its inputs, and the reference's outputs."""
    rng, paths, gates = np.random.default_rng(seed), 1 + (direction == "bidirectional"), GATES[operator]
    shapes = {"X": (T, B, M), "W": (paths, gates * N, M), "R": (paths, gates * N, N), "B": (paths, 2 * gates * N)}
    shapes |= {f"initial_{state}": (paths, B, N) for state in ("hc" if operator == "LSTM" else "h")}
    if variant == "peepholes":
        shapes["P"] = (paths, 3 * N)
    arrays = {name: rng.normal(size=shape) * 0.6 for name, shape in shapes.items()}
    options = {"linear_before_reset": 1} if variant == "reset after" else {}
    names = [name if name in shapes else "" for name in INPUTS[operator]]
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Y_h", *(["Y_c"] if operator == "LSTM" else [])]
    node = onnx.helper.make_node(operator, names, outputs, hidden_size=N, direction=direction, **options)
    double = onnx.TensorProto.DOUBLE
    graph = onnx.helper.make_graph(
        [node], "one", [onnx.helper.make_tensor_value_info(name, double, shape) for name, shape in shapes.items()],
        [onnx.helper.make_tensor_value_info(name, double, [None] * (4 if name == "Y" else 3)) for name in outputs],
    )  # fmt: skip
    whole = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 22)])
    onnx.checker.check_model(whole)
    return node, arrays, ReferenceEvaluator(whole).run(None, arrays)


def in_order(node, arrays):
    return [arrays.get(name) for name in node.input]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("operator", "variant"), MODELS)
def test_reference_implementation(operator, variant, direction):
    node, arrays, wanted = model(operator, variant, direction, seed=3)
    found = errors(interpreted, node, in_order(node, arrays), wanted)
    assert set(found) == set(node.output) and max(found.values()) < DOUBLE, found


def _exchange(array, rows, other):
    damaged = array.copy()
    damaged[:, rows], damaged[:, other] = array[:, other], array[:, rows]
    return damaged


FIRST, SECOND, LAST = slice(0, N), slice(N, 2 * N), slice(2 * N, 3 * N)
DAMAGES = {
    "i and o": ("LSTM", "peepholes", "forward", "W", lambda W: _exchange(W, FIRST, SECOND)),
    "o and f": ("LSTM", "peepholes", "forward", "R", lambda R: _exchange(R, SECOND, LAST)),
    "peepholes of o and f": ("LSTM", "peepholes", "reverse", "P", lambda P: _exchange(P, SECOND, LAST)),
    "z and r": ("GRU", None, "forward", "R", lambda R: _exchange(R, FIRST, SECOND)),
    "directions": ("GRU", "reset after", "bidirectional", "W", lambda W: W[::-1]),
    "biases": ("GRU", "reset after", "forward", "B", lambda B: np.roll(B, 3 * N, axis=1)),
    "initial states": ("RNN", None, "bidirectional", "initial_h", lambda h: h[::-1]),
    "time": ("RNN", None, "reverse", "X", lambda X: X[::-1]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_sabotaged_models_are_rejected(damage):
    operator, variant, direction, name, spoil = DAMAGES[damage]
    node, arrays, wanted = model(operator, variant, direction, seed=3)
    found = errors(interpreted, node, in_order(node, {**arrays, name: spoil(arrays[name])}), wanted)
    assert min(found.values()) > 1e-4, found
