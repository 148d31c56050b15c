"""Cache: many processes, killed processes, fresh processes."""

import os
import shutil
import signal

import pytest

from codegen.cache import Cache
from codegen.environment import find_toolchain
from tests.codegen.cache_cases import KEY, QUICK, Counted, start, warned

# Arguments: cache folder, log of builds, 1 for no lock. Builds a real module (slowly), loads it and runs it.
ASK = """
import array, contextlib, sys, time
from pathlib import Path
from codegen import cache
from codegen.build import compile_extension
from codegen.environment import find_toolchain
from codegen.loading import load_extension
root, log, sabotaged = sys.argv[1:]
if sabotaged == "1":
    cache._locked = lambda root, key: contextlib.nullcontext()
def build(folder):
    with open(log, "a") as file:
        file.write("built\\n")
    time.sleep(0.5)
    if sabotaged == "1":
        (folder / "library").write_text("x")
        return "library"
    source = "def double_all(size_t address, long n):\\n    cdef long i\\n"
    source += "    for i in range(n):\\n        (<double*> address)[i] *= 2\\n"
    return compile_extension(source, "doubling", folder, find_toolchain()).name
key, quick = cache.quick_key("a source"), cache.quick_key("a text")
print("ready", flush=True)
sys.stdin.readline()
found = cache.Cache(Path(root)).fetch(key, quick, build, '{"n": 1}')
if sabotaged == "0":
    values = array.array("d", [21.0])
    load_extension(found.library, "doubling").double_all(values.buffer_info()[0], 1)
    print(values[0], found.signature)
"""

# Arguments: cache folder, where to stop. Prints a line when it is there, and waits to be killed.
HANG = """
import os, sys, time
from pathlib import Path
from codegen import cache
root, place = sys.argv[1:]
def hang(*arguments):
    print("there", flush=True)
    time.sleep(600)
def build(folder):
    (folder / "library").write_bytes(b"half")
    if place == "building":
        hang()
    (folder / "library").write_bytes(b"whole")
    return "library"
if place == "sealed":
    cache.os.replace = hang
if place == "displaced":
    remove = cache._remove
    cache._remove = lambda root, folder: (remove(root, folder), hang())
cache.Cache(Path(root)).fetch(cache.quick_key("a source"), cache.quick_key("a text"), build, "{}")
"""

# Arguments: cache folder. What a fresh process does with a kernel it has used before.
RECALL = """
import sys
from pathlib import Path
from codegen.cache import Cache, quick_key
from codegen.loading import load_extension
found = Cache(Path(sys.argv[1])).recall(quick_key("a text"))
if found is None:
    sys.exit(1)
load_extension(found.library, "doubling").double_all
print(sorted({"sympy", "Cython", "filelock"} & set(sys.modules)))
"""


def race(root, log, sabotaged, number=8):
    processes = [start(ASK, root, log, sabotaged) for _ in range(number)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    # All at once, when each has finished importing.
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in processes]
    return [process.returncode for process in processes], answers, log.read_text().count("built")


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    if find_toolchain() is None:
        pytest.skip("needs a C compiler")
    root = tmp_path_factory.mktemp("raced") / """a b"c'd$HOME`é;&"""
    return root, race(root, root.parent / "log", 0)


def test_eight_processes_build_once(raced):
    _, (statuses, answers, builds) = raced
    assert statuses == [0] * 8 and answers == ['42.0 {"n": 1}\n'] * 8
    assert builds == 1


def test_without_the_lock_they_build_more_than_once(tmp_path):
    assert race(tmp_path / "root", tmp_path / "log", 1, number=3)[2] > 1


def test_recalled_kernel_loads_without_sympy_and_cython(raced):
    process = start(RECALL, raced[0])
    assert process.communicate()[0] == "[]\n" and process.returncode == 0


@pytest.mark.parametrize("place", ["building", "sealed", "displaced"])
def test_killed_builders_leave_nothing_wrong(place, tmp_path):
    if place == "displaced":
        Cache(tmp_path).fetch(KEY, QUICK, Counted(), "{}")
        (tmp_path / "entries" / KEY / "library.so").write_text("damaged")
    process = start(HANG, tmp_path, place)
    assert process.stdout.readline() == "there\n"
    assert Cache(tmp_path).recall(QUICK) is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert os.listdir(tmp_path / "building")
    build = Counted("whole")
    with warned(0):
        found = Cache(tmp_path).fetch(KEY, QUICK, build, "{}")
    assert found.library.read_text() == "whole" and build.calls == 1
    assert os.listdir(tmp_path / "building") == []


def test_damaged_library_is_not_opened_and_the_new_one_runs(raced, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(raced[0], root)
    path = Cache(root).recall(QUICK).library
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    # A process that opened it would die of SIGBUS; this one finds nothing.
    process = start(RECALL, root)
    assert process.communicate()[0] == "" and process.returncode == 1
    Cache(root).fetch(KEY, QUICK, lambda into: path.name if (into / path.name).write_bytes(whole) else "", "{}")
    process = start(RECALL, root)
    assert process.communicate()[0] == "[]\n" and process.returncode == 0
