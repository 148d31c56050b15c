"""The literal interpreter against independent hand-written NumPy, with ragged lengths."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import numpy_cells, stock_layouts

from derive.files import stock_names
from derive.language import load, parse
from derive.reference import evaluate


@pytest.mark.parametrize("lengths", [None, (4, 0, 1)])
@pytest.mark.parametrize("name", stock_names())
def test_signals_equal_hand_written_ones(name: str, lengths: tuple[int, ...] | None) -> None:
    recurrence = load(name)
    timed = any(q.kind == 2 for q in recurrence.quantities)
    ragged = None if lengths is None or not timed else np.array(lengths)
    values = stock_layouts.draw(name, 5, steps=4, batch=3, lengths=ragged)
    given = {label: value for label, value in values.items() if label != "lengths"}
    found = evaluate(recurrence, given, 4, 3, ragged)
    expected = numpy_cells.forward(name, values)
    for label, value in expected.items():
        mine = found[recurrence.objective.name] if label == "objective" else found[label]
        np.testing.assert_allclose(mine, value, rtol=1e-12, atol=1e-12, err_msg=label)


def test_a_wrong_lag_is_noticed() -> None:
    text = "x[t]: n\nh[t]: n = tanh(W @ h[t-1] + x[t])\n"
    rng = np.random.default_rng(0)
    values = {"x": rng.standard_normal((5, 2, 3)), "W": rng.standard_normal((3, 3)), "h[0]": rng.standard_normal((2, 3))}
    right = evaluate(parse(text), values, 5, 2)["h"]
    wrong = evaluate(parse(text.replace("h[t-1]", "h[t-2]")), values, 5, 2)["h"]
    assert np.max(np.abs(right - wrong)) > 1e-3


def test_a_fixed_step_that_is_not_there_is_an_error() -> None:
    recurrence = parse("x[t]: n\nh[t]: n = tanh(x[t])\nE = minimize(norm2(h[3]))\n")
    with pytest.raises(ValueError, match="h is read at step 3 of 2"):
        evaluate(recurrence, {"x": np.ones((2, 1, 2))}, 2, 1)


def test_a_penalty_counts_once_and_costs_for_every_sequence() -> None:
    recurrence = parse("u: input[n]\nw: n\nE = minimize(dot(u, w) + norm2(w))\n")
    found = evaluate(recurrence, {"u": np.ones((4, 3)), "w": np.full(3, 2.0)}, 1, 4)
    assert found["E"] == pytest.approx(4 * 6 + 12)


def test_a_dim_that_stands_only_in_sums_is_what_is_left():
    text = "x[t]: m\nh[t]: m + k + p = tanh(W @ h[t-1])\nh[0] = 1\nb: k + p\nu: k\nW: (m + k + p, m + k + p)\n"
    text += "E = minimize(norm2(h[T]) + norm2(b) + norm2(u) + norm2(x[1]))\n"
    given = {"x": np.ones((2, 1, 2)), "W": np.eye(9), "b": np.ones(7), "u": np.ones(3)}
    assert evaluate(parse(text), given, 2, 1)["h"].shape == (2, 1, 9)
