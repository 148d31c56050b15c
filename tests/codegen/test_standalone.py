"""A generated folder builds and runs without retrograd, its own test can fail, and nothing is overwritten."""

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from codegen import standalone
from derive.errors import RecurrenceError
from derive.language import load, parse
from tests.codegen.command_line import ROOT, SMALL, refused, run

# Runs where neither retrograd nor this checkout can be found; argv: built packages, the generated folder.
PROOF = """
import sys
sys.path[:0] = sys.argv[1:]
import test_gradient as generated

class Wrong:
    def __init__(self, kernel, change):
        self.kernel, self.change = kernel, change
    def forward(self, values, **sizes):
        self.run = self.kernel.forward(values, **sizes)
        return self
    def backward(self, *cotangents):
        found = self.run.backward(*cotangents)
        return {**found, **{label: self.change(found[label]) for label in ("a",)}}

generated.test_gradient()
generated.test_float32()
changes = {"sign": lambda g: -g, "scale": lambda g: 1.01*g, "order": lambda g: g[::-1], "nothing": lambda g: 0*g, "nan": lambda g: g/0*0}
for test, kernel in ((generated.test_gradient, generated.reference), (generated.test_float32, generated.small_kernel.kernel)):
    for name, change in changes.items():
        try:
            test(kernel=Wrong(kernel, change))
        except AssertionError:
            continue
        sys.exit(f"{test.__name__} accepts a wrong gradient: {name}")
import small_kernel, numpy
value, grads = small_kernel.value_and_grad({"a": numpy.ones(2, "f4"), "x": numpy.ones((3, 2), "f4")})
assert grads["x"].shape == (3, 2) and grads["a"].dtype == numpy.float32
try:
    small_kernel.value_and_grad({"a": numpy.ones(2, "f4"), "y": 0})
except ValueError as problem:
    assert "takes no argument 'y'" in str(problem)
import pickle
assert pickle.loads(pickle.dumps(small_kernel.kernel)) is small_kernel.kernel
heavy = {"derive", "codegen", "sympy", "Cython", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


def texts(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder for float32, generated and built by its own setup.py; without -O2, which is not what is tested."""
    folder = tmp_path_factory.mktemp("a folder's é")
    standalone.generate(parse(SMALL, "small"), folder / "small", "float32")
    setup = folder / "small" / "setup.py"
    setup.write_text(setup.read_text().replace('"-O2"', '"-O0"'))
    command = [sys.executable, "setup.py", "--quiet", "build", "--build-lib", str(folder / "lib")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder / "small", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def isolated(folder, *arguments):
    return subprocess.run([sys.executable, "-I", *arguments], cwd=folder, capture_output=True, text=True)


def test_it_runs_alone_and_its_test_can_fail(built):
    done = isolated(built, "-c", PROOF, "lib", "small")
    assert done.returncode == 0, done.stderr
    assert "a  relative error" in done.stdout


def test_what_is_built_holds_all_that_is_needed(built):
    found = names(built / "lib" / "small_kernel")
    assert {"__init__.py", "signature.json", "_runtime/kernel.py", "_runtime/LICENSE"} <= found
    assert sum(name.endswith((".so", ".pyd")) for name in found) == 2


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["settle", "lstm"])
def test_the_same_bytes_each_time(name, dtype, tmp_path):
    written = standalone.generate(load(name), tmp_path / "a", dtype)
    assert written == sorted(written) and all(path.is_file() for path in written)
    standalone.generate(load(name), tmp_path / "b", dtype)
    first = texts(tmp_path / "a")
    assert first == texts(tmp_path / "b")
    assert (f"src/{name}_kernel/_float32.pyx" in first) is (dtype == "float32")
    for path, text in first.items():
        if path.endswith(".py"):
            ast.parse(text)
        assert "{{ " not in text and "{% " not in text and str(ROOT) not in text and "\t" not in text


def test_the_recurrence_files_read_back(tmp_path):
    standalone.generate(load("elman"), tmp_path)
    gradient = parse((tmp_path / "elman_gradient.rec").read_text())
    assert {"W_bar", "s_h"} <= set(gradient.named)
    assert parse((tmp_path / "elman.rec").read_text()).named.keys() == load("elman").named.keys()
    readme = (tmp_path / "README.md").read_text()
    assert "| `W` | (n, n) | parameter |" in readme and "`h[0]`" in readme and "value_and_grad" in readme


