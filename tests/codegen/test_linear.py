"""Affine systems: dense and Krylov solves against NumPy, singular systems, scales, complex numbers."""

import numpy as np
import pytest

from codegen.krylov import solve_krylov
from codegen.linear import ConvergenceError, solve_affine


def affine(matrices, offset):
    return lambda z: (matrices @ z[:, :, None])[:, :, 0] + offset


def draw_system(rng, count, size, radius=0.9):
    matrices = rng.standard_normal((count, size, size))
    # Large random matrices have that radius to a few percent; small ones have to be measured.
    measured = np.abs(np.linalg.eigvals(matrices)).max(axis=1)[:, None, None] if size <= 100 else np.sqrt(size)
    matrices *= radius / measured
    return matrices, rng.standard_normal((count, size))


def solve_exactly(matrices, offset):
    return np.linalg.solve(np.eye(offset.shape[1]) - matrices, offset[:, :, None])[:, :, 0]


@pytest.mark.parametrize("size", [1, 2, 8, 20, 100])
@pytest.mark.parametrize("radius", [0.0, 0.9, 5.0])
def test_dense_systems(size, radius):
    matrices, offset = draw_system(np.random.default_rng(size), 7, size, radius)
    solution = solve_affine(affine(matrices, offset), offset.shape, float)
    exact = solve_exactly(matrices, offset)
    np.testing.assert_allclose(solution.condition, [np.linalg.cond(np.eye(size) - m, 1) for m in matrices], rtol=1e-9)
    error = np.abs(solution.x - exact).max(axis=1) / np.abs(exact).max(axis=1)
    assert np.all(error <= 1e-14 * solution.condition)
    assert np.all(solution.residual <= 1e-13)


def test_comparison_sees_a_wrong_system():
    matrices, offset = draw_system(np.random.default_rng(0), 7, 8)
    solution = solve_affine(affine(matrices.transpose(0, 2, 1), offset), offset.shape, float)
    assert np.abs(solution.x - solve_exactly(matrices, offset)).max() > 1e-2


@pytest.mark.parametrize("size", [300, 600])
def test_krylov_systems(size):
    matrices, offset = draw_system(np.random.default_rng(size), 2, size, 0.8)
    calls = []

    def apply(z):
        calls.append(1)
        return affine(matrices, offset)(z)

    solution = solve_affine(apply, offset.shape, float)
    assert len(calls) < size and np.all(np.isnan(solution.condition))
    assert np.all(solution.residual <= 1e-13)
    exact = solve_exactly(matrices, offset)
    np.testing.assert_allclose(solution.x, exact, rtol=0, atol=1e-9 * np.abs(exact).max())


def test_hard_large_system_falls_back_to_the_inverse():
    """A cyclic shift defeats restarted GMRES until the space is full."""
    shift = np.roll(np.eye(300), 1, axis=0)[None]
    offset = np.random.default_rng(1).standard_normal((1, 300))
    solution = solve_affine(affine(2 * shift, offset), (1, 300), float, dense_limit=10)
    np.testing.assert_allclose(solution.x, solve_exactly(2 * shift, offset), rtol=1e-11)


@pytest.mark.parametrize("size", [5, 300])
def test_singular_systems_are_named(size):
    rng = np.random.default_rng(2)
    matrices, offset = draw_system(rng, 4, size)
    values, vectors = np.linalg.eigh(matrices[2] + matrices[2].T)
    values[0] = 1
    matrices[2] = vectors @ np.diag(values) @ vectors.T
    with pytest.raises(ConvergenceError, match=r"the Jacobian D\^-1 - W is singular here") as caught:
        solve_affine(affine(matrices, offset), (4, size), float, names="x_bar")
    assert caught.value.rows == (2,) and "x_bar" in str(caught.value) and "sequence 2" in str(caught.value)
    others = [0, 1, 3]
    exact = solve_exactly(matrices[others], offset[others])
    np.testing.assert_allclose(caught.value.partial.x[others], exact, rtol=0, atol=1e-9 * np.abs(exact).max())


def test_nearly_singular_systems_still_count():
    matrices = np.diag([1 - 1e-10, 0.5])[None]
    solution = solve_affine(affine(matrices, np.ones((1, 2))), (1, 2), float)
    np.testing.assert_allclose(solution.x, 1 / (1 - np.diag(matrices[0]))[None], rtol=1e-5)
    assert solution.condition[0] > 1e9


def test_refinement_brings_the_residual_to_rounding():
    rng = np.random.default_rng(11)
    left, right = (np.linalg.qr(rng.standard_normal((12, 12)))[0] for _ in range(2))
    matrices = (np.eye(12) - left @ np.diag(np.logspace(0, -9, 12)) @ right)[None]
    # An offset whose solution is small: there, the inverse alone leaves condition times rounding.
    offset = ((np.eye(12) - matrices) @ rng.standard_normal((1, 12, 1)))[:, :, 0]
    solution = solve_affine(affine(matrices, offset), (1, 12), float)
    assert solution.condition[0] > 1e8 and solution.residual[0] <= 2e-15


