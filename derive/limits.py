"""Limits for text from users: bytes -> a Python syntax tree of bounded size, or a RecurrenceError.

Nothing is executed. What could exhaust Python's parser or a later stage is refused here, before and after the one
`ast.parse`.
"""

from __future__ import annotations

import ast
import os
import re
import unicodedata
import warnings
from bisect import bisect_right
from fractions import Fraction

from derive.errors import Location, RecurrenceError
from derive.files import MAX_BYTES
from derive.suggestions import spelled, syntax_hint

MAX_NODES = 10_000
MAX_NESTING = 100
MAX_INTEGER = 10**6
MAX_EXPONENT = 64
MAX_LAG = 1_000
MAX_NAME = 64

_TOO_DEEP = "give parts of it names of their own"

# Strings and comments (group 1), which hold no code, or a run of code. A string that is never closed runs to the end.
_PIECES = re.compile(
    r"""(\"{3}[^"\\]*(?:(?:\\[\s\S]|"{1,2}(?!"))[^"\\]*)*(?:\"{3}|\\?\Z)"""
    r"""|'{3}[^'\\]*(?:(?:\\[\s\S]|'{1,2}(?!'))[^'\\]*)*(?:'{3}|\\?\Z)"""
    r"""|"(?:\\[\s\S]|[^"\\\n])*"?|'(?:\\[\s\S]|[^'\\\n])*'?|\#[^\n]*)|[^"'\#]+"""
)
_TOKENS = re.compile(r"[(\[{]|[)\]}]|[0-9][0-9A-Za-z_]*|[^\W\d]\w*|[^\x00-\x7f]")


class Source:
    """The text of a recurrence file, with places for messages."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.lines = text.split("\n")
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def where(self, node: ast.AST | None = None, line: int = 1) -> Location:
        """The place of a syntax node."""
        row = getattr(node, "lineno", line)
        text = self.lines[row - 1] if row <= len(self.lines) else ""
        if node is None or not hasattr(node, "col_offset"):
            return Location(self.file, row, None, None, text)
        start = self._column(text, node.col_offset)
        same_line = getattr(node, "end_lineno", row) == row
        end = self._column(text, getattr(node, "end_col_offset", 0)) if same_line else len(text)
        return Location(self.file, row, start + 1, end + 1, text)

    def span(self, start: int, end: int) -> Location:
        """The place of some characters of the text."""
        row = bisect_right(self._starts, start)
        first = self._starts[row - 1]
        return Location(self.file, row, start - first + 1, end - first + 1, self.lines[row - 1])

    def operator(self, tree: ast.BinOp, sign: str) -> Location:
        """The place of an operator's sign, or of the whole expression where it runs over several lines."""
        left, right = tree.left, tree.right
        whole = self.where(tree)
        if left.end_lineno != right.lineno:
            return whole
        text = self.lines[right.lineno - 1]
        column = text.find(sign, self._column(text, left.end_col_offset or 0), self._column(text, right.col_offset))
        return whole if column < 0 else Location(self.file, right.lineno, column + 1, column + len(sign) + 1, text)

    def written(self, node: ast.AST, length: int = 60) -> str:
        """A syntax node as the user wrote it, cut to a length."""
        place = self.where(node)
        text = place.text[(place.column or 1) - 1 : (place.end_column or 1) - 1]
        return text if len(text) <= length else f"{text[: length - 1]}…"

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
                problem = f"the integer is too large; integers stay below {MAX_INTEGER}"
                raise self.error(node, problem, "write it as a decimal, such as 1e6")
            return Fraction(node.value)
        written = self.written(node, MAX_BYTES).replace("_", "")
        exponent = re.search(r"[eE]([+-]?\d+)", written)
        if len(written) > 100 or (exponent and abs(int(exponent.group(1))) > 400):
            hint = "a float64 holds 17 digits and exponents to 308"
            raise self.error(node, "the number has too many digits", hint)
        return Fraction(written)