def test_without_an_objective(tmp_path):
    standalone.generate(parse("h[t]: n = tanh(W @ h[t-1])\n", "free"), tmp_path)
    readme = (tmp_path / "README.md").read_text()
    assert "value_and_grad" not in readme and 'run.backward({"h": cotangent})' in readme
    assert 'program.results["pullback"]' in (tmp_path / "test_gradient.py").read_text()


def test_the_runtime_needs_numpy_alone():
    modules = standalone.runtime()
    assert {"kernel.py", "execute.py", "steady.py", "convergence.py"} <= set(modules)
    imported = {name.split(".")[0] for text in modules.values() for name in standalone._imported(text)}
    local = {name.removesuffix(".py") for name in modules}
    local |= {name.split(".")[1] for name in (*standalone.UNREACHED, standalone.CONSTRAINTS)}
    assert imported - local <= {"numpy", *sys.stdlib_module_names}
    constrained = standalone.runtime(constrained=True)
    assert set(constrained) - set(modules) == {"constraints.py", "affine.py", "allowed.py", "numerics.py"}
    assert not any(name.split(".")[0] in standalone.FORBIDDEN for text in constrained.values() for name in standalone._imported(text))


def test_constrained_parameters_need_scipy(tmp_path):
    standalone.generate(parse(SMALL + "assert sum(a) == 1\n", "small"), tmp_path / "small")
    assert 'dependencies = ["numpy>=1.26", "scipy>=1.11"]' in (tmp_path / "small" / "pyproject.toml").read_text()
    assert "Needs NumPy and SciPy to run" in (tmp_path / "small" / "README.md").read_text()
    ast.parse((tmp_path / "small" / "test_gradient.py").read_text())
    standalone.generate(parse(SMALL, "small"), tmp_path / "plain")
    assert 'dependencies = ["numpy>=1.26"]' in (tmp_path / "plain" / "pyproject.toml").read_text()


def test_a_runtime_that_needs_more_is_refused(monkeypatch):
    monkeypatch.setattr(standalone, "ROOTS", ("kernel", "unknowns"))
    with pytest.raises(ImportError, match=r"codegen\.\w+ imports \w+"):
        standalone.runtime()


def test_the_licence_is_the_projects():
    assert (standalone.TEMPLATES / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_hostile_names_are_made_plain(tmp_path):
    hostile = replace(parse(SMALL), name='x"""\nimport os #')
    for path in standalone.generate(hostile, tmp_path):
        assert path.relative_to(tmp_path).as_posix().replace("/", "").replace(".", "").replace("_", "").isalnum()
        assert '"""\nimport os' not in path.read_text()


def test_other_things_are_not_overwritten(tmp_path):
    recurrence = parse(SMALL, "small")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        standalone.generate(recurrence, tmp_path / "file")
    with pytest.raises(FileExistsError, match="holds other things"):
        standalone.generate(recurrence, tmp_path)
    assert texts(tmp_path) == {"file": "mine"}


def test_a_generated_folder_is_written_again(tmp_path):
    standalone.generate(parse(SMALL, "small"), tmp_path)
    (tmp_path / "setup.py").write_text("broken")
    standalone.generate(parse(SMALL, "small"), tmp_path)
    assert "cythonize" in (tmp_path / "setup.py").read_text()


def test_bad_input_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="float16"):
        standalone.generate(parse(SMALL), tmp_path / "a", "float16")
    with pytest.raises(RecurrenceError, match="without a definition"):
        standalone.generate(parse("f: function\nW: (n, n)\nx: n = f(W @ x)\n"), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_the_command(tmp_path):
    result = run("generate", "settle", "-o", tmp_path / "out", "--dtype", "float64")
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0 and paths == sorted(paths) and all(path.is_file() for path in paths)
    assert f"pip install {tmp_path / 'out'}" in result.stderr
    assert "holds other things" in refused("generate", "settle", "-o", tmp_path)
