from dataclasses import replace

import numpy as np
import pytest

from codegen.element import Load
from codegen.program import Loop, Segment, Solve, solves
from codegen.statements import Map, OuterSum, Product
from codegen.traversal import reads
from codegen.lower import lower
from codegen.unknowns import choose_cut, is_affine
from derive.language import load, parse
from tests.codegen.kernel_cases import ELMAN, fillers, home, interpreted, parts, statements


def program(text, derivatives=True):
    return lower(parse(text) if "\n" in text else load(text), derivatives)


def orders(text, phase="forward"):
    return [a.order if isinstance(a, Segment) else type(a).__name__ for a in program(text).phases[phase].actions]


def products(action):
    inside = action.body if isinstance(action, Loop) else (action,)
    return {matrix for part in inside for s in (part.segment if isinstance(part, Solve) else part).statements
            if isinstance(s, Product) for matrix, _, _ in s.factors}  # fmt: skip


def test_input_products_are_known_ahead_of_the_loop():
    made = program(ELMAN)
    loop = home(made, "q_h")
    assert loop.order == "forward" and products(loop) == {"q_U", "q_W"}
    (only,) = [s for s in loop.statements if isinstance(s, Product)]
    assert [matrix for matrix, _, _ in only.factors] == ["q_U", "q_W"] and only.ahead == 1
    assert made.buffers[only.out].loose and made.buffers[only.out].hoisted and not made.buffers["q_h"].hoisted


def test_a_product_with_the_state_stays_in_the_loop():
    loop = home(program(ELMAN.replace("U @ x[t]", "U @ x[t] + V @ h[t-2]")), "q_h")
    (only,) = [s for s in loop.statements if isinstance(s, Product)]
    assert only.factors[0][0] == "q_U" and only.ahead == 1 and products(loop) == {"q_U", "q_W", "q_V"}


def test_the_gradient_runs_backward_and_its_weights_are_one_sum():
    made = program(ELMAN)
    assert home(made, "g_h_bar", "gradient").order == "backward"
    sums = {name: s for name, s in statements(made, "gradient").items() if isinstance(s, OuterSum)}
    assert set(sums) == {"g_W_bar", "g_U_bar"}
    assert {home(made, name, "gradient").order for name in sums} == {"sweep"}
    assert products(home(made, "g_x_bar", "gradient")) == {"q_U"}


def test_directions_belong_to_the_component():
    text = (
        "x[t]: n\nf[t]: n = tanh(W @ f[t-1] + x[t])\ng[t]: n = tanh(W @ g[t+1] + x[t])\nE = minimize(sum(dot(f[t], g[t]) for t in steps))\n"
    )
    made = program(text)
    assert (home(made, "q_f").order, home(made, "q_g").order) == ("forward", "backward")
    assert home(made, "g_f_bar", "gradient").order == "backward"
    assert home(made, "g_g_bar", "gradient").order == "forward"


def test_reading_ahead_of_another_signal_is_no_loop():
    made = program("x[t]: n\nf[t]: n = tanh(x[t-1] + x[t+1])\nh[t]: n = tanh(W @ h[t-1] + f[t])\nE = minimize(norm2(h[T]))\n")
    assert home(made, "q_f").order == "sweep"


def test_two_layers_are_two_loops_of_which_the_second_reads_the_first():
    layers = "x[t]: m\na[t]: n = tanh(W @ a[t-1] + U @ x[t])\nb[t]: k = tanh(V @ b[t-1] + P @ a[t])\n"
    text = layers + "E = minimize(sum(norm2(b[t]) for t in steps))\n"
    made = program(text)
    first, second = home(made, "q_a"), home(made, "q_b")
    assert first is not second and first.order == second.order == "forward"
    actions = made.phases["forward"].actions
    assert actions.index(first) < actions.index(second)
    assert [s.ahead for s in second.statements if isinstance(s, Product) and s.factors[0][0] == "q_P"] == [1]


