"""Rows S1 to S5: steady states and trajectories, as in Seung's lecture; D is the diagonal of slopes, s the sensitivity."""

import numpy as np
import pytest
from oracles import numpy_cells, stock_layouts

import derive
from tests.codegen.kernel_cases import worst
from tests.sources.printed import jacobian, kernel, missing

STEADY = "f: function\nR = maximize(...)\nx: n = f(W @ x + b)\n"
TRAJECTORY = "f: function\nR = maximize(...)\nx[t]: n = f(W @ x[t-1] + b)\n"


@pytest.fixture(scope="module")
def settled():
    """One sequence at rest: values, state, and the kernel's gradients."""
    values = stock_layouts.draw("settle", seed=11, batch=1)
    x = numpy_cells.forward("settle", values)["x"][0]
    return values, x, kernel("settle").value_and_grad(values)[1]


@pytest.fixture(scope="module")
def travelled():
    """One sequence of five steps, all weighted by one: values, states from x(0) on, and the kernel's gradients."""
    values = stock_layouts.draw("trajectory", seed=12, batch=1, steps=5)
    values["w"] = np.ones_like(values["w"])
    x = np.concatenate([values["x[0]"], numpy_cells.forward("trajectory", values)["x"][:, 0]])
    return values, x, kernel("trajectory").value_and_grad(values)[1]


def test_s01_the_linear_system_gives_the_gradient_of_a_steady_state(settled):
    values, x, grads = settled
    slopes_inverse = np.diag(1 / (1 - x**2))
    s = np.linalg.solve(slopes_inverse - values["W"].T, x - values["d"][0])
    assert worst(grads["W"], np.outer(s, x)) < 1e-11 and worst(grads["b"], s) < 1e-11
    wrong = np.linalg.solve(slopes_inverse - values["W"], x - values["d"][0])
    assert worst(grads["b"], wrong) > 1e-3
    assert missing(STEADY, "x = f(W x + b)", "D = diag f′(W x + b)", "(D⁻¹ − Wᵀ) s = ∂R/∂x", "ΔW = η s xᵀ", "Δb = η s") == []


def test_s02_a_weight_acts_as_a_bias(settled):
    _, x, grads = settled
    assert worst(grads["W"], np.outer(grads["b"], x)) < 1e-11
    assert worst(grads["W"], np.outer(x, grads["b"])) > 1e-3
    assert missing(STEADY, "∂R/∂W_ij = x_j ∂R/∂b_i") == []


def test_s02_a_weight_acts_as_the_biases_of_all_steps(travelled):
    values, x, grads = travelled
    # b(t), the lecture's device: an input that is zero.
    device = "d[t]: n\nv[t]: n\nx[t]: n = tanh(W @ x[t-1] + b + v[t])\nE = minimize(sum(norm2(x[t] - d[t])/2 for t in steps))\n"
    given = {key: values[key] for key in ("W", "b", "d", "x[0]")}
    s = kernel(device).value_and_grad({**given, "v": np.zeros_like(values["d"])})[1]["v"][:, 0]
    assert worst(grads["W"], sum(np.outer(s[t], x[t]) for t in range(5))) < 1e-12
    assert worst(grads["W"], sum(np.outer(s[t], x[t + 1]) for t in range(5))) > 1e-3
    assert missing(TRAJECTORY, "∂R/∂W_ij = Σ_t x_j(t−1) ∂R/∂b_i(t) = Σ_t s_i(t) x_j(t−1)") == []


def test_s03_the_input_is_a_function_of_the_output():
    rng = np.random.default_rng(1)
    W, wanted = 2.5 * rng.normal(size=(4, 4)), rng.uniform(-0.9, 0.9, size=(3, 4))
    rest = kernel("b: input[n]\nW: (n, n)\nx: n = tanh(W @ x + b)\nE = minimize(norm2(x))\n")
    biases = np.arctanh(wanted) - wanted @ W.T
    assert worst(rest.forward({"W": W, "b": biases, "x0": wanted})["x"], wanted) < 1e-12
    assert missing(STEADY, "b = f⁻¹(x) − W x", "b_i = f⁻¹(x_i) − Σ_j W_ij x_j") == []


