"""Real-time recurrent learning: Sensitivities -> drafts: model, sensitivities, gradient from them, algorithm."""

from __future__ import annotations

from collections.abc import Callable

from derive.arithmetic import is_number, summands
from derive.arrays import Zeros
from derive.nodes import Kind, Pick, Quantity, quantity_of
from derive.realtime import Sensitivities
from derive.recurrence import Equation, Target, reads
from derive.sections.algorithm import algorithm
from derive.sections.boxes import Big, Box, Call, Glyph, Name, Partial, Relation, operator, row, terms, transposed
from derive.sections.constraints import projections
from derive.sections.draft import Draft, draft
from derive.sections.gradients import REASONS, updates
from derive.sections.model import by_whole, model, space, structure
from derive.sections.notation import STEP, Notation, position, step
from derive.sections.system import System

SECTIONS = {
    1: "The model",
    2: "Structure and unfolding in time",
    3: "What a parameter does to a state",
    4: "Recurrence of the sensitivities",
    5: "The objective by the states",
    6: "Gradients",
    7: "Weight updates",
    8: "The algorithm",
}
THROUGH = "Through the states, by their sensitivities."
DIRECT = "Without any state in between."
BOTH = "Through the states, by their sensitivities, and without any state in between."
Shown = Callable[[Glyph | None], Box]


def drafts(derivation: Sensitivities) -> list[Draft]:
    """The lines in the order of SECTIONS; without an objective, none after the sensitivities but the algorithm."""
    system = System(derivation)
    notation = system.notation
    system.notation = Notation({**notation.derivatives, **_derivatives(system, derivation)}, notation.identity, notation.projector)
    first, written = model(system)
    computing = by_whole(system, written)
    own = _recurrences(system, derivation)
    sent = _explicit(system, derivation)
    found = _gradients(system)
    made = {target: [line] for part in (own, sent, found) for target, line in part.items()}
    projected = projections(system, made) if system.source.objective else []
    changes = updates(system, made) if system.source.objective else []
    lines = [line for line in first if line.rule != "objective" or system.source.objective]
    lines += structure(system, {target for target in made if isinstance(target, Quantity)}, "derived")
    lines += [*_meaning(system, derivation), *own.values(), *sent.values(), *found.values(), *projected, *changes]
    return lines + algorithm(system, {**computing, **made}, changes)


def _at(name: str) -> Shown:
    return lambda at: Name(name) if at is None else Call(Name(name), (at,))


def _leaf(system: System, label: str) -> Box:
    """A parameter, or a value outside the steps, as what is differentiated by."""
    pick = next((pick for pick in system.primal.arguments if pick.source() == label), None)
    return Name(label) if pick is None else Call(Name(pick.quantity.name), (position(pick),))


def _derivatives(system: System, derivation: Sensitivities) -> dict[Quantity, Shown]:
    """Quantities that print as derivatives: sensitivities, and the objective's derivatives by the states."""

    def by(top: Shown, leaf: Box) -> Shown:
        return lambda at: Partial(top(at), leaf)

    def of(state: Shown) -> Shown:
        return lambda at: Partial(system.objective, state(at))

    found = {holder: by(_at(state), _leaf(system, label)) for (state, label), holder in derivation.by.items()}
    for state, adjoint in derivation.explicit.items():
        holder = quantity_of(adjoint)
        if isinstance(holder, Quantity) and holder in system.generated:
            found[holder] = of(_at(state))
    return found


def _meaning(system: System, derivation: Sensitivities) -> list[Draft]:
    """The shape of every sensitivity; and how the objective's derivative by a parameter comes out of them."""
    leaves = {target.source(): target for target in (*system.primal.quantities, *system.primal.arguments)}
    lines = []
    for (state, label), holder in derivation.by.items():
        because = _layout(leaves[label], _leaf(system, label), bool(system.primal.named[state].shape))
        lines.append(draft(3, "shape", Relation(system.notation.target(holder), "∈", space(holder.shape)), because=because))
    for label in derivation.gradients:
        states = {state: holder for (state, by), holder in derivation.by.items() if by == label and state in derivation.explicit}
        if states:
            lines.append(_total(system, leaves[label], _leaf(system, label), states))
    return lines


