"""The gradient check: right gradients pass, every sabotaged twin is rejected, and weak checks say so.

Objectives and gradients are hand-written NumPy; nothing derived or generated takes part.
"""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from codegen.differences import complex_step, extrapolate, measure_taylor
from codegen.gradcheck import Problem, check

N, M, STEPS, BATCH = 4, 3, 6, 2
FREE = ("W", "U", "b", "h[0]", "x")


def run_network(p):
    h = [p["h[0]"]]
    for x in p["x"]:
        h.append(np.tanh(h[-1] @ p["W"].T + x @ p["U"].T + p["b"]))
    return h


def network_value(p):
    return sum(np.sum(h**2) for h in run_network(p)[1:])


def network_gradient(p, sabotage=""):
    h, steps = run_network(p), len(p["x"])
    back = np.zeros_like(p["h[0]"])
    g = {name: np.zeros_like(p[name]) for name in FREE}
    for t in range(steps, 0, -1):
        explicit = 0 * h[t] if sabotage == "dropped term" and t == 2 else 2 * h[t]
        s = (1 - h[t] ** 2) * (explicit + (-back if sabotage == "sign" else back))
        rows = slice(0, 1) if sabotage == "missing sum over sequences" else slice(None)
        g["W"] += s[rows].T @ h[t if sabotage == "lag off by one" else t - 1][rows]
        g["U"] += s[rows].T @ p["x"][t - 1][rows]
        g["b"] += s[rows].sum(0)
        g["x"][t - 1] = s @ p["U"]
        back = s @ (p["W"].T if sabotage == "transpose" else p["W"])
    if sabotage != "missing initial value":
        g["h[0]"] = back
    if sabotage == "1 % scaling":
        g["U"] *= 1.01
    if sabotage == "1 % noise":
        g["W"] *= 1 + 0.01 * np.random.default_rng(0).standard_normal(g["W"].shape)
    if sabotage == "one entry off by 1e-6":
        g["b"][2] *= 1 + 1e-6
    if sabotage == "NaN":
        g["x"][3, 1, 0] = np.nan
    if sabotage == "all zero":
        g = {name: np.zeros_like(array) for name, array in g.items()}
    if sabotage == "missing quantity":
        del g["U"]
    if sabotage == "transposed result":
        g["U"] = g["U"].T
    return g


def network_tangent(p, u):
    total, h, dh = 0.0, p["h[0]"], u["h[0]"]
    for x, dx in zip(p["x"], u["x"], strict=True):
        dz = dh @ p["W"].T + h @ u["W"].T + dx @ p["U"].T + x @ u["U"].T + u["b"]
        h = np.tanh(h @ p["W"].T + x @ p["U"].T + p["b"])
        dh = (1 - h**2) * dz
        total += np.sum(2 * h * dh)
    return total


def draw_network(rng):
    shapes = {"W": (N, N), "U": (N, M), "b": (N,), "h[0]": (BATCH, N), "x": (STEPS, BATCH, M)}
    return {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}


def network(sabotage="", **changes):
    return Problem(**{"value": network_value, "gradient": lambda p: network_gradient(p, sabotage), "draw": draw_network,
                      "free": FREE, "analytic": True, "kernel_value": network_value, "jvp": network_tangent} | changes)


def narrow(function):
    """A stand-in for a float32 kernel: the same arithmetic, rounded at every operation."""
    def run(p):
        result = function({name: array.astype(np.float32) for name, array in p.items()})
        assert all(array.dtype == np.float32 for array in result.values())
        return result
    return run


def rejected(report, word):
    assert not report.passed and report.verdict.startswith("failed: "), report
    assert word in report.verdict, report
    return True


