"""Fixed points: convergence over random networks, honesty about failures, rows that do not touch each other."""

import pickle

import mpmath
import numpy as np
import pytest

from codegen.linear import linearise, solve_affine
from codegen.steady import ConvergenceError, estimate_stability, polish, solve_fixed_point


def rowwise(weights, x):
    """W_b x_b, each row summed on its own, so that no row depends on the shape of the batch."""
    return (weights * x[:, None, :]).sum(axis=-1)


def draw_networks(rng, count, size, radius):
    weights = rng.standard_normal((count, size, size))
    weights *= radius / np.abs(np.linalg.eigvals(weights)).max(axis=1)[:, None, None]
    return weights, 0.5 * rng.standard_normal((count, size))


def network(weights, bias, function=np.tanh):
    return lambda x: function((weights @ x[:, :, None])[:, :, 0] + bias)


def solve_leniently(apply, start, **options):
    try:
        return solve_fixed_point(apply, start, **options), ()
    except ConvergenceError as error:
        return error.partial, error.rows


def errors_of_gradient(weights, x, direction, gradient):
    """Relative error of s = D (W' s + a) against a dense solve."""
    slope = 1 - x**2
    matrices = np.eye(x.shape[1]) - slope[:, :, None] * weights.transpose(0, 2, 1)
    exact = np.linalg.solve(matrices, (slope * direction)[:, :, None])[:, :, 0]
    return np.abs(gradient - exact).max(axis=1) / np.abs(exact).max(axis=1)


def adjoint(weights, x, direction):
    return lambda s: (1 - x**2) * (direction + (weights.transpose(0, 2, 1) @ s[:, :, None])[:, :, 0])


def test_thousand_contractions_all_converge():
    rng = np.random.default_rng(1)
    for size in range(8, 21):
        weights = rng.standard_normal((77, size, size))
        weights *= rng.uniform(0.1, 0.99, (77, 1, 1)) / np.linalg.norm(weights, 2, axis=(1, 2))[:, None, None]
        solution = solve_fixed_point(network(weights, rng.standard_normal((77, size))), np.zeros((77, size)))
        assert np.all(solution.residual <= 1e-12)
        assert np.all(solution.iterations < 200)


def test_thousand_networks_to_radius_one_and_a_half():
    rng = np.random.default_rng(2)
    failed = total = 0
    for size in range(8, 21):
        weights, bias = draw_networks(rng, 77, size, 1.5)
        weights *= rng.uniform(0.1, 1, (77, 1, 1))
        apply = network(weights, bias)
        solution, rows = solve_leniently(apply, np.zeros((77, size)))
        failed, total = failed + len(rows), total + 77
        good = np.setdiff1d(np.arange(77), rows)
        x = solution.x[good]
        actual = np.abs(apply(solution.x) - solution.x).max(axis=1)[good] / (1 + np.abs(x).max(axis=1))
        assert np.all(actual <= 1e-12)
        np.testing.assert_allclose(solution.residual[good], actual, rtol=0, atol=1e-15)
        direction = rng.standard_normal(x.shape)
        solved = solve_affine(adjoint(weights[good], x, direction), x.shape, float)
        assert np.all(errors_of_gradient(weights[good], x, direction, solved.x) <= 1e-7)
        # The solution's own error reaches the gradient through the condition.
        assert np.all(solved.condition * solution.residual[good] <= 1e-7)
    assert failed <= 0.05 * total, f"{failed} of {total}"


def test_gradient_comparison_sees_a_wrong_gradient():
    rng = np.random.default_rng(3)
    weights, bias = draw_networks(rng, 10, 8, 0.9)
    x = solve_fixed_point(network(weights, bias), np.zeros((10, 8))).x
    direction = rng.standard_normal((10, 8))
    untransposed = solve_affine(adjoint(weights.transpose(0, 2, 1), x, direction), (10, 8), float).x
    assert np.all(errors_of_gradient(weights, x, direction, untransposed) > 1e-3)


def test_gradient_agrees_with_differences_of_the_solution():
    rng = np.random.default_rng(4)
    weights, bias = draw_networks(rng, 5, 9, 0.8)
    direction = rng.standard_normal((5, 9))
    x = solve_fixed_point(network(weights, bias), np.zeros((5, 9))).x
    s = solve_affine(adjoint(weights, x, direction), (5, 9), float).x
    push, step = rng.standard_normal((5, 9)), 1e-5
    ends = [solve_fixed_point(network(weights, bias + sign * step * push), x).x for sign in (1, -1)]
    difference = (direction * (ends[0] - ends[1])).sum(axis=1) / (2 * step)
    np.testing.assert_allclose((s * push).sum(axis=1), difference, rtol=1e-7)


