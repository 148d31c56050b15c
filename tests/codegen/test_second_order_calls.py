"""Calls of products with a direction: what they accept and refuse, and kernels found, pickled and interpreted elsewhere."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from oracles import stock_layouts

import codegen
from codegen import driver
from codegen.cache import Cache
from codegen.kernel import Kernel
from derive.errors import RecurrenceError
from tests.codegen.kernel_cases import ELMAN, interpreted
from tests.codegen.product_cases import LENGTHS, case, kernel, largest


def test_what_is_left_out_of_a_direction_stands_still():
    values, _, v = case("elman")
    found = kernel("elman").hvp(values, {"W": v["W"]})
    assert largest(found, kernel("elman").hvp(values, {label: v[label] if label == "W" else 0 * v[label] for label in v})) == 0
    some = kernel("elman").hvp(values, {"W": v["W"]}, wrt=["W", "h[0]"])
    assert list(some) == ["W", "h[0]"] and np.array_equal(some["W"], found["W"])
    none = kernel("elman").hvp(values, {})
    assert not any(array.any() for array in none.values())
    assert kernel("elman").jvp(values, {}).derivative == 0


def test_without_batch_axis_products_have_none():
    values = stock_layouts.draw("elman", seed=2, batch=1)
    single = {label: array[:, 0] if label in "xd" else (array[0] if label == "h[0]" else array) for label, array in values.items()}
    move = {"W": np.ones((5, 5)), "x": np.ones((7, 3)), "h[0]": np.ones(5)}
    found = kernel("elman").hvp(single, move)
    assert found["x"].shape == (7, 3) and found["h[0]"].shape == (5,) and kernel("elman").jvp(single, move).tangents["h"].shape == (7, 5)
    wanted = kernel("elman").hvp(values, {"W": move["W"], "x": move["x"][:, None], "h[0]": move["h[0]"][None]})
    assert all(np.array_equal(found[label].ravel(), wanted[label].ravel()) for label in wanted)


def test_nothing_of_a_direction_is_read_beyond_a_sequences_end():
    values, _, v = case("elman")
    beyond = {**v, "x": v["x"].copy()}
    beyond["x"][LENGTHS[0]:, 0] = np.nan
    assert largest(kernel("elman").hvp(values, beyond), kernel("elman").hvp(values, v)) == 0


def test_sizes_that_follow_from_no_array_are_given():
    k = interpreted("h[t]: n = tanh(W @ h[t-1])\nh[0] = start\nstart: n\nE = minimize(norm2(h[T]))\n")
    values = {"W": np.eye(2), "start": np.ones(2)}
    assert k.hvp(values, {"start": np.ones(2)}, steps=4)["W"].shape == (2, 2)
    with pytest.raises(ValueError, match="give steps="):
        k.hvp(values, {})


@pytest.mark.parametrize(("call", "said"), [
    (lambda k, v: k.hvp(v, {"W": np.ones((5, 4))}), r"the direction at W has shape \(5, 4\); it must be \(n, n\) with n = 5, from W"),
    (lambda k, v: k.hvp(v, {"h[0]": np.ones(5)}), r"the direction at h\[0\] has none"),
    (lambda k, v: k.hvp(v, {"q": np.ones(5)}), "there is no direction at 'q'; there are W, "),
    (lambda k, v: k.hvp(v, {"W": np.full((5, 5), np.nan)}), "the direction at W is not finite"),
    (lambda k, v: k.hvp(v, {}, wrt=["h"]), "there is no gradient at 'h'; there are W, "),
    (lambda k, v: k.hvp({**v, "w": 1.0}, {}), "takes no argument 'w'; it takes U, V, W, b, c, d, "),
    (lambda k, v: k.hvp({"W": v["W"]}, {}), "is missing"),
    (lambda k, v: k.jvp(v, {"lengths": [1]}), "there is no direction at 'lengths'"),
    (lambda k, v: k.gnvp(v, {"d": np.ones((6, 3, 4))}, at="y"), r"the direction at d has shape \(6, 3, 4\)"),
])  # fmt: skip
def test_wrong_directions_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call(kernel("elman"), stock_layouts.draw("elman", seed=2, batch=3))


def test_a_split_that_does_not_come_apart_is_refused():
    values = stock_layouts.draw("elman", seed=2)
    with pytest.raises(RecurrenceError, match="depends on V other than through h"):
        kernel("elman").gnvp(values, {}, at="h")
    with pytest.raises(RecurrenceError, match="has no signal 'q' between network and loss"):
        kernel("elman").gnvp(values, {}, at=["y", "q"])


def test_without_an_objective_there_are_tangents_alone():
    k = interpreted("x[t]: n\nh[t]: n = tanh(W @ h[t-1] + x[t])\n")
    values = {"x": np.ones((2, 1, 1)), "W": np.eye(1)}
    value, derivative, tangents = k.jvp(values, {"W": np.eye(1)})
    assert value is None and derivative is None and tangents["h"][1, 0, 0] > 0
    for call in (lambda: k.hvp(values, {}), lambda: k.gnvp(values, {}, at="h")):
        with pytest.raises(ValueError, match="has no objective"):
            call()


def test_starting_guesses_are_used_in_products_too():
    two = interpreted("x: scalar = tanh(3*x + b)\nb: scalar\nE = minimize(x**2)\n")
    high, low = (two.jvp({"b": 0.1, "x0": start}, {"b": 1.0}) for start in (1.0, -1.0))
    assert high.tangents["x"] != low.tangents["x"]
    x = np.tanh(3)
    for _ in range(100):
        x = np.tanh(3 * x + 0.1)
    assert high.tangents["x"] == pytest.approx((1 - x**2) / (1 - 3 * (1 - x**2)), rel=1e-9)


def test_inputs_before_the_first_step_are_read_in_products_too():
    k = interpreted("x[t]: n\nh[t]: n = tanh(W @ h[t-1] + V @ x[t-1])\nE = minimize(sum(norm2(h[t]) for t in steps))\n")
    rng = np.random.default_rng(1)
    values = {"W": rng.standard_normal((2, 2)), "V": rng.standard_normal((2, 2)), "x": rng.standard_normal((3, 1, 2)),
              "x[0]": rng.standard_normal((1, 2))}  # fmt: skip
    move = {"V": np.ones((2, 2))}
    plus, minus = (k.value_and_grad({**values, "V": values["V"] + s * move["V"]})[1] for s in (1e-5, -1e-5))
    found = k.hvp(values, move)
    assert largest({label: (plus[label] - minus[label]) / 2e-5 for label in found}, found) < 1e-8
    assert largest(k.hvp({**values, "x[0]": 0 * values["x[0]"]}, move), found) > 1e-2


# Kernels elsewhere.

VALUES = {"x": np.full((3, 2, 2), 0.5), "W": 0.1 * np.eye(3), "U": np.ones((3, 2)), "b": np.zeros(3)}
FRESH = """
import pickle, sys
kernel, values = pickle.load(open(sys.argv[1], 'rb'))
print(float(kernel.hvp(values, {'b': values['b'] + 1})['b'][0]).hex(), 'sympy' in sys.modules)
"""


def test_a_product_is_found_in_the_cache_without_deriving(session_cache, tmp_path):
    seen = []
    k = codegen.compile(ELMAN, dims={"n": 3}, cache=Cache(session_cache), progress=seen.append)
    before = len(seen)
    wanted = k.hvp(VALUES, {"b": np.ones(3)})["b"][0]
    assert seen[before:] == ["deriving", "generating", "compiling"] and k.hvp(VALUES, {})["b"].shape == (3,)
    assert len(seen) == before + 3
    (tmp_path / "packed").write_bytes(pickle.dumps((k, VALUES)))
    done = subprocess.run([sys.executable, "-c", FRESH, tmp_path / "packed"], capture_output=True, text=True,
                          env={"PYTHONPATH": ".", "RETROGRAD_CACHE": str(session_cache), "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert done.stdout.split() == [float(wanted).hex(), "False"], done.stderr


def test_without_a_compiler_products_are_interpreted(monkeypatch, tmp_path):
    wanted = interpreted(ELMAN).hvp(VALUES, {"b": np.ones(3)})
    monkeypatch.setattr(driver, "find_toolchain", lambda: None)
    with pytest.warns(driver.CompilerWarning):
        k = codegen.compile(ELMAN, cache=Cache(tmp_path / "none"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = k.hvp(VALUES, {"b": np.ones(3)})
    assert k.products("hvp").module is None
    assert largest(found, wanted) < 1e-13


def test_a_compiler_that_is_gone_is_said_once(monkeypatch, compiled, session_cache):
    compiled(ELMAN)
    k = codegen.compile(ELMAN, cache=Cache(session_cache))
    monkeypatch.setattr(driver, "find_toolchain", lambda: None)
    with pytest.warns(driver.CompilerWarning) as caught:
        moved = k.jvp(VALUES, {"b": np.ones(3)})
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert moved.derivative == k.jvp(VALUES, {"b": np.ones(3)}).derivative


def test_a_kernel_of_a_program_alone_says_what_it_lacks():
    bare = Kernel(kernel("elman").program, "float64")
    with pytest.raises(ValueError, match="has no second derivatives; make one with codegen.compile"):
        bare.hvp(stock_layouts.draw("elman", seed=2), {})
