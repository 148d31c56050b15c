"""The package's surface: what `import derive` offers, and what it leaves unimported."""

from __future__ import annotations

import subprocess
import sys

import derive


def test_every_name_is_there() -> None:
    for name in derive.__all__:
        assert getattr(derive, name) is not None, name


def test_importing_costs_no_sympy() -> None:
    program = "import sys, derive, codegen; print('sympy' in sys.modules, 'numpy' in sys.modules, 'Cython' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["False", "False", "False"]


def test_a_derivation_prints_itself_in_every_form() -> None:
    found = derive.gradient(derive.load("trajectory"))
    assert "sensitivity lemma" in found.to_text()
    assert found.to_latex().startswith("\\documentclass")
    assert not found.to_latex(document=False).startswith("\\documentclass")
    assert found._repr_latex_().startswith("$$")
    assert found.to_html().lstrip().lower().startswith("<!doctype html>")
    assert derive.parse(found.to_rec()).named.keys() >= {"W_bar"}
    assert [step.number for step in found.steps] == list(range(1, len(found.steps) + 1))


def test_no_module_hides_a_public_name() -> None:
    derive.gradient(derive.load("elman")).to_html()
    derive.tangent(derive.load("elman"))
    modules = [name for name in derive.__all__ if isinstance(getattr(derive, name), type(sys))]
    assert modules == []
