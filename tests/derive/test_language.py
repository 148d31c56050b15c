"""Statements of the language: what each form means, what is noted and warned of, and how files are found and read."""

from __future__ import annotations

from pathlib import Path

import pytest

import derive.language as language
from derive.errors import RecurrenceError
from derive.language import load, parse
from derive.nodes import Kind, dim
from derive.recurrence import Recurrence

n, m, k = dim("n"), dim("m"), dim("k")
ZOO = sorted(entry.stem for entry in (Path(language.__file__).parent / "zoo").glob("*.rec"))
STATE = "h[t]: n = tanh(h[t-1])\n"


def role(recurrence: Recurrence, name: str) -> tuple[str, tuple, Kind]:
    found = recurrence.named[name]
    return found.role, found.shape, found.kind


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("x[t]: m", "x", ("input", (m,), Kind.TIMED)),
        ("w[t]: scalar", "w", ("input", (), Kind.TIMED)),
        ("z[t]: 4*n", "z", ("input", (4 * n,), Kind.TIMED)),
        ("z[t]: (n + m)*2", "z", ("input", (2 * n + 2 * m,), Kind.TIMED)),
        ("z[t]: 3", "z", ("input", (3,), Kind.TIMED)),
        ("u: input[m]", "u", ("input", (m,), Kind.SEQUENCE)),
        ("u: input", "u", ("input", (), Kind.SEQUENCE)),
        ("W: (n, m)", "W", ("parameter", (n, m), Kind.SHARED)),
        ("b: n", "b", ("parameter", (n,), Kind.SHARED)),
        ("b: (n,)", "b", ("parameter", (n,), Kind.SHARED)),
        ("a: scalar", "a", ("parameter", (), Kind.SHARED)),
        ("M: const[n, n]", "M", ("constant", (n, n), Kind.SHARED)),
        ("tau: const", "tau", ("constant", (), Kind.SHARED)),
        ("h[t]: n = tanh(h[t-1])", "h", ("signal", (n,), Kind.TIMED)),
        ("u: input[n]\nx: n = 2*u", "x", ("quantity", (n,), Kind.SEQUENCE)),
        ("b: n\nx: n = 2*b", "x", ("quantity", (n,), Kind.SHARED)),
        ("x: n = tanh(W @ x + b)", "x", ("quantity", (n,), Kind.SHARED)),
        ("h[t]: n = tanh(h[t-1])\nx: n = h[T]", "x", ("quantity", (n,), Kind.SEQUENCE)),
        ("b: n\nx: n = y\ny: n = T*b", "x", ("quantity", (n,), Kind.SEQUENCE)),
        ("b: n\nf = lambda u: T*u\nx: n = f(b)", "x", ("quantity", (n,), Kind.SEQUENCE)),
        ("h[t]: n = tanh(h[t-1])\ns: total[n] = sum(h[t] for t in steps)", "s", ("total", (n,), Kind.SHARED)),
        ("s: total = 3\nx: scalar = s", "x", ("quantity", (), Kind.SHARED)),
    ],
)
def test_declaration(text: str, name: str, expected: tuple) -> None:
    assert role(parse(text), name) == expected


def test_default_is_exact() -> None:
    recurrence = parse("dt: const = 0.1\ntau: const = -1e-3\nh[t]: n = dt*tau*h[t-1]")
    assert {name: str(value) for name, value in recurrence.defaults.items()} == {"dt": "1/10", "tau": "-1/1000"}


@pytest.mark.parametrize(
    ("lines", "ghosts"),
    [
        ("h[0] = 0.5", {"h[0]": "0.5*ones(n)"}),
        ("h[0] = h0\nh0: n", {"h[0]": "h0"}),
        ("h[0] = W0 @ u\nu: input[m]", {"h[0]": "W0 @ u"}),
        ("h[...] = 1", {"h[0]": "ones(n)", "h[-1]": "ones(n)"}),
        ("h[...] = 1\nh[-1] = 0", {"h[-1]": "zeros(n)", "h[0]": "ones(n)"}),
        ("", {}),
    ],
)
def test_values_before_the_first_step(lines: str, ghosts: dict[str, str]) -> None:
    recurrence = parse("h[t]: n = tanh(h[t-1] + h[t-2])\n" + lines)
    found = {e.target.source(): e.expr.source() for e in recurrence.equations if not e.timed}
    assert found == ghosts
    assert {ghost.source() for ghost in recurrence.arguments} == {"h[0]", "h[-1]"} - ghosts.keys()


