"""Unfolding: shares add up to the gradient, each is right by itself, labels tell the steps, and what cannot be unfolded is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from alone import base_of, shares_along, shares_of_steps
from boxed import value
from generator import draw as draw_small
from generator import generate

import derive
from derive.errors import RecurrenceError
from derive.nodes import Kind, Number, Pick, Quantity, dim, walk
from derive.nodes import replace as put
from derive.reference import evaluate
from derive.sections.boxes import terms
from derive.unfolding.entries import choices, read_entry
from derive.unfolding.paths import MOST_PATHS, MOST_STEPS, unfold
from derive.unfolding.shares import Shares

TWO_STEPS = """
x[t]: m
d[t]: k
tx[t]: n = Whx @ x[t] + Whh @ h[t-1] + bh
h[t]: n = tanh(tx[t])
s[t]: k = Wyh @ h[t] + by
y[t]: k = sigmoid(s[t])
E = minimize(sum(norm2(y[t] - d[t])/2 for t in steps))
"""
LAGS = """
x[t]: m
h[t]: n = tanh(A @ h[t-1] + B @ h[t-2] + U @ x[t-1])
h[0] = start
start: n
E = minimize(sum(norm2(h[t]) for t in steps))
"""
SEVERAL = """
x[t]: m
g[t]: n = sigmoid(P @ h[t-1] + x[t][0:n]*h[t-2])
h[t]: n = g[t]*h[t-1] + (1 - g[t])*tanh(P @ (g[t]*h[t-1]) + Q @ concat(x[t], g[t-1]))
mean_h: n = sum(h[t] for t in steps)/T
E = minimize(norm2(mean_h) + dot(h[T], P @ h[1]) + 0.1*norm2(P) + sum(sum(h[t])**2 for t in steps[1:]))
"""
FIXED = {"two steps": TWO_STEPS, "lags": LAGS, "several": SEVERAL}
CASES = [
    ("two steps", "Whx[i,j]"), ("two steps", "Whh[i,j]"), ("two steps", "bh[i]"), ("two steps", "Wyh[i,j]"),
    ("elman", "W[i,j]"), ("elman", "U[i,j]"), ("lstm", "Wf[j,k]"), ("lstm", "bo[j]"), ("narx", "A2[i,j]"), ("narx", "B1[i,j]"),
    ("bidirectional", "Wb[i,j]"), ("bidirectional", "Uf[i,j]"), ("trajectory", "W[i,j]"), ("lags", "B[i,j]"), ("lags", "U[i,j]"),
]  # fmt: skip
BATCH = 2
DIMS = {dim("n"): 2, dim("m"): 3, dim("k"): 4}


def draw(recurrence, rng, steps, batch, scale):
    """Random values for everything that is given."""
    lead = {Kind.SHARED: (), Kind.SEQUENCE: (batch,), Kind.TIMED: (steps, batch)}
    given = {q.name: q for q in recurrence.of_role("input", "parameter", "constant")} | {g.source(): g for g in recurrence.arguments}
    return {name: scale * rng.standard_normal((*lead[q.kind], *(int(size.subs(DIMS)) for size in q.shape))) for name, q in given.items()}


def read(name: str) -> derive.Recurrence:
    return derive.parse(FIXED[name], name="net") if name in FIXED else derive.load(name)


def unfolded(name: str, wrt: str, steps: int):
    """An unfolding and random values for it."""
    found = unfold(read(name), steps, wrt)
    return found, draw(found.derivation.source, np.random.default_rng(steps), steps, BATCH, 0.7)


def gradient_at(unfolding, values):
    """The derivation's gradient, by the reference."""
    derivation = unfolding.derivation
    found = evaluate(derivation.recurrence, values, unfolding.steps, BATCH)[derivation.gradients[unfolding.entry.target.source()].name]
    return found[unfolding.entry.step - 1] if unfolding.entry.step else found


def relative(found, wanted) -> float:
    """The largest difference over the largest value; NaN where there is one."""
    return float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize(("name", "wrt"), CASES)