def read_source(text: str | bytes, file: str) -> Source:
    """Text within the limits on size and characters."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        problem = f"{file} is too long; a recurrence file has at most {MAX_BYTES} bytes"
        raise RecurrenceError(problem, "write large families with derive.Builder")
    try:
        decoded = raw.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        problem = f"{file} is not UTF-8: {error.reason} at byte {error.start}"
        raise RecurrenceError(problem, "save the file as UTF-8") from None
    source = Source(decoded, file)
    for number, line in enumerate(source.lines, 1):
        odd = next((c for c in line if not c.isprintable() and c != "\t"), None)
        if odd is not None:
            column = line.index(odd) + 1
            name = unicodedata.name(odd, "a control character").lower()
            where = Location(file, number, column, column + 1, line)
            raise RecurrenceError(
                f"an invisible character, {odd!r} ({name})", "remove it, or write a plain space", where
            )
    _check_tokens(source)
    return source


def _check_tokens(source: Source) -> None:
    """Refuse names that are long or not ASCII, which Python would fold into plain letters, and deep brackets."""
    depth = 0
    for piece in _PIECES.finditer(source.text):
        if piece.group(1) is not None:
            continue
        for token in _TOKENS.finditer(source.text, piece.start(), piece.end()):
            word = token.group()
            depth += (word in "([{") - (word in ")]}")
            if depth > MAX_NESTING:
                where = source.span(*token.span())
                raise RecurrenceError(f"more than {MAX_NESTING} nested parentheses", _TOO_DEEP, where)
            if not word.isascii():
                raise RecurrenceError(f"{word[:40]} is not ASCII", spelled(word), source.span(*token.span()))
            if (len(word) > MAX_NAME or word.startswith("__")) and not word[0].isdigit():
                hint = f"names have at most {MAX_NAME} characters and do not begin with two underscores"
                raise RecurrenceError(f"{word[:40]} is not a name", hint, source.span(*token.span()))


def parse_tree(source: Source) -> ast.Module:
    """The file's syntax tree, within the limits on nesting and size."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text, filename=os.devnull)  # Python opens a file of that name at a syntax error
    except SyntaxError as error:
        row = min(error.lineno or 1, len(source.lines))
        text = source.lines[row - 1]
        column = min(max(error.offset or 1, 1), len(text) + 1)
        end = error.end_offset if error.end_lineno == error.lineno else None
        where = Location(source.file, row, column, end if end and end > column else column + 1, text)
        raise RecurrenceError(f"not readable: {error.msg}", syntax_hint(str(error.msg), text), where) from None
    except (RecursionError, MemoryError, ValueError, OverflowError):
        raise RecurrenceError(
            f"{source.file} has an expression that is nested too deeply or too long", _TOO_DEEP
        ) from None
    count = sum(isinstance(node, ast.expr) for node in ast.walk(tree))
    if count > MAX_NODES:
        problem = f"{source.file} has {count} expression nodes; at most {MAX_NODES} are read"
        raise RecurrenceError(problem, "write large families with derive.Builder")
    _check_depth(tree, source)
    return tree


def _check_depth(tree: ast.Module, source: Source) -> None:
    """Sums and products of many terms are one level; anything else that holds an expression is one more."""
    stack: list[tuple[ast.AST, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_NESTING:
            raise source.error(node, f"more than {MAX_NESTING} operations inside one another", _TOO_DEEP)
        for child in ast.iter_child_nodes(node):
            inner = isinstance(child, ast.expr) and not _same_chain(node, child)
            stack.append((child, depth + inner))


def _same_chain(node: ast.AST, child: ast.AST) -> bool:
    if not (isinstance(node, ast.BinOp) and isinstance(child, ast.BinOp) and child is node.left):
        return False
    return any(isinstance(node.op, signs) and isinstance(child.op, signs) for signs in ((ast.Add, ast.Sub), ast.Mult))


def chain(tree: ast.BinOp, signs: type | tuple[type, ...]) -> list[tuple[ast.operator | None, ast.expr]]:
    """The operands of a chain of operators from left to right, each with the sign before it.

    Without recursion, since sums are long.
    """
    links: list[tuple[ast.operator | None, ast.expr]] = []
    left: ast.expr = tree
    while isinstance(left, ast.BinOp) and isinstance(left.op, signs):
        links.append((left.op, left.right))
        left = left.left
    return [(None, left), *reversed(links)]
