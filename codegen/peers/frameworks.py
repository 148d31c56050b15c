"""Frameworks: a Task and a variant of its source -> what can be called and timed, for the kernel, the interpreter, JAX and PyTorch.

Every maker gives `forward` and `gradient`: results by label, computed when the call returns. Arrays are handed to a framework once.
"""

from __future__ import annotations

import os
import pickle
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codegen.peers.tasks import VALUE, Call, Task

NEEDS = {"jax": "jax", "torch": "torch"}  # what a peer imports, and what is to be installed for it
MAKERS = {name: f"{__name__}:{name}" for name in ("retrograd", "numpy", "jax", "torch")}


def retrograd(task: Task, variant: str) -> dict[str, Call]:
    """The compiled kernel: one that was pickled, or compiled here from text."""
    import codegen

    if "text" in task.options:
        kernel = codegen.compile(str(task.options["text"]), task.dtype)
    else:
        kernel = pickle.loads((Path(task.folder) / "kernel.pickle").read_bytes())  # noqa: S301
    return _calls(kernel.using(task.threads), task)


def numpy(task: Task, variant: str) -> dict[str, Call]:
    """The interpreter: the same program, in NumPy."""
    from codegen.kernel import Kernel
    from codegen.lower import lower
    from derive.language import parse

    return _calls(Kernel(lower(parse(str(task.options["source"]))), task.dtype), task)


def _calls(kernel: Any, task: Task) -> dict[str, Call]:
    values, sizes = task.values, {"steps": task.steps, "batch": task.batch}
    seeds = task.seeds if task.seeded else None

    def gradient() -> Mapping[str, object]:
        if seeds is None:
            value, grads = kernel.value_and_grad(values, **sizes)
            return {VALUE: value, **grads}
        return kernel.forward(values, **sizes).backward(seeds)

    return {"forward": lambda: {} if kernel.forward(values, **sizes) is None else {}, "gradient": gradient}


def jax(task: Task, variant: str) -> dict[str, Call]:
    """JAX, compiled: the value and the gradient of the reference by `jax.value_and_grad`."""
    os.environ["XLA_FLAGS"] = " ".join(
        [os.environ.get("XLA_FLAGS", ""), f"--xla_cpu_multi_thread_eigen={'true' if task.threads > 1 else 'false'}"]
    )
    import jax as framework

    framework.config.update("jax_enable_x64", task.dtype == "float64")
    framework.config.update("jax_platforms", "cpu")
    score = _scored(task, variant, framework.numpy.asarray, framework.numpy.sum)
    arrays = {label: framework.device_put(array) for label, array in task.values.items()}
    free = {label: arrays[label] for label in task.wrt}
    held = {label: array for label, array in arrays.items() if label not in free}
    forward = framework.jit(lambda free, held: score({**free, **held}))
    both = framework.jit(framework.value_and_grad(lambda free, held: score({**free, **held})))

    def gradient() -> Mapping[str, object]:
        value, grads = framework.block_until_ready(both(free, held))
        return {VALUE: value, **grads}

    return {"forward": lambda: {VALUE: framework.block_until_ready(forward(free, held))}, "gradient": gradient}


def torch(task: Task, variant: str) -> dict[str, Call]:
    """PyTorch: the reference step by step and its gradient by autograd, or compiled by `torch.compile` on request."""
    import torch as framework

    framework.set_num_threads(task.threads)
    score = _scored(task, variant, framework.as_tensor, framework.sum)
    if task.options.get("compile"):
        score = framework.compile(score)
    leaves = {label: framework.as_tensor(array).requires_grad_(label in task.wrt) for label, array in task.values.items()}
    free = [leaves[label] for label in task.wrt]

    def forward() -> Mapping[str, object]:
        with framework.no_grad():
            return {VALUE: score(leaves)}

    def gradient() -> Mapping[str, object]:
        value = score(leaves)
        grads = framework.autograd.grad(value, free, allow_unused=True)
        found = {label: grad for label, grad in zip(task.wrt, grads, strict=True) if grad is not None}
        return {VALUE: value.detach(), **found}

    return {"forward": forward, "gradient": gradient}


def _scored(task: Task, variant: str, array: Callable, total: Callable) -> Callable[[Mapping[str, Any]], Any]:
    """The objective of the reference; where there is none, its signals times their cotangents, summed."""
    objective = runpy.run_path(str(Path(task.folder) / variant))["objective"]
    if not task.seeded:
        return objective
    seeds = {label: array(seed) for label, seed in task.seeds.items()}

    def score(values: Mapping[str, Any]) -> Any:
        found = objective(values)
        return sum(total(seed * found[label]) for label, seed in seeds.items())

    return score


def as_array(found: object) -> np.ndarray:
    """A framework's array as NumPy's."""
    return np.asarray(found)
