"""Peers: the same LSTM gradient in several systems, each in a process of its own that times one repetition at a time.

Run as a module with a peer's name, threads and the four sizes; every line read names a call, answered by its seconds.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_long
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.spike import reference
from benchmarks.spike.kernel import Arrays, Kernel, Variant, compiled

PEAK_LOOPS = 1_000_000  # about 7 ms a core
Call = Callable[[], Arrays]

VARIANTS: dict[str, Variant] = {
    "as above": Variant(),
    "pack weights at every step": Variant(repack=True),
    "libm, scalar": Variant(math="libm"),
    "elementwise after the whole product": Variant(fuse=False),
    "weight gradient step by step": Variant(per_step=True),
    "threads meet at every step": Variant(barrier=True),
    "workspace allocated per call": Variant(reuse=False),
    "gate tape rows not padded": Variant(pad=0),
    "no prefetch of panels": Variant(ahead=0),
    "no prefetch of the tape": Variant(near=False),
    "U @ x hoisted": Variant(hoist=True),
    "U.T @ dz after the loop": Variant(sweep_dx=True),
    "tape of 7 (keeps tanh c)": Variant(keep_tanh=True),
    "tile 4 x 2": Variant(R=4),
    "tile 14 x 2": Variant(R=14),
    "tile 6 x 4": Variant(R=6, V=4),
    "tile 16 x 1": Variant(R=16, V=1),
}


def ragged(values: Arrays) -> NDArray[np.int64]:
    """Lengths between a quarter of T and T, longest first."""
    T, B = values["x"].shape[:2]
    return np.sort(np.random.default_rng(5).integers(T // 4, T + 1, B))[::-1].copy()


def generated(values: Arrays, folder: Path, threads: int) -> dict[str, Call]:
    """Build the fastest variant."""
    kernel = Kernel(Variant(), folder, threads)
    return {"kernel": lambda: kernel(values)}


def variants(values: Arrays, folder: Path, threads: int) -> dict[str, Call]:
    """Build every variant, and the fastest once more for ragged lengths."""
    kernels = {label: Kernel(variant, folder, threads) for label, variant in VARIANTS.items()}
    calls: dict[str, Call] = {label: lambda k=k: k(values) for label, k in kernels.items()}  # type: ignore[misc]
    uneven, lengths = Kernel(Variant(), folder, threads), ragged(values)
    calls[f"ragged, {lengths.mean() / len(values['x']):.0%} of the steps"] = lambda: uneven(values, lengths)
    return calls


def peak(values: Arrays, folder: Path, threads: int) -> dict[str, Call]:
    """Multiply-adds on registers only, on as many threads."""
    library = compiled(Path(__file__).parent / "peak.c", folder / "peak.so")
    library.peak.restype = c_long

    def spin() -> Arrays:
        library.peak(c_long(PEAK_LOOPS), c_long(threads))
        return {}

    return {"FMA peak": spin}


def jax_scan(values: Arrays, folder: Path, threads: int) -> dict[str, Call]:
    """JAX: scan over steps with merged gates and U @ x hoisted, jit around value and gradient."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # its pools take their size from this
    import jax
    import jax.numpy as jnp

    def loss(v: dict) -> tuple:
        def step(carry: tuple, z: jax.Array) -> tuple:
            h, c = carry
            i, f, g, o = jnp.split(z + h @ v["W"].T, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        y: jax.Array = jax.lax.scan(step, (v["h0"], v["c0"]), v["x"] @ v["U"].T + v["b"])[1]
        return (y**2).sum(), y

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    placed = {name: jnp.asarray(a) for name, a in values.items()}

    def call() -> Arrays:
        (value, y), grads = jax.block_until_ready(gradient(placed))
        return {**grads, "value": value, "y": y}

    return {"JAX scan, jit": call}


def torch_lstm(values: Arrays, folder: Path, threads: int) -> dict[str, Call]:
    """Torch's built-in LSTM (oneDNN), value and gradient."""
    import torch

    torch.set_num_threads(threads)
    (_, _, n), H = values["x"].shape, values["h0"].shape[1]
    lstm = torch.nn.LSTM(n, H)
    names = {"W": lstm.weight_hh_l0, "U": lstm.weight_ih_l0, "b": lstm.bias_ih_l0}
    with torch.no_grad():
        lstm.bias_hh_l0.zero_()
        for name, parameter in names.items():
            parameter.copy_(torch.from_numpy(values[name]))
    leaves = {name: torch.from_numpy(values[name]).requires_grad_() for name in ("x", "h0", "c0")}

    def call() -> Arrays:
        y, _ = lstm(leaves["x"], (leaves["h0"][None], leaves["c0"][None]))
        value = (y**2).sum()
        found = torch.autograd.grad(value, [*names.values(), *leaves.values()])
        out = dict(zip([*names, *leaves], (g.numpy() for g in found), strict=True))
        return {**out, "value": value.detach().numpy(), "y": y.detach().numpy()}

    return {"torch LSTM": call}


PEERS = {"kernel": generated, "variants": variants, "peak": peak, "jax": jax_scan, "torch": torch_lstm}


def compare(label: str, found: Arrays, exact: Arrays, tolerance: float = 1e-5) -> float:
    """Largest error over value and gradients, relative to the largest entry; raises where it exceeds the tolerance."""
    errors = {name: np.abs(np.asarray(a) - exact[name]).max() / np.abs(exact[name]).max() for name, a in found.items()}
    wrong = {name: float(e) for name, e in errors.items() if not e <= tolerance}
    if wrong:
        raise ArithmeticError(f"{label}: differs from the float64 reference: {wrong}")
    return float(max(errors.values(), default=0.0))


@contextmanager
def prepared(peer: str, threads: int, sizes: tuple[int, ...]) -> Iterator[dict[str, Call]]:
    """Give the peer's calls, each checked against the reference and warmed up."""
    values = reference.problem(*sizes)
    full, lengths = reference.gradient(values), ragged(values)
    with tempfile.TemporaryDirectory() as folder:
        calls = PEERS[peer](values, Path(folder), threads)
        for label, call in calls.items():
            exact = reference.gradient(values, lengths) if label.startswith("ragged") else full
            compare(label, call(), exact)
            call()
        yield calls


def serve(peer: str, threads: int, sizes: tuple[int, ...]) -> None:
    """Answer every line of standard input, a label, with the seconds of one repetition."""
    # processor time on one thread: it leaves out what other processes take
    clock = time.process_time if threads == 1 else time.perf_counter
    with prepared(peer, threads, sizes) as calls:
        print(json.dumps(list(calls)), flush=True)
        for line in sys.stdin:
            call = calls[line.strip()]
            start = clock()
            call()
            print(clock() - start, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), tuple(map(int, sys.argv[3:])))
