from dataclasses import replace

import numpy as np
import pytest
from oracles import stock_layouts

import codegen
from codegen.checking import choose_dims
from codegen.element import Const, Op
from codegen.program import Loop, Segment
from codegen.statements import Fill, Map, OuterSum, Product
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.probes import find_probes, is_analytic
from derive.language import load, parse
from tests.codegen.kernel_cases import ELMAN

NAMES = sorted(stock_layouts.LAYOUTS)


def by_interpreter(recurrence, program=None, dtype="float64", **options):
    """A check of a program, its own by default, without a compiler."""
    return codegen.check(recurrence, dtype, kernel=Kernel(program or lower(recurrence), dtype), **options)


@pytest.mark.parametrize("name", NAMES)
def test_stock_recurrences_pass(compiled, name):
    lag = max(map(len, load(name).ghosts.values()), default=0)
    report = codegen.check(name, kernel=compiled(name), steps=max(4, 2 * lag + 1), batch=2)
    assert report.verdict == "passed", report.to_text()
    assert report.taylor_slope is None or 1.9 < report.taylor_slope < 2.1
    assert report.dot_product_error < 1e-12
    gradients = set(lower(load(name)).results["gradient"])
    assert {row.name for row in report.quantities} == gradients and all(row.checked == row.entries for row in report.quantities)


@pytest.mark.parametrize("name", ["elman", "settle", "lstm"])
def test_float32_passes_against_float64(compiled, name):
    report = codegen.check(name, "float32", kernel=compiled(name, "float32"), steps=3, batch=2, dims={"n": 2})
    assert report.passed, report.to_text()
    assert any(row.method == "float32 against float64" and row.relative > 1e-9 for row in report.quantities)


def test_steps_go_beyond_twice_the_longest_lag():
    far = "x[t]: n\nh[t]: n = tanh(W @ h[t-4] + x[t])\nE = minimize(sum(norm2(h[t]) for t in steps))\n"
    shapes = [{row.name: row.shape for row in by_interpreter(parse(text), batch=1).quantities} for text in (far, far.replace("4", "1"))]
    assert [shape["x"][0] for shape in shapes] == [9, 7]
    assert "T = 8 is not beyond twice the longest lag, 4" in by_interpreter(parse(far), batch=1, steps=8).verdict


def test_a_kernel_is_compiled_where_none_is_given(compiled, session_cache, monkeypatch):
    compiled("elman")
    monkeypatch.setenv("RETROGRAD_CACHE", str(session_cache))
    assert codegen.check("elman", steps=3, batch=1).passed


def test_one_step_one_sequence_and_given_dims():
    recurrence = load("elman")
    report = by_interpreter(recurrence, steps=1, batch=1)
    assert report.passed and "T = 1 is not beyond twice the longest lag" in report.verdict
    report = by_interpreter(recurrence, dims={"n": 4, "m": 2, "k": 3}, steps=3, batch=1)
    assert report.verdict == "passed"
    assert {row.name: row.shape for row in report.quantities}["U"] == (4, 2)
    assert "m = n = 2: a transposed matrix could hide" in by_interpreter(recurrence, dims={"n": 2, "m": 2}).verdict


def test_the_same_seed_gives_the_same_report():
    recurrence = load("settle")
    assert by_interpreter(recurrence, seed=3) == by_interpreter(recurrence, seed=3) != by_interpreter(recurrence, seed=4)


def test_without_an_objective_random_cotangents_stand_in():
    report = by_interpreter(parse("x[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t])\nS: total[n] = sum(h[t] for t in steps)\n"), steps=4)
    assert report.verdict == "passed", report.to_text()
    assert {row.name for row in report.quantities} == {"W", "U", "x", "h[0]"}


def test_a_gradient_that_is_zero_for_want_of_a_path_is_proved():
    report = by_interpreter(parse("x[t]: n\nP: n\nh[t]: n = tanh(x[t])\nq: n = P\nE = minimize(sum(norm2(h[t]) for t in steps))\n"))
    assert {row.name: row.status for row in report.quantities}["P"] == "zero, proved" and report.passed


def test_kinks_are_kept_away_from():
    report = by_interpreter(
        parse("x[t]: n\nh[t]: n = relu(W @ h[t-1] + x[t]) - abs(x[t])\nE = minimize(sum(norm2(h[t]) for t in steps))\n")
    )
    assert report.passed and report.kink_distance >= 1e-3
    assert {row.method for row in report.quantities} == {"Richardson"}


def test_logarithms_are_checked_where_they_exist():
    report = by_interpreter(parse("x[t]: n\nE = minimize(sum(sum(log(x[t])*sqrt(x[t])) for t in steps))\n"), steps=3)
    assert report.passed and np.isfinite(report.objective)


