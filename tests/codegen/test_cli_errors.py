"""Bad input: a message that says where and what, exit status 2, and never a traceback."""

import os
import warnings

import pytest

import codegen.driver
import derive.language
from codegen.cache import Cache
from codegen.commands import failures
from codegen.commands.inputs import plain_name
from tests.codegen.command_line import SMALL, refused, run

LOOP = "h[t]: n = tanh(a*h[t-1] + "
BAD = {
    "unknown name": (f"a: n\n{LOOP}W @ q[t-1])\n", ["2:", "W", "^", "declare"]),
    "shapes differ": (f"a: n\nb: m\n{LOOP}b)\n", ["3:16", "shapes differ", "(n)", "(m)", "^"]),
    "mixed signs": ("a[t]: n = tanh(b[t+1])\nb[t]: n = tanh(a[t-1])\n", ["a[t]", "b[t]", "cycle", "both signs"]),
    "two objectives": (SMALL + "F = minimize(sum(norm2(h[t]) for t in steps))\n", ["5:1", "two objectives", "E", "F"]),
    "import": ("a: n\nx: n = __import__('os')\n", ["2:8", "__import__", "^"]),
    "attribute": ("h: n\nE = minimize(h.T.__class__)\n", ["2:", "__class__", "^"]),
    "tower of powers": ("a: n\nx: n = a*9**9**9\n", ["2:", "exponent", "^"]),
    "a megabyte": ("# " + "x" * 2**20 + "\n", ["too long", "65536"]),
    "nested": ("x: n = " + "(" * 20_000 + "1" + ")" * 20_000 + "\n", ["nested"]),
    "out of stack": ("x: n = " + "-" * 30_000 + "1\n", ["nested too deeply"]),
    "empty": ("", ["declares and defines nothing"]),
}


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch, tmp_path):
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(codegen.driver, "find_toolchain", lambda: None)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.rec"
    path.write_text(SMALL)
    return path


@pytest.mark.parametrize("command", ["derive", "check"])
@pytest.mark.parametrize("case", BAD)
def test_bad_recurrences(case, command, tmp_path):
    text, words = BAD[case]
    path = tmp_path / "bad.rec"
    path.write_text(text)
    said = refused(command, path)
    assert "bad.rec" in said and all(word in said for word in words), said
    assert len(said) < 1500


def test_messages_with_a_place_begin_with_it(tmp_path):
    path = tmp_path / "bad.rec"
    path.write_text(BAD["import"][0])
    assert refused("derive", path).startswith(f"{path}:2:8: ")
    assert refused("derive", "-", given=BAD["import"][0]).startswith("<stdin>:2:8: ")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary.rec").write_bytes(bytes(range(256)))
    assert "No such file" in refused("check", tmp_path / "missing.rec")
    assert "directory" in refused("check", tmp_path)
    assert "UTF-8" in refused("check", tmp_path / "binary.rec")
    assert "UTF-8" in refused("check", "-", given=b"\xff\xfe")
    assert "did you mean elman?" in refused("derive", "elmann")
    assert "FILE is empty" in refused("derive", "")


@pytest.mark.parametrize("dims", ["n", "n=", "n=0", "n=-1", "n=1.5", "=3", "", ",", "n=3,", "n=3;m=4", "n=3,n=4", "n=1e3", "1=1"])
@pytest.mark.parametrize("command", ["check", "bench"])
def test_dims_of_a_wrong_form(dims, command, small):
    said = refused(command, small, "--dims", dims)
    assert "--dims" in said and ("n=5" in said or "at least 1" in said or "twice" in said)


@pytest.mark.parametrize("command", ["check", "bench"])
def test_dims_that_do_not_exist(command, small):
    assert "small has no dim q; it has n" in refused(command, small, "--dims", "q=3")


