"""Answering: the process of one peer. It computes what its task says, writes the first results, and then times a call for every line.

Run as a module with the task's folder. Every answer is one line: the seconds that the first call took, or those of a call by its name.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from typing import TextIO

import numpy as np

from codegen.peers.frameworks import as_array
from codegen.peers.tasks import read_task


def main() -> None:
    """Answer until there are no more lines."""
    task, answers = read_task(sys.argv[1]), _own_stdout()
    _keep_to_processors(task.threads)
    module, _, function = task.maker.partition(":")
    maker = getattr(importlib.import_module(module), function)
    begun = time.perf_counter()
    calls = maker(task)
    found = calls["gradient"]()
    first = time.perf_counter() - begun
    np.savez(Path(task.folder) / "results.npz", **{label: as_array(array) for label, array in found.items()})
    print(first, file=answers, flush=True)
    for line in sys.stdin:
        call = calls[line.strip()]
        begun = time.perf_counter()
        call()
        print(time.perf_counter() - begun, file=answers, flush=True)


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
