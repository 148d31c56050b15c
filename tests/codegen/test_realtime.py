"""Forward sensitivities through the code generator: the gradient they give beside that of the kernel."""

import numpy as np
import pytest
from oracles import stock_layouts

import derive
from codegen.kernel import Kernel
from codegen.lower import lower
from derive.files import stock_names
from derive.language import load, parse
from derive.writing import write
from tests.codegen.kernel_cases import statements, worst

SIZES = {"n": 3, "m": 2, "k": 4}


def drawn(recurrence, seed, steps=5, batch=3):
    rng, lead = np.random.default_rng(seed), {0: (), 1: (batch,), 2: (steps, batch)}
    values = {}
    for target in (*recurrence.of_role("input", "parameter", "constant"), *recurrence.arguments):
        shape = (int(size.subs({d: SIZES[d.name] for d in size.free_symbols})) for size in target.shape)
        values[target.source()] = 0.4 * rng.standard_normal([*lead[int(target.kind)], *shape])
    return {**values, **({"lengths": np.array([5, 3, 1])} if recurrence.of_role("signal") else {})}


@pytest.mark.parametrize("name", stock_names())
def test_gradients_by_sensitivities_equal_the_kernels(name):
    recurrence = load(name)
    made = derive.sensitivities(recurrence)
    timed = stock_layouts.LAYOUTS[name].timed
    values = stock_layouts.draw(name, seed=0, steps=5, batch=3, lengths=[5, 3, 1] if timed else None)
    run = Kernel(lower(made.recurrence, derivatives=False), "float64").forward(values)
    _, grads = Kernel(lower(recurrence), "float64").value_and_grad(values)
    found = {label: worst(run[quantity.name], grads[label]) for label, quantity in made.gradients.items()}
    assert set(found) == {q.name for q in recurrence.of_role("parameter")} and max(found.values()) < 1e-12, found
    twin = {label: worst(1.01 * run[quantity.name], grads[label]) for label, quantity in made.gradients.items()}
    assert min(twin.values()) > 1e-6


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compiled_sensitivities_equal_the_compiled_gradient(compiled, dtype):
    made = derive.sensitivities(load("elman"), ["W", "U", "V"])
    values, limit = drawn(load("elman"), 1), 1e-12 if dtype == "float64" else 1e-5
    run = compiled(write(made.recurrence), dtype).forward(values)
    _, grads = compiled("elman").value_and_grad(values)
    assert max(worst(run[quantity.name], grads[label]) for label, quantity in made.gradients.items()) < limit
    assert run["h_by_W"].shape == (5, 3, 3, 9) and run["h_by_U"].shape == (5, 3, 3, 6)
    moved, step = values["W"].astype(float).copy(), 1e-6
    moved[2, 1] += step
    if dtype == "float64":
        difference = (compiled("elman").forward({**values, "W": moved})["h"] - run["h"]) / step
        assert worst(run["h_by_W"][..., 2 * 3 + 1], difference) < 1e-5 < worst(run["h_by_W"][..., 1 * 3 + 2], difference)


def test_a_product_with_a_diagonal_matrix_sums_nothing():
    program = lower(parse("x[t]: n\nP[t]: (n, m) = diag(x[t]) @ P[t-1] + W @ P[t-1]\n"), derivatives=False)
    kinds = sorted(type(statement).__name__ for statement in statements(program).values() if hasattr(statement, "element"))
    assert kinds.count("Reduce") == 1 and "Map" in kinds