def test_value_after_the_last_step() -> None:
    recurrence = parse("g[t]: n = tanh(g[t+1])\ng[T+1] = h[T]\n" + STATE)
    assert [e.target.source() for e in recurrence.equations] == ["g", "g[T+1]", "h"]
    assert [ghost.source() for ghost in recurrence.arguments] == ["h[0]"]


@pytest.mark.parametrize(("text", "sense", "abstract"), [
    ("E = minimize(norm2(h[T]))", "minimize", False), ("R = maximize(norm2(h[T]))", "maximize", False),
    ("R = maximize(...)", "maximize", True), ("E = minimize(...)", "minimize", True),
])  # fmt: skip
def test_objective(text: str, sense: str, abstract: bool) -> None:
    aim = parse(STATE + text).objective
    assert (aim.sense, aim.abstract, aim.name) == (sense, abstract, text[0])


def test_equations_have_no_order() -> None:
    lines = ["x[t]: m", "h[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)", "y[t]: k = V @ h[t]", "E = minimize(norm2(y[T]))"]
    one, other = parse("\n".join(lines)), parse("\n".join(reversed(lines)))
    assert set(one.quantities) == set(other.quantities)
    assert {e.target: e.expr for e in one.equations} == {e.target: e.expr for e in other.equations}
    lines[1] = lines[1].replace("+ b", "- b")
    assert {e.target: e.expr for e in parse("\n".join(lines)).equations} != {e.target: e.expr for e in one.equations}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_endings_tabs_and_marks(ending: str, mark: str) -> None:
    text = f'{mark}"""A\ttitle."""{ending}{ending}h[t]:\tn = (tanh(h[t-1]){ending}   + b)\t# (é — [{{ “comment”{ending}'
    for form in (text, text.encode()):
        recurrence = parse(form)
        assert recurrence.title == "A title."
        assert recurrence.equations[0].expr.source() == "tanh(h[t-1]) + b"
        assert recurrence.equations[0].line == 3


def test_notes_and_warnings_name_what_they_are_about() -> None:
    text = "q: n\nf: function\ng = lambda u: u*u\nx[t]: m\nWnin: (n, m)\nh[t]: n = tanh(Wnix @ x[t] + h[t])"
    assert parse(text).notes == (
        "note: Wnix is taken as a parameter, (n, m)",
        "warning: Wnix is used once and resembles Wnin; was that meant?",
        "warning: f is defined on line 2 and never used",
        "warning: g is defined on line 3 and never used",
        "warning: q is declared on line 1 and never used",
        "warning: Wnin is declared on line 5 and never used",
        "note: h[t] forms a cycle without lag, solved as a steady state at every step; is a [t-1] missing?",
    )
    assert parse("h[t]: n = tanh(W @ h[t-1])\nW: (n, n)").notes == ()


@pytest.mark.parametrize("name", ZOO)
def test_stock_recurrences_load(name: str) -> None:
    recurrence = load(name)
    assert recurrence.name == name and recurrence.title and recurrence.objective
    assert not [note for note in recurrence.notes if note.startswith("warning")]


def test_files_are_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "my net.rec"
    path.write_text(STATE)
    assert load(path) == load(str(path)) and load(path).name == "my net"
    path.write_text(STATE.replace("tanh", "tan"))
    with pytest.raises(RecurrenceError, match=r"my net\.rec:1:11: tan is not a function"):
        load(path)


@pytest.mark.parametrize(("reference", "message"), [
    ("elmann", "did you mean elman?"), ("no/such.rec", "stock recurrences are"), ("a\0b", "cannot be read"),
    ("x" * 5000, "stock recurrences are"), ("/", "stock recurrences are"), ("/dev/zero", "too long"), ("",
     "stock recurrences are"),
])  # fmt: skip
def test_what_cannot_be_read_is_said(reference: str, message: str) -> None:
    with pytest.raises(RecurrenceError) as caught:
        load(reference)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", '"""Only a title."""', "\ufeff", b"", "\t\n"])
def test_a_file_that_defines_nothing(text: str) -> None:
    with pytest.raises(RecurrenceError, match="declares and defines nothing"):
        parse(text)
