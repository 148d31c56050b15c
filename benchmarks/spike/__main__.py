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

import numpy as np

from benchmarks.spike import reference
from benchmarks.spike.kernel import Kernel, Variant, build
from benchmarks.spike.peers import PEAK_LOOPS, THREADS, VARIANTS, compare

SIZES = {"mid": (100, 32, 64, 128), "large": (50, 64, 256, 512)}
ODD = [(7, 5, 3, 5), (9, 37, 33, 47), (3, 1, 1, 1), (20, 32, 64, 128)]
PEAK = "FMA peak"


def verify_functions(folder: Path) -> None:
    """The vector tanh and sigmoid within 3 units in the last place of float64, where the result is a normal number."""
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
    """Values and gradients against float64 on odd sizes and ragged lengths; the same bits on one, two and three threads."""
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
                    assert all(np.array_equal(found[0][n], other[n]) for other in found[1:] for n in exact), (sizes, variant)
    print(f"verified: {len(VARIANTS)} variants, largest relative error {worst:.1e}; same bits on 1, 2 and 3 threads")


def start(peer: str, sizes: tuple[int, ...]) -> subprocess.Popen[str]:
    """One peer's process, ready to be timed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    command = [sys.executable, "-m", "benchmarks.spike.peers", peer, *map(str, sizes)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout and process.stdout.readline() == "ready\n", f"{peer} did not start"
    return process


def measure(peers: list[str], sizes: tuple[int, ...], rounds: int) -> dict[str, list[float]]:
    """Seconds by label, one repetition of every peer in turn."""
    processes, seconds = [start(peer, sizes) for peer in peers], {}
    for _ in range(rounds):
        for process in processes:
            time.sleep(0.01)
            print("go", file=process.stdin, flush=True)
            for label, value in json.loads(process.stdout.readline()).items():
                seconds.setdefault(label, []).append(value)
    for process in processes:
        process.communicate()
    return seconds


def show(name: str, sizes: tuple[int, ...], seconds: dict[str, list[float]]) -> None:
    """Print milliseconds, GFLOP/s, share of the peak of the same run, and time over that of the first row."""
    T, B, n, H = sizes
    work, spent = 24 * T * B * H * (H + n), {k: np.array(v) for k, v in seconds.items()}
    ceiling = PEAK_LOOPS * THREADS * 2 * 16 * Variant().L / spent.pop(PEAK)
    print(f"\n{name}: T={T} B={B} I={n} H={H}; peak of {THREADS} threads: "
          f"median {np.median(ceiling) / 1e9:.0f}, best {ceiling.max() / 1e9:.0f} GFLOP/s")  # fmt: skip
    print(f"{'':36}{'median ms':>10}{'best ms':>9}{'GFLOP/s':>9}{'of peak':>9}{'ratio':>8}{'best/best':>11}")
    first = next(iter(spent.values()))
    for label, s in spent.items():
        rate = work / s.min()
        print(f"{label:36}{np.median(s) * 1e3:10.2f}{s.min() * 1e3:9.2f}{rate / 1e9:9.0f}{rate / ceiling.max():9.0%}"
              f"{np.median(s / first):8.2f}{s.min() / first.min():11.2f}")  # fmt: skip


def main() -> None:
    """Verify, time, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spike", description=__doc__)
    parser.add_argument("--variants", action="store_true", help="time the variants instead of the peers")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    verify()
    peers = ["variants"] if options.variants else ["kernel", *(p for p in ("jax", "torch") if importlib.util.find_spec(p))]
    for name, sizes in SIZES.items():
        show(name, sizes, measure([*peers, "peak"], sizes, options.rounds))


if __name__ == "__main__":
    main()
