"""Rows S6 to S10: finite response, NARX, the partially recurrent networks, state space."""

import re

import numpy as np
import pytest
from oracles import stock_layouts

import codegen
import derive
from derive import norm2, sum_over, t, tanh
from derive.language import load
from derive.structure import blocks
from tests.codegen.kernel_cases import worst
from tests.sources.printed import kernel, missing


def response(name, step=2, steps=9):
    """At which steps the outputs move when one input does."""
    values = stock_layouts.draw(name, seed=5, steps=steps, batch=1)
    moved = {**values, "x": values["x"].copy()}
    moved["x"][step] += 1.0
    one, two = (kernel(name).forward(given)["y"][:, 0] for given in (values, moved))
    return [bool(np.abs(one[s] - two[s]).max() > 1e-9) for s in range(steps)]


def test_s06_the_response_to_an_input_is_finite():
    assert response("finite_response") == [s in (2, 3, 4) for s in range(9)]
    assert {block.kind for block in blocks(load("finite_response"))} == {"sweep", "once"}
    assert response("narx")[5:] == [True] * 4


def test_s06_an_error_reaches_the_inputs_of_its_window():
    values = stock_layouts.draw("finite_response", seed=5, steps=9, batch=1)
    seed = np.zeros((9, 1, 4))
    seed[6] = 1.0
    pulled = kernel("finite_response").forward(values).backward({"y": seed})["x"][:, 0]
    assert [bool(np.abs(row).max() > 1e-9) for row in pulled] == [s in (4, 5, 6) for s in range(9)]


def narx(outputs, inputs):
    """Y(t) = f(X(t..t-inputs), Y(t-1..t-outputs)) with one hidden layer, as the stock file writes it."""
    b = derive.Builder(f"narx_{outputs}_{inputs}")
    x, d, h, y = b.input("x", "m"), b.input("d", "k"), b.signal("h", "n"), b.signal("y", "k")
    drive = [b.parameter(f"A{j}", "n", "k") @ y[t - j] for j in range(1, outputs + 1)]
    drive += [b.parameter(f"B{j}", "n", "m") @ x[t - j] for j in range(inputs + 1)]
    b.define(h[t], tanh(sum(drive[1:], drive[0]) + b.parameter("b", "n")))
    b.define(y[t], b.parameter("V", "k", "n") @ h[t] + b.parameter("c", "k"))
    b.minimize("E", sum_over(norm2(y[t] - d[t]) / 2))
    return b.recurrence()


@pytest.mark.parametrize(("outputs", "inputs"), [(1, 0), (4, 2)])
def test_s07_any_number_of_taps(outputs, inputs):
    recurrence = narx(outputs, inputs)
    assert {target.source() for target in recurrence.arguments} == {f"y[{1 - j}]" for j in range(1, outputs + 1)}
    text = recurrence.to_rec()
    report = codegen.check(recurrence, kernel=kernel(text), steps=2 * outputs + 1, batch=2)
    assert report.verdict == "passed", report.to_text()


def test_s07_the_stock_file_is_one_of_the_family():
    values = stock_layouts.draw("narx", seed=3)
    (value, grads), (other, others) = (kernel(text).value_and_grad(values) for text in ("narx", narx(3, 2).to_rec()))
    assert abs(value - other) < 1e-12 * value and max(worst(grads[label], others[label]) for label in grads) < 1e-12
    assert worst(kernel(narx(2, 2).to_rec()).value_and_grad({k: v for k, v in values.items() if k not in ("A3", "y[-2]")})[0], value) > 1e-4


@pytest.mark.parametrize(("name", "given"), [("jordan", "s[t]: k\n"), ("elman_context", "s[t]: n\n")])
def test_s08_s09_no_gradient_passes_the_memory(name, given):
    values = stock_layouts.draw(name, seed=7)
    run = kernel(name).forward(values)
    grads, source = run.backward(), derive.files.read_file(name)[0].decode()
    # The same network as a feed-forward one: the memory is handed in, step by step.
    rest = [line for line in source.splitlines(keepends=True) if not line.startswith(("s[t]", "mu"))]
    apart = kernel("".join([rest[0], given, *rest[1:]]).replace("stop_gradient(s[t])", "s[t]"))
    kept = {key: a for key, a in values.items() if "[" not in key and key != "mu"}
    wanted = apart.value_and_grad({**kept, "s": run["s"]})[1]
    assert max(worst(grads[label], wanted[label]) for label in ("W", "U", "b", "V", "c", "x")) < 1e-12
    whole = kernel(source.replace("stop_gradient(", "(")).value_and_grad(values)[1]
    assert worst(grads["W"], whole["W"]) > 1e-3
    assert "backward" not in {block.kind for block in blocks(derive.gradient(load(name)).recurrence)}


def test_s08_the_memory_is_a_running_average_of_outputs():
    values = stock_layouts.draw("jordan", seed=8, steps=6, batch=1)
    run, mu = kernel("jordan").forward(values), float(values["mu"])
    outputs = np.concatenate([values["y[0]"], run["y"][:, 0]])
    weights = [(1 - mu) * mu ** (5 - s) for s in range(6)]
    wanted = mu**6 * values["s[0]"][0] + sum(w * y for w, y in zip(weights, outputs[:6], strict=True))
    assert worst(run["s"][5, 0], wanted) < 1e-12 and worst(run["s"][5, 0], outputs[5]) > 1e-3
    grads = run.backward()
    assert not grads["s[0]"].any() and not grads["y[0]"].any() and "mu" not in grads


def test_s09_the_context_is_a_copy_of_the_state():
    values = stock_layouts.draw("elman_context", seed=8)
    run = kernel("elman_context").forward(values)
    assert np.array_equal(run["s"][1:], run["h"][:-1]) and np.array_equal(run["s"][0], values["h[0]"])
    same = {key: values[key] for key in values}
    assert worst(kernel("elman").forward(same)["y"], run["y"]) < 1e-12
    assert not run.backward()["h[0]"].any()


def test_s10_the_initial_state_is_learned():
    values = stock_layouts.draw("state_space", seed=9, batch=3)
    grads = kernel("state_space").value_and_grad(values)[1]
    given = re.sub(r"^(h0|h\[0\]).*\n", "", derive.files.read_file("state_space")[0].decode(), flags=re.MULTILINE)
    apart = {key: a for key, a in values.items() if key != "h0"} | {"h[0]": np.tile(values["h0"], (3, 1))}
    each = kernel(given).value_and_grad(apart)[1]
    assert worst(grads["h0"], each["h[0]"].sum(0)) < 1e-12 and worst(grads["h0"], each["h[0]"].mean(0)) > 1e-3
    assert max(worst(grads[label], each[label]) for label in ("W", "U", "b", "V", "c", "x")) < 1e-12
    assert missing("state_space", "h(t) = tanh(W h(t−1) + U x(t) + b)", "h(0) = h0") == []
