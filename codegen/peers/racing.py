"""Racing: a recurrence, its sizes and names of peers -> a Race: results compared first, then calls turn by turn, each in its own process.

Nothing is timed against a peer whose results differ. Prints nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codegen.arguments import arguments_of
from codegen.drawing import Range, read_wishes
from codegen.driver import compile as compile_kernel
from codegen.kernel import Kernel
from codegen.lower import lower
from codegen.peers.frameworks import MAKERS, NEEDS
from codegen.peers.marking import marked_program
from codegen.peers.processes import PeerProcess, start
from codegen.peers.reference import variants
from codegen.peers.tasks import Arrays, Task
from codegen.timing import TOLERANCE, chosen_sizes, draw_finite, relative_error
from derive.arrays import Project
from derive.nodes import walk
from derive.recurrence import Recurrence
from derive.writing import write

OURS = "retrograd"
CALLS = {"forward": "forward", "gradient": "value and gradient"}
PAUSE = 0.03  # seconds before another peer is called: the threads of PyTorch and JAX spin for a while after a call


@dataclass(frozen=True, slots=True)
class Entrant:
    """A peer's part in a race: the largest relative error of its results and in what; seconds of its first call, and of every call by
    its name."""  # noqa: D205, D209

    name: str
    error: float
    worst: str
    first: float
    times: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Race:
    """What was found; the kernel is the first of the entrants.

    left_out: what both sides do without; cold: seconds from
    text to the first results, with nothing in the cache; NaN where not asked for.
    """

    name: str
    dtype: str
    sizes: Mapping[str, int]
    threads: int
    repeat: int
    tolerance: float
    entrants: tuple[Entrant, ...]
    left_out: str = ""
    cold: float = float("nan")

    @property
    def agrees(self) -> bool:
        """Whether all results are the same up to rounding; NaN is not."""
        return all(peer.error <= self.tolerance for peer in self.entrants[1:])

    def median(self, what: str, peer: Entrant) -> float:
        """The median seconds of a call."""
        return statistics.median(peer.times[what])

    def ratio(self, what: str, peer: Entrant) -> float:
        """How many times longer a peer takes than the kernel: the median over calls that stood side by side."""
        return statistics.median(b / a for a, b in zip(self.entrants[0].times[what], peer.times[what], strict=True))


def require_installed(against: Sequence[str]) -> None:
    """Raises: ValueError naming a framework that is not installed, and how to install it."""
    for name in against:
        if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
            raise ValueError(f"{name} is not installed, so that there is nothing to compare with; pip install {NEEDS[name]}")


def race(
    recurrence: Recurrence,
    dtype: str,
    against: Sequence[str],
    dims: Mapping[str, int],
    steps: int | None,
    batch: int | None,
    repeat: int,
    threads: int | None = None,
    compiled: bool = False,
    progress: Callable[[str], None] | None = None,
    ranges: Mapping[str, Range] | None = None,
    values: Mapping[str, object] | None = None,
    makers: Mapping[str, str] = MAKERS,
    cold: bool = False,
) -> Race:
    """Race a kernel against peers, with the same arrays and as many threads.

    against: names among numpy, jax and torch; steps, batch, ranges, values: as in `timing.compare`; repeat: calls whose median is taken;
    threads: None for one for each processor; compiled: whether PyTorch's is compiled by `torch.compile`; makers: by name, as in a Task;
    cold: whether to time a first call with an empty cache too.
    Raises: ValueError for what cannot be compared or is not installed; PeerError; WishError; ConvergenceError.
    """
    require_installed(against)
    say = progress or (lambda stage: None)
    free = _without_asserts(recurrence)
    kernel = compile_kernel(free, dtype, progress=say)
    if kernel.module is None:
        raise ValueError("without a compiler there is nothing to time: the kernel would be the interpreter")
    program = lower(free)
    wishes = read_wishes(program.name, arguments_of(program), ranges, values)
    dims, steps, batch = chosen_sizes(program, wishes, dims, steps, batch)
    sizes = {"T": steps, "B": batch, **dims}
    marked = marked_program(free) if set(against) & set(NEEDS) else program
    sources = {name: variants(marked, name, dtype, sizes) for name in against if name in NEEDS}
    drawn, seeds = draw_finite(Kernel(program, dtype), dims, steps, batch, wishes)
    wrt = tuple(program.results["gradient" if seeds is None else "pullback"])
    options = {"source": write(free), "compile": compiled, "name": recurrence.name}
    task = Task("", dtype, threads or available(), steps, batch, wrt, seeds is not None, "", options)
    found = Race(recurrence.name, dtype, sizes, task.threads, repeat, TOLERANCE[dtype], (), "asserts" if recurrence.constraints else "")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        peers = []
        for name in (OURS, *against):
            say(f"starting {name} for")
            own = replace(task, maker=makers[name], folder=str(Path(folder) / name))
            peers.append(stack.enter_context(at_work(name, own, drawn, seeds, kernel, sources.get(name, ()))))
        say("comparing results of")
        found = replace(found, entrants=tuple(_compared(peers[0].results, peer, wrt) for peer in peers))
        if not found.agrees:
            return found
        if cold:
            say("compiling anew")
            anew = replace(task, maker=makers[OURS], folder=str(Path(folder) / "cold"), options={"text": write(free)})
            with at_work(OURS, anew, drawn, seeds, environment={"RETROGRAD_CACHE": str(Path(folder) / "cache")}) as peer:
                found = replace(found, cold=peer.first)
        say("timing")
        times = turn_by_turn(peers, tuple(CALLS), repeat)
    return replace(found, entrants=tuple(replace(peer, times=times[peer.name]) for peer in found.entrants))


def _without_asserts(recurrence: Recurrence) -> Recurrence:
    """The recurrence without its constraints, whose gradients frameworks do not project. Raises: ValueError where it needs them."""
    if any(isinstance(node, Project) for equation in recurrence.equations for node in walk(equation.expr)):
        raise ValueError(f"{recurrence.name} projects onto what asserts allow, which JAX and PyTorch are not compared with")
    return replace(recurrence, constraints=())


def available() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def at_work(
    name: str, task: Task, values: Arrays, seeds: Arrays | None, kernel: Kernel | None = None, sources: Sequence[str] = (),
    environment: dict[str, str] | None = None,
) -> Iterator[PeerProcess]:  # fmt: skip
    """A peer that has computed its first results; it is ended on leaving. kernel: pickled for it; sources: its references."""
    folder = Path(task.folder)
    folder.mkdir()
    files = {f"objective_{number}.py": source for number, source in enumerate(sources)}
    for file, source in files.items():
        (folder / file).write_text(source)
    (replace(task, variants=tuple(files)) if files else task).save(values, seeds)
    if kernel is not None:
        (folder / "kernel.pickle").write_bytes(pickle.dumps(kernel))
    peer = start(name, task, environment)
    try:
        peer.wait()
        yield peer
    finally:
        peer.close()


def _compared(ours: Arrays, peer: PeerProcess, wrt: Sequence[str]) -> Entrant:
    """A peer beside the kernel: every gradient, and the objective where there is one. What it does not give is zero."""
    theirs = peer.results
    errors = {
        label: relative_error(ours[label], theirs.get(label, np.zeros_like(ours[label])))
        for label in ({*ours} & {*theirs}) | {*wrt}
    }  # fmt: skip
    worst = max(errors, key=lambda label: (np.isnan(errors[label]), errors[label]), default="")
    return Entrant(peer.name, errors.get(worst, 0.0), worst, peer.first, {})


def turn_by_turn(peers: Sequence[PeerProcess], calls: Sequence[str], repeat: int) -> dict[str, dict[str, tuple[float, ...]]]:
    """Seconds by peer and call: the peers are called in turn, with a pause, so that all meet the same state of the machine."""
    times: dict[str, dict[str, list[float]]] = {peer.name: {what: [] for what in calls} for peer in peers}
    for what in calls:
        for number in range(repeat + 1):
            for peer in peers:
                time.sleep(PAUSE)
                taken = peer.call(what)
                if number:  # the first of each kind may still compile
                    times[peer.name][what].append(taken)
    return {name: {what: tuple(taken) for what, taken in kinds.items()} for name, kinds in times.items()}
