"""The gradient check: right gradients pass, every sabotaged twin is rejected, and weak checks say so.

Objectives and gradients are hand-written NumPy; nothing derived or generated takes part.
"""

from dataclasses import replace

import numpy as np
import pytest

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


SABOTAGES = ["sign", "transpose", "lag off by one", "dropped term", "missing sum over sequences",
             "missing initial value", "1 % scaling", "1 % noise", "NaN", "all zero", "missing quantity",
             "transposed result"]


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
    kernel = network(gradient=narrow(wrong), reference_gradient=network_gradient, jvp=None, kernel_value=None)
    assert rejected(check(kernel, dtype="float32"), "")
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
    narrowed = replace(LINEAR, gradient=narrow(wrong), reference_gradient=LINEAR.gradient)
    assert rejected(check(narrowed, dtype="float32", seed=seed), "a: wrong")


def test_zero_is_proved_only_without_a_path():
    spare = network(draw=lambda rng: draw_network(rng) | {"spare": rng.standard_normal(2)}, free=(*FREE, "spare"),
                    jvp=None, gradient=lambda p: network_gradient(p) | {"spare": np.zeros(2)})
    proved = check(replace(spare, path={"spare": False}))
    assert proved.verdict == "passed" and proved.quantities[-1].status == "zero, proved"
    assert rejected(check(spare), "spare: zero although a dependence path")
    tiny = replace(spare, path={"spare": False},
                   gradient=lambda p: network_gradient(p) | {"spare": np.array([0, 1e-300])})
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


def test_weak_verdicts_say_why():
    hint = "T = 1: no gradient passes through time"
    assert check(network(weaknesses=(hint,))).verdict == f"passed, weak: {hint}"
    assert check(network(precision=1e-6)).verdict.startswith("passed, weak: ")
    unset = check(network(draw=lambda rng: draw_network(rng) | {"h[0]": np.zeros((BATCH, N))}))
    assert unset.verdict == "passed, weak: h[0] was drawn as zero"
    nothing = check(network(mask=lambda p: {"x": False}, jvp=None,
                            gradient=lambda p: network_gradient(p) | {"x": 0 * p["x"]}))
    assert nothing.verdict == "passed, weak: x: no entry may be perturbed"
    sampled = check(LINEAR, max_entries=50)
    assert sampled.verdict == "passed, weak: a: 50 of 1000 entries differenced" and sampled.quantities[0].checked == 50
    assert rejected(check(network("sign", weaknesses=(hint,))), "W: wrong")


@pytest.mark.parametrize("seed", range(5))
def test_random_directions_see_what_the_sample_missed(seed):
    factor = 1 + 1e-4 * (np.arange(1000).reshape(40, 25) == 7 + seed)
    report = check(replace(LINEAR, gradient=lambda p: {"a": p["c"] * factor}), seed=seed, max_entries=5)
    assert rejected(report, "a: ") and "along a direction" in report.verdict


@pytest.mark.parametrize(("changes", "options", "word"), [
    ({}, {"dtype": "float32"}, "reference_gradient"), ({}, {"dtype": "float16"}, "'float64' or 'float32'"),
    ({"free": ()}, {}, "free is empty"), ({"free": ("W", "Q")}, {}, "Q"), ({}, {"max_entries": 0}, "max_entries is 0")])
def test_impossible_requests_are_refused(changes, options, word):
    with pytest.raises(ValueError, match=word):
        check(network(**changes), **options)
