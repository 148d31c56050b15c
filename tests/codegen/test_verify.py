from dataclasses import replace

import pytest

from codegen.element import Const, InWindow, Load, Op
from codegen.program import Buffer, Loop, Phase, Program, Segment, Solve, solves
from codegen.sizes import size_value
from codegen.statements import Accumulate, Fill, Map, OuterSum, PickStep, Product, Read, Reduce
from codegen.traversal import elements, reads
from codegen.lower import lower
from codegen.verify import ProgramError, verify
from derive.language import load
from tests.codegen.kernel_cases import statements

N, M = ((1, ("n",)),), ((1, ("m",)),)
FIRST, SECOND = (0, ()), (1, ())


def buffers():
    """Arguments W, x, h0; a signal h with room before step 1; p, q, s and z for what a test adds."""
    return {b.name: b for b in (
        Buffer("W", "W", "shared", (N, N), "argument"), Buffer("x", "x", "timed", (N,), "argument"),
        Buffer("h0", "h[0]", "sequence", (N,), "argument"), Buffer("h", "h", "timed", (N,), before=1),
        Buffer("p", "", "timed", (N,)), Buffer("q", "", "timed", (N,)), Buffer("s", "s", "shared", (N, N)),
        Buffer("z", "z", "sequence", (N,)), Buffer("A", "", "shared", (N, N)),
    )}  # fmt: skip


FILL = Fill("h", False, 0, Load("h0", 0, (FIRST,)))
STEP = (Product("p", "W", False, Read("h", -1)), Map("h", Op("add", (Load("p", 0, (FIRST,)), Load("x", 0, (FIRST,))))))
SUM = OuterSum("s", Read("h"), Read("h", -1))


def program(*actions, table=None, results=None, gradient=()):
    """A program of these actions, by default h[t] = W h[t-1] + x[t] and the sum of h[t] h[t-1].T."""
    actions = actions or (Segment(0, "once", (FILL,)), Segment(1, "forward", STEP), Segment(2, "sweep", (SUM,)))
    phases = {"forward": Phase("forward", actions)}
    if gradient:
        phases["gradient"] = Phase("gradient", gradient)
    return Program("case", ("n",), table or buffers(), phases, {"forward": results or {}, "gradient": {}})


def fails(rule, *actions, **others):
    with pytest.raises(ProgramError, match=rf"rule {rule}: "):
        verify(program(*actions, **others))


def body(*statements, order="forward"):
    return Segment(0, "once", (FILL,)), Segment(1, order, statements)


def test_a_sound_program_passes():
    verify(program())
    verify(program(results={"h": "h", "s": "s"}))


def test_stock_programs_pass():
    for name in ("elman", "lstm", "settle", "bidirectional"):
        verify(lower(load(name)))


# 1. written before read


def test_reading_what_nothing_writes_is_refused():
    fails(1, *body(Map("h", Load("q", 0, (FIRST,)))))


def test_reading_what_is_written_later_is_refused():
    fails(1, *body(*STEP[::-1]))


def test_reading_a_step_that_is_still_to_come_is_refused():
    fails(1, *body(*STEP, order="backward"))
    wide = {**buffers(), "h": replace(buffers()["h"], after=1)}
    fails(1, *body(replace(STEP[0], operand=Read("h", 1)), STEP[1]), table=wide)


def test_a_sweep_does_not_read_its_own_past():
    fails(1, *body(*STEP, order="sweep"))


def test_reading_a_buffer_that_does_not_exist_is_refused():
    fails(1, *body(Map("h", Load("nowhere", 0, (FIRST,)))))


def test_handing_back_what_is_never_written_is_refused():
    fails(1, results={"q": "q"})


def test_a_later_phase_reads_what_the_forward_phase_wrote_and_nothing_else():
    verify(program(gradient=(Segment(3, "sweep", (Map("q", Load("h", 0, (FIRST,))),)),)))
    fails(1, gradient=(Segment(3, "sweep", (Map("q", Load("A", 0, (FIRST, FIRST))),)),))


def test_a_steady_state_in_a_loop_may_be_read_at_the_step_before():
    inner = Segment(2, "step", (Map("next_h", Op("add", (Load("p", 0, (FIRST,)), Load("h", 0, (FIRST,))))),))
    table = {**buffers(), "next_h": Buffer("next_h", "", "timed", (N,))}
    loop = Loop("forward", (Segment(1, "forward", STEP[:1]), Solve((("h", "next_h"),), ("h",), True, "step", inner)))
    verify(program(Segment(0, "once", (FILL,)), loop, table=table))
    fails(1, Segment(0, "once", (FILL,)), replace(loop, direction="backward"), table=table)


# 2. within bounds


def test_a_lag_beyond_the_room_is_refused():
    fails(2, *body(replace(STEP[0], operand=Read("h", -2)), STEP[1]))
    fails(2, *body(STEP[0], Map("h", Load("x", -1, (FIRST,)))))


