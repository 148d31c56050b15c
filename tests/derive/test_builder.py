"""Builder: recurrences written in Python are those of the files, of any size, and refuse the same mistakes."""

from __future__ import annotations

import pytest

from derive.adjoint import gradient
from derive.builder import Builder
from derive.errors import RecurrenceError, ShapeError
from derive.language import parse
from derive.nodes import Kind
from derive.operators import T, elementwise, steps, sum_over, t
from derive.recurrence import Recurrence
from derive.writing import write

tanh = elementwise("tanh")


def narx(taps: int) -> Recurrence:
    """The family of the design: any number of output taps."""
    b = Builder("narx")
    x, y = b.input("x", "m"), b.signal("y", "k")
    terms = sum(b.parameter(f"A{j}", "k", "k") @ y[t - j] for j in range(1, taps + 1))
    b.define(y[t], tanh(terms + b.parameter("U", "k", "m") @ x[t]))
    b.minimize("E", sum_over(tanh(y[t])[0], steps[-1:]))
    return b.recurrence()


@pytest.mark.parametrize("taps", [1, 2, 5, 40])
def test_a_family_with_any_number_of_taps(taps: int) -> None:
    recurrence = narx(taps)
    again = parse(write(recurrence))
    assert set(again.quantities) == set(recurrence.quantities)
    assert len(recurrence.of_role("parameter")) == taps + 1
    assert [ghost.source() for ghost in recurrence.arguments] == [f"y[{-j}]" if j else "y[0]" for j in range(taps)]
    if taps < 10:
        assert f"A{taps}" in gradient(recurrence).gradients


def test_the_same_as_a_file() -> None:
    b = Builder("net", "A net.")
    x, h = b.input("x", "m"), b.signal("h", "n")
    W, U, c = b.parameter("W", "n", "n"), b.parameter("U", "n", "m"), b.parameter("c", "n")
    b.define(h[t], tanh(W @ h[t - 1] + U @ x[t] + c))
    b.define(h[0], 0)
    b.minimize("E", sum_over(h[t][0] * 2, steps[-3:]) + h[T][0])
    text = '"""A net."""\nx[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t] + c)\nW: (n, n)\nU: (n, m)\nc: n\nh[0] = 0\n'
    text += "E = minimize(sum(h[t][0]*2 for t in steps[-3:]) + h[T][0])"
    one, other = b.recurrence(), parse(text)
    assert set(one.quantities) == set(other.quantities) and one.title == other.title
    assert {e.target: e.expr for e in one.equations} == {e.target: e.expr for e in other.equations}
    changed = parse(text.replace("*2", "*3"))
    assert {e.target: e.expr for e in one.equations} != {e.target: e.expr for e in changed.equations}


def test_values_everywhere_outside() -> None:
    b = Builder("net")
    h, h0 = b.signal("h", "n"), b.parameter("h0", "n")
    b.define(h[t], tanh(h[t - 1] + h[t - 3]))
    b.define(h[0], h0)
    b.define_outside(h, 0.5)
    found = {e.target.source(): e.expr.source() for e in b.recurrence().equations if e.target != h}
    assert found == {"h[0]": "h0", "h[-1]": "0.5*ones(n)", "h[-2]": "0.5*ones(n)"}


@pytest.mark.parametrize(
    "name", ["", "t", "T", "tanh", "lambda", "class", "a b", "é", "a" * 65, "__x", "1a", "a;b", "x\n", 3, None]
)
def test_names_are_checked(name: object) -> None:
    with pytest.raises(RecurrenceError):
        Builder("net").parameter(name, "n")  # type: ignore[arg-type]
    with pytest.raises(RecurrenceError):
        Builder("net").function(name)  # type: ignore[arg-type]


def broken(kind: str) -> Recurrence:
    b = Builder("net")
    x, h, W = b.input("x", "m"), b.signal("h", "n"), b.parameter("W", "n", "n")
    match kind:
        case "shape":
            b.define(h[t], x[t])
        case "lag":
            b.define(h[t - 1], h[t])
        case "inside":
            b.define(h[2], 0)
        case "twice":
            b.define(h[t], h[t - 1])
            b.define(h[t], h[t - 1])
        case "missing":
            b.parameter("q", "n")
        case "name":
            b.parameter("W", "n")
        case "dim":
            b.parameter("n", "n")
            b.define(h[t], h[t - 1])
        case "foreign":
            b.define(h[t], h[t - 1] + Builder("other").parameter("q", "n"))
        case "no time":
            q = b.quantity("q", "n")
            b.define(h[t], h[t - 1])
            b.define(q, h[t])
        case "kind":
            q = b.quantity("q", "n", kind=Kind.SHARED)
            b.define(h[t], h[t - 1])
            b.define(q, W @ h[T])
        case "objectives":
            b.minimize("E", h[T][0])
            b.minimize("F", h[T][0])
        case "reads the objective":
            aim = b.minimize("E", h[T][0])
            b.define(h[t], aim * h[t - 1])
        case "power":
            b.define(h[t], h[t - 1] ** h[t - 1])
        case "zero":
            b.parameter("q", 0)
        case "sums":
            b.define(h[t], sum_over(x[t])[0] * h[t - 1])
    return b.recurrence()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("shape", "h is declared (n), its equation is (m)"),
        ("lag", "an equation defines h[t], not h[t-1]"),
        ("inside", "h[2] lies inside the steps"),
        ("twice", "h is defined twice"),
        ("missing", "h has no equation"),
        ("name", "W is declared twice"),
        ("dim", "n is both a dim and a quantity"),
        ("foreign", "q in the equation of h[t] is not declared here"),
        ("no time", "h[t] has no step in the equation of q, which has no time"),
        ("kind", "q is one for all sequences, its equation has a value for each"),
        ("objectives", "two objectives, E and F"),
        ("reads the objective", "reads the objective E"),
        ("power", "is not a number"),
        ("zero", "a dim must be at least 1, not 0"),
        ("sums", "a sum over time in the equation of h[t]"),
    ],
)
def test_mistakes_are_named(kind: str, message: str) -> None:
    with pytest.raises(RecurrenceError) as caught:
        broken(kind)
    assert message in caught.value.problem
    assert isinstance(caught.value, ShapeError) == (kind == "shape")
