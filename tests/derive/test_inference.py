"""Names without a declaration: which shapes follow, and which do not."""

from __future__ import annotations

import pytest

from derive.errors import RecurrenceError
from derive.language import parse
from derive.nodes import shape_text


def inferred(text: str) -> dict[str, str]:
    notes = [note.split() for note in parse(text).notes if note.startswith("note: ") and "taken as" in note]
    return {words[1]: " ".join(words[7:]) for words in notes}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)", {"W": "(n, n)", "U": "(n, m)", "b": "(n)"}),
        ("h[t]: n = W.T @ h[t-1]", {"W": "(n, n)"}),
        ("x[t]: m\nh[t]: n = U.T @ x[t]", {"U": "(m, n)"}),
        ("V: (k, n)\nh[t]: k = V @ q", {"q": "(n)"}),
        ("h[t]: n = b + h[t-1] - c", {"b": "(n)", "c": "(n)"}),
        ("h[t]: 2*n = tanh(W @ h[t-1])", {"W": "(2*n, 2*n)"}),
        ("z[t]: 4*n\nh[t]: n = tanh(W @ z[t][0:n] + U @ z[t][n:])", {"W": "(n, n)", "U": "(n, 3*n)"}),
        ("z[t]: n\ns[t]: scalar = z[t][0] + a*z[t][1] + dot(q, z[t])\na: scalar", {"q": "(n)"}),
        ("w: n\ny[t]: n = w[0] + y[t-1] + p\nv[t]: scalar = w[0]*v[t-1]", {"p": "(n)"}),
        ("d[t]: k\nh[t]: n = tanh(h[t-1])\n"
         "E = minimize(sum(cross_entropy(d[t], softmax(V @ h[t] + c)) for t in steps))",
         {"V": "(k, n)", "c": "(k)"}),
        ("h[t]: n = tanh(h[t-1])\ny[t]: k = softmax(V @ h[t] + c)", {"V": "(k, n)", "c": "(k)"}),
        ("u: input[m]\nh[t]: n = tanh(h[t-1])\nh[0] = W0 @ u + b0", {"W0": "(n, m)", "b0": "(n)"}),
        ("h[t]: n = where(W @ h[t-1] > 0, 1, V @ h[t-1])", {"W": "(n, n)", "V": "(n, n)"}),
        ("x[t]: m\ny[t]: k\nh[t]: n = tanh(W @ concat(x[t], y[t], h[t-1]))", {"W": "(n, k + m + n)"}),
        ("h[t]: n = (W @ h[t-1])*tanh(U @ h[t-1] + b)", {"W": "(n, n)", "U": "(n, n)", "b": "(n)"}),
        ("E = minimize(dot(q, p))\nq: n", {"p": "(n)"}),
        ("M: total[n, m] = outer(p, q)", {"p": "(n)", "q": "(m)"}),
        ("g[t]: n = P @ h[t]\nh[t]: n = Q @ g[t-1]\ny: n = R1 @ h[T]", {"P": "(n, n)", "Q": "(n, n)", "R1": "(n, n)"}),
        ("y: n = A @ q1\nA: (n, m)\nz: k = B @ q1", {"q1": "(m)", "B": "(k, m)"}),
    ],
)  # fmt: skip
def test_shapes_follow(text: str, expected: dict[str, str]) -> None:
    assert inferred(text) == expected


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [
        ("h[t]: n = a*h[t-1]", "a", "a: n or a: scalar"),
        ("h[t]: (n + m) = tanh(h[t-1])/tau", "tau", "tau: m + n or tau: scalar"),
        ("h[t]: n = tanh(h[t-1])\nh[0] = h0", "h0", "h0: n or h0: scalar"),
        ("W: (n, n) = A*A", "A", "A: (n, n) or A: scalar"),
        ("h[t]: n = sum(q)*h[t-1]", "q", "q: n or q: scalar"),
        ("x: n\nE = minimize(a*sum(x))", "a", "a: n or a: scalar"),
        ("V: (k, n)\nh[t]: k = V @ tanh(A @ (B @ h[t-1] + c))", "A", "A: k or A: scalar"),
    ],
)
def test_what_does_not_follow_is_asked_for(text: str, name: str, line: str) -> None:
    with pytest.raises(RecurrenceError) as caught:
        parse(text)
    error = caught.value
    assert error.problem == f"{name} is not declared, and its shape does not follow from here"
    assert error.hint.endswith(f"declare it with a line such as {line}")
    assert error.where.text[error.where.column - 1 :].startswith(name)


def test_the_first_use_decides_and_a_clash_names_it() -> None:
    with pytest.raises(RecurrenceError) as caught:
        parse("x[t]: m\nh[t]: n = tanh(W @ h[t-1])\ng[t]: n = tanh(W @ x[t])")
    assert caught.value.hint == "W was taken to be (n, n); did you mean W: (n, m)?"
    assert caught.value.where.line == 3


def test_dims_functions_and_the_objective_are_never_inferred() -> None:
    for text in (
        "h[t]: n = n @ h[t-1]",
        "f: function\nh[t]: n = f + h[t-1]",
        "h[t]: n = E + h[t-1]\nE = minimize(sum(h[T]))",
    ):
        with pytest.raises(RecurrenceError):
            parse(text)


def test_inferred_shapes_equal_declared_ones() -> None:
    text = "x[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t] + b)"
    declared = parse(text + "\nW: (n, n)\nU: (n, m)\nb: n")
    found = parse(text)
    assert set(found.quantities) == set(declared.quantities) and not declared.notes
    wrong = parse("x[t]: m\nh[t]: n = tanh(W @ h[t-1] + U @ x[t])")
    assert {q.name: shape_text(q.shape) for q in wrong.quantities} != {
        q.name: shape_text(q.shape) for q in declared.quantities
    }
