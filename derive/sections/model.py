"""Sections 1 and 2: the model with every shape, its structure and its unfolding in time. System -> drafts."""

from __future__ import annotations

from itertools import groupby

import sympy as sp

from derive.nodes import At, Kind, Node, Pick, Quantity, Shape, T
from derive.recurrence import Equation, Recurrence, Target, reads
from derive.sections.boxes import DOTS, LAST, Box, Call, Fence, Glyph, Listing, Name, Relation, Script, Unfolding, row
from derive.sections.constraints import listed_constraints
from derive.sections.draft import Draft, draft, listed
from derive.sections.notation import position, size, step
from derive.sections.system import System
from derive.structure import Block, blocks

REALS, TIMES = Glyph("ℝ", r"\mathbf{R}"), "×"
ROLES = {
    ("input", Kind.TIMED): ("input sequences", "Given at every step; zero outside the steps."),
    ("index", Kind.TIMED): ("index inputs", "An integer from 0 at every step, or −1 for none; read as the vector with a single one."),
    ("input", Kind.SEQUENCE): ("inputs", "Given once for each sequence."),
    ("parameter", Kind.SHARED): ("parameters", "Shared by all sequences and steps; each receives a gradient."),
    ("constant", Kind.SHARED): ("constants", "Shared by all sequences and steps; no gradient."),
    ("signal", Kind.TIMED): ("signals", "Defined at every step by an equation."),
    ("quantity", Kind.SHARED): ("quantities", "Defined once, by an equation without time."),
    ("quantity", Kind.SEQUENCE): ("quantities", "Defined once for each sequence, by an equation without time."),
    ("total", Kind.SHARED): ("totals", "Summed over sequences."),
}
KINDS = {
    "once": ("computed once", "It waits for everything it reads."),
    "sweep": ("sweep", "No step waits for another, so all steps are computed at once."),
    "forward": ("forward loop", "Every step reads the steps before it, so t runs from 1 to T."),
    "backward": ("backward loop", "Every step reads the steps after it, so t runs from T down to 1."),
    "steady": ("steady state", "A cycle without lag: the values that reproduce themselves are solved for."),
}
ADJOINT_CYCLE = "A cycle without lag, linear in its unknowns: a linear system is solved."


def space(shape: Shape) -> Box:
    """The space of arrays of a shape."""
    if not shape:
        return REALS
    return Script(REALS, sup=size(shape[0]) if len(shape) == 1 else Listing(tuple(size(part) for part in shape), TIMES))


def values(shape: Shape) -> Box:
    """What an index input takes."""
    return Fence(Listing((size(sp.S.NegativeOne), size(sp.S.Zero), DOTS, size(shape[0] - 1))), "{}")


def model(system: System) -> tuple[list[Draft], dict[Target, Draft]]:
    """Shapes, equations, values outside the steps and objective; and for every target the line of its equation."""
    source = system.source
    lines = _shapes(source)
    written: dict[Target, Draft] = {}
    for name in source.functions:
        head = Name(name)
        because = (
            head,
            " is left open: an elementwise function, with slope ",
            Script(head, sup=Glyph("′", r"\prime")),
            ".",
        )
        lines.append(draft(1, "function", Call(head, (Glyph("·", r"\cdot"),)), because=because))
    for equation in source.equations:
        if isinstance(equation.target, Quantity) and equation.target.role == "objective":
            continue
        written[equation.target] = _equation(system, equation)
    lines += written.values()
    for pick in source.arguments:
        box = Relation(system.notation.box(pick), "∈", space(pick.shape))
        lines.append(
            draft(
                1,
                "value outside the steps",
                box,
                because="Given for each sequence, zero where left out; it has a gradient.",
            )
        )
    lines += listed_constraints(system)
    aim = _objective(system)
    if aim:
        lines.append(aim[1])
        written[aim[0]] = aim[1]
    return lines + ([] if aim else _abstract(system)), written


def by_whole(system: System, written: dict[Target, Draft]) -> dict[Target, list[Draft]]:
    """The model's lines by the targets of the whole system, in which the objective is an ordinary total."""
    known = {target.source(): target for target in (e.target for e in system.whole.equations)}
    return {known[target.source()]: [line] for target, line in written.items() if target.source() in known}


def _shapes(source: Recurrence) -> list[Draft]:
    lines = []
    shown = [q for q in source.quantities if q.role != "objective"]
    for (role, kind), (rule, because) in ROLES.items():
        members = [q for q in shown if q.role == role and q.kind == kind]
        for shape in dict.fromkeys(q.shape for q in members):
            names = [
                Call(Name(q.name), (step(0),)) if kind == Kind.TIMED else Name(q.name)
                for q in members
                if q.shape == shape
            ]
            left = names[0] if len(names) == 1 else Listing(tuple(names))
            lines.append(draft(1, rule, Relation(left, "∈", values(shape) if role == "index" else space(shape)), because=because))
    return lines


