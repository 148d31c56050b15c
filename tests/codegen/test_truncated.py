"""Truncated backpropagation through time against its definition: a sum over windows, each differentiated by JAX."""

import functools

import numpy as np
import pytest
from oracles import stock_layouts

from tests.codegen.kernel_cases import interpreted, same, worst

jax = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)
jnp = jax.numpy

TAPS = """
x[t]: m
d[t]: n
u: input[n]
h[t]: n = tanh(W @ h[t-1] + A @ h[t-3] + U @ x[t] + V @ x[t-2] + u)
h[0] = tanh(start)
start: n
a: scalar
E = minimize({})
"""
TAPS, PLACED = (TAPS.format(objective) for objective in (
    "a*sum(norm2(h[t] - d[t-1]) for t in steps)/2 + norm2(W) - sum(dot(h[t-2], u) for t in steps) + dot(u, start)",
    "a*sum(norm2(h[t] - d[t-1]) for t in steps[1:])/T + norm2(W) + dot(h[T], u)**2 + dot(u, start)",
))  # fmt: skip
LENGTHS = (6, 3, 0)
SETTINGS = [(2, 2), (2, 5), (1, 3), (3, 2), (4, 100), (6, 6)]


def drawn(lengths=None, T=6):
    rng, B = np.random.default_rng(3), len(lengths or [0])
    shapes = {"W": (3, 3), "A": (3, 3), "U": (3, 2), "V": (3, 2), "start": (3,), "a": (), "x": (T, B, 2), "d": (T, B, 3),
              "u": (B, 3), "h[-1]": (B, 3), "h[-2]": (B, 3)}  # fmt: skip
    values = {label: np.asarray(0.5 * rng.standard_normal(shape)) for label, shape in shapes.items()}
    for row, length in enumerate(lengths or ()):
        values["x"][length:, row] = values["d"][length:, row] = np.nan
    return {**values, "lengths": np.array(lengths)} if lengths else values


# The model and its windows, for one sequence, in JAX. Steps are counted from 1; before[j] stands at step -2 + j.


def step(v, t, h):
    """h at step t from the list of those before, the last three of which are read."""
    back = v["x"][t - 3] if t > 2 else jnp.zeros_like(v["x"][0])
    return jnp.tanh(v["W"] @ h[-1] + v["A"] @ h[-3] + v["U"] @ v["x"][t - 1] + v["V"] @ back + v["u"])


def costs(text, v, first, last, before, length):
    """What the steps first..last of so many cost, from the three values of h before them."""
    h, total = list(before), 0.0
    for t in range(first, last + 1):
        target = v["d"][t - 2] if t > 1 else jnp.zeros(3)
        h.append(step(v, t, h))
        cost = v["a"] * jnp.sum((h[-1] - target) ** 2)
        if text == TAPS:
            total += cost / 2 - jnp.dot(h[-3], v["u"])
        else:
            total += (cost / length if t > 1 else 0) + (jnp.dot(h[-1], jax.lax.stop_gradient(v["u"])) ** 2 if t == length else 0)
    return total


def untimed(v):
    return jnp.dot(v["u"], v["start"])


def beginning(v):
    return [v["h[-2]"], v["h[-1]"], jnp.tanh(v["start"])]


def gradient_of_one(text, v, length, k1, k2):
    """The sum over windows of the gradient of what they cost, the state before them held fixed."""
    h = beginning(v)
    for t in range(1, length + 1):
        h.append(step(v, t, h))
    last = jax.lax.stop_gradient(h[-1])  # what the objective makes of h[T] counts once, as terms without time do
    total = jax.grad(lambda v: untimed(v) + (jnp.dot(last, v["u"]) ** 2 if text == PLACED else 0))(v)
    for end in range(k1, length + k1, k1):
        first, last = max(end - k2 + 1, 1), min(end, length)

        def window(v, first=first, last=last):
            before = beginning(v) if first == 1 else h[first - 1 : first + 2]
            # What lags of the inputs read of the steps before is part of the state.
            inputs = {label: jnp.concatenate([jax.lax.stop_gradient(v[label][: first - 1]), v[label][first - 1 :]]) for label in ("x", "d")}
            return costs(text, {**v, **inputs}, first, last, before, length)

        total = jax.tree.map(jnp.add, total, jax.grad(window)(v))
    return total