def test_an_index_without_the_buffers_axes_is_refused():
    fails(2, *body(STEP[0], Map("h", Load("p", 0, ()))))
    fails(2, *body(STEP[0], Map("h", Load("W", 0, (FIRST,)))))


def test_a_value_outside_the_steps_needs_room():
    fails(2, Segment(0, "once", (replace(FILL, offset=-1),)))
    fails(2, Segment(0, "once", (replace(FILL, from_end=True, offset=1),)))


# 3. written once, and by what fits


def test_writing_twice_is_refused():
    fails(3, *body(*STEP, Map("p", Load("x", 0, (FIRST,)))))
    fails(3, Segment(0, "once", (FILL, FILL)), Segment(1, "forward", STEP))


def test_a_sum_over_rows_is_shared():
    table = {**buffers(), "s": replace(buffers()["s"], kind="sequence")}
    fails(3, table=table)


def test_a_sum_over_steps_is_not_timed():
    fails(3, *body(*STEP), Segment(2, "sweep", (Accumulate("q", Load("h", 0, (FIRST,)), (0, None)),)))


def test_a_products_matrix_is_shared():
    table = {**buffers(), "W": replace(buffers()["W"], kind="sequence")}
    fails(3, table=table)


def test_a_product_is_of_its_operands_kind():
    fails(3, *body(replace(STEP[0], operand=Read("h0")), STEP[1]))


def test_a_fixed_step_is_a_sequences():
    verify(program(*body(*STEP), Segment(2, "once", (PickStep("z", "h", True, 0),))))
    fails(3, *body(*STEP), Segment(2, "once", (PickStep("q", "h", True, 0),)))


# 5. one step's room


def test_a_loose_buffer_is_not_read_at_another_step():
    table = {**buffers(), "p": replace(buffers()["p"], loose=True, before=1)}
    verify(program(table=table))
    fails(5, *body(STEP[0], Map("h", Load("p", -1, (FIRST,)))), table=table)


# 6. what a segment may rearrange, and what a sum goes over


def test_a_matrix_made_in_the_same_segment_is_refused():
    make = Map("A", Load("W", 0, (SECOND, FIRST)))
    product = Product("z", "A", False, Read("h0"))
    verify(program(Segment(0, "once", (make,)), Segment(1, "once", (product,))))
    fails(6, Segment(0, "once", (make, product)))


def test_a_sum_over_rows_alone_reads_nothing_timed():
    table = {**buffers(), "s": replace(buffers()["s"], shape=(N,))}
    verify(program(Segment(0, "once", (Accumulate("s", Load("h0", 0, (FIRST,))),)), table=table))
    verify(program(Segment(0, "sweep", (Accumulate("s", Load("x", 0, (FIRST,)), (0, None)),)), table=table))
    fails(6, Segment(0, "once", (Accumulate("s", Load("x", 0, (FIRST,))),)), table=table)


# a real program, damaged by hand


def lstm_without(name):
    """The stock LSTM's program without one statement of its forward phase."""
    whole = lower(load("lstm"))
    actions = []
    for action in whole.phases["forward"].actions:
        assert isinstance(action, Segment)
        actions.append(replace(action, statements=tuple(s for s in action.statements if s.out != name)))
    return replace(whole, phases={**whole.phases, "forward": Phase("forward", tuple(actions))})


def test_an_lstm_without_any_one_of_its_statements_is_refused():
    for name in statements(lower(load("lstm"))):
        with pytest.raises(ProgramError):
            verify(lstm_without(name))


# the records


def test_sizes_are_polynomials():
    assert size_value(((2, ("n",)), (1, ("m", "n")), (-1, ())), {"n": 3, "m": 5}) == 20
    assert size_value((), {}) == 0


def test_every_statement_says_what_it_reads():
    assert reads(SUM) == [Read("h"), Read("h", -1)]
    assert reads(STEP[0]) == [Read("W"), Read("h", -1)]
    assert reads(PickStep("z", "h", True, 0)) == [Read("h")]
    assert reads(Reduce("z", "sum", Op("mul", (Load("x", 2, (FIRST,)), Load("W", 0, (FIRST, SECOND)))), (N,))) == [Read("x", 2), Read("W")]
    assert reads(Map("h", Const(1))) == []


def test_elements_walks_every_form():
    tree = InWindow(0, -1, Op("add", (Const(1), Load("x", 0, (FIRST,)))))
    assert [type(e).__name__ for e in elements(tree)] == ["InWindow", "Op", "Const", "Load"]


def test_solves_are_found_inside_loops():
    solve = Solve((("h", "q"),), ("h",), True, "step", Segment(0, "step", ()))
    assert solves(Loop("forward", (Segment(1, "forward", ()), solve))) == [solve]
    assert solves(solve) == [solve] and solves(Segment(1, "once", ())) == []
