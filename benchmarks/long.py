"""Long sequences: the gradient within a budget of bytes beside that of the whole tape, in processes of their own, the same bits first.

python -m benchmarks.long [--steps 100000] [--units 128] [--inputs 64] [--batch 8] [--memory 200000000] [--cell cell_lstm]
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import time

import click
import numpy as np

from benchmarks.cells import GATES, TEXTS


def values(cell: str, T: int, B: int, m: int, n: int) -> dict[str, np.ndarray]:
    """Values of every argument, from a fixed seed."""
    rng = np.random.default_rng(0)
    found = {"x": rng.standard_normal((T, B, m), np.float32), "a": rng.standard_normal(n)}
    for gate in GATES[cell]:
        found |= {f"W{gate}": rng.standard_normal((n, n)) / n**0.5, f"U{gate}": rng.standard_normal((n, m)) / m**0.5}
        found[f"b{gate}"] = 0.1 * rng.standard_normal(n)
    return {name: array.astype(np.float32, copy=False) for name, array in found.items() if name != "a" or cell == "cell_gru"}


def measured(cell: str, sizes: tuple[int, int, int, int], memory: int | None, threads: int, rounds: int) -> dict[str, object]:
    """Seconds of some calls, a digest of value and gradients, and the bytes that the process took beside arguments and results."""
    import codegen
    from codegen.beginning import begin
    from codegen.checkpoints import Checkpoints

    kernel, given = codegen.compile(TEXTS[cell], "float32"), values(cell, *sizes)
    small = values(cell, 4, *sizes[1:])
    kernel.value_and_grad(small)
    kernel = kernel.using(threads=threads, memory=memory)
    before, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(rounds):
        grads = None  # results of the call before are not counted
        start = time.perf_counter()
        value, grads = kernel.value_and_grad(given)
        seconds.append(time.perf_counter() - start)
    digest = hashlib.sha256(np.asarray(value).tobytes())
    for name in sorted(grads):
        digest.update(np.ascontiguousarray(grads[name]))  # without a copy, which would count
    results = sum(np.asarray(grad).nbytes for grad in grads.values())
    parts = Checkpoints(kernel, begin(kernel, given, None, None)[0])
    plan = None if memory is None else parts.plan(memory)
    peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) - results
    return {
        "seconds": seconds, "digest": digest.hexdigest(), "peak": peak,
        "planned": parts._bytes(sizes[0]) if plan is None else plan.size,
        "windows": None if plan is None else [plan.length, plan.kept],
    }  # fmt: skip


@click.command(help=__doc__.split("\n")[0])
@click.option("--cell", default="cell_lstm", type=click.Choice(list(TEXTS)), show_default=True)
@click.option("--steps", default=100_000, show_default=True)
@click.option("--batch", default=8, show_default=True)
@click.option("--inputs", default=64, show_default=True)
@click.option("--units", default=128, show_default=True)
@click.option("--memory", default=200_000_000, show_default=True, help="Bytes beside arguments and results.")
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--part", type=click.Choice(["whole", "within"]), hidden=True)
def main(cell: str, steps: int, batch: int, inputs: int, units: int, memory: int, threads: int, rounds: int, part: str | None) -> None:
    """Measure both, each in a process of its own."""
    sizes = (steps, batch, inputs, units)
    if part:
        click.echo(json.dumps(measured(cell, sizes, memory if part == "within" else None, threads, rounds)))
        return
    found = {}
    for name in ("whole", "within"):
        command = [sys.executable, "-m", "benchmarks.long", *sys.argv[1:], "--part", name]
        found[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        each = found[name]
        windows = "" if each["windows"] is None else f", windows of {each['windows'][0]} steps, {each['windows'][1]} states kept"
        seconds = ", ".join(f"{second:.2f}" for second in each["seconds"])
        click.echo(
            f"{name:>6}: {min(each['seconds']):.2f} s (all: {seconds}), workspace {each['planned'] / 1e6:.0f} MB, "
            f"resident beside arguments and results {each['peak'] / 1e6:.0f} MB{windows}"
        )
    if found["whole"]["digest"] != found["within"]["digest"]:
        raise click.ClickException("the gradients differ")
    click.echo(f"the same bits; {min(found['within']['seconds']) / min(found['whole']['seconds']):.2f} times as long")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.long")
