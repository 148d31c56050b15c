"""`retrograd bench`: FILE -> times of the compiled kernel and of its peers, after their results have been compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from codegen.commands.inputs import (
    dtype_option,
    file_argument,
    joined_ranges,
    named_options,
    read_recurrence,
    read_values,
    require_dims,
    size_options,
    value_options,
)
from codegen.commands.terminal import columns, is_terminal, progress, show

if TYPE_CHECKING:
    from codegen.timing import Comparison

AVAILABLE, PLANNED = ("numpy",), ("jax", "torch")
EXAMPLES = """\b
Examples:
  retrograd bench lstm
  retrograd bench model.rec --dims n=128,m=64 --steps 100 --batch 32 --dtype float32
  retrograd bench elman --repeat 20 --against numpy"""


class Peers(click.ParamType):
    """`numpy,jax` -> the peers, each of which can be timed."""

    name = "peers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read names of peers. Raises: click.BadParameter for those that are not available."""
        wanted = tuple(part.strip() for part in str(value).split(","))
        for peer in wanted:
            if peer in PLANNED:
                self.fail(f"{peer} is not available yet; numpy is", param, ctx)
            if peer not in AVAILABLE:
                self.fail(f"{peer[:80]!r} is not a peer; numpy is", param, ctx)
        return wanted


@click.command(epilog=EXAMPLES, short_help="Time the compiled kernel against NumPy.")
@file_argument
@size_options(steps=50, batch=16, dims="32 each")
@value_options
@dtype_option
@click.option(
    "--repeat", type=click.IntRange(min=1), default=7, show_default=True, help="Runs; the median time is shown."
)
@click.option(
    "--against",
    type=Peers(),
    default="numpy",
    metavar="PEERS",
    show_default=True,
    help="What to compare with: numpy, the interpreter.",
)
@click.pass_context
def bench(
    ctx: click.Context,
    file: str,
    dims: dict[str, int],
    steps: int | None,
    batch: int | None,
    ranges: tuple[tuple[str, tuple[float, float]], ...],
    archive: str | None,
    dtype: str,
    repeat: int,
    against: tuple[str, ...],
) -> None:
    """Time a compiled kernel against the NumPy interpreter; their results are compared first.

    FILE is a path, - for standard input, or a stock name. Exit status: 1 where results differ, and nothing is timed
    then.
    """
    recurrence = read_recurrence(file)
    require_dims(recurrence, dims)
    wanted, values = joined_ranges(ranges), read_values(archive)
    with progress(recurrence.name) as say:
        say("loading SymPy for")
        from codegen.driver import compile as compile_kernel
        from codegen.timing import compare

        kernel = compile_kernel(recurrence, dtype, progress=say)
        if kernel.module is None:
            raise ValueError("without a compiler there is nothing to time: both sides would be the interpreter")
        with named_options():
            comparison = compare(recurrence, kernel, dims, steps, batch, repeat, say, wanted, values)
    (show_on_terminal if is_terminal() else show_plainly)(comparison)
    ctx.exit(0 if comparison.agrees else 1)


def show_plainly(found: Comparison) -> None:
    """Write the comparison in plain columns."""
    click.echo(_heading(found))
    click.echo(_verdict(found))
    if found.rows:
        click.echo(columns(_cells(found), right=(1, 2, 3)))


def show_on_terminal(found: Comparison) -> None:
    """Draw the comparison as a table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    click.echo(_heading(found))
    show(Text(_verdict(found), "green" if found.agrees else "bold red"))
    if found.rows:
        head, *rows = _cells(found)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place, name in enumerate(head):
            table.add_column(name, justify="right" if place else "left")
        for row in rows:
            table.add_row(*row)
        show(table)


def _heading(found: Comparison) -> str:
    sizes = ", ".join(f"{name} = {size}" for name, size in found.sizes.items())
    return f"{found.name}, {found.dtype}: {sizes}"


def _verdict(found: Comparison) -> str:
    state = "results agree" if found.agrees else f"results differ, most in {found.worst}"
    return f"{state}: relative error {found.error:.1e}, of which {found.tolerance:.0e} is allowed"


def _cells(found: Comparison) -> list[tuple[str, ...]]:
    rows = [(what, _time(kernel), _time(peer), f"{peer / kernel:.1f}") for what, kernel, peer in found.rows]
    return [(f"median of {found.repeat}", "retrograd", "numpy", "times faster"), *rows]


def _time(seconds: float) -> str:
    scale: Callable[[float], str] = lambda unit: f"{seconds * unit:.3g}"  # noqa: E731
    return f"{scale(1e6)} µs" if seconds < 1e-3 else f"{scale(1e3)} ms" if seconds < 1 else f"{scale(1)} s"
