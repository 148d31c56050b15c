"""Decomposed constraints against dense pseudo-inverses: redundant, deficient, in parts, wide."""

from __future__ import annotations

import numpy as np
import pytest
from constraint_cases import MODEL

from codegen import allowed
from codegen.affine import Evaluation, Rows
from codegen.allowed import Allowed
from codegen.kernel import Kernel
from codegen.lower import lower
from derive.language import parse
from tests.codegen.kernel_cases import worst


def matrices():
    """Sparse matrices of every kind: redundant, deficient, in parts, with empty rows, badly scaled."""
    rng = np.random.default_rng(0)
    plain = rng.standard_normal((5, 9)) * (rng.random((5, 9)) < 0.4)
    return {
        "in parts": np.kron(np.eye(6), rng.standard_normal((2, 3))),
        "parts alike": np.kron(np.eye(7), [[1.0, -1.0], [-1.0, 1.0]]),
        "redundant": np.vstack([plain, plain[::-1], plain.sum(axis=0)]),
        "deficient by rounding": np.vstack([plain, 0.1 * plain[0] + 0.3 * plain[1]]),
        "badly scaled": plain * np.array([1e-9, 1, 1e9, 1e-3, 1e4])[:, None],
        "empty rows": np.vstack([np.zeros((2, 9)), plain]),
        "nothing": np.zeros((3, 4)),
        "everything": rng.standard_normal((8, 5)),
    }


@pytest.mark.parametrize("widest", [500, 0])
@pytest.mark.parametrize("name", matrices())
def test_parts_are_those_of_a_dense_pseudo_inverse(name, widest, monkeypatch):
    from scipy.sparse import csr_array

    monkeypatch.setattr(allowed, "WIDEST", widest)
    matrix, rng = matrices()[name], np.random.default_rng(1)
    scaled = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-300)
    found, P = Allowed(csr_array(matrix)), np.eye(matrix.shape[1]) - np.linalg.pinv(scaled, rcond=1e-12) @ scaled
    assert bool(found.wide) == (widest == 0 and bool(matrix.any()))
    vector = rng.standard_normal(matrix.shape[1])
    assert worst(found.project(vector), P @ vector) < 1e-13
    assert worst(found.project(vector + 2j * vector[::-1]), P @ (vector + 2j * vector[::-1])) < 1e-13
    right = matrix @ vector
    assert worst(found.least(right), vector - P @ vector) < 1e-12
    assert worst(found.project(vector) + 1e-3, P @ vector) > 1e-4  # the comparison can fail


def test_a_large_symmetric_matrix_falls_apart_into_pairs():
    recurrence = parse(MODEL + "assert W == W.T\nassert diag(W) == 0\nassert W[0, 1] == 0\n")
    program, n = lower(recurrence), 150
    found = program.systems[0]
    evaluated = Evaluation(found, {"n": n}, {}, Rows({"q_W": n * n}))
    assert evaluated.pairs[found.assertions[0].left][1].shape == (n * n, n * n)
    kernel, rng = Kernel(program, "float64"), np.random.default_rng(0)
    given = kernel.nearest({"W": rng.standard_normal((n, n)), "V": np.zeros((n, n)), "x": np.zeros((1, 1, n))})
    factors = kernel.factors[0][1]
    assert not factors.wide and {part.span.shape[1] for part in factors.parts} == {1, 2}
    assert sum(len(part.columns) for part in factors.parts) == n + n * (n - 1) // 2
    assert worst(given["W"], given["W"].T) < 1e-15 and not given["W"][0, 1] and not np.diag(given["W"]).any()
