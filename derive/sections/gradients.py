"""Sections 6 and 7: the sensitivity lemma, every gradient, and the weight updates. System -> drafts."""

from __future__ import annotations

from derive.arithmetic import summands
from derive.arrays import Outer, Zeros
from derive.nodes import At, Node, Pick, Quantity
from derive.recurrence import Target
from derive.sections.boxes import Big, Box, Glyph, Listing, Name, Partial, Terms, row, terms, with_index
from derive.sections.chain import Adjoints
from derive.sections.draft import Draft, draft
from derive.sections.jacobian import component
from derive.sections.notation import STEP, step
from derive.sections.system import Cell, System
from derive.temporal import TimeSum

REASONS = {
    "parameter": "Every use of the parameter sends its share; shares of all sequences are added.",
    "initial": "What is sent to the value outside the steps.",
    "input": "What is sent to the input.",
    "zero": "No path leads from it to the objective.",
}


def gradients(system: System, made: Adjoints) -> list[Draft]:
    """The lemma, and from it the gradient of every parameter, value outside the steps and input."""
    lines = _lemma(system)
    known = {system.derivation.total(label): label for label in system.derivation.gradients}
    projected = {line.target for projection in system.derivation.projections for line in projection.lines}
    kinds = {q.name: q.role for q in system.primal.quantities}
    for equation in system.whole.equations:
        target = equation.target
        if isinstance(target, Pick) or target in made.covered or target not in system.generated or target in projected:
            continue
        label = known.get(target, "")
        reason = REASONS["zero" if label in system.derivation.zero else kinds.get(label, "initial")]
        left = system.notation.target(target)
        line = draft(6, "gradient", left, system.notation.box(system.expression(target)), because=reason)
        made.computing[target] = [line]
        lines.append(line)
    return lines


def _lemma(system: System) -> list[Draft]:
    """∂R/∂W_ij = x_j ∂R/∂b_i for the first parameter that multiplies a vector."""
    cells = {cell.sensitivity: cell for cell in system.cells}
    for parameter in system.primal.of_role("parameter"):
        quantity = system.derivation.total(parameter.name)
        if quantity is None or quantity not in system.whole.equation or len(parameter.shape) != 2:
            continue
        for term in summands(system.whole.equation[quantity].expr):
            timed = isinstance(term, TimeSum) and term.window.full
            inner = term.args[0] if timed else term
            if not isinstance(inner, Outer):
                continue
            s, other = inner.args
            cell = cells.get(s.quantity if isinstance(s, At) else s)
            part = component(system.notation, other, system.column_index, None)
            if cell is not None and part is not None and timed == cell.timed:
                return _lemma_lines(system, cell, parameter, part, other)
    return []


def _lemma_lines(system: System, cell: Cell, parameter: Quantity, part: Box, other: Node) -> list[Draft]:
    i, j = system.row_index, system.column_index
    weight, bias = with_index(Name(parameter.name), i, j), with_index(system.bias(cell), i)
    left, by_bias = Partial(system.objective, weight), Partial(system.objective, bias)
    because = ("A change of ", weight, " acts as a change of ", bias, " by ", part, " times as much.")
    if not cell.timed:
        return [draft(6, "sensitivity lemma", left, row(part, by_bias), because=because, source="seung2005")]
    s = with_index(system.notation.read(cell.sensitivity, step(0)), i)
    after = (Big(STEP, None, row(part, by_bias)), Big(STEP, None, row(s, part)))
    return [draft(6, "sensitivity lemma", left, *after, because=because, source="seung2005")]


def updates(system: System, computing: dict[Target, list[Draft]]) -> list[Draft]:
    """One step of gradient descent, or ascent where the objective is maximised."""
    sign = (
        "against the gradient, since the objective is minimised"
        if system.minimised
        else "along the gradient, since the objective is maximised"
    )
    lines = []
    for label, quantity in system.derivation.gradients.items():
        parameter = system.primal.named.get(label)
        if label in system.derivation.zero or (parameter is not None and parameter.role != "parameter"):
            continue
        if quantity not in computing or isinstance(system.whole.equation[quantity].expr, Zeros):
            continue
        line = computing[quantity][-1]
        written_out = not isinstance(line.after[0], Terms) and label not in system.derivation.free
        gradient = line.after[0] if written_out else line.before
        step_box = row(system.rate, gradient)
        held = Name(label) if parameter is not None else line.before.bottom  # type: ignore[attr-defined]
        left = Listing((Glyph("Δ", r"\Delta"), held), "")
        what = "A step " if parameter is not None else "Where this value is learned, a step "
        because = (what, f"{sign}, of a size set by the rate ", system.rate, ".")
        lines.append(
            draft(
                7,
                "weight update" if parameter is not None else "update",
                left,
                terms((system.minimised, step_box)),
                because=because,
            )
        )
    return lines
