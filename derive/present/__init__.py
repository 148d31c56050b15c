"""Presentation: the steps of a derivation as plain text (`text`), LaTeX (`latex`) and a page of HTML (`html`)."""

from derive.present.html import to_html
from derive.present.latex import repr_latex, to_latex
from derive.present.text import to_text

__all__ = ["repr_latex", "to_html", "to_latex", "to_text"]
