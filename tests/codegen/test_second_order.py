"""Products with a direction: of every stock recurrence against JAX, and of the whole language by symmetry."""

import jax.numpy as jnp
import numpy as np
import pytest
from oracles import jax_cells, stock_layouts

from codegen.arguments import Arguments
from tests.codegen.kernel_cases import interpreted, worst
from tests.codegen.product_cases import case, inner, kernel, largest, only_graded

NAMES = sorted(stock_layouts.LAYOUTS)


@pytest.mark.parametrize("name", NAMES)
def test_products_with_jacobian_and_hessian_equal_jax(name):
    values, u, v = case(name)
    u, v = (only_graded(kernel(name), move) for move in (u, v))
    derivative, signals, products = jax_cells.along(name, values, v)
    moved, found = kernel(name).jvp(values, v), kernel(name).hvp(values, v)
    value, grads = kernel(name).value_and_grad(values)
    assert found.keys() == grads.keys() and abs(moved.value - value) < 1e-13 * abs(value)
    assert largest(found, products) < 1e-9
    named = set(moved.tangents) & set(signals)
    assert named and largest({signal: moved.tangents[signal] for signal in named}, signals) < 1e-9
    along = inner(grads, {label: v.get(label, 0 * grads[label]) for label in grads})
    assert abs(moved.derivative - derivative) < 1e-9 * abs(derivative)
    assert abs(moved.derivative - along) < 1e-11 * np.sqrt(inner(grads, grads) * inner(v, v))
    first = next(label for label in found if np.max(np.abs(products[label])) > 1e-2)
    assert worst(-found[first], products[first]) > 1e-3 and worst(1.00001 * found[first], products[first]) > 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_hessians_are_symmetric(name):
    values, u, v = case(name)
    u, v = (only_graded(kernel(name), move) for move in (u, v))
    Hu, Hv = (kernel(name).hvp(values, move) for move in (u, v))
    Hu, Hv = ({label: product[label] for label in u} for product in (Hu, Hv))
    scale = np.sqrt(max(inner(u, u) * inner(Hv, Hv), inner(v, v) * inner(Hu, Hu)))
    assert abs(inner(u, Hv) - inner(v, Hu)) < 1e-11 * scale
    label = max(Hv, key=lambda label: abs(np.sum(u[label] * Hv[label])))
    assert abs(inner(u, {**Hv, label: 1.01 * Hv[label]}) - inner(v, Hu)) > 1e-11 * scale


def squares(v, mask, at):
    (y,) = at.values()
    return 0.5 * jnp.where(mask[..., None], (y - v["d"]) ** 2, 0.0) if y.ndim == 3 else 0.5 * (y - v["d"]) ** 2


def probabilities(v, mask, at):
    return -jnp.where(mask[..., None], v["d"] * jnp.log(jnp.where(mask[..., None], at["y"], 1.0)), 0.0)


def logits(v, mask, at):
    """Of the logarithms of the probabilities, which are the logits but for a number at each step that neither J' H nor H J see."""
    import jax

    return -jnp.where(mask[..., None], v["d"] * jax.nn.log_softmax(at["y"]), 0.0)


def logarithms(signals):
    return {"y": jnp.log(jnp.where(signals["y"] == 0, 1.0, signals["y"]))}


def only(name):
    return lambda signals: {name: signals[name]}


SPLIT = {
    ("settle", "x"): (squares, only("x")),
    ("trajectory", "x"): (lambda v, mask, at: v["w"][..., None] * squares(v, mask, at), only("x")),
    ("narx", "y"): (squares, only("y")),
    ("gru", "y"): (squares, only("y")),
    ("elman", "y"): (probabilities, only("y")),
    ("elman", "z_y"): (logits, logarithms),
    ("bidirectional", "z_y"): (logits, logarithms),
}


@pytest.mark.parametrize(("name", "at"), SPLIT)
def test_products_with_the_gauss_newton_matrix_equal_jax(name, at):
    values, u, v = case(name)
    wanted = jax_cells.gauss_newton(name, values, v, *SPLIT[name, at])
    found = kernel(name).gnvp(values, v, at=at)
    assert largest(found, {**wanted, **{label: 0 * found[label] for label in ("d", "w") if label in found}}) < 1e-9
    assert worst(1.00001 * found["W" if "W" in found else "V"], wanted["W" if "W" in found else "V"]) > 1e-9
    other = kernel(name).gnvp(values, u, at=at)
    assert abs(inner(found, u) - inner(other, v)) < 1e-11 * np.sqrt(inner(found, found) * inner(u, u))
    # The losses are convex in what stands before them.
    assert inner(found, v) > 0 and inner(other, u) > 0


