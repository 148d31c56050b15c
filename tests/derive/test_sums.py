"""Functions and products of sums over time: their adjoints hold sums themselves."""

from __future__ import annotations

import numpy as np
import pytest
from fuzzing import Case, compare

from derive.language import parse

TEXTS = [
    "x0[t]: m\nW: (n, m)\nh[t]: n = tanh(W @ x0[t])\nE = minimize(norm2(sum(h[t] for t in steps)))\n",
    "x0[t]: m\nW: (n, m)\nh[t]: n = tanh(W @ x0[t] + h[t-1])\n"
    "E = minimize(sum(h[t][0:1][0] for t in steps[1:])*sum(norm2(h[t]) for t in steps))\n",
    "x0[t]: m\nW: (n, m)\nh[t]: n = tanh(W @ x0[t])\nE = minimize(log(2 + norm2(sum(h[t] for t in steps) + h[T])))\n",
    "u0: input[n]\nx0[t]: m\nE = minimize(norm2(sum(u0 for t in steps[1:]))*sum(norm2(x0[t]) for t in steps))\n",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("seed", range(3))
def test_gradient_is_the_transpose_of_the_tangent(text: str, seed: int) -> None:
    with np.errstate(all="ignore"):
        errors = compare(Case(seed, True, parse(text)))
    assert all(error <= 1e-11 for error in errors.values()), errors
