"""Holding: Recurrence -> the same with what no gradient passes through given from outside.

A stopped value becomes an input, and a surrogate the straight line through its value with the chosen slope. At the point where the
inputs were measured the result has the values and the gradient of the model, and numeric differentiation may move it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from derive.arithmetic import Add, Mul, Neg, Surrogate
from derive.names import Names, taken_by
from derive.nodes import At, Kind, Node, Quantity, walk
from derive.outside import keep_outside
from derive.recurrence import Equation, Recurrence
from derive.temporal import Each, StopGradient

ROLES = {Kind.SHARED: "constant", Kind.SEQUENCE: "input", Kind.TIMED: "input"}


@dataclass(frozen=True, slots=True)
class Held:
    """recurrence: reads the held values as inputs and constants, `names`; measured: the model, with these as quantities of its own."""

    recurrence: Recurrence
    measured: Recurrence
    names: tuple[str, ...]


def hold(recurrence: Recurrence) -> Held | None:
    """The recurrence with its stopped values and surrogates held; None where it has none of either."""
    nodes = (node for equation in recurrence.equations for node in walk(equation.expr))
    if not any(_stops(node) or isinstance(node, Surrogate) for node in nodes):
        return None
    holder = _Holder(Names(taken_by(recurrence)))
    moving = tuple(replace(e, expr=holder.visit(e.expr)) for e in recurrence.equations)
    given = tuple(holder.quantity(node, ROLES[node.kind]) for node in holder.names)
    made = {holder.quantity(node, "signal" if node.kind == Kind.TIMED else "quantity"): node for node in holder.names}
    moved = replace(recurrence, quantities=(*recurrence.quantities, *given), equations=moving)
    return Held(
        keep_outside(moved, recurrence.arguments, holder.free),
        replace(
            recurrence,
            quantities=(*recurrence.quantities, *made),
            equations=(*recurrence.equations, *(Equation(q, node) for q, node in made.items())),
        ),
        tuple(holder.names.values()),
    )


def _stops(node: Node) -> bool:
    return type(node) is StopGradient


def _as_often(whole: Node, part: Node) -> Node:
    """A part of what has a value for each sequence, for each sequence: in a total it would count once otherwise."""
    return Each(part) if whole.kind == Kind.SEQUENCE and part.kind == Kind.SHARED else part


class _Holder:
    def __init__(self, names: Names) -> None:
        self.free, self.names = names, dict[Node, str]()

    def quantity(self, node: Node, role: str) -> Quantity:
        """The quantity that holds an expression's value."""
        return Quantity(self.names[node], role, node.shape, node.kind)

    def visit(self, node: Node) -> Node:
        """The expression with its stopped parts read from outside."""
        if _stops(node):
            return self._held(node.operands[0])
        if isinstance(node, Surrogate):
            value, slope, argument = node.operands
            moved = Add(self.visit(argument), Neg(self._held(argument)))
            return Add(*(_as_often(node, part) for part in (self._held(value), Mul(self._held(slope), moved))))
        if not node.operands:
            return node
        return node.func(*(self.visit(arg) if isinstance(arg, Node) else arg for arg in node.args))

    def _held(self, node: Node) -> Node:
        if node not in self.names:
            self.names[node] = self.free.fresh("held")
        quantity = self.quantity(node, ROLES[node.kind])
        return At(quantity, 0) if node.kind == Kind.TIMED else quantity
