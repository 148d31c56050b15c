"""Steady states in compiled code: solutions, gradients and errors of the solvers in NumPy, rows that do not know of each other."""

import numpy as np
import pytest

from codegen import ConvergenceError
from codegen.compiled import Compiled
from tests.codegen.kernel_cases import interpreted, same, worst

NETWORK = "u: input[m]\nx: n = {f}(W @ x + U @ u + b)\nE = minimize(norm2(x - 1))\n"
TANH, RELU = NETWORK.format(f="tanh"), NETWORK.format(f="relu")
PAIR = "u: input[m]\nx: n = tanh(Q @ y + U @ u)\ny: k = sigmoid(V @ x) + P @ y\nE = minimize(norm2(x) + norm2(y))\n"
STEPS = """
x[t]: m
h[t]: n = tanh(A @ h[t-1] + s[t])
s[t]: n = tanh(W @ s[t] + U @ x[t] + h[t-1])
E = minimize(sum(norm2(h[t]) for t in steps))
"""
SWEEP = "x[t]: m\ns[t]: n = tanh(W @ s[t] + U @ x[t])\nE = minimize(sum(norm2(s[t]) for t in steps))\n"
SHARED = "u: input[m]\nW: (n, n)\nz: n = tanh(W @ z + b)\nx: n = tanh(U @ u + z)\nE = minimize(norm2(x))\n"
SIZES = {"W": "nn", "A": "nn", "P": "kk", "U": "nm", "V": "kn", "Q": "nk", "b": "n", "u": "Bm", "x": "TBm"}


def drawn(text, seed=0, radius=0.9, dtype="float64", **sizes):
    """Values of everything that a text names; the norm of square matrices is `radius`."""
    rng, sizes = np.random.default_rng(seed), {"n": 7, "m": 3, "k": 4, "B": 9, "T": 5, **sizes}
    values = {}
    for name, axes in SIZES.items():
        if f"{name} @" in text or f"@ {name}" in text or f"+ {name})" in text:
            array = rng.standard_normal([sizes[axis] for axis in axes])
            square = len(axes) == 2 and axes[0] == axes[1]
            values[name] = (radius * array / np.linalg.norm(array, 2) if square else array / 2).astype(dtype)
    return values if "x[t]: m" in text else {name: array for name, array in values.items() if name != "x"}


@pytest.fixture
def solved(monkeypatch):
    """For every call with steady states, whether compiled code found them all."""
    found, original = [], Compiled._call

    def call(self, number, split, wanted, t0, t1, report=None):
        done = original(self, number, split, wanted, t0, t1, report)
        if report is not None and len(report):
            found.append(done)
        return done

    monkeypatch.setattr(Compiled, "_call", call)
    return found


@pytest.mark.parametrize("text", [TANH, RELU, PAIR, STEPS, SWEEP, SHARED])
@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-11), ("float32", 2e-4)])
def test_values_and_gradients_are_those_of_the_solvers_in_numpy(compiled, solved, text, dtype, allowed):
    for seed in range(3):
        values = drawn(text, seed, dtype=dtype)
        (value, grads), (wanted, others) = compiled(text, dtype).value_and_grad(values), interpreted(text).value_and_grad(
            {name: array.astype(float) for name, array in values.items()})  # fmt: skip
        assert abs(value - wanted) < allowed * abs(wanted)
        assert max(worst(grads[name], others[name]) for name in others) < allowed
    assert solved and all(solved)


def test_a_wrong_image_is_found(compiled):
    values = drawn(TANH)
    wanted = interpreted(TANH).value_and_grad(values)[1]
    found = compiled(TANH.replace("b)", "1.001*b)\nb: n")).value_and_grad(values)[1]
    assert worst(found["W"], wanted["W"]) > 1e-5


@pytest.mark.parametrize("text", [TANH, PAIR, STEPS, SWEEP, SHARED])
def test_threads_and_neighbours_change_no_bit(compiled, text):
    kernel, values = compiled(text), drawn(text, B=11)
    whole = kernel.using(threads=1).forward(values)
    for threads in (2, 3, 5):
        other = kernel.using(threads=threads).forward(values)
        assert all(np.array_equal(other[name], whole[name]) for name in kernel.program.results["forward"])
        assert same(other.backward(), whole.backward())
    batched = {"u", "x"} & set(values)
    few = {name: (array[:, 3:6] if name == "x" else array[3:6]) if name in batched else array for name, array in values.items()}
    part = kernel.forward(few)
    for name in ("x", "y", "h", "s"):
        if name in kernel.program.results["forward"] and name not in values:
            found, wanted = part[name], whole[name]
            assert np.array_equal(found, wanted[:, 3:6] if found.ndim == 3 else wanted[3:6]), name