@functools.cache
def wanted(text, lengths, k1, k2):
    """The gradient at `drawn(lengths)`."""
    values = drawn(lengths)
    rows = len(values["u"])
    lengths = lengths or [len(values["x"])] * rows
    own = {"x": 1, "d": 1, "u": 0, "h[-1]": 0, "h[-2]": 0}
    clean = {label: jnp.nan_to_num(array) for label, array in values.items() if label != "lengths"}
    found = {label: np.zeros(np.shape(array)) for label, array in clean.items()}
    for row in range(rows):
        v = {label: jnp.take(array, row, own[label]) if label in own else array for label, array in clean.items()}
        for label, part in gradient_of_one(text, v, int(lengths[row]), k1, k2).items():
            if label in own:
                found[label][(slice(None),) * own[label] + (row,)] = part
            else:
                found[label] += part
    found["W"] += 2 * values["W"]  # the penalty counts once, for all sequences and windows
    return found


@pytest.fixture(scope="module")
def kernel():
    return interpreted(TAPS)


@pytest.mark.parametrize(("text", "lengths"), [(TAPS, None), (TAPS, LENGTHS), (PLACED, None), (PLACED, (6, 3, 1))])
@pytest.mark.parametrize(("k1", "k2"), SETTINGS)
def test_the_gradient_is_the_sum_over_windows(k1, k2, text, lengths):
    kernel, values = interpreted(text), drawn(lengths)
    value, grads = kernel.truncated(values, k1=k1, k2=k2)
    right = wanted(text, lengths, k1, k2)
    assert value == kernel.value_and_grad(values)[0] and grads.keys() == right.keys()
    assert all(worst(grads[label], right[label]) < 1e-12 for label in right)
    # The twins: other windows.
    for other in set(SETTINGS) - {(k1, k2)}:
        assert any(worst(grads[label], array) > 1e-6 for label, array in wanted(text, lengths, *other).items()), other


def test_one_window_is_the_whole_gradient_and_single_windows_are_chunks(compiled):
    kernel, values = compiled("lstm"), stock_layouts.draw("lstm", seed=4, steps=9, batch=3)
    value, whole = kernel.value_and_grad(values)
    found = kernel.truncated(values, k1=9, k2=9)
    assert found[0] == value and all(worst(found[1][label], whole[label]) < 1e-13 for label in whole)
    cut = kernel.truncated(values, k1=4, k2=4)[1]
    carried, chunks = {}, {}
    for start in (0, 4, 8):
        run = kernel.forward({**values, **{label: values[label][start : start + 4] for label in ("x", "d")}, **carried})
        carried, grads = run.state, run.backward()
        for label, grad in grads.items():
            if label in ("x", "d"):
                assert worst(cut[label][start : start + 4], grad) < 1e-13
            elif "[" in label:
                assert start or worst(cut[label], grad) < 1e-13
            else:
                chunks[label] = chunks.get(label, 0) + grad
    assert all(worst(cut[label], chunks[label]) < 1e-13 for label in chunks)
    assert all(worst(whole[label], chunks[label]) > 1e-4 for label in ("Wi", "Uf", "bg"))


@pytest.mark.parametrize("name", ["elman", "narx", "gru", PLACED])
def test_compiled_and_interpreted_windows_agree(compiled, name):
    values = drawn((6, 3, 1)) if name == PLACED else stock_layouts.draw(name, seed=4, steps=11, lengths=[3, 11, 8])
    for k1, k2 in ((4, 4), (2, 5), (3, 1)):
        found, right = (kernel.truncated(values, k1=k1, k2=k2)[1] for kernel in (compiled(name), interpreted(name)))
        assert all(worst(found[label], right[label]) < 1e-13 for label in right)
        assert any(worst(found[label], part) > 1e-6 for label, part in compiled(name).value_and_grad(values)[1].items())


