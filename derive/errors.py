"""Errors of the derivation stages: where, what is wrong in the user's own names, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PROBLEM = 400
MAX_EXCERPT = 120


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a recurrence file: file name, line and columns from 1, and the line's text."""

    file: str
    line: int
    column: int | None = None
    end_column: int | None = None
    text: str = ""

    def excerpt(self) -> list[str]:
        """The line and carets below the columns; a long line is cut around them, a tab shows as one space."""
        if not self.text or self.column is None:
            return []
        text = "".join(c if c.isprintable() else " " for c in self.text)
        column = min(self.column, len(text) + 1)
        width = max(1, min((self.end_column or column + 1), len(text) + 1) - column)
        start = max(0, column - 1 - MAX_EXCERPT // 3) if len(text) > MAX_EXCERPT else 0
        shown = text[start : start + MAX_EXCERPT]
        width = max(1, min(width, start + len(shown) - column + 1))
        left, right = "…" if start else "", "…" if start + len(shown) < len(text) else ""
        return [f"    {left}{shown}{right}", " " * (4 + len(left) + column - 1 - start) + "^" * width]


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
        place, problem = self.where, self.problem
        if len(problem) > MAX_PROBLEM:
            problem = f"{problem[: MAX_PROBLEM // 2]} … {problem[-MAX_PROBLEM // 2 :]}"
        lines = [problem]
        if place is not None:
            column = f":{place.column}" if place.column is not None else ""
            lines = [f"{place.file}:{place.line}{column}: {problem}", *place.excerpt()]
        return "\n".join(lines + [f"  {line}" for line in self.hint.splitlines()])


class ShapeError(RecurrenceError):
    """Operands whose shapes do not fit."""
