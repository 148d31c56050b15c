"""Constraints: what `assert` says of parameters -> whether it is affine in them, and which parameters are bound together.

All asserts together are one linear system A vec(θ) = c. It falls into systems that share no parameter, each of which is
projected by itself. Derived quantities are seen through where they are affine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from derive.arithmetic import common_shape
from derive.errors import RecurrenceError
from derive.graph import components
from derive.linearity import affine_degree
from derive.nodes import Kind, Node, Quantity, shape_text
from derive.recurrence import Constraint, Equation, Recurrence, Target, reads

Equations = Mapping[Target, Equation]
LINEAR = "a constraint is linear in parameters, with numbers, dims and constants as coefficients"


@dataclass(frozen=True, slots=True)
class System:
    """Constraints that share parameters, and these parameters in order of declaration."""

    parameters: tuple[Quantity, ...]
    constraints: tuple[Constraint, ...]


def constrained(constraints: Iterable[Constraint]) -> Iterator[Quantity]:
    """The quantities that constraints read themselves, with repetitions."""
    sides = (side for constraint in constraints for side in (constraint.left, constraint.right))
    return (read for side in sides for read in reads(side) if isinstance(read, Quantity))


def require_equality(left: Node, right: Node) -> None:
    """Refuse sides of different shapes, and those with a value for each sequence or step.

    Raises: RecurrenceError (ShapeError for shapes).
    """
    common_shape((left, right))
    for side in (left, right):
        if side.kind != Kind.SHARED:
            raise RecurrenceError(f"{side.source()[:120]} differs from sequence to sequence, or from step to step", LINEAR)


def require_affine(recurrence: Recurrence) -> None:
    """Refuse constraints that are not affine in parameters, through derived quantities too. Raises: RecurrenceError at the constraint."""
    if not recurrence.constraints:
        return
    degrees = _degrees(recurrence)
    unknown = {quantity for quantity, degree in degrees.items() if degree}
    for constraint in recurrence.constraints:
        try:
            for quantity in constrained((constraint,)):
                _require_known(recurrence, quantity, degrees)
            if not any(quantity in unknown for quantity in constrained((constraint,))):
                raise RecurrenceError("no parameter stands in this constraint", "write assert W == W.T, say, with a parameter W")
            for side in (constraint.left, constraint.right):
                _require_linear(side, unknown)
        except RecurrenceError as error:
            raise error if constraint.where is None else error.at(constraint.where) from None


def _degrees(recurrence: Recurrence) -> dict[Quantity, int]:
    """The degree in the parameters, of these and of what is derived from shared quantities alone: 0, 1, or 2 where it is not affine."""
    found = dict.fromkeys(recurrence.of_role("constant"), 0) | dict.fromkeys(recurrence.of_role("parameter"), 1)
    shared = {q: e for q, e in recurrence.equation.items() if isinstance(q, Quantity) and q.role == "quantity" and q.kind == Kind.SHARED}
    graph = {q: [read for read in reads(e.expr) if read in shared] for q, e in shared.items()}
    unknown = set(recurrence.of_role("parameter"))
    for members in components(graph):
        first = members[0]
        below = [found.get(read, 2) for read in reads(shared[first].expr)]  # type: ignore[arg-type]
        plain = len(members) == 1 and first not in graph[first] and max(below, default=0) < 2
        degree = affine_degree(shared[first].expr, unknown) if plain else 2
        found.update(dict.fromkeys(members, degree))
        unknown |= set(members) if degree else set()
    return found


def _require_known(recurrence: Recurrence, quantity: Quantity, degrees: Mapping[Quantity, int]) -> None:
    if recurrence.named.get(quantity.name) != quantity:
        raise RecurrenceError(f"{quantity.name}, {shape_text(quantity.shape)}, is not declared here")
    if quantity not in degrees:
        raise RecurrenceError(f"{quantity.name} is neither a parameter nor derived from parameters", LINEAR)
    if degrees[quantity] == 2:
        raise RecurrenceError(f"{quantity.name} is not linear in the parameters", LINEAR)


def _require_linear(expr: Node, unknown: set[Quantity]) -> None:
    if affine_degree(expr, unknown) < 2:
        return
    while (inner := next((arg for arg in expr.operands if affine_degree(arg, unknown) == 2), None)) is not None:
        expr = inner
    names = sorted({read.name for read in reads(expr) if isinstance(read, Quantity) and read in unknown})
    hint = LINEAR if len(names) < 2 else f"{LINEAR}; if one of {' and '.join(names)} is a constant, declare it: {names[-1]}: const[…]"
    raise RecurrenceError(f"{expr.source()[:120]} is not linear in {' and '.join(names)}", hint)


def derived(constraints: Iterable[Constraint], equations: Equations) -> tuple[Equation, ...]:
    """The equations of the derived quantities that constraints read, those read before their readers."""
    found: dict[Quantity, list[Quantity]] = {}
    stack = list(constrained(constraints))
    while stack:
        quantity = stack.pop()
        if quantity in equations and quantity not in found:
            found[quantity] = [read for read in reads(equations[quantity].expr) if isinstance(read, Quantity)]
            stack += found[quantity]
    graph = {quantity: [read for read in read_by if read in found] for quantity, read_by in found.items()}
    return tuple(equations[member] for part in components(graph) for member in part)


def systems(recurrence: Recurrence) -> tuple[System, ...]:
    """The constraints in groups that share no parameter, in order of their first parameters."""
    names: dict[object, list[object]] = {constraint: list(constrained((constraint,))) for constraint in recurrence.constraints}
    names |= {e.target: list(reads(e.expr)) for e in derived(recurrence.constraints, recurrence.equation)}
    joined: dict[object, list[object]] = {}
    for owner, found in names.items():
        for read in found:
            if not (isinstance(read, Quantity) and read.role == "constant"):
                joined.setdefault(owner, []).append(read)
                joined.setdefault(read, []).append(owner)
    home = {member: place for place, part in enumerate(components(joined)) for member in part}
    groups: dict[int, list[Quantity]] = {}
    for parameter in recurrence.of_role("parameter"):
        if parameter in home:
            groups.setdefault(home[parameter], []).append(parameter)
    return tuple(
        System(tuple(members), tuple(c for c in recurrence.constraints if home[c] == place)) for place, members in groups.items()
    )


def system_of(recurrence: Recurrence, name: str) -> System:
    """The system of constraints that binds a parameter."""
    return next(system for system in systems(recurrence) if any(parameter.name == name for parameter in system.parameters))
