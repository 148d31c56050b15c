"""Filling: arrays that the caller wants results written into -> the same, checked. Every error names the array."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def check_out(
    out: Mapping[str, object] | None,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: np.dtype,
    arguments: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """The arrays of `out`, each fit for the result it is named after.

    shapes: of the results that are asked for; arguments: arrays that the call reads, which nothing may write to.
    Raises: ValueError naming the array that is not asked for, or whose type, dtype, shape, writeability or memory is wrong;
    TypeError where it is no array.
    """
    found: dict[str, np.ndarray] = {}
    for label, array in (out or {}).items():
        if label not in shapes:
            raise ValueError(f"out has {label!r}, which is not asked for; what is: {', '.join(shapes) or 'nothing'}")
        if not isinstance(array, np.ndarray):
            raise TypeError(f"out[{label!r}] is a {type(array).__name__}; it must be a NumPy array, which can be filled")
        if array.dtype != dtype:
            raise ValueError(f"out[{label!r}] has dtype {array.dtype}; it must be {dtype}")
        if array.shape != shapes[label]:
            raise ValueError(f"out[{label!r}] has shape {array.shape}; it must be {shapes[label]}")
        if not array.flags.writeable:
            raise ValueError(f"out[{label!r}] cannot be written to")
        taken = {f"out[{name!r}]": other for name, other in found.items()} | arguments  # type: ignore[operator]
        for name, other in taken.items():
            if _overlap(array, other):
                raise ValueError(f"out[{label!r}] shares memory with {name}; give it memory of its own")
        found[label] = array
    return found


def _overlap(array: np.ndarray, other: np.ndarray) -> bool:
    try:
        return np.shares_memory(array, other, max_work=10**4)
    except np.exceptions.TooHardError:
        return np.may_share_memory(array, other)
