"""Section 7, first part: constraints as one linear system, its projector, and every projected gradient. System -> drafts."""

from __future__ import annotations

import sympy as sp

from derive.arithmetic import add
from derive.nodes import Quantity
from derive.projections import Line, Projection
from derive.recurrence import Constraint, Target
from derive.sections.boxes import ZERO, Box, Call, Fence, Glyph, Listing, Name, Partial, Script, operator, row, terms
from derive.sections.draft import Draft, draft, listed
from derive.sections.notation import size
from derive.sections.system import System

PSEUDO = Glyph("⁺", "+")
SOURCE = "hinton2012"


def listed_constraints(system: System) -> list[Draft]:
    """Every constraint, as part of the model."""
    return [_constraint(system, constraint) for constraint in system.source.constraints]


def _constraint(system: System, constraint: Constraint) -> Draft:
    sides = (system.notation.box(constraint.left), system.notation.box(constraint.right))
    return draft(1, "constraint", *sides, because="Holds for every value that the parameters may have.")


def projections(system: System, computing: dict[Target, list[Draft]]) -> list[Draft]:
    """The linear system, the projector, and the gradient of every constrained parameter projected. `computing` grows."""
    found = system.derivation.projections
    if not found:
        return []
    lines = _projector(system, [q for projection in found for q in projection.system.parameters])
    for projection in found:
        if projection.ties:
            lines.append(_shared(system, projection))
        for entry in projection.lines:
            line = _projected(system, projection, entry)
            computing[entry.target] = [line]
            lines.append(line)
    return lines


def _projected(system: System, projection: Projection, entry: Line) -> Draft:
    left, right = system.notation.target(entry.target), system.notation.box(system.whole.equation[entry.target].expr)
    because: tuple[str | Box, ...] = (entry.because,)
    if entry.rule == "tied" and entry is projection.lines[0]:
        share = size(sp.Add(*(tie.ratio**2 for _, tie in projection.ties)))
        because = ("Read as parameters that are equal, or tied, they stay so if they move by the average: the sum above, divided by ",
                   share, ", which the rate may take up.")  # fmt: skip
    return draft(7, f"projection: {entry.rule}", left, right, because=because, source=SOURCE if entry.rule == "tied" else None)


def _projector(system: System, parameters: list[Quantity]) -> list[Draft]:
    names = system.constrained
    assert names is not None  # there is a projection
    change = Listing((Glyph("Δ", r"\Delta"), names.parameters), "")
    matrix, vec = names.matrix, operator("vec")
    who = listed([Name(q.name) for q in parameters])
    return [
        draft(
            7,
            "linear system",
            row(matrix, Call(vec, (names.parameters,))),
            names.right,
            because=("The constraints together, on the components of ", *who, "."),
        ),
        draft(
            7,
            "allowed changes",
            row(matrix, Call(vec, (change,))),
            ZERO,
            because="Parameters that satisfied the constraints still do after such a change.",
            source=SOURCE,
        ),
        draft(
            7,
            "projector",
            names.projector,
            terms((False, system.notation.identity), (True, row(Script(matrix, sup=PSEUDO), matrix))),
            because="Takes every change to the nearest allowed one; the pseudo-inverse lets constraints be redundant.",
        ),
        draft(
            7,
            "unconstrained gradient",
            names.gradient,
            Partial(system.objective, names.parameters),
            because="As derived above, as if every component were free; its projection is what the parameters are changed by.",
        ),
    ]


def _shared(system: System, projection: Projection) -> Draft:
    """The other reading of a tie: one parameter, used in several places."""
    first = projection.ties[0][0]
    free = {parameter: system.derivation.free[parameter.name] for parameter, _ in projection.ties}
    total = system.notation.box(add([tie.of(free[parameter]) for parameter, tie in projection.ties]))
    left = Script(Fence(Partial(system.objective, Name(first.name))), sub=operator("shared"))
    because = (
        "Read as one shared parameter that stands in several places, as weights of an unfolded network do, ",
        "the gradients at ", *listed([Name(q.name) for q, _ in projection.ties]), " are added.",
    )  # fmt: skip
    return draft(7, "one shared parameter", left, total, because=because, source=SOURCE)
