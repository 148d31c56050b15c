"""Statements: what fills a Program's buffers, as records. What they compute are the elements of `codegen.element`."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.element import Element, Load
from codegen.sizes import Size
from codegen.systems import Project


@dataclass(frozen=True, slots=True)
class Read:
    """A whole buffer (a vector for each row), `lag` steps from the current one."""

    buffer: str
    lag: int = 0


@dataclass(frozen=True, slots=True)
class Map:
    """out[row, i…] = element."""

    out: str
    element: Element


@dataclass(frozen=True, slots=True)
class Reduce:
    """out[row, i…] = sum or maximum of the element over further axes of the given sizes."""

    out: str
    operation: str
    element: Element
    axes: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """out[row, :] = matrix @ operand[row, :], the matrix shared, as stored or transposed; further: factors of products that are added;
    ahead: so many of the factors, from the first, are known for all steps before the loop that this stands in."""  # noqa: D205, D209

    out: str
    matrix: str
    transposed: bool
    operand: Read
    further: tuple[tuple[str, bool, Read], ...] = ()
    ahead: int = 0

    @property
    def factors(self) -> tuple[tuple[str, bool, Read], ...]:
        """Matrix, whether it is transposed, and operand of every product in the sum."""
        return (self.matrix, self.transposed, self.operand), *self.further


@dataclass(frozen=True, slots=True)
class OuterSum:
    """out[i, j] = Σ left[row, i] right[row, j], over rows, and over steps where the segment is timed."""

    out: str
    left: Read
    right: Read


@dataclass(frozen=True, slots=True)
class Accumulate:
    """out[…, i…] = Σ element: over steps for each row where out is a sequence's, over all rows (and steps) where it is shared.

    window: the steps that are summed, as a Python slice of 1..T; its start is None where the sum goes over rows alone. place: an axis of
    out and the integer that says where along it the element, which has all axes but this one, is added; nowhere where it is negative.
    """  # noqa: D205, D209

    out: str
    element: Element
    window: tuple[int | None, int | None] = (None, None)
    place: tuple[int, Load] | None = None


@dataclass(frozen=True, slots=True)
class PickStep:
    """out[row] = buffer at a fixed position, from the row's start (0 stands before step 1) or from its end (0 is step T)."""

    out: str
    buffer: str
    from_end: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Fill:
    """A value outside the steps: buffer[position][row, i…] = element."""

    out: str
    from_end: bool
    offset: int
    element: Element


Statement = Project | Map | Reduce | Product | OuterSum | Accumulate | PickStep | Fill
