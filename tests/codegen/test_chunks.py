"""Chunks of a stream that hand on their state."""

import numpy as np
import pytest
from oracles import stock_layouts

from tests.codegen.kernel_cases import interpreted, same
from tests.codegen.stream_cases import CASES, TAPS, apart, taps


@pytest.mark.parametrize("cuts", [(3, 6), (1, 2, 3, 4, 5, 6, 7, 8), (5,)])
@pytest.mark.parametrize("case", ["elman", "lstm", "narx"])
def test_chunks_that_hand_on_their_state_are_the_whole_stream(compiled, case, cuts):
    kernel, values = compiled(case), CASES[case][1]()
    sequences, rest = apart(kernel, values)
    whole, edges = kernel.forward(values), (0, *cuts, 9)
    carried, total = {}, 0.0
    for start, end in zip(edges, edges[1:], strict=False):
        run = kernel.forward({**rest, **{label: array[start:end] for label, array in sequences.items()}, **carried})
        assert all(np.array_equal(run[label], whole[label][start:end]) for label in run.final)
        carried = run.state
        total += run.value
    assert same(carried, whole.state) and total == pytest.approx(whole.value, rel=1e-13)
    wrong = {label: np.zeros_like(array) for label, array in carried.items()}
    last = {label: array[cuts[-1]:] for label, array in sequences.items()}
    assert not np.array_equal(kernel.forward({**rest, **last, **wrong})["y"], whole["y"][cuts[-1]:])


def test_the_state_stands_at_each_sequences_own_end(compiled):
    kernel, lengths = compiled("narx"), [2, 7, 0, 1]
    values = stock_layouts.draw("narx", seed=6, steps=7, lengths=lengths)
    state, (sequences, rest) = kernel.forward(values).state, apart(kernel, values)
    for row, length in enumerate(lengths):
        own = {label: array[:length, [row]] for label, array in sequences.items()}
        own |= {label: array[[row]] if "[" in label else array for label, array in rest.items() if label != "lengths"}
        alone = kernel.forward(own).state
        assert all(np.array_equal(state[label][row], alone[label][0]) for label in state)
    # A chunk shorter than the lag: what stood before it moves on.
    assert np.array_equal(state["y[-2]"][3], values["y[-1]"][3]) and np.array_equal(state["y[-1]"][2], values["y[-1]"][2])
    assert not np.array_equal(state["y[-2]"][3], values["y[-2]"][3])


def test_a_state_is_given_where_no_equation_stands():
    kernel, values = interpreted(TAPS), taps()
    state = kernel.forward(values).state
    assert list(state) == ["x[0]", "x[-1]", "d[0]", "h[0]", "h[-1]", "h[-2]"]
    with pytest.raises(ValueError, match=r"h\[0\] follows from an equation of recurrence; leave that equation out to give it"):
        kernel.forward({**values, **state})
    stream = kernel.stream({label: array for label, array in values.items() if label not in ("x", "d")} | state)
    assert same(stream.state, state)
    with pytest.raises(ValueError, match=r"x\[0\] has shape \(2, 3\); it must be \(B, m\)"):
        kernel.forward({**values, "x[0]": np.ones((2, 3))})
