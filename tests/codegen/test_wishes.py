"""Ranges and values for what is drawn: by `check`, by timings, and on the command line."""

import numpy as np
import pytest

from codegen import checking, timing
from codegen.arguments import arguments_of
from codegen.drawing import WishError, draw_values, read_wishes
from codegen.lower import lower
from derive.language import parse
from tests.codegen.command_line import refused, run
from tests.codegen.kernel_cases import interpreted

LEAKY = """
x[t]: m
c[t]: index[k]
dt: const = 0.1
h[t]: n = (1 - dt)*h[t-1] + dt*tanh(W @ h[t-1] + U @ x[t] + V @ onehot(c[t]))
E = minimize(sum(norm2(h[t]) for t in steps))
"""
ROOTS = "x[t]: n\nw: n\nh[t]: n = sqrt(h[t-1] + w*x[t])\nE = minimize(sum(norm2(h[t]) for t in steps))\n"


def seen(text, **options):
    """The report of a check, and the values it was made with."""
    caught = []

    class Watched(checking._Checking):
        def draw(self, rng):
            caught.append(super().draw(rng))
            return caught[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "_Checking", Watched)
        report = checking.check(text, kernel=interpreted(text), **options)
    return report, caught[-1]


def test_values_are_drawn_from_their_ranges():
    report, values = seen(LEAKY, ranges={"dt": (0.2, 0.3), "W": (-0.01, 0.01), "h[0]": (1.0, 2.0), "x": 0.5, "c": (1, 2)})
    assert report.passed and values["dt"].shape == () and 0.2 <= values["dt"] <= 0.3
    assert np.abs(values["W"]).max() <= 0.01 and values["W"].std() > 0
    assert values["h[0]"].min() >= 1 and values["h[0]"].max() <= 2 and np.all(values["x"] == 0.5)
    assert set(np.unique(values["c"])) == {1, 2} and values["c"].dtype.kind == "i"
    assert np.abs(values["U"]).max() > 0.3  # as ever
    plain = seen(LEAKY)[1]
    assert plain["dt"] == 0.1 and np.abs(plain["W"]).max() > 0.01 and plain["h[0]"].min() < 0 and set(np.unique(plain["c"])) > {1, 2}


def test_a_range_holds_where_only_positive_values_would_be_drawn_otherwise():
    report, values = seen(ROOTS, ranges={"x": (-0.2, -0.1), "w": (0.1, 0.2), "h[0]": (0.8, 0.9)}, steps=3)
    assert report.passed and values["x"].max() < 0


def test_values_are_taken_as_they_are_with_their_sizes():
    rng = np.random.default_rng(0)
    given = {"W": rng.normal(size=(6, 6)) / 3, "x": rng.normal(size=(4, 2, 3)), "dt": 0.3, "c": rng.integers(-1, 4, (4, 2))}
    report, values = seen(LEAKY, values=given, dims={"k": 4})
    assert report.passed and all(np.array_equal(values[label], array) for label, array in given.items())
    assert values["h[0]"].shape == (2, 6) and values["V"].shape == (6, 4)
    again = seen(LEAKY, values=given, dims={"k": 4}, seed=1)[1]
    assert np.array_equal(again["W"], values["W"]) and not np.array_equal(again["U"], values["U"])


@pytest.mark.parametrize(("options", "said"), [
    ({"ranges": {"q": 1.0}}, r"ranges: recurrence takes no argument 'q'; it takes x, c, dt, W, U, V, h\[0\]"),
    ({"ranges": {"dt": (2.0, 1.0)}}, "ranges: dt has 2:1; a range is a finite number, or two of which the first is not larger"),
    ({"ranges": {"dt": np.nan}}, "ranges: dt has nan:nan; a range is a finite number"),
    ({"ranges": {"c": (0.5, 1.0)}}, "ranges: c has 0.5:1; it takes whole numbers from 0, and -1 for none"),
    ({"ranges": {"c": (0.0, 9.0)}, "dims": {"k": 2}}, "ranges: c takes whole numbers from 0 to 1, and -1 for none"),
    ({"values": {"q": 1.0}}, "values: recurrence takes no argument 'q'"),
    ({"values": {"W": np.ones((2, 3))}}, r"values: W has shape \(2, 3\); it must be \(n, n\) with n = 2, from W"),
    ({"values": {"W": np.ones(3)}}, r"values: W has shape \(3,\); it must be \(n, n\)"),
    ({"values": {"x": np.ones((4, 2, 3))}, "steps": 5}, r"x has shape \(4, 2, 3\); it must be \(T, B, m\) with T = 5, as asked for"),
    ({"values": {"W": np.eye(2)}, "dims": {"n": 3}}, r"with n = 3, as asked for"),
    ({"values": {"W": np.full((2, 2), np.inf)}}, "values: W is not finite"),
    ({"values": {"W": np.eye(2, dtype=complex)}}, "values: W has dtype complex128; it takes numbers"),
    ({"values": {"c": np.zeros((4, 2))}}, "values: c has dtype float64; it takes whole numbers"),
    ({"values": {"dt": 0.1}, "ranges": {"dt": 0.1}}, "values: dt has a range too; give one of the two"),
])  # fmt: skip
def test_what_cannot_be_had_is_named(options, said):
    with pytest.raises(WishError, match=said):
        seen(LEAKY, **options)


