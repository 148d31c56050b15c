"""Streams: one step at a time, and what has no single steps."""

import numpy as np
import pytest
from oracles import stock_layouts

import codegen
from tests.codegen.kernel_cases import given, interpreted, random_case, same, worst
from tests.codegen.stream_cases import CASES, apart, drawn, walked


@pytest.mark.parametrize("how", ["compiled", "interpreted"])
@pytest.mark.parametrize("case", CASES)
def test_a_stream_equals_the_same_steps_of_forward_bit_for_bit(compiled, case, how):
    text, values = CASES[case][0], CASES[case][1]()
    kernel = compiled(text) if how == "compiled" else interpreted(text)
    sequences, fixed = apart(kernel, values)
    run, steps, batch = kernel.forward(values), *next(iter(sequences.values())).shape[:2]
    stream = kernel.stream(fixed, batch=batch)
    found = walked(stream, sequences, steps)
    equal = worst if case == "inside" else lambda a, b: 0.0 if np.array_equal(a, b) else np.inf
    for label in found:
        assert equal(found[label], run[label]) < 1e-13
        assert not np.array_equal(found[label][1:], run[label][:-1])
    assert stream.state.keys() == run.state.keys()
    # What only costs read is zero in a stream that was not given it.
    assert all(equal(stream.state[label], run.state[label]) < 1e-13 for label in run.state)


def test_random_recurrences_stream():
    streamed = 0
    for seed in range(60):
        case, program = random_case(seed)
        if program.streaming.problem:
            continue
        kernel = codegen.Kernel(program, "float64")
        case.lengths = np.full(case.batch, case.steps)
        values = {label: value for label, value in given(case).items() if label != "lengths"}
        run = kernel.forward(values, steps=case.steps, batch=case.batch)
        sequences, fixed = apart(kernel, values)
        stream = kernel.stream(fixed, batch=case.batch)
        if case.steps:
            found = walked(stream, sequences, case.steps)
            assert all(worst(found[label], run[label]) < 1e-12 for label in found), seed
            streamed += 1
        assert all(worst(stream.state[label], run.state[label]) < 1e-12 for label in run.state), seed
    assert streamed >= 5, streamed


def test_a_step_from_a_state(compiled):
    kernel, values = compiled("lstm"), stock_layouts.draw("lstm", seed=1, steps=4, batch=3)
    run = kernel.forward(values)
    fixed = {label: array for label, array in values.items() if label not in ("x", "d", "h[0]", "c[0]")}
    state = {"h[0]": values["h[0]"], "c[0]": values["c[0]"]}
    for t in range(4):
        before = {label: array.copy() for label, array in state.items()}
        signals, after = kernel.step(state, {**fixed, "x": values["x"][t]})
        assert all(np.array_equal(signals[label], run[label][t]) for label in signals)
        assert same(state, before)
        state = after
    assert same(state, run.state)
    first, _ = kernel.step({}, {**fixed, "x": values["x"][0]})
    assert not np.array_equal(first["h"], run["h"][0])  # from zero, not from values["h[0]"]
    assert set(kernel.step(state, {**fixed, "x": values["x"][0]}, outputs=["y"])[0]) == {"y"}


def test_a_stream_of_one_sequence_needs_no_batch_axis(compiled):
    kernel, values = compiled("narx"), stock_layouts.draw("narx", seed=5, steps=5, batch=1)
    sequences, fixed = apart(kernel, values)
    alone = {label: array[0] if "[" in label else array for label, array in fixed.items()}
    stream = kernel.stream(alone)
    found = walked(stream, {label: array[:, 0] for label, array in sequences.items()}, 5)
    run = kernel.forward(values)
    assert all(np.array_equal(found[label], run[label][:, 0]) for label in found)
    assert all(np.array_equal(stream.state[label], run.state[label][0]) for label in run.state)
    weights = {label: array for label, array in alone.items() if "[" not in label}
    assert kernel.stream(weights).step({"x": np.ones(3)})["y"].shape == (4,)
    assert kernel.stream(weights, batch=2).step({"x": np.ones((2, 3))})["y"].shape == (2, 4)


