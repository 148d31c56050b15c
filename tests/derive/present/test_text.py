"""The plain text: the lecture's equations line by line, width, hostile titles, and the same bytes in every process."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from present.lecture import LINES, READINGS, in_order

import derive
from derive.adjoint import gradient
from derive.builder import Builder
from derive.language import load, parse
from derive.operators import t
from derive.present.latex import to_latex
from derive.present.printer import width
from derive.present.text import to_text

ROOT = Path(__file__).resolve().parents[3]
STOCK = sorted(path.stem for path in (ROOT / "derive" / "zoo").glob("*.rec"))


def formulas(text: str) -> list[str]:
    """The numbered formulas, lines of a broken one joined."""
    found: list[str] = []
    column = 0
    for line in text.splitlines():
        if match := re.match(r"\(\d+\) +", line):
            column = match.end()
            found.append(line[column:])
        elif line.startswith(" " * (column + 4)) and found:
            found[-1] += " " + line.strip()
    return found


@pytest.mark.parametrize("name", READINGS)
def test_the_lecture_comes_out_in_its_order(name):
    found = formulas(to_text(gradient(parse(READINGS[name]))))
    assert in_order(LINES[name], found) == []


@pytest.mark.parametrize("name", READINGS)
def test_the_order_matters(name):
    found = formulas(to_text(gradient(parse(READINGS[name]))))
    assert in_order(LINES[name][::-1], found) != []
    assert in_order([line.replace("Wᵀ", "W") for line in LINES[name]], found) != []


@pytest.mark.parametrize("name", STOCK)
def test_stock_recurrences_stay_within_the_columns(name):
    derivation = gradient(load(name))
    assert max(map(width, to_text(derivation).splitlines())) <= 100
    assert max(map(width, to_text(derivation, width=72).splitlines())) <= 72


def test_a_broken_formula_loses_nothing():
    derivation = gradient(load("gru"))
    joined = lambda columns: [f.replace(" ", "") for f in formulas(to_text(derivation, width=columns))]
    assert joined(72) == joined(200)


def test_an_lstm_reads_as_a_system():
    found = formulas(to_text(gradient(load("lstm"))))
    assert in_order(
        [
            "bi(t) = sigmoid⁻¹(i(t)) − Wi h(t−1) − Ui x(t)",
            "sigmoid⁻¹(i(t)) = log(i(t)/(1 − i(t)))",
            "∂b_c(t)/∂c(t′) = δ_tt′ I − diag(f(t)) δ_{t−1,t′}",
            "h̄(t) = Vᵀ ȳ(t) + Wiᵀ s_i(t+1) + Wfᵀ s_f(t+1) + Wgᵀ s_g(t+1) + Woᵀ s_o(t+1)",
            "c̄(t) = (1 − tanh(c(t))²) ∘ o(t) ∘ h̄(t) + f(t+1) ∘ c̄(t+1)",
            "s_i(t) = D_i(t) (g(t) ∘ c̄(t))",
            "s_i(T+1) = s_f(T+1) = s_g(T+1) = s_o(T+1) = c̄(T+1) = 0",
            "∂E/∂c(0) = f(1) ∘ c̄(1)",
        ],
        found,
    ) == []
    assert not any("_back" in formula for formula in found)


def test_names_that_look_alike_are_told_apart():
    text = "lam: n\nlamda: n\neta: n\nR = maximize(sum(norm2(h[t]) for t in steps))\nh[t]: n = tanh(lam*h[t-1] + lamda + eta)\n"
    found = to_text(gradient(parse(text)))
    assert "h(t) = tanh(λ ∘ h(t−1) + lamda + η)" in found
    assert "Δλ = rate" in found


def test_a_hostile_title_stays_on_one_line():
    build = Builder("net", "one\ntwo\x1b[31m\u202e three \x07")
    x = build.input("x", "n")
    h = build.signal("h", "n")
    build.define(h[t], derive.tanh(h[t - 1] + x[t]))
    build.maximize("R", None)
    first = to_text(gradient(build.recurrence())).splitlines()[0]
    assert first.startswith("Gradient of: one two?[31m? three ?") and first.isprintable()


SCRIPT = """
import hashlib
from derive.adjoint import gradient
from derive.language import load
from derive.present import repr_latex, to_latex, to_text
whole = "".join(p(gradient(load(n))) for n in ("elman", "narx") for p in (to_text, to_latex, repr_latex))
print(hashlib.sha256(whole.encode()).hexdigest())
"""


def _run(seed: str, script: str = SCRIPT) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True).stdout


def test_the_same_bytes_in_every_process():
    assert _run("1") == _run("271")
    assert _run("1", "print(hash('a'))") != _run("271", "print(hash('a'))")  # what the seeds do change


def test_text_and_latex_have_no_time_or_place_in_them():
    derivation = gradient(load("trajectory"))
    whole = to_text(derivation) + to_latex(derivation)
    assert str(ROOT) not in whole and "0x" not in whole
    assert hashlib.sha256(whole.encode()).digest() == hashlib.sha256((to_text(derivation) + to_latex(derivation)).encode()).digest()
