"""Steady states: x = tanh(W x + U u + b) and its gradient beside JAX's while_loop with the implicit rule; results compared first.

python -m benchmarks.steady [--units 256] [--batch 32] [--inputs 64] [--dtypes float32,float64] [--threads 2] [--rounds 15]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import numpy as np

TEXT = "u: input[m]\nx: n = tanh(W @ x + U @ u + b)\nE = minimize(norm2(x))\n"
SETTLED = {"float32": 1e-6, "float64": 1e-13}  # of the largest change, as in docs/reliability.md
ALLOWED = {"float32": 1e-4, "float64": 1e-10}  # of the norm of a result
PAUSE = 0.03  # seconds, in which threads of another process stop to spin


def drawn(n: int, m: int, batch: int, dtype: str) -> dict[str, np.ndarray]:
    """Values; the spectral norm of W is 0.8."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((n, n))
    found = {"W": 0.8 * w / np.linalg.norm(w, 2), "U": rng.standard_normal((n, m)) / m**0.5, "b": 0.1 * rng.standard_normal(n)}
    return {name: np.ascontiguousarray(array, dtype) for name, array in {**found, "u": rng.standard_normal((batch, m))}.items()}


def retrograd(given: Mapping[str, np.ndarray], threads: int) -> Callable[[], dict[str, np.ndarray]]:
    """The compiled kernel."""
    import codegen

    kernel = codegen.compile(TEXT, str(given["W"].dtype)).using(threads=threads or None)

    def call() -> dict[str, np.ndarray]:
        value, grads = kernel.value_and_grad(given)
        return {"value": np.asarray(value), **grads}

    return call


def jax(given: Mapping[str, np.ndarray], threads: int) -> Callable[[], dict[str, np.ndarray]]:
    """Fixed points by iteration, forward and for the adjoint, each until nothing changes by more than the tolerance."""
    import jax as J

    if given["W"].dtype == np.float64:
        J.config.update("jax_enable_x64", True)
    np_, settled = J.numpy, SETTLED[str(given["W"].dtype)]

    def settle(change: Callable, start: object) -> object:
        def going(state: tuple) -> object:
            return np_.max(np_.abs(state[0] - state[1])) > settled * (1 + np_.max(np_.abs(state[0])))

        return J.lax.while_loop(going, lambda state: (change(state[0]), state[0]), (change(start), start))[0]

    def step(x: object, v: Mapping[str, object]) -> object:
        return np_.tanh(x @ v["W"].T + v["u"] @ v["U"].T + v["b"])

    @J.custom_vjp
    def steady(v: Mapping[str, object]) -> object:
        drive = v["u"] @ v["U"].T + v["b"]
        return settle(lambda x: np_.tanh(x @ v["W"].T + drive), np_.zeros_like(drive))

    def forward(v: Mapping[str, object]) -> tuple:
        x = steady(v)
        return x, (x, v)

    def backward(kept: tuple, g: object) -> tuple:
        x, v = kept
        _, by_state = J.vjp(lambda x: step(x, v), x)
        adjoint = settle(lambda s: g + by_state(s)[0], g)
        return J.vjp(lambda v: step(x, v), v)[1](adjoint)

    steady.defvjp(forward, backward)
    compiled = J.jit(J.value_and_grad(lambda v: np_.sum(steady(v) ** 2)))
    arrays = {name: J.device_put(array) for name, array in given.items()}

    def call() -> dict[str, np.ndarray]:
        value, grads = compiled(arrays)
        J.block_until_ready(grads)
        return {"value": np.asarray(value), **{name: np.asarray(grad) for name, grad in grads.items()}}

    return call


def distance(ours: Path, theirs: Path) -> float:
    """The largest error of any result, relative to the norm of the peer's."""
    with np.load(ours) as a, np.load(theirs) as b:
        return float(max(np.linalg.norm(a[name].astype(float) - b[name]) / np.linalg.norm(b[name].astype(float)) for name in b.files))


def serve(peer: str, n: int, m: int, batch: int, dtype: str, threads: int, file: str) -> None:
    """Write the first results and answer lines with seconds."""
    call = {"retrograd": retrograd, "jax": jax}[peer](drawn(n, m, batch, dtype), threads)
    np.savez(file, **call())
    print("ready", flush=True)
    for _ in sys.stdin:
        call()  # wakes the processors, which have slept while the other was measured
        start = time.perf_counter()
        call()
        print(time.perf_counter() - start, flush=True)


@click.command(help=__doc__.split("\n")[0])
@click.option("--units", default=256, show_default=True)
@click.option("--inputs", default=64, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--dtypes", default="float32,float64", show_default=True)
@click.option("--threads", default=0, show_default=True, help="Of the kernel; 0 for its own choice.")
@click.option("--rounds", default=15, show_default=True)
@click.option("--peer", hidden=True)
@click.option("--file", hidden=True)
def main(units: int, inputs: int, batch: int, dtypes: str, threads: int, rounds: int, peer: str | None, file: str | None) -> None:
    """Each system in a process of its own, calls turn by turn."""
    if peer:
        serve(peer, units, inputs, batch, dtypes, threads, file or "")
        return
    for dtype in dtypes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found = {}
            for name in ("retrograd", "jax"):
                command = [sys.executable, "-m", "benchmarks.steady", *sys.argv[1:], "--dtypes", dtype, "--peer", name]
                command += ["--file", str(Path(folder) / f"{name}.npz")]
                found[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                if found[name].stdout.readline() != "ready\n":
                    raise click.ClickException(f"{name} did not begin")
            error = distance(Path(folder) / "retrograd.npz", Path(folder) / "jax.npz")
            if not error <= ALLOWED[dtype]:
                raise click.ClickException(f"{dtype}: results differ by {error:.1e}")
        times: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, process in found.items():
                time.sleep(PAUSE)
                process.stdin.write("\n")
                process.stdin.flush()
                times[name].append(float(process.stdout.readline()))
        for process in found.values():
            process.stdin.close()
            process.wait()
        ours, theirs = times["retrograd"], times["jax"]
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        click.echo(
            f"{dtype}: {1e3 * statistics.median(ours):.2f} ms, jax {1e3 * statistics.median(theirs):.2f} ms, "
            f"{ratio:.2f} times as long; results differ by {error:.0e}"
        )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.steady")
