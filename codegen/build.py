"""Build: Cython source -> extension module on disk.

Cython runs where the caller says, the C compiler in a process of its own; neither depends on the working folder or changes it. Decides
nothing about where results are kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from codegen.compiling import Compilation, Runtime, explain
from codegen.environment import Toolchain
from codegen.loading import BuildError
from codegen.translator import Translate, translate_here


def compile_extension(
    pyx: str,
    stem: str,
    folder: Path,
    toolchain: Toolchain,
    *,
    includes: Sequence[Path] = (),
    extra_flags: Sequence[str] = (),
    translate: Translate = translate_here,
    runtime: str | None = None,
) -> Path:
    """Compile Cython source text `pyx` into the module `stem` inside `folder`; the library's path.

    Keeps the source beside the library, `stem`.pyx; prints nothing. Headers in `includes` and `extra_flags` decide
    what comes out, so they belong in the key of `codegen.cache.artefact_key`. translate: Cython, here or elsewhere.
    runtime: C source of what the module shares with others and then leaves out itself; compiled while Cython works, once in a process.
    Raises: ValueError for a stem that cannot name a module, BuildError with the compiler's words, OSError where the
    folder cannot be written or is full.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", stem):
        raise ValueError(f"{stem!r} cannot name an extension module: use at most 64 ASCII letters, digits and _")
    folder = folder.absolute()
    source, intermediate = folder / f"{stem}.pyx", folder / f"{stem}.c"
    source.write_text(pyx, encoding="utf-8")
    library = folder / f"{stem}{toolchain.extension_suffix}"
    shared = Runtime(runtime, stem, folder, toolchain, extra_flags) if runtime is not None else None
    try:
        _translate(translate, source, intermediate, stem, includes)
        given = shared.parts() if shared else []
        Compilation(intermediate, library, stem, toolchain, includes, [*given, *extra_flags]).end()
    finally:
        intermediate.unlink(missing_ok=True)
        if shared:
            shared.leave()
    return library


def _translate(translate: Translate, source: Path, intermediate: Path, stem: str, includes: Sequence[Path]) -> None:
    from codegen.cythonize import CythonError

    try:
        translate(source, intermediate, stem, includes)
    except ImportError as problem:
        raise BuildError(f"cannot build {stem}: Cython is missing ({problem}); `pip install cython`") from problem
    except CythonError as problem:
        raise BuildError(explain(stem, "Cython refused the generated source", str(problem))) from problem
