"""Artefact: a folder with a compiled library -> the record, if every byte of it is what was written.

A truncated library kills Python with SIGBUS when it is opened, so size and SHA-256 of every file are compared first.
Opens no library.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

DIGESTS = "digests.json"
SIGNATURE = "signature.json"


@dataclass(frozen=True, slots=True)
class Artefact:
    """A compiled library whose files have been compared with their digests."""

    key: str  # 64 hexadecimal digits
    folder: Path
    library: Path
    signature: str  # JSON text, stored beside the library


@dataclass(frozen=True, slots=True)
class Entry:
    """One artefact as `retrograd cache list` shows it; not validated."""

    key: str
    folder: Path
    size: int  # bytes
    last_used: float  # seconds since 1970


def seal(folder: Path, key: str, library: str, signature: str) -> None:
    """Store the signature and the digests of every file in `folder`; only this user may read them from now on.

    Raises: ValueError where the library is missing or something in the folder is not a file.
    """
    if not (folder / library).is_file():
        raise ValueError(f"the build gave {library!r}, which is not in its folder")
    (folder / SIGNATURE).write_text(signature, encoding="utf-8")
    files = {}
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise ValueError(f"the build left {name!r}, which is not a file")
        # The user's umask, and the compiler, may have left it open to others.
        os.chmod(path, 0o600)
        content = path.read_bytes()
        files[name] = [len(content), hashlib.sha256(content).hexdigest()]
    record = {"key": key, "library": library, "files": files}
    (folder / DIGESTS).write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.chmod(folder / DIGESTS, 0o600)


def read(folder: Path, key: str) -> Artefact | None:
    """Read the artefact in `folder`; None where it is absent, damaged, or could have been changed by others."""
    try:
        if not stat.S_ISDIR(_own(os.lstat(folder)).st_mode):
            return None
        record = json.loads(_content(folder / DIGESTS, None))
        files, library = record["files"], record["library"]
        if record["key"] != key or {*files, DIGESTS} != set(os.listdir(folder)) or library not in files:
            return None
        signature = ""
        for name, (size, digest) in files.items():
            content = _content(folder / name, size)
            if hashlib.sha256(content).hexdigest() != digest:
                return None
            if name == SIGNATURE:
                signature = content.decode()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        # A flipped byte can make any type out of any other.
        return None
    return Artefact(key, folder, folder / library, signature)


def entry(folder: Path) -> Entry:
    """Give size and last use of the artefact in `folder`. Raises: OSError where it has just been removed."""
    size = sum(item.stat(follow_symlinks=False).st_size for item in os.scandir(folder))
    return Entry(folder.name, folder, size, os.lstat(folder).st_mtime)


def _own(status: os.stat_result) -> os.stat_result:
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError("others may have written it")
    return status


def _content(path: Path, size: int | None) -> bytes:
    # Not through a link, and checked on what was opened: the name may lead elsewhere a moment later.
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = _own(os.fstat(file.fileno()))
        if not stat.S_ISREG(status.st_mode) or (size is not None and status.st_size != size):
            raise ValueError(f"{path} is not what was written")
        return file.read()
