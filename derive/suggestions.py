"""Suggestions: what was written -> what to write instead, in words. Holds the wording of refusals; knows no nodes."""

from __future__ import annotations

import ast
import difflib
import keyword
import re
import unicodedata
from collections.abc import Iterable

STATEMENT_FORMS = "statements are declarations (W: (n, m)), equations (h[t]: n = …), asserts and one objective"
MAX_COMPARED = 24
EXPRESSION_FORMS = "see docs/language.md for the expressions there are"

# Statements of Python that the language does not have: what they are called, and what to write.
STATEMENTS: dict[str, tuple[str, str]] = {
    "Import": ("an import", "a recurrence file stands alone"),
    "ImportFrom": ("an import", "a recurrence file stands alone"),
    "FunctionDef": ("def", "elementwise functions are written phi = lambda u: u/(1 + abs(u))"),
    "AsyncFunctionDef": ("async def", "elementwise functions are written phi = lambda u: u/(1 + abs(u))"),
    "ClassDef": ("class", STATEMENT_FORMS),
    "For": ("a loop", "an equation with [t] holds at every step"),
    "AsyncFor": ("a loop", "an equation with [t] holds at every step"),
    "While": ("a loop", "an equation with [t] holds at every step"),
    "If": ("if", "choose between values with where(a > b, x, y)"),
    "AugAssign": ("an assignment with an operator", "write the equation in full, h[t]: n = …"),
    "Assign": ("an assignment to several names", "give each name its own equation"),
}

# Expressions of Python that the language does not have.
EXPRESSIONS: dict[str, tuple[str, str]] = {
    "Lambda": ("a lambda inside an expression", "give it a line of its own: phi = lambda u: …"),
    "IfExp": ("if … else", "write where(a > b, x, y)"),
    "NamedExpr": (":=", "give the value an equation of its own"),
    "JoinedStr": ("an f-string", EXPRESSION_FORMS),
    "BoolOp": ("and, or", "nest where(a > b, where(c > d, x, y), y)"),
    "Not": ("not", "turn the comparison round"),
    "Invert": ("~", EXPRESSION_FORMS),
    "List": ("a list", "vectors are written concat(a, b)"),
    "Tuple": ("a tuple", "vectors are written concat(a, b)"),
    "ListComp": ("a comprehension", "sums over time are written sum(… for t in steps)"),
    "SetComp": ("a comprehension", "sums over time are written sum(… for t in steps)"),
    "DictComp": ("a comprehension", "sums over time are written sum(… for t in steps)"),
    "GeneratorExp": ("a comprehension", "sums over time are written sum(… for t in steps)"),
    "Starred": ("a star", EXPRESSION_FORMS),
    "Slice": ("a range", "components are written z[t][0:n]"),
    "Set": ("a set", EXPRESSION_FORMS),
    "Dict": ("a dict", EXPRESSION_FORMS),
    "Await": ("await", EXPRESSION_FORMS),
    "Yield": ("yield", EXPRESSION_FORMS),
    "YieldFrom": ("yield", EXPRESSION_FORMS),
}

# Operators of Python that the language does not have: their signs and what to write.
OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.BitXor: ("^", ""),
    ast.Mod: ("%", "sin and cos are the periodic functions"),
    ast.FloorDiv: ("//", "/ divides"),
    ast.LShift: ("<<", "multiply by a power of 2"),
    ast.RShift: (">>", "divide by a power of 2"),
    ast.BitOr: ("|", "use maximum(a, b)"),
    ast.BitAnd: ("&", "use minimum(a, b)"),
}

_SIGNS = {
    "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "²": "**2",
    "³": "**3", "≤": "<=", "≥": ">=", "≠": "!=", "…": "...", "∑": "sum(… for t in steps)", "“": '"', "”": '"', "„": '"',
}  # fmt: skip


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The closest of the known names, or nothing. Long names are left out, which take long to compare."""
    if len(name) > MAX_COMPARED:
        return ""
    short = sorted({other for other in known if len(other) <= MAX_COMPARED})
    return next(iter(difflib.get_close_matches(name, short, 1, cutoff)), "")


def near(name: str, known: Iterable[str]) -> str:
    """`did you mean …? otherwise ` with the closest of the known names, or nothing."""
    found = closest(name, known)
    return f"did you mean {found}? otherwise " if found else ""


def spelled(word: str) -> str:
    """How to write a word that is not ASCII."""
    if word in _SIGNS:
        return f"write {_SIGNS[word]}"
    parts = [_letter(character) for character in word]
    plain = "".join(part for part in parts if part)
    if all(parts) and plain.isascii() and len(word) < 40:
        return f"names are ASCII letters, digits and underscores; spell it out: {'lam' if plain == 'lambda' else plain}"
    return "names are ASCII letters, digits and underscores, with Greek spelled out: alpha, lam"


def _letter(character: str) -> str:
    if character.isascii():
        return character
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (?:FINAL )?([A-Z]+)", unicodedata.name(character, ""))
    if greek:
        letter = greek.group(2).replace("LAMDA", "LAMBDA")
        return letter.capitalize() if greek.group(1) == "CAPITAL" else letter.lower()
    folded = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return folded if folded.isidentifier() else ""


def syntax_hint(message: str, line: str) -> str:
    """What to write where Python's parser gave up."""
    if "was never closed" in message:
        return "close it, on this line or on a later one"
    if "indent" in message:
        return "statements start in the first column; a long one goes on inside its parentheses"
    if "assign to function call" in message:
        return "values outside the steps are written in brackets: h[0] = …"
    words = re.findall(r"[A-Za-z_]\w*", line.split("#")[0])
    odd = next((word for word in words if keyword.iskeyword(word) and word not in ("for", "in")), None)
    if re.match(r"\s*(for|in)\s*(\[t\])?\s*[:=]", line):
        odd = words[0]
    if odd and message.startswith("invalid syntax") or message.startswith("cannot assign to") and odd:
        return keyword_hint(odd)
    if re.match(r"\s*\w+\s*(\[t\])?\s*:\s*\w+\s*,", line):
        return "two dims stand in parentheses: W: (n, m)"
    return "see docs/language.md for the statements there are"


def keyword_hint(word: str) -> str:
    """What to write in place of a word of Python."""
    return (
        f"{word} is a word of Python and no name; choose another, such as {'lam' if word == 'lambda' else word + '_1'}"
    )


def declaration(name: str, dims: str) -> str:
    """The line that declares a name: dims as in `n, m`."""
    return f"{name}: ({dims})" if "," in dims else f"{name}: {dims or 'scalar'}"


def plural(count: int, noun: str) -> str:
    """`1 argument`, `2 arguments`, `2 indices`."""
    return f"{count} {noun if count == 1 else ('indices' if noun == 'index' else noun + 's')}"
