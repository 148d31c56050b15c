"""Compiling: the runtime apart from a module, once in a process, and what is said where it fails."""

import os

import numpy as np
import pytest

from codegen import compiling
from codegen.build import compile_extension
from codegen.emit import emit, emit_runtime
from codegen.environment import Toolchain
from codegen.kernel import Kernel
from codegen.loading import BuildError, load_extension
from codegen.lower import lower
from derive.language import load

PYX = 'cdef extern from *:\n    """\n    SHARED int answer(void);\n    """\n    int answer()\ndef ask():\n    return answer()\n'


@pytest.fixture
def commands(monkeypatch):
    """What compilers were called with from here on; nothing was compiled before."""
    found, begin = [], compiling.Compilation.__init__
    monkeypatch.setattr(compiling, "_objects", {})

    def noted(self, source, *rest):
        found.append(source.name)
        begin(self, source, *rest)

    monkeypatch.setattr(compiling.Compilation, "__init__", noted)
    return found


def test_the_runtime_is_compiled_once_and_linked_to_every_module(toolchain, tmp_path, commands):
    for value in (42, 43, 42):
        folder = tmp_path / f"{len(commands)}"
        folder.mkdir()
        library = compile_extension(PYX, "asked", folder, toolchain, runtime=f"SHARED int answer(void) {{ return {value}; }}\n")
        assert load_extension(library, "asked").ask() == value
        assert sorted(os.listdir(folder)) == sorted(["asked.pyx", library.name])
    assert commands == ["asked_runtime.c", "asked.c", "asked_runtime.c", "asked.c", "asked.c"]


def test_a_broken_runtime_is_reported_and_leaves_nothing(toolchain, tmp_path, commands):
    with pytest.raises(BuildError, match="(?s)cannot build asked.*marmalade.*retrograd doctor"):
        compile_extension(PYX, "asked", tmp_path, toolchain, runtime="#error marmalade\n")
    assert os.listdir(tmp_path) == ["asked.pyx"] and not compiling._objects


def test_a_runtime_left_unused_is_stopped(toolchain, tmp_path, commands):
    slow = tmp_path / "cc"
    slow.write_text("#!/bin/sh\nexec sleep 100\n")
    slow.chmod(0o755)
    waiting = Toolchain((str(slow),), "1", (), "plain", ".so", ())
    with pytest.raises(BuildError, match="Cython refused"):
        compile_extension("def f(:\n", "broken", tmp_path, waiting, runtime="int x;\n")
    assert sorted(os.listdir(tmp_path)) == ["broken.pyx", "cc"]


@pytest.mark.parametrize("name", ["lstm", "equilibrium"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_modules_give_the_same_bits_with_their_runtime_inside_or_apart(toolchain, tmp_path, name, dtype):
    from oracles import stock_layouts

    program = lower(load(name))
    values = {label: np.asarray(value, dtype) for label, value in stock_layouts.draw(name, seed=2, steps=5, batch=3).items()}
    source, found = emit(program, dtype, None, ["forward", "gradient"]), []
    for place, runtime in enumerate((None, emit_runtime(program, dtype))):
        folder = tmp_path / str(place)
        folder.mkdir()
        library = compile_extension(source, "kernel", folder, toolchain, runtime=runtime)
        found.append(Kernel(program, dtype, load_extension(library, "kernel")).value_and_grad(values))
    (value, whole), (other, apart) = found
    assert value == other and all(np.array_equal(apart[label], whole[label]) for label in whole)
