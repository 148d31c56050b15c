"""Rows S11 to S14: layers, vector activations, feedback and skips, bidirectional blocks; the source's algorithms, step by step."""

import numpy as np
import pytest
from oracles import numpy_cells, stock_layouts

from tests.codegen.kernel_cases import worst
from tests.sources.printed import jacobian, kernel, missing

LAYERS = ("1", "2", "3")


def backward_of_the_source(values, run):
    """The slide's loop for one sequence: through time, and within a step through the layers from the top down."""
    steps, v = len(values["x"]), values
    states = {(t, layer): run["h" + layer][t - 1, 0] for t in range(1, steps + 1) for layer in LAYERS}
    states |= {(0, layer): v[f"h{layer}[0]"][0] for layer in LAYERS} | {(t, "0"): v["x"][t - 1, 0] for t in range(1, steps + 1)}
    grads = {label: np.zeros_like(v[label]) for label in v if label not in ("x", "d") and "[" not in label}
    dh = {key: np.zeros_like(state) for key, state in states.items()}
    for t in range(steps, 0, -1):
        y, d = run["y"][t - 1, 0], v["d"][t - 1, 0]
        dzo = (-d / y) @ (np.diag(y) - np.outer(y, y))  # dY(t) Jacobian(Y(t), zo(t))
        grads["Wo"] += np.outer(dzo, states[t, "3"])
        grads["bo"] += dzo
        dh[t, "3"] += dzo @ v["Wo"]
        for layer in reversed(LAYERS):
            below = str(int(layer) - 1)
            dz = dh[t, layer] * (1 - states[t, layer] ** 2)
            dh[t, below] += dz @ v["Wc" + layer]
            dh[t - 1, layer] += dz @ v["Wr" + layer]
            grads["Wc" + layer] += np.outer(dz, states[t, below])
            grads["Wr" + layer] += np.outer(dz, states[t - 1, layer])
            grads["b" + layer] += dz
    grads |= {f"h{layer}[0]": dh[0, layer][None] for layer in LAYERS}
    return grads | {"x": np.stack([dh[t, "0"][None] for t in range(1, steps + 1)])}


def test_s11_the_algorithm_of_the_source_gives_every_gradient():
    values = stock_layouts.draw("deep", seed=3, steps=5, batch=1)
    found = kernel("deep").value_and_grad(values)[1]
    wanted = backward_of_the_source(values, numpy_cells.forward("deep", values))
    assert set(wanted) == set(found) - {"d"}
    assert max(worst(found[label], wanted[label]) for label in wanted) < 1e-12
    forgetful = backward_of_the_source({**values, "Wr2": 0 * values["Wr2"]}, numpy_cells.forward("deep", values))
    assert worst(found["Wc1"], forgetful["Wc1"]) > 1e-4


def test_s12_the_softmax_has_a_jacobian():
    text = "z[t]: k\ny[t]: k = softmax(z[t])\nE = minimize(sum(norm2(y[t]) for t in steps))\n"
    rng = np.random.default_rng(4)
    z, seed = rng.normal(size=(2, 1, 4)), rng.normal(size=(2, 1, 4))
    run = kernel(text).forward({"z": z})
    pulled = run.backward({"y": seed})["z"]
    for t in range(2):
        y = run["y"][t, 0]
        full = jacobian(lambda z: np.exp(z) / np.exp(z).sum(), z[t, 0])
        assert worst(full, np.diag(y) - np.outer(y, y)) < 1e-12
        assert worst(pulled[t, 0], seed[t, 0] @ full) < 1e-12
        assert worst(pulled[t, 0], seed[t, 0] * np.diag(full)) > 1e-3


def spread(outputs):
    """A divergence that is no sum over steps: it looks at all outputs at once."""
    return (outputs[0] * outputs[-1]).sum() ** 2 + np.log((outputs**2).sum()) + (outputs.prod(0) * 100).sum()


def test_s12_any_function_of_all_outputs_by_cotangents():
    values = stock_layouts.draw("elman", seed=5, steps=4, batch=2)
    run = kernel("elman").forward(values)
    grads = run.backward({"y": jacobian(spread, run["y"].astype(float))})
    for label in ("W", "U", "b", "V", "c", "x", "h[0]"):
        direction = np.random.default_rng(6).normal(size=values[label].shape)
        moved = {**values, label: values[label] + 1e-30j * direction}
        wanted = spread(numpy_cells.forward("elman", moved)["y"]).imag / 1e-30
        assert abs((grads[label] * direction).sum() - wanted) < 1e-11 * max(1, abs(wanted)), label
    assert worst(grads["W"], run.backward()["W"]) > 1e-3


