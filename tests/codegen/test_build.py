"""Build layer: toolchain, Cython, C compiler, loading."""

import array
import os
import stat
import subprocess
import sys
import sysconfig
from dataclasses import replace

import pytest

from codegen import environment
from codegen.build import compile_extension
from codegen.cythonize import write_c
from codegen.environment import describe, find_toolchain, fingerprint, installed_version
from codegen.loading import BuildError, load_extension

PYX = """
def double_all(size_t address, long n):
    cdef long i
    for i in range(n):
        (<double*> address)[i] *= 2
"""
ODD_NAME = """a b"c'd$HOME`é;&"""


@pytest.fixture(scope="module")
def library(toolchain, tmp_path_factory):
    return compile_extension(PYX, "doubling", tmp_path_factory.mktemp("plain"), toolchain)


def write_compiler(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def doubled(module):
    values = array.array("d", [1.0, -3.0])
    module.double_all(values.buffer_info()[0], 2)
    return list(values)


def test_library_runs_and_sys_modules_is_left_alone(library):
    assert doubled(load_extension(library, "doubling")) == [2.0, -6.0]
    assert "doubling" not in sys.modules
    sys.modules["doubling"] = os
    try:
        assert doubled(load_extension(library, "doubling")) == [2.0, -6.0]
        assert sys.modules["doubling"] is os
    finally:
        del sys.modules["doubling"]


def test_odd_folder_gives_the_same_bytes_in_silence(library, toolchain, tmp_path, monkeypatch, capfd):
    folder = tmp_path / ODD_NAME
    folder.mkdir()
    # From here Cython sees the source below the working folder, and would write the path into the C.
    monkeypatch.chdir(tmp_path)
    again = compile_extension(PYX, "doubling", folder, toolchain, includes=[folder])
    assert again.read_bytes() == library.read_bytes()
    assert sorted(os.listdir(folder)) == sorted(os.listdir(library.parent)) == [again.name, "doubling.pyx"]
    assert doubled(load_extension(again, "doubling")) == [2.0, -6.0]
    assert os.getcwd() == str(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_c_names_no_folder(tmp_path, monkeypatch):
    source = tmp_path / "somewhere" / "doubling.pyx"
    source.parent.mkdir()
    source.write_text(PYX)
    monkeypatch.chdir(tmp_path)
    write_c(source, source.with_suffix(".c"), "doubling")
    text = source.with_suffix(".c").read_text()
    assert "doubling.pyx" in text and "somewhere" not in text
    # The sabotaged twin: the path as it stands is shortened and written.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(source), "absolute", lambda path: str(path)[1:])
        write_c(source, source.with_suffix(".c"), "doubling")
    assert "somewhere" in source.with_suffix(".c").read_text()


def test_cython_errors_reach_the_caller_only(toolchain, tmp_path, capfd):
    with pytest.raises(BuildError) as caught:
        compile_extension("def f():\n    return undeclared_name + (1\n", "broken", tmp_path, toolchain)
    message = str(caught.value)
    assert "cannot build broken: Cython refused" in message and "broken.pyx:" in message
    assert "retrograd doctor" in message and str(tmp_path) not in message
    assert capfd.readouterr() == ("", "")


def test_c_errors_carry_the_compilers_words(toolchain, tmp_path, capfd):
    source = 'cdef extern from *:\n    """\n    #error marmalade\n    """\n    pass\n'
    with pytest.raises(BuildError, match="(?s)cannot build broken.*marmalade.*retrograd doctor"):
        compile_extension(source, "broken", tmp_path, toolchain)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("stem", ["", "a b", "a.b", "../a", "é", "1a", "a" * 65, "a\n"])
def test_stems_that_name_no_module_are_refused(stem, tmp_path):
    with pytest.raises(ValueError, match="cannot name an extension module"):
        compile_extension(PYX, stem, tmp_path, None)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("echo 'fatal error: x.s: No space left on device' >&2; exit 1", OSError, "No space left"),
        ("echo 'x.c:1: fatal error: Python.h: No such file' >&2; exit 1", BuildError, "python3-dev"),
        ("kill -9 $$", BuildError, "(?s)killed by signal 9.*memory"),
        ("exit 0", BuildError, "ended with status 0"),
    ],
)
def test_compiler_failures_are_told_apart(script, error, words, tmp_path):
    compiler = write_compiler(tmp_path / "cc", script)
    fake = environment.Toolchain((compiler,), "1", (), "plain", ".so", ())
    with pytest.raises(error, match=words):
        compile_extension(PYX, "doubling", tmp_path, fake)


def test_vanished_compiler_is_named(tmp_path):
    fake = environment.Toolchain((str(tmp_path / "gone"),), "1", (), "plain", ".so", ())
    with pytest.raises(BuildError, match="gone cannot be run"):
        compile_extension(PYX, "doubling", tmp_path, fake)


