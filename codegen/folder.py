"""Cache folder: environment variables -> a folder that may be trusted with machine code, or the reason why not.

Whoever can write to the folder can run code in this process, so a folder that is a link, belongs to somebody else or
can be written by others is refused. What cannot be used is replaced by a private temporary folder, removed at exit.
Knows nothing of what is stored.
"""

from __future__ import annotations

import os
import stat
import warnings
from pathlib import Path

_warned: set[str] = set()
_private: dict[int, Path] = {}


class CacheWarning(UserWarning):
    """The cache folder cannot be used; kernels are built in a temporary folder. Names the folder and the reason."""


def default_root() -> Path | None:
    """Take the folder named by `$RETROGRAD_CACHE`, else the user's cache folder; None where the user has no home."""
    chosen = os.environ.get("RETROGRAD_CACHE")
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    if os.environ.get("HOME") == "" and not os.environ.get("XDG_CACHE_HOME"):
        return None
    # Imported here: a kernel found through $RETROGRAD_CACHE does not pay for it.
    from platformdirs import user_cache_path

    root = user_cache_path("retrograd", appauthor=False)
    # Without $HOME and without an entry in the password file, "~" stays as it is.
    return root if root.is_absolute() else None


def distrust(root: Path) -> str | None:
    """Say why nothing in `root` may be loaded; None where it may (or where it does not exist yet)."""
    try:
        status = os.lstat(root)
    except FileNotFoundError:
        return None
    except OSError as problem:
        return problem.strerror or str(problem)
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder"
    if status.st_uid != os.geteuid():
        return f"it belongs to another user (id {status.st_uid})"
    if status.st_mode & 0o022:
        return f"others can write to it (mode {stat.S_IMODE(status.st_mode):04o}; `chmod 700` makes it yours)"
    if os.statvfs(root).f_flag & getattr(os, "ST_NOEXEC", 0):
        return "its file system forbids running code (mounted noexec)"
    return None


def require_trust(root: Path) -> None:
    """Raise PermissionError, with the reason, where nothing in `root` may be loaded."""
    if reason := distrust(root):
        raise PermissionError(reason)


def prepare(root: Path, *parts: str) -> None:
    """Create `root` and the folders `parts` inside it, for this user alone.

    Raises: OSError where that is impossible, PermissionError where `root` cannot be trusted.
    """
    os.makedirs(root, mode=0o700, exist_ok=True)
    require_trust(root)
    for part in parts:
        os.makedirs(root / part, mode=0o700, exist_ok=True)


def warn_once(root: Path | None, reason: str) -> None:
    """Say, once per process and folder, that kernels will not be kept."""
    if str(root) in _warned:
        return
    _warned.add(str(root))
    named = f"the cache folder {root} cannot be used: {reason}" if root else f"there is no cache folder: {reason}"
    warnings.warn(
        f"{named}. Kernels are built in a temporary folder and forgotten at exit; "
        "set RETROGRAD_CACHE to a folder of your own to keep them.",
        CacheWarning,
        stacklevel=4,
    )


def private_root() -> Path:
    """Make a folder of this process alone, once, removed when it exits.

    Raises: OSError where no temporary folder can be made.
    """
    import atexit
    import tempfile

    process = os.getpid()
    if process not in _private:
        _private[process] = Path(tempfile.mkdtemp(prefix="retrograd-"))
        atexit.register(_remove, process, _private[process])
    return _private[process]


def known_private_root() -> Path | None:
    """Tell the private folder of this process, if it has needed one."""
    return _private.get(os.getpid())


def _remove(process: int, folder: Path) -> None:
    import shutil

    # A forked child inherits the registration; the folder is its parent's.
    if process == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)
