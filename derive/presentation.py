"""Presentation: what a Derivation and a Recurrence can say of themselves.

Attached here, since the records' classes stand below everything that reads them. `import derive` brings it in.
"""

from __future__ import annotations

from derive.derivation import Derivation
from derive.exposition import steps
from derive.present.html import to_html, write_html
from derive.present.latex import repr_latex, to_latex, write_latex
from derive.present.text import to_text, write_text
from derive.recurrence import Recurrence
from derive.unfolding.exposition import expose_unfolding
from derive.unfolding.paths import Unfolding
from derive.writing import write


def derivation_to_rec(derivation: Derivation) -> str:
    """The derived recurrence, primal and adjoint, as a file in the language; it parses back and compiles."""
    return write(derivation.recurrence)


def unfolding_to_text(unfolding: Unfolding, width: int = 100) -> str:
    """The unfolding as numbered lines of Unicode text within so many columns."""
    return write_text(expose_unfolding(unfolding), unfolding.derivation.source, width)


def unfolding_to_latex(unfolding: Unfolding, document: bool = True) -> str:
    """The unfolding as LaTeX: a complete document, or its body alone."""
    return write_latex(expose_unfolding(unfolding), unfolding.derivation.source, document)


def unfolding_to_html(unfolding: Unfolding) -> str:
    """The unfolding as one page of HTML that needs no network."""
    return write_html(expose_unfolding(unfolding), unfolding.derivation.source)


def unfolding_to_rec(unfolding: Unfolding) -> str:
    """The model with the term of every path, as a file in the language."""
    return write(unfolding.recurrence)


Derivation.steps = property(steps)  # type: ignore[attr-defined]
Derivation.to_text = to_text  # type: ignore[attr-defined]
Derivation.to_latex = to_latex  # type: ignore[attr-defined]
Derivation.to_html = to_html  # type: ignore[attr-defined]
Derivation.to_rec = derivation_to_rec  # type: ignore[attr-defined]
Derivation.__str__ = to_text  # type: ignore[method-assign]
Derivation._repr_latex_ = repr_latex  # type: ignore[attr-defined]
Recurrence.to_rec = write  # type: ignore[attr-defined]
Unfolding.to_text = unfolding_to_text  # type: ignore[attr-defined]
Unfolding.to_latex = unfolding_to_latex  # type: ignore[attr-defined]
Unfolding.to_html = unfolding_to_html  # type: ignore[attr-defined]
Unfolding.to_rec = unfolding_to_rec  # type: ignore[attr-defined]
Unfolding.__str__ = unfolding_to_text  # type: ignore[method-assign]
