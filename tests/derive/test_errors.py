"""Messages: each mistake is told with its file, line, column, caret and what to write instead, word for word."""

from __future__ import annotations

import pickle

import pytest

from derive.errors import Location, RecurrenceError, ShapeError
from derive.language import parse

STATE = "h[t]: n = tanh(W @ h[t-1])\n"

# A text, the place and problem, the characters that the caret marks, and the hint.
MISTAKES = [
    ("h[t]: n = h[t-1]^2", "1:17: ^ is not a power here; write h[t-1]**2", "^", ""),
    ("h[t]: n = W @ h[t-1]  ^  2", "1:23: ^ is not a power here; write h[t-1]**2", "^", ""),
    ("h[t]: n = h[t-1] % 2", "1:18: % is not in the language", "%", "sin and cos are the periodic functions"),
    ("h[t]: n = (h[t-1]) // (2)", "1:20: // is not in the language", "//", "/ divides"),
    ("x[t]: m\nU: (k, m)\nz[t]: n = tanh(W @ z[t-1] + U @ x[t])",
     "3:16: shapes differ: W @ z[t-1] is (n), U @ x[t] is (k)",
     "W @ z[t-1] + U @ x[t]", "U was declared (k, m) on line 2; did you mean U: (n, m)?"),
    ("x[t]: m\nU: (n, k)\nz[t]: n = U @ x[t]", "3:11: U is (n, k) and cannot multiply x[t], (m)", "U @ x[t]",
     "U was declared (n, k) on line 2; did you mean U: (n, m)?"),
    ("x[t]: m\nU: (k, n)\nz[t]: m = x[t] + U.T @ z[t-1]", "3:18: U.T is (n, k) and cannot multiply z[t-1], (m)",
     "U.T @ z[t-1]",
     "U was declared (k, n) on line 2; did you mean U: (m, n)?"),
    ("b: m\nz[t]: n = z[t-1] - b", "2:11: shapes differ: z[t-1] is (n), -b is (m)", "z[t-1] - b",
     "b was declared (m) on line 1; did you mean b: n?"),
    ("x[t]: m\nz[t]: n = z[t-1]*x[t]", "2:11: shapes differ: z[t-1] is (n), x[t] is (m)", "z[t-1]*x[t]",
     "x was declared (m) on line 1; did you mean x[t]: n?"),
    ("V: (k, n)\nz[t]: n = V @ z[t-1]", "2:11: z is declared (n), its equation is (k)", "V @ z[t-1]",
     "V was declared (k, n) on line 1; did you mean V: (n, n)?"),
    ("h[t]: n = W @ h", "1:15: h is a sequence and needs a step", "h", "write h[t] or h[t-1]"),
    (STATE + "E = minimize(sum(norm2(h) for t in steps))", "2:24: h is a sequence and needs a step", "h",
     "write h[t] or h[t-1]"),
    (STATE + "E = minimize(norm2(h[t]))", "2:20: h[t] has no step in the equation of E, which has no time", "h[t]",
     "write sum(h[t] for t in steps), or a fixed step such as h[T]"),
    (STATE + "E = minimize(h[T])", "2:14: E is declared scalar, its equation is (n)", "h[T]",
     "an objective is a scalar: write norm2(…), sum(…) or dot(a, …)"),
    (STATE + "y[t]: n = sum(h[t] for t in steps)",
     "2:11: a sum over time in the equation of y[t], which holds at every step",
     "sum(h[t] for t in steps)", "give the sum a name without time, and read that"),
    (STATE + "E = minimize(sum(norm2(h[t]) for t in steps[::2]))", "2:39: steps have no stride", "steps[::2]",
     "write steps, steps[-3:] or steps[1:5]"),
    ("h[t]: n = h[t-1.5]", "1:13: [t-1.5] is not a step", "t-1.5",
     "steps are [t], [t-1], [t+2] with a whole number, or fixed: [1], [T], [T-1]; components come after: h[t][0:n]"),
    ("h[t]: n = h[t, 0:n]", "1:13: [t, 0:n] is not a step", "t, 0:n",
     "steps are [t], [t-1], [t+2] with a whole number, or fixed: [1], [T], [T-1]; components come after: h[t][0:n]"),
    ("h[t]: n = h[t-1][0:n:2]", "1:18: slices have no stride", "0:n:2", "write [a:b]"),
    ("h[t]: n = h[t-1][0:2*n]", "1:11: the slice [0:2*n] leaves h[t-1], (n)", "h[t-1][0:2*n]", ""),
    ("h[t]: n = h[t-1][0:q]", "1:20: q is not a dim of this file", "q", "the dims of this file are n"),
    ("x: n\ny: n = x[t]", "2:8: x has no time", "x[t]", "write x without [t]"),
    ("h[t]: T = h[t-1]", "1:7: T is the number of steps and no dim", "T", "dims do not depend on the number of steps"),
    ("T: n", "1:1: T is reserved", "T", "choose another name, such as T_1"),
    ("h[t]: n = t*h[t-1]", "1:11: t is the step and has no value", "t", "it stands only inside brackets, as in h[t-1]"),
    ("h[t]: n = tahn(h[t-1])", "1:11: tahn is not a function of the language", "tahn",
     "did you mean tanh? otherwise define it: tahn = lambda u: …, or leave it abstract: tahn: function"),
    ("h[t]: n = a*h[t-1]", "1:11: a is not declared, and its shape does not follow from here", "a",
     "declare it with a line such as a: n or a: scalar"),
    ("h[t]: n = x[t] + h[t-1]", "1:11: x is not declared", "x",
     "declare it: x[t]: n for an input, x[t]: n = … for a signal"),
    (STATE + STATE, "2:1: h is defined twice, first on line 1", "h[t]", "use another name for one of the two"),
    ("x: n = W @ x\nx: n = W @ x", "2:1: x is defined twice, first on line 1", "x",
     "use another name for one of the two"),
    (STATE + "h[0] = 0\nh[0] = 1", "3:1: h[0] is defined twice", "h[0]", "leave out one of the two"),
    (STATE + "h[...] = 0\nh[...] = 1", "3:1: h[...] is defined twice, first on line 2", "h[...]",
     "leave out one of the two"),
    (STATE + "h[1] = 0", "2:1: h[1] lies inside the steps, where the equation of h[t] holds", "h[1]",
     "values outside the steps are h[0], h[-1], … and h[T+1], …"),
    ("x[t]: n\nx[0] = 1", "2:1: x is not a signal, and has no values outside the steps", "x[0]",
     "inputs read zero outside 1..T"),
    ("g[0] = 1\nx: n", "1:1: g is not declared", "g[0]", "write g[t]: n = … first"),
    (STATE + "v: m\nh[...] = v", "3:10: h is declared (n), its values outside the steps are (m)", "v",
     "v was declared (m) on line 2; did you mean v: n?"),
    ("h[t] = tanh(h[t-1])", "1:1: h[t] needs its shape", "h[t]", "write h[t]: n = …"),
    ("h[t-1]: n = tanh(h[t])", "1:1: only h[t] is declared with a shape", "h[t-1]",
     "leave out the shape for values outside the steps: h[0] = …"),
    ("W: (n, n, n)", "1:4: 3 dims", "(n, n, n)", "quantities are scalars (scalar), vectors (n) and matrices (n, m)"),
    ("n: n", "1:4: n is both a dim and the name that line 1 declares", "n", "rename one of the two"),
    ("x: m\nm = lambda u: u", "1:4: m is both a dim and the name that line 2 declares", "m", "rename one of the two"),
    ("h[t]: n = zeros(h)", "1:17: h is a quantity and no dim", "h", "a name is a dim or a quantity, never both"),
    ("lambda: n", "1:1: an expression alone is not a statement of the language", "lambda: n",
     "lambda is a word of Python and no name; choose another, such as lam"),
    ("α_h: n", "1:1: α_h is not ASCII", "α_h",
     "names are ASCII letters, digits and underscores; spell it out: alpha_h"),
    ("h[t]: n = h[t−1]", "1:14: − is not ASCII", "−", "write -"),
    ("h[t]: n = h[t-1]²", "1:17: ² is not ASCII", "²", "write **2"),
    ("x: n\u200b", "1:5: an invisible character, '\\u200b' (zero width space)", " ",
     "remove it, or write a plain space"),
    ("c[t]: index", "1:7: an index says how many values it has", "index", "write c[t]: index[m]"),
    ("c[t]: index[m] = 1", "1:18: c is an index input and has no equation", "1", "write c[t]: index[m]"),
    ("c: index[m]", "1:4: an index input has time", "index[m]", "write c[t]: index[m]"),
    ("c[t]: index[m]\ny[t]: m = c[t]", "2:11: c is an index", "c[t]", "write onehot(c[t])"),
    ("c[t]: m\ny[t]: m = onehot(c[t])", "2:18: onehot takes an index input at a step, not c[t]", "c[t]",
     "declare one: c[t]: index[m]"),
    ("c[t]: index[m]\ny[t]: m = onehot(c)", "2:18: onehot takes an index input at a step, not c", "c",
     "write onehot(c[t])"),
    ("W: (n, n)\nassert W >= 0", "2:8: a constraint is an equality", "W >= 0",
     "write assert W == W.T, say; for a range, derive the parameter from a free one: W: (n, n) = tanh(V)"),
    ("h[t]: n = stop_gradient(h[t-1], 1)", "1:11: stop_gradient takes 1 argument, not 2", "stop_gradient(h[t-1], 1)",
     "write stop_gradient(a)"),
    ("s = surrogate(lambda u: u)", "1:5: surrogate takes two lambdas of one argument, the value and its slope",
     "surrogate(lambda u: u)",
     "write s = surrogate(lambda u: where(u > 0, 1, 0), lambda u: 1/(1 + abs(u))**2)"),
    ("s = surrogate(lambda u, v: u, lambda u: 1)", "1:5: surrogate takes two lambdas of one argument, the value and its slope",
     "surrogate(lambda u, v: u, lambda u: 1)",
     "write s = surrogate(lambda u: where(u > 0, 1, 0), lambda u: 1/(1 + abs(u))**2)"),
    ("s = surrogate(lambda u: u, lambda u: v)\nh[t]: n = s(h[t-1])", "1:38: v is not an argument of the lambda", "v",
     "a lambda reads its arguments, numbers and dims only"),
    ("g = lambda u: sum(u)\nh[t]: n = g(h[t-1])", "1:15: sum is not elementwise", "sum",
     "a lambda is a function of single numbers"),
    ("g = lambda u: g(u)", "1:15: lambdas call each other in a circle: g calls g", "g(u)",
     "a lambda is written out where it is called"),
    ("E = minimize(1)\nF = maximize(2)", "2:1: two objectives, E on line 1 and F", "F",
     "a file has at most one; add them, or use two files"),
    ("E: scalar = minimize(1)", "1:4: an objective is a scalar and takes no shape", "scalar", "write E = minimize(…)"),
    ("minimize(1)", "1:1: an expression alone is not a statement of the language", "minimize(1)",
     "give the objective a name: E = minimize(…)"),
    ("h[t]: n = E*h[t-1]\nE = minimize(sum(h[T]))", "1:11: E is the objective, which no equation reads", "E",
     "give what is shared a name of its own"),
    ("u: input = 3", "1:12: u is an input and has no equation", "3", "write u: n = … for a quantity"),
    ("tau: const = not 3", "1:14: only a scalar constant has a default, and it is a number", "not 3",
     "write tau: const = 0.1"),
    ("import os", "1:1: an import is not a statement of the language", "import os", "a recurrence file stands alone"),
    ("h[t]: n = np.tanh(h[t-1])", "1:11: np.tanh cannot be called", "np.tanh",
     "only functions of the language are called, by their names"),
    ("h[t]: n = tanh(h[t-1], 2)", "1:11: tanh takes 1 argument, not 2", "tanh(h[t-1], 2)", "write tanh(a)"),
    ("h[t]: n = where(0 < h[t-1] < 1, 0, 1)", "1:17: where takes one comparison", "0 < h[t-1] < 1",
     "comparisons are <, <=, >, >=, == and !=; nest two of them: where(a < b, where(b < c, x, y), y)"),
]  # fmt: skip