def test_s12_a_sum_over_steps_is_such_a_function():
    values = stock_layouts.draw("elman", seed=5, steps=4, batch=2)
    run = kernel("elman").forward(values)
    grads, pulled = run.backward(), run.backward({"y": -values["d"] / run["y"]})
    assert max(worst(pulled[label], grads[label]) for label in ("W", "U", "V", "x", "h[0]")) < 1e-12


@pytest.mark.parametrize(("link", "ghosts"), [("W1", ["h[0]"]), ("W2", ["h[0]", "h[-1]"]), ("F", ["y[0]"])])
def test_s13_every_link_carries_its_own_gradient(link, ghosts):
    """Without the other two links the network has one recurrence, and its gradient is that of a file that has no other."""
    terms = {"W1": "W1 @ h[t-1]", "W2": "W2 @ h[t-2]", "F": "F @ y[t-1]"}
    alone = f"""x[t]: m
d[t]: k
h[t]: n = tanh({terms[link]} + U @ x[t] + b)
y[t]: k = tanh(V @ h[t] + c)
E = minimize(sum(norm2(y[t] - d[t])/2 for t in steps))
"""
    values = stock_layouts.draw("feedback", seed=6, steps=6)
    cut = {**values, **{other: 0 * values[other] for other in terms if other != link}}
    wanted = kernel(alone).value_and_grad({key: values[key] for key in ("x", "d", "U", "b", "V", "c", link, *ghosts)})[1]
    found = kernel("feedback").value_and_grad(cut)[1]
    assert max(worst(found[label], wanted[label]) for label in wanted) < 1e-12 and {link, *ghosts} <= set(wanted)
    assert worst(kernel("feedback").value_and_grad(values)[1][link], wanted[link]) > 1e-3


def test_s13_the_sensitivity_collects_from_all_links():
    lines = [
        "s_y(t) = D_y(t) Fᵀ s_h(t+1) + D_y(t) ∂E/∂y(t)",
        "s_h(t) = D_h(t) (Vᵀ s_y(t) + W1ᵀ s_h(t+1) + W2ᵀ s_h(t+2))",
        "s_h(T+1) = s_h(T+2) = 0",
        "∂E/∂h(0) = W1ᵀ s_h(1) + W2ᵀ s_h(2)",
        "∂E/∂h(−1) = W2ᵀ s_h(1)",
    ]
    assert missing("feedback", *lines) == []


def one_way(values, side, reverse):
    """One net of the bidirectional recurrence as a file of its own, on the sequence turned round where it runs backward."""
    text = "x[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)\nE = minimize(sum(norm2(h[t]) for t in steps))\n"
    given = {name: values[name + side] for name in "WUb"} | {"x": values["x"][::-1] if reverse else values["x"]}
    return kernel(text).forward({**given, "h[0]": values["hb[T+1]" if reverse else "hf[0]"]})


def test_s14_gradients_of_both_nets_add_up_at_the_inputs():
    values = stock_layouts.draw("bidirectional", seed=7, steps=5)
    run = kernel("bidirectional").forward(values)
    rng = np.random.default_rng(8)
    seeds = {signal: rng.normal(size=run[signal].shape) for signal in ("hf", "hb")}
    grads = run.backward(seeds)
    forward = one_way(values, "f", False).backward({"h": seeds["hf"]})
    backward = one_way(values, "b", True).backward({"h": seeds["hb"][::-1]})
    assert worst(grads["x"], forward["x"] + backward["x"][::-1]) < 1e-12
    assert worst(grads["x"], forward["x"] + backward["x"]) > 1e-3
    assert worst(grads["hf[0]"], forward["h[0]"]) < 1e-12 and worst(grads["hb[T+1]"], backward["h[0]"]) < 1e-12
    for name in "WUb":
        assert worst(grads[name + "f"], forward[name]) < 1e-12 and worst(grads[name + "b"], backward[name]) < 1e-12


def test_s14_blocks_stand_on_top_of_each_other():
    values = stock_layouts.draw("bidirectional_stack", seed=9, steps=5)
    grads = kernel("bidirectional_stack").value_and_grad(values)[1]
    ends = {"f1[0]", "f2[0]", "f3[0]", "g1[T+1]", "g2[T+1]"}
    assert ends <= set(grads) and all(np.abs(grads[end]).max() > 1e-6 for end in ends)
    # Cotangents at the lower block's output reach its own nets alone.
    run = kernel("bidirectional_stack").forward(values)
    pulled = run.backward({"u": np.ones_like(run["u"])})
    assert all(pulled[label].any() for label in ("x", "Wf1", "Uf2", "Wg1")) and not (pulled["Wf3"].any() or pulled["Ug2"].any())
