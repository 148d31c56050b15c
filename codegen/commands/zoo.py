"""`retrograd zoo`: stock names -> a list with titles, or the text of one."""

from __future__ import annotations

import ast
import difflib
import textwrap

import click

from codegen.commands.terminal import is_terminal, width
from derive.files import read_file, stock_names

EXAMPLES = """\b
Examples:
  retrograd zoo               the stock recurrences
  retrograd zoo lstm          the file of one
  retrograd zoo lstm > my.rec a file to start from"""


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
def zoo(name: str | None) -> None:
    """List the stock recurrences, or print the file of one."""
    known = stock_names()
    if name is None:
        wide = max(map(len, known), default=0) + 2
        for stock in known:
            line = f"{stock:<{wide}}{_title(stock)}"
            click.echo(textwrap.fill(line, max(width(), 40), subsequent_indent=" " * wide) if is_terminal() else line)
        return
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ValueError(f"there is no stock recurrence {name!r}; {hint}")
    click.echo(read_file(name)[0].decode(), nl=False)


def _title(stock: str) -> str:
    return " ".join((ast.get_docstring(ast.parse(read_file(stock)[0])) or "").split())
