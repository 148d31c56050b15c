"""The two oracles against each other and against differences: signals, objectives, gradients, edges of time."""

from __future__ import annotations

import numpy as np
import pytest

from . import jax_cells, numpy_cells
from .stock_layouts import LAYOUTS, draw

RAGGED = (7, 0, 1, 4)  # the tests keep to four sequences of seven steps, so that JAX compiles each recurrence once
TIMED = [name for name in LAYOUTS if LAYOUTS[name].timed]
CASES = [(name, None) for name in LAYOUTS] + [(name, RAGGED) for name in TIMED]


def assert_same(got, wanted, tolerance=1e-12):
    """Equal to a tolerance relative to the largest entry; NaN never is."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    assert np.isfinite(got).all() and np.isfinite(wanted).all()
    assert np.abs(got - wanted).max(initial=0.0) <= tolerance * max(1.0, np.abs(wanted).max(initial=0.0))


def richardson(name, values, key, index, step=2e-3):
    """Central differences of the NumPy objective at steps h, h/2 and h/4, extrapolated twice."""

    held = {}
    numpy_cells.forward(name, values, held)

    def central(h):
        sides = []
        for sign in (1, -1):
            moved = {**values, key: values[key].copy()}
            moved[key][index] += sign * h
            sides.append(numpy_cells.objective(name, moved, held))
        return (sides[0] - sides[1]) / (2 * h)

    one, two, four = central(step), central(step / 2), central(step / 4)
    first, second = (4 * two - one) / 3, (4 * four - two) / 3
    return (16 * second - first) / 15


def assert_gradient(name, values, grads, seed, entries=3):
    """Check entries of every array, always the largest among them, so that a wrong scale shows."""
    rng = np.random.default_rng(seed)
    for key, grad in grads.items():
        assert np.isfinite(grad).all()
        flat = {int(np.abs(grad).argmax()), *rng.integers(grad.size, size=entries).tolist()}
        for index in (np.unravel_index(i, grad.shape) for i in sorted(flat)):
            if np.isfinite(values[key][index]):
                assert_same(grad[index], richardson(name, values, key, index), 1e-9)
            else:
                assert grad[index] == 0


@pytest.mark.parametrize(("name", "lengths"), CASES)
def test_signals_and_objective_agree(name, lengths):
    values = draw(name, seed=1, batch=4, lengths=lengths)
    one, two = numpy_cells.forward(name, values), jax_cells.forward(name, values)
    assert one.keys() == two.keys()
    for key in one:
        assert_same(two[key], one[key])


@pytest.mark.parametrize(("name", "lengths"), CASES)
def test_gradient_matches_differences(name, lengths):
    values = draw(name, seed=2, batch=4, lengths=lengths)
    grads = jax_cells.gradient(name, values)
    assert grads.keys() == values.keys() - {"lengths", *LAYOUTS[name].constants}
    assert_gradient(name, values, grads, seed=3)


@pytest.mark.parametrize("name", LAYOUTS)
def test_gradient_matches_complex_step(name):
    values, held = draw(name, seed=9, batch=4), {}
    numpy_cells.forward(name, values, held)
    for key, grad in jax_cells.gradient(name, values).items():
        moved = {**values, key: values[key].astype(complex)}
        direction = np.random.default_rng(10).normal(size=grad.shape)
        moved[key] += 1e-30j * direction
        assert_same((grad * direction).sum(), numpy_cells.objective(name, moved, held).imag / 1e-30, 1e-11)


@pytest.mark.parametrize("damage", ["sign", "scale", "transpose", "dropped", "nan"])
def test_sabotaged_gradient_is_rejected(damage):
    values = draw("elman", seed=4, batch=4)
    grads = jax_cells.gradient("elman", values)
    assert_gradient("elman", values, grads, seed=5)
    spoil = {"sign": lambda g: -g, "scale": lambda g: 1.01 * g, "transpose": lambda g: g.T.copy(),
             "dropped": lambda g: 0 * g, "nan": lambda g: g * np.nan}[damage]
    with pytest.raises(AssertionError):
        assert_gradient("elman", values, {**grads, "W": spoil(grads["W"])}, seed=5)


@pytest.mark.parametrize("name", TIMED)
def test_ragged_batch_is_its_sequences_one_by_one(name):
    values, layout = draw(name, seed=6, lengths=RAGGED), LAYOUTS[name]
    total = 0.0
    for s, last in enumerate(RAGGED):
        alone = {key: values[key] for key in (*layout.parameters, *layout.constants)}
        alone |= {key: values[key][:last, s : s + 1] for key in layout.timed}
        alone |= {key: values[key][s : s + 1] for key in (*layout.ghosts, *layout.sequence)}
        total += numpy_cells.objective(name, alone)
    assert_same(numpy_cells.objective(name, values), total)
    assert_same(jax_cells.forward(name, values)["objective"], total)


@pytest.mark.parametrize("name", TIMED)
def test_wrong_length_is_noticed(name):
    values = draw(name, seed=7, batch=4)
    whole = numpy_cells.objective(name, values)
    cut = numpy_cells.objective(name, {**values, "lengths": np.array([7, 7, 7, 6])})
    with pytest.raises(AssertionError):
        assert_same(cut, whole)
    with pytest.raises(AssertionError):
        poisoned = {**draw(name, seed=7, lengths=(7, 7, 7, 6)), "lengths": np.array([7, 7, 7, 7])}
        assert_same(jax_cells.forward(name, poisoned)["objective"], whole)


@pytest.mark.parametrize("name", TIMED)
def test_no_steps(name):
    values = draw(name, seed=8, lengths=(0, 0, 0, 0))
    assert numpy_cells.objective(name, values) == 0 == jax_cells.forward(name, values)["objective"]
    assert all((g == 0).all() for g in jax_cells.gradient(name, values).values())
    empty = draw(name, seed=8, steps=0)
    assert numpy_cells.objective(name, empty) == 0 == float(jax_cells.objective(name, empty))


@pytest.mark.parametrize("name", TIMED)
def test_left_out_ghosts_are_zero(name):
    values, ghosts = draw(name, seed=8, batch=4), LAYOUTS[name].ghosts
    bare = {key: a for key, a in values.items() if key not in ghosts}
    zeros = {**values, **{key: 0 * values[key] for key in ghosts}}
    assert numpy_cells.objective(name, bare) == numpy_cells.objective(name, zeros)
    assert_same(jax_cells.forward(name, bare)["objective"], numpy_cells.objective(name, bare))
    assert jax_cells.gradient(name, bare).keys() == (bare.keys() | ghosts.keys()) - LAYOUTS[name].constants.keys()


@pytest.mark.parametrize(("name", "label"), [("jordan", "V"), ("elman_context", "W"), ("spiking", "W")])
def test_what_is_held_matters(name, label):
    values = draw(name, seed=2, batch=4)
    moved = {**values, label: values[label].astype(complex)}
    moved[label] += 1e-30j
    held = {}
    numpy_cells.forward(name, values, held)
    stopped, moving = (numpy_cells.objective(name, moved, kept).imag / 1e-30 for kept in (held, None))
    assert_same(stopped, jax_cells.gradient(name, values)[label].sum(), 1e-11)
    with pytest.raises(AssertionError):
        assert_same(moving, stopped, 1e-3)
