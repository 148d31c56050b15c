"""Structure: which equations form which loop, sweep or solve, in which order, and what no order of steps computes."""

from __future__ import annotations

import pytest

from derive.errors import RecurrenceError
from derive.language import load, parse
from derive.structure import blocks, describe, directions


def layout(text: str) -> list[tuple[str, list[str]]]:
    return [(block.kind, [describe(member) for member in block.members]) for block in blocks(parse(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x[t]: n\ny[t]: n = tanh(x[t])", [("sweep", ["y[t]"])]),
        ("h[t]: n = tanh(h[t-1])", [("forward", ["h[t]"])]),
        ("h[t]: n = tanh(h[t+1])", [("backward", ["h[t]"])]),
        ("x[t]: n\ny[t]: n = x[t+1] + x[t-1]", [("sweep", ["y[t]"])]),
        ("h[t]: n = y[t]\ny[t]: n = tanh(z[t])\nz[t]: n = tanh(h[t-1])", [("forward", ["z[t]", "y[t]", "h[t]"])]),
        ("b: n\nx: n = tanh(W @ x + b)", [("steady", ["x"])]),
        ("h[t]: n = tanh(W @ h[t])", [("steady", ["h[t]"])]),
        ("h[t]: n = tanh(W @ h[t] + h[t-1])", [("forward", ["h[t]"])]),
        ("b: n\ny: n = 2*b\nz: n = y + b", [("once", ["y"]), ("once", ["z"])]),
        ("z: n = y + b\nb: n\ny: n = 2*b", [("once", ["y"]), ("once", ["z"])]),
        ("h[t]: n = tanh(h[t-1])\ns: n = sum(h[t] for t in steps)\ny[t]: n = s + h[t]",
         [("forward", ["h[t]"]), ("once", ["s"]), ("sweep", ["y[t]"])]),
        ("h[t]: n = tanh(h[t-1])\nh[0] = 2*h0\nh0: n", [("once", ["h[0]"]), ("forward", ["h[t]"])]),
        ("g[t]: n = tanh(g[t+1])\ng[T+1] = h[T]\nh[t]: n = tanh(h[t-1])",
         [("forward", ["h[t]"]), ("once", ["g[T+1]"]), ("backward", ["g[t]"])]),
        ("a[t]: n = tanh(a[t-1])\nb[t]: n = tanh(b[t-1] + a[t])", [("forward", ["a[t]"]), ("forward", ["b[t]"])]),
        ("h[t]: n = tanh(y[t-3])\ny[t]: n = h[t-1] + h[t]", [("forward", ["h[t]", "y[t]"])]),
    ],
)  # fmt: skip
def test_blocks(text: str, expected: list) -> None:
    assert layout(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "h[t]: n = h[t+1] + h[t-1]",
            "h[t] forms a cycle with lags of both signs: h[t] reads h[t+1], h[t] reads h[t-1]",
        ),
        (
            "h[t]: n = g[t+1]\ng[t]: n = h[t-2]",
            "h[t] and g[t] form a cycle with lags of both signs: h[t] reads g[t+1], g[t] reads h[t-2]",
        ),
        ("h[t]: n = s + h[t-1]\ns: n = sum(h[t] for t in steps)", "form a cycle through a sum or a fixed step"),
        ("h[t]: n = tanh(h[t-1])*h[T]", "forms a cycle through a sum or a fixed step"),
        ("h[t]: n = tanh(h[t-1])\nh[0] = h[T]", "form a cycle through a sum or a fixed step"),
        (
            "h[t]: n = tanh(h[t-1] + x[t+1])\nx[t]: n = 2*x[t-1]",
            "x runs forward in time and is read at x[T+1], beyond its last step",
        ),
        (
            "g[t]: n = tanh(g[t+1])\nh[t]: n = g[t-1]",
            "g runs backward in time and is read at g[0], beyond its last step",
        ),
    ],
)
def test_what_no_order_computes(text: str, message: str) -> None:
    with pytest.raises(RecurrenceError) as caught:
        parse(text)
    assert message in caught.value.problem and caught.value.where.line in (1, 2)


def test_the_stated_cure_is_read() -> None:
    text = "h[t]: n = tanh(h[t-1] + x[t+1])\nx[t]: n = 2*x[t-1]\n"
    assert layout(text + "x[T+1] = 0")[-1] == ("forward", ["h[t]"])
    assert layout(text + "x[...] = 0")[-1] == ("forward", ["h[t]"])


def test_order_is_that_of_reads_not_of_lines() -> None:
    recurrence = load("lstm")
    found = directions(blocks(recurrence))
    assert {describe(target): kind for target, kind in found.items()} == {
        **dict.fromkeys(["i[t]", "f[t]", "g[t]", "o[t]", "c[t]", "h[t]"], "forward"), "y[t]": "sweep", "E": "once",
    }  # fmt: skip
    group = next(block for block in blocks(recurrence) if block.kind == "forward")
    names = [describe(member) for member in group.members]
    assert names.index("c[t]") > max(names.index(gate) for gate in ("i[t]", "f[t]", "g[t]"))
    assert names.index("h[t]") > max(names.index("c[t]"), names.index("o[t]"))


def test_steady_groups_inside_loops_are_marked() -> None:
    (block,) = blocks(parse("a[t]: n = tanh(b[t] + a[t-1])\nb[t]: n = tanh(a[t])\nc[t]: n = a[t]*c[t-1]"))[:1]
    assert block.kind == "forward" and [group.steady for group in block.groups] == [True]
