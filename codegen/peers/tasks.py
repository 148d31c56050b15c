"""Tasks: what one process is asked to compute, in a folder that it shares with the process that asks.

The folder holds `task.json` (a Task), `values.npz` and `seeds.npz` (arrays by label), what the maker needs (a reference's source, or
`kernel.pickle`), and later `results.npz`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]
Call = Callable[[], Mapping[str, object]]
VALUE = "value"  # the name of the objective among results


@dataclass(frozen=True, slots=True)
class Task:
    """What to compute, and how.

    maker: module:function that gives calls by name from a Task; wrt: labels of the gradients; seeded: whether cotangents stand in for
    an objective; options: what the maker alone knows.
    """

    maker: str
    dtype: str
    threads: int
    steps: int
    batch: int
    wrt: tuple[str, ...]
    seeded: bool
    folder: str
    options: Mapping[str, object]
    variants: tuple[str, ...] = ("",)

    def save(self, values: Mapping[str, np.ndarray], seeds: Mapping[str, np.ndarray] | None) -> None:
        """Write the task and its arrays into its folder."""
        at = Path(self.folder)
        np.savez(at / "values.npz", **values)  # type: ignore[arg-type]
        np.savez(at / "seeds.npz", **(seeds or {}))  # type: ignore[arg-type]
        (at / "task.json").write_text(json.dumps(asdict(self)))

    @property
    def values(self) -> Arrays:
        """The arrays of every argument."""
        return read_arrays(Path(self.folder) / "values.npz")

    @property
    def seeds(self) -> Arrays:
        """The cotangents, where there is no objective."""
        return read_arrays(Path(self.folder) / "seeds.npz")


def read_task(folder: str) -> Task:
    """The task in a folder."""
    found = json.loads((Path(folder) / "task.json").read_text())
    return Task(**{**found, "wrt": tuple(found["wrt"]), "variants": tuple(found["variants"]), "folder": folder})


def read_arrays(file: Path) -> Arrays:
    """The arrays of an archive, by label."""
    with np.load(file, allow_pickle=False) as found:
        return {label: found[label] for label in found.files}