SABOTAGES = ["sign", "transpose", "lag off by one", "dropped term", "missing sum over sequences", "missing initial value",
             "1 % scaling", "1 % noise", "NaN", "all zero", "missing quantity", "transposed result"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("analytic", [True, False])
def test_right_gradient_passes(analytic, seed):
    report = check(network(analytic=analytic), seed=seed)
    assert report.verdict == "passed", report
    assert [row.name for row in report.quantities] == list(FREE)
    assert all(row.checked == row.entries == np.prod(row.shape) for row in report.quantities)
    assert max(row.relative for row in report.quantities) < (1e-13 if analytic else 1e-9)
    assert 1.95 < report.taylor_slope < 2.05 and report.dot_product_error < 1e-13


@pytest.mark.parametrize("analytic", [True, False])
@pytest.mark.parametrize("sabotage", [*SABOTAGES, "one entry off by 1e-6"])
def test_sabotaged_gradient_is_rejected(sabotage, analytic):
    for seed in range(2):
        report = check(network(sabotage, analytic=analytic, jvp=None, kernel_value=None), seed=seed)
        assert rejected(report, "NaN" if sabotage == "NaN" else ""), report


def test_worst_entry_is_named():
    row = check(network("one entry off by 1e-6")).quantities[2]
    assert row.worst == (2,) and row.failed and row.step == 1e-30
    assert row.gradient == pytest.approx(row.reference, rel=2e-6) and row.gradient != row.reference


def test_float32_passes():
    report = check(network(gradient=narrow(network_gradient), reference_gradient=network_gradient), dtype="float32")
    assert report.verdict == "passed", report
    rows = [row for row in report.quantities if row.method == "float32 against float64"]
    assert [row.name for row in rows] == list(FREE) and all(1e-9 < row.relative < 1e-5 for row in rows)


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_float32_sabotage_is_rejected(sabotage):
    def wrong(p):
        return network_gradient(p, sabotage)
    kernel = network(gradient=lambda p: {k: v.astype(np.float32) for k, v in wrong(p).items()}, jvp=None, kernel_value=None)
    assert rejected(check(replace(kernel, reference_gradient=network_gradient), dtype="float32"), "")
    both = check(replace(kernel, reference_gradient=wrong), dtype="float32")
    assert rejected(both, "") and any(row.failed for row in both.quantities if row.method in ("complex step", "none"))


LINEAR = Problem(value=lambda p: np.sum(p["c"] * p["a"]), gradient=lambda p: {"a": p["c"]}, free=("a",), analytic=True,
                 draw=lambda rng: {"a": rng.standard_normal((40, 25)), "c": 1 + rng.random((40, 25))})


@pytest.mark.parametrize("analytic", [True, False])
def test_linear_model_passes_with_its_remainder_at_rounding_level(analytic):
    report = check(replace(LINEAR, analytic=analytic))
    assert report.verdict == "passed" and report.taylor_slope is None and len(report.taylor_remainders) > 10, report


@pytest.mark.parametrize("seed", range(10))
def test_one_wrong_entry_in_a_thousand_is_found(seed):
    place = np.random.default_rng(seed).integers(1000)

    def wrong(p):
        gradient = p["c"].copy()
        gradient.flat[place] *= 1.01
        return {"a": gradient}
    report = check(replace(LINEAR, gradient=wrong), seed=seed)
    assert rejected(report, "a: wrong") and np.ravel_multi_index(report.quantities[0].worst, (40, 25)) == place
    reference = replace(LINEAR, gradient=lambda p: {"a": wrong(p)["a"].astype(np.float32)}, reference_gradient=LINEAR.gradient)
    assert rejected(check(reference, dtype="float32", seed=seed), "a: wrong")


def kinks(slope=1.0, **changes):
    """sum of |a| + 2 relu(b) + a b, its gradient with the slope of abs scaled."""
    return Problem(**{
        "value": lambda p: np.sum(np.abs(p["a"]) + 2 * np.maximum(p["b"], 0) + p["a"] * p["b"]),
        "gradient": lambda p: {"a": slope * np.sign(p["a"]) + p["b"], "b": 2.0 * (p["b"] > 0) + p["a"]},
        "draw": lambda rng: {name: rng.standard_normal(30) for name in ("a", "b")}, "free": ("a", "b"), "analytic": False,
        "kink_distance": lambda p: min(np.min(np.abs(p["a"])), np.min(np.abs(p["b"])))} | changes)


@pytest.mark.parametrize("seed", range(5))
def test_kinks_are_avoided_and_passed(seed):
    report = check(kinks(), seed=seed)
    assert report.verdict == "passed" and report.kink_distance >= 1e-3, report
    assert rejected(check(kinks(slope=1.01), seed=seed), "a: wrong")
    assert rejected(check(kinks(slope=0.0), seed=seed), "a: wrong")


def test_near_kinks_the_point_is_drawn_again():
    near = {"a": np.full(30, 1e-5), "b": np.ones(30)}
    draws = iter([near, near, kinks().draw(np.random.default_rng(1))])
    assert check(kinks(draw=lambda rng: next(draws))).draws == 3
    report = check(kinks(draw=lambda rng: near))
    assert report.draws == 100 and "from a kink" in report.verdict


def test_differences_that_never_settle_are_rejected():
    noise = np.random.default_rng(0)
    assert rejected(check(kinks(value=lambda p: kinks().value(p) + 1e-3 * noise.random())), "settle")


def test_complex_step_through_abs_is_found_out():
    """With slope 0 the gradient agrees with the complex step, and both are wrong."""
    agreeing = check(kinks(slope=0.0, analytic=True))
    assert all(row.relative < 1e-12 for row in agreeing.quantities)
    assert rejected(agreeing, "a: complex step") and "analytic=False" in agreeing.verdict
    assert rejected(check(kinks(analytic=True)), "a: wrong")


def softmax(p):
    e = np.exp(p["z"] + p["shift"])
    return e / e.sum()


SOFTMAX = Problem(
    value=lambda p: -np.log(softmax(p)[1]), free=("z",), analytic=True, jvp=lambda p, u: (softmax(p) - np.eye(5)[1]) @ u["z"],
    gradient=lambda p: {"z": softmax(p) - np.eye(5)[1], "shift": np.sum(softmax(p) - np.eye(5)[1]) + 1e-18},
    draw=lambda rng: {"z": rng.standard_normal(5), "shift": rng.standard_normal()})


@pytest.mark.parametrize("analytic", [True, False])
def test_softmax(analytic):
    assert check(replace(SOFTMAX, analytic=analytic)).verdict == "passed"
    off_diagonal_missing = replace(SOFTMAX, gradient=lambda p: {"z": (softmax(p) - 1) * np.eye(5)[1] - 1e-9}, jvp=None)
    assert rejected(check(replace(off_diagonal_missing, analytic=analytic)), "z: wrong")


def test_gradient_that_cancels_is_weak_not_passed():
    cancelling = replace(SOFTMAX, free=("z", "shift"), jvp=None)
    assert check(cancelling).verdict == "passed, weak: shift: at rounding level beside the other gradients"
    assert rejected(check(replace(cancelling, gradient=lambda p: {**SOFTMAX.gradient(p), "shift": 1e-9})), "shift: wrong")


def test_zero_is_proved_only_without_a_path():
    spare = network(draw=lambda rng: draw_network(rng) | {"spare": rng.standard_normal(2)}, free=(*FREE, "spare"), jvp=None,
                    gradient=lambda p: network_gradient(p) | {"spare": np.zeros(2)})
    proved = check(replace(spare, path={"spare": False}))
    assert proved.verdict == "passed" and proved.quantities[-1].status == "zero, proved"
    assert rejected(check(spare), "spare: zero although a dependence path")
    tiny = replace(spare, path={"spare": False}, gradient=lambda p: network_gradient(p) | {"spare": np.array([0, 1e-300])})
    assert rejected(check(tiny), "spare: not zero at (1,)")
    lie = network(path={"b": False}, gradient=lambda p: network_gradient(p) | {"b": np.zeros(N)}, jvp=None)
    assert rejected(check(lie), "b: the objective moves with it")


def test_objectives_that_prove_nothing_are_rejected():
    constant = replace(LINEAR, value=lambda p: 7.0 + 0 * np.sum(p["a"]), gradient=lambda p: {"a": 0 * p["a"]})
    assert rejected(check(constant), "does not move")
    assert rejected(check(replace(constant, path={"a": False})), "does not move")
    assert rejected(check(replace(LINEAR, value=lambda p: np.nan)), "objective is NaN")
    assert rejected(check(network(saturation=lambda p: 0.21)), "21 % of the sigmoid-like units are saturated")
    assert rejected(check(network(saturation=lambda p: np.nan)), "saturated")
    assert check(network(saturation=lambda p: 0.2)).verdict == "passed"


def test_kernel_tangent_and_arguments():
    assert rejected(check(network(kernel_value=lambda p: network_value(p) * (1 + 1e-8))), "kernel's objective")
    slope = check(network(kernel_value=lambda p: network_value(p) + 0.1 * (np.sum(p["W"]) - FIRST_SUM)))
    assert rejected(slope, "Taylor slope 1.")
    assert rejected(check(network(kernel_value=lambda p: np.nan)), "kernel's objective")
    assert rejected(check(network(jvp=lambda p, u: network_tangent(p, u) * (1 + 1e-8))), "dot-product test")
    assert rejected(check(network(jvp=lambda p, u: np.nan)), "dot-product test")

    def greedy(p):
        p["b"] *= 2
        return network_gradient(p)
    assert rejected(check(network(gradient=greedy)), "b was changed by a callable")


FIRST_SUM = float(np.sum(draw_network(np.random.default_rng(0))["W"]))


def lengths_problem(leak=0.0, **changes):
    """The mean of squares over ragged lengths; steps beyond a sequence's end hold NaN and are never read."""
    alive = np.arange(5)[:, None] < np.array([5, 2, 0])

    def draw(rng):
        return {"x": np.where(alive, rng.standard_normal((5, 3)), np.nan)}
    return Problem(**{"value": lambda p: np.sum(p["x"][alive] ** 2), "draw": draw, "free": ("x",), "analytic": True,
                      "gradient": lambda p: {"x": np.where(alive, 2 * p["x"], leak)}, "mask": lambda p: {"x": alive}} | changes)


@pytest.mark.parametrize("analytic", [True, False])
def test_entries_never_read_are_left_out(analytic):
    report = check(lengths_problem(analytic=analytic))
    assert report.verdict == "passed" and report.quantities[0].entries == 7, report
    assert rejected(check(lengths_problem(leak=1e-9)), "which the objective never reads")
    assert rejected(check(lengths_problem(leak=np.nan)), "NaN")
    nothing = check(network(mask=lambda p: {"x": False}, gradient=lambda p: network_gradient(p) | {"x": 0 * p["x"]}, jvp=None))
    assert nothing.verdict == "passed, weak: x: no entry may be perturbed"


def test_constrained_directions():
    """A symmetric W and U tied to -V: the projected gradient passes, the bare one does not."""
    def value(p):
        if np.max(np.abs(p["W"] - p["W"].T)) > 1e-12 or np.max(np.abs(p["U"] + p["V"])) > 1e-12:
            raise ValueError("off the constraints")
        return np.sum(p["k"] * np.tanh(p["W"])) + np.sum(p["c"] * p["U"] ** 2 + p["V"])

    def bare(p):
        return {"W": p["k"] * (1 - np.tanh(p["W"]) ** 2), "U": 2 * p["c"] * p["U"], "V": np.ones(2)}

    def project(d):
        return {"W": (d["W"] + d["W"].T) / 2, "U": (d["U"] - d["V"]) / 2, "V": (d["V"] - d["U"]) / 2}

    def draw(rng):
        raw = {"W": rng.standard_normal((3, 3)), "U": rng.standard_normal(2), "V": rng.standard_normal(2)}
        return project(raw) | {"k": rng.standard_normal((3, 3)), "c": rng.standard_normal(2)}
    problem = Problem(value, lambda p: project(bare(p)), draw, ("W", "U", "V"), True, feasible=project)
    assert check(problem).verdict == check(replace(problem, analytic=False)).verdict == "passed"
    assert rejected(check(replace(problem, gradient=bare)), "W: wrong") and rejected(check(replace(problem, gradient=bare)), "U: wrong")


def test_weak_verdicts_say_why():
    hint = "T = 1: no gradient passes through time"
    assert check(network(weaknesses=(hint,))).verdict == f"passed, weak: {hint}"
    assert check(network(precision=1e-6)).verdict.startswith("passed, weak: ")
    unset = check(network(draw=lambda rng: draw_network(rng) | {"h[0]": np.zeros((BATCH, N))}))
    assert unset.verdict == "passed, weak: h[0] was drawn as zero"
    sampled = check(LINEAR, max_entries=50)
    assert sampled.verdict == "passed, weak: a: 50 of 1000 entries differenced" and sampled.quantities[0].checked == 50
    assert rejected(check(network("sign", weaknesses=(hint,))), "W: wrong")


@pytest.mark.parametrize("seed", range(5))
def test_random_directions_see_what_the_sample_missed(seed):
    wrong = replace(LINEAR, gradient=lambda p: {"a": p["c"] * (1 + 1e-4 * (np.arange(1000).reshape(40, 25) == 7 + seed))})
    report = check(wrong, seed=seed, max_entries=5)
    assert rejected(report, "a: ") and "along a direction" in report.verdict


def test_step_sizes():
    p, u = draw_network(np.random.default_rng(3)), {"W": np.eye(N)}
    exact = complex_step(network_value, p, u).value
    real = extrapolate(network_value, p, u)
    assert exact == pytest.approx(np.trace(network_gradient(p)["W"]), rel=1e-13)
    assert abs(real.value - exact) <= real.error < 1e-10 * abs(exact)
    assert measure_taylor(network_value, p, u, exact, 1e-13).accepted
    assert not measure_taylor(network_value, p, u, exact * 1.001, 1e-13).accepted
    assert not measure_taylor(network_value, p, u, np.nan, 1e-13).accepted


def test_report_is_stable_and_strict():
    good, bad = check(network()), check(network("NaN"))
    assert good.to_json() == check(network()).to_json() != check(network(), seed=1).to_json()
    content = json.loads(bad.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["passed"] is False and content["verdict"] == bad.verdict and content["quantities"][4]["name"] == "x"
    assert "Taylor slope 2.0" in good.to_text() and good.to_text().endswith("passed")
    assert good.to_table().row_count == len(FREE)
    script = "import codegen.gradcheck, sys; sys.exit('rich' in sys.modules or 'sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(("changes", "options", "word"), [
    ({}, {"dtype": "float32"}, "reference_gradient"), ({}, {"dtype": "float16"}, "'float64' or 'float32'"),
    ({"free": ()}, {}, "free is empty"), ({"free": ("W", "Q")}, {}, "Q"), ({}, {"max_entries": 0}, "max_entries is 0")])
def test_impossible_requests_are_refused(changes, options, word):
    with pytest.raises(ValueError, match=word):
        check(network(**changes), **options)
