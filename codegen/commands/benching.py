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
    from codegen.peers.racing import Race
    from codegen.timing import Comparison
    from derive.recurrence import Recurrence

PEERS = ("numpy", "jax", "torch")
EXAMPLES = """\b
Examples:
  retrograd bench lstm
  retrograd bench model.rec --dims n=128,m=64 --steps 100 --batch 32 --dtype float32
  retrograd bench elman --repeat 20 --against numpy
  retrograd bench gru --steps 100 --batch 32 --dtype float32 --against torch,jax --threads 1"""


class Peers(click.ParamType):
    """`numpy,jax` -> the peers."""

    name = "peers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read names of peers. Raises: click.BadParameter for those that do not exist."""
        wanted = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        for peer in wanted:
            if peer not in PEERS:
                self.fail(f"{peer[:80]!r} is not a peer; numpy, jax and torch are", param, ctx)
        return wanted


@click.command(epilog=EXAMPLES, short_help="Time the compiled kernel against NumPy, JAX, PyTorch.")
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
    help="What to compare with: numpy (the interpreter), jax (compiled), torch (step by step).",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each, where jax or torch is; by default one for each processor.")
@click.option("--compile", "compiled", is_flag=True, help="Compile PyTorch's by torch.compile, which takes long.")
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
    threads: int | None,
    compiled: bool,
) -> None:
    """Time a compiled kernel against the NumPy interpreter, JAX or PyTorch; their results are compared first.

    FILE is a path, - for standard input, or a stock name. JAX and PyTorch compute the same equations, from source made
    of them, and differentiate by themselves. Exit status: 1 where results differ, and nothing is timed then.
    """
    recurrence = read_recurrence(file)
    require_dims(recurrence, dims)
    wanted, values = joined_ranges(ranges), read_values(archive)
    if against != ("numpy",):
        _race(ctx, recurrence, (dtype, against, dims, steps, batch, repeat, threads, compiled), wanted, values)
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


def _race(ctx: click.Context, recurrence: Recurrence, how: tuple, ranges: dict, values: dict) -> None:
    """Time against peers in processes of their own, show what was found, and end."""
    from codegen.peers.racing import race

    with progress(recurrence.name) as say, named_options():
        found = race(recurrence, *how, progress=say, ranges=ranges, values=values)
    sizes = ", ".join(f"{name} = {size}" for name, size in found.sizes.items())
    click.echo(f"{found.name}, {found.dtype}: {sizes}; threads: {found.threads}")
    if found.left_out:
        click.echo(f"{found.left_out} are left out on every side")
    for peer in found.entrants[1:]:
        agrees = peer.error <= found.tolerance
        state = f"results agree with {peer.name}'s" if agrees else f"results differ from {peer.name}'s, most in {peer.worst}"
        click.echo(f"{state}: relative error {peer.error:.1e}, of which {found.tolerance:.0e} is allowed")
    if found.agrees:
        _draw(race_cells(found)) if is_terminal() else click.echo(columns(race_cells(found), right=range(1, 6)))
    ctx.exit(0 if found.agrees else 1)


def race_cells(found: Race) -> list[tuple[str, ...]]:
    """A row for each peer: medians, how many times longer than the kernel, pair by pair, and the first call."""
    rows = [(f"median of {found.repeat}", "forward", "times ours", "value and gradient", "times ours", "first call")]
    for peer in found.entrants:
        cells = [(_time(found.median(what, peer)), f"{found.ratio(what, peer):.2f}") for what in ("forward", "gradient")]
        rows.append((peer.name, *cells[0], *cells[1], _time(peer.first)))
    return rows


def show_plainly(found: Comparison) -> None:
    """Write the comparison in plain columns."""
    click.echo(_heading(found))
    click.echo(_verdict(found))
    if found.rows:
        click.echo(columns(_cells(found), right=(1, 2, 3)))


def show_on_terminal(found: Comparison) -> None:
    """Draw the comparison as a table."""
    from rich.text import Text

    click.echo(_heading(found))
    show(Text(_verdict(found), "green" if found.agrees else "bold red"))
    if found.rows:
        _draw(_cells(found))


def _draw(cells: list[tuple[str, ...]]) -> None:
    """Draw a table on the terminal."""
    from rich import box
    from rich.table import Table

    head, *rows = cells
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
