"""Kernels beside PyTorch, JAX and NumPy: results compared first, then calls turn by turn; a table of ratios, and plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.cells import TEXTS
from benchmarks.growth import AXES, run_growth
from benchmarks.matrix import SIZES, Row, run_row
from codegen.peers.processes import PeerError
from codegen.peers.racing import available, require_installed
from derive.files import stock_names

WIDTH = 130  # of the table
EPILOG = """\b
Examples:
  python -m benchmarks --recurrences cell_lstm,gru --sizes mid --dtypes float32
  python -m benchmarks -o rows.json --plot ratios.svg
  python -m benchmarks --growth lstm --plot growth.png
  python -m benchmarks --load rows.json --plot ratios.svg

Sizes are steps, sequences, inputs, units: small 200, 1, 16, 32; mid 100, 32, 64, 128; large 50, 64, 256, 512. Times are those of a value
with its full gradient. Cells (cell_tanh, cell_lstm, cell_gru) meet PyTorch's own modules too. Rows are saved as they are done; those that
the file holds already are not run again."""


def parts(text: str, known: Sequence[str], what: str) -> list[str]:
    """Names out of a list with commas. Raises: click.UsageError for one that is not known."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    for name in found:
        if name not in known:
            raise click.UsageError(f"there is no {what} {name!r}; there are {', '.join(known)}")
    return found


def table(rows: Sequence[Row]) -> Table:
    """Milliseconds, and how many times longer the peers take."""
    done = [row for row in rows if "seconds" in row]
    peers = list(dict.fromkeys(peer for row in done for peer in row["ratios"]))  # type: ignore[attr-defined]
    made = Table("recurrence", "size", "dtype", "threads", "ms", "of peak", "tape MB", *(f"{peer} ×" for peer in peers), "first call s")
    for row in rows:
        head = [str(row[name]) for name in ("recurrence", "size", "dtype", "threads")]
        if "seconds" not in row:
            made.add_row(*head, str(row["left out"]))
            continue
        ratios = [f"{row['ratios'][peer]:.2f}" if peer in row["ratios"] else "" for peer in peers]  # type: ignore[index, operator]
        first = row["first calls"]["retrograd, nothing cached"]  # type: ignore[index]
        made.add_row(
            *head, f"{1e3 * row['seconds']['retrograd']:.3g}", f"{row['share of peak']:.0%}",  # type: ignore[index]
            f"{row['tape bytes'] / 1e6:.3g}", *ratios, "" if first != first else f"{first:.1f}",  # type: ignore[operator]
        )  # fmt: skip
    return made


def save(rows: Sequence[Row], output: Path | None) -> None:
    """Write what there is, in place of what there was."""
    if output is not None:
        part = output.with_name(output.name + ".part")
        part.write_text(json.dumps(rows, indent=1) + "\n")
        part.replace(output)


@click.command(epilog=EPILOG, help=__doc__)
@click.option("--recurrences", default="", help="Cells, stock recurrences; all by default.", metavar="NAMES")
@click.option("--sizes", default=",".join(SIZES), show_default=True)
@click.option("--dtypes", default="float32,float64", show_default=True)
@click.option("--threads", default=str(available()), show_default=True, help="Counts of threads, with commas.")
@click.option("--against", default="torch,jax,numpy", show_default=True, help="Peers; torch takes its own modules in where there are any.")
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True, help="Calls of each peer, in turn; medians are shown.")
@click.option("--compile", "compiled", is_flag=True, help="Compile PyTorch's by torch.compile, which takes long.")
@click.option("--cold/--no-cold", default=True, show_default=True, help="Time a first call with an empty cache too.")
@click.option("--growth", metavar="NAME", help="How the cost of one grows with steps, sequences and units.")
@click.option("--load", "loaded", type=click.Path(exists=True, path_type=Path), help="Show saved rows.", metavar="FILE.json")
@click.option("-o", "output", type=click.Path(path_type=Path), help="Save rows as JSON, each as it is done.", metavar="FILE.json")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them; needs matplotlib.", metavar="FILE.png|svg")
def main(
    recurrences: str, sizes: str, dtypes: str, threads: str, against: str, rounds: int, compiled: bool, cold: bool, growth: str | None,
    loaded: Path | None, output: Path | None, plot: Path | None,
) -> None:  # fmt: skip
    """Run the matrix, or the growth of one recurrence."""
    peers = parts(against, ("torch", "jax", "numpy"), "peer")
    try:
        require_installed([*peers, *(["matplotlib"] if plot else [])])
    except ValueError as missing:
        raise click.UsageError(str(missing)) from missing
    types = parts(dtypes, ("float32", "float64"), "dtype")
    counts = [int(count) for count in parts(threads, [str(n) for n in range(1, available() + 1)], "thread count")]
    names = parts(recurrences, (*TEXTS, *stock_names()), "recurrence") or [*TEXTS, *stock_names()]
    before: list[Row] = json.loads((loaded or output).read_text()) if loaded or output and output.exists() else []  # type: ignore[union-attr]
    if loaded:
        rows = before
    elif growth:
        parts(growth, (*TEXTS, *stock_names()), "recurrence")
        rows = run_growth(growth, types[0], counts[0], peers, rounds, lambda found: (say(found), save(found, output)))
    else:
        cases = [(name, size, dtype, count) for name in names for size in parts(sizes, tuple(SIZES), "size")
                 for dtype in types for count in counts]  # fmt: skip
        rows = run_matrix(cases, before, peers, rounds, compiled, cold, output)
    show(rows, plot)


def run_matrix(
    cases: Sequence[tuple[str, str, str, int]], rows: list[Row], peers: Sequence[str], rounds: int, compiled: bool, cold: bool,
    output: Path | None,
) -> list[Row]:  # fmt: skip
    """Every case that is not among the rows yet, each saved as it is done."""
    done = {(row["recurrence"], row["size"], row["dtype"], row["threads"]) for row in rows}
    for number, case in enumerate(cases, 1):
        if case in done:
            continue
        click.echo(f"{number}/{len(cases)} {' '.join(map(str, case))}", err=True)
        try:
            rows.append(run_row(*case, peers, rounds, compiled, cold, lambda stage: None))
        except PeerError as failure:
            rows.append(dict(zip(("recurrence", "size", "dtype", "threads"), case, strict=True)) | {"left out": str(failure)})
        say(rows)
        save(rows, output)
    return rows


def say(rows: Sequence[Row]) -> None:
    """The last row in a line."""
    row = rows[-1]
    ratios = ", ".join(f"{peer} {ratio:.2f} times" for peer, ratio in row.get("ratios", {}).items())  # type: ignore[attr-defined]
    click.echo(f"  {1e3 * row['seconds']['retrograd']:.3g} ms; {ratios}" if "seconds" in row else f"  {row['left out']}", err=True)  # type: ignore[index]


def show(rows: Sequence[Row], plot: Path | None) -> None:
    """The table, and the plot."""
    grown = any(row.get("along") in AXES for row in rows)
    if not grown:
        console = Console()
        (console if console.width >= WIDTH else Console(width=WIDTH)).print(table(rows))
    if plot is not None:
        from benchmarks.plots import draw_growth, draw_ratios

        (draw_growth if grown else draw_ratios)(rows, plot)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
