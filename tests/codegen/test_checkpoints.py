"""Checkpoints: within a budget of bytes the value and the gradient have the bits of the whole tape."""

import functools
import tracemalloc
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
from oracles import stock_layouts

from codegen import checkpoints, workspace
from codegen.beginning import begin
from codegen.checkpoints import Checkpoints
from codegen.compiled import Compiled
from tests.codegen.kernel_cases import interpreted, same, worst

CAUSAL = ["lstm", "gru", "elman", "narx", "fast_weights", "deep", "spiking", "clockwork"]
SHARES = """
x[t]: m
h[t]: n = tanh(S @ h[t-1] + A @ h[t-3] + U @ x[t-2] + u)
W: (n, n)
S: (n, n) = (W - W.T)/2
u: input[n]
h[0] = tanh(start)
h[-1] = start
E = minimize(a*sum(norm2(h[t] - h[t-2]) for t in steps)/2 + norm2(W) + dot(u, start))
start: n
a: scalar
"""
AT_FIXED_STEPS = """
x[t]: m
h[t]: n = tanh(W @ h[t-1] + A @ h[t-3] + U @ x[t] + within(u, steps[2:-2])/T)
u: input[n]
W: (n, n)
a: scalar
E = minimize({})
"""
OBJECTIVES = [
    "norm2(h[T] - u)",
    "a*sum(norm2(h[t]) for t in steps)/T",
    "sum(norm2(h[t] - h[t-1]) for t in steps[2:-3]) + norm2(h[T-1])",
    "dot(h[2] - U @ x[T], h[T-2] - u) + norm2(h[0])",
    "log(1 + a**2*sum(norm2(h[t]) for t in steps)) + norm2(sum(h[t] for t in steps))**2",
    "sum(norm2(h[t]) for t in steps[-2:])*norm2(h[T]) + norm2(W)*a",
]
SETTLING = """
x[t]: m
h[t]: n = 0.5*tanh(W @ h[t] + U @ x[t] + V @ h[t-1])
E = minimize(norm2(h[T]) + sum(norm2(h[t]) for t in steps)/T)
"""


def budgets(kernel, name, lengths):
    """Bytes at which the schedule differs: for the fewest states, some, and one before every window."""
    parts = Checkpoints(kernel, begin(kernel, case(name, lengths), None, None)[0])
    state, window = parts._state_bytes(), parts._bytes(parts.rooms)
    return [window, window + 2 * state, parts._bytes(max(4, parts.rooms)) + 5 * state]


@functools.cache
def case(name, lengths):
    if name == SHARES:
        rng, B = np.random.default_rng(5), 3
        shapes = {"W": (3, 3), "A": (3, 3), "U": (3, 2), "start": (3,), "a": (), "x": (23, B, 2), "u": (B, 3)}
        values = {label: np.asarray(0.5 * rng.standard_normal(shape)) for label, shape in shapes.items()}
    elif name == SETTLING or "within(u" in name:
        rng, B = np.random.default_rng(6), 3
        shapes = {"W": (3, 3), "U": (3, 4), "x": (23, B, 4)}
        shapes |= {"V": (3, 3)} if name == SETTLING else {"A": (3, 3), "u": (B, 3), "a": ()}
        values = {label: np.asarray(0.5 * rng.standard_normal(shape)) for label, shape in shapes.items()}
    else:
        values = stock_layouts.draw(name, seed=3, steps=23, batch=3, lengths=None)
    return {**values, "lengths": np.array(lengths)} if lengths else values


@pytest.mark.parametrize("lengths", [None, (23, 4, 11), (8, 8, 0)])
@pytest.mark.parametrize("name", [*CAUSAL, SHARES])
def test_within_any_budget_the_bits_are_those_of_the_whole_tape(compiled, name, lengths):
    kernel, values = compiled(name), case(name, lengths)
    value, grads = kernel.value_and_grad(values)
    for memory in budgets(kernel, name, lengths):
        for threads in (1, 2):
            found = kernel.using(threads=threads, memory=memory).value_and_grad(values)
            assert found[0] == value and same(found[1], grads), (memory, threads)


