"""HTML: Derivation -> one page that holds all it needs: style, fonts, and KaTeX, which sets the formulas at load.

Formulas go into the page as the text that `latex` makes, so that they can be read and copied where scripts are off.
Templates escape whatever they are given; a content security policy lets a browser run our script and nothing else, and
load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from itertools import groupby
from pathlib import Path

import jinja2
from markupsafe import Markup

from derive.derivation import Derivation
from derive.exposition import Exposition, exposition
from derive.present.latex import LatexPrinter, formula
from derive.present.printer import names_of
from derive.present.references import REFERENCES, cited
from derive.present.text import TextPrinter, headline
from derive.recurrence import Recurrence
from derive.sections.boxes import Box

_HERE = Path(__file__).parent
_KATEX = _HERE / "katex"
_SOURCES = re.compile(r"src:url\(fonts/([\w-]+\.woff2)\)[^}]*")
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE),
    undefined=jinja2.StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def to_html(derivation: Derivation) -> str:
    """The derivation as one page of HTML that needs no network: the same bytes on every run.

    Every step has the anchor `#step-<number>`. Raises: RecurrenceError where a node has no notation.
    """
    return write_html(exposition(derivation), derivation.source)


def write_html(told: Exposition, recurrence: Recurrence) -> str:
    """An exposition as one page."""
    style, script = _style(), _script()
    admitted = f"font-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    return _TEMPLATES.get_template("page.html.j2").render(
        title=headline(told, recurrence),
        sections=_sections(told),
        references=[(key, REFERENCES[key]) for key in cited(told.steps, headline(told, recurrence))],
        policy=f"default-src 'none'; {admitted}; base-uri 'none'",
        style=Markup(style),
        script=Markup(script),
    )


def _sections(told: Exposition) -> list[dict[str, object]]:
    """What the template shows: sections of entries; an entry is a rule and its sentence with the steps they explain."""
    names = names_of(told.steps)
    latex, text = LatexPrinter(names), TextPrinter(names)
    sections: list[dict[str, object]] = []
    for number, group in groupby(told.steps, key=lambda step: step.section):
        entries = [
            {
                "rule": rule[0].upper() + rule[1:],
                "sentence": [_piece(latex, part) for part in because],
                "source": source,
                "lines": [(step.number, formula(latex, text, step)) for step in run],
            }
            for (rule, because, source), run in groupby(group, key=lambda step: (step.rule, step.because, step.source))
        ]
        sections.append({"number": number, "title": told.sections[number], "entries": entries})
    return sections


def _piece(latex: LatexPrinter, part: str | Box | int) -> tuple[str, object]:
    """A part of a sentence and how the template shows it."""
    if isinstance(part, Box):
        return "formula", latex.show(part)
    return ("step" if isinstance(part, int) else "prose"), part


@cache
def _style() -> str:
    """KaTeX's style sheet with its fonts inside, and ours."""
    sheet = (_KATEX / "katex.min.css").read_text(encoding="utf-8")
    return _SOURCES.sub(_embedded, sheet) + "\n" + (_HERE / "page.css").read_text(encoding="utf-8")


def _embedded(source: re.Match[str]) -> str:
    font = base64.b64encode((_KATEX / source.group(1)).read_bytes()).decode("ascii")
    return f'src:url(data:font/woff2;base64,{font}) format("woff2")'


@cache
def _script() -> str:
    """KaTeX under its licence, and what calls it."""
    notice = (_KATEX / "LICENSE").read_text(encoding="utf-8").strip()
    parts = [_KATEX / "katex.min.js", _HERE / "page.js"]
    return "\n".join([f"/*! KaTeX\n\n{notice}\n*/", *(part.read_text(encoding="utf-8").strip() for part in parts)])


def _digest(content: str) -> str:
    """The source expression by which a policy admits exactly this content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode('ascii')}'"
