"""Text: Derivation -> the numbered steps in Unicode, within a number of columns."""

from __future__ import annotations

import textwrap
from functools import singledispatchmethod

from derive.derivation import Derivation
from derive.exposition import Exposition, Step, exposition
from derive.nodes import ATOM, PRODUCT
from derive.present.printer import Printer, filled, juxtaposed, names_of, width
from derive.present.references import REFERENCES, cited
from derive.recurrence import Recurrence
from derive.sections.boxes import (
    Big,
    Box,
    Call,
    Choice,
    Circled,
    Fence,
    Fraction,
    Glyph,
    Listing,
    Name,
    Partial,
    Relation,
    Row,
    Script,
    Terms,
    Total,
    Unfolding,
    Whole,
)  # fmt: skip
from derive.sections.boxes import fenced as bracketed

_RAISED = {"2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹"}
_SIGNS = {"<=": "≤", ">=": "≥", "!=": "≠", "==": "="}


class TextPrinter(Printer):
    """Boxes as Unicode."""

    @singledispatchmethod
    def show(self, box: Box) -> str:
        """The box on one line. Raises TypeError for a kind without a form."""
        raise TypeError(f"no printing of {type(box).__name__}")

    @show.register
    def _(self, box: Name) -> str:
        return self.names[box.name].text

    @show.register
    def _(self, box: Glyph) -> str:
        return box.text

    @show.register
    def _(self, box: Script) -> str:
        shown = self.show(box.base)
        if box.sub is not None:
            shown = f"({shown})" if isinstance(box.base, Name) and "_" in shown else shown
            sub = self.show(box.sub).replace(", ", ",")
            shown += f"_{sub}" if sub.replace("′", "").isalnum() else f"_{{{sub}}}"
        if box.sup is None:
            return shown
        sup = self.show(box.sup)
        if isinstance(box.sup, Glyph) and set(sup) <= set("⁻¹ᵀ′⁺"):
            return shown + sup
        return shown + (_RAISED.get(sup) or (f"^{sup}" if sup.isalnum() else f"^({sup})"))

    @show.register
    def _(self, box: Call) -> str:
        spaced = juxtaposed(box)
        inner = ", ".join(self.show(argument) for argument in box.arguments)
        return f"{self.show(box.head)} {inner}" if spaced else f"{self.show(box.head)}({inner})"

    @show.register
    def _(self, box: Fence) -> str:
        left, right = self.pair(box.pair, box.body)
        return f"{left}{self.show(box.body)}{right}"

    @show.register
    def _(self, box: Whole) -> str:
        return self.show(box.body)

    @show.register
    def _(self, box: Listing) -> str:
        joint = {",": ", ", ";": "; ", "×": "×", ":": ":", "=": "=", "": ""}[box.separator]
        return joint.join(self.show(part) for part in box.parts)

    @show.register
    def _(self, box: Row) -> str:
        return " ".join(self.show(part) for part in box.parts)

    @show.register
    def _(self, box: Circled) -> str:
        return f" {self.show(box.sign)} ".join(self.show(part) for part in box.parts)

    @show.register
    def _(self, box: Fraction) -> str:
        return f"{self.show(bracketed(box.top, PRODUCT))}/{self.show(bracketed(box.bottom, ATOM))}"

    @show.register
    def _(self, box: Partial) -> str:
        return f"∂{self.show(box.top)}/∂{self.show(box.bottom)}"

    @show.register
    def _(self, box: Total) -> str:
        return f"d{self.show(box.top)}/d{self.show(box.bottom)}"

    @show.register
    def _(self, box: Terms) -> str:
        return self.sum(box)

    @show.register
    def _(self, box: Big) -> str:
        return f"{self.head(box)} {self.show(box.body)}"

    @show.register
    def _(self, box: Choice) -> str:
        sign = _SIGNS.get(box.relation, box.relation)
        test = f"{self.show(box.left)} {sign} {self.show(box.right)}"
        return f"{self.show(box.then)} if {test} else {self.show(box.otherwise)}"

    @show.register
    def _(self, box: Relation) -> str:
        return f"{self.show(box.left)} {box.sign} {self.show(box.right)}"

    @show.register
    def _(self, box: Unfolding) -> str:
        uses = ",".join(self.show(part) for part in box.uses)
        return (f" ─{uses}→ " if uses else " → ").join(self.show(state) for state in box.states)

    def head(self, box: Big) -> str:
        """`Σ_t`, `Σ_{t=T−2}^T`."""
        lower = self.show(box.lower).replace(", ", ",")
        sign = f"Σ_{lower}" if lower.isalnum() else f"Σ_{{{lower}}}"
        return sign if box.upper is None else f"{sign}^{{{self.show(box.upper)}}}"


def formula(printer: TextPrinter, step: Step, columns: int) -> list[str]:
    """The formula of a step in lines of at most so many columns."""
    chain = (step.before, *step.after)
    whole = " = ".join(printer.show(part) for part in chain)
    if width(whole) <= columns:
        return [whole]
    for deep in (False, True):
        pieces = []
        for place, part in enumerate(chain):
            shown = printer.fragments(part, deep)
            pieces += [f"= {shown[0]}" if place else shown[0], *shown[1:]]
        lines = [" ".join(line) for line in filled([(piece, width(piece)) for piece in pieces], columns, columns - 4)]
        lines = [line if not place else "    " + line for place, line in enumerate(lines)]
        if all(width(line) <= columns for line in lines):
            return lines
    return [
        part
        for line in lines
        for part in (textwrap.wrap(line, columns, subsequent_indent=" " * 8) if width(line) > columns else [line])
    ]


def sentence(printer: TextPrinter, step: Step) -> str:
    """The sentence of a step, its numbers in parentheses."""
    return "".join(
        part if isinstance(part, str) else (f"({part})" if isinstance(part, int) else printer.show(part))
        for part in step.because
    )


def plain(text: str) -> str:
    """A text of the user on one line, without anything that does not print."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())


def to_text(derivation: Derivation, width: int = 100) -> str:
    """The derivation as numbered lines of Unicode text.

    width: columns; formulas are broken at signs to fit. Raises: RecurrenceError where a node has no notation.
    """
    return write_text(exposition(derivation), derivation.source, width)


def headline(told: Exposition, recurrence: Recurrence) -> str:
    """What is told, and of which recurrence."""
    return f"{told.heading}: {plain(recurrence.title) or plain(recurrence.name)}"


def write_text(told: Exposition, recurrence: Recurrence, width: int) -> str:
    """An exposition as text within so many columns."""
    found = told.steps
    printer = TextPrinter(names_of(found))
    lines = textwrap.wrap(headline(told, recurrence), width)
    indent = " " * (len(str(len(found))) + 4)
    number = 0
    for step in found:
        if step.section != number:
            number = step.section
            heading = f"{number}. {told.sections[number]}"
            lines += ["", heading, "─" * len(heading)]
        label = f"({step.number})".ljust(len(indent))
        shown = formula(printer, step, width - len(indent))
        lines += [(label if not place else indent) + line for place, line in enumerate(shown)]
        note = f"{step.rule}: {sentence(printer, step)}" + (f" [{step.source}]" if step.source else "")
        lines += textwrap.wrap(note, width, initial_indent=indent + "  ", subsequent_indent=indent + "  ")
    keys = cited(found, headline(told, recurrence))
    if keys:
        lines += ["", "References", "──────────"]
        for key in keys:
            entry = REFERENCES[key]
            lines += textwrap.wrap(
                f"[{key}] {entry.authors} ({entry.year}). {entry.title}.", width, subsequent_indent="    "
            )
    return "\n".join(lines) + "\n"
