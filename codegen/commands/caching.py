"""`retrograd cache`: the cache folder -> a list of compiled kernels, or an empty folder."""

from __future__ import annotations

import time
from pathlib import Path

import click

from codegen.cache import Cache, Entry
from codegen.commands.terminal import columns, note
from codegen.folder import require_trust

EXAMPLES = """\b
Examples:
  retrograd cache list                        compiled kernels, least recently used first
  retrograd cache clear                       remove them
  RETROGRAD_CACHE=/tmp/k retrograd cache list in another folder"""


@click.group(epilog=EXAMPLES)
def cache() -> None:
    """List or clear the compiled kernels that are kept."""


@cache.command("list", epilog=EXAMPLES)
def list_entries() -> None:
    """List the compiled kernels, least recently used first: name, size, last use, key."""
    store, folder = _open()
    found = store.entries()
    if found:
        rows = [_row(entry) for entry in found]
        click.echo(columns([("kernel", "size", "last used", "key"), *rows], right=(1,)))
    total = sum(entry.size for entry in found)
    note(f"{_count(len(found))}, {total / 1e6:.1f} MB of at most {store.limit_bytes / 1e6:.0f} MB, in {folder}")


@cache.command("clear", epilog=EXAMPLES)
def clear() -> None:
    """Remove every compiled kernel; the next use builds it anew."""
    store, folder = _open()
    note(f"{_count(store.clear())} removed from {folder}")


def _open() -> tuple[Cache, Path]:
    """The cache and its folder. Raises: OSError where it cannot be trusted, ValueError where there is none."""
    store = Cache()
    if store.folder is None:
        raise ValueError("there is no cache folder: the user has no home; set RETROGRAD_CACHE to a folder")
    try:
        require_trust(store.folder)
    except PermissionError as problem:
        raise PermissionError(f"the cache folder {store.folder} is not used: {problem}") from None
    return store, store.folder


def _row(entry: Entry) -> tuple[str, ...]:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
    return _name(entry.folder), f"{entry.size / 1000:.0f} kB", used, entry.key[:16]


def _name(folder: Path) -> str:
    sources = sorted(path.stem for path in folder.glob("*.pyx"))
    name = sources[0].removeprefix("retrograd_") if sources else "unknown"
    stem = name.removesuffix("_pullback")
    return f"{stem} (cotangents)" if stem != name else name.removesuffix("_main")


def _count(number: int) -> str:
    return f"{number} kernel{'' if number == 1 else 's'}"
