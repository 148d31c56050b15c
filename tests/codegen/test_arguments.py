import numpy as np
import pytest

from tests.codegen.kernel_cases import interpreted

TEXT = """
x[t]: m
u: input[n]
V: (k, 2*n)
tau: const = 0.5
h[t]: n = tanh(W @ h[t-1] + U @ x[t] + tau*u)
E = minimize(sum(norm2(h[t]) for t in steps) + norm2(V))
"""
N, M, K, T, B = 3, 2, 4, 5, 2


@pytest.fixture(scope="module")
def kernel():
    return interpreted(TEXT)


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    shapes = {"x": (T, B, M), "u": (B, N), "V": (K, 2 * N), "W": (N, N), "U": (N, M), "h[0]": (B, N)}
    return {label: 0.3 * rng.standard_normal(shape) for label, shape in shapes.items()}


def refused(kernel, values, message, error=ValueError, **options):
    with pytest.raises(error, match=message):
        kernel.forward(values, **options)


def test_sound_arguments_are_taken(kernel, values):
    assert kernel.forward(values)["h"].shape == (T, B, N)
    assert np.isfinite(kernel.value_and_grad({**values, "tau": 0.25, "lengths": [5, 2]})[0])


def test_a_missing_argument_is_named_with_its_shape(kernel, values):
    for label, shape in (("x", r"\(T, B, m\)"), ("u", r"\(B, n\)"), ("W", r"\(n, n\)"), ("V", r"\(k, 2\*n\)")):
        refused(kernel, {k: v for k, v in values.items() if k != label}, f"^{label} is missing: {shape}$")


def test_values_outside_the_steps_and_defaults_may_be_left_out(kernel, values):
    del values["h[0]"]
    zero = kernel.value_and_grad({**values, "h[0]": np.zeros((B, N)), "tau": 0.5})
    left = kernel.value_and_grad(values)
    assert left[0] == zero[0] and left[1].keys() == zero[1].keys()
    assert kernel.forward({**values, "tau": 0.7}).value != left[0]


def test_an_unknown_argument_is_named_with_a_suggestion(kernel, values):
    refused(kernel, {**values, "h[1]": values["h[0]"]}, r"no argument 'h\[1\]'; did you mean 'h\[0\]'\?")
    refused(kernel, {**values, "length": [1, 2]}, "no argument 'length'")
    refused(kernel, {**values, "quux": 1}, "no argument 'quux'; it takes U, V, W, ")
    refused(kernel, {**values, "h": 1}, "no argument 'h'")


@pytest.mark.parametrize(("label", "shape", "message"), [
    ("W", (N, N + 1), r"W has shape \(3, 4\); it must be \(n, n\) with n = 3, from u"),
    ("W", (N,), r"W has shape \(3,\); it must be \(n, n\)$"),
    ("U", (N, M + 1), r"has shape .*; it must be .* with m = "),
    ("V", (K, 2 * N + 1), r"V has shape \(4, 7\); it must be \(k, 2\*n\) with k = 4, m = 2, n = 3"),
    ("u", (B, N + 1), r"has shape .*; it must be .* with n = "),
    ("u", (B + 1, N), r"u has shape \(3, 3\); it must be \(B, n\) with B = 2, from x"),
    ("x", (T, B, M, 1), r"x has shape \(5, 2, 2, 1\); it must be \(T, B, m\)$"),
    ("h[0]", (B, N, 1), r"h\[0\] has shape \(2, 3, 1\); it must be \(B, n\)$"),
    ("tau", (1,), r"tau has shape \(1,\); it must be \(\)$"),
])  # fmt: skip
def test_a_wrong_shape_is_told_in_the_equations_own_names(kernel, values, label, shape, message):
    refused(kernel, {**values, label: np.zeros(shape)}, message)


def test_some_with_a_batch_axis_and_some_without_are_refused(kernel, values):
    refused(kernel, {**values, "x": values["x"][:, 0]}, r"h\[0\] has a batch axis and x has none; give both one, or neither")