def test_a_stream_goes_back_to_a_state(compiled):
    kernel, values = compiled("elman"), stock_layouts.draw("elman", seed=1, steps=4, batch=2)
    sequences, fixed = apart(kernel, values)
    stream = kernel.stream(fixed)
    stream.step({"x": values["x"][0]})
    kept = stream.state
    first = stream.step({"x": values["x"][1]})
    kept_again = stream.state
    stream.state = kept
    assert same(stream.step({"x": values["x"][1]}), first) and same(stream.state, kept_again)
    first["h"][...] = np.nan  # the caller's own
    stream.state["h[0]"][...] = np.nan
    assert same(stream.state, kept_again)
    with pytest.raises(ValueError, match=r"'c\[0\]' is no part of the state; it holds h\[0\]"):
        stream.state = {"c[0]": kept["h[0]"]}
    with pytest.raises(ValueError, match=r"h\[0\] has shape \(3, 5\); in this stream it must be \(2, 5\)"):
        stream.state = {"h[0]": np.zeros((3, 5))}
    assert same(stream.state, kept_again)


def test_parameters_of_a_stream_are_copied(compiled):
    kernel, values = compiled("elman"), stock_layouts.draw("elman", seed=1, steps=2, batch=2)
    _, fixed = apart(kernel, values)
    stream, again = kernel.stream(fixed), kernel.stream(fixed)
    wanted = again.step({"x": values["x"][0]})
    fixed["W"][...] = np.nan
    assert same(stream.step({"x": values["x"][0]}), wanted)


def test_a_failed_step_leaves_the_state():
    kernel = interpreted("x[t]: n\nz[t]: n = exp(z[t]) + x[t]\nh[t]: n = h[t-1] + z[t]\n")
    stream = kernel.stream({"h[0]": np.ones((1, 1))})
    stream.step({"x": np.full((1, 1), -2.0)})
    before = stream.state
    with pytest.raises(codegen.ConvergenceError):
        stream.step({"x": np.ones((1, 1))})
    assert same(stream.state, before)


CHARACTERS = """
c[t]: index[k]
h[t]: n = tanh(W @ h[t-1] + U @ onehot(c[t]) + V @ onehot(c[t-1]))
A[t]: (n, n) = A[t-1]/2 + outer(h[t], h[t-1])
q[t]: index[n]
E = minimize(-sum(dot(onehot(q[t]), A[t] @ h[t]) for t in steps))
"""


@pytest.mark.parametrize("how", ["compiled", "interpreted"])
def test_streams_of_whole_numbers_and_matrices(compiled, how):
    kernel = compiled(CHARACTERS) if how == "compiled" else interpreted(CHARACTERS)
    values = drawn({"W": (3, 3), "U": (3, 4), "V": (3, 4), "h[0]": (2, 3), "A[0]": (2, 3, 3)})
    rng = np.random.default_rng(1)
    values |= {"c": rng.integers(-1, 4, (6, 2)), "q": rng.integers(-1, 3, (6, 2))}
    sequences, fixed = apart(kernel, values)
    run, stream = kernel.forward(values), kernel.stream(fixed)
    found = walked(stream, {"c": values["c"]}, 6)
    assert all(np.array_equal(found[label], run[label]) for label in found) and found["A"].shape == (6, 2, 3, 3)
    assert list(run.state) == ["c[0]", "h[0]", "A[0]"] and same(stream.state, run.state)
    assert run.state["c[0]"].dtype.kind == "i" and np.array_equal(run.state["c[0]"], values["c"][-1])
    first = kernel.forward({**fixed, **{label: array[:2] for label, array in sequences.items()}})
    rest = kernel.forward({**fixed, **{label: array[2:] for label, array in sequences.items()}, **first.state})
    assert all(np.array_equal(rest[label], run[label][2:]) for label in found) and same(rest.state, run.state)
    late = kernel.truncated(values, k1=2, k2=3)[1]
    parts = [kernel.forward({**fixed, **{label: array[a:b] for label, array in sequences.items()}, **state}).backward()
             for a, b, state in ((0, 2, {}), (1, 4, at(kernel, values, 1)), (3, 6, at(kernel, values, 3)))]  # fmt: skip
    assert all(worst(late[label], sum(part[label] for part in parts)) < 1e-12 for label in ("W", "U", "V"))
    assert worst(late["W"], kernel.value_and_grad(values)[1]["W"]) > 1e-4
    with pytest.raises(ValueError, match="c holds 4; it takes whole numbers from 0 to 3, and -1 for none"):
        stream.step({"c": [0, 4]})
    with pytest.raises(TypeError, match="c has dtype float64; it takes whole numbers"):
        stream.step({"c": [0.0, 1.0]})


