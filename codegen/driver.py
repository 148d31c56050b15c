"""The driver: text, path, stock name or Recurrence -> Kernel.

stage      input                      output
read       name or path               text
recall     text, options, machine     a cached kernel, with neither SymPy nor Cython imported; ends here where there is one
parse      text                       Recurrence
lower      Recurrence                 Program (derived, scheduled, verified)
emit       Program                    Cython source
build      source, toolchain          extension in the cache
load       extension                  Kernel
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from codegen.cache import Artefact, Cache, artefact_key, quick_key
from codegen.environment import find_toolchain, fingerprint
from codegen.kernel import Kernel
from codegen.signature import decode, encode
from derive.files import read_file

if TYPE_CHECKING:
    from codegen.program import Program
    from derive.recurrence import Recurrence

DTYPES = ("float32", "float64")


class CompilerWarning(UserWarning):
    """No compiler was found: kernels are interpreted, right but slow."""


def compile(  # noqa: A001
    recurrence: Recurrence | str | bytes | Path,
    dtype: str = "float64",
    dims: Mapping[str, int] | None = None,
    *,
    cache: Cache | None = None,
    progress: Callable[[str], None] | None = None,
) -> Kernel:
    """Derive, generate and build a kernel, or find it in the cache.

    recurrence: a Recurrence, text (anything with a line break), a path, or a stock name; dims: sizes fixed at compile time;
    progress: called with the name of each stage that runs. Where there is no compiler the kernel is interpreted, with one warning.
    Raises: RecurrenceError for text that cannot be read or computed; ValueError for options; BuildError with the compiler's words.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    fixed = {str(name): int(size) for name, size in sorted((dims or {}).items())}
    text, name, file = _text(recurrence)
    store = cache if cache is not None else Cache()
    quick = quick_key(text.decode("utf-8", "surrogateescape"), name, dtype, json.dumps(fixed), fingerprint())
    found = store.recall(quick)
    if found is not None:
        return _load(found, dtype, fixed)
    say = progress or (lambda stage: None)
    say("deriving")
    program = lower_text(recurrence, text, name, file)
    check_dims(program, fixed)
    toolchain = find_toolchain()
    if toolchain is None:
        warnings.warn(
            "no C compiler was found: kernels are interpreted, with right results but slowly; `retrograd doctor` says more",
            CompilerWarning, stacklevel=2,
        )  # fmt: skip
        return Kernel(program, dtype, None, fixed)
    from codegen.build import compile_extension
    from codegen.emit import emit

    say("generating")
    source = emit(program, dtype, fixed)
    stem = f"retrograd_{name}" if name.isidentifier() and name.isascii() and len(name) < 60 else "retrograd_kernel"
    say("compiling")
    artefact = store.fetch(
        artefact_key(source, toolchain), quick,
        lambda folder: compile_extension(source, stem, folder, toolchain).name,
        encode(program),
    )  # fmt: skip
    return _load(artefact, dtype, fixed)


def lower_text(recurrence: Recurrence | str | bytes | Path, text: bytes, name: str, file: str) -> Program:
    """Parse where needed, derive and lower."""
    from codegen.lower import lower
    from derive.language import parse

    return lower(parse(text, name, file) if isinstance(recurrence, (str, bytes, Path)) else recurrence)


def check_dims(program: Program, fixed: Mapping[str, int]) -> None:
    """Refuse sizes for dims that the recurrence does not have. Raises ValueError."""
    for name, size in fixed.items():
        if name not in program.dims:
            raise ValueError(f"{program.name} has no dim {name}; it has {', '.join(program.dims)}")
        if size < 1:
            raise ValueError(f"the dim {name} must be at least 1, not {size}")


def _text(recurrence: Recurrence | str | bytes | Path) -> tuple[bytes, str, str]:
    if isinstance(recurrence, bytes) or (isinstance(recurrence, str) and "\n" in recurrence):
        raw = recurrence if isinstance(recurrence, bytes) else recurrence.encode("utf-8", "surrogatepass")
        return raw, "recurrence", "recurrence.rec"
    if isinstance(recurrence, (str, Path)):
        return read_file(recurrence)
    from derive.writing import write

    return write(recurrence).encode(), recurrence.name, recurrence.file


def _load(artefact: Artefact, dtype: str, fixed: Mapping[str, int]) -> Kernel:
    from codegen.build import load_extension

    return Kernel(decode(artefact.signature), dtype, load_extension(artefact.library, artefact.library.name.split(".")[0]), dict(fixed))