@pytest.mark.parametrize(
    "wrong", ["text", np.array([["a"]]), np.zeros((N, N), complex), np.zeros((N, N), bool), None, np.full((N, N), "1")]
)
def test_a_wrong_dtype_is_named(kernel, values, wrong):
    refused(kernel, {**values, "W": wrong}, "^W ", TypeError)


def test_a_ragged_list_is_named(kernel, values):
    refused(kernel, {**values, "W": [[1.0, 2.0], [3.0]]}, "^W is not an array")


def test_whole_numbers_float32_and_lists_are_taken(kernel, values):
    whole = {label: np.round(3 * array) for label, array in values.items()}
    exact = kernel.forward(whole)["h"]
    for turn in (lambda a: a.astype(int), lambda a: a.astype(np.float32), np.ndarray.tolist):
        assert np.array_equal(kernel.forward({label: turn(a) for label, a in whole.items()})["h"], exact)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_parameter_that_is_not_finite_is_named_with_its_place(kernel, values, bad):
    values["U"][1, 0] = bad
    refused(kernel, values, r"^U is not finite at \(1, 0\)$")


def test_a_constant_that_is_not_finite_is_named(kernel, values):
    refused(kernel, {**values, "tau": np.nan}, "^tau is not finite$")


def test_large_finite_parameters_are_taken(kernel, values):
    values["V"][...] = 1e308
    with np.errstate(over="ignore"):
        kernel.forward(values)


def test_contradictory_sizes_name_both(kernel, values):
    refused(kernel, values, r"x has shape .*; it must be \(T, B, m\) with T = 6, from steps=", steps=6)
    refused(kernel, values, r"with B = 3, from batch=", batch=3)
    kernel.forward(values, steps=T, batch=B)


def test_a_size_fixed_when_compiling_is_kept(values):
    from dataclasses import replace

    fixed = replace(interpreted(TEXT), fixed={"n": 4})
    refused(fixed, values, "with n = 4, from what was fixed at compile time")


@pytest.mark.parametrize(("lengths", "message"), [
    ([1, T + 1], "lengths must lie between 0 and the number of steps, 5; it holds 1 to 6"),
    ([-1, 2], "lengths must lie between 0 and .*; it holds -1 to 2"),
    ([1], r"lengths has shape \(1,\)"), ([[1, 2]], r"lengths has shape \(1, 2\)"), ([1.0, 2.0], "dtype float64.* 2 whole numbers"),
    ([True, False], "whole numbers"),
])  # fmt: skip
def test_wrong_lengths_are_named(kernel, values, lengths, message):
    refused(kernel, {**values, "lengths": lengths}, message)


def test_every_length_within_range_is_taken(kernel, values):
    for lengths in ([0, 0], [T, T], [0, T], np.array([2, 3], np.uint8)):
        kernel.value_and_grad({**values, "lengths": lengths})


# sizes that no array says


def test_steps_and_batch_are_asked_for_where_nothing_says_them():
    kernel = interpreted("h[t]: n = tanh(W @ h[t-1] + b)\nE = minimize(norm2(h[T]))\n")
    values = {"W": np.eye(2), "b": np.ones(2)}
    refused(kernel, values, "the number of steps follows from no argument; give steps=")
    run = kernel.forward(values, steps=3, batch=4)
    assert run["h"].shape == (3, 4, 2)
    refused(kernel, values, "not negative", steps=-1)


def test_a_size_that_stands_only_in_a_product_follows():
    kernel = interpreted("x[t]: m\nz[t]: 2*n + m = P @ x[t] + q\nh[t]: n = tanh(z[t][0:n])\nE = minimize(norm2(h[T]))\n")
    values = {"x": np.ones((3, 1, 2)), "P": np.ones((8, 2)), "q": np.zeros(8)}
    assert kernel.forward(values)["h"].shape == (3, 1, 3)
    refused(kernel, {**values, "P": np.ones((9, 2)), "q": np.zeros(9)}, "the size n follows from no argument; fix it with dims=")


