"""References generated for JAX and PyTorch: the value and the gradients of the program that they are made from."""

import functools
from dataclasses import replace

import jax
import numpy as np
import pytest
from generator import DIMS, generate

from codegen.arguments import arguments_of
from codegen.checking import choose_dims
from codegen.drawing import Wishes, draw_values
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.peers.dialects import FORMS, JAX, TORCH
from codegen.peers.marking import marked_program
from codegen.peers.reference import reference, variants
from codegen.timing import draw_finite, relative_error
from codegen.program import solves
from derive.files import stock_names
from derive.functions import FUNCTIONS
from derive.language import load, parse

torch = pytest.importorskip("torch")
STEPS, BATCH, ALLOWED = 6, 3, 1e-9
SEEDS = range(24)


@functools.cache
def stock(name):
    """A stock recurrence without its asserts, sizes, values, and what the interpreter finds."""
    recurrence = replace(load(name), constraints=())
    program = lower(recurrence)
    sizes = {"T": STEPS, "B": BATCH, **choose_dims(program, {})}
    kernel = Kernel(program, "float64")
    dims = {dim: sizes[dim] for dim in program.dims}
    values, _ = draw_finite(kernel, dims, STEPS, BATCH, Wishes())
    return recurrence, sizes, values, kernel.value_and_grad(values, steps=STEPS, batch=BATCH)


def is_steady(name):
    return any(solves(action) for action in lower(load(name), derivatives=False).phases["forward"].actions)


COVERED = [name for name in stock_names() if not is_steady(name)]


def by_jax(objective, values, wrt):
    free, held = {label: values[label] for label in wrt}, {label: array for label, array in values.items() if label not in wrt}
    with jax.enable_x64(True):
        value, grads = jax.value_and_grad(lambda free, held: objective({**free, **held}))(free, held)
    return np.asarray(value), {label: np.asarray(grad) for label, grad in grads.items()}


def by_torch(objective, values, wrt):
    leaves = {label: torch.as_tensor(array).requires_grad_(label in wrt) for label, array in values.items()}
    value = objective(leaves)
    if not value.requires_grad:
        return value.numpy(), {label: np.zeros_like(values[label]) for label in wrt}
    grads = torch.autograd.grad(value, [leaves[label] for label in wrt], allow_unused=True)
    found = {label: np.zeros_like(values[label]) if grad is None else grad.numpy() for label, grad in zip(wrt, grads, strict=True)}
    return value.detach().numpy(), found


def error(source, dialect, values, wanted):
    """The largest error of the value and of every gradient."""
    space = {}
    exec(compile(source, "<reference>", "exec"), space)
    value, grads = wanted
    found, theirs = (by_jax if dialect == "jax" else by_torch)(space["objective"], values, list(grads))
    errors = [relative_error(np.asarray(found), np.asarray(value)), *(relative_error(theirs[label], grads[label]) for label in grads)]
    return max(errors) if np.isfinite(errors).all() else np.inf


@pytest.mark.parametrize("dialect", ["jax", "torch"])
@pytest.mark.parametrize("name", COVERED)
def test_stock_recurrences(name, dialect):
    recurrence, sizes, values, wanted = stock(name)
    source = reference(marked_program(recurrence), dialect, "float64", sizes)
    assert error(source, dialect, values, wanted) < ALLOWED


@pytest.mark.parametrize("name", COVERED)
def test_a_sabotaged_reference_is_found_out(name):
    """1 % of the first sum, a tenth of the first value outside the steps."""
    recurrence, sizes, values, wanted = stock(name)
    source = reference(marked_program(recurrence), "torch", "float64", sizes)
    head, _, body = source.partition("def objective")
    for old, new in (("torch.sum(", "0.99 * torch.sum("), ("= before1_", "= 0.9 * before1_")):
        twin = f"{head}def objective{body.replace(old, new, 1)}"
        assert old not in body or error(twin, "torch", values, wanted) > 1e3 * ALLOWED


