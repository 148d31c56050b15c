"""LaTeX: Derivation -> a document for pdflatex, its body alone, or the main equations for a notebook.

Formulas are made of boxes; the only text of the user that gets in is names, which are letters, digits and
underscores, and the title, which is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatchmethod
from itertools import groupby
from pathlib import Path

import jinja2

from derive.derivation import Derivation
from derive.exposition import Exposition, Step, exposition, steps
from derive.present.escape import escape
from derive.present.printer import Printer, filled, juxtaposed, names_of, width
from derive.present.references import REFERENCES, cited
from derive.present.text import TextPrinter, headline
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
    walk_boxes,
)  # fmt: skip

COLUMNS = 78  # of the text form, about what fits beside an equation number
MAIN = ("equation", "objective", "adjoint system", "sensitivity", "boundary condition", "gradient")
_SIGNS = {"∈": r"\in", "≤": r"\le", "=": "="}
_COMPARISONS = {"<=": r"\le", ">=": r"\ge", "!=": r"\ne", "==": "=", "<": "<", ">": ">"}
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined, autoescape=False,
    trim_blocks=True, lstrip_blocks=True, block_start_string="<%", block_end_string="%>",
    variable_start_string="<<", variable_end_string=">>",
    comment_start_string="<#", comment_end_string="#>",
)  # fmt: skip


class LatexPrinter(Printer):
    """Boxes as LaTeX in math mode."""

    space, minus = r"\, ", "-"

    @singledispatchmethod
    def show(self, box: Box) -> str:
        """The box on one line. Raises TypeError for a kind without a form."""
        raise TypeError(f"no printing of {type(box).__name__}")

    def pair(self, kind: str, body: Box) -> tuple[str, str]:
        """Delimiters that are taller around fractions."""
        left, right = {"‖‖": (r"\|", r"\|"), "||": ("|", "|"), "{}": (r"\{", r"\}")}.get(kind, (kind[0], kind[1]))
        tall = any(isinstance(part, (Fraction, Partial, Choice, Big)) for part in walk_boxes(body))
        return (rf"\Bigl{left}", rf"\Bigr{right}") if tall else (left, right)

    @show.register
    def _(self, box: Name) -> str:
        return self.names[box.name].latex()

    @show.register
    def _(self, box: Glyph) -> str:
        return box.latex

    @show.register
    def _(self, box: Script) -> str:
        sub = self.show(box.sub) if box.sub is not None else ""
        raised = f"^{{{self.show(box.sup)}}}" if box.sup is not None else ""
        if isinstance(box.base, Name):
            return self.names[box.base.name].latex(sub) + raised
        shown = f"{{{self.show(box.base)}}}" if isinstance(box.base, Script) else self.show(box.base)
        shown = r"\operatorname{sqrt}" if shown == r"\sqrt" else shown  # the root sign takes no script
        return shown + (f"_{{{sub}}}" if sub else "") + raised

    @show.register
    def _(self, box: Call) -> str:
        inner = ", ".join(self.show(argument) for argument in box.arguments)
        head = self.show(box.head)
        if head == r"\sqrt":
            return rf"\sqrt{{{inner}}}"
        left, right = self.pair("()", Listing(box.arguments))
        return rf"{head}\, {inner}" if juxtaposed(box) else f"{head}{left}{inner}{right}"

    @show.register
    def _(self, box: Fence) -> str:
        left, right = self.pair(box.pair, box.body)
        return f"{left}{self.show(box.body)}{right}"

    @show.register
    def _(self, box: Whole) -> str:
        return self.show(box.body)

    @show.register
    def _(self, box: Listing) -> str:
        joint = {",": ", ", ";": r";\, ", "×": r" \times ", ":": ":", "=": "=", "": " "}[box.separator]
        return joint.join(self.show(part) for part in box.parts)

    @show.register
    def _(self, box: Row) -> str:
        return r"\, ".join(self.show(part) for part in box.parts)

    @show.register
    def _(self, box: Circled) -> str:
        return f" {self.show(box.sign)} ".join(self.show(part) for part in box.parts)

    @show.register
    def _(self, box: Fraction) -> str:
        return rf"\frac{{{self.show(box.top)}}}{{{self.show(box.bottom)}}}"

    @show.register
    def _(self, box: Partial) -> str:
        return rf"\frac{{\partial {self.show(box.top)}}}{{\partial {self.show(box.bottom)}}}"

    @show.register
    def _(self, box: Total) -> str:
        return rf"\frac{{\mathrm{{d}} {self.show(box.top)}}}{{\mathrm{{d}} {self.show(box.bottom)}}}"

    @show.register
    def _(self, box: Terms) -> str:
        return self.sum(box)

    @show.register
    def _(self, box: Big) -> str:
        return f"{self.head(box)} {self.show(box.body)}"

    @show.register
    def _(self, box: Choice) -> str:
        test = f"{self.show(box.left)} {_COMPARISONS[box.relation]} {self.show(box.right)}"
        return (rf"\begin{{cases}} {self.show(box.then)} & \text{{if }} {test} \\ "
                rf"{self.show(box.otherwise)} & \text{{otherwise}} \end{{cases}}")  # fmt: skip

    @show.register
    def _(self, box: Relation) -> str:
        return f"{self.show(box.left)} {_SIGNS[box.sign]} {self.show(box.right)}"

    @show.register
    def _(self, box: Unfolding) -> str:
        uses = ", ".join(self.show(part) for part in box.uses)
        arrow = rf" \xrightarrow{{{uses}}} " if uses else r" \longrightarrow "
        return arrow.join(self.show(state) for state in box.states)

    def head(self, box: Big) -> str:
        r"""`\sum_{t}`, `\sum_{t=T-2}^{T}`."""
        upper = f"^{{{self.show(box.upper)}}}" if box.upper is not None else ""
        return rf"\sum_{{{self.show(box.lower)}}}{upper}"


def formula(latex: LatexPrinter, text: TextPrinter, step: Step) -> str:
    """The formula of a step; broken into aligned lines where its text form is too long for a page."""
    chain = (step.before, *step.after)
    if width(" = ".join(text.show(part) for part in chain)) <= COLUMNS:
        return " = ".join(latex.show(part) for part in chain)
    for deep in (False, True):
        pieces: list[tuple[str, int]] = []
        for place, part in enumerate(chain):
            shown = zip(latex.fragments(part, deep), text.fragments(part, deep), strict=True)
            pieces += [
                ((("= " if place and not first else "") + tex), width(plain) + 2)
                for first, (tex, plain) in enumerate(shown)
            ]
        if all(wide <= COLUMNS for _, wide in pieces):
            break
    lines = [" ".join(line) for line in filled(pieces, COLUMNS, COLUMNS - 4)]
    body = " \\\\\n&\\qquad ".join(lines)
    return f"\\begin{{aligned}}\n&{body}\n\\end{{aligned}}"


def sentence(latex: LatexPrinter, step: Step) -> str:
    """The sentence of a step, formulas in line, numbers of other steps as links."""
    parts = []
    for part in step.because:
        parts.append(
            escape_prose(part)
            if isinstance(part, str)
            else (rf"\eqref{{eq:{part}}}" if isinstance(part, int) else f"${latex.show(part)}$")
        )
    return "".join(parts)


def escape_prose(part: str) -> str:
    """A part of a sentence, its spaces at the ends kept."""
    left, right = " " * (part[:1] == " "), " " * (part[-1:] == " " and len(part) > 1)
    return left + escape(part) + right


def to_latex(derivation: Derivation, document: bool = True) -> str:
    """The derivation as LaTeX: a complete document, or its body alone.

    The document needs pdflatex with amsmath and hyperref, and two passes for its links. Raises: RecurrenceError where
    a node has no notation.
    """
    return write_latex(exposition(derivation), derivation.source, document)


def write_latex(told: Exposition, recurrence: Recurrence, document: bool) -> str:
    """An exposition as a document, or its body alone."""
    found = told.steps
    names = names_of(found)
    latex, text = LatexPrinter(names), TextPrinter(names)
    sections = []
    for number, group in groupby(found, key=lambda step: step.section):
        entries = []
        for (rule, said, source), run in groupby(
            group, key=lambda step: (step.rule, sentence(latex, step), step.source)
        ):
            lines = [{"number": step.number, "formula": formula(latex, text, step)} for step in run]
            entries.append(
                {"rule": escape(rule[0].upper() + rule[1:]), "sentence": said, "source": source, "lines": lines}
            )
        sections.append({"number": number, "title": escape(told.sections[number]), "entries": entries})
    references = _references(found, headline(told, recurrence))
    body = _TEMPLATES.get_template("body.tex.j2").render(
        sections=sections,
        references=references,
        widest=max((str(entry["key"]) for entry in references), key=len, default=""),
    )
    if not document:
        return body
    title = escape(headline(told, recurrence))
    return _TEMPLATES.get_template("document.tex.j2").render(title=title, body=body) + "\n"


def _references(found: Sequence[Step], title: str) -> list[dict[str, object]]:
    known = [(key, REFERENCES[key]) for key in cited(found, title)]
    return [{"key": key, "authors": escape(r.authors), "title": escape(r.title), "year": r.year} for key, r in known]


def repr_latex(derivation: Derivation) -> str:
    """The model, the adjoint system and the gradients as one display for a notebook."""
    found = steps(derivation)
    latex = LatexPrinter(names_of(found))
    lines = []
    for step in found:
        if step.rule in MAIN and step.section < 7:
            right = " = ".join(latex.show(part) for part in step.after)
            lines.append(f"{latex.show(step.before)} &= {right}" if right else f"& {latex.show(step.before)}")
    return "$$\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}$$"
