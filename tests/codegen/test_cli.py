"""The command line: what commands print, their exit status, and what they import."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

import codegen.driver
from codegen.cache import Cache
from codegen.kernel import Compiled, Run
from codegen.peers.reference import variants
from derive import files
from derive.language import load, parse
from tests.codegen.command_line import ROOT, SMALL, hear_interrupts, refused, run, start

COMMANDS = ("derive", "generate", "check", "bench", "zoo", "doctor", "cache")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETROGRAD_CACHE", str(tmp_path_factory.mktemp("kernels") / "cache"))
        yield


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.rec"
    path.write_text(SMALL)
    return path


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setattr(codegen.driver, "find_toolchain", lambda: None)
    # What an earlier test has compiled would be found.
    monkeypatch.setattr(Cache, "recall", lambda self, key: None)


@pytest.fixture
def wrong_gradient(monkeypatch):
    right = Run.backward

    def backward(self, *arguments, **options):
        return {label: 1.01 * gradient for label, gradient in right(self, *arguments, **options).items()}

    monkeypatch.setattr(Run, "backward", backward)


# -- help, version, lists


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("cache", "list"), ("cache", "clear")])
def test_help_shows_examples(command):
    result = run(*command, "--help")
    assert result.exit_code == 0 and f"retrograd {' '.join(command[:1])}".strip() in result.stdout
    assert "Examples:" in result.stdout and result.stderr == ""


def test_help_lists_every_command():
    assert [line.split()[0] for line in run("--help").stdout.split("Commands:\n")[1].splitlines()[:7]] == list(COMMANDS)


def test_version():
    name, version = run("--version").stdout.split()
    assert name == "retrograd" and version[0].isdigit()


def test_zoo_lists_titles_and_prints_files():
    lines = run("zoo").stdout.splitlines()
    assert [line.split()[0] for line in lines] == files.stock_names()
    assert all(re.fullmatch(r"\w+ +\S.* \(.*\w, (19|20)\d\d.*\)\.", line) for line in lines), lines
    assert run("zoo", "elman").stdout.encode() == files.read_file("elman")[0]
    assert "did you mean lstm?" in refused("zoo", "lsmt")


def test_light_commands_import_nothing_heavy(tmp_path):
    script = """
import sys
from codegen.cli import cli
for arguments in (["--help"], ["check", "--help"], ["--version"], ["zoo"], ["zoo", "gru"], ["cache", "list"], ["doctor"]):
    try:
        cli(arguments)
    except SystemExit:
        pass
    heavy = {"sympy", "Cython", "numpy", "scipy", "jinja2", "rich"} & set(sys.modules)
    assert not heavy, (arguments, heavy)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RETROGRAD_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- derive


def test_derive_as_text_and_latex(small):
    text, latex = run("derive", small).stdout, run("derive", small, "--format", "latex").stdout
    assert "sensitivity" in text and "tanh" in text and max(map(len, text.splitlines())) <= 100
    assert latex.startswith("\\documentclass") and latex.rstrip().endswith("\\end{document}")


def test_derive_as_a_recurrence_that_reads_back(small):
    assert {"a_bar", "h_bar"} <= set(parse(run("derive", small, "--format", "rec").stdout).named)


def test_derive_takes_stdin_and_says_what_it_infers():
    result = run("derive", "-", given="x: n = f(W @ x)\nf: function\n")
    assert result.exit_code == 0 and "W is taken as a parameter" in result.stderr
    assert "W is taken" not in result.stdout and "Wᵀ" in result.stdout
    assert "note" not in run("derive", "elman").stderr


def test_derive_chooses_the_format_by_the_suffix(small, tmp_path):
    beginnings = {"a.tex": "\\documentclass", "a.rec": "x[t]: n", "a.txt": "Gradient of", "a.html": "<!DOCTYPE html>"}
    for name, beginning in beginnings.items():
        result = run("derive", small, "-o", tmp_path / name)
        assert result.exit_code == 0 and result.stdout == "" and "written" in result.stderr
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(beginning)


def test_derive_forward_sensitivities(small):
    text = run("derive", "elman", "--sensitivities", "--wrt", "W, h[0]", "--format", "rec").stdout
    assert {"h_by_W", "h_by_h_init", "W_bar"} <= set(parse(text).named) and "h_by_U" not in text
    assert run("derive", small, "--sensitivities").stdout.startswith("Forward sensitivities of: ")
    assert "sensitivities are by W, U, b, V, c, h[0]" in refused("derive", "elman", "--sensitivities", "--wrt", "Q")
    assert "--wrt goes with --sensitivities" in refused("derive", "elman", "--wrt", "W")


def test_derive_as_one_page(small):
    page = run("derive", small, "--format", "html").stdout
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_derive_as_pdf(small, tmp_path):
    assert run("derive", small, "-o", tmp_path / "a.pdf").exit_code == 0
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF") and content.rstrip().endswith(b"%%EOF")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "small.rec"]


# -- check


