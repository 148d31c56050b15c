"""Stopped gradients and chosen slopes: what they send, and what numeric differentiation holds fixed."""

import numpy as np
import pytest

import derive
from codegen.checking import check
from derive.holding import hold
from derive.normal import normalise
from derive.reference import evaluate
from derive.writing import write
from tests.codegen.kernel_cases import interpreted, worst

STOPPED = """
x[t]: m
d[t]: k
h[t]: n = tanh(W @ stop_gradient(h[t-1]) + U @ x[t] + b)
y[t]: k = V @ h[t]
E = minimize(sum(norm2(y[t] - d[t]) for t in steps) + norm2(stop_gradient(W) - V.T @ V))
"""
SPIKING = """
x[t]: m
spike = surrogate(lambda u: where(u > 0, 1, 0), lambda u: 1/(1 + 2*abs(u))**2)
v[t]: n = 0.9*v[t-1] - stop_gradient(o[t-1]) + W @ o[t-1] + U @ x[t]
o[t]: n = spike(v[t] - 0.3)
E = minimize(sum(norm2(o[t] - 0.25) for t in steps))
"""


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def draw(text, rng, steps=5, batch=2):
    sizes = {"n": 3, "m": 2, "k": 4}
    values = {}
    for q in derive.parse(text).of_role("input", "parameter"):
        lead = (steps, batch) if q.role == "input" else ()
        values[q.name] = rng.standard_normal((*lead, *(sizes[str(s)] for s in q.shape)))
    return values


@pytest.mark.parametrize("text", [STOPPED, SPIKING])
def test_gradients_are_proved_and_the_file_reads_back(text):
    derivation = derive.gradient(derive.parse(text))
    proof = derive.prove(derivation)
    assert not proof.failures and all(verdict.zero for verdict in proof.verdicts)
    written = write(derivation.recurrence)
    again = derive.parse(written)
    assert [e.expr for e in again.equations] == [e.expr for e in derivation.recurrence.equations]
    assert normalise(normalise(derivation.source)) == normalise(derivation.source)


def test_the_slope_of_a_surrogate_is_the_chosen_one(rng):
    text = "x[t]: n\nspike = surrogate(lambda u: sign(u), lambda u: exp(-u**2))\nE = minimize(sum(sum(spike(2*x[t])) for t in steps))"
    x = rng.standard_normal((4, 2, 3))
    value, grads = interpreted(text).value_and_grad({"x": x})
    assert value == np.sum(np.sign(x))
    assert worst(grads["x"], 2 * np.exp(-((2 * x) ** 2))) < 1e-15
    assert worst(grads["x"], np.exp(-((2 * x) ** 2))) > 0.1


def test_nothing_flows_back_over_a_stopped_link(rng):
    """Without the link through time, the gradient is that of one step with the state before it given."""
    values = draw(STOPPED, rng)
    kernel = interpreted(STOPPED)
    run = kernel.forward(values)
    grads = run.backward()
    before = np.concatenate([np.zeros((1, 2, 3)), run["h"][:-1]])
    slope = 1 - run["h"] ** 2
    s = slope * (2 * (run["y"] - values["d"]) @ values["V"])
    assert worst(grads["W"], np.einsum("tbi,tbj->ij", s, before)) < 1e-13
    assert "h[0]" in kernel.program.zero and not grads["h[0]"].any()
    through = interpreted(STOPPED.replace("stop_gradient(h[t-1])", "h[t-1]")).value_and_grad(values)[1]
    assert worst(through["W"], grads["W"]) > 1e-2


def test_held_recurrences_have_the_same_values_and_gradients(rng):
    for text in (STOPPED, SPIKING):
        recurrence = derive.parse(text)
        held = hold(recurrence)
        values = draw(text, rng)
        measured = evaluate(held.measured, values, 5, 2)
        moving = evaluate(held.recurrence, {**values, **{name: measured[name] for name in held.names}}, 5, 2)
        assert worst(moving["E"], measured["E"]) < 1e-14
    assert hold(derive.load("elman")) is None


@pytest.mark.parametrize("text", [STOPPED, SPIKING])
def test_checks_hold_stopped_values_fixed(text):
    report = check(text, kernel=interpreted(text))
    assert report.passed, str(report)


def test_the_check_rejects_a_gradient_that_flows_over_the_stopped_link():
    open_link = STOPPED.replace("stop_gradient(h[t-1])", "h[t-1]")
    assert not check(STOPPED, kernel=interpreted(open_link)).passed
    other_slope = SPIKING.replace("2*abs(u)", "2.02*abs(u)")
    assert not check(SPIKING, kernel=interpreted(other_slope)).passed


def test_second_derivatives_are_symmetric(rng):
    """The node stays in the gradient, and its tangent is zero."""
    derivation = derive.gradient(derive.parse(STOPPED))
    forward = derive.tangent(derivation.recurrence)
    values = draw(STOPPED, rng)
    labels = {"W": (3, 3), "U": (3, 2), "V": (4, 3), "b": (3,)}
    first, second = ({label: rng.standard_normal(shape) for label, shape in labels.items()} for _ in range(2))

    def moved(direction):
        given = {**values, **{forward.tangents[q.name].name: np.zeros_like(values[q.name]) for q in derivation.source.of_role("input")}}
        given |= {forward.tangents[label].name: move for label, move in direction.items()}
        made = evaluate(forward.recurrence, given, 5, 2)
        return {label: made[forward.tangents[derivation.gradients[label].name].name] for label in labels}

    pairs = [(moved(first), second), (moved(second), first)]
    products = [sum(np.sum(h[label] * v[label]) for label in labels) for h, v in pairs]
    assert abs(products[0] - products[1]) < 1e-12 * abs(products[0])
    assert abs(products[0]) > 1
