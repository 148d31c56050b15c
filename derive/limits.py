"""Limits for text from users: bytes -> a Python syntax tree of bounded size, or a RecurrenceError.

Nothing is executed. What could exhaust Python's parser is refused before and after it runs.
"""

from __future__ import annotations

import ast
import re
from fractions import Fraction

from derive.errors import Location, RecurrenceError

MAX_BYTES = 64 * 1024
MAX_NODES = 10_000
MAX_NESTING = 100
MAX_INTEGER = 10**6
MAX_EXPONENT = 64
MAX_LAG = 1_000

_TOO_DEEP = "write long sums as terms of one sum, and give parts names of their own"


class Source:
    """The text of a recurrence file, with places for messages."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.lines = text.splitlines() or [""]

    def where(self, node: ast.AST | None = None, line: int = 1) -> Location:
        """The place of a syntax node."""
        row = getattr(node, "lineno", line)
        text = self.lines[row - 1] if row <= len(self.lines) else ""
        if node is None or not hasattr(node, "col_offset"):
            return Location(self.file, row, None, None, text)
        start = self._column(text, node.col_offset)
        same_line = getattr(node, "end_lineno", row) == row
        end = self._column(text, node.end_col_offset) if same_line else len(text)
        return Location(self.file, row, start + 1, end + 1, text)

    @staticmethod
    def _column(text: str, offset: int) -> int:
        return len(text.encode()[:offset].decode(errors="ignore"))

    def error(self, node: ast.AST | None, problem: str, hint: str = "") -> RecurrenceError:
        """An error at a syntax node."""
        return RecurrenceError(problem, hint, self.where(node))

    def decimal(self, node: ast.Constant) -> Fraction:
        """A literal as the exact decimal that was written."""
        if isinstance(node.value, int):
            if abs(node.value) >= MAX_INTEGER:
                raise self.error(node, f"the integer is too large; integers stay below {MAX_INTEGER}", "write it as 1e6 or so")
            return Fraction(node.value)
        written = ast.get_source_segment(self.text, node) or repr(node.value)
        exponent = re.search(r"[eE]([+-]?\d+)", written)
        if len(written) > 100 or (exponent and abs(int(exponent.group(1))) > 400):
            raise self.error(node, "the number has too many digits", "a float64 holds 17 digits and exponents to 308")
        return Fraction(written.replace("_", ""))


def read_source(text: str | bytes, file: str) -> Source:
    """Text within the limits on size and characters."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        raise RecurrenceError(f"{file} has {len(raw)} bytes; a recurrence file has at most {MAX_BYTES}", "")
    try:
        decoded = raw.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise RecurrenceError(f"{file} is not UTF-8: {error.reason} at byte {error.start}", "save the file as UTF-8") from None
    source = Source(decoded, file)
    for number, line in enumerate(source.lines, 1):
        odd = next((c for c in line if not c.isprintable() and c != "\t"), None)
        if odd is not None:
            raise RecurrenceError(f"a control character, {odd!r}", "remove it", Location(file, number, line.index(odd) + 1, None, ""))
    return source


def parse_tree(source: Source) -> ast.Module:
    """The file's syntax tree, within the limits on nesting and size."""
    _check_nesting(source)
    try:
        tree = ast.parse(source.text)
    except SyntaxError as error:
        row = min(error.lineno or 1, len(source.lines))
        text = source.lines[row - 1]
        where = Location(source.file, row, min(error.offset or 1, len(text) + 1), None, text)
        raise RecurrenceError(f"not readable: {error.msg}", "see docs/language.md for the statements there are", where) from None
    except (RecursionError, MemoryError, ValueError):
        raise RecurrenceError(f"{source.file} is nested too deeply", _TOO_DEEP) from None
    count = sum(isinstance(node, ast.expr) for node in ast.walk(tree))
    if count > MAX_NODES:
        raise RecurrenceError(f"{source.file} has {count} expression nodes; at most {MAX_NODES} are read", "write it with derive.Builder")
    return tree


def _check_nesting(source: Source) -> None:
    depth = 0
    for number, line in enumerate(source.lines, 1):
        code = line if '"' in line or "'" in line else line.split("#")[0]
        for column, character in enumerate(code, 1):
            depth += (character in "([{") - (character in ")]}")
            if depth > MAX_NESTING:
                where = Location(source.file, number, column, None, line[:200] if column < 200 else "")
                raise RecurrenceError(f"more than {MAX_NESTING} nested parentheses", _TOO_DEEP, where)
