"""`retrograd derive --unfold --wrt`: every form of the result, shares against a compiled kernel, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from derive.language import parse
from derive.unfolding.paths import unfold
from tests.codegen.command_line import refused, run
from tests.codegen.kernel_cases import interpreted

TWO_STEPS = """\
x[t]: 3
d[t]: 1
Whx: (2, 3)
Whh: (2, 2)
bh: 2
Wyh: (1, 2)
by: 1
tx[t]: 2 = Whx @ x[t] + Whh @ h[t-1] + bh
h[t]: 2 = tanh(tx[t])
s[t]: 1 = Wyh @ h[t] + by
y[t]: 1 = sigmoid(s[t])
E = minimize(sum(norm2(y[t] - d[t])/2 for t in steps))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("unfold") / "two.rec"
    path.write_text(TWO_STEPS)
    return path


def test_s17_one_weight_over_two_steps(model):
    result = run("derive", model, "--unfold", "2", "--wrt", "Whx[k,j]")
    assert result.exit_code == 0 and result.stderr == ""
    assert "∂E/∂Whx_kj = G_{1→1} + G_{2→2} + G_{2→1}" in result.stdout
    assert "G_{2→1} = (Whhᵀ D_h(2) Wyhᵀ D_y(2) (y(2) − d(2)))_k (1 − h_k(1)²) x_j(1)" in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


def test_s17_shares_equal_the_kernel(model):
    kernel, unfolding = interpreted(TWO_STEPS), unfold(parse(TWO_STEPS, name="two"), 2, "Whx[k,j]")
    rng = np.random.default_rng(0)
    shapes = {"x": (2, 4, 3), "d": (2, 4, 1), "Whx": (2, 3), "Whh": (2, 2), "bh": (2,), "Wyh": (1, 2), "by": (1,), "h[0]": (4, 2)}
    values = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    wanted = kernel.value_and_grad(values)[1]["Whx"]
    shares = unfolding.evaluate(values)
    assert np.abs(sum(shares) - wanted).max() < 1e-12 * np.abs(wanted).max()
    assert not np.abs(sum(shares[:-1]) - wanted).max() < 1e-6 * np.abs(wanted).max()


def test_unfold_in_every_form(model, tmp_path):
    asked = ("--unfold", "2", "--wrt", "Whx[0,2]")
    latex = run("derive", model, *asked, "--format", "latex").stdout
    assert latex.startswith("\\documentclass") and r"G_{2 \to 1}" in latex and r"\mathrm{d}" in latex
    assert "<!doctype html>" in run("derive", model, *asked, "--format", "html").stdout.lower()
    rec = run("derive", model, *asked, "--format", "rec").stdout
    assert {"path_1_1", "path_2_2", "path_2_1"} <= set(parse(rec).named)
    for name in ("a.tex", "a.html", "a.txt", "a.rec"):
        assert run("derive", model, *asked, "-o", tmp_path / name).exit_code == 0 and (tmp_path / name).stat().st_size > 500


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_unfold_as_pdf(model, tmp_path):
    assert run("derive", model, "--unfold", "3", "--wrt", "Whh[i,j]", "-o", tmp_path / "a.pdf").exit_code == 0
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--unfold", "2"), "add --wrt with one of Whx[i,j], Whh[i,j], bh[i], Wyh[i,j], by[i], h[0][i], x[1][i], d[1][i]"),
     (("--wrt", "Whx[i,j]"), "--wrt goes with --sensitivities or --unfold"),
     (("--unfold", "2", "--sensitivities"), "choose one"), (("--unfold", "2", "--wrt", "V[i,j]"), "two has no V"),
     (("--unfold", "2", "--wrt", "Whx[i]"), "takes 2 indices, not 1"), (("--unfold", "2", "--wrt", "Whx[2,0]"), "index 2 is too large"),
     (("--unfold", "0", "--wrt", "Whx[i,j]"), "0 is not in the range"),
     (("--unfold", "two", "--wrt", "Whx[i,j]"), "is not a valid integer"),
     (("--unfold", "99", "--wrt", "Whx[i,j]"), "cannot unfold 99 steps"), (("--unfold", "23", "--wrt", "Whx[i,j]"), "276 paths")],
)  # fmt: skip
def test_unfold_refusals_say_what_to_write(model, arguments, said):
    assert said in " ".join(refused("derive", model, *arguments).split())
