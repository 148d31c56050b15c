"""Boxes: the display tree of a derivation's formulas, from which text and LaTeX are both made.

Input: what the sections say. Output: frozen trees of few kinds. `binds` says how tightly a box holds together, as for
nodes; `fenced` puts parentheses where a place asks for more. A `Name` is a name of the recurrence or one that avoids
all of its names; only printers decide how it looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from derive.nodes import ATOM, PRODUCT, SUM, UNARY


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of a formula."""

    @property
    def binds(self) -> int:
        """How tightly it holds together: SUM, PRODUCT, UNARY, POWER or ATOM."""
        return ATOM


@dataclass(frozen=True, slots=True)
class Name(Box):
    """A name, typeset with Greek letters, subscripts and accents."""

    name: str


@dataclass(frozen=True, slots=True)
class Glyph(Box):
    """A fixed sign of the notation. Never holds text of a user."""

    text: str
    latex: str


@dataclass(frozen=True, slots=True)
class Script(Box):
    """A base with a subscript, a superscript, or both."""

    base: Box
    sub: Box | None = None
    sup: Box | None = None


@dataclass(frozen=True, slots=True)
class Call(Box):
    """head(arguments): a function's value, or a signal at a step."""

    head: Box
    arguments: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Fence(Box):
    """A box between a pair of delimiters: `()`, `[]`, `{}` or `‖‖`."""

    body: Box
    pair: str = "()"


@dataclass(frozen=True, slots=True)
class Whole(Box):
    """A box in which no line ends."""

    body: Box


@dataclass(frozen=True, slots=True)
class Listing(Box):
    """Boxes side by side, with a separator (which may be empty)."""

    parts: tuple[Box, ...]
    separator: str = ","


@dataclass(frozen=True, slots=True)
class Row(Box):
    """A product written side by side."""

    parts: tuple[Box, ...]

    @property
    def binds(self) -> int:
        """As a product."""
        return PRODUCT


@dataclass(frozen=True, slots=True)
class Circled(Box):
    """An elementwise product, or another product whose sign stands between its factors."""

    parts: tuple[Box, ...]
    sign: Glyph = Glyph("∘", r"\circ")

    @property
    def binds(self) -> int:
        """Looser than a product side by side, so that either is fenced inside the other."""
        return SUM


@dataclass(frozen=True, slots=True)
class Fraction(Box):
    """A quotient."""

    top: Box
    bottom: Box

    @property
    def binds(self) -> int:
        """As a product."""
        return PRODUCT


@dataclass(frozen=True, slots=True)
class Partial(Box):
    """A partial derivative."""

    top: Box
    bottom: Box


@dataclass(frozen=True, slots=True)
class Total(Partial):
    """A total derivative."""


@dataclass(frozen=True, slots=True)
class Terms(Box):
    """A sum; each term is (whether it is subtracted, box)."""

    terms: tuple[tuple[bool, Box], ...]

    @property
    def binds(self) -> int:
        """As a sum."""
        return SUM


@dataclass(frozen=True, slots=True)
class Big(Box):
    """A sum over an index; `lower` is the index or the index from where, `upper` where it ends."""

    lower: Box
    upper: Box | None
    body: Box

    @property
    def binds(self) -> int:
        """As a sign before a product."""
        return SUM


@dataclass(frozen=True, slots=True)
class Choice(Box):
    """One of two values by a comparison."""

    left: Box
    relation: str
    right: Box
    then: Box
    otherwise: Box

    @property
    def binds(self) -> int:
        """Looser than a sum."""
        return SUM - 1


@dataclass(frozen=True, slots=True)
class Relation(Box):
    """left sign right, with the sign `∈` or `≤`."""

    left: Box
    sign: str
    right: Box

    @property
    def binds(self) -> int:
        """Looser than anything."""
        return SUM - 1


@dataclass(frozen=True, slots=True)
class Unfolding(Box):
    """States one after the other, with what every arrow between them uses."""

    states: tuple[Box, ...]
    uses: tuple[Box, ...]


MINUS_ONE, TRANSPOSED, PRIME = Glyph("⁻¹", "-1"), Glyph("ᵀ", r"\top"), Glyph("′", r"\prime")
DOTS, ZERO, ONE, ONES = Glyph("⋯", r"\cdots"), Glyph("0", "0"), Glyph("1", "1"), Glyph("𝟏", r"\mathbf{1}")
LAST = Glyph("T", "T")


def operator(name: str) -> Glyph:
    """The upright name of an operator of the notation."""
    return Glyph(name, rf"\operatorname{{{name.replace('_', chr(92) + '_')}}}")


def fenced(box: Box, level: int) -> Box:
    """The box, in parentheses where it binds more loosely than its place allows."""
    return Fence(box) if box.binds < level else box


def row(*parts: Box) -> Box:
    """A product side by side; products among the parts are joined in."""
    flat = [piece for part in parts for piece in (part.parts if isinstance(part, Row) else (part,))]
    held = [
        fenced(part, PRODUCT) if place < len(flat) - 1 or not isinstance(part, Big) else part
        for place, part in enumerate(flat)
    ]
    return held[0] if len(held) == 1 else Row(tuple(held))


def circled(*parts: Box) -> Box:
    """An elementwise product."""
    return parts[0] if len(parts) == 1 else Circled(tuple(fenced(part, UNARY) for part in parts))


def kronecker(left: Box, right: Box) -> Box:
    """A Kronecker product."""
    return Circled((fenced(left, UNARY), fenced(right, UNARY)), Glyph("⊗", r"\otimes"))


def terms(*entries: tuple[bool, Box]) -> Box:
    """A sum of signed boxes; signs inside are joined in, a sum of nothing is zero."""
    flat: list[tuple[bool, Box]] = []
    for negative, box in entries:
        inner = box.terms if isinstance(box, Terms) else ((False, box),)
        flat += [(negative != sign, fenced(part, SUM)) for sign, part in inner]
    if not flat:
        return ZERO
    return flat[0][1] if len(flat) == 1 and not flat[0][0] else Terms(tuple(flat))


def transposed(box: Box) -> Box:
    """The transpose; that of a transpose is the box itself."""
    if isinstance(box, Script) and box.sup == TRANSPOSED and box.sub is None:
        return box.base.body if isinstance(box.base, Fence) else box.base
    apart = isinstance(box, Partial) or (isinstance(box, Script) and isinstance(box.base, Fence))
    return Script(Fence(box) if apart else fenced(box, ATOM), sup=TRANSPOSED)


def inverse(box: Box) -> Box:
    """The inverse of a matrix or of a function."""
    if isinstance(box, Call):
        return Call(inverse(box.head), box.arguments)
    return Script(fenced(box, ATOM), sup=MINUS_ONE)


def with_index(box: Box, *letters: Box) -> Box:
    """A component: the index stands at a name, before its step, and otherwise behind parentheses."""
    sub = letters[0] if len(letters) == 1 else Listing(letters, "")
    if isinstance(box, Name):
        return Script(box, sub=sub)
    if isinstance(box, Call) and isinstance(box.head, Name):
        return Call(Script(box.head, sub=sub), box.arguments)
    return Script(box if isinstance(box, Fence) else Fence(box), sub=sub)


def walk_boxes(box: Box) -> Iterator[Box]:
    """Every box of a tree, from left to right."""
    yield box
    for entry in fields(box):
        value = getattr(box, entry.name)
        for part in value if isinstance(value, tuple) else (value,):
            inner = part[1] if isinstance(part, tuple) else part
            if isinstance(inner, Box):
                yield from walk_boxes(inner)
