"""References: the works that steps cite, by their keys in docs/references.bib, as plain text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from derive.exposition import Step


@dataclass(frozen=True, slots=True)
class Reference:
    """Authors, title and year of a work."""

    authors: str
    title: str
    year: int


REFERENCES = {
    "almeida1987": Reference(
        "Luís B. Almeida",
        "A Learning Rule for Asynchronous Perceptrons with Feedback in a Combinatorial Environment",
        1987,
    ),
    "pineda1987": Reference(
        "Fernando J. Pineda", "Generalization of Back-Propagation to Recurrent Neural Networks", 1987
    ),
    "seung2005": Reference("H. Sebastian Seung", "Backprop for Recurrent Networks", 2005),
    "williams1989": Reference(
        "Ronald J. Williams and David Zipser",
        "A Learning Algorithm for Continually Running Fully Recurrent Neural Networks",
        1989,
    ),
    "werbos1990": Reference("Paul J. Werbos", "Backpropagation Through Time: What It Does and How to Do It", 1990),
}


def cited(found: Iterable[Step]) -> list[str]:
    """The keys that steps cite, sorted."""
    return sorted({step.source for step in found if step.source})
