"""The steps of a derivation: order, numbering, sources, completeness; and that they follow the derivation, not a script."""

from __future__ import annotations

import ast
from dataclasses import FrozenInstanceError, replace
from functools import cache
from pathlib import Path

import pytest
from generator import generate

from derive.adjoint import gradient, pullback
from derive.arithmetic import Mul
from derive.arrays import Ones
from derive.derivation import Derivation
from derive.exposition import SECTIONS, Step, steps
from derive.language import load, parse
from derive.nodes import Number, Pick
from derive.present.references import REFERENCES
from derive.present.text import to_text
from derive.recurrence import Equation

ROOT = Path(__file__).resolve().parents[2]
STOCK = sorted(path.stem for path in (ROOT / "derive" / "zoo").glob("*.rec"))


@cache
def derived(name: str) -> Derivation:
    return gradient(load(name))


@pytest.mark.parametrize("name", STOCK)
def test_sections_come_in_order_and_numbers_have_no_gaps(name):
    found = steps(derived(name))
    assert [step.number for step in found] == list(range(1, len(found) + 1))
    sections = [step.section for step in found]
    assert sections == sorted(sections) and set(sections) == set(SECTIONS)


@pytest.mark.parametrize("name", STOCK)
def test_every_step_has_rule_sentence_and_known_source(name):
    for step in steps(derived(name)):
        assert step.rule and isinstance(step.because[-1], str) and step.because[-1].endswith(".")
        assert all(part < step.number for part in step.because if isinstance(part, int)), step
        assert not step.source or step.source in REFERENCES


@pytest.mark.parametrize("name", STOCK)
def test_every_line_of_the_algorithm_points_to_an_equation(name):
    found = steps(derived(name))
    for step in (s for s in found if s.section == 8):
        (number,) = (part for part in step.because if isinstance(part, int))
        assert (found[number - 1].before, found[number - 1].after) == (step.before, step.after)


def test_steps_are_frozen_and_equal_on_every_call():
    derivation = derived("elman")
    first, second = steps(derivation), steps(derivation)
    assert first == second
    with pytest.raises(FrozenInstanceError):
        first[0].number = 2  # type: ignore[misc]


def _generated(name):
    derivation = derived(name)
    known = {quantity.name for quantity in derivation.primal.quantities}
    owner = lambda target: target.quantity if isinstance(target, Pick) else target
    return [i for i, e in enumerate(derivation.recurrence.equations) if owner(e.target).name not in known]


@pytest.mark.parametrize(("name", "index"), [(name, i) for name in ("elman", "gru", "narx", "settle") for i in _generated(name)])
def test_a_changed_equation_of_the_adjoint_is_seen(name, index):
    derivation = derived(name)
    equations = list(derivation.recurrence.equations)
    old = equations[index]
    wrong = Ones(*old.target.shape) if isinstance(old.target, Pick) else Mul(Number(3), old.expr)
    equations[index] = Equation(old.target, wrong, old.line)
    changed = replace(derivation, recurrence=replace(derivation.recurrence, equations=tuple(equations)))
    assert steps(changed) != steps(derivation)


@pytest.mark.parametrize("name", STOCK)
def test_every_gradient_is_printed(name):
    derivation = derived(name)
    formulas = [line.split("  ", 1)[-1].strip() for line in to_text(derivation).splitlines() if line.startswith("(")]
    aim = derivation.source.objective.name
    timed = {q.name for q in derivation.source.quantities if q.kind == 2}
    for label in derivation.gradients:
        shown = f"{label}(t)" if label in timed else label.replace("[", "(").replace("]", ")").replace("-", "−")
        assert any(formula.startswith(f"∂{aim}/∂{shown} = ") for formula in formulas), label


def test_a_function_without_inverse_goes_on_in_the_form_that_needs_none():
    text = to_text(gradient(parse("R = maximize(norm2(x))\nu: input[n]\nx: n = relu(W @ x + b + u)\n")))
    assert "relu has no inverse" in text
    assert "b = z − W x − u" in text and "∂b/∂z = I − W D" in text and "(I − D Wᵀ) s = D ∂R/∂x" in text
    assert "relu⁻¹" not in text and "D⁻¹" not in text


def test_descent_and_ascent_have_their_signs():
    text = "x[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)\nE = {}(sum(norm2(h[t]) for t in steps))\n"
    assert "ΔW = −η Σ_t s(t) h(t−1)ᵀ" in to_text(gradient(parse(text.format("minimize"))))
    assert "ΔW = η Σ_t s(t) h(t−1)ᵀ" in to_text(gradient(parse(text.format("maximize"))))


def test_an_unused_input_has_gradient_zero():
    text = to_text(gradient(parse("x[t]: m\nd[t]: n\nu: n\nE = minimize(sum(norm2(d[t]) for t in steps))\nh[t]: n = tanh(u + d[t])\n")))
    assert "∂E/∂u = 0" in text and "No path leads from it to the objective." in text


@pytest.mark.parametrize("name", STOCK)
def test_a_pullback_presents_with_any_objective(name):
    found = steps(pullback(load(name)))
    assert {step.section for step in found} == set(SECTIONS) and all(isinstance(step, Step) for step in found)


@pytest.mark.parametrize("seed", range(12))
def test_random_recurrences_present_within_the_columns(seed):
    derivation = gradient(parse(generate(seed, seed % 2 == 0).text))
    assert all(len(line) <= 110 for line in to_text(derivation).splitlines())


def test_no_recurrence_is_known_by_name():
    # these stock files are named by words that the field has for shapes of weights and for the states of a network
    words = {"trajectory", "tied", "antisymmetric"}
    for package in ("derive", "codegen"):
        for path in (path for path in (ROOT / package).rglob("*.py") if path.parent.name != "zoo"):
            constants = {node.value for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Constant)}
            assert not constants & (set(STOCK) - words), path
