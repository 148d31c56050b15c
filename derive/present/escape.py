"""Escaping: any text -> LaTeX of plain ASCII that prints it and does nothing else."""

from __future__ import annotations

import unicodedata

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{c: f"\\{c}" for c in "{}$&#%_"},
    **{c: f"{{{c}}}" for c in "-`'?!"},  # in braces, so that two of them never become one sign
}
_SIGNS = {
    "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "–": "--", "—": "---", "‘": "{`}", "’": "{'}", "“": "``", "”": "''",
    "…": r"\ldots{}", "×": r"$\times$", "·": r"$\cdot$", "−": "$-$", "′": "$'$", "≤": r"$\le$", "≥": r"$\ge$",
    "→": r"$\to$", "∂": r"$\partial$", "Σ": r"$\Sigma$", "∈": r"$\in$",
}  # fmt: skip
_ACCENTS = {
    "\u0300": r"\`", "\u0301": r"\'", "\u0302": r"\^", "\u0303": r"\~", "\u0304": r"\=", "\u0306": r"\u",
    "\u0307": r"\.", "\u0308": r"\"", "\u030a": r"\r", "\u030b": r"\H", "\u030c": r"\v", "\u0327": r"\c",
}  # fmt: skip


def _character(c: str) -> str:
    known = _SPECIAL.get(c) or _SIGNS.get(c)
    if known:
        return known
    if c.isascii() and c.isprintable():
        return c
    parts = unicodedata.normalize("NFD", c)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        base = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
        return f"{_ACCENTS[parts[1]]}{{{base}}}"
    return f"[U+{ord(c):04X}]"


def escape(text: str) -> str:
    """The text as LaTeX: specials as signs, letters with their accents, anything else by its code point."""
    return "".join(_character(c) for c in " ".join(unicodedata.normalize("NFC", text).split()))