# Where Python's own parser gives up, its words and columns vary with its version; line and hint do not.
UNREADABLE = [
    (STATE + "h(0) = 0", 2, "values outside the steps are written in brackets: h[0] = …"),
    ("W: n, m = 3", 1, "two dims stand in parentheses: W: (n, m)"),
    ("for: n", 1, "for is a word of Python and no name; choose another, such as for_1"),
    ("h[t]: n = lambda*h[t-1]", 1, "lambda is a word of Python and no name; choose another, such as lam"),
    ("  h[t]: n = h[t-1]", 1, "statements start in the first column; a long one goes on inside its parentheses"),
    ("x: n\nh[t]: n = tanh(h[t-1]\ny: n", 2, "close it, on this line or on a later one"),
    ("h[t]: n = tanh h[t-1]", 1, "see docs/language.md for the statements there are"),
]


@pytest.mark.parametrize(("text", "problem", "marked", "hint"), MISTAKES)
def test_message(text: str, problem: str, marked: str, hint: str) -> None:
    with pytest.raises(RecurrenceError) as caught:
        parse(text, "net")
    first, shown, carets, *rest = str(caught.value).split("\n")
    assert first == f"net.rec:{problem}"
    column = int(problem.split(":")[1])
    line = text.split("\n")[int(problem.split(":")[0]) - 1].replace("\u200b", " ")
    assert shown == f"    {line}"
    assert carets == " " * (3 + column) + "^" * len(marked) and shown[3 + column :].startswith(marked)
    assert rest == ([f"  {hint}"] if hint else [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h[t]: n = g[t+1]\ng[t]: n = h[t-2]",
         "net.rec:1: h[t] and g[t] form a cycle with lags of both signs: h[t] reads g[t+1], g[t] reads h[t-2]\n"
         "  this is not supported; break the cycle or drop one lag"),
        ("h[t]: n = h[t-1] + x[t+1]\nx[t]: n = 2*x[t-1]",
         "net.rec:1: x runs forward in time and is read at x[T+1], beyond its last step\n"
         "  say what stands there: x[T+1] = 0, or x[...] = 0"),
    ],
)  # fmt: skip
def test_message_about_a_whole_line(text: str, message: str) -> None:
    with pytest.raises(RecurrenceError) as caught:
        parse(text, "net")
    assert str(caught.value) == message


