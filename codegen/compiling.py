"""Compiling: C source -> object or library, by a C compiler in a process of its own."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from codegen.environment import Toolchain
from codegen.loading import BuildError

LAST_LINES = 20
# What compilers say when a disk or a quota is full.
FULL = {"No space left on device": errno.ENOSPC, "Disk quota exceeded": errno.EDQUOT}
# Functions of the runtime that its two parts call each other by, but nothing else.
HIDDEN = '-DSHARED=__attribute__((visibility("hidden")))'


class Compilation:
    """A C compiler at work on a source file, in that file's folder."""

    def __init__(
        self, source: Path, made: Path, stem: str, toolchain: Toolchain, includes: Sequence[Path] = (), flags: Sequence[str] = ()
    ) -> None:
        """Begin. flags: follow the source, where libraries have to stand. Raises: BuildError where the compiler cannot be run."""
        self.source, self.made, self.stem, self.toolchain = source, made, stem, toolchain
        folders = [*toolchain.include, *(os.path.abspath(folder) for folder in includes)]
        # Bare names, because the compiler runs inside the folder: no path reaches the library, and none needs quoting.
        command = [*toolchain.compiler, *toolchain.flags, *(f"-I{folder}" for folder in folders)]
        command += [source.name, *flags, "-o", made.name]
        try:
            self.process = subprocess.Popen(
                command, cwd=source.parent, env={**os.environ, "LC_ALL": "C", "TMPDIR": "."},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except (FileNotFoundError, PermissionError) as problem:
            if not source.exists():
                raise
            what = f"the compiler {toolchain.compiler[0]} cannot be run"
            raise BuildError(explain(stem, what, str(problem))) from problem

    def end(self) -> None:
        """Wait until it is made. Raises: BuildError with the compiler's words, OSError where the disk is full."""
        try:
            said = self.process.communicate()[0].decode(errors="replace")
        finally:
            self.stop()
        if self.process.returncode == 0 and self.made.exists():
            return
        for words, number in FULL.items():
            if words in said:
                raise OSError(number, words, str(self.source.parent))
        status = self.process.returncode
        ended = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        raise BuildError(explain(self.stem, f"{' '.join(self.toolchain.compiler)} {ended}", said))

    def stop(self) -> None:
        """End it, wherever it stands."""
        self.process.kill()
        with self.process:
            pass


class Runtime:
    """What modules share, compiled apart: once in a process, while something else is done."""

    def __init__(self, text: str, stem: str, folder: Path, toolchain: Toolchain, flags: Sequence[str]) -> None:
        """Begin, where it has not been made before. Raises: as `Compilation`."""
        self.source, self.object = folder / f"{stem}_runtime.c", folder / f"{stem}_runtime.o"
        self.key = (text, toolchain, tuple(flags))
        self.compilation: Compilation | None = None
        if self.key in _objects:
            self.object.write_bytes(_objects[self.key])
        else:
            self.source.write_text(text, encoding="utf-8")
            self.compilation = Compilation(self.source, self.object, stem, toolchain, (), [*flags, "-c", HIDDEN])

    def parts(self) -> list[str]:
        """What the compiler of a module is told in order to use it, once it is made. Raises: as `Compilation.end`."""
        if self.compilation:
            self.compilation.end()
            _objects[self.key] = self.object.read_bytes()
        return [self.object.name, "-DRETROGRAD_RUNTIME_APART", HIDDEN]

    def leave(self) -> None:
        """Leave nothing behind."""
        if self.compilation:
            self.compilation.stop()
        for path in (self.source, self.object):
            path.unlink(missing_ok=True)


_objects: dict[object, bytes] = {}


def explain(stem: str, what: str, said: str) -> str:
    """What failed, what was said last, and what to do."""
    if "Python.h" in said:
        advice = "Python's headers are missing: install python3-dev (Debian), python3-devel (Fedora)."
    elif "killed by signal" in what:
        advice = "The machine may be out of memory; try again with fewer programs running."
    else:
        advice = "`retrograd doctor` shows what is found here. If all is fine there, this is a fault in retrograd."
    lines = [line for line in said.splitlines() if line.strip()][-LAST_LINES:]
    return "\n".join([f"cannot build {stem}: {what}", *(f"    {line}" for line in lines), advice])