def _layout(leaf: Target, box: Box, array: bool) -> tuple[str | Box, ...]:
    """How the components of what is differentiated by are laid out."""
    if not leaf.shape:
        return "By the scalar ", box, ", in the shape of what depends on it."
    rows = ", whose rows are laid one after the other." if len(leaf.shape) == 2 else "."
    return f"A {'column' if array else 'number'} for each component of ", box, rows


def _total(system: System, leaf: Target, box: Box, states: dict[str, Quantity]) -> Draft:
    parts = []
    for state, holder in states.items():
        timed = holder.kind == Kind.TIMED
        by_state = Partial(system.objective, _at(state)(step(0) if timed else None))
        product = row(transposed(system.notation.target(holder)), by_state)
        parts.append((False, Big(STEP, None, product) if timed else product))
    direct = _through(system, leaf.source()) == BOTH
    left = Partial(system.objective, Call(operator("vec"), (box,)) if len(leaf.shape) == 2 else box)
    tail = "; what it owes to it directly comes to this." if direct else "."
    because = ("The objective depends on ", box, " through every state at every step", tail)
    return draft(3, "chain rule", left, terms(*parts), because=because, source="williams1989")


def _through(system: System, label: str) -> str:
    """Whether a gradient comes through states, directly, or both."""
    if label in system.derivation.zero:
        return REASONS["zero"]
    expr = system.whole.equation[system.derivation.total(label)].expr  # type: ignore[index]
    holders = set(system.derivation.by.values())  # type: ignore[attr-defined]
    found = {
        any(quantity_of(read) in holders for read in reads(term))
        for term in summands(expr)
    }
    return BOTH if len(found) == 2 else (THROUGH if found == {True} else DIRECT)


def _recurrences(system: System, derivation: Sensitivities) -> dict[Target, Draft]:
    """The equation of every sensitivity and its values outside the steps."""
    holders = {holder: pair for pair, holder in derivation.by.items()}
    found = {}
    for equation in system.whole.equations:
        holder = equation.target.quantity if isinstance(equation.target, Pick) else equation.target
        if holder in holders:
            found[equation.target] = _recurrence(system, equation, *holders[holder])
    return found


def _recurrence(system: System, equation: Equation, state: str, label: str) -> Draft:
    left, right = system.notation.target(equation.target), system.notation.box(equation.expr)
    leaf, shown = _leaf(system, label), _at(state)(step(0) if system.primal.named[state].kind == Kind.TIMED else None)
    if not isinstance(equation.target, Pick):
        because = ("The chain rule through the equation of ", shown, ", for every component of ", leaf, " at once.")
        return draft(4, "sensitivity", left, right, because=because, source="williams1989")
    outside = Call(Name(state), (position(equation.target),))
    idle = isinstance(equation.expr, Zeros) or is_number(equation.expr, 0)
    because = (outside, " does not depend on ", leaf, ".") if idle else ("How ", outside, " depends on ", leaf, ".")
    return draft(4, "boundary condition", left, right, because=because)


def _explicit(system: System, derivation: Sensitivities) -> dict[Target, Draft]:
    """The adjoints between the objective and the states, and the objective's derivatives by the states."""
    states = {quantity_of(g): state for state, g in derivation.explicit.items()}
    held = {*derivation.by.values(), *(derivation.total(label) for label in derivation.gradients)}
    held |= {line.target for projection in derivation.projections for line in projection.lines}
    found: dict[Target, Draft] = {}
    for equation in system.whole.equations:
        target = equation.target
        if isinstance(target, Pick) or target not in system.generated or target in held or target in system.carriers:
            continue
        rule, because = "adjoint", ("On the way from the objective to the states.",)
        if target in states:
            shown = _at(states[target])(step(0) if target.kind == Kind.TIMED else None)
            rule, because = "explicit derivative", ("By ", shown, " alone, all states held fixed.")  # type: ignore[assignment]
        left, right = system.notation.target(target), system.notation.box(system.expression(target))
        if left != right:  # an abstract objective's derivative is given under its own sign
            found[target] = draft(5, rule, left, right, because=because)
    return found


def _gradients(system: System) -> dict[Target, Draft]:
    found: dict[Target, Draft] = {}
    for label in system.derivation.gradients:
        quantity = system.derivation.total(label)
        assert quantity is not None  # there is a gradient
        right = system.notation.box(system.expression(quantity))
        found[quantity] = draft(6, "gradient", system.notation.target(quantity), right, because=_through(system, label))
    return found