@pytest.mark.parametrize(("text", "line", "hint"), UNREADABLE)
def test_message_of_what_is_not_python(text: str, line: int, hint: str) -> None:
    with pytest.raises(RecurrenceError) as caught:
        parse(text, "net")
    assert caught.value.problem.startswith("not readable: ") and caught.value.hint == hint
    assert caught.value.where.line == line and caught.value.where.column and "^" in str(caught.value)


def test_tabs_show_as_one_space_and_long_lines_are_cut_around_the_caret() -> None:
    with pytest.raises(RecurrenceError) as caught:
        parse("h[t]:\tn =\ttan(h[t-1])", "net")
    assert str(caught.value).split("\n")[1:3] == ["    h[t]: n = tan(h[t-1])", "              ^^^"]
    with pytest.raises(RecurrenceError) as caught:
        parse("h[t]: n = " + "h[t-1] + " * 200 + "tan(h[t-1])" + " + h[t-1]" * 200, "net")
    _, shown, carets, _ = str(caught.value).split("\n")
    assert len(shown) < 130 and shown.startswith("    …") and shown.endswith("…")
    assert shown[carets.index("^") :].startswith("tan(") and carets.count("^") == 3
    with pytest.raises(RecurrenceError) as caught:
        parse("b: m\nh[t]: n = b + " + " + ".join(["h[t-1]"] * 500), "net")
    assert len(str(caught.value)) < 1000


def test_errors_carry_their_parts() -> None:
    error = RecurrenceError("a problem", "a hint\nin two lines")
    assert str(error) == "a problem\n  a hint\n  in two lines"
    placed = ShapeError("a problem").at(Location("net.rec", 3, 2, 4, "abcdef"))
    assert type(placed) is ShapeError and str(placed) == "net.rec:3:2: a problem\n    abcdef\n     ^^"
    assert placed.at(Location("other.rec", 1)).where == placed.where
    again = pickle.loads(pickle.dumps(placed))
    assert str(again) == str(placed) and (again.problem, again.where) == (placed.problem, placed.where)
    assert str(RecurrenceError("p", "", Location("f", 1, 9, 3, "ab"))).endswith("\n      ^")


def test_the_file_is_named_as_given() -> None:
    with pytest.raises(RecurrenceError, match=r"^folder/my\.rec:1:11: "):
        parse("h[t]: n = tan(h[t-1])", "my", "folder/my.rec")