def test_badly_scaled_rows_are_not_singular():
    matrices = np.array([[[0, 1e10], [0, 0.0]]])
    solution = solve_affine(affine(matrices, np.array([[1.0, 1e-10]])), (1, 2), float)
    np.testing.assert_allclose(solution.x, [[2, 1e-10]], rtol=1e-14)


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1e12, 1e200])
def test_offsets_of_any_size_do_not_drown_the_matrix(scale):
    matrices, offset = draw_system(np.random.default_rng(3), 5, 8)
    solution = solve_affine(affine(matrices, scale * offset), offset.shape, float)
    np.testing.assert_allclose(solution.x / scale, solve_exactly(matrices, offset), rtol=1e-11)


def test_zero_offset_gives_zero():
    matrices, offset = draw_system(np.random.default_rng(4), 3, 6)
    assert np.all(solve_affine(affine(matrices, 0 * offset), offset.shape, float).x == 0)


def test_float32():
    matrices, offset = draw_system(np.random.default_rng(5), 5, 8, 0.5)
    matrices, offset = matrices.astype(np.float32), offset.astype(np.float32)
    solution = solve_affine(affine(matrices, offset), offset.shape, np.float32)
    assert solution.x.dtype == np.float32
    exact = solve_exactly(matrices.astype(float), offset.astype(float))
    np.testing.assert_allclose(solution.x, exact, rtol=0, atol=3e-6 * np.abs(exact).max())


@pytest.mark.parametrize("size", [6, 270])
def test_complex_step_through_an_affine_system(size):
    """The imaginary part, 1e-30 of the real one, is as exact as the real part."""
    rng = np.random.default_rng(6)
    matrices, offset = draw_system(rng, 2, size, 0.8)
    push, force = rng.standard_normal(matrices.shape) / size, rng.standard_normal(offset.shape)
    solution = solve_affine(affine(matrices + 1e-30j * push, offset + 1e-30j * force), offset.shape, complex)
    z = solve_exactly(matrices, offset)
    tangent = solve_exactly(matrices, (push @ z[:, :, None])[:, :, 0] + force)
    np.testing.assert_allclose(solution.x.real, z, rtol=0, atol=1e-12 * np.abs(z).max())
    np.testing.assert_allclose(solution.x.imag / 1e-30, tangent, rtol=0, atol=1e-11 * np.abs(tangent).max())


def test_a_map_that_is_not_affine_is_refused():
    with pytest.raises(ConvergenceError, match="not affine"):
        solve_affine(lambda z: np.tanh(0.5 * z) + 1, (2, 3), float)


def test_values_that_are_not_finite_are_named():
    matrices, offset = draw_system(np.random.default_rng(7), 3, 4)
    offset[1, 2] = np.nan
    with pytest.raises(ConvergenceError, match="not finite") as caught:
        solve_affine(affine(matrices, offset), (3, 4), float)
    assert caught.value.rows == (1,)
    good = [0, 2]
    np.testing.assert_allclose(caught.value.partial.x[good], solve_exactly(matrices[good], offset[good]), rtol=1e-10)


@pytest.mark.parametrize("dense_limit", [256, 4])
def test_batch_split_is_exact(dense_limit):
    matrices, offset = draw_system(np.random.default_rng(8), 9, 12)

    def solve(p):
        def apply(z):
            return (matrices[p] * z[:, None, :]).sum(axis=-1) + offset[p]
        return solve_affine(apply, offset[p].shape, float, dense_limit=dense_limit).x

    pieces = [solve(p) for p in (slice(0, 1), slice(1, 4), slice(4, 9))]
    assert np.array_equal(solve(slice(None)), np.concatenate(pieces))


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 400)])
def test_empty(shape):
    assert solve_affine(lambda z: 0.5 * z, shape, float).x.shape == shape


def test_krylov_rows_of_different_difficulty():
    rng = np.random.default_rng(9)
    matrices = np.eye(40) - np.stack([0 * np.eye(40), *draw_system(rng, 2, 40, 0.7)[0]])
    right = rng.standard_normal((3, 40))
    right[1] = 0
    y, used = solve_krylov(lambda v: (matrices @ v[:, :, None])[:, :, 0], right, 1e-12)
    np.testing.assert_allclose((matrices @ y[:, :, None])[:, :, 0], right, rtol=0, atol=1e-10)
    assert used[1] == 0 and np.all(y[1] == 0) and used[0] < used[2]
