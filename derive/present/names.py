"""Names: the names of a derivation -> how they look in text and in LaTeX, no two alike.

Greek is spelled out in files and printed as Greek; digits, parts after an underscore and the second letter of `Wi`
become subscripts; `W_bar` gets a bar. A name whose look is taken is printed as it is written, in typewriter letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LOWER = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon "
    "phi chi psi omega"
)
_LETTERS = "αβγδϵζηθικλμνξοπρστυφχψω"
_CAPITALS = {"Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ",
             "Upsilon": "Υ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω"}  # fmt: skip
GREEK: dict[str, tuple[str, str]] = {
    **{
        name: (sign, "o" if name == "omicron" else rf"\{name}")
        for name, sign in zip(_LOWER.split(), _LETTERS, strict=True)
    },
    **{name: (sign, rf"\{name}") for name, sign in _CAPITALS.items()},
    "lam": ("λ", r"\lambda"),
    "eps": ("ϵ", r"\epsilon"),
}
ACCENTS = {
    "bar": ("\u0304", r"\bar"),
    "hat": ("\u0302", r"\hat"),
    "tilde": ("\u0303", r"\tilde"),
    "dot": ("\u0307", r"\dot"),
}
_PART = re.compile(r"([A-Za-z]+)(\d*)\Z")


@dataclass(frozen=True, slots=True)
class Look:
    """How a name is printed: in text, and in LaTeX as a base and what stands in its subscript."""

    text: str
    base: str
    subscript: str = ""

    def latex(self, sub: str = "") -> str:
        """The LaTeX, with a further subscript where one is given."""
        parts = [part for part in (self.subscript, sub) if part]
        joined = r",\,".join(parts)
        return f"{self.base}_{{{joined}}}" if parts else self.base


def _split(word: str) -> tuple[str, str] | None:
    """A letter and its subscript: `Wi`, `Whh`, `hf`; not `dt` and not a word."""
    short = len(word) == 2 and word[0] != "d"
    return (word[0], word[1:]) if short or (len(word) == 3 and word[0].isupper() and word[1:].islower()) else None


def _subscript(part: str) -> str:
    match = _PART.match(part)
    if match and match.group(1) in GREEK:
        return GREEK[match.group(1)][1] + (f" {match.group(2)}" if match.group(2) else "")
    return part if len(part) <= 2 or part.isdigit() else rf"\mathrm{{{part}}}"


def look(name: str) -> Look:
    """How a name looks by itself."""
    parts = name.split("_")
    match = _PART.match(parts[0])
    if not all(parts) or match is None:
        return as_written(name)
    accent = ACCENTS[parts.pop()] if len(parts) > 1 and parts[-1] in ACCENTS else None
    word, digits = match.groups()
    subscripts = ([digits] if digits else []) + parts[1:]
    text = GREEK[word][0] if word in GREEK else word
    if word in GREEK or len(word) == 1:
        base = GREEK[word][1] if word in GREEK else word
    elif pair := _split(word):
        base, subscripts = pair[0], [pair[1], *subscripts]
    else:
        base = rf"\mathit{{{word}}}"
    if accent:
        text = "_".join([f"{text}{accent[0]}" + digits, *parts[1:]]) if len(text) == 1 else name
        base = rf"{accent[1]}{{{base}}}"
    else:
        text = "_".join([text + digits, *parts[1:]])
    return Look(unicodedata.normalize("NFC", text), base, ",".join(_subscript(part) for part in subscripts))


def as_written(name: str) -> Look:
    """A name letter by letter."""
    return Look(name, rf"\mathtt{{{name.replace('_', chr(92) + '_')}}}")


def looks(names: Iterable[str], taken: Iterable[str]) -> Mapping[str, Look]:
    """How every name looks; of two that look alike the first keeps its look. taken: signs that no name may be."""
    used = set(taken)
    found: dict[str, Look] = {}
    for name in dict.fromkeys(names):
        shown = look(name)
        if shown.latex() in used or shown.text in used:
            shown = as_written(name)
        found[name] = shown
        used |= {shown.latex(), shown.text}
    return found
