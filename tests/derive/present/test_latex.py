"""LaTeX: the lecture's equations, names, escaping, and documents that pdflatex takes without a line off the page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import jinja2.meta
import pytest
from present.lecture import LATEX, READINGS, in_order

from derive.adjoint import gradient
from derive.language import load, parse
from derive.present import latex as module
from derive.present.escape import escape
from derive.present.latex import repr_latex, to_latex
from derive.present.names import look, looks

ROOT = Path(__file__).resolve().parents[3]
STOCK = sorted(path.stem for path in (ROOT / "derive" / "zoo").glob("*.rec"))
needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


def formulas(latex: str) -> list[str]:
    """The numbered formulas."""
    return re.findall(r"\\begin\{equation\}\\label\{eq:\d+\}\n(.*?)\n\\end\{equation\}", latex, re.DOTALL)


def compile_pages(folder: Path, source: str) -> tuple[bool, str]:
    """One pass of pdflatex: whether it went through, and its log."""
    (folder / "page.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    return done.returncode == 0, (folder / "page.log").read_text(encoding="latin-1")


def overfull(log: str) -> list[float]:
    """By how many points lines run off, beyond 10."""
    return [float(size) for size in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log) if float(size) > 10]


@pytest.mark.parametrize("name", LATEX)
def test_the_lecture_comes_out_in_its_order(name):
    found = formulas(to_latex(gradient(parse(READINGS[name]))))
    assert in_order(LATEX[name], found) == []
    assert in_order(LATEX[name][::-1], found) != []


@pytest.mark.parametrize("name", STOCK)
def test_every_step_is_one_equation_with_its_number(name):
    latex = to_latex(gradient(load(name)), document=False)
    labels = [int(number) for number in re.findall(r"\\label\{eq:(\d+)\}", latex)]
    assert labels == list(range(1, len(labels) + 1)) and len(formulas(latex)) == len(labels)
    assert {int(n) for n in re.findall(r"\\eqref\{eq:(\d+)\}", latex)} <= set(labels)
    assert latex.isascii() and latex.count("{") == latex.count("}") and "documentclass" not in latex


@needs_tex
@pytest.mark.parametrize("name", ["lstm", "settle", "trajectory", "bidirectional"])
def test_pdflatex_takes_the_document_and_nothing_runs_off(name, tmp_path):
    done, log = compile_pages(tmp_path, to_latex(gradient(load(name))))
    assert done and overfull(log) == []


@needs_tex
def test_without_breaking_lines_would_run_off(tmp_path, monkeypatch):
    terms = " + ".join(f"A{i} @ h[t-{i}]*c{i} + B{i} @ tanh(h[t-{i}])" for i in range(1, 6))
    scales = "".join(f"c{i}: scalar\n" for i in range(1, 6))
    derivation = gradient(parse(f"{scales}x[t]: n\nh[t]: n = tanh({terms} + x[t])\nE = minimize(sum(norm2(h[t]) for t in steps))\n"))
    done, log = compile_pages(tmp_path, to_latex(derivation))
    assert done and overfull(log) == []
    monkeypatch.setattr(module, "COLUMNS", 1000)
    done, log = compile_pages(tmp_path, to_latex(derivation))
    assert done and overfull(log) != []


HOSTILE = "\\input{/etc/passwd} $x^2$ %% & # _ ~ {} \\end{document} ``--'' <|> é ñ Ł 中 \U0001f600 ?`"


@needs_tex
def test_a_hostile_title_is_printed_and_does_nothing(tmp_path):
    recurrence = parse('"""TITLE"""\nR = maximize(...)\nx[t]: n = tanh(W @ x[t-1] + b)\n')
    object.__setattr__(recurrence, "title", HOSTILE)
    latex = to_latex(gradient(recurrence))
    assert "\\input" not in latex and latex.count("\\end{document}") == 1
    assert compile_pages(tmp_path, latex)[0]
    assert not compile_pages(tmp_path, latex.replace(escape(HOSTILE), HOSTILE))[0]


@needs_tex
def test_hostile_names_are_only_names(tmp_path):
    names = ["a_", "_b", "c__d", "lam", "lamda", "Wi", "W_i", "W_bar", "bar", "end_1", "x" * 64, "D", "I", "eta", "delta", "i", "j"]
    lines = [f"{name}: n" for name in names] + ["R = maximize(sum(norm2(h[t]) for t in steps))"]
    text = "\n".join(lines) + "\nh[t]: n = tanh(V @ h[t-1] + " + " + ".join(names) + ")\n"
    latex = to_latex(gradient(parse(text)))
    assert compile_pages(tmp_path, latex)[0]


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("50% & more", r"50\% \& more"),
        ("a_b^c", r"a\_b\textasciicircum{}c"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("Luís Tiňo", r"Lu\'{\i}s Ti\v{n}o"),
        ("two\n lines", "two lines"),
        ("--", "{-}{-}"),
        ("中\x07", "[U+4E2D][U+0007]"),
    ],
)
def test_escape(text, latex):
    assert escape(text) == latex


@pytest.mark.parametrize(
    ("name", "text", "latex"),
    [
        ("W", "W", "W"),
        ("alpha", "α", r"\alpha"),
        ("lam", "λ", r"\lambda"),
        ("sigma_0", "σ_0", r"\sigma_{0}"),
        ("W_bar", "W\u0304", r"\bar{W}"),
        ("h_back", "h_back", r"h_{\mathrm{back}}"),
        ("x0", "x0", "x_{0}"),
        ("Wi", "Wi", "W_{i}"),
        ("Whh", "Whh", "W_{hh}"),
        ("dt", "dt", r"\mathit{dt}"),
        ("gain", "gain", r"\mathit{gain}"),
        ("a__b", "a__b", r"\mathtt{a\_\_b}"),
    ],
)
def test_names(name, text, latex):
    assert (look(name).text, look(name).latex()) == (text, latex)


def test_no_two_names_look_alike():
    names = ["Wi", "W_i", "W_1", "W1", "lam", "lamda", "a_b_bar", "a_bar_b"]
    found = looks(names, [r"\lambda"])
    assert len({shown.latex() for shown in found.values()}) == len(names)
    assert found["lam"].latex() == r"\mathtt{lam}"


def test_a_notebook_shows_the_main_equations():
    shown = repr_latex(gradient(load("trajectory")))
    assert shown.startswith("$$\\begin{aligned}\n") and shown.endswith("\n\\end{aligned}$$")
    assert r"s(t) &= D(t)\, W^{\top}\, s(t+1) + D(t)\, \frac{\partial E}{\partial x(t)}" in shown
    assert r"\label" not in shown and shown.isascii()


def test_templates_are_small_and_use_the_fields_they_get():
    used = {}
    for name in ("document.tex.j2", "body.tex.j2"):
        text = (ROOT / "derive" / "present" / name).read_text(encoding="utf-8")
        assert text.count("\n") < 60
        used[name] = jinja2.meta.find_undeclared_variables(module._TEMPLATES.parse(text))
    assert used == {"document.tex.j2": {"title", "body"}, "body.tex.j2": {"sections", "references", "widest"}}


def test_the_slope_of_a_root_is_a_name_with_a_prime() -> None:
    model = parse("x[t]: n\nh[t]: n = sqrt(W @ h[t-1] + x[t])\nE = minimize(sum(norm2(h[t]) for t in steps))\n")
    body = to_latex(gradient(model), document=False)
    assert r"\operatorname{sqrt}^{\prime}" in body
    assert r"\sqrt^" not in body
