"""`retrograd doctor`: this machine -> a table of what kernels need, and whether it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from codegen.commands.terminal import columns, is_terminal, show

if TYPE_CHECKING:
    from rich.table import Table

# Without these kernels are built all the same: in a temporary folder, or on a machine nobody has tried.
DISPENSABLE = ("cache folder", "platform")
COLORS = {"ok": "green", "missing": "bold red", "warning": "yellow"}
EXAMPLES = """\b
Examples:
  retrograd doctor                 what is found here
  retrograd doctor || echo "kernels will be interpreted"
  CC=clang retrograd doctor        with another compiler"""


@click.command(epilog=EXAMPLES)
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Show what kernels need and what is found here.

    Exit status: 0 where kernels can be built, 1 where they cannot.
    """
    from codegen.environment import describe

    rows = describe()
    if is_terminal():
        show(_table(rows))
    else:
        click.echo(columns([(what, _mark(what, fine), found) for what, found, fine in rows]))
    broken = [what for what, _, fine in rows if not fine and _needed(what)]
    click.echo(f"kernels cannot be built: {', '.join(broken)}" if broken else "kernels can be built")
    ctx.exit(1 if broken else 0)


def _needed(what: str) -> bool:
    return what not in DISPENSABLE


def _mark(what: str, fine: bool) -> str:
    return "ok" if fine else "missing" if _needed(what) else "warning"


def _table(rows: list[tuple[str, str, bool]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    for what, found, fine in rows:
        mark = _mark(what, fine)
        table.add_row(Text(what), Text(mark, COLORS[mark]), Text(found))
    return table
