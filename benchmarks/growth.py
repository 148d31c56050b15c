"""Growth: a recurrence -> rows of times as steps, sequences and units grow one at a time from the middle of the matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.matrix import OUTER, SIZES, Row, recurrence_of
from codegen.peers.racing import race

AXES = {"T": (25, 50, 100, 200, 400), "B": (1, 4, 16, 32, 64, 128), "n": (16, 32, 64, 128, 256)}


def run_growth(name: str, dtype: str, threads: int, against: Sequence[str], rounds: int, done: Callable[[list[Row]], object]) -> list[Row]:
    """Rows with `along` and `at`, what grows and how far; `done` is called with all rows after each."""
    recurrence = recurrence_of(name)
    steps, batch, outer, units = SIZES["mid"]
    rows: list[Row] = []
    for along, values in AXES.items():
        for at in values:
            T, B, n = (at if along == axis else mid for axis, mid in zip(AXES, (steps, batch, units), strict=True))
            dims = {dim: outer if dim in OUTER else n for dim in recurrence.dims}
            found = race(recurrence, dtype, against, dims, T, B, rounds, threads)
            times = {peer.name: found.median("gradient", peer) for peer in found.entrants} if found.agrees else {}
            ratios = {peer.name: found.ratio("gradient", peer) for peer in found.entrants[1:]} if found.agrees else {}
            row: Row = {"recurrence": name, "dtype": dtype, "threads": threads, "along": along, "at": at}
            rows.append(row | {"seconds": times, "ratios": ratios})
            done(rows)
    return rows