def test_s17_shares_add_up_to_the_gradient(name, wrt, steps):
    unfolding, values = unfolded(name, wrt, steps)
    wanted = gradient_at(unfolding, values)
    if not unfolding.paths:
        assert not wanted.any() and "= 0" in unfolding.to_text()
        return
    shares = unfolding.evaluate(values)
    assert relative(sum(shares), wanted) < 1e-12
    dropped = replace(unfolding, paths=unfolding.paths[:-1])
    assert not relative(sum(dropped.evaluate(values)) if dropped.paths else 0 * wanted, wanted) < 1e-6


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize(("name", "wrt"), CASES)
def test_s17_every_share_is_that_of_its_path_alone(name, wrt, steps):
    unfolding, values = unfolded(name, wrt, steps)
    for path, share in zip(unfolding.paths, unfolding.evaluate(values), strict=True):
        assert relative(share, shares_along(unfolding, path, values, BATCH)) < 1e-12


@pytest.mark.parametrize(("name", "wrt"), CASES)
def test_s17_labels_tell_the_step_of_the_cost_and_of_the_weight(name, wrt):
    unfolding, values = unfolded(name, wrt, 3)
    shares = unfolding.evaluate(values)
    for source in (1, 2, 3):
        for acts in (1, 2, 3):
            cost = [path.source for path in unfolding.paths]
            if source not in cost:
                continue
            own = [share for path, share in zip(unfolding.paths, shares, strict=True) if (path.source, path.acts) == (source, acts)]
            wanted = shares_of_steps(unfolding, source, acts, values, BATCH)
            if own:
                assert relative(sum(own), wanted) < 1e-12
            else:
                assert not wanted.any()


def test_a_share_that_is_shifted_by_a_step_is_found_out():
    unfolding, values = unfolded("two steps", "Whx[i,j]", 2)
    x = unfolding.derivation.primal.named["x"]
    shifted = [replace(path, term=put(path.term, {Pick(x, 1): Pick(x, 2), Pick(x, 2): Pick(x, 1)})) for path in unfolding.paths]
    for path, share in zip(unfolding.paths, replace(unfolding, paths=tuple(shifted)).evaluate(values), strict=True):
        assert not relative(share, shares_along(unfolding, path, values, BATCH)) < 1e-6
    crossing = next(path for path in unfolding.paths if path.source != path.acts)
    share = unfolding.evaluate(values)[unfolding.paths.index(crossing)]
    assert not relative(share, shares_of_steps(unfolding, crossing.acts, crossing.source, values, BATCH) + 1e-30) < 1e-6


@pytest.mark.parametrize(
    ("name", "wrt", "steps"),
    [("several", "P[i,j]", 2), ("several", "Q[i,j]", 2), ("several", "h[-1][i]", 2), ("several", "x[1][i]", 3), ("lags", "start[i]", 3),
     ("lags", "h[-1][i]", 2), ("lags", "x[1][i]", 3), ("bidirectional", "hb[3][i]", 2), ("bidirectional", "hb[T+1][i]", 2),
     ("elman", "x[T][i]", 2), ("trajectory", "w[2]", 3)],
)  # fmt: skip
def test_other_entries_and_objectives_add_up(name, wrt, steps):
    unfolding, values = unfolded(name, wrt, steps)
    wanted = gradient_at(unfolding, values)
    assert unfolding.paths and relative(sum(unfolding.evaluate(values)), wanted) < 1e-12
    assert not relative(sum(unfolding.evaluate(values)[:-1]), wanted) < 1e-6
    assert unfolding.to_text() and unfolding.to_latex()


def test_whole_numbers_pick_one_entry():
    unfolding, values = unfolded("two steps", "Whx[i,j]", 2)
    whole, one = unfolding.evaluate(values), unfold(read("two steps"), 2, "Whx[1,2]").evaluate(values)
    row = unfold(read("two steps"), 2, "Whx[1,j]").evaluate(values)
    assert all(np.ndim(b) == 0 and a[1, 2] == b and np.array_equal(a[1], c) for a, b, c in zip(whole, one, row, strict=True))
    with pytest.raises(ValueError, match=r"Whx\[1,9\] is outside the array"):
        unfold(read("two steps"), 2, "Whx[1,9]").evaluate(values)


def test_random_recurrences_add_up():
    worst, met = 0.0, 0
    for seed in range(24):
        recurrence = derive.parse(generate(seed).text, name="random")
        values = draw_small(recurrence, np.random.default_rng(seed), 2, BATCH)
        for wrt in choices(recurrence):
            try:
                unfolding = unfold(recurrence, 2, wrt)
            except RecurrenceError as error:
                assert "cycle without lag" in str(error) or "can be written" in str(error)
                continue
            if unfolding.paths:
                wanted, met = gradient_at(unfolding, values), met + 1
                worst = max(worst, float(np.abs(sum(unfolding.evaluate(values)) - wanted).max() / max(1, np.abs(wanted).max())))
                unfolding.to_text()
    assert met > 40 and worst < 1e-12


