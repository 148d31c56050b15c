"""The stacks of docs/examples: one layer is the stock recurrence, two are two one-layer stacks in a row."""

import numpy as np
import pytest

import derive
from codegen.kernel import Kernel
from codegen.lower import lower
from tests.codegen.kernel_cases import interpreted, worst

CELLS = ("elman", "lstm", "gru_reset_after")
T, B, M, N = 6, 3, 4, 5


def kernel(stacks, *shape):
    return Kernel(lower(stacks.stack(*shape)), "float64")


def drawn(recurrence, rng):
    """Random values for everything that a stack takes, initial states included."""
    sizes = {"m": M, "n": N, "2*n": 2 * N}
    values = {q.name: rng.normal(size=[sizes[str(size)] for size in q.shape]) * 0.4 for q in recurrence.quantities if q.role == "parameter"}
    ghosts = {ghost.source(): rng.normal(size=(B, N)) for places in recurrence.ghosts.values() for ghost in places}
    return {"x": rng.normal(size=(T, B, M)), **values, **ghosts}


@pytest.mark.parametrize("cell", CELLS)
def test_one_layer_is_the_stock_recurrence(stacks, cell):
    values = drawn(stacks.stack(cell), np.random.default_rng(0))
    stock = {label.replace("_l0", ""): array for label, array in values.items()}
    read_out = {"V": np.zeros((2, N)), ("c" if cell == "elman" else "by"): np.zeros(2), "d": np.ones((T, B, 2))}
    found, wanted = kernel(stacks, cell).forward(values)["y"], interpreted(cell).forward({**stock, **read_out})["h"]
    assert worst(found, wanted) < 1e-14
    assert worst(1.001 * found, wanted) > 1e-5


@pytest.mark.parametrize("cell", CELLS)
def test_two_layers_are_two_stacks_in_a_row(stacks, cell):
    whole = stacks.stack(cell, 2, True)
    values = drawn(whole, np.random.default_rng(1))
    lower_part = {label: array for label, array in values.items() if "_l0" in label}
    upper_part = {label.replace("_l1", "_l0"): array for label, array in values.items() if "_l1" in label}
    one = kernel(stacks, cell, 1, True)
    between = one.forward({"x": values["x"], **lower_part})["y"]
    found, wanted = kernel(stacks, cell, 2, True).forward(values)["y"], one.forward({"x": between, **upper_part})["y"]
    assert worst(found, wanted) < 1e-14
    assert worst(found, one.forward({"x": between[::-1], **upper_part})["y"]) > 1e-3


def test_a_stack_is_proved(stacks):
    b = stacks.stack("gru_reset_after", 2, True)
    text = b.to_rec() + "E = minimize(sum(norm2(y[t]) for t in steps))\n"
    assert derive.prove(derive.gradient(derive.parse(text))).proved
