"""Rows S16 and S19 to S22: Martens' form; initial states, inputs, targets, and the unfolded network, as in Hinton's lecture."""

import numpy as np
import pytest
from oracles import numpy_cells, stock_layouts

import codegen
import derive
from tests.codegen.kernel_cases import worst
from tests.sources.printed import kernel, missing

NETWORK = "x[t]: m\nd[t]: n\nh[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)\n"
SCORE = "E = minimize(sum(norm2(h[t] - d[t])/2 for t in steps))\n"


def of_the_answer(values, run, parentheses):
    """The answer's matrices for one sequence, columns being steps; its line for dh lacks a pair of parentheses."""
    h, y, x = (a[:, 0].T for a in (run["h"], run["y"], values["x"]))
    dtanh, dy = 1 - h**2, (y - values["d"][:, 0].T) * y * (1 - y)
    pre_dh, dh = values["Wyh"].T @ dy, np.zeros_like(h)
    dh[:, -1] = pre_dh[:, -1] * dtanh[:, -1]
    for i in range(h.shape[1] - 1, 0, -1):
        back = values["Whh"].T @ dh[:, i]
        dh[:, i - 1] = (pre_dh[:, i - 1] + back) * dtanh[:, i - 1] if parentheses else pre_dh[:, i - 1] + back * dtanh[:, i - 1]
    before = np.concatenate([values["h[0]"].T, h[:, :-1]], axis=1)
    return {"Wyh": dy @ h.T, "Whh": dh @ before.T, "Whx": dh @ x.T, "bh": dh.sum(1), "by": dy.sum(1)}


def test_s16_the_gradients_in_matrix_form():
    values = stock_layouts.draw("martens", seed=3, steps=6, batch=1)
    run, found = numpy_cells.forward("martens", values), kernel("martens").value_and_grad(values)[1]
    right, printed = (of_the_answer(values, run, parentheses) for parentheses in (True, False))
    assert max(worst(found[label], right[label]) for label in right) < 1e-12
    assert worst(found["Wyh"], printed["Wyh"]) < 1e-12
    assert min(worst(found[label], printed[label]) for label in ("Whh", "Whx", "bh")) > 1e-3


@pytest.mark.parametrize("start", ["0.5", "h0", "given"])
def test_s19_where_a_network_starts(start):
    text = NETWORK + SCORE + {"0.5": "h[0] = 0.5\n", "h0": "h[0] = h0\nh0: n\n", "given": ""}[start]
    values = {k: v for k, v in stock_layouts.draw("elman", seed=4).items() if k not in ("V", "c", "d", "h[0]")}
    values["d"] = np.random.default_rng(5).normal(size=(7, 2, 5))
    each, shared = np.random.default_rng(6).uniform(size=(2, 5)), np.full(5, 0.5)
    free = kernel(NETWORK + SCORE)
    if start == "given":
        assert free.value_and_grad({**values, "h[0]": each})[1]["h[0]"].shape == (2, 5)
        assert missing(text, "∂E/∂h(0) = Wᵀ s(1)", "Δh(0) = −η Wᵀ s(1)") == []
        return
    grads = kernel(text).value_and_grad({**values, "h0": shared} if start == "h0" else values)[1]
    wanted = free.value_and_grad({**values, "h[0]": np.tile(shared, (2, 1))})[1]
    assert worst(grads["W"], wanted["W"]) < 1e-12
    assert "h[0]" not in grads
    if start == "h0":
        assert worst(grads["h0"], wanted["h[0]"].sum(0)) < 1e-12 and worst(grads["h0"], wanted["h[0]"].mean(0)) > 1e-3
        assert missing(text, "∂E/∂h(0) = Wᵀ s(1)", "∂E/∂h0 = ∂E/∂h(0)", "Δh0 = −η ∂E/∂h(0)") == []


def test_s20_the_initial_state_of_all_units_or_of_some():
    some = "u: input[m]\nW: (n, n)\nh[t]: n = tanh(W @ h[t-1])\nh[0] = concat(u, rest)\nrest: n - m\nE = minimize(norm2(h[T]))\n"
    some = some.replace("n - m", "q").replace(": n", ": m + q").replace("(n, n)", "(m + q, m + q)")
    rng = np.random.default_rng(7)
    W, u, rest = rng.normal(size=(5, 5)) / 2, rng.normal(size=(2, 3)), rng.normal(size=2)
    grads = kernel(some).value_and_grad({"W": W, "u": u, "rest": rest}, steps=4)[1]
    every = "h[t]: n = tanh(W @ h[t-1])\nW: (n, n)\nE = minimize(norm2(h[T]))\n"
    start = np.concatenate([u, np.tile(rest, (2, 1))], axis=1)
    wanted = kernel(every).value_and_grad({"W": W, "h[0]": start}, steps=4)[1]
    assert worst(grads["u"], wanted["h[0]"][:, :3]) < 1e-12 and worst(grads["rest"], wanted["h[0]"][:, 3:].sum(0)) < 1e-12
    assert worst(grads["W"], wanted["W"]) < 1e-12 and worst(grads["u"], wanted["h[0]"][:, 2:]) > 1e-3


