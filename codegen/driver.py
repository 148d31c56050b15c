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
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from codegen.cache import Artefact, Cache, artefact_key, quick_key
from codegen.environment import find_toolchain, fingerprint
from codegen.kernel import Kernel
from codegen.loading import load_extension
from codegen.signature import decode, encode
from derive.files import read_file

if TYPE_CHECKING:
    from codegen.environment import Toolchain
    from codegen.program import Program
    from codegen.translator import Translate
    from derive.recurrence import Recurrence

DTYPES = ("float32", "float64")
SLOW = "no C compiler was found: kernels are interpreted, with right results but slowly; `retrograd doctor` says more"


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
    job = _Job(recurrence, *_text(recurrence), dtype, fixed, cache if cache is not None else Cache(), progress or (lambda stage: None))
    return job.kernel()


def compile_text(text: bytes, name: str, file: str, dtype: str, fixed: dict[str, int]) -> Kernel:
    """A kernel from all that decides it, as a pickle holds it; found in the default cache, or built."""
    return _Job(text, text, name, file, dtype, fixed, Cache(), lambda stage: None).kernel()


@dataclass
class _Job:
    """One request: what is compiled, how, and where it is kept. Segments for cotangents are a module of their own, built at first use, and
    so is the program of each product with a direction."""  # noqa: D205, D209

    recurrence: Recurrence | str | bytes | Path
    text: bytes
    name: str
    file: str
    dtype: str
    fixed: dict[str, int]
    store: Cache
    say: Callable[[str], None]
    products: dict[str, Kernel] = field(default_factory=dict)
    compiled: bool = False

    def kernel(self) -> Kernel:
        """The kernel, from the cache or newly built."""
        found, origin = self._module("main"), (self.text, self.name, self.file)
        if found is None:
            warnings.warn(SLOW, CompilerWarning, stacklevel=3)
            return Kernel(self.program, self.dtype, None, self.fixed, origin=origin, products=self.product)
        program, module = found
        self.compiled = True
        apart = "gradient" in program.phases
        return Kernel(program, self.dtype, module, self.fixed, self._pullback if apart else None, origin, self.product)

    def product(self, name: str) -> Kernel:
        """The kernel of a product with a direction, from the cache or newly built; interpreted where there is no compiler."""
        if name not in self.products:
            found = self._module(name)
            if found is None and self.compiled:
                warnings.warn(SLOW, CompilerWarning, stacklevel=5)
            program, module = (self._program(name), None) if found is None else found
            self.products[name] = Kernel(program, self.dtype, module, self.fixed)
        return self.products[name]

    @cached_property
    def program(self) -> Program:
        """Parsed where needed, derived and lowered."""
        from codegen.lower import lower

        self.say("deriving")
        program = lower(self._parsed)
        check_dims(program, self.fixed)
        return program

    @cached_property
    def _parsed(self) -> Recurrence:
        from derive.language import parse

        written = isinstance(self.recurrence, (str, bytes, Path))
        return parse(self.text, self.name, self.file) if written else self.recurrence  # type: ignore[return-value]

    def _program(self, part: str) -> Program:
        """The program that a part belongs to: `main` and `pullback` share one, each product has its own."""
        if part in ("main", "pullback"):
            return self.program
        from codegen.lower.products import lower_product

        self.say("deriving")
        return lower_product(self._parsed, part)

    def _pullback(self) -> ModuleType:
        if not hasattr(self, "_loaded"):
            found = self._module("pullback")
            if found is None:
                raise RuntimeError("the C compiler that built this kernel is gone, and its cotangents are not built yet")
            self._loaded = found[1]
        return self._loaded

    def _module(self, part: str) -> tuple[Program, ModuleType] | None:
        """The program and the compiled segments of a part: `main`, `pullback` or a product; None where there is no compiler."""
        quick = quick_key(self.text.decode("utf-8", "surrogateescape"), self.name, self.dtype, json.dumps(self.fixed), part, fingerprint())
        found = self.store.recall(quick)
        if found is None:
            from codegen.translator import begun

            with begun() as translate:
                program, toolchain = self._program(part), find_toolchain()
                if toolchain is None:
                    return None
                found = self._build(program, toolchain, part, quick, translate)

        return decode(found.signature), load_extension(found.library, found.library.name.split(".")[0])

    def _build(self, program: Program, toolchain: Toolchain, part: str, quick: str, translate: Translate) -> Artefact:
        from codegen.build import compile_extension
        from codegen.emit import emit, emit_runtime, plain

        self.say("generating")
        apart = "gradient" in program.phases
        phases = ["pullback"] if part == "pullback" else [name for name in program.phases if name != "pullback" or not apart]
        source, runtime = emit(program, self.dtype, self.fixed, phases), emit_runtime(program, self.dtype)
        stem = f"retrograd_{plain(self.name)}_{part.split()[0]}"
        self.say("compiling")
        return self.store.fetch(
            artefact_key(source, toolchain, [encode(program)]), quick,
            lambda folder: compile_extension(source, stem, folder, toolchain, translate=translate, runtime=runtime).name,
            encode(program),
        )  # fmt: skip


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