def test_terms_that_no_sequence_enters_count_once():
    recurrence = derive.parse("x[t]: n\nh[t]: n = tanh(W @ h[t-1] + x[t])\nE = minimize(norm2(h[T]) + 0.3*norm2(W))\n", name="net")
    unfolding = unfold(recurrence, 2, "W[i,j]")
    values = draw(recurrence, np.random.default_rng(0), 2, BATCH, 0.7)
    penalty = [share for path, share in zip(unfolding.paths, unfolding.evaluate(values), strict=True) if path.source is None]
    assert len(penalty) == 1 and np.allclose(penalty[0], 0.6 * values["W"], rtol=1e-14, atol=0)
    assert "G_{·} = 0.6 W_ij" in unfolding.to_text()


def test_functions_and_objectives_may_be_left_open():
    recurrence = derive.parse("f: function\nR = maximize(...)\nx[t]: n = f(W @ x[t-1] + b)\n", name="open")
    unfolding = unfold(recurrence, 3, "W[i,j]")
    assert [(path.source, path.acts) for path in unfolding.paths] == [(1, 1), (2, 2), (2, 1), (3, 3), (3, 2), (3, 1)]
    assert "G_{2→1} = (Wᵀ D(2) ∂R/∂x(2))_i f′(z_i(1)) x_j(0)" in unfolding.to_text()
    closed = derive.parse("f = lambda u: tanh(u)\nR = maximize(...)\nx[t]: n = f(W @ x[t-1] + b)\n", name="closed")
    unfolding = unfold(closed, 3, "W[i,j]")
    values = draw(closed, np.random.default_rng(1), 3, BATCH, 0.7)
    values["R_x"] = np.random.default_rng(2).standard_normal((3, BATCH, 2))
    assert relative(sum(unfolding.evaluate(values)), gradient_at(unfolding, values)) < 1e-12


def test_without_an_objective_paths_start_from_cotangents():
    recurrence = derive.parse("h[t]: n = tanh(W @ h[t-1])\n", name="free")
    assert "∂R/∂h(2)" in unfold(recurrence, 2, "W[i,j]").to_text()


def test_the_terms_are_a_recurrence_that_reads_back():
    unfolding, values = unfolded("two steps", "Whx[i,j]", 2)
    again = derive.parse(unfolding.to_rec(), name="again")
    found = evaluate(again, values, 2, BATCH)
    shares = unfolding.evaluate(values)
    assert [q.name for q in unfolding.terms] == ["path_1_1", "path_2_2", "path_2_1"]
    assert all(np.array_equal(found[q.name], share) for q, share in zip(unfolding.terms, shares, strict=True))


def test_links_hold_what_the_rules_say():
    unfolding, _ = unfolded("lstm", "Wi[j,k]", 2)
    for links in unfolding.links.values():
        for link in links:
            assert link.mark in walk(link.sent) and link.sent.shape == link.read.target.shape
    assert all(isinstance(path.explicit, Number) is False for path in unfolding.paths)
    assert {type(path.places[-1].target) for path in unfolding.paths} == {Quantity}


# -- what is printed


def printed(unfolding, values):
    """The shares as their printed formulas say, for a batch of one."""
    shares, steps = Shares(unfolding), unfolding.steps
    primal = unfolding.derivation.primal
    base, at = base_of(unfolding, values, 1), {}
    for q in primal.quantities:
        timed = q.kind == Kind.TIMED
        at |= {(q.name, t or None): np.real(base.value(q, t, 0)) for t in (range(1, steps + 1) if timed else (0,))}
        for ghost in primal.ghosts[q] if timed and q.role == "signal" else ():
            at[q.name, ghost.offset + steps * ghost.from_end] = np.real(base.value(ghost, 0, 0))
    sizes = {size.name: length for size, length in DIMS.items()}
    for instance, node in shares.factors.slopes.items():
        at[shares.system.cell_of[instance.target].slopes.name, instance.step] = np.diag(value(shares.factors.notation.box(node), at, sizes))
    return [float(value(terms(term), at, sizes)) for term in shares.terms]