def test_signals_of_one_cycle_are_one_loop():
    text = "x[t]: n\na[t]: n = tanh(W @ b[t-1] + x[t])\nb[t]: n = tanh(V @ a[t])\nE = minimize(sum(norm2(b[t]) for t in steps))\n"
    made = program(text)
    assert home(made, "q_a") is home(made, "q_b")


LEVELS = {
    "rows": "u: input[n]\nx: n = tanh(W @ x + u)\nE = minimize(norm2(x))\n",
    "sweep": "u[t]: n\nx[t]: n = tanh(W @ x[t] + u[t])\nE = minimize(sum(norm2(x[t]) for t in steps))\n",
    "step": "u[t]: n\nx[t]: n = tanh(W @ x[t] + V @ x[t-1] + u[t])\nE = minimize(sum(norm2(x[t]) for t in steps))\n",
    "shared": "x: n = tanh(W @ x + b)\nu[t]: n\nE = minimize(sum(dot(u[t], x) for t in steps))\n",
}


@pytest.mark.parametrize("level", LEVELS)
def test_steady_states_are_solved_where_they_stand(level):
    made = program(LEVELS[level])
    found = [solve for action in made.phases["forward"].actions for solve in solves(action)]
    assert [(s.level, s.linear, s.cut) for s in found] == [(level, False, (("q_x", "next_q_x"),))]
    assert any(isinstance(action, Loop) for action in made.phases["forward"].actions) == (level == "step")


@pytest.mark.parametrize("level", LEVELS)
def test_the_adjoint_of_a_steady_state_is_linear(level):
    made = program(LEVELS[level])
    found = [solve for action in made.phases["gradient"].actions for solve in solves(action)]
    assert [(s.level, s.linear) for s in found] == [(level, True)]


def test_what_a_steady_state_does_not_need_is_computed_once():
    made = program("u: input[n]\nx: n = tanh(W @ x + V @ u)\nE = minimize(norm2(x))\n")
    (solve,) = [part for part in parts(made) if isinstance(part, Solve)]
    assert products(solve) == {"q_W"}


def test_the_unknowns_are_the_fewest_and_the_users_own():
    made = program("u: input[n]\nx: n = tanh(W @ y)\ny: n = tanh(V @ x + u)\nE = minimize(norm2(x))\n")
    (solve,) = [part for part in parts(made) if isinstance(part, Solve)]
    assert solve.cut == (("q_x", "next_q_x"),) and {"q_x", "q_y"} <= set(solve.names)
    assert made.guesses == {"q_x": "x0"}


def test_a_guess_whose_name_is_taken_has_another():
    assert program("x0: n\nu: input[n]\nx: n = tanh(W @ x + u + x0)\nE = minimize(norm2(x))\n").guesses == {"q_x": "x_guess"}


def test_two_knots_need_two_unknowns():
    statements = [Map("a", Load("a", 0, ())), Map("b", Load("b", 0, ()))]
    buffers = program(ELMAN).buffers
    table = {name: replace(buffers["q_E"], name=name, label=name) for name in "ab"}
    assert choose_cut(statements, table) == ("a", "b")


def test_affine_is_seen_and_nothing_else():
    def reading(text):
        made = lower(parse(text), derivatives=False)
        (solve,) = [part for part in parts(made) if isinstance(part, Solve)]
        return solve.linear

    line = "u: input[n]\nx: n = {}\nE = minimize(norm2(x))\n"
    assert reading(line.format("0.5*(W @ x)/2 - x/4 + u*u"))
    assert reading(line.format("0.1*where(u > 0, x, -x) + u"))
    for wrong in ("0.1*x*x + u", "0.1*tanh(x) + u", "0.1*u/(2 + x)", "0.1*x**2 + u", "0.1*where(x > 0, u, -u)"):
        assert not reading(line.format(wrong)), wrong