@pytest.mark.parametrize("lengths", [None, (23, 5, 11), (8, 8, 5)])
@pytest.mark.parametrize("name", [*(AT_FIXED_STEPS.format(objective) for objective in OBJECTIVES), SETTLING, "attractor"])
def test_so_they_are_where_single_steps_parts_of_them_and_their_number_count(compiled, name, lengths):
    test_within_any_budget_the_bits_are_those_of_the_whole_tape(compiled, name, lengths)


def test_a_window_that_forgets_what_comes_later_is_found(compiled, monkeypatch):
    kernel, values = compiled("lstm"), case("lstm", None)
    wanted = kernel.value_and_grad(values)[1]
    original = checkpoints._Sweep._backward

    def forgetful(self, *arguments):
        self.later = {}
        return original(self, *arguments)

    monkeypatch.setattr(checkpoints._Sweep, "_backward", forgetful)
    found = kernel.using(memory=budgets(kernel, "lstm", None)[1]).value_and_grad(values)[1]
    assert worst(found["Wi"], wanted["Wi"]) > 1e-3


def test_a_window_that_does_not_know_where_it_begins_is_found(compiled, monkeypatch):
    name = AT_FIXED_STEPS.format(OBJECTIVES[3])
    kernel, values, original = compiled(name), case(name, None), Checkpoints.window
    wanted, memory = kernel.value_and_grad(values), budgets(kernel, name, None)[1]
    monkeypatch.setattr(Checkpoints, "window", lambda *arguments: replace(original(*arguments), start=0))
    found = kernel.using(memory=memory).value_and_grad(values)
    assert abs(found[0] - wanted[0]) > 1e-3 and worst(found[1]["W"], wanted[1]["W"]) > 1e-3


@pytest.mark.parametrize("kept", [True, False])
def test_where_a_search_fails_a_window_is_run_again_in_pieces_and_counts_once(compiled, monkeypatch, kept):
    kernel, values, original, failed = compiled(SETTLING), case(SETTLING, None), Compiled._call, []
    wanted, memory = kernel.value_and_grad(values), budgets(kernel, SETTLING, None)[1]

    def failing(self, number, split, wanted, t0, t1, report=None):
        done = original(self, number, split, wanted, t0, t1, report)
        failed.append(report is not None and len(wanted) > 1)
        return done and not failed[-1]

    monkeypatch.setattr(Compiled, "_call", failing)
    if not kept:  # the twin
        monkeypatch.setattr(Compiled, "_begun", lambda self, phase: {})
    found = kernel.using(memory=memory).value_and_grad(values)
    assert any(failed) and (worst(found[1]["W"], wanted[1]["W"]) < 1e-9) == (abs(found[0] - wanted[0]) < 1e-9) == kept


@pytest.mark.parametrize("name", [SHARES, *(AT_FIXED_STEPS.format(objective) for objective in OBJECTIVES)])
def test_the_interpreter_follows_the_same_schedule(name):
    kernel, values = interpreted(name), case(name, (23, 5, 11))
    value, grads = kernel.value_and_grad(values)
    found = kernel.using(memory=budgets(kernel, name, (23, 5, 11))[0]).value_and_grad(values)
    assert abs(found[0] - value) < 1e-12 and max(worst(found[1][label], grads[label]) for label in grads) < 1e-12


def test_as_many_states_are_kept_as_the_budget_holds(compiled):
    kernel, values = compiled("gru"), case("gru", None)
    parts = Checkpoints(kernel, begin(kernel, values, None, None)[0])
    for memory in budgets(kernel, "gru", None):
        plan = parts.plan(memory)
        assert plan.size <= memory
    assert parts.plan(parts._bytes(23)) is None
    assert parts.plan(budgets(kernel, "gru", None)[0]).kept == 0


