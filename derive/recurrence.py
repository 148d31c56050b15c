"""The Recurrence record: quantities, equations, values outside the steps, objective, constraints.

Input: what the builder collected. Output: a frozen record, valid by construction, that every later stage reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import sympy as sp

from derive.errors import Location
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, T, walk
from derive.temporal import TimeSum

Target = Quantity | Pick


@dataclass(frozen=True, slots=True)
class Equation:
    """target = expr; the target is a quantity (at every step where it is timed) or a value outside the steps."""

    target: Target
    expr: Node
    line: int | None = None

    @property
    def timed(self) -> bool:
        """Whether it holds at every step."""
        return isinstance(self.target, Quantity) and self.target.kind == Kind.TIMED

    @property
    def sums_sequences(self) -> bool:
        """Whether its value is summed over sequences."""
        return isinstance(self.target, Quantity) and self.target.role in ("total", "objective")


@dataclass(frozen=True, slots=True)
class Constraint:
    """left == right: what the parameters must satisfy, affine in them; where: its place in a file."""

    left: Node
    right: Node
    where: Location | None = field(default=None, compare=False)

    def source(self) -> str:
        """As a statement of the language."""
        return f"assert {self.left.source()} == {self.right.source()}"


@dataclass(frozen=True, slots=True)
class Objective:
    """The objective: its name, `minimize` or `maximize`, and whether it is left abstract."""

    name: str
    sense: str
    abstract: bool = False


@dataclass(frozen=True)
class Recurrence:
    """A system of equations over time.

    quantities: inputs, parameters, constants and defined quantities, in order of declaration; equations: one for each defined
    quantity and each value outside 1..T that has one; functions: names declared without definition; defaults: values of scalar
    constants; objective: at most one; meanings: what generated names stand for; notes: remarks for the user (inferred
    parameters, warnings); file: for messages; constraints: equalities, linear in the parameters, that these satisfy.
    """

    name: str
    title: str
    quantities: tuple[Quantity, ...]
    equations: tuple[Equation, ...]
    functions: tuple[str, ...] = ()
    defaults: Mapping[str, sp.Rational] = field(default_factory=dict)
    objective: Objective | None = None
    meanings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    file: str = ""
    constraints: tuple[Constraint, ...] = ()

    @cached_property
    def named(self) -> dict[str, Quantity]:
        """Quantities by name."""
        return {quantity.name: quantity for quantity in self.quantities}

    @cached_property
    def equation(self) -> dict[Target, Equation]:
        """Equations by what they define."""
        return {equation.target: equation for equation in self.equations}

    @cached_property
    def ghosts(self) -> dict[Quantity, tuple[Pick, ...]]:
        """For each timed quantity the positions outside 1..T that some lag reads or some equation defines, nearest first."""
        reach: dict[Quantity, list[int]] = {q: [0, 0] for q in self.quantities if q.kind == Kind.TIMED}
        for equation in self.equations:
            for read in [*reads(equation.expr), equation.target]:
                if isinstance(read, At):
                    low, high = reach[read.quantity]
                    reach[read.quantity] = [max(low, -read.lag), max(high, read.lag)]
                elif isinstance(read, Pick) and read.outside:
                    low, high = reach[read.quantity]
                    before = 0 if read.from_end else 1 - read.offset
                    reach[read.quantity] = [max(low, before), max(high, read.offset if read.from_end else 0)]
        return {q: (*(Pick(q, -i) for i in range(low)), *(Pick(q, T + i) for i in range(1, high + 1))) for q, (low, high) in reach.items()}

    @cached_property
    def arguments(self) -> tuple[Pick, ...]:
        """Values outside 1..T that the caller gives (zero where left out): those of signals, without an equation."""
        return tuple(ghost for q, ghosts in self.ghosts.items() if q.role == "signal" for ghost in ghosts if ghost not in self.equation)

    @cached_property
    def free(self) -> tuple[Target, ...]:
        """What has a gradient and may be moved: parameters, values outside the steps that are arguments, inputs."""
        return (*self.of_role("parameter"), *self.arguments, *self.of_role("input"))

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """Names of the dims, sorted."""
        found = {s.name for q in self.quantities for size in q.shape for s in size.free_symbols}
        sides = [side for constraint in self.constraints for side in (constraint.left, constraint.right)]
        for expr in (*(equation.expr for equation in self.equations), *sides):
            found |= {s.name for n in walk(expr) if isinstance(n, Number) for s in n.value.free_symbols if s != T}
            found |= {s.name for n in walk(expr) for size in n.shape for s in size.free_symbols}
        return tuple(sorted(found))

    def of_role(self, *roles: str) -> tuple[Quantity, ...]:
        """Quantities of these roles, in order."""
        return tuple(q for q in self.quantities if q.role in roles)


def reads(expr: Node) -> Iterator[At | Pick | Quantity]:
    """Every read in an expression, with repetitions, left to right."""
    return (node for node in walk(expr) if isinstance(node, (At, Pick, Quantity)))


def reads_over_time(expr: Node) -> Iterator[tuple[At | Pick | Quantity, bool]]:
    """Every read, and whether it stands inside a sum over time."""
    stack = [(expr, False)]
    while stack:
        node, inside = stack.pop()
        if isinstance(node, (At, Pick, Quantity)):
            yield node, inside
        else:
            stack += [(arg, inside or isinstance(node, TimeSum)) for arg in reversed(node.operands)]
