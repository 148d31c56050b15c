"""Section 5: the chain rule, the adjoint system and its boundary conditions. System -> drafts."""

from __future__ import annotations

from dataclasses import dataclass, field

from derive.arithmetic import MatMul, is_number
from derive.arrays import Zeros
from derive.nodes import At, Pick, Quantity, T, quantity_of
from derive.recurrence import Target, reads
from derive.sections.boxes import (
    DOTS,
    ZERO,
    Big,
    Box,
    Listing,
    Partial,
    Relation,
    circled,
    inverse,
    row,
    terms,
    with_index,
)  # fmt: skip
from derive.sections.draft import Draft, draft
from derive.sections.inversion import PRIMED, entries, index_form, own_block
from derive.sections.notation import step
from derive.sections.system import Cell, Signed, System

WHY = "All that the value receives, times the slope; nothing is inverted, so that slopes of zero are exact."
BOTH = (
    "What the step itself sends and what another step sends are both multiplied by the slope, not the second alone; nothing is inverted, "
    "so that slopes of zero are exact."
)


@dataclass
class Adjoints:
    """Lines, those that compute each target, and all targets that they account for."""

    lines: list[Draft] = field(default_factory=list)
    computing: dict[Target, list[Draft]] = field(default_factory=dict)
    covered: set[Target] = field(default_factory=set)


def adjoints(system: System, slopes: dict[str, Draft]) -> Adjoints:
    """The chain rule and the adjoint of every cell, readers first; then what else the derivation defines for them.

    slopes: the line that defines D, by the name of the cell's value.
    """
    made = Adjoints()
    if system.cells:
        pairs = tuple(
            Relation(system.sensitivity(cell), "=", Partial(system.objective, system.bias(cell)))
            for cell in system.cells
        )
        because = "The sensitivity is the derivative of the objective by the imaginary bias."
        made.lines.append(
            draft(
                5, "sensitivity", pairs[0] if len(pairs) == 1 else Listing(pairs), because=because, source="seung2005"
            )
        )
    for cell in reversed(system.cells):
        _cell(system, cell, made, slopes)
    _carried(system, made)
    made.lines += _boundary(system, made)
    return made


def _add(made: Adjoints, target: Target, *lines: Draft) -> None:
    made.lines += [line for line in lines if line.section == 5]
    made.computing[target] = list(lines)
    made.covered.add(target)


def _cell(system: System, cell: Cell, made: Adjoints, slopes: dict[str, Draft]) -> None:
    entries_in = system.total_adjoint(cell)
    if entries_in is None:
        _add(made, cell.sensitivity, as_it_stands(system, cell.sensitivity))
        return
    adjoint = system.derivation.adjoints[cell.value]
    value_adjoint = quantity_of(adjoint)
    if isinstance(value_adjoint, Quantity):
        made.covered.add(value_adjoint)
    through, explicit = system.split(entries_in)
    partial = system.partial(cell)
    sent: list[Draft] = []
    held = system.sum(explicit)
    if explicit and held != partial and (through or cell.function is not None):
        sent = [
            draft(
                5,
                "explicit derivative",
                partial,
                held,
                because="What the objective itself sends, as an explicit function of the signals.",
            )
        ]
    first = [slopes[cell.value.name]] if cell.function is not None else []
    if through:
        made.lines += _chain_rule(system, cell, through, bool(explicit))
    solved, plain = _solved(system, cell, through), _system_line(system, cell, through, explicit)
    _add(made, cell.sensitivity, *first, *sent, *(solved or [plain]))
    made.lines += [plain] if solved else []


def _times(system: System, cell: Cell, box: Box) -> Box:
    """D times a box: a matrix on vectors, elementwise on other shapes."""
    slopes = system.at(cell.slopes, cell)  # type: ignore[arg-type]
    return circled(slopes, box) if len(cell.value.shape) == 2 else row(slopes, box)