def test_check_compiles_once_and_passes(small):
    """Once in a process of its own, then in this one, which finds the kernel in the cache."""
    process = start("check", small, "--json")
    out, err = process.communicate()
    report = json.loads(out)
    assert process.returncode == 0 and report["passed"] is True and err == ""
    assert len(Cache().entries()) == 1
    again = run("check", small, "--json", "--seed", "0")
    assert again.exit_code == 0 and json.loads(again.stdout) == report
    assert len(Cache().entries()) == 1
    listed = run("cache", "list")
    assert "small" in listed.stdout and "1 kernel," in listed.stderr


def test_check_of_a_wrong_gradient_fails(small, wrong_gradient):
    for form in ((), ("--json",)):
        result = run("check", small, *form)
        assert result.exit_code == 1 and "failed: " in result.stdout


def test_check_takes_sizes_and_a_seed(small, no_compiler):
    result = run("check", small, "--dims", "n=4", "--steps", "3", "--batch", "2", "--seed", "5", "--json")
    report = json.loads(result.stdout)
    shapes = {quantity["name"]: quantity["shape"] for quantity in report["quantities"]}
    assert result.exit_code == 0 and shapes == {"a": [4], "h[0]": [2, 4], "x": [3, 2, 4]} and report["seed"] == 5


def test_check_weakly_passed_is_passed(small, no_compiler):
    result = run("check", small, "--steps", "1")
    assert result.exit_code == 0 and "passed, weak: T = 1" in result.stdout


def test_without_a_compiler_one_warning(small, no_compiler):
    result = run("check", small)
    assert result.exit_code == 0 and result.stdout.endswith("passed\n")
    assert result.stderr.count("warning: no C compiler was found") == 1 and len(result.stderr.splitlines()) == 1


def test_without_a_compiler_for_real(small, monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    result = run("check", small)
    assert result.exit_code == 0 and "no C compiler" in result.stderr
    assert run("doctor").exit_code == 1 and "kernels cannot be built: compiler" in run("doctor").stdout


def test_doctor_is_content_where_kernels_are_built():
    result = run("doctor")
    assert result.exit_code == 0 and result.stdout.splitlines()[-1] == "kernels can be built"


# -- bench


def test_bench_compares_then_times(small):
    result = run("bench", small, "--dims", "n=3", "--steps", "4", "--batch", "2", "--repeat", "1")
    assert result.exit_code == 0 and "small, float64: T = 4, B = 2, n = 3" in result.stdout
    assert "results agree" in result.stdout and "value and gradient" in result.stdout


def test_bench_of_a_wrong_kernel_times_nothing(small, monkeypatch):
    monkeypatch.setattr(Compiled, "together", lambda self, phase, actions, t0, t1: ())
    result = run("bench", small, "--dims", "n=3", "--steps", "4", "--repeat", "1")
    assert result.exit_code == 1 and "results differ" in result.stdout and "median" not in result.stdout


def test_bench_against_jax(small, monkeypatch):
    pytest.importorskip("jax")
    options = ("bench", small, "--dims", "n=3", "--steps", "4", "--batch", "2", "--repeat", "1", "--against", "jax,numpy")
    result = run(*options)
    assert result.exit_code == 0 and "results agree with jax's" in result.stdout and "results agree with numpy's" in result.stdout
    assert "value and gradient" in result.stdout
    wrong = lambda *how: [source.replace("jnp.tanh(", "1.01 * jnp.tanh(") for source in variants(*how)]  # noqa: E731
    monkeypatch.setattr("codegen.peers.racing.variants", wrong)
    result = run(*options)
    assert result.exit_code == 1 and "results differ from jax's" in result.stdout and "median" not in result.stdout


# -- cache


def test_cache_clear(monkeypatch, tmp_path):
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "entries" / ("0" * 64)).mkdir(parents=True)
    (tmp_path / "cache").chmod(0o700)
    (tmp_path / "cache" / "building").mkdir()
    (tmp_path / "cache" / "entries" / ("0" * 64) / "retrograd_elman_main.pyx").write_text("")
    assert "elman " in run("cache", "list").stdout
    assert "1 kernel removed" in run("cache", "clear").stderr
    result = run("cache", "list")
    assert result.stdout == "" and "0 kernels" in result.stderr


# -- how processes end


def test_a_closed_pipe_is_quiet():
    """The reader goes away before anything is written."""
    process = start("derive", "elman", "--format", "latex")
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 141


def test_interrupted(tmp_path):
    """Once the process has opened the file, it waits for text; there it is interrupted."""
    pipe = tmp_path / "pipe.rec"
    os.mkfifo(pipe)
    process = start("derive", pipe, preexec_fn=hear_interrupts)
    with pipe.open("w"):
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


def test_module_is_the_command():
    process = start("zoo", "settle")
    assert process.communicate() == (files.read_file("settle")[0].decode(), "") and process.returncode == 0


def test_stock_recurrences_have_nothing_to_remark_that_is_said():
    assert load("elman").notes and run("derive", "elman", "--format", "rec").stderr == ""