@pytest.mark.parametrize(("options", "message"), [
    ({"steps": 0}, "at least one step"), ({"batch": 0}, "one sequence"), ({"dims": {"q": 1}}, "elman has no dim q; it has k, m, n"),
    ({"dims": {"n": 0}}, "the dim n must be at least 1, not 0"),
])  # fmt: skip
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        by_interpreter(load("elman"), **options)


def test_sizes_differ_unless_they_are_given():
    program = lower(load("elman"))
    assert len(set(choose_dims(program, {}).values())) == 3
    assert choose_dims(program, {"n": 3})["n"] == 3 and len(set(choose_dims(program, {"n": 3}).values())) == 3


def test_analytic_is_told_from_the_functions_in_use():
    assert is_analytic(load("lstm"))
    for kinked in ("abs(x[t])", "relu(x[t])", "maximum(x[t], 0)", "where(x[t] > 0, x[t], 0*x[t])", "sign(x[t])"):
        assert not is_analytic(parse(f"x[t]: n\nE = minimize(sum(norm2({kinked}) for t in steps))\n")), kinked


def test_probes_tell_kinks_and_saturation():
    probes = find_probes(parse("x[t]: n\nh[t]: n = tanh(x[t]) + relu(x[t] - 1)\nE = minimize(sum(norm2(h[t]) for t in steps))\n"))
    run = Kernel(lower(probes.recurrence, derivatives=False), "float64").forward({"x": np.array([[[0.25, 9.0]]])})
    assert len(probes.kinks) == 1 and run[probes.kinks[0]].ravel() == pytest.approx([-0.75, 8.0])
    assert list(probes.saturating.values()) == [4.0]
    assert run[next(iter(probes.saturating))].ravel() == pytest.approx([0.25, 9.0])


def test_saturated_units_fail():
    text = ELMAN.replace("tanh(W @ h[t-1]", "tanh(20*(W @ h[t-1])").replace("U @ x[t]", "40*(U @ x[t])")
    report = by_interpreter(parse(text))
    assert not report.passed and "saturated" in report.verdict


# sabotage: the gradient phase of a Program, one thing wrong


def damaged(program, phase, change):
    """The program with the first statement of a phase that `change` accepts replaced by what it makes of it (None: left out)."""
    done = False

    def segment(part):
        nonlocal done
        made = []
        for statement in part.statements:
            new = NotImplemented if done else change(statement)
            done = done or new is not NotImplemented
            made += [statement] if new is NotImplemented else ([] if new is None else [new])
        return replace(part, statements=tuple(made))

    actions = []
    for action in program.phases[phase].actions:
        if isinstance(action, Segment):
            actions.append(segment(action))
        elif isinstance(action, Loop):
            actions.append(replace(action, body=tuple(segment(p) if isinstance(p, Segment) else p for p in action.body)))
        else:
            actions.append(replace(action, segment=segment(action.segment)))
    assert done
    return replace(program, phases={**program.phases, phase: replace(program.phases[phase], actions=tuple(actions))})


def of(kind, rule, where=lambda s: True):
    return lambda s: rule(s) if isinstance(s, kind) and where(s) else NotImplemented


def times(statement, numerator, denominator=1):
    return replace(statement, element=Op("mul", (Const(numerator, denominator), statement.element)))


def is_sum(statement):
    return isinstance(statement.element, Op) and statement.element.name == "add" and len(statement.element.args) > 1


def is_sensitivity(statement):
    return statement.out.startswith("g_s_") or statement.out in ("g_s", "next_g_s")


def without_last(statement):
    return replace(statement, element=replace(statement.element, args=statement.element.args[:-1]))


SABOTAGE = {
    "sign": of(Map, lambda s: times(s, -1), is_sensitivity),
    "1 % scaling": of(Map, lambda s: times(s, 101, 100), is_sensitivity),
    "1 % of one weight": of(Map, lambda s: times(s, 101, 100), lambda s: s.out == "g_d_bar"),
    "transpose": of(Product, lambda s: replace(s, transposed=not s.transposed), lambda s: s.matrix == "q_W"),
    "swapped operands": of(OuterSum, lambda s: replace(s, left=s.right, right=s.left), lambda s: s.out == "g_W_bar"),
    "lag": of(OuterSum, lambda s: replace(s, right=replace(s.right, lag=0)), lambda s: s.right.lag == -1),
    "dropped term": of(Map, without_last, lambda s: s.out == "g_h_bar" and is_sum(s)),
    "missing sum": of(OuterSum, lambda s: None, lambda s: s.out == "g_U_bar"),
    "nothing sent back": of(Product, lambda s: None, lambda s: s.out == "g_h_back"),
    "missing ghost": of(Fill, lambda s: replace(s, element=Const(1, 10)), lambda s: s.out == "g_h_back"),
    "stale slope": of(Map, lambda s: replace(s, element=s.element.args[-1]), is_sensitivity),
}  # fmt: skip


