"""Presentation: the steps of a derivation as plain text (`text`) and LaTeX (`latex`)."""

from derive.present.latex import repr_latex, to_latex
from derive.present.text import to_text

__all__ = ["repr_latex", "to_latex", "to_text"]
