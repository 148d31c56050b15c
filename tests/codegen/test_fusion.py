"""Fusion: products that only meet in a sum are one sum; all others stay by themselves."""

from dataclasses import replace

import numpy as np
import pytest

from codegen import frame
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.statements import Product
from derive.language import parse
from tests.codegen.kernel_cases import statements

HEAD = "x[t]: m\n"
GOAL = "E = minimize(sum(norm2(h[t]) for t in steps))\n"
TWO = HEAD + "h[t]: n = tanh(A @ h[t-1] + U @ x[t] + B @ h[t-2])\n" + GOAL
GATES = HEAD + "f[t]: n = sigmoid(A @ h[t-1] + U @ x[t])\nh[t]: n = f[t]*tanh(B @ h[t-1] + V @ x[t])\n" + GOAL


def factors(text, phase="forward"):
    """The matrices of every product in a phase, those of one sum together."""
    made = lower(parse(text))
    return sorted(tuple(sorted(m for m, _, _ in s.factors)) for s in statements(made, phase).values() if isinstance(s, Product))


def test_products_of_one_step_that_meet_in_a_sum_are_one():
    assert factors(TWO) == [("q_A", "q_B", "q_U")]


def test_a_product_that_one_loop_alone_reads_stands_in_it():
    assert factors(GATES) == [("q_A", "q_U"), ("q_B", "q_V")]
    assert all(s.ahead == 1 and s.factors[0][0] in ("q_U", "q_V") for s in sums(GATES))


def test_a_product_that_another_step_reads_too_stays_before_the_loop():
    assert factors(HEAD + "h[t]: n = tanh(A @ h[t-1] + W @ x[t-1] + shift[t-1])\nshift[t]: n = U @ x[t]\n" + GOAL) == [
        ("q_A", "q_W"), ("q_U",),
    ]  # fmt: skip


def test_what_is_nothing_but_a_product_is_written_by_it():
    made = lower(parse(HEAD + "y[t]: n = U @ x[t]\nh[t]: n = tanh(A @ h[t-1]) + y[t]\n" + GOAL))
    found = statements(made)
    assert isinstance(found["q_y"], Product) and isinstance(statements(made, "gradient")["g_x_bar"], Product)


def test_what_gates_send_back_to_one_state_is_one_sum():
    assert ("q_A", "q_B") in factors(GATES, "gradient") and ("q_U", "q_V") in factors(GATES, "gradient")


@pytest.mark.parametrize("line", ["p[t]: n = A @ h[t-1]\nh[t]: n = tanh(p[t] + B @ h[t-2] + x[t])\n",
                                  "h[t]: n = tanh(A @ h[t-1] + B @ h[t-2])*(A @ h[t-1])\n"])  # fmt: skip
def test_a_product_with_a_name_or_another_reader_stays_by_itself(line):
    assert factors("x[t]: n\n" + line + GOAL) == [("q_A",), ("q_B",)]


def sums(text, phase="forward"):
    """The products of a phase."""
    return [s for s in statements(lower(parse(text)), phase).values() if isinstance(s, Product)]


@pytest.mark.parametrize("batch", [1, 5, 7])
@pytest.mark.parametrize("lengths", [False, True])
def test_bits_do_not_depend_on_whether_products_stand_before_the_loop(compiled, monkeypatch, batch, lengths):
    rng = np.random.default_rng(1)
    values = {"x": rng.standard_normal((6, batch, 2))}
    values |= {name: rng.standard_normal((4, 4)) for name in "AB"} | {name: rng.standard_normal((4, 2)) for name in "UV"}
    values |= {"lengths": rng.integers(1, 7, batch)} if lengths else {}
    text = GATES.replace(GOAL, "y[t]: k = tanh(C @ h[t])\nE = minimize(sum(norm2(y[t]) for t in steps))\n")
    values["C"] = rng.standard_normal((3, 4))
    found = {}
    for few in (0, 100):
        monkeypatch.setattr(frame, "FEW", few)
        kernel = compiled(text).using(2)
        kernel = Kernel(kernel.program, kernel.dtype, kernel.module).using(2)  # without layouts kept from another call
        found[few] = [kernel.value_and_grad(values) for _ in range(3)]
        rooms = kernel.forward(values)._frame.arrays
        loose = {name for name, b in kernel.program.buffers.items() if b.loose and b.hoisted and name in rooms}
        assert {rooms[name].shape[0] for name in loose} == {6 if few else 1}
    assert len({value for values in found.values() for value, _ in values}) == 1
    (_, one), (_, other) = found[0][0], found[100][-1]
    assert all(np.array_equal(one[name], other[name]) and np.any(one[name]) for name in one)


def rate(program, values):
    """The value and all gradients, in one row."""
    value, grads = Kernel(program, "float64").value_and_grad(values)
    return np.concatenate([[value], *(grads[name].ravel() for name in sorted(grads))])


def test_a_sum_of_products_has_every_term():
    rng = np.random.default_rng(0)
    values = {"x": rng.standard_normal((5, 3, 2))}
    values |= {name: rng.standard_normal((4, 4)) for name in "AB"} | {name: rng.standard_normal((4, 2)) for name in "UV"}
    fused = lower(parse(GATES))
    apart = lower(parse(GATES.replace("B @ h[t-1]", "b[t]").replace("h[t]: n = f", "b[t]: n = B @ h[t-1]\nh[t]: n = f")))
    wanted = rate(apart, values)
    assert np.allclose(rate(fused, values), wanted, rtol=1e-13, atol=1e-13)
    phases = {name: replace(phase, actions=tuple(without_further(a) for a in phase.actions)) for name, phase in fused.phases.items()}
    assert not np.allclose(rate(replace(fused, phases=phases), values), wanted, rtol=1e-3)


def without_further(action):
    """Sabotage: only the first product of every sum."""
    cut = tuple(replace(s, further=()) if isinstance(s, Product) else s for s in action.statements)
    return replace(action, statements=cut)
