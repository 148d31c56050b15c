"""Forward sensitivities: their text, the gradient they give beside backpropagation, and their values beside differences."""

from __future__ import annotations

import numpy as np
import pytest
from sabotage import mutants

import derive
from derive.adjoint import gradient
from derive.directions import Directions
from derive.errors import RecurrenceError
from derive.files import stock_names
from derive.language import load, parse
from derive.proof import prove
from derive.realtime import Sensitivities, sensitivities
from derive.recurrence import Recurrence
from derive.reference import evaluate
from derive.writing import write

SIZES = {"n": 2, "m": 3, "k": 4, "p": 5, "q": 6}
STEPS, LENGTHS = 4, (4, 2)
WORKED = """x[t]: m
h[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)
E = minimize(sum(norm2(h[t]) for t in steps))
"""
CASES = {
    "a derived parameter": "x[t]: n\nA: (n, n)\nW: (n, n) = (A + A.T)/2\nh[t]: n = tanh(W @ h[t-1] + x[t])\n"
    "E = minimize(sum(norm2(h[t]) for t in steps) + norm2(A))\n",
    "scalars": "x[t]: n\na: scalar\nc: scalar\nv[t]: scalar = tanh(a*dot(x[t], b)*v[t-1] + c)\nb: n\n"
    "E = minimize(sum(v[t]**2 for t in steps[-2:]))\n",
    "one matrix in many places": "x[t]: n\nW: (n, n)\nh[t]: n = tanh(W.T @ h[t-1] + W @ x[t] + (W @ W) @ x[t] + diag(W)*h[t-2])\n"
    "E = minimize(sum(norm2(h[t]) for t in steps) + norm2(W))\n",
    "outer products": "x[t]: n\nW: (n, m)\nq: m\nh[t]: n = tanh(outer(h[t-1], q) @ (W.T @ x[t]) + diag(h[t-1]) @ x[t])\n"
    "E = minimize(sum(norm2(h[t]) for t in steps))\n",
    "functions of vectors": "x[t]: n\nW: (n, n)\nb: n\nE = minimize(sum(norm2(h[t]) for t in steps))\n"
    "h[t]: n = softmax(W @ h[t-1] + x[t])*layer_norm(b + h[t-2]) + log_softmax(W @ x[t]) + logsumexp(h[t-1]) - mean(h[t-1])*b\n",
    "slices": "x[t]: n\nW: (n, m)\nh[t]: n+m = concat(tanh(W @ h[t-1][n:n+m] + x[t]), W.T @ h[t-1][0:n] + W[0, :]*h[t-2][0])\n"
    "h[-1] = 0.3\nE = minimize(sum(norm2(h[t]) for t in steps) + norm2(W[:, 0]))\n",
    "choices": "x[t]: n\nW: (n, n)\nb: n\nh[t]: n = where(x[t] > 0, W @ h[t-1], b) + where(x[t][0] > 0, b, 0)\n"
    "E = minimize(sum(norm2(h[t]) for t in steps))\n",
    "quotients and powers": "x[t]: n\nd: n\na: scalar\nh[t]: n = x[t]/(2 + sin(d*h[t-1])) + h[t-1]/(3 + a) + (a*d)**2 + sqrt(2 + a)\n"
    "E = minimize(sum(norm2(h[t]) for t in steps))\n",
    "values outside, and a loop backward": "x[t]: n\nW: (n, n)\nh0: n\nh[t]: n = tanh(W @ h[t-1] + x[t])\nh[0] = tanh(W @ h0)\n"
    "g[t]: n = tanh(W @ g[t+1] + h[t-1])\ny[t]: n = W @ h[t-1] + g[t+1]\n"
    "E = minimize(sum(norm2(y[t]) for t in steps) + norm2(h[0]) + norm2(h[T]))\n",
    "sums over time between loops": "x[t]: n\nW: (n, n)\nh[t]: n = tanh(W @ h[t-1] + x[t])\nq: n = sum(h[t] for t in steps[1:])/T\n"
    "g[t]: n = tanh(W @ g[t-1] + q + h[1])\nE = minimize(norm2(g[T]) + norm2(q))\n",
    "a total between sequences": "x[t]: n\nW: (n, n)\nb: n\nu: input[n]\nS: total[n] = W @ u + b + 2*(u + b)\n"
    "g[t]: n = tanh(W @ g[t-1] + S + x[t])\nE = minimize(norm2(g[T]) + norm2(S))\n",
    "two layers": "x[t]: m\nh1[t]: n = tanh(W1 @ h1[t-1] + U1 @ x[t])\nq[t]: n = sin(h1[t])\nh2[t]: n = tanh(W2 @ h2[t-1] + U2 @ q[t])\n"
    "E = minimize(sum(norm2(h2[t]) + dot(q[t], h2[t]) for t in steps))\n",
    "a shared steady state": "x[t]: n\nW: (n, n)\nb: n\nz: n = tanh(0.4*(W @ z) + b)\nh[t]: n = tanh(W @ h[t-1] + x[t] + z)\n"
    "E = minimize(sum(norm2(h[t]) for t in steps) + norm2(z))\n",
    "a steady state at every step": "x[t]: n\nW: (n, n)\nA: (n, n)\ns[t]: n = tanh(0.3*(W @ s[t]) + A @ s[t-1] + x[t])\n"
    "E = minimize(sum(norm2(s[t]) for t in steps))\n",
    "no state": "x[t]: n\nW: (n, m)\ny[t]: n = tanh(W @ (W.T @ x[t]))\nE = minimize(sum(norm2(y[t]) for t in steps))\n",
    "a stopped gradient": "x[t]: n\nW: (n, n)\nh[t]: n = tanh(W @ stop_gradient(h[t-1]) + x[t])\n"
    "E = minimize(sum(norm2(h[t]) for t in steps))\n",
    "a matrix as a state": "x[t]: n\nlam: scalar\nQ: (n, n)\nA[t]: (n, n) = lam*A[t-1] + outer(x[t], Q @ x[t]) + 0.1*(A[t-1] @ Q)\n"
    "h[t]: n = tanh(A[t] @ h[t-1])\nE = minimize(sum(norm2(h[t]) + sum(A[t]*Q) for t in steps))\n",
}  # fmt: skip


