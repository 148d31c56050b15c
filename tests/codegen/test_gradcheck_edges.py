"""The gradient check at the edges: kinks, cancellation, entries never read, directions that constraints allow."""

from dataclasses import replace

import numpy as np
import pytest

from codegen.gradcheck import Problem, check


def rejected(report, word):
    assert not report.passed and report.verdict.startswith("failed: "), report
    assert word in report.verdict, report
    return True


def kinks(slope=1.0, **changes):
    """sum of |a| + 2 relu(b) + a b, its gradient with the slope of abs scaled."""
    return Problem(**{
        "value": lambda p: np.sum(np.abs(p["a"]) + 2 * np.maximum(p["b"], 0) + p["a"] * p["b"]),
        "gradient": lambda p: {"a": slope * np.sign(p["a"]) + p["b"], "b": 2.0 * (p["b"] > 0) + p["a"]},
        "draw": lambda rng: {name: rng.standard_normal(30) for name in ("a", "b")}, "free": ("a", "b"),
        "analytic": False, "kink_distance": lambda p: min(np.min(np.abs(p["a"])), np.min(np.abs(p["b"])))} | changes)


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
    value=lambda p: -np.log(softmax(p)[1]), free=("z",), analytic=True,
    jvp=lambda p, u: (softmax(p) - np.eye(5)[1]) @ u["z"],
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
    off = replace(cancelling, gradient=lambda p: SOFTMAX.gradient(p) | {"shift": 1e-9})
    assert rejected(check(off), "shift: wrong")


def lengths_problem(leak=0.0, **changes):
    """The mean of squares over ragged lengths; steps beyond a sequence's end hold NaN and are never read."""
    alive = np.arange(5)[:, None] < np.array([5, 2, 0])

    def draw(rng):
        return {"x": np.where(alive, rng.standard_normal((5, 3)), np.nan)}
    return Problem(**{"value": lambda p: np.sum(p["x"][alive] ** 2), "draw": draw, "free": ("x",), "analytic": True,
                      "gradient": lambda p: {"x": np.where(alive, 2 * p["x"], leak)},
                      "mask": lambda p: {"x": alive}} | changes)


@pytest.mark.parametrize("analytic", [True, False])
def test_entries_never_read_are_left_out(analytic):
    report = check(lengths_problem(analytic=analytic))
    assert report.verdict == "passed" and report.quantities[0].entries == 7, report
    assert rejected(check(lengths_problem(leak=1e-9)), "which the objective never reads")
    assert rejected(check(lengths_problem(leak=np.nan)), "NaN")


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
    unprojected = check(replace(problem, gradient=bare))
    assert rejected(unprojected, "W: wrong") and rejected(unprojected, "U: wrong")
