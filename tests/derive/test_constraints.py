"""Constraints: how they are read and refused, and their projections against dense projectors made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from constraint_cases import BATCH, CASES, MODEL, STEPS, N, projector, text, values, vector
from sabotage import mutants

from derive import gradient, pullback, sensitivities
from derive.builder import Builder
from derive.constraints import systems
from derive.errors import RecurrenceError
from derive.language import parse
from derive.proof import prove
from derive.reference import evaluate
from derive.tangents import tangent
from derive.writing import write


def projected(derivation, case, given):
    """The unprojected and the projected gradient, evaluated literally, as vectors."""
    found = evaluate(derivation.recurrence, given, STEPS, BATCH)
    free, made = ({name: found[q.name] for name, q in each.items()} for each in (derivation.free, derivation.gradients))
    bound = {name: free.get(name, made[name]) for name in case.parameters}
    return vector(case, bound), vector(case, made)


@pytest.mark.parametrize("name", CASES)
def test_projection_is_that_of_a_dense_projector(name):
    case = CASES[name]
    derivation, given = gradient(parse(text(case))), values(case)
    free, made = projected(derivation, case, given)
    np.testing.assert_allclose(made, projector(case, given) @ free, atol=1e-12)
    assert np.abs(made - free).max() > 1e-3  # there is something to project
    assert ("project(" in write(derivation.recurrence)) != case.closed


@pytest.mark.parametrize("name", CASES)
def test_gradient_reads_back_with_its_constraints(name):
    derived = gradient(parse(text(CASES[name]))).recurrence
    again = parse(write(derived), name=derived.name)
    assert [(e.target, e.expr) for e in again.equations] == [(e.target, e.expr) for e in derived.equations]
    assert again.constraints == derived.constraints and len(again.constraints) == CASES[name].lines.count("assert")


@pytest.mark.parametrize("derive_by", [gradient, pullback])
@pytest.mark.parametrize("name", CASES)
def test_projection_is_proved(name, derive_by):
    proof = prove(derive_by(parse(text(CASES[name]))))
    assert proof.proved, proof.to_text()
    symbolic = bool(CASES[name].constants)
    assert {v.method == "cancelled" for v in proof.verdicts if v.label in ("W", "V")} <= {True, not symbolic}


@pytest.mark.parametrize("name", ["symmetric", "masked", "dotted", "rows", "tied with a sign", "symmetric mask", "sums of two"])
def test_sabotaged_projections_are_refuted(name):
    case = CASES[name]
    derivation, given = gradient(parse(text(case))), values(case)
    free, _ = projected(derivation, case, given)
    wanted = projector(case, given) @ free
    targets = {line.target.name for projection in derivation.projections for line in projection.lines}
    found = [(what, m) for what, m in mutants(derivation) if any(f" in {target} = " in what for target in targets)]
    assert len(found) >= 3
    for what, mutant in found:
        changed = np.abs(projected(mutant, case, given)[1] - wanted).max() > 1e-9
        assert changed != prove(mutant).proved, what
    assert sum(not prove(mutant).proved for _, mutant in found) >= 2


def test_a_missing_projection_is_refuted():
    derivation = gradient(parse(text(CASES["symmetric"])))
    for projections, free in ((derivation.projections, derivation.free), ((), {})):
        gradients = {**derivation.gradients, **derivation.free}
        proof = prove(replace(derivation, gradients=gradients, projections=projections, free=free))
        assert not proof.proved and {failure.label for failure in proof.failures} == {"W"}


def test_both_readings_of_ties_are_shown():
    steps = gradient(parse(text(CASES["tied with a sign"]))).steps
    rules = [step.rule for step in steps]
    assert rules.index("one shared parameter") < rules.index("projection: tied") < rules.index("weight update")
    shared, averaged = (next(s for s in steps if s.rule == rule) for rule in ("one shared parameter", "projection: tied"))
    assert shared.source == averaged.source == "hinton2012"
    assert "are added" in "".join(map(str, shared.because)) and "average" in "".join(map(str, averaged.because))


@pytest.mark.parametrize("name", CASES)
def test_derivations_are_presented(name):
    derivation = gradient(parse(text(CASES[name])))
    shown = derivation.to_text()
    assert "7. Constraints, projections and weight updates" in shown
    assert "Π = I − A" in shown and "(Π g)_W" in shown
    assert derivation.to_latex().count(r"\Pi\, g") >= 1
    assert [s.rule for s in derivation.steps].count("constraint") == CASES[name].lines.count("assert")
    plain = gradient(parse(MODEL)).to_text()
    assert "7. Weight updates" in plain and "Π" not in plain


@pytest.mark.parametrize("name", ["symmetric", "tied with a sign", "symmetric, zero diagonal and sum", "product with a constant"])
def test_second_derivatives_are_symmetric_where_changes_are_allowed(name):
    case = CASES[name]
    first = gradient(parse(text(case)))
    second, given = tangent(first.recurrence), values(case)
    rng, P = np.random.default_rng(1), projector(case, given)
    still = {second.tangents[label].source(): np.zeros_like(given[label]) for label in ("x", "h[0]")}

    def product(direction):
        moves = dict(zip(case.parameters, direction.reshape(-1, N, N), strict=True))
        found = evaluate(second.recurrence, {**given, **still, **{second.tangents[k].source(): v for k, v in moves.items()}}, STEPS, BATCH)
        return vector(case, {k: found[second.tangents[first.gradients[k].name].source()] for k in moves})

    u, v = (P @ rng.standard_normal(P.shape[0]) for _ in range(2))
    assert abs(u @ product(v) - v @ product(u)) < 1e-12 * np.linalg.norm(u) * np.linalg.norm(product(v))
    np.testing.assert_allclose(P @ product(v), product(v), atol=1e-12)
    assert np.linalg.norm(product(v)) > 1e-3


def test_adjoint_of_a_projection_is_a_projection():
    recurrence = parse("w: n\nu: n\nassert sum(w) == dot(u, ones(n))\nq: n = project(w, w = w*w, u = u)\nE = minimize(norm2(q))\n")
    derivation, rng = gradient(recurrence), np.random.default_rng(0)
    given = {"w": rng.standard_normal(4), "u": rng.standard_normal(4)}
    found = evaluate(derivation.recurrence, given, 0, 1)
    a = np.concatenate([np.ones(4), -np.ones(4)])[None]
    P = np.eye(8) - a.T @ a / 8
    q = (P @ np.concatenate([given["w"] ** 2, given["u"]]))[:4]
    back = P @ np.concatenate([2 * q, np.zeros(4)])
    wanted = P @ np.concatenate([2 * given["w"] * back[:4], back[4:]])
    np.testing.assert_allclose(found["q"], q, atol=1e-13)
    np.testing.assert_allclose(np.concatenate([found[derivation.gradients[k].name] for k in "wu"]), wanted, atol=1e-12)


def test_shapes_follow_from_constraints():
    recurrence = parse("x[t]: n\nh[t]: n = tanh(W @ h[t-1] + x[t])\nE = minimize(norm2(h[T]))\nassert Q == W.T\n")
    assert [str(size) for size in recurrence.named["Q"].shape] == ["n", "n"]
    assert "note: Q is taken as a parameter, (n, n)" in recurrence.notes


def test_systems_share_no_parameter():
    found = systems(parse(MODEL + "b: n\nc: n\nassert W == W.T\nassert V == 2*W\nassert sum(b) == 0\nassert c == 0\nS: n = b + c\n"))
    assert [[q.name for q in system.parameters] for system in found] == [["W", "V"], ["b"], ["c"]] or [
        [q.name for q in system.parameters] for system in found
    ] == [["b"], ["c"], ["W", "V"]]
    joined = systems(parse(MODEL + "b: n\nc: n\nassert S == 0\nS: n = b + c\n"))
    assert [[q.name for q in system.parameters] for system in joined] == [["b", "c"]]


def test_what_allows_everything_leaves_the_gradient_as_it_is():
    derivation = gradient(parse(MODEL + "assert W + V == V + W\n"))
    assert not derivation.projections and not derivation.free and derivation.gradients["W"].name == "W_bar"


def test_generated_names_avoid_those_taken():
    derivation = gradient(parse(MODEL + "W_free_bar: n\nassert W == W.T\nassert W_free_bar == 0\n"))
    assert derivation.free["W"].name == "W_free_bar2" and derivation.gradients["W"].name == "W_bar"


def test_builder_takes_constraints():
    from derive import t, tanh

    b = Builder("net")
    h, W = b.signal("h", "n"), b.parameter("W", "n", "n")
    b.define(h[t], tanh(W @ h[t - 1]))
    b.constrain(W, W.T)
    made = b.recurrence()
    assert write(made).splitlines()[1] == "assert W == W.T" and len(made.constraints) == 1
    b.constrain(W * W, 1)
    with pytest.raises(RecurrenceError, match="not linear in W"):
        b.recurrence()
    with pytest.raises(RecurrenceError, match="from step to step"):
        b.constrain(h[t], 0)


REFUSED = [
    ("assert W >= 0", "4:8: a constraint is an equality", "W: (n, n) = tanh(V)"),
    ("assert W", "4:8: a constraint is an equality", "assert W == W.T"),
    ("assert W == 0, 'zero'", "4:16: an assert has no message", "leave out"),
    ("assert W == V == 0", "4:8: a constraint has one ==", "an assert for each"),
    ("assert W*W == 1", "4:8: W*W is not linear in W", "linear in parameters"),
    ("assert tanh(W) == 0", "4:8: tanh(W) is not linear in W", "linear in parameters"),
    ("M: (n, n)\nassert W*M == 0", "5:8: W*M is not linear in M and W", "declare it: W: const[…]"),
    ("assert h[T] == 0", "4:8: h differs from step to step", "linear in parameters"),
    ("u: input[n]\nassert W @ u == 0", "5:12: u differs from sequence to sequence", "linear in parameters"),
    ("assert W == T", "4:8: T differs", "linear in parameters"),
    ("assert 1 == 1", "4:8: no parameter stands in this constraint", "assert W == W.T"),
    ("M: const[n, n]\nassert M == 0", "5:8: no parameter stands in this constraint", "assert W == W.T"),
    ("q: n\nassert W == q", "5:8: shapes differ: W is (n, n), q is (n)", "did you mean"),
    ("S: (n, n) = W*V\nassert sum(S) == 0", "5:8: S is not linear in the parameters", "linear in parameters"),
    ("S: (n, n) = tanh(S + W)\nassert S == 0", "5:8: S is not linear in the parameters", "linear in parameters"),
    ("g: total[n] = h[T]\nassert g == 0", "5:8: g is neither a parameter nor derived", "linear in parameters"),
    ("assert sum(Q) == 0", "4:12: Q is not declared", "declare it"),
    ("z: (n, n) = project(W, W = W)", "4: project(W, …) needs an assert that binds W", "assert W == …"),
    ("assert W == W.T\nz: (n, n) = project(W, V = W)", "5: no assert binds V together with W", "they bind W"),
    ("assert W == W.T\nz: (n, n) = project(W, W = sum(W))", "5: project takes the shape of W, (n, n), not scalar", ""),
    ("assert W == W.T\nz: n = project(W)", "5:8: project takes a parameter, and changes", "project(W, W = change)"),
    ("assert W == W.T\nz: n = project(W, W = h[T])", "project takes changes of parameters; h[T]", ""),
]  # fmt: skip


@pytest.mark.parametrize(("line", "problem", "hint"), REFUSED)
def test_refusals_say_where_and_what_to_write(line, problem, hint):
    with pytest.raises(RecurrenceError) as caught:
        parse(MODEL + line + "\n", name="net")
    assert problem in str(caught.value) and hint in str(caught.value)


def test_a_constraint_counts_as_a_use():
    notes = parse(MODEL + "b: n\nM: const[n]\nassert b*M == 0\n").notes
    assert not any("never used" in note for note in notes)


@pytest.mark.parametrize("name", ["symmetric", "tied with a sign", "symmetric, zero diagonal and sum", "product with a constant"])
def test_forward_sensitivities_give_the_same_projected_gradient(name):
    case = CASES[name]
    forward, backward, given = sensitivities(parse(text(case)), "W"), gradient(parse(text(case))), values(case)
    found, wanted = (evaluate(d.recurrence, given, STEPS, BATCH) for d in (forward, backward))
    assert {"W"} <= forward.gradients.keys() <= {"W", "V"}  # what W is bound to comes along
    for label, quantity in forward.gradients.items():
        np.testing.assert_allclose(found[quantity.name], wanted[backward.gradients[label].name], atol=1e-11)
    assert prove(forward).proved and "(Π g)_W" in forward.to_text()
    alone = sensitivities(parse(text(case).replace("V @ x[t]", "V @ x[t] + b") + "b: n\n"), "b")
    assert list(alone.gradients) == ["b"] and not alone.projections
