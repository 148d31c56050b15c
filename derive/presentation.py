"""Presentation: what a Derivation and a Recurrence can say of themselves.

Attached here, since the records' classes stand below everything that reads them. `import derive` brings it in.
"""

from __future__ import annotations

from derive.derivation import Derivation
from derive.exposition import steps
from derive.present.html import to_html
from derive.present.latex import repr_latex, to_latex
from derive.present.text import to_text
from derive.recurrence import Recurrence
from derive.writing import write


def derivation_to_rec(derivation: Derivation) -> str:
    """The derived recurrence, primal and adjoint, as a file in the language; it parses back and compiles."""
    return write(derivation.recurrence)


Derivation.steps = property(steps)  # type: ignore[attr-defined]
Derivation.to_text = to_text  # type: ignore[attr-defined]
Derivation.to_latex = to_latex  # type: ignore[attr-defined]
Derivation.to_html = to_html  # type: ignore[attr-defined]
Derivation.to_rec = derivation_to_rec  # type: ignore[attr-defined]
Derivation.__str__ = to_text  # type: ignore[method-assign]
Derivation._repr_latex_ = repr_latex  # type: ignore[attr-defined]
Recurrence.to_rec = write  # type: ignore[attr-defined]
