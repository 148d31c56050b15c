"""Tangent: Recurrence -> the recurrence together with the derivative of every quantity in one direction (the R-operator).

The direction enters through inputs and constants named after what they perturb. Prints nothing, lowers nothing.
Source: [pearlmutter1994].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from derive import arrays as A
from derive import temporal
from derive.arithmetic import add, summands
from derive.contributions import function_values, reuse
from derive.names import Names, taken_by
from derive.nodes import At, Kind, Node, Number, Pick, Quantity
from derive.normal import normalise
from derive.outside import keep_outside
from derive.recurrence import Equation, Recurrence, Target
from derive.rules import differentiated, rule
from derive.validity import validate


@dataclass(frozen=True)
class Tangent:
    """A recurrence and its tangent in one system.

    tangents: label of a primal quantity or value outside the steps -> what holds its tangent.
    """

    source: Recurrence
    recurrence: Recurrence
    tangents: Mapping[str, Target]


def tangent(recurrence: Recurrence) -> Tangent:
    """Derive the tangent system of a recurrence.

    Shapes: the tangent of a quantity has its shape and kind. Units: those of the quantity over those of the direction's length.
    The tangent of an argument "h[0]" is an argument too, of the tangent signal.
    Raises: RecurrenceError where a node has no rule.
    """
    return _Tangent(normalise(recurrence)).run(recurrence)


class _Tangent:
    def __init__(self, primal: Recurrence) -> None:
        self.primal = primal
        self.names = Names(taken_by(primal))
        self.meanings = dict(primal.meanings)
        self.dots: dict[Quantity, Quantity] = {}
        for quantity in primal.quantities:
            if quantity.role in ("constant", "index"):
                continue
            self.dots[quantity] = dot = named_dot(quantity, self.names)
            self.meanings[dot.name] = f"tangent of {quantity.name}"

    def run(self, source: Recurrence) -> Tangent:
        equations = [e if not e.sums_sequences else Equation(_plain(e.target), e.expr, e.line) for e in self.primal.equations]
        outputs = function_values(self.primal)
        equations += [moved_equation(equation, self.dots, outputs) for equation in self.primal.equations]
        quantities = (*(_plain(q) for q in self.primal.quantities), *self.dots.values())
        result = Recurrence(
            name=f"{source.name}_tangent", title=source.title, quantities=quantities, equations=tuple(equations),
            functions=source.functions, defaults=source.defaults, meanings=self.meanings, file=source.file,
            constraints=source.constraints,
        )  # fmt: skip
        labels: dict[str, Target] = {q.name: dot for q, dot in self.dots.items()}
        labels |= {ghost.source(): moved_target(ghost, self.dots) for ghost in self.primal.arguments}
        result = keep_outside(result, (target for target in labels.values() if isinstance(target, Pick)), self.names)
        return Tangent(source, normalise(validate(result, {})), labels)


def named_dot(quantity: Quantity, names: Names) -> Quantity:
    """The quantity that holds the tangent of another; the direction at a parameter is a constant."""
    role = {"parameter": "constant", "objective": "total"}.get(quantity.role, quantity.role)
    return Quantity(names.fresh(f"{quantity.name}_dot"), role, quantity.shape, quantity.kind)


def moved_target(target: Target, dots: Mapping[Quantity, Quantity]) -> Target:
    """What holds the tangent of a quantity or of a value outside the steps."""
    return Pick(dots[target.quantity], target.args[1]) if isinstance(target, Pick) else dots[target]


def moved_equation(equation: Equation, dots: Mapping[Quantity, Quantity], outputs: Mapping[Node, Node]) -> Equation:
    """The equation of a target's tangent; in a total each term counts as often as the term that it is of.

    outputs: function values that some quantity of the model holds, which are read there.
    """
    expr = equation.expr
    terms = summands(expr) if equation.sums_sequences else (expr,)
    found = [_counted(term, dots) if equation.sums_sequences else move(term, dots) for term in terms]
    parts = [part for part in found if part is not None]
    target, value = moved_target(equation.target, dots), reuse(add(parts), outputs) if parts else Number(0)
    return Equation(target, A.filled(value, target.shape), equation.line)


def _counted(term: Node, dots: Mapping[Quantity, Node]) -> Node | None:
    """The tangent of a term of a total, once for each sequence where the term has a value for each."""
    moved = move(term, dots)
    return temporal.Each(moved) if moved is not None and term.kind > moved.kind == Kind.SHARED else moved


def move(node: Node, dots: Mapping[Quantity, Node]) -> Node | None:
    """The tangent of an expression, or None where it is zero; a quantity without an entry among the tangents stands still."""
    match node:
        case At() | Pick():
            dot = dots.get(node.quantity)
            return None if dot is None else node.func(dot, node.args[1])
        case Quantity():
            return dots.get(node)
        case temporal.TimeSum() | temporal.Within():
            inner = move(node.args[0], dots)
            return None if inner is None else node.func(inner, node.window)
    moved = [move(arg, dots) for arg in differentiated(node)]
    return None if all(part is None for part in moved) and node.operands else rule(node).tangent(node, moved)


def _plain(target: Target) -> Target:
    """The objective as an ordinary total."""
    return Quantity(target.name, "total", (), Kind.SHARED) if isinstance(target, Quantity) and target.role == "objective" else target
