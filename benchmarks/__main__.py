"""Kernels beside PyTorch's modules and JAX's scan: results compared first, then calls turn by turn, and a table of ratios.

python -m benchmarks [--cells lstm,gru,tanh] [--sizes small,mid,large] [--dtypes float32,float64] [--threads 2] [--rounds 15] [-o FILE.json]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cells import SIZES, TEXTS, flops
from benchmarks.peak import measure_peak
from benchmarks.peers import PEERS

WIDTH = 110  # of the table
ALLOWED = {"float32": 2e-3, "float64": 1e-9}


@dataclass
class Peer:
    """A process that answers lines with seconds."""

    name: str
    process: subprocess.Popen
    first: float
    results: Path

    def call(self) -> float:
        """The seconds of one value and gradient."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def begin(name: str, cell: str, size: str, dtype: str, threads: int, folder: Path) -> Peer | None:
    """Start a peer, or say why it is left out."""
    file = folder / f"{name}.npz"
    environment = {key: value for key, value in os.environ.items() if key not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    command = [sys.executable, "-m", "benchmarks.peers", name, cell, size, dtype, str(threads), str(file)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment | {"OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip
    answer = process.stdout.readline()
    if answer:
        return Peer(name, process, float(answer), file)
    click.echo(f"{name} is left out: {(process.communicate()[1].strip().splitlines() or ['it ended'])[-1]}", err=True)
    return None


def distance(ours: Path, theirs: Path) -> float:
    """The largest error of any result, relative to the norm of the peer's."""
    with np.load(ours) as a, np.load(theirs) as b:
        shared = [name for name in a.files if name in b.files]
        errors = [np.linalg.norm(a[name].astype(float) - b[name]) / np.linalg.norm(b[name].astype(float)) for name in shared]
    return float(np.max(errors)) if len(errors) > 4 else float("nan")


def compare(cell: str, size: str, dtype: str, threads: int, rounds: int) -> dict[str, object]:
    """One row: medians, ratios pair by pair, and the share of the measured peak."""
    with tempfile.TemporaryDirectory() as folder:
        peers = [peer for name in PEERS if (peer := begin(name, cell, size, dtype, threads, Path(folder))) is not None]
        ours = peers[0]
        row: dict[str, object] = {"cell": cell, "size": size, "dtype": dtype, "threads": threads}
        for peer in peers[1:]:
            error = distance(ours.results, peer.results)
            if not error <= ALLOWED[dtype]:
                raise click.ClickException(f"{cell}, {size}, {dtype}: results differ from {peer.name}'s by {error:.1e}")
        times: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for _ in range(rounds):
            for peer in peers:
                times[peer.name].append(peer.call())
        for peer in peers:
            peer.process.stdin.close()
            peer.process.wait()
    for name, seconds in times.items():
        row[name] = statistics.median(seconds)
        row[f"{name}/ours"] = statistics.median(b / a for a, b in zip(times["retrograd"], seconds, strict=True))
    row["first calls"] = {peer.name: peer.first for peer in peers}
    row["share of peak"] = flops(cell, SIZES[size]) / row["retrograd"] / measure_peak(dtype, threads)
    return row


def table(rows: list[dict[str, object]]) -> Table:
    """Milliseconds, and how many times longer the peers take."""
    made = Table("cell", "size", "dtype", "ms", "of peak", "torch ms", "torch/ours", "jax ms", "jax/ours", "first call s")
    for row in rows:
        cells = [str(row[name]) for name in ("cell", "size", "dtype")] + [f"{1e3 * row['retrograd']:.2f}", f"{row['share of peak']:.0%}"]
        for peer in ("torch", "jax"):
            cells += [f"{1e3 * row[peer]:.2f}", f"{row[f'{peer}/ours']:.2f}"] if peer in row else ["", ""]
        made.add_row(*cells, f"{row['first calls']['retrograd']:.1f}")
    return made


@click.command(help=__doc__.split("\n")[0])
@click.option("--cells", default=",".join(TEXTS), show_default=True)
@click.option("--sizes", default=",".join(SIZES), show_default=True)
@click.option("--dtypes", default="float32,float64", show_default=True)
@click.option("--threads", default=len(os.sched_getaffinity(0)), show_default=True)
@click.option("--rounds", default=15, show_default=True, help="Calls of each peer, turn by turn; medians are shown.")
@click.option("-o", "output", type=click.Path(path_type=Path), help="Also write the rows as JSON.")
def main(cells: str, sizes: str, dtypes: str, threads: int, rounds: int, output: Path | None) -> None:
    """Run the matrix."""
    rows = []
    for cell in cells.split(","):
        for size in sizes.split(","):
            for dtype in dtypes.split(","):
                click.echo(f"{cell} {size} {dtype}", err=True)
                rows.append(compare(cell, size, dtype, threads, rounds))
    console = Console()
    console = console if console.width >= WIDTH else Console(width=WIDTH)
    console.print(table(rows))
    if output:
        output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
