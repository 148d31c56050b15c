"""Entry: build in a temporary folder, verify against the reference, time beside peers, print one table per size.

With `--variants` it times what is lost by leaving each choice out; `--rounds N` sets the interleaved repetitions.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from ctypes import c_long, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.spike import reference
from benchmarks.spike.kernel import Kernel, Variant, build
from benchmarks.spike.peers import PEAK_LOOPS, VARIANTS, compare

SIZES = {"mid": (100, 32, 64, 128), "large": (50, 64, 256, 512)}
ODD = [(7, 5, 3, 5), (9, 37, 33, 47), (3, 1, 1, 1), (20, 32, 64, 128)]
PEAK = "FMA peak"
PATIENCE = 20  # probes before a repetition is begun on busy cores


def verify_functions(folder: Path) -> None:
    """Check the vector tanh and sigmoid: within 3 units in the last place of float64."""
    library = build(Variant(), folder)
    x = np.concatenate([np.linspace(-a, a, 1 << 18) for a in (1e-3, 1.0, 86.0)]).astype(np.float32)
    for name, exact in (("tanh", np.tanh), ("sigmoid", reference.sigmoid)):
        y, wanted = np.empty_like(x), exact(x.astype(np.float64))
        getattr(library, f"apply_{name}")(c_void_p(x.ctypes.data), c_void_p(y.ctypes.data), c_long(len(x)))
        error = (np.abs(y - wanted) / np.spacing(np.abs(wanted).astype(np.float32))).max()
        if not error <= 3:
            raise ArithmeticError(f"{name}: {error} units in the last place")
        print(f"verified: {name}, {error:.2f} units in the last place")


def verify() -> None:
    """Compare with float64 on odd sizes and ragged lengths; demand the same bits on one, two and three threads."""
    draw, worst = np.random.default_rng(1), 0.0
    with tempfile.TemporaryDirectory() as name:
        verify_functions(Path(name))
        for variant in (Variant(), *VARIANTS.values()):
            kernels = [Kernel(variant, Path(name), threads) for threads in (1, 2, 3)]
            for sizes in ODD:
                for lengths in (None, np.sort(draw.integers(1, sizes[0] + 1, sizes[1]))[::-1].copy()):
                    values = reference.problem(*sizes)
                    exact = reference.gradient(values, lengths)
                    for kernel in kernels:
                        kernel.buffers = None
                    found = [{n: np.array(a) for n, a in kernel(values, lengths).items()} for kernel in kernels]
                    worst = max(worst, compare(f"{sizes} {variant}", found[0], exact))
                    if not all(np.array_equal(found[0][n], other[n]) for other in found[1:] for n in exact):
                        raise ArithmeticError(f"{sizes} {variant}: bits differ with the number of threads")
    print(f"verified: {len(VARIANTS)} variants, largest relative error {worst:.1e}; same bits on 1, 2 and 3 threads")


class Peer:
    """A peer's process, asked for one repetition at a time."""

    def __init__(self, name: str, threads: int, sizes: tuple[int, ...]) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        command = [sys.executable, "-m", "benchmarks.spike.peers", name, str(threads), *map(str, sizes)]
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment)
        self.labels: list[str] = self.answer()

    def answer(self) -> Any:
        """Read one line of JSON."""
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended")
        return json.loads(line)

    def seconds(self, label: str) -> float:
        """Time one repetition."""
        print(label, file=self.process.stdin, flush=True)
        return float(self.answer())


def measure(names: list[str], threads: int, sizes: tuple[int, ...], rounds: int) -> dict[str, list[float]]:
    """Seconds by label, one repetition of everything in turn, each begun when the peak loop finds the cores free."""
    peers, probe = [Peer(name, threads, sizes) for name in names], Peer("peak", threads, sizes)
    best = min(probe.seconds(PEAK) for _ in range(20))
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for peer in peers:
            for label in peer.labels:
                for _ in range(PATIENCE if threads > 1 else 1):
                    spent = probe.seconds(PEAK)
                    best = min(best, spent)
                    if spent < 1.15 * best:
                        break
                    time.sleep(0.05)
                seconds.setdefault(PEAK, []).append(spent)
                seconds.setdefault(label, []).append(peer.seconds(label))
    for peer in (*peers, probe):
        peer.process.communicate()
    return seconds


def show(name: str, threads: int, sizes: tuple[int, ...], seconds: dict[str, list[float]]) -> None:
    """Print milliseconds, GFLOP/s, share of the peak of the same run, and time over that of the first row."""
    T, B, n, H = sizes
    work, spent = 24 * T * B * H * (H + n), {k: np.array(v) for k, v in seconds.items()}
    ceiling = PEAK_LOOPS * threads * 2 * 16 * Variant().L / spent.pop(PEAK)
    print(f"\n{name}: T={T} B={B} I={n} H={H}; peak of {threads} threads: "
          f"median {np.median(ceiling) / 1e9:.0f}, best {ceiling.max() / 1e9:.0f} GFLOP/s")  # fmt: skip
    print(f"{'':36}{'median ms':>10}{'best ms':>9}{'GFLOP/s':>9}{'of peak':>9}{'ratio':>8}{'best/best':>11}")
    first = next(iter(spent.values()))
    for label, s in spent.items():
        rate = work / s.min() if not label.startswith("ragged") else np.nan  # the work is that of full lengths
        print(f"{label:36}{np.median(s) * 1e3:10.2f}{s.min() * 1e3:9.2f}{rate / 1e9:9.0f}{rate / ceiling.max():9.0%}"
              f"{np.median(s / first):8.2f}{s.min() / first.min():11.2f}")  # fmt: skip


def main() -> None:
    """Verify, time, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spike", description=__doc__)
    parser.add_argument("--variants", action="store_true", help="time the variants instead of the peers")
    parser.add_argument("--threads", type=int, default=2, help="1 times by processor time, for busy machines")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    verify()
    others = [peer for peer in ("jax", "torch") if importlib.util.find_spec(peer)]
    peers = ["variants"] if options.variants else ["kernel", *others]
    for name, sizes in SIZES.items():
        show(name, options.threads, sizes, measure(peers, options.threads, sizes, options.rounds))


if __name__ == "__main__":
    main()