def test_no_more_memory_is_taken_than_the_budget_holds(compiled, monkeypatch):
    kernel, values = compiled("lstm"), stock_layouts.draw("lstm", seed=3, steps=700, batch=4, dims={"n": 48, "m": 5, "k": 3})
    results, peaks = sum(array.nbytes for array in kernel.value_and_grad(values)[1].values()), {}
    for memory in (1_200_000, 3_000_000, None):
        monkeypatch.setattr(workspace, "_free", OrderedDict())
        tracemalloc.start()
        kernel.using(memory=memory).value_and_grad(values)
        peaks[memory] = tracemalloc.get_traced_memory()[1] - results
        tracemalloc.stop()
    few, more, whole = peaks.values()
    assert 500_000 < few <= 1_200_000 < more <= 3_000_000 < 8_000_000 < whole, peaks


def test_chosen_gradients_and_arrays_to_fill(compiled):
    kernel, values = compiled("elman"), case("elman", None)
    wanted, out = kernel.value_and_grad(values)[1], {"W": np.empty_like(values["W"])}
    found = kernel.using(memory=2 * budgets(kernel, "elman", None)[0]).value_and_grad(values, wrt=["W", "x"], out=out)[1]
    assert list(found) == ["W", "x"] and found["W"] is out["W"] and same(found, {"W": wanted["W"], "x": wanted["x"]})


def test_gradients_that_are_not_asked_for_take_no_room_of_all_steps(compiled):
    kernel, values = compiled("lstm"), case("lstm", None)
    frame = begin(kernel, values, None, None)[0]
    both = [Checkpoints(kernel, frame, wrt) for wrt in (["Wi"], None)]
    few, everything = (checkpoints._Sweep(parts, parts.plan(parts._bytes(4))) for parts in both)
    assert "g_x_bar" in everything.whole and list(few.whole) == ["g_Wi_bar"]
    wanted = kernel.value_and_grad(values)[1]
    found = kernel.using(memory=both[0]._bytes(4)).value_and_grad(values, wrt=["Wi"])[1]
    assert same(found, {"Wi": wanted["Wi"]})


@pytest.mark.parametrize("steps", [0, 1])
def test_the_shortest_sequences_have_a_budget_too(compiled, steps):
    kernel, values = compiled("lstm"), stock_layouts.draw("lstm", seed=3, steps=1, batch=3, lengths=None)
    values = {label: array[:steps] if label in ("x", "d") else array for label, array in values.items()}
    wanted = kernel.value_and_grad(values)
    found = kernel.using(memory=10**6).value_and_grad(values)
    assert found[0] == wanted[0] and same(found[1], wanted[1])
    if steps:
        with pytest.raises(ValueError, match="memory=1 is too little"):
            kernel.using(memory=1).value_and_grad(values)


def test_errors_say_what_is_enough_or_why_there_are_no_windows(compiled):
    kernel, values = compiled("lstm"), case("lstm", None)
    least = budgets(kernel, "lstm", None)[0]
    with pytest.raises(ValueError, match=rf"memory={least - 1} is too little for lstm with these sizes; {least} is enough"):
        kernel.using(memory=least - 1).value_and_grad(values)
    kernel.using(memory=least).value_and_grad(values)
    with pytest.raises(ValueError, match="bidirectional cannot be computed in windows of steps, as memory= asks: .* still to come"):
        compiled("bidirectional").using(memory=10**6).value_and_grad(case("bidirectional", None))
    for wrong in (0, -1, 1.5, True, "200MB"):
        with pytest.raises(ValueError, match="whole number of bytes"):
            kernel.using(memory=wrong)


def test_wishes_that_are_left_out_stay(compiled):
    kernel = compiled("lstm").using(threads=2).using(memory=10**6)
    assert (kernel.threads, kernel.memory) == (2, 10**6)
    assert (kernel.using(memory=None).threads, kernel.using(threads=None).memory) == (2, 10**6)
