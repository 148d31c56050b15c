"""Normal form: arguments of nonlinear functions are signals of their own, costs too; twice is once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from generator import draw, generate

import derive.language as language
from derive.arithmetic import Abstract, Apply
from derive.arrays import CrossEntropy, Softmax
from derive.language import load, parse
from derive.nodes import At, Number, Pick, Quantity, walk
from derive.normal import NONLINEAR, normalise
from derive.recurrence import Recurrence
from derive.reference import evaluate
from derive.temporal import Argument, TimeSum

ZOO = sorted(entry.stem for entry in (Path(language.__file__).parent / "zoo").glob("*.rec"))


def texts(recurrence: Recurrence) -> dict[str, str]:
    return {equation.target.source(): equation.expr.source() for equation in recurrence.equations}


def test_the_worked_example() -> None:
    found = normalise(
        parse("x[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)\nE = minimize(sum(norm2(h[t]) for t in steps))")
    )
    assert texts(found) == {
        "z": "W @ h[t-1] + U @ x[t] + b", "h": "tanh(z[t])", "e": "norm2(h[t])", "E": "sum(e[t] for t in steps)",
    }  # fmt: skip
    assert found.meanings == {"z": "pre-activation of h", "e": "cost summed in E"}


def forms(recurrence: Recurrence) -> None:
    for equation in recurrence.equations:
        for node in walk(equation.expr):
            assert not isinstance(node, Argument)
            if isinstance(node, (Apply, Abstract)):
                assert all(isinstance(arg, (At, Pick, Quantity, Number)) for arg in node.operands)
            if isinstance(node, TimeSum) and not node.shape:
                assert isinstance(node.args[0], (At, Pick, Quantity, Number))


@pytest.mark.parametrize("name", ZOO)
def test_stock_recurrences_are_normal_once_and_for_all(name: str) -> None:
    found = normalise(load(name))
    forms(found)
    assert normalise(found) == found
    if any(isinstance(n, NONLINEAR) for e in load(name).equations for n in walk(e.expr)):
        with pytest.raises(AssertionError):
            forms(load(name))


@pytest.mark.parametrize("seed", [0, 1, 2, 5, 6, 7])
def test_random_recurrences_are_normal_and_mean_the_same(seed: int) -> None:
    recurrence = parse(generate(seed, seed % 2 == 0).text)
    found = normalise(recurrence)
    assert normalise(found) == found
    values = draw(recurrence, np.random.default_rng(seed), 5, 1)
    one, other = evaluate(recurrence, values, 5, 1), evaluate(found, values, 5, 1)
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-9, atol=1e-12)


def test_a_cross_entropy_of_a_softmax_is_fused() -> None:
    recurrence = load("elman")
    found = normalise(recurrence)
    cost = next(e.expr for e in found.equations if any(isinstance(n, CrossEntropy) for n in walk(e.expr)))
    entropy = next(node for node in walk(cost) if isinstance(node, CrossEntropy))
    assert isinstance(entropy.args[1], Softmax) and isinstance(entropy.args[1].args[0], At)
    other = normalise(parse("d[t]: k\nq[t]: k\nE = minimize(sum(cross_entropy(d[t], q[t]) for t in steps))"))
    assert not any(isinstance(node, Softmax) for e in other.equations for node in walk(e.expr))


def test_names_of_the_user_are_left_alone() -> None:
    found = normalise(
        parse(
            "z[t]: n\ne[t]: n\nz_h: n\nh[t]: n = tanh(h[t-1] + z[t] + e[t] + z_h)\n"
            "E = minimize(sum(norm2(h[t]) for t in steps))"
        )
    )
    fresh = set(found.named) - {"z", "e", "z_h", "h", "E"}
    assert len(fresh) == 2 and fresh == set(found.meanings)


def test_equal_arguments_share_a_signal() -> None:
    found = texts(normalise(parse("h[t]: n = tanh(h[t-1] + 1)*sigmoid(h[t-1] + 1)")))
    assert found == {"z": "h[t-1] + 1", "h": "tanh(z[t])*sigmoid(z[t])"}
    assert len(texts(normalise(parse("h[t]: n = tanh(h[t-1] + 1)*sigmoid(h[t-1] + 2)")))) == 3