@pytest.mark.parametrize("shift", [1.0, -1e-3, 1e8])
def test_no_fixed_point_is_an_error(shift):
    with pytest.raises(ConvergenceError) as caught:
        solve_fixed_point(lambda x: x + shift, np.zeros((3, 4)), names=("h", "g"))
    assert caught.value.rows == (0, 1, 2)
    assert "h, g" in str(caught.value) and "sequences 0, 1, 2" in str(caught.value)
    assert np.all(caught.value.residual > 0) and np.all(caught.value.iterations > 0)
    np.testing.assert_allclose(caught.value.spectral_radius, 1, rtol=1e-6)


def test_running_off_to_infinity_is_not_converging():
    """The residual falls below 1e-12 of x, and still is a tenth of what it was at the start."""
    with pytest.raises(ConvergenceError, match="grow without bound|stopped falling"):
        solve_fixed_point(lambda x: x + (1 + np.abs(x)) ** -0.1, np.zeros((2, 3)))


def test_homotopy_solves_what_newton_cannot():
    weights, bias = draw_networks(np.random.default_rng(20), 60, 10, 3.0)
    solution, rows = solve_leniently(network(weights, bias), np.zeros((60, 10)))
    assert rows == () and np.all(solution.residual <= 1e-12)


def test_no_fixed_point_for_a_curved_map():
    with pytest.raises(ConvergenceError, match="residual has stopped falling"):
        solve_fixed_point(lambda x: x + 1 + x**2, np.ones((2, 1)))


def test_steps_that_overflow_are_taken_back():
    solution = solve_fixed_point(lambda x: np.exp(x) - 2, np.array([[5.0], [-800.0], [30.0]]))
    np.testing.assert_allclose(np.exp(solution.x) - 2, solution.x, rtol=1e-12)


def test_a_map_with_holes_says_so():
    with pytest.raises(ConvergenceError, match="NaN or infinite nearby") as caught:
        solve_fixed_point(lambda x: np.where(x == 0, 1, np.nan), np.zeros((2, 3)))
    assert np.all(caught.value.partial.x == 0) and np.all(caught.value.residual == 1)


def test_max_iterations_are_named():
    rng = np.random.default_rng(5)
    weights, bias = draw_networks(rng, 2, 12, 0.9)
    with pytest.raises(ConvergenceError, match="max_iterations=4") as caught:
        solve_fixed_point(network(weights, bias), np.zeros((2, 12)), max_iterations=4)
    assert np.all(caught.value.iterations == 4)


def test_one_bad_row_leaves_the_others_alone():
    rng = np.random.default_rng(6)
    weights, bias = draw_networks(rng, 6, 8, 0.9)
    apply = network(weights, bias)
    clean = solve_fixed_point(apply, np.zeros((6, 8)))

    def spoilt(x):
        value = apply(x)
        value[2] = x[2] + 1
        value[4] = np.nan
        return value

    with pytest.raises(ConvergenceError) as caught:
        solve_fixed_point(spoilt, np.zeros((6, 8)))
    assert caught.value.rows == (2, 4)
    assert "sequence 4: not finite" in str(caught.value)
    assert caught.value.partial.iterations[4] == 0
    others = [0, 1, 3, 5]
    assert np.array_equal(caught.value.partial.x[others], clean.x[others])
    assert np.all(caught.value.partial.residual[others] <= 1e-12)


def test_errors_survive_pickling():
    with pytest.raises(ConvergenceError) as caught:
        solve_fixed_point(lambda x: x + 1, np.zeros((1, 2)))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.rows == (0,) and again.partial.x.shape == (1, 2)


def split_results(apply_of, count, size):
    """The solution of all rows at once, and put together from groups of several sizes."""
    whole = solve_leniently(apply_of(slice(None)), np.zeros((count, size)))[0]
    parts = [slice(0, 1), slice(1, 4), slice(4, 11), slice(11, count)]
    pieces = [solve_leniently(apply_of(p), np.zeros((len(range(count)[p]), size)))[0] for p in parts]
    return whole, pieces


@pytest.mark.parametrize("radius", [0.9, 1.5])
def test_batch_split_is_exact_for_a_rowwise_map(radius):
    weights, bias = draw_networks(np.random.default_rng(7), 40, 10, radius)
    whole, pieces = split_results(lambda p: lambda x: np.tanh(rowwise(weights[p], x) + bias[p]), 40, 10)
    for name in ("x", "iterations", "residual"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(piece, name) for piece in pieces])), name


def test_batch_split_comparison_sees_a_map_that_mixes_rows():
    weights, bias = draw_networks(np.random.default_rng(7), 40, 10, 0.9)

    def apply_of(p):
        return lambda x: np.tanh(rowwise(weights[p], x) + bias[p] + 1e-9 * x.sum())

    whole, pieces = split_results(apply_of, 40, 10)
    assert not np.array_equal(whole.x, np.concatenate([piece.x for piece in pieces]))