def _chain_rule(system: System, cell: Cell, through: list[Signed], explicit: bool) -> list[Draft]:
    """∂R/∂v as the sum over biases, with indices where there is one cell; then with matrices."""
    lines = [_indexed(system, cell)] if index_form(system, cell) else []
    left = system.partial(cell) if explicit else ZERO
    s = system.sensitivity(cell)
    sent = system.sum(through)
    because = "The objective's explicit derivative is the sum over all biases that this value enters."
    if not explicit:
        because = (
            "The objective does not depend on this value explicitly, so the sum over all biases that it enters is zero."
        )
    if cell.form == "plain":
        return [
            *lines,
            draft(5, "chain rule", left, terms((False, s), (True, sent)), because=because, source="seung2005"),
        ]
    if cell.form == "slope":
        left = _times(system, cell, left) if explicit else ZERO
        right = terms(
            (False, s), *((not negative, _times(system, cell, box)) for negative, box in _each(system, through))
        )
        return [*lines, draft(5, "chain rule", left, right, because=because, source="seung2005")]
    matrix = factored(system, cell, through)
    if matrix is not None:
        whole = terms((False, own_block(system, cell)), (True, matrix))
        right = row(whole, Partial(system.objective, system.bias(cell)))
        return [*lines, draft(5, "chain rule", left, right, because="The same with matrices.", source="seung2005")]
    slopes = inverse(system.at(cell.slopes, cell))  # type: ignore[arg-type]
    own = circled(slopes, s) if len(cell.value.shape) == 2 else row(slopes, s)
    return [
        *lines,
        draft(5, "chain rule", left, terms((False, own), (True, sent)), because=because, source="seung2005"),
    ]


def _each(system: System, entries_in: list[Signed]) -> list[tuple[bool, Box]]:
    return [(negative, system.notation.box(node)) for negative, node in entries_in]


def _indexed(system: System, cell: Cell) -> Draft:
    i, j = system.row_index, system.column_index
    timed = cell.timed
    left = Partial(system.objective, with_index(system.notation.target(cell.unknown, PRIMED), j))
    bias = with_index(system.bias(cell), i)
    inner = Partial(bias, with_index(system.notation.target(cell.unknown, PRIMED), j))
    over = Listing((i, step(0)), ",") if timed else i
    first = Big(over, None, row(Partial(system.objective, bias), inner))
    found = entries(system, cell, cell)
    if not timed:
        whole = with_index(terms(*((negative, matrix) for negative, _, matrix in found)), i, j)
        after: tuple[Box, ...] = (first, Big(i, None, row(Partial(system.objective, bias), whole)))
    else:
        parts = []
        for negative, leaf, matrix in found:
            lag = leaf.lag if isinstance(leaf, At) else 0
            s = with_index(system.notation.read(cell.sensitivity, step(-lag, PRIMED)), i)
            matrix = own_block(system, cell, PRIMED) if leaf is None else matrix
            parts.append((negative, Big(i, None, row(s, with_index(matrix, i, j)))))
        plain = all(leaf is None or isinstance(leaf, At) for _, leaf, _ in found)
        after = (first, terms(*parts)) if plain else (first,)
    because = "The objective depends on a value through the bias that makes it a solution."
    return draft(5, "chain rule", left, *after, because=because, source="seung2005")


def factored(system: System, cell: Cell, through: list[Signed]) -> Box | None:
    """The sum of the matrices that multiply the cell's own sensitivity, where every term is such a product."""
    here = At(cell.sensitivity, 0) if cell.timed else cell.sensitivity
    if len(cell.value.shape) != 1 or not all(isinstance(node, MatMul) and node.args[1] == here for _, node in through):
        return None
    return terms(*((negative, system.notation.box(node.args[0])) for negative, node in through))


def _solved(system: System, cell: Cell, through: list[Signed]) -> list[Draft]:
    """The linear system of a steady state: (D⁻¹ − Wᵀ) s = ∂R/∂x, or without an inverse (I − D Wᵀ) s = D ∂R/∂x."""
    matrix = factored(system, cell, through) if through else None
    if matrix is None or cell.function is None:
        return []
    s, partial = system.sensitivity(cell), system.partial(cell)
    own, right = own_block(system, cell), partial
    if cell.form == "slope":
        matrix, right = row(system.at(cell.slopes, cell), matrix), row(system.at(cell.slopes, cell), partial)  # type: ignore[arg-type]
    left = row(terms((False, own), (True, matrix)), s)
    because = "The adjoint system: one linear solve, with the transpose of the Jacobian."
    return [draft(5, "adjoint system", left, right, because=because, source="almeida1987")]


