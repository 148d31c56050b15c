"""Printer: what text and LaTeX share: walking boxes, and breaking long formulas at signs and between factors.

A formula is first cut into fragments, between which a line may end; fragments are then filled into lines.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatchmethod

from derive.exposition import Step
from derive.present.names import Look, looks
from derive.sections.boxes import Big, Box, Call, Circled, Fence, Glyph, Listing, Name, Row, Script, Terms, walk_boxes

MINUS = "−"


def width(text: str) -> int:
    """How many columns a text takes."""
    return sum(0 if unicodedata.combining(c) else (2 if unicodedata.east_asian_width(c) in "WF" else 1) for c in text)


def boxes_of(found: Iterable[Step]) -> list[Box]:
    """Every box of the steps, in order."""
    return [
        box
        for step in found
        for part in (step.before, *step.after, *step.because)
        if isinstance(part, Box)
        for box in walk_boxes(part)
    ]


def juxtaposed(box: Call) -> bool:
    """Whether a call is written without parentheses: `diag f′(z)`."""
    inner = box.arguments[0]
    return (
        isinstance(box.head, Glyph)
        and box.head.text == "diag"
        and isinstance(inner, Call)
        and isinstance(inner.head, Script)
    )


def names_of(found: Sequence[Step]) -> Mapping[str, Look]:
    """How the names in the steps look."""
    boxes = boxes_of(found)
    taken = [sign for box in boxes if isinstance(box, Glyph) for sign in (box.latex, box.text)]
    return looks((box.name for box in boxes if isinstance(box, Name)), taken)


class Printer:
    """Prints boxes as strings. Subclasses say how each kind looks (`show`), and how signs and parentheses do."""

    space, minus, plus = " ", MINUS, "+"

    def __init__(self, names: Mapping[str, Look]) -> None:
        self.names = names

    @singledispatchmethod
    def show(self, box: Box) -> str:
        """The box on one line."""
        raise TypeError(f"no printing of {type(box).__name__}")

    def pair(self, kind: str, body: Box) -> tuple[str, str]:
        """The two delimiters of a fence."""
        return kind[0], kind[1]

    def fragments(self, box: Box, deep: bool = False) -> list[str]:
        """The box in pieces between which a line may end: at signs; `deep` also between factors."""
        match box:
            case Terms():
                return self._terms(box, deep)
            case Row():
                return self._row(box, deep)
            case Circled() if deep:
                found = [self.fragments(part, deep) for part in box.parts]
                return found[0] + [
                    piece if inner else f"{self.show(box.sign)} {piece}"
                    for pieces in found[1:]
                    for inner, piece in enumerate(pieces)
                ]
            case Listing(parts, separator) if separator in (",", ";"):
                shown = [self.fragments(part, deep) for part in parts]
                return [piece + (separator if last and place < len(shown) - 1 else "")
                        for place, pieces in enumerate(shown) for last, piece in self._marked(pieces)]  # fmt: skip
            case Fence(body, kind):
                return self._enclosed(kind, body, deep)
            case Call(head, (argument,)) if juxtaposed(box):
                pieces = self.fragments(argument, deep)
                return [self.show(head) + self.space + pieces[0], *pieces[1:]]
            case Call(head, (argument,)) if not isinstance(argument, Glyph):
                pieces = self._enclosed("()", argument, deep)
                return [self.show(head) + pieces[0], *pieces[1:]] if len(pieces) > 1 else [self.show(box)]
            case Script(Fence(body, kind) as base) if deep:
                pieces = self._enclosed(kind, body, deep)
                return [*pieces[:-1], pieces[-1] + self.show(box)[len(self.show(base)) :]]
            case Big():
                pieces = self.fragments(box.body, deep)
                return [f"{self.head(box)} {pieces[0]}", *pieces[1:]]
        return [self.show(box)]

    def head(self, box: Big) -> str:
        """The sign of a sum with its bounds."""
        raise NotImplementedError

    @staticmethod
    def _marked(pieces: list[str]) -> list[tuple[bool, str]]:
        return [(place == len(pieces) - 1, piece) for place, piece in enumerate(pieces)]

    def sum(self, box: Terms) -> str:
        """A sum on one line."""
        parts = []
        for place, (negative, term) in enumerate(box.terms):
            sign = f"{self.minus if negative else self.plus} " if place else (self.minus if negative else "")
            parts.append(sign + self.show(term))
        return " ".join(parts)

    def _terms(self, box: Terms, deep: bool) -> list[str]:
        found: list[str] = []
        for place, (negative, term) in enumerate(box.terms):
            pieces = self.fragments(term, deep)
            sign = (self.minus if negative else "") if not place else f"{self.minus if negative else self.plus} "
            found += [sign + pieces[0], *pieces[1:]]
        return found

    def _row(self, box: Row, deep: bool) -> list[str]:
        inner = [self.fragments(part, deep) for part in box.parts]
        found = inner[0]
        for pieces in inner[1:]:
            found = [*found, *pieces] if deep else [*found[:-1], found[-1] + self.space + pieces[0], *pieces[1:]]
        return found

    def _enclosed(self, kind: str, body: Box, deep: bool) -> list[str]:
        pieces = self.fragments(body, deep)
        left, right = self.pair(kind, body)
        if len(pieces) == 1:
            return [f"{left}{pieces[0]}{right}"]
        return [left + pieces[0], *pieces[1:-1], pieces[-1] + right]


def filled(pieces: Sequence[tuple[str, int]], first: int, rest: int) -> list[list[str]]:
    """Pieces with their widths, filled into lines of at most so many columns (a piece that is wider stands alone)."""
    lines: list[list[str]] = [[]]
    room = first
    for piece, wide in pieces:
        if lines[-1] and wide + 1 > room:
            lines.append([])
            room = rest
        lines[-1].append(piece)
        room -= wide + 1
    return lines
