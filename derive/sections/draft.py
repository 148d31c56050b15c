"""Drafts: steps before they are numbered; sentences point to other drafts, which numbering turns into numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derive.sections.boxes import Box


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A step without its number: the formula `before = after[0] = …`, rule, sentence in parts, source's key."""

    section: int
    rule: str
    before: Box
    after: tuple[Box, ...]
    because: tuple[str | Box | Draft, ...]
    source: str | None = None


def draft(
    section: int,
    rule: str,
    before: Box,
    *after: Box,
    because: str | tuple[str | Box | Draft, ...],
    source: str | None = None,
) -> Draft:
    """A draft; a sentence may be a string or parts."""
    return Draft(section, rule, before, after, (because,) if isinstance(because, str) else because, source)


def listed(boxes: Sequence[Box], word: str = "and") -> tuple[str | Box, ...]:
    """Boxes as prose: `a`, `a and b`, `a, b and c`."""
    parts: list[str | Box] = []
    for place, box in enumerate(boxes):
        if place:
            parts.append(f" {word} " if place == len(boxes) - 1 else ", ")
        parts.append(box)
    return tuple(parts)
