"""Answering: the process of one peer. It computes what its task says, writes the first results, and then times a call for every line.

Run as a module with the task's folder. Every answer is one line: the seconds that the first call took, or those of a call by its name.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

import numpy as np

from codegen.peers.frameworks import as_array
from codegen.peers.tasks import Call, Task, read_task

WAKING = 0.08  # seconds of calls before one is timed; a longer call needs none
TRIALS = 5  # calls of each variant, of which the shortest counts


def main() -> None:
    """Answer until there are no more lines."""
    task, answers = read_task(sys.argv[1]), _own_stdout()
    _keep_to_processors(task.threads)
    module, _, function = task.maker.partition(":")
    maker = getattr(importlib.import_module(module), function)
    calls, found, first = min((_tried(maker, task, variant) for variant in task.variants), key=lambda tried: tried[0])[1]
    np.savez(Path(task.folder) / "results.npz", **{label: as_array(array) for label, array in found.items()})
    print(first, file=answers, flush=True)
    for line in sys.stdin:
        print(_awake(calls[line.strip()]), file=answers, flush=True)


def _tried(maker: Callable, task: Task, variant: str) -> tuple[float, tuple[dict[str, Call], Mapping[str, object], float]]:
    """A variant's seconds of a call, where there are others; its calls, first results and the seconds that these took."""
    begun = time.perf_counter()
    calls = maker(task, variant)
    found = calls["gradient"]()
    first = time.perf_counter() - begun
    if len(task.variants) == 1:
        return 0.0, (calls, found, first)
    return min(_seconds(calls["gradient"]) for _ in range(TRIALS)), (calls, found, first)


def _awake(call: Call) -> float:
    """The seconds of a call that follows others at once, as in training: those wake threads, fill caches and raise the clock."""
    begun = time.perf_counter()
    while True:
        taken = _seconds(call)
        if time.perf_counter() - begun > WAKING:
            break
    return taken if taken > WAKING else _seconds(call)


def _seconds(call: Call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _own_stdout() -> TextIO:
    """Standard output for answers alone; what a framework prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _keep_to_processors(threads: int) -> None:
    """Take as many processors as there are threads; JAX has no other setting for it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    main()
