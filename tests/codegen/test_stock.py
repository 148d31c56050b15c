"""Every stock recurrence, compiled: forward against NumPy, gradients against JAX and against the gradient as a recurrence of its own."""

import functools

import numpy as np
import pytest
from oracles import jax_cells, numpy_cells, stock_layouts

import derive
from derive.files import read_file
from derive.writing import write
from tests.codegen.kernel_cases import interpreted, worst

NAMES = sorted(stock_layouts.LAYOUTS)
LENGTHS = [4, 7, 1, 0]


@functools.cache
def case(name, ragged):
    """Values, with every kind of length or none, and JAX's objective and gradients."""
    ragged = ragged and bool(stock_layouts.LAYOUTS[name].timed)
    values = stock_layouts.draw(name, seed=6, steps=7, batch=len(LENGTHS), lengths=LENGTHS if ragged else None)
    return values, jax_cells.forward(name, values)["objective"], jax_cells.gradient(name, values)


def normwise(found, wanted):
    """The error relative to the norm."""
    size = np.linalg.norm(wanted)
    error = np.linalg.norm(np.asarray(found, np.float64) - wanted)
    return error / size if size else error


def test_every_stock_recurrence_is_here():
    assert set(NAMES) == set(derive.stock_names())


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_jax(compiled, name, ragged):
    values, objective, wanted = case(name, ragged)
    value, grads = compiled(name).value_and_grad(values)
    assert abs(value - objective) < 1e-11 * abs(objective)
    assert grads.keys() == wanted.keys() - {"x0"}
    errors = {label: worst(grads[label], wanted[label]) for label in grads}
    assert max(errors.values()) < 1e-9, errors
    largest = max(wanted, key=lambda label: np.abs(wanted[label]).max())
    assert worst(-grads[largest], wanted[largest]) > 1e-3


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_more_threads_than_sequences_give_the_same_bits(compiled, name, ragged):
    values = case(name, ragged)[0]
    (value, grads), (found, others) = (compiled(name).using(threads=count).value_and_grad(values) for count in (1, 6))
    assert found == value and any(np.any(array) for array in grads.values())
    assert all(np.array_equal(others[label], array) for label, array in grads.items())


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_signals_equal_numpy(compiled, name, ragged):
    values = case(name, ragged)[0]
    run, wanted = compiled(name).forward(values), numpy_cells.forward(name, values)
    for signal in stock_layouts.LAYOUTS[name].signals:
        assert worst(run[signal], wanted[signal]) < 1e-12, signal
        assert worst(1.01 * run[signal], wanted[signal]) > 1e-4
    assert abs(run.value - wanted["objective"]) < 1e-11 * abs(wanted["objective"])


@pytest.mark.parametrize("name", ["elman", "lstm", "settle", "trajectory"])
def test_float32_gradients_are_near_float64(compiled, name):
    for ragged in (False, True):
        values, _, wanted = case(name, ragged)
        value, grads = compiled(name, "float32").value_and_grad(values)
        assert value.dtype == np.float32 and all(grad.dtype == np.float32 for grad in grads.values())
        errors = {label: normwise(grads[label], wanted[label]) for label in grads}
        assert max(errors.values()) < 1e-4, errors
        assert (
            0 < max(errors.values()) and normwise(1.001 * grads["V" if "V" in grads else "W"], wanted["V" if "V" in grads else "W"]) > 1e-4
        )


@pytest.mark.parametrize("name", ["elman", "settle", "trajectory", "narx"])
def test_the_printed_gradient_is_a_recurrence_with_the_same_gradients(compiled, name):
    derivation = derive.gradient(derive.load(name))
    text = write(derivation.recurrence)
    for kernel in (interpreted(text), *([compiled(text)] if name == "trajectory" else [])):
        for ragged in (False, True):
            values = case(name, ragged)[0]
            value, grads = compiled(name).value_and_grad(values)
            run = kernel.forward(values)
            assert abs(run[derivation.source.objective.name] - value) < 1e-12 * abs(value)
            errors = {label: worst(run[q.name], grads[label]) for label, q in derivation.gradients.items()}
            assert max(errors.values()) < 1e-12, errors
    first = next(iter(derivation.gradients))
    assert worst(1.000001 * run[derivation.gradients[first].name], grads[first]) > 1e-12


@pytest.mark.parametrize("name", ["bidirectional", "settle"])
def test_cotangents_equal_jax(compiled, name):
    import jax

    values = case(name, False)[0]
    layout, rng = stock_layouts.LAYOUTS[name], np.random.default_rng(8)
    run = compiled(name).forward(values)
    seeds = {signal: rng.standard_normal(run[signal].shape) for signal in list(layout.signals)[-2:]}
    arrays, fixed = jax_cells.split(name, values)

    def weighted(arrays):
        signals = jax_cells.cost(name, arrays, fixed)[1]
        return sum((signals[signal] * seed).sum() for signal, seed in seeds.items())

    wanted, found = jax.jit(jax.grad(weighted), compiler_options={"xla_backend_optimization_level": 0})(arrays), run.backward(seeds)
    errors = {label: worst(found[label], wanted[label]) for label in found}
    assert max(errors.values()) < 1e-9, errors


@pytest.mark.parametrize(("name", "label"), [("hopfield", "W"), ("tied", "W2")])
def test_constraints_change_the_gradient(compiled, name, label):
    free = "".join(line for line in read_file(name)[0].decode().splitlines(keepends=True) if not line.startswith("assert"))
    values, _, wanted = case(name, False)
    given = {key: value for key, value in values.items() if key != "x0"}
    grads = interpreted(free).value_and_grad(given)[1]
    other = "b" if "b" in grads else "b1"
    assert worst(grads[label], wanted[label]) > 1e-3 and worst(grads[other], wanted[other]) < 1e-9
