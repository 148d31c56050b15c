"""The adjoint's own text: what is generated, under which names, in which order."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from derive.adjoint import gradient, pullback
from derive.errors import RecurrenceError
from derive.language import parse
from derive.reference import evaluate
from derive.writing import write

WORKED = """x[t]: m
h[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)
E = minimize(sum(norm2(h[t]) for t in steps))
"""


def equations(text: str) -> list[str]:
    return [line.split("  # ")[0].rstrip() for line in write(gradient(parse(text)).recurrence).splitlines()]


def test_the_worked_example_comes_out_line_by_line() -> None:
    assert equations(WORKED)[4:] == [
        "z[t]: n = W @ h[t-1] + U @ x[t] + b",
        "h[t]: n = tanh(z[t])",
        "e[t]: scalar = norm2(h[t])",
        "E: total = sum(e[t] for t in steps)",
        "h_back[t]: n = W.T @ s[t]",
        "h_back[T+1] = 0",
        "h_bar[t]: n = 2*h[t] + h_back[t+1]",
        "s[t]: n = (1 - h[t]**2)*h_bar[t]",
        "W_bar: total[n, n] = sum(outer(s[t], h[t-1]) for t in steps)",
        "U_bar: total[n, m] = sum(outer(s[t], x[t]) for t in steps)",
        "b_bar: total[n] = sum(s[t] for t in steps)",
        "h_init_bar: n = h_back[1]",
        "x_bar[t]: m = U.T @ s[t]",
    ]


def test_a_steady_state_gives_a_linear_cycle() -> None:
    found = equations("a: const[n]\nx: n = tanh(W @ x + b)\nR = maximize(dot(a, x))\n")
    assert "x_bar: n = a + W.T @ s" in found
    assert "s: n = (1 - x**2)*x_bar" in found
    assert "W_bar: total[n, n] = outer(s, x)" in found


def test_generated_names_avoid_the_users() -> None:
    taken = WORKED.replace("b)", "b + h_bar + s + z + e)").replace("x[t]: m\n", "x[t]: m\nh_bar: n\ns: n\nz: n\ne: n\nW_bar: n\n", 1)
    found = gradient(parse(taken.replace("norm2(h[t])", "dot(W_bar, h[t])")))
    names = [quantity.name for quantity in found.recurrence.quantities]
    assert len(names) == len(set(names))
    assert found.gradients["W"].name != "W_bar"
    assert found.recurrence.meanings[found.gradients["W"].name] == "gradient at W"


def test_softmax_and_cross_entropy_fuse() -> None:
    found = equations("d[t]: k\ny[t]: k = softmax(V @ d[t] + c)\nE = minimize(sum(cross_entropy(d[t], y[t]) for t in steps))\n")
    assert "s_y[t]: k = y[t]*sum(d[t]) - d[t]" in found or "s[t]: k = y[t]*sum(d[t]) - d[t]" in found


def test_what_no_path_leads_to_is_zero_and_said_to_be() -> None:
    found = gradient(parse("x[t]: n\nq: n\nr[t]: n = q + x[t]\nh[t]: n = tanh(x[t])\nE = minimize(sum(norm2(h[t]) for t in steps))\n"))
    assert found.zero == {"q"}
    assert "q_bar: total[n] = zeros(n)" in write(found.recurrence)


def test_an_abstract_objective_enters_through_its_derivatives() -> None:
    text = write(gradient(parse("f: function\nR = maximize(...)\nx[t]: n = f(W @ x[t-1] + b)\n")).recurrence)
    assert "R_x[t]: n" in text
    assert "x_bar[t]: n = R_x[t] + x_back[t+1]" in text
    assert "s[t]: n = slope(f, z[t])*x_bar[t]" in text


def test_cotangents_replace_the_objective() -> None:
    recurrence = parse(WORKED)
    found = pullback(recurrence)
    assert set(found.cotangents) == {"h"}
    rng = np.random.default_rng(3)
    values = {"x": rng.standard_normal((4, 2, 2)), "W": rng.standard_normal((3, 3)), "U": rng.standard_normal((3, 2)),
              "b": rng.standard_normal(3), "h[0]": rng.standard_normal((2, 3))}  # fmt: skip
    direct = gradient(recurrence)
    result = evaluate(direct.recurrence, values, 4, 2)
    seeds = {found.cotangents["h"].name: 2 * result["h"]}
    again = evaluate(found.recurrence, {**values, **seeds}, 4, 2)
    for label, quantity in direct.gradients.items():
        np.testing.assert_allclose(again[found.gradients[label].name], result[quantity.name], rtol=1e-13, atol=1e-13)


def test_no_objective_is_an_error_that_shows_one() -> None:
    with pytest.raises(RecurrenceError, match="has no objective") as caught:
        gradient(parse("x[t]: n\nh[t]: n = tanh(x[t])\n"))
    assert "minimize" in str(caught.value)


def test_the_same_bytes_in_every_process() -> None:
    program = "import derive; print(derive.gradient(derive.load('lstm')).to_rec())"
    texts = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("0", "1", "17")
    }
    assert len(texts) == 1
    assert "Wi_bar: total[n, n]" in texts.pop()


def test_what_no_gradient_passes_has_no_adjoint() -> None:
    text = """x[t]: m
s[t]: n = 0.5*s[t-1] + 0.5*h[t-1]
h[t]: n = tanh(W @ stop_gradient(s[t]) + U @ x[t])
E = minimize(sum(norm2(h[t]) for t in steps))
"""
    derivation = gradient(parse(text))
    assert derivation.zero == {"s[0]", "h[0]"}
    assert not [line for line in equations(text) if "t+1" in line or line.startswith(("s_bar", "s_back"))]
    whole = text.replace("stop_gradient(s[t])", "s[t]")
    assert gradient(parse(whole)).zero == frozenset() and [line for line in equations(whole) if "t+1" in line]
    choice = text.replace("W @ stop_gradient(s[t])", "where(s[t] > 0, W @ x[t], x[t])").replace("x[t]: m", "x[t]: n")
    assert gradient(parse(choice)).zero == {"s[0]", "h[0]"}
