"""Notation at fixed steps: nodes -> boxes in which every step is a number, and components of boxes."""

from __future__ import annotations

from collections.abc import Mapping

from derive.nodes import Node, Pick, Quantity
from derive.sections.boxes import Box, Call, Fence, Glyph, Listing, Name, Script
from derive.sections.notation import Notation, sign_text
from derive.sections.system import System


class StepNotation(Notation):
    """Notation at fixed steps: every position is a number. `held`: boxes of quantities that stand for something."""

    def __init__(self, system: System, steps: int, held: Mapping[Quantity, Box]) -> None:
        super().__init__(dict(system.notation.derivatives), system.notation.identity)
        self.steps = steps
        for quantity, box in held.items():
            self.stand_for(quantity, box)

    def box(self, node: Node) -> Box:
        """The box of a node. Raises RecurrenceError naming a type without notation."""
        if isinstance(node, Pick):
            return self.read(node.quantity, number(node.offset + (self.steps if node.from_end else 0)))
        return super().box(node)

    def stand_for(self, quantity: Quantity, box: Box) -> None:
        """Print a quantity as a box from now on."""
        self.derivatives[quantity] = lambda _: box  # type: ignore[index]


def number(value: int) -> Glyph:
    """A whole number."""
    return Glyph(sign_text(str(value)), str(value))


def indexed(box: Box, letters: tuple[Box, ...]) -> Box:
    """A component: the index stands at a name, before its step, and otherwise behind parentheses."""
    if not letters:
        return box
    plain = all(isinstance(letter, Name) for letter in letters)
    sub = letters[0] if len(letters) == 1 else Listing(letters, "" if plain else ",")
    if isinstance(box, Name):
        return Script(box, sub=sub)
    if isinstance(box, Call) and isinstance(box.head, Name):
        return Call(Script(box.head, sub=sub), box.arguments)
    return Script(box if isinstance(box, Fence) else Fence(box), sub=sub)
