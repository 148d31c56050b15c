"""Cython: .pyx file -> C file, in this process, or in one that serves another (`codegen.translator`) and imports nothing else of ours.

Uses Cython's compiler itself, not its setuptools commands, so that setuptools is not needed. The C is the same bytes
wherever and whenever it is written: no absolute path, no date. Compiles no C.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# binding=False: plain built-in functions; Cython's own function type costs a quarter of the C and half of gcc's time.
DIRECTIVES: dict[str, Any] = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "embedsignature": False,
    "binding": False,
    "autotestdict": False,
    "emit_code_comments": False,
}

# Cython's compiler keeps global tables.
_one_at_a_time = threading.Lock()


class CythonError(RuntimeError):
    """Cython refused a source; the message is Cython's, with file, line and column."""


def write_c(pyx: Path, c: Path, stem: str, includes: Sequence[Path] = ()) -> None:
    """Translate `pyx` into the file `c`, as a module named `stem`; prints nothing.

    Raises: CythonError.
    """
    from Cython.Compiler.Errors import CompileError
    from Cython.Compiler.Main import compile_single
    from Cython.Compiler.Options import CompilationOptions

    options = CompilationOptions(  # type: ignore[no-untyped-call]
        output_file=str(c),
        include_path=[str(folder) for folder in includes],
        compiler_directives=dict(DIRECTIVES),
        c_line_in_traceback=False,
        use_listing_file=True,
        errors_to_stderr=False,
    )
    # Cython shortens paths below the working folder, which would then be part of the C. A path that begins with two
    # slashes is the same file and below no folder; Cython writes its last part only.
    source = f"/{pyx.absolute()}"
    listing = pyx.with_suffix(".lis")
    problem = ""
    with _one_at_a_time:
        try:
            result = compile_single(source, options, full_module_name=stem)  # type: ignore[no-untyped-call]
            failed = result.num_errors > 0
        except CompileError as error:
            failed, problem = True, str(error)
        except Exception as error:
            failed, problem = True, f"{type(error).__name__}: {error}"
    said = listing.read_text(encoding="utf-8", errors="replace") if listing.exists() else ""
    listing.unlink(missing_ok=True)
    if failed:
        raise CythonError(f"{said}{problem}".replace(source, pyx.name).strip())


def serve() -> None:
    """Load all of Cython's compiler, translate what one line of standard input asks for, and answer with what Cython said, or null."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.pyx"
        trial.write_text("x = 1\n")
        write_c(trial, trial.with_suffix(".c"), "trial")
    line = sys.stdin.readline()
    if line:
        pyx, c, stem, includes = json.loads(line)
        said = None
        try:
            write_c(Path(pyx), Path(c), stem, [Path(each) for each in includes])
        except CythonError as problem:
            said = str(problem)
        print(json.dumps(said), file=answers, flush=True)
