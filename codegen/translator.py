"""Translator: a process that loads Cython's compiler while a recurrence is still being derived, and then translates one source.

Cython takes half a second to load and to build its scanner, once in every process. A process that has done so already, or
that cannot start another, translates by itself.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

Translate = Callable[[Path, Path, str, Sequence[Path]], None]
SOURCE = Path(__file__).with_name("cythonize.py")
BEGIN = """
import importlib.util, json, sys
sys.path[:] = json.loads(sys.argv[2])
spec = importlib.util.spec_from_file_location("cythonize", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.serve()
"""


def translate_here(pyx: Path, c: Path, stem: str, includes: Sequence[Path] = ()) -> None:
    """Translate in this process. Raises: CythonError; ImportError where there is no Cython."""
    from codegen.cythonize import write_c

    write_c(pyx, c, stem, includes)


@contextlib.contextmanager
def begun() -> Iterator[Translate]:
    """What translates one source: a process that begins now, and ends on leaving; this process where Cython is loaded already."""
    if "Cython.Compiler.Main" in sys.modules or _started or not sys.executable:
        yield translate_here
        return
    import subprocess  # which a kernel from the cache does without

    _started.append(True)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(SOURCE), json.dumps(sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    except OSError:
        yield translate_here
        return
    with process:
        try:
            yield lambda *job: _ask(process, *job)
        finally:
            process.kill()


_started: list[bool] = []  # once: the next source is translated as fast by a process that has Cython loaded


def _ask(process: subprocess.Popen[str], pyx: Path, c: Path, stem: str, includes: Sequence[Path] = ()) -> None:
    """Have a process translate, or translate here where it has failed. Raises: as `translate_here`."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps([str(pyx), str(c), stem, [str(folder) for folder in includes]]) + "\n")
        process.stdin.flush()
        said = json.loads(process.stdout.readline())
    except (OSError, ValueError):
        translate_here(pyx, c, stem, includes)
        return
    if said is not None:
        from codegen.cythonize import CythonError

        raise CythonError(said)