def test_saturated_units_are_exact():
    bias = np.array([[50.0, -50.0, 0.1]])
    weights = np.array([[[0.5, 0.2, 0.1], [0.3, 0.1, 0.2], [0.2, 0.2, 0.3]]])
    x = solve_fixed_point(network(weights, bias), np.zeros((1, 3))).x
    assert x[0, 0] == 1 and x[0, 1] == -1
    s = solve_affine(adjoint(weights, x, np.ones((1, 3))), (1, 3), float).x
    assert s[0, 0] == 0 and s[0, 1] == 0 and s[0, 2] != 0
    reaction = (1 - x[0, 2] ** 2) / (1 - (1 - x[0, 2] ** 2) * 0.3)
    np.testing.assert_allclose(s[0, 2], reaction, rtol=1e-14)


def test_rectified_units_are_exact():
    rng = np.random.default_rng(8)
    weights, bias = draw_networks(rng, 50, 12, 0.9)

    def rectify(z):
        return np.maximum(z, 0)

    x = solve_fixed_point(network(weights, bias, rectify), np.zeros((50, 12))).x
    on = x > 0
    assert 0.2 < on.mean() < 0.8
    masked = np.eye(12) - on[:, :, None] * weights
    exact = np.linalg.solve(masked, (on * bias)[:, :, None])[:, :, 0]
    np.testing.assert_allclose(x, exact, rtol=0, atol=1e-11 * (1 + np.abs(exact).max()))
    # The unit is off because its input is, not because its value is small.
    assert np.array_equal(on, (weights @ x[:, :, None])[:, :, 0] + bias > 0)


def test_float32_is_kept():
    weights, bias = draw_networks(np.random.default_rng(9), 60, 15, 1.3)
    weights, bias = weights.astype(np.float32), bias.astype(np.float32)
    seen = set()

    def apply(x):
        seen.add(x.dtype)
        return network(weights, bias)(x)

    solution, rows = solve_leniently(apply, np.zeros((60, 15), np.float32))
    assert solution.x.dtype == np.float32 and seen == {np.dtype(np.float32)} and len(rows) <= 3
    good = np.setdiff1d(np.arange(60), rows)
    assert np.all(solution.residual[good] <= 1e-5) and np.median(solution.residual) < 5e-7


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e6])
def test_small_and_large_units_are_solved_to_their_own_rounding(scale):
    rng = np.random.default_rng(10)
    weights, bias = draw_networks(rng, 8, 8, 0.8)
    plain = solve_fixed_point(network(weights, bias), np.zeros((8, 8))).x
    scaled = solve_fixed_point(lambda x: scale * network(weights, bias)(x / scale), np.zeros((8, 8))).x / scale
    np.testing.assert_allclose(scaled, plain, rtol=0, atol=1e-10)


def test_unstable_fixed_points_are_found_and_reported():
    solution = solve_fixed_point(lambda x: -3 * x + 4, np.zeros((2, 5)), estimate=True)
    np.testing.assert_allclose(solution.x, 1, rtol=1e-14)
    np.testing.assert_allclose(solution.spectral_radius, 3, rtol=1e-6)
    np.testing.assert_allclose(solution.condition, 1, rtol=1e-6)


def test_estimates_agree_with_the_jacobian_and_are_optional():
    weights, bias = draw_networks(np.random.default_rng(11), 4, 10, 0.9)
    apply = network(weights, bias)
    solution = solve_fixed_point(apply, np.zeros((4, 10)))
    assert np.all(np.isnan(solution.spectral_radius)) and np.all(np.isnan(solution.condition))
    radius, condition = estimate_stability(apply, solution.x)
    exact = (1 - solution.x**2)[:, :, None] * weights
    np.testing.assert_allclose(radius, np.abs(np.linalg.eigvals(exact)).max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(condition, [np.linalg.cond(np.eye(10) - j, 1) for j in exact], rtol=1e-5)


def test_power_iterations_estimate_a_large_radius():
    rng = np.random.default_rng(12)
    root = rng.standard_normal((1, 200, 200))
    weights = root @ root.transpose(0, 2, 1)
    weights *= 0.7 / np.linalg.norm(weights[0], 2)
    radius, condition = estimate_stability(network(weights, 0, lambda z: z), np.zeros((1, 200)))
    np.testing.assert_allclose(radius, 0.7, rtol=0.02)
    assert np.isnan(condition[0])


def test_newton_by_krylov_above_the_limit():
    rng = np.random.default_rng(13)
    weights, bias = draw_networks(rng, 3, 60, 1.1)
    start = np.zeros((3, 60))
    dense, missed = solve_leniently(network(weights, bias), start)
    krylov, lost = solve_leniently(network(-4 * np.abs(weights) / 5, bias), start, newton_limit=10)
    assert missed == () and lost == ()
    assert np.all(dense.residual <= 1e-12) and np.all(krylov.residual <= 1e-12)


def test_large_network():
    rng = np.random.default_rng(14)
    weights = 0.9 * rng.standard_normal((600, 600)) / np.sqrt(600)
    solution = solve_fixed_point(lambda x: np.tanh(x @ weights.T + 0.3), np.zeros((2, 600)))
    assert np.all(solution.residual <= 1e-12)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_empty_batches_and_rows(shape):
    solution = solve_fixed_point(lambda x: 0.5 * x, np.zeros(shape), estimate=True)
    assert solution.x.shape == shape and solution.residual.shape == shape[:1]


def test_arguments_may_be_overwritten_and_results_reused():
    """A compiled map may work in place and hand out the same buffer at every call."""
    weights, bias = draw_networks(np.random.default_rng(15), 6, 8, 1.4)
    buffer = np.empty((6, 8))

    def apply(x):
        buffer[:] = network(weights, bias)(x)
        x[:] = np.nan
        return buffer

    expected = solve_fixed_point(network(weights, bias), np.zeros((6, 8))).x
    assert np.array_equal(solve_fixed_point(apply, np.zeros((6, 8))).x, expected)


@pytest.mark.parametrize("start", [np.zeros(3), np.zeros((2, 3), int), np.zeros((2, 3), complex)])
def test_start_of_the_wrong_kind_is_refused(start):
    with pytest.raises(ValueError, match="float32 or float64"):
        solve_fixed_point(lambda x: x, start)


def test_map_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\).*\(2, 3\)"):
        solve_fixed_point(lambda x: x[:, 0], np.zeros((2, 3)))