def test_s20_clamped_units_take_the_input_at_every_step():
    values = stock_layouts.draw("clamped", seed=8)
    run = kernel("clamped").forward(values)
    assert np.array_equal(run["s"][..., :3], values["x"]) and np.array_equal(run["s"][..., 3:], run["h"])
    # The same with the weights from clamped units named U, which read the input a step late.
    apart = "x[t]: m\nd[t]: k\nw[t]: scalar\nu: input[m]\nh[t]: k + p = tanh(W @ h[t-1] + U @ x[t-1] + w[t]*(U @ u) + b)\n"
    apart += "E = minimize(sum(norm2(h[t][0:k] - d[t])/2 for t in steps))\n"
    first = np.zeros((7, 2))
    first[0] = 1.0
    given = {"x": values["x"], "d": values["d"], "w": first, "u": values["s[0]"][:, :3], "h[0]": values["s[0]"][:, 3:], "b": values["b"]}
    wanted = kernel(apart).value_and_grad({**given, "W": values["W"][:, 3:], "U": values["W"][:, :3]})[1]
    grads = run.backward()
    assert worst(grads["W"], np.concatenate([wanted["U"], wanted["W"]], axis=1)) < 1e-12
    assert worst(grads["x"], wanted["x"]) < 1e-12 and worst(grads["s[0]"][:, 3:], wanted["h[0]"]) < 1e-12
    assert worst(grads["s[0]"][:, :3], wanted["u"]) < 1e-12 and not grads["x"][-1].any() and grads["x"][-2].any()


TARGETS = {
    "the final state of all units": ("norm2(h[T] - d[T])/2", slice(-1, None), slice(None)),
    "the last few steps": ("sum(norm2(h[t] - d[t])/2 for t in steps[-3:])", slice(-3, None), slice(None)),
    "a subset of units": ("sum(norm2(h[t][0:2] - d[t][0:2])/2 for t in steps)", slice(None), slice(2)),
    "every step": ("sum(norm2(h[t] - d[t])/2 for t in steps)", slice(None), slice(None)),
}


@pytest.mark.parametrize("where", TARGETS)
def test_s21_error_derivatives_are_added_where_targets_are(where):
    cost, steps, units = TARGETS[where]
    rng = np.random.default_rng(9)
    drawn = stock_layouts.draw("elman", seed=10)
    values = {key: drawn[key] for key in ("W", "U", "b", "x", "h[0]")} | {"d": rng.normal(size=(7, 2, 5))}
    run = kernel(NETWORK + f"E = minimize({cost})\n").forward(values)
    seed = np.zeros((7, 2, 5))
    seed[steps, :, units] = (run["h"] - values["d"])[steps, :, units]
    grads, pulled = run.backward(), run.backward({"h": seed})
    assert max(worst(grads[label], pulled[label]) for label in ("W", "U", "b", "x", "h[0]")) < 1e-12
    assert worst(grads["W"], run.backward({"h": np.roll(seed, -1, 0)})["W"]) > 1e-3


def test_s21_an_attractor_has_targets_for_some_units_at_the_last_steps():
    values = stock_layouts.draw("attractor", seed=11)
    run = kernel("attractor").forward(values)
    seed = np.zeros_like(run["h"])
    seed[-3:, :, :4] = run["h"][-3:, :, :4] - values["d"]
    grads, pulled = run.backward(), run.backward({"h": seed})
    assert max(worst(grads[label], pulled[label]) for label in ("W", "U", "b", "x")) < 1e-12
    assert grads["x"][:2].any() and not grads["x"][2:].any()
    assert codegen.check("attractor", kernel=kernel("attractor"), steps=4, batch=2).passed


def test_s22_unfolded_feedforward_equivalence():
    """Three layers with shared weights, without time: the same value and gradients as three steps of the network."""
    layers = [f"h{i}: n = tanh(W @ h{i - 1} + U @ x{i} + b)\n" for i in (1, 2, 3)]
    inputs = "h0: input[n]\n" + "".join(f"x{i}: input[m]\nd{i}: input[n]\n" for i in (1, 2, 3))
    score = "E = minimize(norm2(h1 - d1)/2 + norm2(h2 - d2)/2 + norm2(h3 - d3)/2)\n"
    drawn = stock_layouts.draw("elman", seed=12, steps=3)
    values = {key: drawn[key] for key in ("W", "U", "b", "x", "h[0]")} | {"d": np.random.default_rng(13).normal(size=(3, 2, 5))}
    apart = {"h0": values["h[0]"]} | {f"{name}{i}": values[name][i - 1] for name in "xd" for i in (1, 2, 3)}
    shared = {key: values[key] for key in ("W", "U", "b")}
    value, grads = kernel(NETWORK + SCORE).value_and_grad(values)
    other, wanted = kernel(inputs + "".join(layers) + score).value_and_grad({**apart, **shared})
    assert abs(value - other) < 1e-12 * value
    assert max(worst(grads[label], wanted[label]) for label in shared) < 1e-12
    assert worst(grads["h[0]"], wanted["h0"]) < 1e-12 and worst(grads["x"], np.stack([wanted[f"x{i}"] for i in (1, 2, 3)])) < 1e-12
    # With weights of its own for every layer, the derivatives at the different times are added together.
    own = [line.replace("W @", f"W{i} @").replace("U @", f"U{i} @").replace("b)", f"b{i})") for i, line in enumerate(layers, 1)]
    copies = {f"{name}{i}": a for name, a in shared.items() for i in (1, 2, 3)}
    single = kernel(inputs + "".join(own) + score).value_and_grad({**apart, **copies})[1]
    for label in shared:
        parts = [single[f"{label}{i}"] for i in (1, 2, 3)]
        assert worst(grads[label], sum(parts)) < 1e-12 and worst(grads[label], parts[2]) > 1e-3


def test_s22_the_unfolding_is_printed():
    assert missing(NETWORK + SCORE, "h(0) ─W,U,b→ h(1) ─W,U,b→ ⋯ ─W,U,b→ h(T)") == []
    assert derive.prove(derive.gradient(derive.load("trajectory"))).proved
