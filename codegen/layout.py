"""Layout: the shapes of buffers -> where each of them lies in one block of memory. Kernels keep layouts from call to call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from math import prod

import numpy as np

LINE, PAGE = 64, 4096  # bytes of a cache line, and of the stretch after which a cache uses the same lines again


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """places: name -> where a buffer begins, in bytes, and its shape; size: bytes of the block; apart: shapes of what is not in it."""

    places: Mapping[str, tuple[int, tuple[int, ...]]]
    size: int
    apart: Mapping[str, tuple[int, ...]]


def lay_out(shapes: Mapping[str, tuple[int, ...]], itemsize: int, apart: Mapping[str, tuple[int, ...]]) -> Layout:
    """Each buffer at the beginning of a cache line; large ones so that what lies at one place in them shares no lines of a cache."""
    places, end = {}, 0
    for number, (name, shape) in enumerate(shapes.items()):
        size = itemsize * prod(shape)
        end += (5 * LINE * number - end) % PAGE if size >= PAGE else -end % LINE
        places[name] = end, shape
        end += size
    return Layout(places, end, apart)


class Arrays(MutableMapping[str, np.ndarray]):
    """Buffers of a call by name: own arrays, and blocks of many, which become arrays when they are asked for."""

    __slots__ = ("blocks", "dtype", "own", "seen")

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.own: dict[str, np.ndarray] = {}
        self.seen: dict[str, np.ndarray] = {}
        self.blocks: list[tuple[Layout, np.ndarray]] = []

    def copy(self) -> Arrays:
        """The same buffers, to which others can be added."""
        made = Arrays(self.dtype)
        made.own, made.seen, made.blocks = dict(self.own), dict(self.seen), list(self.blocks)
        return made

    @property
    def known(self) -> tuple[object, ...]:
        """What tells which buffers there are, and where."""
        return (*self.own, *[layout for layout, _ in self.blocks])

    def __getitem__(self, name: str) -> np.ndarray:
        array = self.own.get(name)
        return self._seen(name) if array is None else array

    def _seen(self, name: str) -> np.ndarray:
        if name not in self.seen:
            for layout, memory in self.blocks:
                if name in layout.places:
                    start, shape = layout.places[name]
                    self.seen[name] = np.ndarray(shape, self.dtype, memory, start)
                    break
        return self.seen[name]

    def __setitem__(self, name: str, array: np.ndarray) -> None:
        self.own[name] = array

    def __delitem__(self, name: str) -> None:
        del self.own[name]

    def __contains__(self, name: object) -> bool:
        return name in self.own or any(name in layout.places for layout, _ in self.blocks)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.own, *(name for layout, _ in self.blocks for name in layout.places)]))

    def __len__(self) -> int:
        return len(list(iter(self)))