@pytest.mark.parametrize("wrong", SABOTAGE)
def test_a_wrong_gradient_phase_is_rejected(wrong):
    recurrence = load("elman")
    sound = lower(recurrence)
    assert by_interpreter(recurrence, sound, steps=4, batch=2).passed
    report = by_interpreter(recurrence, damaged(sound, "gradient", SABOTAGE[wrong]), steps=4, batch=2)
    assert not report.passed, report.to_text()


@pytest.mark.parametrize("name", ["settle"])
def test_a_wrong_steady_state_gradient_is_rejected(name):
    recurrence = load(name)
    sound = lower(recurrence)
    for change in (SABOTAGE["transpose"], SABOTAGE["sign"], SABOTAGE["1 % scaling"]):
        report = by_interpreter(recurrence, damaged(sound, "gradient", change))
        assert not report.passed, report.to_text()


def test_a_wrong_pullback_phase_is_rejected():
    recurrence = parse("x[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t])\n")
    sound = lower(recurrence)
    wrong = damaged(sound, "pullback", of(OuterSum, lambda s: replace(s, right=replace(s.right, lag=0)), lambda s: s.right.lag))
    assert by_interpreter(recurrence, sound, steps=4).passed
    assert not by_interpreter(recurrence, wrong, steps=4).passed


class Altered:
    """A kernel whose gradients are changed before they are handed back."""

    def __init__(self, kernel, change):
        self.kernel, self.change, self.dtype = kernel, change, kernel.dtype

    def forward(self, values, **options):
        run, change = self.kernel.forward(values, **options), self.change
        backward = run.backward

        def altered(*arguments, **named):
            return change(backward(*arguments, **named))

        run.backward = altered
        return run


def noisy(grads, size=0.01):
    rng = np.random.default_rng(0)
    return {label: grad * (1 + size * rng.standard_normal(grad.shape)) for label, grad in grads.items()}


def one_entry(grads, size):
    grads = {label: np.array(grad) for label, grad in grads.items()}
    grads["U"].flat[-1] += size * np.abs(grads["U"]).max()
    return grads


@pytest.mark.parametrize("change", [
    noisy, lambda g: one_entry(g, 1e-6), lambda g: one_entry(g, np.nan), lambda g: {**g, "W": g["W"].T}, lambda g: {**g, "b": 0 * g["b"]},
    lambda g: {label: grad for label, grad in g.items() if label != "x"}, lambda g: {**g, "x": g["x"][::-1]},
    lambda g: {**g, "h[0]": 1.01 * g["h[0]"]},
])  # fmt: skip
def test_a_kernel_that_hands_back_something_else_is_rejected(change):
    recurrence = load("elman")
    kernel = Kernel(lower(recurrence), "float64")
    assert codegen.check(recurrence, kernel=Altered(kernel, lambda g: g), steps=4, batch=2).passed
    report = codegen.check(recurrence, kernel=Altered(kernel, change), steps=4, batch=2)
    assert not report.passed, report.to_text()


@pytest.mark.parametrize("change", [noisy, lambda g: one_entry(g, 1e-3), lambda g: {**g, "W": g["W"].T}])
def test_a_float32_kernel_that_hands_back_something_else_is_rejected(change):
    recurrence = load("elman")
    kernel = Kernel(lower(recurrence), "float32")
    assert codegen.check(recurrence, "float32", kernel=Altered(kernel, lambda g: g), steps=4, batch=2).passed
    assert not codegen.check(recurrence, "float32", kernel=Altered(kernel, change), steps=4, batch=2).passed


def test_a_kernel_whose_forward_pass_is_wrong_is_rejected():
    recurrence = load("elman")
    wrong = damaged(lower(recurrence), "forward", of(Map, lambda s: times(s, 101, 100), lambda s: s.out == "q_h"))
    report = by_interpreter(recurrence, wrong, steps=4, batch=2)
    assert not report.passed and any("kernel's objective" in failure for failure in report.failures)


def test_a_lag_longer_than_the_sequence_leads_nowhere_and_is_said_to(compiled):
    report = codegen.check("narx", kernel=compiled("narx"), steps=1, batch=2)
    assert report.passed and "weak" in report.verdict, report.to_text()
    status = {row.name: row.status for row in report.quantities}
    assert status["B1"] == status["B2"] == "zero, proved" and status["B0"] == "passed"
    long = codegen.check("narx", kernel=compiled("narx"), steps=7, batch=2)
    assert {row.name: row.status for row in long.quantities}["B1"] == "passed"