def test_peers_that_are_not_installed_or_do_not_cover(small, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = refused("bench", small, "--against", "numpy,jax")
    assert "jax is not installed" in said and "pip install jax" in said
    monkeypatch.undo()
    pytest.importorskip("jax")
    assert "x is a steady state" in refused("bench", "settle", "--against", "jax")


def test_other_options(small, tmp_path):
    assert "'--steps': 0 is not in the range" in refused("check", small, "--steps", "0")
    assert "'--batch': 0 is not in the range" in refused("check", small, "--batch", "0")
    assert "'--seed'" in refused("check", small, "--seed", "-1")
    assert "float32" in refused("check", small, "--dtype", "int8")
    assert "not a peer" in refused("bench", small, "--against", "fortran")
    assert "nothing to time" in refused("bench", small)
    assert "'-o'" in refused("generate", small)
    assert "No such command" in refused("frobnicate")


def test_not_enough_memory(small):
    assert "not enough memory" in refused("check", small, "--dims", "n=999999999", "--steps", "100000")


@pytest.mark.parametrize("command", ["check", "generate"])
def test_abstract_functions_are_only_derived(command, tmp_path):
    path = tmp_path / "abstract.rec"
    path.write_text("f: function\nW: (n, n)\nx: n = f(W @ x)\nE = minimize(norm2(x))\n")
    said = refused(command, path, *(["-o", tmp_path / "out"] if command == "generate" else []))
    assert "f = lambda u: tanh(u)" in said and not (tmp_path / "out").exists()
    assert run("derive", path).exit_code == 0


def test_a_steady_state_that_is_not_found(tmp_path):
    """No verdict, so neither 0 nor 1: x = exp(x) + 1 has no solution."""
    path = tmp_path / "never.rec"
    path.write_text("b: n\nx: n = exp(x) + 1 + b**2\nE = minimize(norm2(x))\n")
    result = run("check", path)
    assert result.exit_code == 2 and "no steady state found for x" in result.stderr and "--seed" in result.stderr


def test_forms_that_are_not_to_be_had(small, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "pdflatex, which is missing" in refused("derive", small, "--format", "pdf")
    assert "No such file" in refused("derive", small, "-o", tmp_path / "missing" / "a.tex")


def test_what_pdflatex_refuses(small, monkeypatch, tmp_path):
    program = tmp_path / "pdflatex"
    program.write_text("#!/bin/sh\necho '! Undefined control sequence.'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said = refused("derive", small, "--format", "pdf")
    assert "! Undefined control sequence." in said and "--format latex" in said


def test_an_untrusted_cache(monkeypatch, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "open"))
    assert "others can write to it" in refused("cache", "list") and "others can write" in refused("cache", "clear")


# -- what is not the user's fault


def test_faults_of_ours(small, monkeypatch):
    def broken(*arguments):
        raise KeyError("h")

    monkeypatch.setattr(derive.language, "parse", broken)
    result = run("derive", small)
    assert result.exit_code == 70 and "Traceback" not in result.stderr and len(result.stderr.splitlines()) == 1
    assert "KeyError" in result.stderr and "report" in result.stderr
    monkeypatch.setenv("RETROGRAD_DEBUG", "1")
    assert "Traceback" in run("derive", small).stderr


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device"), 2, "No space left"),
        (UnicodeEncodeError("latin-1", "─", 0, 1, "no"), 2, "PYTHONIOENCODING"),
        (TypeError("x has dtype object"), 2, "error: x has dtype object"),
        (ZeroDivisionError("division by zero"), 70, "unexpected"),
    ],
)
def test_exit_status_by_exception(error, status, words, capsys):
    assert failures.explain(error) == status
    assert words in capsys.readouterr().err


def test_warnings_of_others_are_not_shown(small, monkeypatch):
    def warn(self, key):
        warnings.warn("not ours", RuntimeWarning, stacklevel=1)

    monkeypatch.setattr(Cache, "recall", warn)
    assert "not ours" not in run("check", small, "--steps", "1").stderr
    monkeypatch.setenv("RETROGRAD_DEBUG", "1")
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *rest: shown.append(str(message)))
    run("check", small, "--steps", "1")
    assert "not ours" in shown


@pytest.mark.parametrize("stem", ["a b", 'x"""\nimport os', "é", "1st", "", "__", "a" * 300, "ok_1"])
def test_names_of_files_become_plain(stem):
    name = plain_name(stem)
    assert name.isidentifier() and name.isascii() and len(name) <= 72
