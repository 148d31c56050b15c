"""Elements: scalar expressions that are evaluated for every component, row and step, as trees of small records.

An index is a tuple of (base, offset): the axis of the statement's own loop, None for a fixed component, or the load of an integer, plus
a size.
"""

from __future__ import annotations

from dataclasses import dataclass

from codegen.sizes import Size

Index = tuple[tuple["int | None | Load", Size], ...]


@dataclass(frozen=True, slots=True)
class Load:
    """A component of a buffer, `lag` steps from the current one where the buffer is timed. shape: the shape in which the buffer's
    components are seen, row by row, and which the index is for; its own where None."""  # noqa: D205, D209

    buffer: str
    lag: int
    index: Index
    shape: tuple[Size, ...] | None = None


@dataclass(frozen=True, slots=True)
class Const:
    """A number, exact: numerator and denominator."""

    numerator: int
    denominator: int = 1


@dataclass(frozen=True, slots=True)
class SizeValue:
    """A size as a number."""

    size: Size


@dataclass(frozen=True, slots=True)
class Steps:
    """T: the number of steps of the row's sequence, as a number."""


@dataclass(frozen=True, slots=True)
class Op:
    """An operation on elements: add, mul, div, neg, power, or an elementwise function by its name."""

    name: str
    args: tuple[Element, ...]
    exponent: tuple[int, int] | None = None  # of power: numerator, denominator


@dataclass(frozen=True, slots=True)
class Select:
    """x where a relation b, else y."""

    relation: str
    args: tuple[Element, Element, Element, Element]


@dataclass(frozen=True, slots=True)
class Piece:
    """A load where the axis lies in [start, stop), else zero."""

    axis: int
    start: Size
    stop: Size
    load: Load


@dataclass(frozen=True, slots=True)
class Hot:
    """One where the place equals an integer, else zero: a component of the vector that an index input stands for."""

    place: tuple[int | None, Size]
    integer: Load


@dataclass(frozen=True, slots=True)
class Present:
    """The element where an integer is not negative, else zero."""

    integer: Load
    arg: Element


@dataclass(frozen=True, slots=True)
class OnDiagonal:
    """The element where two axes agree, else zero."""

    axes: tuple[int, int]
    arg: Element


@dataclass(frozen=True, slots=True)
class InWindow:
    """The element at the steps of a window, else zero; bounds as in a Python slice of the steps 1..T."""

    start: int | None
    stop: int | None
    arg: Element


Element = Load | Const | SizeValue | Steps | Op | Select | Piece | Hot | Present | OnDiagonal | InWindow