def test_an_array_of_sizes_that_are_sums_of_dims_must_fit():
    program = lower(parse("x[t]: n + 1\nW: (n, n + 1)\nh[t]: n = W @ x[t]\n"))
    labels = arguments_of(program)
    wishes = read_wishes("net", labels, None, {"x": np.ones((2, 1, 3))})
    draw = lambda n: draw_values(program, labels, {"n": n}, 2, 1, np.random.default_rng(0), False, wishes)  # noqa: E731
    assert np.all(draw(2)["x"] == 1)
    with pytest.raises(WishError, match=r"values: x has shape \(2, 1, 3\); it must be \(2, 1, 4\)"):
        draw(3)


def test_timings_take_them_too():
    recurrence, kernel = parse(LEAKY), interpreted(LEAKY)
    found = timing.compare(recurrence, kernel, {}, None, None, 1, ranges={"dt": (0.2, 0.3)}, values={"x": np.ones((4, 2, 3))})
    assert found.agrees and (found.sizes["T"], found.sizes["B"], found.sizes["m"], found.sizes["n"]) == (4, 2, 3, 32)
    with pytest.raises(WishError, match="ranges: recurrence takes no argument 'q'"):
        timing.compare(recurrence, kernel, {}, None, None, 1, ranges={"q": 1.0})


# the command line


@pytest.fixture
def archive(tmp_path):
    np.savez(tmp_path / "given.npz", W=np.eye(6) / 2, x=np.ones((4, 2, 3)))
    return tmp_path / "given.npz"


def test_the_options_of_check_and_bench(archive):
    result = run("check", "elman", "--range", "b=0.1:0.2", "--range", "h[0]=0.5", "--values", archive)
    assert result.exit_code == 0 and result.stdout.rstrip().endswith("passed")
    timed = run("bench", "elman", "--repeat", "1", "--values", archive, "--range", "b=0")
    assert timed.exit_code == 0 and "T = 4, B = 2, k = 32, m = 3, n = 6" in timed.stdout


@pytest.mark.parametrize("command", ["check", "bench"])
def test_errors_name_the_option(command, archive, tmp_path):
    np.save(tmp_path / "one.npy", np.eye(2))
    np.savez(tmp_path / "objects.npz", W=np.array([object()]))
    (tmp_path / "text.npz").write_text("W = 1")
    for options, said in [
        (("--range", "q=1"), "--range: elman takes no argument 'q'"),
        (("--range", "W"), "'--range': 'W' is not of the form dt=0.1:0.2, or dt=0.1"),
        (("--range", "W=a:b"), "'--range': 'W=a:b' is not of the form"),
        (("--range", "W=1:2:3"), "'--range': 'W=1:2:3' is not of the form"),
        (("--range", "W=2:1"), "--range: W has 2:1; a range is a finite number"),
        (("--range", "W=1", "--range", "W=2"), "--range: W is given twice"),
        (("--values", archive, "--steps", "5"), "--values: x has shape (4, 2, 3); it must be (T, B, m) with T = 5"),
        (("--values", archive, "--range", "W=1"), "--values: W has a range too"),
        (("--values", tmp_path / "none.npz"), "'--values': File"),
        *(
            (("--values", tmp_path / name), f"--values: {tmp_path / name} is no .npz archive of numbers")
            for name in ("one.npy", "objects.npz", "text.npz")
        ),
    ]:
        assert said in " ".join(refused(command, "elman", *options).split()), options