def test_complex_step_through_polish_is_the_adjoint():
    rng = np.random.default_rng(16)
    weights, bias = draw_networks(rng, 6, 9, 0.9)
    x = solve_fixed_point(network(weights, bias), np.zeros((6, 9))).x
    direction, push = rng.standard_normal((6, 9)), rng.standard_normal((6, 9))
    s = solve_affine(adjoint(weights, x, direction), (6, 9), float).x
    polished = polish(network(weights, bias + 1e-30j * push), x.astype(complex))
    derivative = (direction * polished.imag).sum(axis=1) / 1e-30
    np.testing.assert_allclose(derivative, (s * push).sum(axis=1), rtol=1e-12)
    # One application only carries the derivative through one iteration.
    unpolished = network(weights, bias + 1e-30j * push)(x.astype(complex)).imag / 1e-30
    assert np.abs((direction * unpolished).sum(axis=1) - (s * push).sum(axis=1)).max() > 1e-2


def test_polish_in_fifty_digits():
    weights, bias = draw_networks(np.random.default_rng(17), 2, 4, 0.9)
    x = solve_fixed_point(network(weights, bias), np.zeros((2, 4))).x
    tanh = np.frompyfunc(mpmath.tanh, 1, 1)
    with mpmath.workdps(55):
        exact = np.vectorize(mpmath.mpf, otypes=[object])
        apply = network(exact(weights), exact(bias), tanh)
        polished = polish(apply, exact(x))
        assert max(abs(v) for v in (apply(polished) - polished).flat) < mpmath.mpf(10) ** -50
        assert max(abs(v) for v in (apply(exact(x)) - exact(x)).flat) > mpmath.mpf(10) ** -20
    np.testing.assert_allclose(polished.astype(float), x, rtol=0, atol=1e-13)


def test_polish_refuses_a_point_that_is_none():
    with pytest.raises(ConvergenceError, match="do not shrink"):
        polish(lambda x: x**2 + 1 + x, np.full((1, 1), 0.3 + 0j))
    with pytest.raises(ConvergenceError, match="singular"):
        polish(lambda x: x + 0.0, np.ones((1, 2), complex))


@pytest.mark.parametrize("takes_complex", [True, False])
def test_linearise(takes_complex):
    weights, bias = draw_networks(np.random.default_rng(18), 5, 7, 1.1)

    def apply(x):
        if not takes_complex and np.iscomplexobj(x):
            raise TypeError("float64 only")
        return network(weights, bias)(x)

    x = np.random.default_rng(19).standard_normal((5, 7))
    exact = (1 - apply(x) ** 2)[:, :, None] * weights
    error = np.abs(linearise(apply, x) - exact).max()
    assert error < (1e-14 if takes_complex else 1e-6)
    assert takes_complex or error > 1e-14


def test_linearise_does_not_trust_a_modulus():
    x = np.array([[0.3, -0.8]])
    np.testing.assert_allclose(linearise(np.abs, x)[0], np.diag([1.0, -1.0]), atol=1e-6)
    # Complex, and wrong by half along the imaginary axis.
    np.testing.assert_allclose(linearise(lambda z: z * np.abs(z), x)[0], np.diag([0.6, 1.6]), atol=1e-6)
