"""Cache: key -> compiled library on disk, built at most once by however many processes ask for it.

Two keys lead to an artefact: the quick key, over text, options and environment, found without parsing or deriving
anything; and the artefact's own, over the generated source and the resolved toolchain. Layout of the folder:

    entries/KEY/        library, source, signature.json, digests.json; last used when the folder was last changed
    quick/QUICK         the artefact key it stands for
    locks/KEY.lock      never deleted: a deleted lock file lets two holders in
    building/           folders under construction, on the same file system, moved into entries/ when complete

Compiles nothing itself, loads nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from codegen.artefact import Artefact, Entry, entry, read, seal
from codegen.environment import GENERATOR, Toolchain, fingerprint, installed_version
from codegen.folder import (
    CacheWarning,
    default_root,
    distrust,
    known_private_root,
    prepare,
    private_root,
    require_trust,
    warn_once,
)

__all__ = ["Artefact", "Cache", "CacheWarning", "Entry", "artefact_key", "fingerprint", "quick_key"]

PARTS = ("entries", "quick", "locks", "building")
PATIENCE = 600.0  # seconds to wait for another process that builds the same
IN_USE = 60.0  # seconds after its last use in which an artefact is not evicted: it may be about to be opened
ABANDONED = 3600.0  # seconds after which a folder under construction belongs to nobody


def quick_key(*parts: str) -> str:
    """Make the first key: SHA-256 over texts that need no parsing: the recurrence, the options, `fingerprint()`."""
    return _digest(list(parts))


def artefact_key(source: str, toolchain: Toolchain, extra: Sequence[str] = ()) -> str:
    """Make the second key: SHA-256 over the generated source and all that turns it into a library.

    `extra` takes what else decides the result: further flags, contents of included headers.
    """
    versions = [installed_version(name) or "missing" for name in ("cython", "numpy")]
    tools = [list(toolchain.compiler), toolchain.version, list(toolchain.flags), toolchain.isa]
    python = [toolchain.extension_suffix, list(toolchain.include)]
    return _digest([GENERATOR, source, versions, tools, python, list(extra)])


class Cache:
    """Compiled libraries in a folder of the user's, or in a private temporary one where that cannot be used."""

    def __init__(self, root: Path | None = None, limit_bytes: int = 2**30) -> None:
        """Take `root`, else `$RETROGRAD_CACHE`, else the user's cache folder; touches no disk yet."""
        self._wanted = Path(os.path.abspath(root)) if root is not None else default_root()
        self._private: Path | None = None
        self.limit_bytes = limit_bytes

    @property
    def folder(self) -> Path | None:
        """Tell the folder in use; None while there is no home and nothing has been built."""
        return self._private or self._wanted

    def recall(self, quick_key: str) -> Artefact | None:
        """Look up the validated artefact that a quick key stands for; None where it is unknown, damaged or removed."""
        _require_key(quick_key)
        for root in self._readable():
            key = _pointed(root / "quick" / quick_key)
            if key and (artefact := _load(root, key)):
                return artefact
        return None

    def fetch(self, key: str, quick_key: str, build: Callable[[Path], str], signature: str) -> Artefact:
        """Give the artefact of `key`, built if need be; from now on `quick_key` finds it too.

        `build` gets an empty folder, puts files there and returns the library's name. It runs once, whatever number
        of processes ask, and what it raises goes to the caller (an OSError only after a second try elsewhere).
        Raises: BuildError where not even a temporary folder can be written.
        """
        _require_key(key)
        _require_key(quick_key)
        reason = "the user has no home folder"
        if self._private is None and self._wanted is not None:
            try:
                require_trust(self._wanted)
                return self._obtain(self._wanted, key, quick_key, build, signature)
            except OSError as problem:
                reason = problem.strerror or str(problem)
        try:
            return self._obtain(self._retreat(reason), key, quick_key, build, signature)
        except OSError as problem:
            from codegen.loading import BuildError

            advice = "free some space, or set TMPDIR to a folder that can be written"
            raise BuildError(f"cannot build a kernel, not even in a temporary folder: {problem}; {advice}") from problem

    def entries(self) -> list[Entry]:
        """List what is stored, least recently used first; empty where the folder cannot be trusted."""
        return _entries(self.folder) if self.folder and distrust(self.folder) is None else []

    def clear(self) -> int:
        """Remove everything but the lock files; the number of artefacts removed."""
        root = self.folder
        removed = self.entries()
        if root is None or distrust(root) is not None:
            return 0
        for found in removed:
            _remove(root, found.folder)
        _forget_removed(root)
        _sweep(root, lambda folder: _age(folder) > ABANDONED)
        return len(removed)

    def _readable(self) -> list[Path]:
        # What cannot be trusted is left out in silence: `fetch` says what that means.
        trusted = self._wanted if self._wanted and distrust(self._wanted) is None else None
        return [root for root in (trusted, known_private_root()) if root]

    def _retreat(self, reason: str) -> Path:
        if self._private is None:
            self._private = private_root()
            warn_once(self._wanted, reason)
        return self._private

    def _obtain(self, root: Path, key: str, quick_key: str, build: Callable[[Path], str], signature: str) -> Artefact:
        artefact = _load(root, key)
        if artefact is None:
            prepare(root, *PARTS)
            with _locked(root, key):
                # Another process may have built it while this one waited.
                artefact = _load(root, key) or _build(root, key, build, signature)
            with contextlib.suppress(OSError):
                _evict(root, self.limit_bytes, key)
        # The pointer only saves time.
        with contextlib.suppress(OSError):
            _point(root, quick_key, key)
        return artefact