def at(kernel, values, steps):
    """The state after some steps."""
    sequences, fixed = apart(kernel, values)
    return kernel.forward({**fixed, **{label: array[:steps] for label, array in sequences.items()}}).state


def test_wrong_values_of_a_stream_are_named(compiled):
    kernel, values = compiled("elman"), stock_layouts.draw("elman", seed=1, steps=2, batch=2)
    _, fixed = apart(kernel, values)
    stream = kernel.stream(fixed)
    x = values["x"][0]
    for inputs, error, said in [
        ({}, ValueError, r"x is missing: \(2, 3\)"),
        ({"x": x[0]}, ValueError, r"x has shape \(3,\); in this stream it must be \(2, 3\)"),
        ({"x": x, "h": x}, ValueError, "'h' is no input of a step; elman takes x, d"),
        ({"x": x.astype(complex)}, TypeError, "x has dtype complex128; this kernel takes float64"),
    ]:
        with pytest.raises(error, match=said):
            stream.step(inputs)
    for bad, said in [
        ({**fixed, "x": values["x"]}, "x is an input sequence; give it to the stream's step"),
        ({**fixed, "lengths": [1, 2]}, "a stream takes no lengths"),
        ({**fixed, "z": x}, "takes no argument 'z'"),
        ({**fixed, "U": fixed["U"].T}, r"U has shape \(3, 5\); it must be \(n, m\) with n = 5, from"),
        ({label: array for label, array in fixed.items() if label != "W"}, r"W is missing: \(n, n\)"),
    ]:
        with pytest.raises(ValueError, match=said):
            kernel.stream(bad)
    with pytest.raises(ValueError, match="outputs has 'E', which has no time; a step hands back h, y"):
        kernel.stream(fixed, outputs=["E"])


@pytest.mark.parametrize(("text", "said"), [
    ("bidirectional", r"hb\[t\] reads hb\[t\+1\], a step that is still to come"),
    ("settle", "it has no signals over time"),
    ("x[t]: n\nh[t]: n = x[t+2]\n", r"h\[t\] reads x\[t\+2\], a step that is still to come"),
    ("x[t]: n\nh[t]: n = h[t-1] + x[2]\n", r"h\[t\] reads x\[2\], a fixed step"),
    ("x[t]: n\nh[t]: n = h[t-1] + x[t]/T\n", r"h\[t\] depends on T, the number of steps"),
    ("x[t]: n\nh[t]: n = h[t-1] + within(x[t], steps[-2:])\n", r"h\[t\] depends on which steps there are, by within\("),
    ("x[t]: n\nq: n = sum(x[t] for t in steps)\nh[t]: n = h[t-1] + q\n", r"q depends on which steps there are, by sum\("),
    ("x[t]: n\nh[t]: n = h[t-1] + x[t]\nh[0] = x[1]\n", r"h\[0\] reads x\[1\], a fixed step"),
])  # fmt: skip
def test_what_has_no_single_steps_is_refused(text, said):
    kernel = interpreted(text, derivatives=False)
    for ask in (lambda: kernel.stream({}), lambda: kernel.step({}, {})):
        with pytest.raises(ValueError, match=f"cannot be computed step by step: {said}"):
            ask()
    if text != "settle":
        values = stock_layouts.draw("bidirectional", seed=1) if text == "bidirectional" else {"x": np.ones((4, 1, 1))}
        with pytest.raises(ValueError, match=f"has no state between steps: {said}"):
            _ = kernel.forward(values).state


def test_costs_may_read_fixed_steps_that_a_stream_never_computes():
    kernel = interpreted("x[t]: n\nh[t]: n = h[t-1] + x[t]\nq: n = h[5] + x[7]\nE = minimize(norm2(h[T-3] - q))\n")
    assert kernel.stream({"h[0]": np.ones((2, 1))}).step({"x": np.ones((2, 1))})["h"].tolist() == [[2.0], [2.0]]
