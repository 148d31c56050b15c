"""Writing: the text of a recurrence reads back as the same recurrence, gradients of stock recurrences included."""

from __future__ import annotations

from pathlib import Path

import pytest

import derive.language as language
from derive.adjoint import gradient, pullback
from derive.language import load, parse
from derive.nodes import Node
from derive.normal import normalise
from derive.recurrence import Recurrence
from derive.temporal import Argument
from derive.writing import write

ZOO = sorted(entry.stem for entry in (Path(language.__file__).parent / "zoo").glob("*.rec"))


def unmarked(node: Node) -> Node:
    """Without the marks of inlined arguments, which no text shows."""
    if isinstance(node, Argument):
        return unmarked(node.args[0])
    return node.func(*(unmarked(arg) if isinstance(arg, Node) else arg for arg in node.args)) if node.operands else node


def meaning(recurrence: Recurrence) -> tuple:
    """What a recurrence says: quantities, equations, functions, defaults, objective; no order, lines or comments."""
    equations = frozenset((equation.target, unmarked(equation.expr)) for equation in recurrence.equations)
    defaults = frozenset(recurrence.defaults.items())
    return (
        frozenset(recurrence.quantities),
        equations,
        frozenset(recurrence.functions),
        defaults,
        recurrence.objective,
        recurrence.title,
    )


def check(recurrence: Recurrence) -> None:
    again = parse(write(recurrence), recurrence.name)
    assert meaning(again) == meaning(recurrence)
    assert parse(write(again)) == parse(write(again))
    assert not any("is taken as a parameter" in note for note in again.notes)


@pytest.mark.parametrize("name", ZOO)
def test_stock_recurrences(name: str) -> None:
    check(load(name))
    check(normalise(load(name)))


@pytest.mark.parametrize("name", ZOO)
def test_their_gradients(name: str) -> None:
    recurrence = gradient(load(name)).recurrence
    check(recurrence)
    text = write(recurrence)
    assert text.endswith("\n") and all(" #" in line for line in text.splitlines() if "_bar" in line.split(":")[0])
    with pytest.raises(AssertionError):
        changed = text.replace("[t-1]", "[t-2]") if "[t-1]" in text else text.replace(" + ", " - ")
        assert meaning(parse(changed)) == meaning(recurrence)


@pytest.mark.parametrize("name", ["elman", "gru", "narx"])
def test_their_pullbacks(name: str) -> None:
    check(pullback(load(name)).recurrence)


@pytest.mark.parametrize("text", [
    '"""A \'title\'."""\nf: function\nR = maximize(...)\nx: n = f(W @ x + b)',
    "f: function\nh[t]: n = slope(f, h[t-1])*slope(f, h[t-1], 2)",
    "dt: const = 0.1\ntau: const = -1e-3\nM: const[n, n]\nc: const\nh[t]: n = dt*tau*c*(M @ h[t-1])",
    "u: input[m]\ns: input\nh[t]: n = s*h[t-1] + U @ u\nh[0] = 0.5\nh[-1] = U @ u\nk[t]: n = h[t-2]",
    "g[t]: 2*n = g[t+1]\ng[T+1] = 1\ny: n = g[1][0:n] + g[T-1][n:]\nW_bar: total[n, n] = outer(y, y)",
    "x[t]: (n + m)*2\ny[t]: 2*n + 2*m = within(x[t], steps[-3:-1]) + pad(x[t-1][0:1], 0, 2*n + 2*m)",
    "h[t]: n = -h[t-1]**2/(1 - h[t-1])**0.5 - (h[t-1] - (1 - h[t-1]))*-2", "h[t]: n = 0.333333*h[t-1] - -0.5",
    "E = minimize(sum(x[t]**2 for t in steps[1:]) + 0.01*norm2(W))\nx[t]: scalar\nW: (n, n)",
])  # fmt: skip
def test_forms_of_the_language(text: str) -> None:
    check(parse(text))


def test_titles_cannot_break_out() -> None:
    recurrence = parse("'''A \"\"\" quote \\\\ and \\x22 more'''\nx: n")
    assert parse(write(recurrence)).named == recurrence.named
