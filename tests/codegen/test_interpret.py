import functools
from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
from generator import generate
from oracles import stock_layouts

from codegen.element import Const, Op
from codegen.program import Segment
from codegen.statements import Accumulate
from codegen.kernel import Kernel
from codegen.lower import lower
from derive.adjoint import gradient, pullback
from derive.holding import hold
from derive.language import parse
from tests.codegen.kernel_cases import beyond, given, interpreted, random_case, worst

SEEDS = range(60)


@functools.cache
def solved(seed):
    """A random case, and what the literal reference says: every value and every gradient."""
    case, program = random_case(seed)
    derivation = gradient(case.recurrence)
    result = case.evaluate(derivation.recurrence, case.values)
    return case, program, result, {label: result[q.name] for label, q in derivation.gradients.items()}


def differences(kernel, case, result, grads):
    """Errors of every signal and every gradient, interpreted or compiled, against the reference."""
    run = kernel.forward(given(case), steps=case.steps, batch=case.batch)
    value, found = kernel.value_and_grad(given(case), steps=case.steps, batch=case.batch)
    assert found.keys() == grads.keys()
    errors = {name: worst(run[name], result[name]) for name in kernel.program.results["forward"]}
    errors |= {f"{label} gradient": worst(found[label], grads[label]) for label in grads}
    return errors | {"value": worst(value, result["E"])}


@pytest.mark.parametrize("seed", SEEDS)
def test_signals_and_gradients_equal_the_literal_reference(seed):
    case, program, result, grads = solved(seed)
    errors = differences(Kernel(program, "float64"), case, result, grads)
    assert max(errors.values()) < 1e-10, errors


@pytest.mark.parametrize("seed", range(0, 60, 5))
def test_cotangents_equal_the_literal_reference(seed):
    case, program, result, _ = solved(seed)
    derivation, rng = pullback(case.recurrence), np.random.default_rng(seed)
    cotangents = {label: rng.standard_normal(np.shape(result[label])) for label in derivation.cotangents}
    named = {q.name: cotangents[label] for label, q in derivation.cotangents.items()}
    wanted = case.evaluate(derivation.recurrence, {**case.values, **named})
    for label, quantity in derivation.cotangents.items():
        if quantity.kind == 2:
            cotangents[label] = beyond(case, cotangents[label].copy())
    run = Kernel(program, "float64").forward(given(case), steps=case.steps, batch=case.batch)
    found = run.backward(cotangents)
    assert found.keys() == derivation.gradients.keys()
    assert max(worst(found[label], wanted[q.name]) for label, q in derivation.gradients.items()) < 1e-10


def test_seeds_cover_every_edge():
    cases = [solved(seed)[0] for seed in SEEDS]
    assert {0, 1} < {case.steps for case in cases}
    assert {case.batch for case in cases} == {1, 2, 3}
    assert any(len(set(case.lengths)) > 1 for case in cases)


def scaled(program):
    """The program with one sum over time in the forward phase a little too large, or nothing where it has none."""
    for phase, action, segment, statement in places(program):
        if phase == "forward" and isinstance(statement, Accumulate):
            wrong = Op("mul", (Const(1001, 1000), statement.element))
            return swapped(program, phase, action, segment, statement, replace(statement, element=wrong))
    return None


def places(program):
    for name, phase in program.phases.items():
        for action in phase.actions:
            for segment in (action,) if isinstance(action, Segment) else ():
                for statement in segment.statements:
                    yield name, action, segment, statement


def swapped(program, phase, action, segment, old, new):
    made = replace(segment, statements=tuple(new if s is old else s for s in segment.statements))
    actions = tuple(made if a is action else a for a in program.phases[phase].actions)
    return replace(program, phases={**program.phases, phase: replace(program.phases[phase], actions=actions)})


def test_a_wrong_program_is_seen():
    seen = 0
    for seed in range(0, 60, 2):
        case, program, result, grads = solved(seed)
        wrong = scaled(program)
        if wrong is not None and case.steps > 3 and abs(result["E"]) > 1e-3:
            seen += max(differences(Kernel(wrong, "float64"), case, result, grads).values()) > 1e-10
    assert seen >= 5


def is_differentiated_whole(seed):
    """Whether nothing is stopped, which a complex step would move, and no constraint takes anything off the gradient."""
    recurrence = parse(generate(seed).text)
    return hold(recurrence) is None and not recurrence.constraints


@pytest.mark.parametrize("seed", [seed for seed in range(0, 60, 2) if is_differentiated_whole(seed)][:8])
def test_complex_step_equals_the_gradient(seed):
    case, program, _, grads = solved(seed)
    moves = case.direction(list(grads))
    shifted = {label: value + 1e-30j * moves[label] if label in moves else value for label, value in case.values.items()}
    run = Kernel(program, "complex128").forward({**shifted, "lengths": case.lengths}, steps=case.steps, batch=case.batch)
    product = sum(np.sum(grads[label] * move) for label, move in moves.items())
    size = sum(np.sum(np.abs(grads[label] * move)) for label, move in moves.items())
    assert abs(np.imag(run.value) / 1e-30 - product) <= 1e-11 * max(size, 1e-3)
    assert size == 0 or not abs(np.imag(run.value) / 1e-30 - 1.001 * product) <= 1e-11 * abs(product)


@pytest.mark.parametrize("name", ["elman", "settle", "lstm"])
def test_fifty_digits_agree_with_float64(name):
    values = stock_layouts.draw(name, seed=5, steps=3, batch=2, dims={"n": 3, "m": 2, "k": 2})
    value, grads = interpreted(name).value_and_grad(values)
    with mp.workdps(50):
        precise = {label: np.vectorize(mp.mpf, otypes=[object])(array) for label, array in values.items()}
        kernel = interpreted(name, "object")
        exact, exact_grads = kernel.value_and_grad(precise)
        assert isinstance(exact, mp.mpf)
        assert worst(value, float(exact)) < 1e-12
        for label, grad in grads.items():
            assert worst(grad, exact_grads[label].astype(float)) < 1e-12, label
        assert abs(exact - mp.mpf(float(value))) > 0  # digits beyond float64 were computed


def test_every_dtype_of_the_interpreter_gives_its_own():
    values = stock_layouts.draw("elman", seed=1)
    for dtype in ("float32", "float64", "complex128"):
        assert interpreted("elman", dtype).forward(values)["h"].dtype == dtype


@pytest.mark.parametrize("divisor, runs", [("(T + 2)", True), ("(n - T/2)", True), ("T", False), ("(2*T)", False), ("(T - n + n)", False)])
def test_only_what_is_zero_without_steps_needs_one(divisor, runs):
    kernel = interpreted(f"x[t]: n\nE = minimize((1 + sum(sum(x[t]) for t in steps))/{divisor})\n")
    empty = {"x": np.zeros((0, 1, 4))}
    if runs:
        assert kernel.value_and_grad(empty)[0] in (0.5, 0.25)
    else:
        with pytest.raises(ValueError, match="T, a divisor, is read in a sequence of 0 steps; it needs at least 1"):
            kernel.value_and_grad(empty)
        assert kernel.value_and_grad({"x": np.ones((2, 1, 4))})[0] > 0


def test_without_derivatives_there_is_no_gradient():
    kernel = Kernel(lower(solved(0)[0].recurrence, derivatives=False), "float64")
    assert set(kernel.program.phases) == {"forward"}
    with pytest.raises(ValueError, match="no objective"):
        kernel.value_and_grad({})
