"""Workspace: sizes -> arrays whose memory goes back into use when the last of them is gone.

Fresh memory costs a page fault for every few kilobytes, which is as much as the work on it. Small arrays are left to NumPy.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict

import numpy as np

LEAST_BYTES = 1 << 16  # what is smaller comes without page faults
MOST_BYTES = 1 << 29  # kept free at most; the longest unused goes first

_lock = threading.Lock()
_free: OrderedDict[int, np.ndarray] = OrderedDict()  # oldest first
_held = 0


class _Block:
    """Memory that goes back into the workspace when no array uses it any more."""

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        _give_back(self.memory)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of any values. Raises: MemoryError where there is no room."""
    size = math.prod(shape) * dtype.itemsize
    if size < LEAST_BYTES or dtype.hasobject:
        return np.empty(shape, dtype)
    return np.asarray(_Block(_take(size))).view(dtype).reshape(shape)


def _take(size: int) -> np.ndarray:
    global _held
    with _lock:
        found = next((key for key, block in _free.items() if block.size == size), None)
        if found is not None:
            _held -= size
            return _free.pop(found)
    return np.empty(size, np.uint8)


def _give_back(memory: np.ndarray) -> None:
    global _held
    with _lock:
        _free[id(memory)] = memory
        _held += memory.size
        while _held > MOST_BYTES:
            _held -= _free.popitem(last=False)[1].size
