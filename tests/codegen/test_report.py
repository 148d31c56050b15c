"""Reports are stable, strict JSON, and light to import; differences are as exact as they say."""

import json
import subprocess
import sys

import numpy as np
import pytest

from codegen.differences import TAYLOR_STEPS, complex_step, extrapolate, measure_taylor
from codegen.gradcheck import Problem, check


def network_value(p):
    """Ten steps of a tanh network, the sum of squares at the end."""
    h = p["h[0]"]
    for _ in range(10):
        h = np.tanh(p["W"] @ h)
    return np.sum(h**2)


def draw(rng):
    return {"W": rng.standard_normal((4, 4)), "h[0]": rng.standard_normal(4)}


def sine(broken=False):
    return Problem(value=lambda p: np.sum(np.sin(p["a"])), free=("a", "c"), analytic=True, path={"c": False},
                   gradient=lambda p: {"a": np.where(broken, np.nan, np.cos(p["a"])), "c": np.zeros(2)},
                   draw=lambda rng: {"a": rng.standard_normal((2, 3)), "c": np.ones(2)})


def test_step_sizes():
    """The complex step is exact to rounding; extrapolation beats the best plain step, and knows its error."""
    p = draw(np.random.default_rng(3))
    u = {"W": np.random.default_rng(4).standard_normal((4, 4))}
    exact, real = complex_step(network_value, p, u).value, extrapolate(network_value, p, u)
    up, down = (network_value({**p, "W": p["W"] + step * u["W"]}) for step in (6e-6, -6e-6))
    plain = (up - down) / 12e-6
    assert abs(real.value - exact) <= real.error < 1e-11 * abs(exact)
    assert abs(real.value - exact) < abs(plain - exact) < 1e-8 * abs(exact)


def test_central_differences_outside_the_domain():
    """Steps that leave the domain are passed over; where all do, the error is infinite."""
    with np.errstate(invalid="ignore"):
        near = extrapolate(lambda p: np.sqrt(p["a"]), {"a": np.array(1e-3)}, {"a": np.array(1.0)})
        never = extrapolate(lambda p: np.nan, {"a": np.array(1.0)}, {"a": np.array(1.0)})
    assert abs(near.value - 0.5 / np.sqrt(1e-3)) <= near.error < 1e-6
    assert np.isnan(never.value) and never.error == np.inf


@pytest.mark.parametrize(("error", "accepted"), [(0.0, True), (1e-3, False), (-1e-3, False), (np.nan, False)])
def test_taylor_slope(error, accepted):
    p, u = draw(np.random.default_rng(3)), {"h[0]": np.ones(4)}
    product = complex_step(network_value, p, u).value * (1 + error)
    taylor = measure_taylor(network_value, p, u, product, 1e-14)
    assert taylor.accepted is accepted and taylor.steps == TAYLOR_STEPS


def test_report_is_stable_and_strict():
    good, bad = check(sine()), check(sine(broken=True))
    assert good.to_json() == check(sine()).to_json() != check(sine(), seed=1).to_json()
    content = json.loads(bad.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["passed"] is False and content["verdict"] == bad.verdict == "failed: a: NaN or infinite at (0, 0)"
    assert content["quantities"][1]["status"] == "zero, proved" and content["taylor_slope"] is None
    unreadable = json.loads(check(Problem(lambda p: np.nan, lambda p: {}, draw, ("W",), True)).to_json())
    assert unreadable["objective"] == "nan" and unreadable["passed"] is False


def test_report_as_text_and_table():
    report = check(sine())
    assert "Taylor slope 2.0" in report.to_text() and report.to_text().endswith("\npassed")
    assert "zero, proved" in report.to_text() and str(report) == report.to_text()
    table = report.to_table()
    assert table.row_count == 2 and [column.header for column in table.columns][:2] == ["quantity", "shape"]


def test_checking_imports_neither_sympy_nor_rich():
    script = "import codegen.gradcheck, sys; sys.exit('rich' in sys.modules or 'sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