@pytest.mark.parametrize(("name", "wrt"), CASES)
def test_s17_formulas_have_the_values_of_the_shares(name, wrt):
    wrt = wrt.replace("[i,j]", "[1,0]").replace("[j,k]", "[0,1]").replace("[i]", "[1]").replace("[j]", "[1]")
    unfolding = unfold(read(name), 3, wrt)
    values = draw(unfolding.derivation.source, np.random.default_rng(3), 3, 1, 0.7)
    wanted, found = np.array(unfolding.evaluate(values)), printed(unfolding, values)
    assert relative(found, wanted) < 1e-12
    assert not relative(found[::-1], wanted) < 1e-6 or len(found) == 1
    x = unfolding.derivation.primal.quantities[0].name
    assert not relative(printed(unfolding, {**values, x: 1.01 * values[x]}), wanted) < 1e-6


def lines(text: str, section: str) -> dict[str, str]:
    """The formulas of a section, by their left sides."""
    body = text.split(section + "\n")[1].split("\n\n")[0]
    formulas = [line[6:] for line in body.splitlines() if line.startswith("(")]
    return dict(formula.split(" = ", 1) for formula in formulas if " = " in formula)


def test_s17_the_question_is_answered():
    text = unfold(read("two steps"), 2, "Whx[i,j]").to_text()
    shares = lines(text, "2. The sum over paths")
    assert shares["∂E/∂Whx_ij"] == "G_{1→1} + G_{2→2} + G_{2→1}"
    assert shares["G_{1→1}"] == "(Wyhᵀ D_y(1) (y(1) − d(1)))_i (1 − h_i(1)²) x_j(1)"
    assert shares["G_{2→2}"] == "(Wyhᵀ D_y(2) (y(2) − d(2)))_i (1 − h_i(2)²) x_j(2)"
    assert shares["G_{2→1}"] == "(Whhᵀ D_h(2) Wyhᵀ D_y(2) (y(2) − d(2)))_i (1 − h_i(1)²) x_j(1)"
    factors = lines(text, "3. The factors")
    assert factors["∂E/∂y(2)"] == "y(2) − d(2)" and factors["∂tx(2)/∂h(1)"] == "Whh" and factors["D_h(2)"] == "diag(1 − h(2)²)"
    enters = lines(text, "4. How the entry enters later steps")
    assert enters["dtx_i(1)/dWhx_ij"] == "x_j(1)"
    assert enters["dtx_i(2)/dWhx_ij"] == "x_j(2) + (Whh dh(1)/dWhx_ij)_i"
    said = " ".join(text.split())
    assert "The explicit part belongs to G_{2→2}. The rest is there because h(1) depends on the entry already" in said
    assert "it leads on to G_{2→1}." in said
    assert "h(0) does not depend on the entry." in said
    assert "Errors flow backward in time" in said and "They cross steps because tx(2) reads h(1)" in said
    assert "E → e(2) → y(2) → s(2) → h(2) → tx(2) → h(1) → tx(1) → Whx_ij" in said
    back = lines(text, "5. The same sum by sensitivities")
    assert back["(tx_bar)_i(1) x_j(1)"] == "G_{1→1} + G_{2→1}" and back["(tx_bar)_i(2) x_j(2)"] == "G_{2→2}"


def test_s17_the_slope_multiplies_both_parts():
    text = " ".join(unfold(read("two steps"), 2, "Whx[i,j]").to_text().split())
    assert "tx_bar(1) = D_h(1) (Wyhᵀ s̄(1) + Whhᵀ tx_bar(2))" in text
    assert "Without the parentheses, as Wyhᵀ s̄(1) + D_h(1) Whhᵀ tx_bar(2), the part from the step itself would lack its slope" in text
    assert "Without the parentheses" not in unfold(read("two steps"), 1, "Whx[i,j]").to_text()
    whole = " ".join(derive.gradient(read("two steps")).to_text().split())
    assert "are both multiplied by the slope, not the second alone" in whole
    finite = derive.parse("x[t]: n\nh[t]: n = tanh(U @ x[t] + V @ x[t-1])\nE = minimize(sum(norm2(h[t]) for t in steps))\n", name="finite")
    assert "not the second alone" not in derive.gradient(finite).to_text()