PRODUCTS = {
    "jvp": lambda k, values, v: k.jvp(values, v).tangents,
    "hvp": lambda k, values, v: k.hvp(values, v),
    "gnvp": lambda k, values, v: k.gnvp(values, v, at="y"),
}


@pytest.mark.parametrize(("name", "product"), [("elman", "hvp"), ("elman", "gnvp"), ("settle", "hvp"), ("trajectory", "jvp")])
def test_compiled_products_equal_interpreted_ones(compiled, name, product):
    values, _, v = case(name)
    found, again, wanted = (PRODUCTS[product](k, values, v) for k in (compiled(name), compiled(name), kernel(name)))
    assert found.keys() == wanted.keys() and largest(found, wanted) < 1e-12
    assert all(np.array_equal(found[label], again[label]) for label in found)
    assert compiled(name).products({"gnvp": "gnvp y"}.get(product, product)).module is not None


def test_float32_products_are_near_float64(compiled):
    values, _, v = case("settle")
    found, wanted = compiled("settle", "float32").hvp(values, v), kernel("settle").hvp(values, v)
    for label, array in found.items():
        error = np.linalg.norm(array - wanted[label])
        assert array.dtype == np.float32 and 0 < error < 1e-4 * np.linalg.norm(wanted[label])


WIDE = {
    "stopped": "x[t]: n\nh[t]: n = tanh(W @ stop_gradient(h[t-1]) + V @ h[t-1] + x[t])*stop_gradient(V @ x[t])\n",
    "a surrogate": "spike = surrogate(lambda u: where(u > 0, 1, 0), lambda u: 1/(1 + u*u))\nx[t]: n\n"
                   "h[t]: n = spike(W @ h[t-1] + x[t])*tanh(h[t-1])\n",
    "an index": "c[t]: index[n]\nh[t]: n = tanh(W @ h[t-1] + V @ onehot(c[t]))\n",
    "matrices": "x[t]: n\nW: (n, n)\nA[t]: (n, n) = 0.5*A[t-1] + outer(tanh(W @ x[t]), x[t])\nh[t]: n = A[t] @ x[t]\n",
    "a derived parameter": "x[t]: n\nW: (n, n)\nS: (n, n) = (W + W.T)/2\nh[t]: n = tanh(S @ h[t-1] + x[t])\n",
    "a steady state at every step": "x[t]: n\nh[t]: n = tanh(0.3*(W @ h[t]) + V @ h[t-1] + x[t])\n",
}  # fmt: skip


@pytest.mark.parametrize("name", WIDE)
def test_the_whole_language_has_symmetric_hessians(name):
    text = WIDE[name] + "E = minimize(sum(norm2(h[t] - 1) + sum(h[t]**3) for t in steps))\n"
    rng, k = np.random.default_rng(3), interpreted(text)
    buffers = Arguments(k.program, np.dtype("float64"), {}).buffers
    lead = {"shared": (), "sequence": (3,), "timed": (5, 3)}
    values = {label: 0.5 * rng.standard_normal((*lead[b.kind], *[2] * len(b.shape))) for label, b in buffers.items()}
    if "c" in values:
        values["c"] = rng.integers(-1, 2, (5, 3))
    grads = k.value_and_grad(values)[1]
    u, v = ({label: rng.standard_normal(np.shape(values[label])) for label in grads} for _ in range(2))
    Hu, Hv = k.hvp(values, u), k.hvp(values, v)
    scale = np.sqrt(max(inner(u, u) * inner(Hv, Hv), inner(v, v) * inner(Hu, Hu)))
    assert abs(inner(u, Hv) - inner(v, Hu)) < 1e-11 * scale and scale > 0.1
    if name in ("an index", "matrices", "a derived parameter", "a steady state at every step"):
        move = {label: values[label] + 1e-5 * v[label] for label in grads}, {label: values[label] - 1e-5 * v[label] for label in grads}
        plus, minus = (k.value_and_grad({**values, **at})[1] for at in move)
        assert largest({label: (plus[label] - minus[label]) / 2e-5 for label in grads}, Hv) < 1e-7
    moved = k.jvp(values, v)
    assert abs(moved.derivative - inner(grads, v)) < 1e-11 * np.sqrt(inner(grads, grads) * inner(v, v))