def test_what_is_no_module_is_refused(tmp_path, library):
    (tmp_path / "text.so").write_text("not a library")
    with pytest.raises(BuildError, match="retrograd cache clear"):
        load_extension(tmp_path / "text.so", "text")
    with pytest.raises(BuildError, match="cannot be loaded"):
        load_extension(library, "another_name")


def test_no_setuptools_needed(library, tmp_path):
    # A fresh process, where importing setuptools or distutils fails.
    program = (
        "import sys; sys.modules['setuptools'] = sys.modules['distutils'] = None\n"
        "from pathlib import Path; from codegen.cythonize import write_c\n"
        f"write_c(Path({str(library.with_name('doubling.pyx'))!r}), Path({str(tmp_path / 'a.c')!r}), 'doubling')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert (tmp_path / "a.c").stat().st_size > 0


def test_no_compiler_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_toolchain() is None
    assert ("compiler", False) in [(what, fine) for what, _, fine in describe()]
    assert fingerprint()


def test_an_empty_path_entry_is_not_the_working_folder(tmp_path, monkeypatch):
    write_compiler(tmp_path / "gcc", "echo mine")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f":.:{tmp_path / 'none'}")
    assert find_toolchain() is None


@pytest.mark.parametrize("script", ["exit 1", "sleep 0", 'test "$1" = --version && echo fake 1'])
def test_compilers_that_do_not_work_are_none(script, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", write_compiler(tmp_path / "cc", script))
    assert find_toolchain() is None


def test_chosen_compiler_keeps_its_arguments(toolchain, monkeypatch):
    monkeypatch.setenv("CC", f"{toolchain.compiler[0]} -pipe")
    assert find_toolchain().compiler == (toolchain.compiler[0], "-pipe")


def test_native_flag_falls_back(toolchain, tmp_path, monkeypatch):
    refuse = f'for a in "$@"; do test "$a" = -march=native && exit 1; done; exec {toolchain.compiler[0]} -mtune=native'
    monkeypatch.setenv("CC", write_compiler(tmp_path / "cc", f'{refuse} "$@"'))
    found = find_toolchain()
    assert "-march=native" not in found.flags and "-O2" in found.flags
    assert found.isa != toolchain.isa


def test_flags_keep_denormals_and_no_debugging(toolchain):
    assert {"-O2", "-fno-math-errno", "-fno-trapping-math"} <= set(toolchain.flags)
    assert not {"-g", "-ffast-math", "-Ofast"} & set(toolchain.flags)
    assert toolchain.extension_suffix == sysconfig.get_config_var("EXT_SUFFIX")


def test_fingerprint_starts_no_process_and_is_stable(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a process was started")

    for name in ("Popen", "run"):
        monkeypatch.setattr(subprocess, name, refuse)
    assert fingerprint() == fingerprint()


def changed_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", write_compiler(tmp_path / "cc", "exit 0"))


@pytest.mark.parametrize(
    "change",
    [
        changed_compiler,
        lambda patch, _: patch.setattr(environment, "OPTIMISE", ("-O1",)),
        lambda patch, _: patch.setattr(environment, "GENERATOR", "other"),
        lambda patch, _: patch.setattr(environment, "_cpu", lambda: "another processor"),
        lambda patch, _: patch.setattr(environment, "_abi", lambda: "another Python"),
        lambda patch, _: patch.setattr(environment, "installed_version", lambda name: "0.0"),
        lambda patch, _: patch.setattr(environment, "_sources", lambda: [__file__]),
    ],
)
def test_every_part_of_the_fingerprint_counts(change, monkeypatch, tmp_path):
    before = fingerprint()
    change(monkeypatch, tmp_path)
    assert fingerprint() != before


def test_touching_a_compiler_changes_the_fingerprint(monkeypatch, tmp_path):
    path = write_compiler(tmp_path / "cc", "exit 1")
    monkeypatch.setenv("CC", path)
    before = fingerprint()
    os.utime(path, (1, 1))
    assert fingerprint() != before


def test_versions_are_those_that_import_says():
    import numpy

    assert installed_version("numpy") == numpy.__version__
    assert installed_version("no-such-distribution") is None


def test_doctor_rows(toolchain):
    rows = {what: (found, fine) for what, found, fine in describe()}
    assert rows["compiler"][0].startswith(toolchain.version)
    assert {"python", "numpy", "cython", "scipy", "python headers", "cache folder", "platform", "flags"} <= set(rows)


def test_doctor_sees_a_bad_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "open"))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(stat.S_IRWXU | stat.S_IRWXG)
    rows = {what: (found, fine) for what, found, fine in describe()}
    assert not rows["cache folder"][1] and "others can write" in rows["cache folder"][0]


def test_toolchain_is_frozen(toolchain):
    with pytest.raises(AttributeError):
        toolchain.isa = "other"
    assert replace(toolchain, isa="other") != toolchain