def test_solutions_tell_of_every_row(compiled):
    run = compiled(TANH).forward(drawn(TANH))
    found = run.solutions["x"]
    assert found.x.shape == (9, 7) and np.array_equal(found.x, run["x"])
    assert (found.iterations > 1).all() and (found.residual < 1e-13).all() and np.isnan(found.condition).all()


def test_starting_guesses_are_used(compiled):
    kernel, values = compiled(TANH), drawn(TANH)
    x = kernel.forward(values)["x"]
    again = kernel.forward({**values, "x0": x})
    assert again.solutions["x"].iterations.max() <= 2 and np.allclose(again["x"], x, rtol=0, atol=1e-14)


def test_units_that_are_off_are_zero_itself(compiled):
    x = compiled(RELU).forward(drawn(RELU, 4))["x"]
    assert (x == 0).any() and not ((x != 0) & (np.abs(x) < 1e-9)).any()


def test_rows_that_this_search_does_not_solve_are_left_to_newton(compiled, solved):
    values = drawn(TANH, 1, radius=8.0, n=24, B=6)
    x = compiled(TANH).forward(values)["x"]
    assert not solved[0]
    assert np.abs(x - np.tanh(x @ values["W"].T + values["u"] @ values["U"].T + values["b"])).max() < 1e-12


def test_sequences_without_a_steady_state_are_named(compiled):
    text = "a: input\nx: scalar = x**2 + a\nE = minimize(norm2(x))\n"
    with pytest.raises(ConvergenceError, match="no steady state found for x in 1 of 2 sequences") as problem:
        compiled(text).forward({"a": np.array([0.1, 1.0])})
    assert problem.value.rows == (1,)


@pytest.mark.parametrize("a", [0.0, 1.0])
def test_singular_systems_are_refused_even_where_they_have_solutions(compiled, a):
    kernel = compiled("a: input\nx: scalar = x + a\nE = minimize(norm2(x))\n")
    with pytest.raises(ConvergenceError, match="singular"):
        kernel.forward({"a": np.array([a])})


def test_singular_adjoints_are_refused(compiled):
    text = "a: input\nx: scalar = x - (x - 1)**2 + a\nE = minimize(x)\n"
    run = compiled(text).forward({"a": np.array([0.0]), "x0": np.array([1.0])})
    with pytest.raises(ConvergenceError, match="singular"):
        run.backward()


@pytest.mark.parametrize("text", [STEPS, SWEEP])
def test_sequences_of_any_length_have_steady_states_at_their_own_steps(compiled, solved, text):
    values = drawn(text) | {"lengths": np.array([5, 0, 3, 5, 1, 2, 4, 4, 5])}
    (value, grads), (wanted, others) = (kernel.value_and_grad(values) for kernel in (compiled(text).using(threads=2), interpreted(text)))
    assert abs(value - wanted) < 1e-11 * abs(wanted) and max(worst(grads[name], others[name]) for name in others) < 1e-11
    assert solved and all(solved)


@pytest.mark.parametrize("text", ["a[t]: scalar\nx[t]: scalar = x[t]**2 + a[t]\nE = minimize(sum(x[t] for t in steps))\n",
                                  "a[t]: scalar\nx[t]: scalar = x[t]**2 + a[t] + 0*h[t-1]\nh[t]: scalar = x[t] + 0*h[t-1]\n"
                                  "E = minimize(sum(h[t] for t in steps))\n"])  # fmt: skip
def test_a_guess_is_where_every_step_begins(compiled, text):
    a = np.full((4, 3), 0.1875)  # x = 1/4, which attracts, or 3/4, which does not
    for guess, wanted in ((0.0, 0.25), (0.75, 0.75)):
        run = compiled(text).forward({"a": a, "x0": np.full(3, guess)})
        assert np.allclose(run["x"], wanted, rtol=0, atol=1e-12), guess
    assert np.allclose(compiled(text).forward({"a": a})["x"], 0.25, rtol=0, atol=1e-12)


def test_a_step_that_this_search_does_not_solve_is_left_to_newton(compiled, solved):
    values = drawn(STEPS, 1, radius=0.9, n=24, B=6)
    values["W"] = values["W"] * 8
    run = compiled(STEPS).forward(values)
    assert not solved[0]
    h = np.concatenate([np.zeros((1, 6, 24)), run["h"]])[:-1]
    image = np.tanh(run["s"] @ values["W"].T + values["x"] @ values["U"].T + h)
    assert np.abs(run["s"] - image).max() < 1e-12


def test_solutions_of_a_loop_are_those_of_the_last_steps(compiled):
    lengths = np.array([5, 2, 0])
    run = compiled(STEPS).forward(drawn(STEPS, B=3) | {"lengths": lengths})
    found = run.solutions["s"]
    assert np.array_equal(found.x[:2], run["s"][lengths[:2] - 1, [0, 1]])
    assert (found.iterations[:2] > 3).all() and found.residual.max() < 1e-12