def test_each_sequence_is_as_if_it_were_alone(kernel):
    values = drawn(LENGTHS)
    whole = kernel.truncated(values, k1=2, k2=5)[1]
    for row, length in enumerate(LENGTHS):
        own = {label: array[:length, [row]] if label in ("x", "d") else array[[row]] if label in ("u", "h[-1]", "h[-2]") else array
               for label, array in values.items() if label != "lengths"}  # fmt: skip
        alone = kernel.truncated(own, k1=2, k2=5)[1]
        for label in ("x", "d"):
            assert worst(whole[label][:length, [row]], alone[label]) < 1e-14 and not whole[label][length:, row].any()
        assert all(worst(whole[label][[row]], alone[label]) < 1e-14 for label in ("u", "h[-1]", "h[-2]"))


def test_gradients_asked_for_and_arrays_to_fill(kernel):
    values = drawn()
    whole = kernel.truncated(values, k1=2, k2=3)[1]
    out = {"W": np.empty((3, 3)), "x": np.empty((6, 1, 2))}
    found = kernel.truncated(values, k1=2, k2=3, wrt=["x", "W"], out=out)[1]
    assert same(found, {label: whole[label] for label in out}) and all(found[label] is out[label] for label in out)
    single = {label: array[:, 0] if label in ("x", "d") else array[0] if label in ("u", "h[-1]", "h[-2]") else array
              for label, array in values.items()}  # fmt: skip
    assert kernel.truncated(single, k1=2, k2=3)[1]["x"].shape == (6, 2)


@pytest.mark.parametrize(("k1", "k2", "error", "said"), [
    (0, 3, ValueError, "k1 must be at least 1, not 0"),
    (3, -1, ValueError, "k2 must be at least 1, not -1"),
    (2.0, 3, TypeError, "k1 is 2.0; it must be a whole number of steps"),
    (2, True, TypeError, "k2 is True; it must be a whole number of steps"),
])  # fmt: skip
def test_wrong_windows_are_named(kernel, k1, k2, error, said):
    with pytest.raises(error, match=said):
        kernel.truncated(drawn(), k1=k1, k2=k2)


MODEL = "x[t]: n\na: scalar\nh[t]: n = a*h[t-1] + x[t]\n"
LATE, CURVED = "its steps need what is known after all of them alone", "its objective is no sum over steps, of which windows have a share"


@pytest.mark.parametrize(("text", "said"), [
    (MODEL + "E = minimize(sum(norm2(h[t]) for t in steps)**2)\n", CURVED),
    (MODEL + "E = minimize(sum(norm2(h[t]) for t in steps)*sum(norm2(x[t]) for t in steps))\n", CURVED),
    (MODEL + "E = minimize(norm2(h[2]) + norm2(h[T-1]))\n", CURVED),
    (MODEL + "E = minimize(sum(norm2(h[t] - h[T]) for t in steps))\n", LATE),
    (MODEL + "E = minimize(sum(norm2(h[t] - x[t+1]) for t in steps))\n", r"E reads x\[t\+1\], a step that is still to come"),
    ("bidirectional", r"hb\[t\] reads hb\[t\+1\], a step that is still to come"),
])  # fmt: skip
def test_objectives_without_windows_are_refused(text, said):
    kernel = interpreted(text)
    values = stock_layouts.draw("bidirectional", seed=1) if text == "bidirectional" else {"x": np.ones((4, 1, 1)), "a": np.ones(())}
    with pytest.raises(ValueError, match=f"cannot be truncated to windows of steps: {said}"):
        kernel.truncated(values, k1=2, k2=2)


def test_without_an_objective_there_is_nothing_to_truncate():
    with pytest.raises(ValueError, match="has no objective"):
        interpreted(MODEL).truncated({"x": np.ones((4, 1, 1)), "a": np.ones(())}, k1=2, k2=2)