@pytest.mark.parametrize("dialect", ["jax", "torch"])
@pytest.mark.parametrize("name", ["lstm", "gru", "bidirectional"])
def test_variants_compute_the_same(name, dialect):
    recurrence, sizes, values, wanted = stock(name)
    sources = variants(marked_program(recurrence), dialect, "float64", sizes)
    assert len(sources) == (3 if dialect == "jax" and name != "bidirectional" else 2 if name != "bidirectional" or dialect == "jax" else 1)
    for source in sources[1:]:
        assert error(source, dialect, values, wanted) < ALLOWED


@pytest.mark.parametrize("seed", SEEDS)
def test_random_recurrences(seed):
    """Of the whole language, without asserts and without what is refused; every index, window, slice, edge of time."""
    recurrence = parse(generate(seed).text)
    if recurrence.constraints:
        return
    program = lower(recurrence)
    sizes = {"T": 4, "B": 2, **{dim: DIMS[dim] for dim in program.dims}}
    try:
        source = reference(marked_program(recurrence), "torch", "float64", sizes)
    except ValueError as refusal:
        assert "not cover" in str(refusal)
        return
    rng, kernel = np.random.default_rng(seed), Kernel(program, "float64")
    dims = {dim: sizes[dim] for dim in program.dims}
    values = draw_values(program, arguments_of(program), dims, 4, 2, rng, positive=True)
    value, grads = kernel.value_and_grad(values, steps=4, batch=2)
    largest = max(np.abs(grad).max(initial=0.0) for grad in grads.values())
    space = {}
    exec(compile(source, "<reference>", "exec"), space)
    found, theirs = by_torch(space["objective"], values, list(grads))
    assert np.isfinite(value) and abs(found - value) <= ALLOWED * max(1.0, abs(value))
    for label, grad in grads.items():  # relative to the largest, since many are zero but for rounding
        np.testing.assert_allclose(theirs[label], grad, rtol=ALLOWED, atol=ALLOWED * max(1.0, largest))


def test_both_dialects_have_every_form():
    assert {*JAX.templates} == {*TORCH.templates} == {*FORMS}
    assert JAX.functions.keys() == TORCH.functions.keys() == FUNCTIONS.keys()


STOPPED = """
x[t]: n
c[t]: index[n]
h[t]: n = tanh(W @ h[t-1] + U @ onehot(c[t]) + stop_gradient(V @ h[t-1])*x[t])
E = minimize(sum(norm2(h[t]) for t in steps))
"""


@pytest.mark.parametrize("dialect", ["jax", "torch"])
def test_what_passes_no_gradient(dialect):
    recurrence = parse(STOPPED)
    program = lower(recurrence)
    values = draw_values(program, arguments_of(program), {"n": 3}, STEPS, BATCH, np.random.default_rng(0), False)
    wanted = Kernel(program, "float64").value_and_grad(values)
    sizes = {"T": STEPS, "B": BATCH, "n": 3}
    assert error(reference(marked_program(recurrence), dialect, "float64", sizes), dialect, values, wanted) < ALLOWED
    unmarked = reference(lower(recurrence, derivatives=False, fused=False), dialect, "float64", sizes)
    assert error(unmarked, dialect, values, wanted) > 1e-3


@pytest.mark.parametrize(("text", "sizes", "said"), [
    ("x: n = tanh(W @ x + b)\nE = minimize(norm2(x))\n", {}, "x is a steady state"),
    ("x[t]: n\nh[t]: n = W @ h[t-1] + x[t]\nE = minimize(sum(norm2(h[t]) for t in steps))\n", {"T": 0}, "at least one step"),
])  # fmt: skip
def test_refusals(text, sizes, said):
    with pytest.raises(ValueError, match=said):
        reference(lower(parse(text), derivatives=False, fused=False), "jax", "float64", {"T": 2, "B": 1, "n": 3, **sizes})
