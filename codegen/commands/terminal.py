"""Terminal: tables on stdout where a person reads it, and a spinner on stderr while they wait.

rich honours NO_COLOR and TERM=dumb; away from a terminal nothing but plain text is written.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType


def is_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout.isatty()


def width() -> int:
    """Columns of the terminal; 80 where there is none."""
    import shutil

    return shutil.get_terminal_size().columns


def show(content: RenderableType) -> None:
    """Print a table or another of rich's forms on the terminal."""
    from rich.console import Console

    Console().print(content)


@contextlib.contextmanager
def progress(subject: str) -> Iterator[Callable[[str], None]]:
    """Give a function that names the stage at work; a spinner on a terminal, silent elsewhere."""
    if not sys.stderr.isatty():
        yield lambda stage: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(subject)) as status:
        yield lambda stage: status.update(Text(f"{stage} {subject}"))


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Lay rows out in plain columns; those in `right` are aligned to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = enumerate(zip(row, widths, strict=True))
        return "  ".join(
            cell.rjust(wide) if place in right else cell.ljust(wide) for place, (cell, wide) in cells
        ).rstrip()

    return "\n".join(line(row) for row in rows)


def note(text: str) -> None:
    """Write a remark to stderr."""
    click.echo(text, err=True)