def test_s03_the_output_is_not_a_function_of_the_input():
    rest = kernel("b: input[n]\nW: (n, n)\nx: n = tanh(W @ x + b)\nE = minimize(norm2(x))\n")
    guesses = np.array([[2.0], [-2.0]])
    x = rest.forward({"W": [[2.0]], "b": np.zeros((2, 1)), "x0": guesses})["x"]
    assert x[0, 0] > 0.9 and x[1, 0] < -0.9
    assert worst(np.arctanh(x) - 2 * x, np.zeros((2, 1))) < 1e-12


def test_s04_jacobian_and_chain_rule(settled):
    values, x, grads = settled
    slopes_inverse = np.diag(1 / (1 - x**2))
    assert worst(jacobian(lambda x: np.arctanh(x) - values["W"] @ x, x), slopes_inverse - values["W"]) < 1e-12
    assert worst((slopes_inverse - values["W"].T) @ grads["b"], x - values["d"][0]) < 1e-11
    assert worst((slopes_inverse - values["W"]) @ grads["b"], x - values["d"][0]) > 1e-3
    lines = "∂b_i/∂x_j = f⁻¹′(x_i) δ_ij − W_ij = (D⁻¹ − W)_ij", "∂R/∂x = (D⁻¹ − Wᵀ) ∂R/∂b"
    assert missing(STEADY, *lines) == []


def test_s05_the_block_jacobian_is_solved_by_going_back_in_time(travelled):
    values, x, grads = travelled
    W, steps, n = values["W"], 5, 5

    def biases(later):
        earlier = np.concatenate([values["x[0]"], later[:-1]])
        return np.arctanh(later) - earlier @ W.T

    blocks = np.zeros((steps, n, steps, n))
    for t in range(steps):
        blocks[t, :, t] = np.diag(1 / (1 - x[t + 1] ** 2))
        if t:
            blocks[t, :, t - 1] = -W
    assert worst(jacobian(biases, x[1:]), blocks) < 1e-12
    explicit = x[1:] - values["d"][:, 0]
    s = np.linalg.solve(blocks.reshape(25, 25).T, explicit.ravel()).reshape(steps, n)
    assert worst(grads["W"], sum(np.outer(s[t], x[t]) for t in range(steps))) < 1e-11
    assert worst(grads["b"], s.sum(0)) < 1e-11 and worst(grads["x[0]"][0], W.T @ s[0]) < 1e-11
    back = np.zeros((steps + 1, n))  # s(T+1) = 0
    for t in reversed(range(steps)):
        slopes = 1 - x[t + 1] ** 2
        back[t] = slopes * (W.T @ back[t + 1]) + slopes * explicit[t]
    assert worst(back[:-1], s) < 1e-12
    assert worst(grads["b"], back[:-1].sum(0) + W.T @ back[0]) > 1e-3


def test_s05_the_derivation_is_printed():
    lines = [
        "x(t) = f(W x(t−1) + b(t))",
        "b(t) = f⁻¹(x(t)) − W x(t−1)",
        "∂b_i(t)/∂x_j(t′) = δ_tt′ (D⁻¹(t))_ij − W_ij δ_{t−1,t′}",
        "D(t) = diag f′(W x(t−1) + b(t))",
        "∂R/∂x(t) = D⁻¹(t) s(t) − Wᵀ s(t+1)",
        "s(t) = D(t) Wᵀ s(t+1) + D(t) ∂R/∂x(t)",
        "s(T+1) = 0",
        "∂R/∂x(0) = Wᵀ s(1)",
        "ΔW = η Σ_t s(t) x(t−1)ᵀ",
        "Δb = η Σ_t s(t)",
    ]
    assert missing(TRAJECTORY, *lines) == []
    assert missing(TRAJECTORY, *lines[::-1]) != []
    assert "final" not in "".join(derive.gradient(derive.load("trajectory")).gradients)
