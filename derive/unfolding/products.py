"""Products: the factors that a path's links multiply by, as boxes that remember what kind of matrix each is."""

from __future__ import annotations

from dataclasses import dataclass

from derive.nodes import PRODUCT, Node
from derive.sections.boxes import Box, Fence, Whole, fenced, transposed


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor of a product. diagonal: the vector on the diagonal of a matrix; column: a vector that is one; scalar: a number.

    forward: the transpose, where it is not that of the box as it stands.
    """

    box: Box
    diagonal: Node | None = None
    column: Node | None = None
    scalar: bool = False
    forward: Box | None = None

    @property
    def transposed(self) -> Box:
        """The factor as it is in the Jacobian, which is the transpose."""
        if self.forward is not None:
            return self.forward
        return self.box if self.diagonal is not None or self.scalar else transposed(self.box)


@dataclass(frozen=True, slots=True)
class Product:
    """± factors[0] factors[1] … explicit, the adjoint that a path brings to a value."""

    negative: bool
    factors: tuple[Factor, ...]
    explicit: Node | Box


def unbroken(box: Box) -> Box:
    """A factor in the parentheses that it needs, within which no line ends."""
    held = fenced(box, PRODUCT)
    return Whole(held) if isinstance(held, Fence) else held
