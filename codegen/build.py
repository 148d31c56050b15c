"""Build: Cython source -> extension module on disk.

Cython runs where the caller says, the C compiler in a process of its own; neither depends on the working folder or changes it. Decides
nothing about where results are kept.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

from codegen.environment import Toolchain
from codegen.loading import BuildError
from codegen.translator import Translate, translate_here

LAST_LINES = 20
# What compilers say when a disk or a quota is full.
FULL = {"No space left on device": errno.ENOSPC, "Disk quota exceeded": errno.EDQUOT}


def compile_extension(
    pyx: str,
    stem: str,
    folder: Path,
    toolchain: Toolchain,
    *,
    includes: Sequence[Path] = (),
    extra_flags: Sequence[str] = (),
    translate: Translate = translate_here,
) -> Path:
    """Compile Cython source text `pyx` into the module `stem` inside `folder`; the library's path.

    Keeps the source beside the library, `stem`.pyx; prints nothing. Headers in `includes` and `extra_flags` decide
    what comes out, so they belong in the key of `codegen.cache.artefact_key`. translate: Cython, here or elsewhere.
    Raises: ValueError for a stem that cannot name a module, BuildError with the compiler's words, OSError where the
    folder cannot be written or is full.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", stem):
        raise ValueError(f"{stem!r} cannot name an extension module: use at most 64 ASCII letters, digits and _")
    folder = folder.absolute()
    source, intermediate = folder / f"{stem}.pyx", folder / f"{stem}.c"
    source.write_text(pyx, encoding="utf-8")
    _translate(translate, source, intermediate, stem, includes)
    library = folder / f"{stem}{toolchain.extension_suffix}"
    try:
        _run_compiler(intermediate, library, stem, toolchain, includes, extra_flags)
    finally:
        intermediate.unlink(missing_ok=True)
    return library


def _translate(translate: Translate, source: Path, intermediate: Path, stem: str, includes: Sequence[Path]) -> None:
    from codegen.cythonize import CythonError

    try:
        translate(source, intermediate, stem, includes)
    except ImportError as problem:
        raise BuildError(f"cannot build {stem}: Cython is missing ({problem}); `pip install cython`") from problem
    except CythonError as problem:
        raise BuildError(_explain(stem, "Cython refused the generated source", str(problem))) from problem


def _run_compiler(
    source: Path,
    library: Path,
    stem: str,
    toolchain: Toolchain,
    includes: Sequence[Path],
    extra_flags: Sequence[str],
) -> None:
    import subprocess

    folders = [*toolchain.include, *(os.path.abspath(folder) for folder in includes)]
    # Bare names, because the compiler runs inside the folder: no path reaches the library, and none needs quoting.
    # Extra flags follow the source, where libraries have to stand.
    command = [*toolchain.compiler, *toolchain.flags, *(f"-I{folder}" for folder in folders)]
    command += [source.name, *extra_flags, "-o", library.name]
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": "."}
    try:
        done = subprocess.run(
            command,
            cwd=source.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except (FileNotFoundError, PermissionError) as problem:
        if not source.exists():
            raise
        what = f"the compiler {toolchain.compiler[0]} cannot be run"
        raise BuildError(_explain(stem, what, str(problem))) from problem
    said = done.stdout.decode(errors="replace")
    if done.returncode == 0 and library.exists():
        return
    for words, number in FULL.items():
        if words in said:
            raise OSError(number, words, str(source.parent))
    status = done.returncode
    ended = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    raise BuildError(_explain(stem, f"{' '.join(toolchain.compiler)} {ended}", said))


def _explain(stem: str, what: str, said: str) -> str:
    if "Python.h" in said:
        advice = "Python's headers are missing: install python3-dev (Debian), python3-devel (Fedora)."
    elif "killed by signal" in what:
        advice = "The machine may be out of memory; try again with fewer programs running."
    else:
        advice = "`retrograd doctor` shows what is found here. If all is fine there, this is a fault in retrograd."
    lines = [line for line in said.splitlines() if line.strip()][-LAST_LINES:]
    return "\n".join([f"cannot build {stem}: {what}", *(f"    {line}" for line in lines), advice])
