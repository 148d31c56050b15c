"""Constraints in kernels: values off them, projections and nearest values, checks that reject wrong projections."""

from __future__ import annotations

import numpy as np
import pytest
from constraint_cases import CASES, MODEL, N, moved, projector, system, text, values, vector

import codegen
import codegen.lower
from codegen.cache import Cache
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.lower.products import lower_product
from codegen.signature import decode, encode
from codegen.program import Projection
from codegen.systems import Project
from derive.adjoint import gradient
from derive.language import parse
from derive.tangents import tangent
from derive.writing import write
from tests.codegen.kernel_cases import interpreted, worst

GENERAL = MODEL + "M: const[n, n]\nassert W == W.T\nassert W*M == 0\nassert sum(V) == dot(W, eye(n))\n"


@pytest.fixture(scope="module")
def kernels():
    """An interpreted kernel of every case."""
    return {name: interpreted(text(case)) for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_projected(name, kernels):
    case, kernel = CASES[name], kernels[name]
    given = moved(case, values(case))
    found = kernel.value_and_grad(given)[1]
    free = interpreted(MODEL + "".join(f"{line}\n" for line in case.lines.splitlines() if "assert" not in line))
    whole = free.value_and_grad(given)[1]
    wanted = projector(case, given) @ vector(case, whole)
    assert worst(vector(case, found), wanted) < 1e-12
    assert worst(vector(case, whole), wanted) > 1e-3
    assert worst(found["x"], whole["x"]) == 0


@pytest.mark.parametrize("name", CASES)
def test_values_off_constraints_are_refused_and_the_nearest_are_on_them(name, kernels):
    case, kernel, given = CASES[name], kernels[name], values(CASES[name])
    with pytest.raises(ValueError, match="does not hold") as caught:
        kernel.forward(given)
    assert "kernel.nearest(values) moves" in str(caught.value)
    found = kernel.nearest(given)
    assert worst(vector(case, found), vector(case, moved(case, given))) < 1e-12
    kernel.forward(found)
    matrix, right = system(case, given)
    assert np.abs(matrix @ vector(case, found) - right).max() < 1e-13


@pytest.mark.parametrize("name", CASES)
def test_changes_are_projected(name, kernels):
    case, given = CASES[name], values(CASES[name])
    rng = np.random.default_rng(3)
    changes = {parameter: rng.standard_normal((N, N)) for parameter in case.parameters}
    found = {**changes, **kernels[name].project(given, changes)}
    assert worst(vector(case, found), projector(case, given) @ vector(case, changes)) < 1e-12


def test_message_names_the_assert_the_place_and_the_size():
    kernel = interpreted(MODEL + "b: n\nassert W == W.T\nassert sum(b) == 1\n")
    given = {"W": np.eye(N), "V": np.eye(N), "b": np.full(N, 0.25), "x": np.zeros((2, 1, N))}
    kernel.forward(given)
    wrong = np.eye(N)
    wrong[1, 2] = 0.125
    with pytest.raises(ValueError) as caught:
        kernel.forward({**given, "W": wrong})
    assert str(caught.value) == (
        "assert W == W.T, line 5, does not hold at (1, 2): 0.125 is not 0, off by 0.12; kernel.nearest(values) moves W to where it does"
    )
    with pytest.raises(ValueError, match=r"assert sum\(b\) == 1, line 6, does not hold: 2 is not 1, off by 1;"):
        kernel.forward({**given, "b": np.full(N, 0.5)})


@pytest.mark.parametrize(("dtype", "slack"), [("float64", 1e-9), ("float32", 1e-4)])
def test_tolerance_is_that_of_the_precision(dtype, slack):
    kernel = interpreted(MODEL + "assert W == W.T\n", dtype)
    for size in (1.0, 1e6, 1e-20):
        W = size * np.ones((N, N))
        given = {"V": np.eye(N), "x": np.zeros((2, 1, N)), "W": W.copy()}
        given["W"][0, 1] += 0.5 * slack * size
        kernel.forward(given)
        given["W"][0, 1] += 4 * slack * size
        with pytest.raises(ValueError, match=r"does not hold at \(0, 1\)"):
            kernel.forward(given)


def test_contradictory_constraints_are_said_to_be():
    kernel = interpreted(MODEL + "M: const[n, n]\nassert W*M == 1\nassert W[0, 0] == 2\n")
    given = {"W": np.ones((N, N)), "V": np.eye(N), "x": np.zeros((2, 1, N)), "M": np.ones((N, N))}
    with pytest.raises(ValueError, match="no values of W satisfy all asserts on W together"):
        kernel.forward(given)
    with pytest.raises(ValueError, match=r"no values of W satisfy all of these: assert W\*M == 1; assert W\[0, 0\] == 2"):
        kernel.nearest(given)
    assert kernel.nearest({**given, "M": np.full((N, N), 0.5)})["W"][0, 0] == pytest.approx(2)


def test_decompositions_are_made_anew_where_constants_or_sizes_change():
    kernel = interpreted(GENERAL)
    for seed, n in ((0, 3), (1, 3), (2, 4), (0, 3)):
        rng = np.random.default_rng(seed)
        drawn = rng.standard_normal((2, n, n))
        given = {"W": drawn[0], "V": drawn[1], "M": rng.integers(0, 2, (n, n)), "x": rng.standard_normal((2, 1, n))}
        found = kernel.nearest(given)
        assert np.abs(found["W"] - found["W"].T).max() < 1e-15 and np.abs(found["W"] * given["M"]).max() < 1e-15
        grads = kernel.value_and_grad(found)[1]
        assert np.abs(grads["W"] * given["M"]).max() < 1e-14 and abs(grads["V"].sum() - np.trace(grads["W"])) < 1e-12
    assert len(kernel.factors) == 1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compiled_kernel_comes_from_the_cache_with_its_constraints(compiled, session_cache, dtype):
    kernel, rng = compiled(GENERAL, dtype), np.random.default_rng(0)
    again = codegen.compile(GENERAL, dtype, cache=Cache(session_cache), progress=lambda stage: pytest.fail(stage))
    given = {"W": rng.standard_normal((N, N)), "V": rng.standard_normal((N, N)), "M": rng.integers(0, 2, (N, N)),
             "x": rng.standard_normal((3, 2, N))}  # fmt: skip
    given = interpreted(GENERAL).nearest(given)
    for each in (kernel, again):
        assert each.module is not None
        for label, found in each.value_and_grad(given)[1].items():
            tolerance = 1e-12 if dtype == "float64" else 1e-5
            assert found.dtype == dtype and worst(found, interpreted(GENERAL).value_and_grad(given)[1][label]) < tolerance
        with pytest.raises(ValueError, match="assert W == W.T, line 5, does not hold"):
            each.forward({**given, "W": rng.standard_normal((N, N))})


def test_signature_keeps_systems_and_projections():
    program = lower(parse(GENERAL))
    again = decode(encode(program))
    assert again.systems == program.systems and len(again.systems) == 1
    for name, phase in program.phases.items():
        found = [action for action in again.phases[name].actions if isinstance(action, Projection)]
        assert found == [action for action in phase.actions if isinstance(action, Projection)]
        assert bool(found) == (name != "forward")


def test_gradient_file_compiles_to_the_same_gradient(compiled):
    derivation = gradient(parse(GENERAL))
    file, kernel = compiled(write(derivation.recurrence)), interpreted(GENERAL)
    rng = np.random.default_rng(1)
    given = kernel.nearest({"W": rng.standard_normal((N, N)), "V": rng.standard_normal((N, N)), "M": rng.integers(0, 2, (N, N)),
                            "x": rng.standard_normal((3, 2, N))})  # fmt: skip
    run, grads = file.forward(given), kernel.value_and_grad(given)[1]
    assert all(worst(run[derivation.gradients[label].name], grads[label]) < 1e-12 for label in grads)


def test_hessian_products_keep_the_constraints(kernels):
    name = "symmetric, zero diagonal and sum"
    case, first = CASES[name], gradient(parse(text(CASES[name])))
    second = tangent(first.recurrence)
    kernel, given = Kernel(lower(second.recurrence, derivatives=False), "float64"), moved(case, values(case))
    direction = kernels[name].project(given, {"W": np.random.default_rng(5).standard_normal((N, N))})["W"]
    still = {second.tangents[label].source(): np.zeros_like(given[label]) for label in ("V", "x", "h[0]")}
    move = {second.tangents["W"].source(): direction}
    product = kernel.forward({**given, **still, **move})[second.tangents[first.gradients["W"].name].source()]

    def at(step):
        return kernels[name].value_and_grad({**given, "W": given["W"] + step * direction})[1]["W"]

    assert worst(product, (at(1e-5) - at(-1e-5)) / 2e-5) < 1e-8
    assert np.abs(product - product.T).max() < 1e-14 and abs(product.sum()) < 1e-13


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradient_descent_keeps_the_constraints(compiled, dtype):
    kernel, rng = compiled(GENERAL, dtype), np.random.default_rng(2)
    given = {"W": rng.standard_normal((N, N)), "V": rng.standard_normal((N, N)), "M": rng.integers(0, 2, (N, N)),
             "x": rng.standard_normal((3, 2, N))}  # fmt: skip
    given, losses = kernel.nearest(given), []
    for _ in range(200):
        value, grads = kernel.value_and_grad(given)
        losses.append(value)
        given |= {name: given[name] - np.asarray(0.01, dtype) * grads[name] for name in ("W", "V")}
    assert losses[-1] < 0.5 * losses[0]
    off = np.abs(given["W"] - given["W"].T).max(), np.abs(given["W"] * given["M"]).max(), given["V"].sum() - np.trace(given["W"])
    assert np.max(np.abs(off)) < (1e-13 if dtype == "float64" else 1e-5)


def test_steps_and_windows_keep_the_constraints(compiled):
    kernel, rng = compiled(GENERAL), np.random.default_rng(4)
    given = kernel.nearest({"W": rng.standard_normal((N, N)), "V": rng.standard_normal((N, N)), "M": rng.integers(0, 2, (N, N)),
                            "x": rng.standard_normal((6, 2, N))})  # fmt: skip
    value, found = kernel.truncated(given, k1=2, k2=3)
    whole = kernel.value_and_grad(given)
    assert value == whole[0] and worst(found["W"], whole[1]["W"]) > 1e-3
    moved = kernel.project(given, found)
    assert all(worst(moved[name], found[name]) < 1e-13 for name in ("W", "V"))
    assert all(worst(kernel.truncated(given, k1=6, k2=6)[1][name], whole[1][name]) < 1e-13 for name in ("W", "V", "x"))
    shared = {name: value for name, value in given.items() if name != "x"}
    stream = kernel.stream(shared, batch=2)
    assert worst(stream.step({"x": given["x"][0]})["h"], kernel.forward(given)["h"][0]) == 0
    with pytest.raises(ValueError, match="assert W == W.T, line 5, does not hold"):
        kernel.stream({**shared, "W": np.arange(N * N, dtype=float).reshape(N, N)}, batch=2)


@pytest.mark.parametrize("product", ["hvp", "gnvp"])
@pytest.mark.parametrize("name", ["tied and symmetric", "masked", "sums of two", "symmetric, zero diagonal and sum"])
def test_second_order_products_are_projected_on_both_sides(name, product):
    case = CASES[name]
    given = moved(case, values(case))
    P, size = projector(case, given), len(case.parameters) * N * N

    def matrix(lines):
        recurrence = parse(lines)
        kernel = Kernel(lower(recurrence), "float64", products=lambda key: Kernel(lower_product(recurrence, key), "float64"))
        options = {"at": "h"} if product == "gnvp" else {}

        def column(direction):
            moves = dict(zip(case.parameters, direction.reshape(-1, N, N), strict=True))
            return vector(case, getattr(kernel, product)(given, moves, **options))

        return np.array([column(unit) for unit in np.eye(size)]).T

    found, free = matrix(text(case)), matrix(text(case).replace("assert", "# assert"))
    assert worst(found, P @ free @ P) < 1e-11 and worst(found, P @ free) > 1e-3
    assert worst(found, found.T) < 1e-11


def test_projections_stand_outside_compiled_segments():
    program = lower(parse(GENERAL))
    statements = list(program.phases["gradient"].statements())
    assert sum(isinstance(s, Project) for s in statements) == 2
    assert not any(isinstance(s, Project) for segment in program.phases["gradient"].segments() for s in segment.statements)
