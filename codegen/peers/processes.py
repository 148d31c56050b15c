"""Processes: one for each peer, asked by lines, so that no framework's threads, flags or memory meet another's."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from codegen.peers.tasks import Arrays, Task, read_arrays

TUNED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # a choice of these made for one library would handicap NumPy in every peer
COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class PeerError(ValueError):
    """A peer that could not compute what it was asked for."""


@dataclass(slots=True)
class PeerProcess:
    """A peer at work. first: the seconds from its task to its first results, imports not counted."""

    name: str
    folder: Path
    process: subprocess.Popen[str]
    said: IO[str]
    first: float = float("nan")

    def wait(self) -> None:
        """Wait for the first results."""
        self.first = self._answer()

    def call(self, what: str) -> float:
        """The seconds of one call. Raises: PeerError."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and its answer will say why
        return self._answer()

    def _answer(self) -> float:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return float(line)
        self.process.wait()
        self.said.seek(0)
        last = (self.said.read().strip().splitlines() or ["it ended without a word"])[-1]
        raise PeerError(f"{self.name} failed: {last[:300]}")

    @property
    def results(self) -> Arrays:
        """What its first call gave, by label."""
        return read_arrays(self.folder / "results.npz")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.said.close()


def start(name: str, task: Task, environment: dict[str, str] | None = None) -> PeerProcess:
    """Start a peer on a task that was saved; `wait` for it. environment: variables of its own."""
    folder = Path(task.folder)
    inherited = {key: value for key, value in os.environ.items() if key not in TUNED}
    said = (folder / "said.txt").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "codegen.peers.answering", task.folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        env=inherited | dict.fromkeys(COUNTS, str(task.threads)) | (environment or {}),
    )
    return PeerProcess(name, folder, process, said)
