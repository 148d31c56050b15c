"""Index inputs compiled: columns and components are chosen, and gradients are added where they were."""

import numpy as np
import pytest

from codegen.checking import check
from codegen.lower import lower
from codegen.statements import Accumulate, Map, OuterSum, Product
from codegen.verify import verify
from derive.language import parse
from tests.codegen.kernel_cases import interpreted, statements, worst
from tests.derive.test_index import DENSE, TEXT, dense

TOKENS = """
c[t]: index[m]
h[t]: n = tanh(W @ h[t-1] + U @ onehot(c[t]))
y[t]: m = softmax(V @ h[t])
E = minimize(sum(cross_entropy(onehot(c[t+1]), y[t]) for t in steps))
"""


def draw(seed, n=3, m=4, k=2, steps=6, batch=3):
    rng = np.random.default_rng(seed)
    shapes = {"W": (n, n), "U": (n, m), "P": (n, m), "V": (k, n + m), "R": (n, m), "u": (m,)}
    values = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    places = {"c": rng.integers(-1, m, (steps, batch)), "d": rng.integers(-1, k, (steps, batch))}
    return {**values, **places, "h[0]": rng.standard_normal((batch, n))}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, [3, 0, 6]])
def test_kernels_equal_those_on_vectors(compiled, dtype, lengths):
    values = draw(1)
    if lengths:
        values["lengths"] = np.array(lengths)
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    wanted_value, wanted = interpreted(DENSE).value_and_grad(dense(values))
    for kernel in (compiled(TEXT, dtype), interpreted(TEXT, dtype)):
        value, grads = kernel.value_and_grad(values)
        assert abs(value - wanted_value) < tolerance * abs(wanted_value)
        errors = {label: worst(grads[label], wanted[label]) for label in grads}
        assert len(errors) == 7 and max(errors.values()) < tolerance, errors
    moved = {**values, "c": np.where(values["c"] == 2, 1, values["c"])}
    assert worst(interpreted(TEXT).value_and_grad(moved)[1]["U"], wanted["U"]) > 1e-2


def test_no_vector_of_ones_and_no_product_is_made():
    program = lower(parse(TOKENS))
    verify(program)
    forward, gradient = statements(program), statements(program, "gradient")
    products = {s.matrix for s in (*forward.values(), *gradient.values()) if isinstance(s, Product)}
    assert products == {"q_W", "q_V"}
    (scattered,) = [s for s in gradient.values() if s.out == program.results["gradient"]["U"]]
    assert isinstance(scattered, Accumulate) and scattered.place[0] == 1 and scattered.place[1].buffer == "q_c"
    assert isinstance(gradient[program.results["gradient"]["W"]], OuterSum)
    assert isinstance(forward["q_e"], Map)


def test_checks_pass_and_see_a_lag_that_is_wrong(compiled):
    report = check(TOKENS, kernel=compiled(TOKENS))
    assert report.passed, str(report)
    assert not check(TOKENS, kernel=interpreted(TOKENS.replace("U @ onehot(c[t])", "U @ onehot(c[t-1])"))).passed


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda c: c + 0.5, TypeError, "c has dtype float64; it takes whole numbers from 0, and -1 for none"),
        (lambda c: c * 0 + 4, ValueError, "c holds 4; it takes whole numbers from 0 to 3, and -1 for none"),
        (lambda c: c * 0 - 2, ValueError, "c holds -2; it takes whole numbers from 0 to 3, and -1 for none"),
        (lambda c: c[..., None], ValueError, "(T, B) of whole numbers"),
    ],
)
def test_integers_out_of_range_are_refused_by_name(change, error, words):
    values = draw(2)
    with pytest.raises(error) as caught:
        interpreted(TEXT).forward({**values, "c": change(values["c"])})
    assert words in str(caught.value)


def test_small_and_unsigned_integers_are_taken_as_they_are():
    values = draw(3)
    values["c"] = np.abs(values["c"])
    kernel = interpreted(TEXT)
    for dtype in (np.uint8, np.int16, np.int64):
        assert kernel.forward({**values, "c": values["c"].astype(dtype)}).value == kernel.forward(values).value