def test_a_network_that_runs_backward_sends_errors_forward():
    text = unfold(read("bidirectional"), 2, "Ub[i,j]").to_text()
    shares, text = lines(text, "2. The sum over paths"), " ".join(text.split())
    assert shares["G_{1→2}"] == "(Wbᵀ D_hb(1) V_{·,n:2 n}ᵀ (y(1) sum(d(1)) − d(1)))_i (1 − hb_i(2)²) x_j(2)"
    assert "What runs backward in time sends errors forward" in text and "Errors flow backward" not in text


def test_paths_between_the_same_steps_are_numbered():
    text = unfold(read("lstm"), 2, "Wi[j,k]").to_text()
    shares = lines(text, "2. The sum over paths")
    assert shares["∂E/∂Wi_jk"] == "G_{1→1} + G_{2→2} + G_{2→1}"
    assert shares["G_{2→1}"] == "G_{2→1,1} + G_{2→1,2} + G_{2→1,3} + G_{2→1,4} + G_{2→1,5}"


@pytest.mark.parametrize(("name", "wrt"), CASES)
def test_pages_are_well_formed(name, wrt):
    unfolding = unfold(read(name), 3, wrt)
    text, latex = unfolding.to_text(80), unfolding.to_latex()
    assert all(len(line) <= 88 for line in text.splitlines()), max(text.splitlines(), key=len)
    assert latex.isascii() and latex.count("{") == latex.count("}") and latex.startswith("\\documentclass")
    assert not unfolding.to_latex(document=False).startswith("\\documentclass")
    assert "adjoint of" not in text and "derivative of" not in text.replace("explicit derivative", "")
    assert str(unfolding) == unfolding.to_text()


def test_one_page_of_html():
    page = unfold(read("two steps"), 2, "Whx[i,j]").to_html()
    assert page.lstrip().lower().startswith("<!doctype html>") and r"G_{1 \to 1}" in page and "The sum over paths" in page


# -- what is refused


@pytest.mark.parametrize(
    ("wrt", "said"),
    [("Q[i,j]", "net has no Q"), ("Whxx[i,j]", "did you mean Whx?"), ("Whx", "takes 2 indices, not 0"),
     ("Whx[i]", "takes 2 indices, not 1"), ("bh[i,j]", "takes 1 index, not 2"), ("Whx[i][j]", "too many brackets"),
     ("Whx[i,i]", "one letter stands for two indices"), ("Whx[i,-1]", "is not an index"), ("Whx[i,t]", "mistaken for the step"),
     ("Whx[i,h]", "mistaken for h of net"), ("Whx[ij,k]", "is not an index"), ("Whx[i,j] + 1", "is not an entry"), ("", "is not an entry"),
     ("h[1][i]", "is computed"), ("h[-4][i]", "is not read by any equation"), ("x[i]", "has a value for every step"),
     ("x", "has a value for every step"), ("x[0][i]", "outside the steps"), ("x[T+1][i]", "outside the steps"),
     ("x[1]", "takes 1 index, not 0")],
)  # fmt: skip
def test_entries_that_there_are_not(wrt, said):
    with pytest.raises(RecurrenceError) as caught:
        unfold(read("two steps"), 2, wrt)
    assert said in str(caught.value) and caught.value.hint


def test_sizes_that_are_known_bound_the_indices():
    recurrence = derive.parse("W: (3, 2)\nx[t]: 2\nh[t]: 3 = tanh(W @ x[t])\nE = minimize(norm2(h[T]))\n", name="net")
    assert unfold(recurrence, 1, "W[2,1]").entry.indices == (2, 1)
    with pytest.raises(RecurrenceError, match="index 2 is too large: that side of W has 2"):
        unfold(recurrence, 1, "W[2,2]")


def test_constants_and_computed_values_have_no_entry():
    text = "a: scalar\nM: const[n, n]\nc[t]: index[n]\nS: (n, n) = M + M.T\n"
    text += "h[t]: n = tanh(a*(S @ h[t-1]) + onehot(c[t]))\nE = minimize(norm2(h[T]))\n"
    recurrence = derive.parse(text, name="net")
    assert unfold(recurrence, 2, "a").paths
    refused = {"M[i,j]": "is a constant", "S[i,j]": "is computed", "a[i]": "takes no index", "E": "is computed", "c[1]": "is an index"}
    for wrt, said in refused.items():
        with pytest.raises(RecurrenceError, match=said):
            unfold(recurrence, 2, wrt)


