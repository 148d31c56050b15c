"""The process that loads Cython ahead: the same C as here, errors told, and a process that dies is done without."""

import subprocess
import sys

import pytest

from codegen import translator
from codegen.cythonize import CythonError
from codegen.translator import begun, translate_here

SOURCE = "# cython: language_level=3\ncdef extern from *:\n    ctypedef struct C:\n        int a\n\ndef twice(int n):\n    return 2*n\n"


@pytest.fixture
def apart(monkeypatch):
    """As in a process that has not loaded Cython."""
    monkeypatch.setattr(translator, "_started", [])
    monkeypatch.delitem(sys.modules, "Cython.Compiler.Main", raising=False)


def translated(translate, folder, text=SOURCE):
    folder.mkdir()
    source = folder / "twice.pyx"
    source.write_text(text)
    translate(source, source.with_suffix(".c"), "twice", ())
    return source.with_suffix(".c").read_bytes()


def test_another_process_writes_the_same_c(apart, tmp_path):
    with begun() as translate:
        assert translate is not translate_here
        found = translated(translate, tmp_path / "there")
    assert found == translated(translate_here, tmp_path / "here") and b"twice" in found


def test_only_the_first_source_has_a_process(apart):
    with begun() as first, begun() as second:
        assert first is not translate_here and second is translate_here


def test_what_cython_refuses_is_told(apart, tmp_path):
    with begun() as translate, pytest.raises(CythonError, match="undeclared name"):
        translated(translate, tmp_path / "there", "def f():\n    return nowhere\n")


@pytest.mark.parametrize("end", ["raise SystemExit(1)", "print('no json', flush=True)"])
def test_a_process_that_fails_is_done_without(apart, monkeypatch, tmp_path, end):
    monkeypatch.setattr(translator, "BEGIN", end)
    with begun() as translate:
        assert b"twice" in translated(translate, tmp_path / "there")


def test_no_process_is_left_where_nothing_is_translated(apart, monkeypatch):
    made, start = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *how, **more: made.append(start(*how, **more)) or made[-1])
    with pytest.raises(ValueError, match="refused"), begun():
        raise ValueError("refused")
    assert len(made) == 1 and made[0].poll() is not None


def test_a_first_kernel_leaves_cython_to_the_other_process(tmp_path):
    code = (
        "import sys, codegen; from codegen.cache import Cache; from pathlib import Path\n"
        f"codegen.compile('a: scalar\\nE = minimize(a**2)\\n', cache=Cache(Path({str(tmp_path)!r})))\n"
        "print([name for name in sys.modules if name.startswith('Cython.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr
