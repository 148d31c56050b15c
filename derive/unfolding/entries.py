"""Entries: text such as `U[k,j]`, `h[0][k]` or `x[1][j]` -> which entry of which quantity a gradient is taken by."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import sympy as sp

from derive.errors import RecurrenceError
from derive.nodes import Kind, Pick, Quantity, ghost_at, shape_text
from derive.recurrence import Recurrence, Target
from derive.reserved import RESERVED

FORM = re.compile(r"\s*([A-Za-z_]\w*)\s*((?:\[[^\[\]]*\]\s*)*)\Z", re.ASCII)
POSITION = re.compile(r"(?:T\s*([+-]\s*\d{1,6})?|(-?\s*\d{1,6}))\Z", re.ASCII)
LETTERS = "ijklpqruvwabcdefghmnosxyz"
Index = int | str


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an array.

    target: a parameter or an input, or a value outside the steps; step: of an input sequence, else 0; indices: whole numbers from 0,
    or letters that stand for any.
    """

    target: Target
    step: int
    indices: tuple[Index, ...]

    def source(self) -> str:
        """As it is written: `U[k,j]`."""
        name = self.target.source() + (f"[{self.step}]" if self.step else "")
        return name + (f"[{','.join(map(str, self.indices))}]" if self.indices else "")


def read_entry(text: str, recurrence: Recurrence, steps: int) -> Entry:
    """Read which entry of a recurrence is meant, over so many steps.

    Raises: RecurrenceError saying what is wrong with it, and what can be written.
    """
    match = FORM.match(text)
    if match is None:
        raise RecurrenceError(f"{text[:80]!r} is not an entry", f"write a name and its indices: {_choices(recurrence)}")
    name, brackets = match[1], [part.strip() for part in re.findall(r"\[([^\]]*)\]", match[2])]
    quantity = recurrence.named.get(name)
    if quantity is None:
        near = difflib.get_close_matches(name, recurrence.named, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise RecurrenceError(f"{recurrence.name} has no {name}", meant + _there(recurrence))
    target, step = _place(recurrence, quantity, brackets, steps)
    rest = brackets[1:] if quantity.kind == Kind.TIMED else brackets
    if len(rest) > 1:
        raise RecurrenceError(f"{text} has too many brackets", f"write {_example(recurrence, target, step)}")
    parts = [part.strip() for part in rest[0].split(",")] if rest else []
    if len(parts) != len(quantity.shape):
        held = f"{name} is {shape_text(quantity.shape)}" + ("" if quantity.shape else ", a single number")
        counted = "no index" if not quantity.shape else f"{len(quantity.shape)} ind{'ex' if len(quantity.shape) == 1 else 'ices'}"
        raise RecurrenceError(f"{held}, and takes {counted}, not {len(parts)}", f"write {_example(recurrence, target, step)}")
    indices = tuple(_index(part, size, name, recurrence) for part, size in zip(parts, quantity.shape, strict=True))
    letters = [index for index in indices if isinstance(index, str)]
    if len(letters) != len(set(letters)):
        raise RecurrenceError(f"one letter stands for two indices of {name}", f"write {_example(recurrence, target, step)}")
    return Entry(target, step, indices)


def choices(recurrence: Recurrence) -> list[str]:
    """The entries that a gradient can be taken by, as they are written: parameters, values outside the steps, inputs."""
    found = [_example(recurrence, q, 0) for q in recurrence.of_role("parameter")]
    found += [_example(recurrence, ghost, 0) for ghost in recurrence.arguments]
    return found + [_example(recurrence, q, int(q.kind == Kind.TIMED)) for q in recurrence.of_role("input")]


def _choices(recurrence: Recurrence) -> str:
    found = choices(recurrence)
    return ", ".join(found[:8]) + (" and others" if len(found) > 8 else "")


def _there(recurrence: Recurrence) -> str:
    return f"there are {_choices(recurrence)}"


def _free(recurrence: Recurrence) -> list[str]:
    """Letters for indices that nothing in the recurrence is called by."""
    return [letter for letter in LETTERS if letter not in recurrence.named]


def _example(recurrence: Recurrence, target: Target, step: int) -> str:
    return Entry(target, step, tuple(_free(recurrence)[: len(target.shape)])).source()


def _place(recurrence: Recurrence, quantity: Quantity, brackets: list[str], steps: int) -> tuple[Target, int]:
    """The quantity, an input at a step, or a value outside the steps. Raises: RecurrenceError for anything computed."""
    name = quantity.name
    if quantity.role in ("constant", "index"):
        what = "a constant" if quantity.role == "constant" else "an index"
        raise RecurrenceError(f"{name} is {what} and has no gradient", _there(recurrence))
    if quantity.kind != Kind.TIMED:
        if quantity.role in ("parameter", "input"):
            return quantity, 0
        raise RecurrenceError(f"{name} is computed from other quantities", _there(recurrence))
    match = POSITION.match(brackets[0]) if brackets else None
    if match is None:
        example = _example(recurrence, *((quantity, 1) if quantity.role == "input" else (Pick(quantity, 0), 0)))
        raise RecurrenceError(f"{name} has a value for every step", f"say which, as in {example}")
    position = int(match[2].replace(" ", "")) if match[2] else steps + int((match[1] or "0").replace(" ", ""))
    if quantity.role == "input":
        if not 1 <= position <= steps:
            raise RecurrenceError(f"{name}[{position}] is outside the steps 1 to {steps}", "inputs are zero there")
        return quantity, position
    if 1 <= position <= steps:
        raise RecurrenceError(f"{name}[{position}] is computed from other quantities", _there(recurrence))
    ghost = ghost_at(quantity, position, steps)
    if ghost not in recurrence.arguments:
        why = "has an equation of its own" if ghost in recurrence.equation else "is not read by any equation"
        raise RecurrenceError(f"{ghost.source()} {why}", _there(recurrence))
    return ghost, 0


def _index(part: str, size: sp.Expr, name: str, recurrence: Recurrence) -> Index:
    if re.fullmatch(r"[0-9]{1,9}", part):
        if size.is_Integer and int(part) >= int(size):
            raise RecurrenceError(f"index {part} is too large: that side of {name} has {size}", f"indices run from 0 to {int(size) - 1}")
        return int(part)
    free = _free(recurrence)[:3]
    if not re.fullmatch(r"[a-z]", part):
        raise RecurrenceError(f"{part[:40]!r} is not an index", f"an index is a whole number from 0 or a letter, such as {', '.join(free)}")
    if part in recurrence.named or part in RESERVED:
        owner = "the step" if part == "t" else f"{part} of {recurrence.name}"
        raise RecurrenceError(f"the index {part} would be mistaken for {owner}", f"take another letter, such as {', '.join(free)}")
    return part
