"""Errors of the derivation stages: where, what is wrong in the user's own names, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a recurrence file: file name, line and columns from 1, and the line's text."""

    file: str
    line: int
    column: int | None = None
    end_column: int | None = None
    text: str = ""


class RecurrenceError(ValueError):
    """A recurrence that cannot be read, derived or scheduled.

    The message has the form `file:line:column: problem`, the line with a caret below it, and a hint.
    """

    def __init__(self, problem: str, hint: str = "", where: Location | None = None) -> None:
        self.problem, self.hint, self.where = problem, hint, where
        super().__init__(problem, hint, where)

    def at(self, where: Location) -> RecurrenceError:
        """The same error with a place, unless it already has one."""
        return self if self.where is not None else type(self)(self.problem, self.hint, where)

    def __str__(self) -> str:
        place = self.where
        lines = [self.problem]
        if place is not None:
            column = f":{place.column}" if place.column is not None else ""
            lines = [f"{place.file}:{place.line}{column}: {self.problem}"]
            if place.text and place.column is not None:
                width = max(1, (place.end_column or place.column + 1) - place.column)
                width = min(width, max(1, len(place.text) - place.column + 1))
                lines += [f"    {place.text}", "    " + " " * (place.column - 1) + "^" * width]
        return "\n".join(lines + [f"  {line}" for line in self.hint.splitlines()])


class ShapeError(RecurrenceError):
    """Operands whose shapes do not fit."""