def _system_line(system: System, cell: Cell, through: list[Signed], explicit: list[Signed]) -> Draft:
    """S = D (what comes through the system + ∂R/∂v)."""
    s, partial = system.sensitivity(cell), system.partial(cell)
    boxes = _each(system, through) + ([(False, partial)] if explicit else [])
    if cell.function is None:
        held = system.sum(explicit)
        after = [terms(*boxes)]
        if not through and explicit and held != partial:
            after.append(held)
        because = "Nothing nonlinear stands between the bias and the value, so the sensitivity is the value's adjoint."
        return draft(5, "adjoint system", s, *after, because=because, source="werbos1990")
    if len(boxes) <= 2:
        right = terms(*((negative, _times(system, cell, box)) for negative, box in boxes))
    else:
        right = _times(system, cell, terms(*boxes))
    because = BOTH if _from_other_steps(system, through) and (explicit or not all(_from_other_steps(system, [e]) for e in through)) else WHY
    return draft(5, "adjoint system", s, right, because=because, source="werbos1990" if cell.timed else "pineda1987")


def _from_other_steps(system: System, through: list[Signed]) -> bool:
    """Whether one of these terms reads the adjoint system at another step."""
    return any(isinstance(r, At) and r.lag and r.quantity in system.generated for _, node in through for r in reads(node))


def as_it_stands(system: System, target: Target, section: int = 5, rule: str = "adjoint system") -> Draft:
    """An equation of the derivation in its own form."""
    right = system.notation.box(system.expression(target))
    return draft(section, rule, system.notation.target(target), right, because="As the derivation has it.")


def _carried(system: System, made: Adjoints) -> None:
    """Lines for what no line accounts for: carried signals that cannot be put in, and quantities on the way."""
    final = {adjoint for target, adjoint in system.derivation.adjoints.items() if isinstance(target, Pick)}
    final |= {system.derivation.total(label) for label in system.derivation.gradients}  # type: ignore[arg-type]
    final |= {line.target for projection in system.derivation.projections for line in projection.lines}
    for equation in system.whole.equations:
        target = equation.target
        if isinstance(target, Pick) or target not in system.generated or target in made.covered or target in final:
            continue
        if target in system.carriers and system.is_movable(target):
            made.covered.add(target)
        else:
            _add(made, target, as_it_stands(system, target, rule="auxiliary"))


# -- boundary conditions


def _boundary(system: System, made: Adjoints) -> list[Draft]:
    """What is zero outside the steps, by side; a value that is not zero has a line of its own."""
    zero: dict[bool, dict[Quantity, int]] = {}
    lines: list[Draft] = []
    for equation in system.whole.equations:
        pick = equation.target
        if not isinstance(pick, Pick) or pick.quantity not in system.generated:
            continue
        if not (isinstance(equation.expr, Zeros) or is_number(equation.expr, 0)):
            _add(made, pick, as_it_stands(system, pick, rule="boundary condition"))
            continue
        made.covered.add(pick)
        reach = pick.offset if pick.from_end else 1 - pick.offset
        for quantity in _held(system, pick.quantity):
            side = zero.setdefault(pick.from_end, {})
            side[quantity] = max(side.get(quantity, 0), reach)
    for from_end, reaches in sorted(zero.items(), reverse=True):
        boxes = [box for quantity, reach in reaches.items() for box in _outside(quantity, reach, from_end, system)]
        where = "after the last step" if from_end else "before the first step"
        because = (
            f"Nothing {where} is read by the objective; products with these are zero, whatever stands beside them."
        )
        lines.append(draft(5, "boundary condition", boxes[0], *boxes[1:], ZERO, because=because, source="seung2005"))
    return lines


def _held(system: System, carried: Quantity) -> list[Quantity]:
    """The quantities of the adjoint that a carried signal holds at its own step."""
    if not system.is_movable(carried):
        return [carried]
    found = [
        r.quantity
        for r in reads(system.whole.equation[carried].expr)
        if isinstance(r, At) and r.quantity in system.generated
    ]
    return list(dict.fromkeys(found)) or [carried]


def _outside(quantity: Quantity, reach: int, from_end: bool, system: System) -> list[Box]:
    def at(distance: int) -> Box:
        return system.notation.box(Pick(quantity, T + distance if from_end else 1 - distance))

    if reach <= 3:
        return [at(distance) for distance in range(1, reach + 1)]
    return [at(1), DOTS, at(reach)]


def all_slopes(system: System, lines: list[Draft]) -> dict[str, Draft]:
    """The lines that define D, by the name of the cell's value."""
    curved = [cell for cell in system.cells if cell.function is not None]
    return dict(
        zip([cell.value.name for cell in curved], [line for line in lines if line.rule == "slopes"], strict=True)
    )
