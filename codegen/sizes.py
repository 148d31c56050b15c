"""Sizes: polynomials in dims, for the shapes of buffers."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

Size = tuple[tuple[int, tuple[str, ...]], ...]  # a polynomial in dims: terms of (coefficient, names)
ZERO_SIZE: Size = ()


def size_value(size: Size, dims: Mapping[str, int]) -> int:
    """A size for given dims."""
    return sum(coefficient * prod(dims[name] for name in names) for coefficient, names in size)


def lone_dim(size: Size) -> str | None:
    """The dim that a size is; None where it is anything else."""
    return size[0][1][0] if len(size) == 1 and size[0][0] == 1 and len(size[0][1]) == 1 else None