def test_affine_needs_every_statement():
    assert is_affine([Map("a", Load("b", 0, ()))], {"b"})
    made = statements(program(ELMAN))
    assert not is_affine(list(made.values()), {"q_z_h", "q_z", "q_h"})


# what is kept


def test_the_tape_of_an_lstm():
    made = program("lstm")
    assert {made.buffers[name].label for name in made.kept} == {"i", "f", "g", "o", "c", "h", "y"}


def test_targets_that_are_constants_need_no_outputs():
    text = ELMAN.replace("norm2(h[t])", "dot(d[t], h[t])").replace("x[t]: m", "x[t]: m\nd[t]: n")
    assert {program(text).buffers[name].label for name in program(text).kept} == {"h"}


def test_what_lives_within_a_step_has_one_steps_room():
    made = program("lstm")
    loose = {name for name, b in made.buffers.items() if b.loose}
    assert {"q_z_i", "q_z_f", "q_z_g", "q_z_o", "g_h_bar", "g_c_bar"} <= loose
    assert not loose & (made.kept | {"q_c", "q_h", "g_h_back", "g_s_i"})


def test_one_steps_room_is_only_for_its_own_loop():
    made = program(
        "x[t]: n\nh[t]: n = tanh(W @ h[t-1] + x[t])\ny[t]: n = V @ h[t]\nE = minimize(sum(norm2(y[t] - x[t-1]) for t in steps))\n"
    )
    assert not made.buffers["q_y"].loose and not made.buffers["q_h"].loose


def test_what_nobody_wants_is_not_computed():
    made = lower(parse(ELMAN), derivatives=False)
    assert all(not name.startswith(("g_", "p_")) for name in made.buffers)
    unread = program(ELMAN)
    read = {r.buffer for p in unread.phases.values() for seg in p.segments() for s in seg.statements for r in reads(s)}
    handed = {name for results in unread.results.values() for name in results.values()}
    outs = {s.out for p in unread.phases.values() for seg in p.segments() for s in seg.statements}
    assert outs <= read | handed


def test_phases_say_what_they_write():
    for name in ("lstm", "settle"):
        made = program(name)
        for phase in made.phases.values():
            states = {n for a in phase.actions for solve in solves(a) for pair in solve.cut for n in pair}
            assert set(phase.writes) == set(statements(made, phase.name)) | states


def test_order_never_changes_with_the_order_of_equations():
    lines = ELMAN.strip().splitlines()
    turned = "\n".join([lines[0], lines[2], lines[1]]) + "\n"
    assert [fillers(a) for a in program(turned).phases["forward"].actions] == [fillers(a) for a in program(ELMAN).phases["forward"].actions]


# values outside the steps


def test_a_value_after_the_last_step_may_follow_from_the_last_step():
    text = (
        "x[t]: n\nh[t]: n = tanh(h[t-1] + x[t])\nh[T+1] = 2*h[T]\ng[t]: n = h[t+1] - h[t]\nE = minimize(sum(norm2(g[t]) for t in steps))\n"
    )
    x = np.array([[[0.3]], [[-0.2]], [[0.9]]])
    run = interpreted(text).forward({"x": x})
    h = run["h"][:, 0, 0]
    assert run["g"][:, 0, 0] == pytest.approx([h[1] - h[0], h[2] - h[1], h[2]], abs=1e-15)


def test_a_steady_state_at_all_steps_leaves_values_outside_alone():
    text = "u[t]: n\nx[t]: n = tanh(0.5*x[t] + u[t])\ny[t]: n = x[t+1]\nE = minimize(sum(norm2(y[t]) for t in steps))\n"
    u, after = np.full((4, 2, 1), 0.2), np.array([[7.0], [8.0]])
    run = interpreted(text).forward({"u": u, "x[T+1]": after, "lengths": [4, 2]})
    assert (run["y"][3, 0, 0], run["y"][1, 1, 0]) == (7.0, 8.0)