def test_a_size_that_no_argument_has_is_asked_for():
    from dataclasses import replace

    kernel = interpreted("x[t]: m\nh[t]: n = tanh(h[t-1] + sum(x[t]))\nE = minimize(sum(norm2(h[t]) for t in steps))\n")
    refused(kernel, {"x": np.ones((2, 1, 3))}, "the size n follows from no argument")
    assert kernel.forward({"x": np.ones((2, 1, 3)), "h[0]": np.zeros((1, 4))})["h"].shape == (2, 1, 4)
    assert replace(kernel, fixed={"n": 2}).forward({"x": np.ones((2, 1, 3))})["h"].shape == (2, 1, 2)


# fixed steps that short sequences lack


def test_a_fixed_step_says_how_many_steps_it_needs():
    kernel = interpreted("x[t]: n\nh[t]: n = tanh(x[t])\nE = minimize(norm2(h[T-2]) + norm2(h[2]))\n")
    x = np.ones((4, 2, 1))
    kernel.forward({"x": x, "lengths": [3, 4]})
    refused(kernel, {"x": x, "lengths": [4, 2]}, r"h\[T-2\] is read in a sequence of 2 steps; it needs at least 3")
    refused(kernel, {"x": x[:1]}, "is read in a sequence of 1 steps; it needs at least")


def test_a_value_outside_the_steps_stands_in_for_a_fixed_step():
    kernel = interpreted("x[t]: n\nh[t]: n = tanh(h[t-1] + x[t])\nE = minimize(norm2(h[T]))\n")
    run = kernel.forward({"x": np.zeros((0, 1, 1)), "h[0]": np.array([[3.0]])})
    assert run.value == 9.0
    assert run.backward()["h[0]"] == pytest.approx(6.0)


def test_dividing_by_the_number_of_steps_needs_a_step():
    kernel = interpreted("x[t]: n\nh[t]: n = tanh(h[t-1] + x[t])\nE = minimize(sum(norm2(h[t]) for t in steps)/T)\n")
    x = np.ones((3, 2, 1))
    kernel.forward({"x": x, "lengths": [3, 1]})
    refused(kernel, {"x": x, "lengths": [3, 0]}, "T.* is read in a sequence of 0 steps; it needs at least 1")


# starting guesses


def test_a_starting_guess_is_taken_for_each_sequence():
    kernel = interpreted("u: input[n]\nx: n = tanh(3*x) + u\nE = minimize(norm2(x))\n")
    u = np.full((2, 1), 0.0)
    low, high = (kernel.forward({"u": u, "x0": np.full((2, 1), s)})["x"] for s in (-1.0, 1.0))
    assert np.all(low < -0.9) and np.all(high > 0.9)
    both = kernel.forward({"u": u, "x0": np.array([[-1.0], [1.0]])})["x"]
    assert both[0] < -0.9 < 0.9 < both[1]


@pytest.mark.parametrize("lag", ["", " + 0.1*x[t-1]"])
def test_a_steady_state_at_every_step_takes_one_guess_for_each_sequence(lag):
    kernel = interpreted(f"u[t]: n\nx[t]: n = tanh(3*x[t]) + u[t]{lag}\nE = minimize(sum(norm2(x[t]) for t in steps))\n")
    u = np.zeros((3, 2, 1))
    x = kernel.forward({"u": u, "x0": np.array([[-1.0], [1.0]]), "lengths": [2, 3]})["x"]
    assert np.all(x[:2, 0] < -0.9) and np.all(x[:, 1] > 0.9) and x[2, 0] == 0
    refused(kernel, {"u": u, "x0": np.ones((3, 2, 1))}, r"x0 has shape \(3, 2, 1\); it must be \(B, n\)")
