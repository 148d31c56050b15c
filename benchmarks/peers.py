"""Peers: one system in a process of its own, which answers every line it reads with the seconds that one value and gradient took.

Run as a module with the peer's name, the cell, the size, the dtype, the number of threads, and a file for its first results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.cells import GATES, SIZES, TEXTS, stacked, values

Results = dict[str, np.ndarray]
Values = Mapping[str, np.ndarray]


def retrograd(cell: str, given: Values, threads: int) -> Callable[[], Results]:
    """The compiled kernel."""
    import codegen

    kernel = codegen.compile(TEXTS[cell], str(given["x"].dtype)).using(threads)

    def call() -> Results:
        value, grads = kernel.value_and_grad(given)
        return {"value": np.asarray(value), **grads}

    return call


def torch(cell: str, given: Values, threads: int) -> Callable[[], Results]:
    """PyTorch's own module, whose second bias is zero where the cell has none."""
    import torch as T

    T.set_num_threads(threads)
    order = GATES[cell]
    make = {"tanh": T.nn.RNN, "lstm": T.nn.LSTM, "gru": T.nn.GRU}[cell]
    steps, batch, m = given["x"].shape
    n = given["h[0]"].shape[1]
    module = make(m, n).to(T.from_numpy(given["x"]).dtype)
    second = np.zeros(len(order) * n, given["x"].dtype)
    if cell == "gru":
        second[2 * n :] = given["a"]
    with T.no_grad():
        for name, array in {"weight_ih_l0": stacked(given, "U", order), "weight_hh_l0": stacked(given, "W", order),
                            "bias_ih_l0": stacked(given, "b", order), "bias_hh_l0": second}.items():  # fmt: skip
            getattr(module, name).copy_(T.from_numpy(array))
    x, *states = (T.from_numpy(given[name]).requires_grad_() for name in ("x", "h[0]", "c[0]") if name in given)
    start = tuple(state[None] for state in states)

    def call() -> Results:
        for leaf in (x, *states, *module.parameters()):
            leaf.grad = None
        value = (module(x, start if len(start) > 1 else start[0])[0] ** 2).sum()
        value.backward()
        found = {"value": value.detach().numpy(), "x": x.grad.numpy()}
        for letter, name in (("U", "weight_ih_l0"), ("W", "weight_hh_l0"), ("b", "bias_ih_l0")):
            parts = np.split(getattr(module, name).grad.numpy(), len(order))
            found |= {f"{letter}{gate}": part for gate, part in zip(order, parts, strict=True)}
        return {**found, **{name: state.grad.numpy() for name, state in zip(("h[0]", "c[0]"), states, strict=False)}}

    return call


def jax(cell: str, given: Values, threads: int) -> Callable[[], Results]:
    """A scan, compiled; the products with inputs stand before it."""
    import os

    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={threads}"
    import jax as J

    if given["x"].dtype == np.float64:
        J.config.update("jax_enable_x64", True)
    compiled = J.jit(J.value_and_grad(scanned(cell)))
    arrays = {name: J.device_put(array) for name, array in given.items()}

    def call() -> Results:
        value, grads = compiled(arrays)
        J.block_until_ready(grads)
        return {"value": np.asarray(value), **{name: np.asarray(grad) for name, grad in grads.items()}}

    return call


def scanned(cell: str) -> Callable[[Mapping[str, object]], object]:
    """The objective of a cell as a scan of JAX's."""
    import jax as J

    np_ = J.numpy
    sigmoid, tanh = J.nn.sigmoid, np_.tanh
    gates = GATES[cell]

    def objective(v: Mapping[str, object]) -> object:
        drive = {g: v["x"] @ v[f"U{g}"].T + v[f"b{g}"] for g in gates}

        def step(state: tuple, d: Mapping[str, object]) -> tuple:
            h, c = state
            z = {g: h @ v[f"W{g}"].T for g in gates}
            if cell == "tanh":
                h = tanh(z[""] + d[""])
            elif cell == "lstm":
                i, f, o = (sigmoid(z[g] + d[g]) for g in "ifo")
                c = f * c + i * tanh(z["g"] + d["g"])
                h = o * tanh(c)
            else:
                r, u = (sigmoid(z[g] + d[g]) for g in "rz")
                g = tanh(r * (z["g"] + v["a"]) + d["g"])
                h = g + u * (h - g)
            return (h, c), np_.sum(h * h)

        start = (v["h[0]"], v.get("c[0]", np_.zeros_like(v["h[0]"])))
        return np_.sum(J.lax.scan(step, start, drive)[1])

    return objective


PEERS = {"retrograd": retrograd, "torch": torch, "jax": jax}


def main() -> None:
    """Build, write the first results, and answer lines with seconds."""
    name, cell, size, dtype, threads, file = sys.argv[1:]
    given = values(cell, SIZES[size], dtype)
    began = time.perf_counter()
    call = PEERS[name](cell, given, int(threads))
    np.savez(file, **call())
    print(time.perf_counter() - began, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        call()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