def drawn(recurrence: Recurrence, seed: int) -> dict[str, np.ndarray]:
    rng, lead = np.random.default_rng(seed), {0: (), 1: (len(LENGTHS),), 2: (STEPS, len(LENGTHS))}
    values = {}
    for target in (*recurrence.of_role("input", "parameter", "constant"), *recurrence.arguments):
        shape = (int(size.subs({d: SIZES[d.name] for d in size.free_symbols})) for size in target.shape)
        values[target.source()] = 0.5 * rng.standard_normal([*lead[int(target.kind)], *shape])
    return values


def computed(recurrence: Recurrence, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return evaluate(recurrence, values, STEPS, len(LENGTHS), LENGTHS)


def labels(recurrence: Recurrence) -> list[str]:
    return [target.source() for target in (*recurrence.of_role("parameter"), *recurrence.arguments)]


def error(made: Sensitivities, recurrence: Recurrence, seed: int = 0) -> float:
    """The largest difference between the gradients by sensitivities and by backpropagation; infinite for NaN or another shape."""
    backward, values = gradient(recurrence), drawn(recurrence, seed)
    found, wanted = computed(made.recurrence, values), computed(backward.recurrence, values)
    worst = 0.0
    for label, quantity in made.gradients.items():
        one, other = found[quantity.name], wanted[backward.gradients[label].name]
        difference = np.max(np.abs(one - other), initial=0.0) if one.shape == other.shape else np.inf
        worst = max(worst, float(difference) if np.isfinite(difference) else np.inf)
    return worst


def equations(made: Sensitivities) -> list[str]:
    return [line.split("  # ")[0].rstrip() for line in write(made.recurrence).splitlines()]


def test_the_worked_example_comes_out_line_by_line() -> None:
    assert equations(sensitivities(parse(WORKED)))[8:] == [
        "h_by_W[t]: (n, n*n) = diag(1 - h[t]**2) @ (kron(eye(n), h[t-1]) + W @ h_by_W[t-1])",
        "h_by_W[0] = 0",
        "h_by_U[t]: (n, m*n) = diag(1 - h[t]**2) @ (W @ h_by_U[t-1] + kron(eye(n), x[t]))",
        "h_by_U[0] = 0",
        "h_by_b[t]: (n, n) = diag(1 - h[t]**2) @ (W @ h_by_b[t-1] + eye(n))",
        "h_by_b[0] = 0",
        "h_bar[t]: n = 2*h[t]",
        "W_bar: total[n, n] = sum(reshape(h_by_W[t].T @ h_bar[t], n, n) for t in steps)",
        "U_bar: total[n, m] = sum(reshape(h_by_U[t].T @ h_bar[t], n, m) for t in steps)",
        "b_bar: total[n] = sum(h_by_b[t].T @ h_bar[t] for t in steps)",
    ]


def test_what_leads_only_to_the_objective_has_no_sensitivities() -> None:
    made = sensitivities(load("elman"), ["W", "V"])
    assert set(made.by) == {("h", "W")} and set(made.gradients) == {"W", "V"}
    assert "V_bar: total[k, n] = sum(outer(s_y[t], h[t]) for t in steps)" in equations(made)


def test_a_steady_state_has_sensitivities_on_a_linear_cycle() -> None:
    found = equations(sensitivities(load("settle"), "W"))
    assert "x_by_W: (n, n*n) = diag(1 - x**2) @ (kron(eye(n), x) + W @ x_by_W)" in found


def test_without_an_objective_every_signal_has_its_own() -> None:
    made = sensitivities(parse("x[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t])\ny[t]: k = V @ h[t]\n"), ["W", "V"])
    assert set(made.by) == {("h", "W"), ("y", "W"), ("y", "V")} and made.gradients == {}


@pytest.mark.parametrize("name", stock_names())
def test_stock_gradients_equal_backpropagation(name: str) -> None:
    recurrence = load(name)
    made = sensitivities(recurrence, labels(recurrence))
    assert set(made.gradients) == set(labels(recurrence)) and (made.by or not recurrence.arguments)
    assert error(made, recurrence) < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_backpropagation_through_text(name: str) -> None:
    recurrence = parse(CASES[name])
    made = sensitivities(recurrence, labels(recurrence))
    assert error(made, recurrence, seed=1) < 1e-12
    again = parse(write(made.recurrence))
    values = drawn(recurrence, 2)
    one, other = computed(again, values), computed(made.recurrence, values)
    assert all(np.array_equal(one[q.name], other[q.name]) for q in made.gradients.values())


@pytest.mark.parametrize("text", [WORKED, CASES["one matrix in many places"]])
def test_a_wrong_equation_shows(text: str) -> None:
    recurrence = parse(text)
    made, alive = sensitivities(recurrence, ["W"]), []
    found = [mutant for mutant in mutants(made) if "missing ghost" not in mutant[0]]
    for name, wrong in found:
        try:
            if error(wrong, recurrence) < 1e-9:
                alive.append(name)
        except (ValueError, KeyError, RecurrenceError):
            continue
    assert len(found) > 25 and alive == []


@pytest.mark.parametrize("sabotage", [False, True])
def test_sensitivities_equal_differences_of_the_state(sabotage: bool) -> None:
    recurrence = load("gru")
    made, values = sensitivities(recurrence, ["Wg", "Uz", "h[0]"]), drawn(recurrence, 3)
    found, worst = computed(made.recurrence, values), 0.0
    for (state, label), holder in made.by.items():
        columns = found[holder.name]
        for place, index in enumerate(np.ndindex(values[label].shape[label == "h[0]" :])):
            at = (slice(None), *index) if label == "h[0]" else index
            moved = {**values, label: values[label].astype(complex)}
            moved[label][at] += 1e-30j
            difference = np.imag(computed(recurrence, moved)[state]) / 1e-30
            worst = max(worst, np.max(np.abs(columns[..., place - sabotage] - difference)))
    assert (worst < 1e-13) != sabotage


@pytest.mark.parametrize("name", ["trajectory", "narx", "settle", "bidirectional"])
def test_stock_sensitivities_are_proved(name: str) -> None:
    made = sensitivities(load(name))
    assert prove(made).proved
    wrong = next(mutant for label, mutant in mutants(made) if label.startswith("dropped term in"))
    assert not prove(wrong).proved


def test_sensitivities_are_themselves_differentiable() -> None:
    made, values = sensitivities(parse(WORKED), "W"), drawn(parse(WORKED), 4)
    again = gradient(parse(write(made.recurrence).replace("E: total", "first: total") + "G = minimize(norm2(W_bar))\n"))
    moved = {**values, "W": values["W"].astype(complex)}
    moved["W"][0, 1] += 1e-30j
    slope = np.imag(np.sum(computed(made.recurrence, moved)["W_bar"] ** 2)) / 1e-30
    assert abs(computed(again.recurrence, values)[again.gradients["W"].name][0, 1] - slope) < 1e-12


def test_what_cannot_be_is_refused_by_name() -> None:
    for wrt, problem in {"x": "x has a value at every step", "Q": "no Q to derive by"}.items():
        with pytest.raises(RecurrenceError, match=problem):
            sensitivities(parse(WORKED), wrt)
    with pytest.raises(RecurrenceError, match="S is one for all sequences and depends on u"):
        sensitivities(parse(CASES["a total between sequences"]), ["u"])
    text = "x[t]: n\nW: (n, n)\nh[t]: n = reshape(kron(W, x[t]), n*n, n)[0:n, :] @ h[t-1]\nE = minimize(norm2(h[T]))\n"
    with pytest.raises(RecurrenceError, match=r"no sensitivities through kron: kron\(W"):
        sensitivities(parse(text))


def test_names_avoid_the_users() -> None:
    made = sensitivities(parse(WORKED.replace("x[t]: m", "x[t]: m\nh_by_W: (n, n)").replace("W @", "(W + h_by_W) @")), "W")
    assert made.by["h", "W"].name == "h_by_W2" and error(made, made.source) < 1e-12


def test_the_derivation_reads_as_text_and_latex() -> None:
    made = derive.sensitivities(load("elman"), "W")
    text, latex = made.to_text(), made.to_latex()
    assert text.startswith("Forward sensitivities of: Elman") and "∂h(t)/∂W = diag(1 − h(t)²) (I ⊗ h(t−1)ᵀ + W ∂h(t−1)/∂W)" in text
    assert "∂E/∂vec(W) = Σ_t (∂h(t)/∂W)ᵀ ∂E/∂h(t)" in text and "[williams1989]" in text
    assert r"I \otimes h(t-1)^{\top} + W\, \frac{\partial h(t-1)}{\partial W}" in latex
    assert "Forward sensitivities of: Elman" in made.to_html() and r"\otimes" in made._repr_latex_()
    assert [step.number for step in made.steps] == list(range(1, len(made.steps) + 1))
    assert sorted({step.section for step in made.steps}) == list(range(1, made.steps[-1].section + 1))
    direct = derive.sensitivities(load("elman"), "V")
    assert "Without any state in between" in direct.to_text() and direct.steps[-1].section == 6


def test_an_abstract_objective_enters_through_its_derivatives() -> None:
    made = sensitivities(parse("f: function\nR = maximize(...)\nx[t]: n = f(W @ x[t-1] + b)\n"), "W")
    assert prove(made).proved and made.to_text().count("∂R/∂x(t)") == 5
    assert "∂x(t)/∂W = diag f′(z(t)) (I ⊗ x(t−1)ᵀ + W ∂x(t−1)/∂W)" in made.to_text()


def test_many_directions_are_one_at_a_time_side_by_side() -> None:
    """An expression without a tangent has zeros for every direction."""
    recurrence = parse(WORKED)
    lift = Directions(recurrence.named["b"].shape[0], {}, lambda read: read)
    assert lift.of(recurrence.named["W"]).source() == "zeros(n*n, n)"
