"""Matrix: a recurrence, a size, a dtype and threads -> one row: times, ratios, share of the machine's peak, first calls, tape."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from math import prod

from benchmarks.cells import TEXTS
from benchmarks.modules import MAKER
from benchmarks.peak import measure_peak
from codegen.program import Program, solves
from codegen.sizes import size_value
from codegen.statements import OuterSum, Product
from codegen.lower import lower
from codegen.peers.frameworks import MAKERS
from codegen.peers.racing import Race, race
from derive.language import load, parse
from derive.recurrence import Recurrence

SIZES = {"small": (200, 1, 16, 32), "mid": (100, 32, 64, 128), "large": (50, 64, 256, 512)}  # T, B, inputs and outputs, units
OUTER = ("m", "k")  # dims of inputs and outputs; every other one is of units
BUILT_IN = "torch module"
Row = dict[str, object]


def recurrence_of(name: str) -> Recurrence:
    """A cell, a stock recurrence, or a file."""
    return parse(TEXTS[name], name) if name in TEXTS else load(name)


def has_steady_state(recurrence: Recurrence) -> bool:
    """Whether its signals contain a cycle without lag."""
    return any(solves(action) for action in lower(recurrence, derivatives=False).phases["forward"].actions)


def dims_of(recurrence: Recurrence, size: str) -> dict[str, int]:
    """Every dim at a size of the matrix."""
    _, _, outer, units = SIZES[size]
    return {dim: outer if dim in OUTER else units for dim in recurrence.dims}


def run_row(
    name: str, size: str, dtype: str, threads: int, against: Sequence[str], rounds: int, compiled: bool, cold: bool,
    say: Callable[[str], None],
) -> Row:  # fmt: skip
    """One row of the table; where peers do not cover a recurrence, or results differ, a row that says so."""
    recurrence, (T, B, *_) = recurrence_of(name), SIZES[size]
    row: Row = {"recurrence": name, "size": size, "dtype": dtype, "threads": threads}
    if has_steady_state(recurrence):
        return row | {"left out": "steady state"}
    peers = [*against, *([BUILT_IN] if name in TEXTS and importlib.util.find_spec("torch") and "torch" in against else [])]
    dims = dims_of(recurrence, size)
    found = race(
        recurrence, dtype, peers, dims, T, B, rounds, threads, compiled, say, makers=MAKERS | {BUILT_IN: MAKER}, cold=cold
    )
    return row | result_of(found, lower(recurrence), dims)


def result_of(found: Race, program: Program, dims: Mapping[str, int]) -> Row:
    """A race as numbers: seconds, and by peer how many times longer than the kernel."""
    errors = {peer.name: peer.error for peer in found.entrants[1:]}
    if not found.agrees:
        return {"left out": "results differ", "errors": errors}
    ours, T, B = found.entrants[0], found.sizes["T"], found.sizes["B"]
    seconds = found.median("gradient", ours)
    return {
        "sizes": dict(found.sizes), "errors": errors, "rounds": found.repeat,
        "seconds": {peer.name: found.median("gradient", peer) for peer in found.entrants},
        "forward": {peer.name: found.median("forward", peer) for peer in found.entrants},
        "ratios": {peer.name: found.ratio("gradient", peer) for peer in found.entrants[1:]},
        "forward ratios": {peer.name: found.ratio("forward", peer) for peer in found.entrants[1:]},
        "first calls": {peer.name: peer.first for peer in found.entrants} | {"retrograd, nothing cached": found.cold},
        "share of peak": flops(program, dims, T, B) / seconds / measure_peak(found.dtype, found.threads),
        "tape bytes": tape_bytes(program, dims, T, B, 4 if found.dtype == "float32" else 8),
    }  # fmt: skip


def flops(program: Program, dims: Mapping[str, int], T: int, B: int) -> float:
    """Floating-point operations in the products of a value and its gradient."""

    def count(name: str) -> int:
        return prod(size_value(size, dims) for size in program.buffers[name].shape)

    def rows(name: str) -> int:
        return {"shared": 1, "sequence": B, "timed": T * B}[program.buffers[name].kind]

    total = 0.0
    for phase in ("forward", "gradient"):
        for statement in program.phases[phase].statements() if phase in program.phases else ():
            if isinstance(statement, Product):
                total += sum(2.0 * rows(statement.out) * count(matrix) for matrix, _, _ in statement.factors)
            if isinstance(statement, OuterSum):
                total += 2.0 * rows(statement.left.buffer) * count(statement.out)
    return total


def tape_bytes(program: Program, dims: Mapping[str, int], T: int, B: int, itemsize: int) -> int:
    """What is kept of the forward phase for its gradient, results of the user's included."""
    total = 0
    for name in program.kept:
        buffer = program.buffers[name]
        rows = {"shared": 1, "sequence": B, "timed": (buffer.before + T + buffer.after) * B}[buffer.kind]
        total += rows * prod(size_value(size, dims) for size in buffer.shape) * itemsize
    return total
