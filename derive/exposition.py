"""Exposition: Derivation -> the numbered steps of its presentation, under their sections' titles.

Input: what `derive.adjoint` returns. Output: a tuple of frozen records that `derive.present` prints as text or LaTeX.
The sections come in one order for every recurrence; none is known by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from derive.derivation import Derivation
from derive.realtime import Sensitivities
from derive.sections import realtime
from derive.sections.algorithm import algorithm
from derive.sections.boxes import Box
from derive.sections.chain import adjoints, all_slopes
from derive.sections.constraints import projections
from derive.sections.draft import Draft
from derive.sections.gradients import gradients, updates
from derive.sections.inversion import blocks_of_jacobian, inversion
from derive.sections.model import by_whole, model, structure
from derive.sections.system import System

SECTIONS = {
    1: "The model",
    2: "Structure and unfolding in time",
    3: "Input as a function of output",
    4: "The Jacobian",
    5: "Chain rule and adjoint system",
    6: "Sensitivity lemma and gradients",
    7: "Weight updates",
    8: "The algorithm",
}

CONSTRAINED = "Constraints, projections and weight updates"

Sentence = tuple[str | Box | int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered line: before = after[0] = after[1], and so on.

    number: from 1, without gaps; section: a key of the exposition's sections; rule: its name; before, after: display trees (`after`
    may be empty: a statement); because: one sentence, as strings, formulas and numbers of other steps; source: a key
    of docs/references.bib.
    """

    number: int
    section: int
    rule: str
    before: Box
    after: tuple[Box, ...]
    because: Sentence
    source: str | None


@dataclass(frozen=True, slots=True)
class Exposition:
    """What is told and of what (`heading`), its numbered sections and its steps."""

    heading: str
    sections: Mapping[int, str]
    steps: tuple[Step, ...]


def exposition(derivation: Derivation) -> Exposition:
    """How a derivation is told: that of a gradient, or of forward sensitivities, whose sections may be missing.

    Raises: RecurrenceError where a node has no notation.
    """
    if not isinstance(derivation, Sensitivities):
        titles = {**SECTIONS, 7: CONSTRAINED} if derivation.projections else SECTIONS
        return Exposition("Gradient of", titles, numbered(_drafts(derivation)))
    found = numbered(realtime.drafts(derivation))
    place = {key: number for number, key in enumerate(sorted({step.section for step in found}), 1)}
    known = {**realtime.SECTIONS, 7: CONSTRAINED} if derivation.projections else realtime.SECTIONS
    titles = {number: known[key] for key, number in place.items()}
    return Exposition("Forward sensitivities of", titles, tuple(replace(step, section=place[step.section]) for step in found))


def steps(derivation: Derivation) -> tuple[Step, ...]:
    """The steps of a derivation, in the order of its sections.

    Raises: RecurrenceError where a node has no notation.
    """
    return exposition(derivation).steps


def _drafts(derivation: Derivation) -> list[Draft]:
    """The lines of a gradient's derivation, in the order of SECTIONS. Source: [seung2005] for the order of the argument."""
    system = System(derivation)
    first, written = model(system)
    computing = by_whole(system, written)
    slopes = blocks_of_jacobian(system)
    made = adjoints(system, all_slopes(system, slopes))
    lemma = gradients(system, made)
    projected = projections(system, made.computing)
    changes = updates(system, made.computing)
    drafts = [
        *first,
        *structure(system, set(made.computing)),
        *inversion(system),
        *slopes,
        *made.lines,
        *lemma,
        *projected,
        *changes,
    ]
    return drafts + algorithm(system, {**computing, **made.computing}, changes)


def numbered(drafts: Sequence[Draft]) -> tuple[Step, ...]:
    """Drafts as steps, their references to each other as numbers."""
    numbers = {id(line): number for number, line in enumerate(drafts, 1)}
    return tuple(
        Step(
            number,
            line.section,
            line.rule,
            line.before,
            line.after,
            tuple(numbers[id(part)] if isinstance(part, Draft) else part for part in line.because),
            line.source,
        )  # fmt: skip
        for number, line in enumerate(drafts, 1)
    )