NEWER = {
    "matrix": "v[t]: n\nq[t]: k\nlam: scalar\nW: (n, n)\nA[t]: (n, k) = lam*A[t-1] + outer(tanh(W @ v[t]), q[t]) + G @ A[t-1]\n"
    "E = minimize(sum(norm2(A[t] @ q[t]) for t in steps))\n",
    "index": "c[t]: index[m]\nh[t]: n = tanh(W @ h[t-1] + U @ onehot(c[t]))\nE = minimize(sum(norm2(h[t]) for t in steps))\n",
    "stopped": "x[t]: n\nh[t]: n = tanh(W @ stop_gradient(h[t-1]) + V @ h[t-2] + x[t])\nE = minimize(sum(norm2(h[t]) for t in steps))\n",
}


@pytest.mark.parametrize(
    ("name", "wrt"), [("matrix", "W[i,j]"), ("matrix", "lam"), ("matrix", "G[i,j]"), ("index", "U[i,j]"), ("stopped", "W[i,j]")]
)
def test_matrices_indices_and_stopped_gradients(name, wrt):
    recurrence = derive.parse(NEWER[name], name="net")
    unfolding = unfold(recurrence, 3, wrt)
    values = draw(recurrence, np.random.default_rng(5), 3, BATCH, 0.7)
    if name == "index":
        values["c"] = np.array([[0, 2], [1, -1], [2, 0]])
    shares, wanted = unfolding.evaluate(values), gradient_at(unfolding, values)
    assert relative(sum(shares), wanted) < 1e-12 and not relative(sum(shares[:-1]), wanted) < 1e-6
    assert unfolding.to_text() and unfolding.to_latex()
    if name == "stopped":
        assert [(path.source, path.acts) for path in unfolding.paths] == [(1, 1), (2, 2), (3, 3), (3, 1)]
    if name != "index":
        assert all(relative(s, shares_along(unfolding, p, values, BATCH)) < 1e-12 for p, s in zip(unfolding.paths, shares, strict=True))


def test_too_many_steps_or_paths():
    for steps in (0, -1, MOST_STEPS + 1):
        with pytest.raises(RecurrenceError, match="cannot unfold"):
            unfold(read("elman"), steps, "U[i,j]")
    with pytest.raises(RecurrenceError) as caught:
        unfold(read("lstm"), 5, "Wi[j,k]")
    assert f"5 steps have 878 paths to Wi[j,k], more than the {MOST_PATHS}" in str(caught.value) and "4 steps have 182" in str(caught.value)
    assert len(unfold(read("lstm"), 4, "Wi[j,k]").paths) == 182


def test_steady_states_and_missing_steps():
    with pytest.raises(RecurrenceError, match="a steady state, so there is no end of them"):
        unfold(derive.load("settle"), 1, "W[i,j]")
    recurrence = derive.parse("h[t]: n = tanh(W @ h[t-1])\nE = minimize(norm2(h[3]))\n", name="net")
    with pytest.raises(ValueError, match=r"h\[3\] is read, which there is not with T = 2"):
        unfold(recurrence, 2, "W[i,j]")


def test_paths_beside_a_steady_state_are_fine():
    text = "u[t]: n\ng[t]: n = tanh(0.3*g[t] + u[t])\nh[t]: n = tanh(W @ h[t-1] + g[t])\nE = minimize(norm2(h[T]))\n"
    unfolding = unfold(derive.parse(text, name="net"), 2, "W[i,j]")
    values = draw(unfolding.derivation.source, np.random.default_rng(4), 2, BATCH, 0.5)
    assert relative(sum(unfolding.evaluate(values)), gradient_at(unfolding, values)) < 1e-12


def test_values_that_do_not_fit():
    unfolding, values = unfolded("two steps", "Whx[i,j]", 2)
    with pytest.raises(ValueError, match=r"x has shape \(3, 2, 3\); it must be \(2, B, m\)"):
        unfolding.evaluate({**values, "x": np.zeros((3, 2, 3))})
    with pytest.raises(ValueError, match="Wyh has no value"):
        unfolding.evaluate({name: value for name, value in values.items() if name != "Wyh"})


def test_entries_are_written_as_they_are_read():
    recurrence = read("two steps")
    for wrt in choices(recurrence):
        entry = read_entry(wrt, recurrence, 2)
        assert entry.source() == wrt and (entry.target.kind != Kind.TIMED or entry.step == 1)