def _equation(system: System, equation: Equation) -> Draft:
    because, rule, key = "Holds at every step t = 1, …, T.", "equation", None
    if isinstance(equation.target, Pick):
        because, rule = "A value outside the steps 1, …, T.", "value outside the steps"
    elif not equation.timed:
        because = "Holds without time."
    return draft(
        1,
        rule,
        system.notation.target(equation.target),
        system.notation.box(equation.expr),
        because=because,
        source=key,
    )


def _objective(system: System) -> tuple[Target, Draft] | None:
    aim = system.source.objective
    found = next(
        (e for e in system.source.equations if isinstance(e.target, Quantity) and e.target.role == "objective"), None
    )
    if aim is None or found is None or system.abstract:
        return None
    over = [Name(q.name) for q in system.source.of_role("parameter")]
    sense = "minimised" if system.minimised else "maximised"
    because = (f"To be {sense}", *((" over ", *listed(over)) if over else ()), ".")
    return found.target, draft(1, "objective", system.objective, system.notation.box(found.expr), because=because)


def _abstract(system: System) -> list[Draft]:
    """The objective as a function of the signals alone."""
    aim = system.source.objective
    states: list[Box] = []
    for name in system.derivation.cotangents:
        quantity = system.source.named[name]
        timed = quantity.kind == Kind.TIMED
        states += [Call(Name(name), (step_box,)) for step_box in (Glyph("1", "1"), LAST)] if timed else [Name(name)]
        if timed:
            states.insert(-1, Glyph("…", r"\ldots"))
    value = Call(system.objective, tuple(states))
    if aim is None or not aim.abstract:
        return [
            draft(
                1, "objective", value, because="Any function of these; its derivatives by them are given (cotangents)."
            )
        ]
    over = tuple(Name(q.name) for q in system.source.of_role("parameter"))
    verb = Glyph("max", r"\max") if aim.sense == "maximize" else Glyph("min", r"\min")
    head = Script(verb, sub=Listing(over)) if over else verb
    because = "An explicit function of these, left open; its derivatives by them are given."
    return [draft(1, "objective", row(head, value), because=because, source="seung2005")]


def structure(system: System, computed: set[Target], whose: str = "adjoint") -> list[Draft]:
    """Which equations form which loop or solve, for the model and for the adjoint, and the unfolding in time.

    computed: the targets of the adjoint that have a line of their own; whose: what their system is called.
    """
    visible = {e.target for e in system.source.equations}
    primal = [b for b in blocks(system.primal) if any(m in visible for m in b.members)]
    lines = _blocks(system, primal, visible, "model")
    for block in primal:
        if block.kind in ("forward", "backward"):
            lines += _unfolding(system, block)
    adjoint = [b for b in blocks(system.whole) if any(m in computed for m in b.members)]
    return lines + _blocks(system, adjoint, computed, whose)


def _blocks(system: System, found: list[Block], shown: set[Target], whose: str) -> list[Draft]:
    lines = []
    for kind, group in groupby(found, key=lambda block: block.kind):
        if kind in ("once", "sweep"):
            lines.append(_block(system, kind, [m for block in group for m in block.members if m in shown], whose))
        else:
            lines += [_block(system, kind, [m for m in block.members if m in shown], whose) for block in group]
    return lines


def _block(system: System, kind: str, members: list[Target], whose: str) -> Draft:
    rule, because = KINDS[kind]
    boxes = tuple(system.notation.target(member) for member in members)
    if kind == "steady" and whose != "model":
        because = ADJOINT_CYCLE
    source = {"steady": "almeida1987", "forward": None, "backward": None}.get(kind) if whose == "adjoint" else None
    return draft(2, f"{whose}: {rule}", boxes[0] if len(boxes) == 1 else Listing(boxes), because=because, source=source)


def loop_states(system: System, block: Block) -> tuple[list[Quantity], list[Quantity]]:
    """What a loop hands from step to step, and the parameters it uses at each."""
    members = set(block.members)
    read = [r for m in block.members for r in reads(system.primal.equation[m].expr)]
    states = dict.fromkeys(r.quantity for r in read if isinstance(r, At) and r.lag and r.quantity in members)
    return list(states), list(dict.fromkeys(r for r in read if isinstance(r, Quantity) and r.role == "parameter"))


def _unfolding(system: System, block: Block) -> list[Draft]:
    states, uses = loop_states(system, block)
    ahead = block.kind == "backward"
    places: list[Node] = [Pick(states[0], 0), Pick(states[0], 1), Pick(states[0], T)]
    if ahead:
        places = [Pick(states[0], T + 1), Pick(states[0], T), Pick(states[0], 1)]
    marks = [position(pick) for pick in places]  # type: ignore[arg-type]

    def at(mark: Glyph) -> Box:
        boxes = tuple(Call(Name(q.name), (mark,)) for q in states)
        return boxes[0] if len(boxes) == 1 else Fence(Listing(boxes))

    chain = Unfolding(
        (at(marks[0]), at(marks[1]), DOTS, at(marks[2])), tuple(Name(q.name) for q in uses) if len(uses) <= 3 else ()
    )
    because = "Unfolded, the loop is a network with a layer for each step and the same parameters in every layer."
    return [draft(2, "unfold time into space", chain, because=because, source="seung2005")]
