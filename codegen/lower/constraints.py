"""Constraints: a Recurrence's asserts -> systems of statements on shared buffers."""

from __future__ import annotations

from collections.abc import Mapping

from codegen.lower.sizes import as_size
from codegen.lower.statements import Statements, axes
from codegen.program import Buffer
from codegen.statements import Map
from codegen.systems import Assertion, System
from derive import constraints
from derive.arithmetic import common_shape
from derive.nodes import Node, Quantity, Shape
from derive.recurrence import Constraint, Recurrence, reads


def lower_systems(recurrence: Recurrence, known: Mapping[Quantity, str]) -> tuple[System, ...]:
    """A System for each group of constraints that share parameters. known: the buffers of parameters and constants."""
    return tuple(_Lowering(recurrence, known, system).run() for system in constraints.systems(recurrence))


class _Lowering:
    def __init__(self, recurrence: Recurrence, known: Mapping[Quantity, str], system: constraints.System) -> None:
        self.recurrence, self.known, self.system = recurrence, known, system
        self.lowered = Statements()

    def run(self) -> System:
        derived = constraints.derived(self.system.constraints, self.recurrence.equation)
        read = dict.fromkeys([*self.system.parameters, *constraints.constrained(self.system.constraints)])
        read |= dict.fromkeys(quantity for equation in derived for quantity in reads(equation.expr))  # type: ignore[arg-type]
        for quantity in read:
            if quantity not in self.recurrence.equation:
                self.lowered.declare(quantity, "q_", quantity.name, "argument")
        for equation in derived:
            self.lowered.declare(equation.target, "d_", "")  # type: ignore[arg-type]
        for equation in derived:
            self.lowered.define(equation)
        assertions = tuple(self._assertion(constraint) for constraint in self.system.constraints)
        names = tuple(self.known[quantity] for quantity in self.system.parameters)
        return System(names, self.lowered.buffers, tuple(self.lowered.statements), assertions)

    def _assertion(self, constraint: Constraint) -> Assertion:
        shape = common_shape((constraint.left, constraint.right))
        line = constraint.where.line if constraint.where else 0
        return Assertion(constraint.source(), line, self._side(constraint.left, shape), self._side(constraint.right, shape))

    def _side(self, node: Node, shape: Shape) -> str:
        name = f"side{len(self.lowered.buffers)}"
        self.lowered.buffers[name] = Buffer(name, "", "shared", tuple(as_size(size) for size in shape))
        element = self.lowered.elements.of(node, axes(shape) if node.shape else ())
        self.lowered.statements.append(Map(name, element))
        return name