def _build(root: Path, key: str, build: Callable[[Path], str], signature: str) -> Artefact:
    """Build into a folder of its own and move it into place; the caller holds the key's lock."""
    import shutil
    import tempfile

    # Whoever left these died while holding the lock.
    _sweep(root, lambda folder: folder.name.startswith(key))
    folder = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=root / "building"))
    try:
        seal(folder, key, build(folder), signature)
        final = root / "entries" / key
        if os.path.lexists(final):
            _remove(root, final)
        os.replace(folder, final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    artefact = read(final, key)
    if artefact is None:
        raise OSError(f"{final} cannot be read back as it was written")
    return artefact


@contextlib.contextmanager
def _locked(root: Path, key: str) -> Iterator[None]:
    # 25 ms to import, which a kernel found in the cache does without.
    from filelock import FileLock

    # A soft lock outlives a killed holder.
    with FileLock(root / "locks" / f"{key}.lock", timeout=PATIENCE, mode=0o600, fallback_to_soft=False):
        yield


def _load(root: Path, key: str) -> Artefact | None:
    folder = root / "entries" / key
    # Marked before it is read, so that nobody evicts it in between; a cache that is read only stays as it is.
    with contextlib.suppress(OSError):
        os.utime(folder)
    return read(folder, key)


def _pointed(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None


def _point(root: Path, quick_key: str, key: str) -> None:
    import tempfile

    path = root / "quick" / quick_key
    if _pointed(path) == key:
        return
    handle, name = tempfile.mkstemp(prefix=f"{quick_key}-", dir=root / "building")
    with open(handle, "w", encoding="ascii") as file:
        file.write(key)
    os.replace(name, path)


def _entries(root: Path) -> list[Entry]:
    found = []
    for folder in _children(root / "entries"):
        # Another process may be removing it.
        with contextlib.suppress(OSError):
            found.append(entry(folder))
    return sorted(found, key=lambda item: (item.last_used, item.key))


def _evict(root: Path, limit_bytes: int, keep: str) -> None:
    found = _entries(root)
    excess = sum(item.size for item in found) - limit_bytes
    if excess <= 0:
        return
    for item in found:
        if excess > 0 and item.key != keep and time.time() - item.last_used > IN_USE:
            _remove(root, item.folder)
            excess -= item.size
    _forget_removed(root)
    _sweep(root, lambda folder: _age(folder) > ABANDONED)


def _remove(root: Path, folder: Path) -> None:
    """Move `folder` out of sight in one step, then delete it: nobody ever sees half of it."""
    import shutil
    import tempfile

    with contextlib.suppress(FileNotFoundError):
        aside = tempfile.mkdtemp(prefix=f"{folder.name}-", dir=root / "building")
        os.rename(folder, Path(aside) / "removed")
        shutil.rmtree(aside, ignore_errors=True)


def _forget_removed(root: Path) -> None:
    for path in _children(root / "quick"):
        if not (root / "entries" / (_pointed(path) or "none")).exists():
            path.unlink(missing_ok=True)


def _sweep(root: Path, unwanted: Callable[[Path], bool]) -> None:
    import shutil

    for path in _children(root / "building"):
        if unwanted(path):
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                path.unlink()


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _age(path: Path) -> float:
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _require_key(key: str) -> None:
    if not re.fullmatch("[0-9a-f]{64}", key):
        raise ValueError(f"{key!r} is not a cache key; make one with quick_key or artefact_key")
