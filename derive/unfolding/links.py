"""Links: Derivation and a number of steps -> which value sends what to which, one instance of every equation for every step.

An instance is a quantity at one step. Equations are written out at fixed steps, and the rules of `derive.rules` say what each
sends to what it reads, as in `derive.collection`; only that here nothing is added up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Add, Div, MatMul, Mul, Neg, Transpose, add, is_number, summands
from derive.contributions import reuse
from derive.derivation import Derivation
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, T, ghost_at
from derive.normal import NONLINEAR
from derive.recurrence import Equation, Target
from derive.rules import rule

SPREAD = (Neg, Transpose, A.Sum, A.Mean, A.Norm2, A.Slice, A.Pad, A.Diag, temporal.Each, temporal.Argument)


class Instance(NamedTuple):
    """A quantity at a step, or with step 0 one without time or a value outside the steps."""

    target: Target
    step: int


class Key(NamedTuple):
    """What is read, and whether once for each sequence."""

    read: Instance
    each: bool


@dataclass(frozen=True, slots=True)
class Link:
    """What the equation of `reader` sends to the adjoint of `read`: `sent`, linear in `mark`, which stands for the reader's adjoint."""

    reader: Instance
    read: Instance
    each: bool
    mark: Quantity
    sent: Node


class Unfolded:
    """The normal form of a derivation's model, written out over a number of steps."""

    def __init__(self, derivation: Derivation, steps: int) -> None:
        self.derivation, self.primal, self.steps = derivation, derivation.primal, steps
        self._sent: dict[tuple[Instance, Node], dict[Key, Node]] = {}

    def expression(self, instance: Instance) -> Node | None:
        """The right side of an instance's equation at its step; None for what is given."""
        equation = self.primal.equation.get(instance.target)
        return None if equation is None else self.fixed(equation.expr, instance.step)

    def fixed(self, node: Node, step: int) -> Node:
        """An expression at one step: lags become fixed steps, sums over time are written out.

        Raises: ValueError where a fixed step does not exist in so short a sequence.
        """
        match node:
            case At():
                return self._at(node.quantity, step + node.lag)
            case Pick():
                return self._at(node.quantity, node.offset + (self.steps if node.from_end else 0))
            case Number():
                return Number(node.value.xreplace({T: Number(self.steps).value}))
            case temporal.TimeSum():
                terms = [self.fixed(node.args[0], s) for s in node.window.range(self.steps)]
                return A.filled(add(terms) if terms else Number(0), node.shape)
            case temporal.Within():
                inside = step in node.window.range(self.steps)
                return self.fixed(node.args[0], step) if inside else A.filled(Number(0), node.shape)
        if not node.operands:
            return node
        return node.func(*(self.fixed(arg, step) if isinstance(arg, Node) else arg for arg in node.args))

    def _at(self, quantity: Quantity, position: int) -> Node:
        if 1 <= position <= self.steps:
            return Pick(quantity, position)
        if quantity.given:
            return A.filled(Number(0), quantity.shape)
        ghost = ghost_at(quantity, position, self.steps)
        if ghost not in self.primal.ghosts[quantity]:
            raise ValueError(f"{quantity.name}[{position}] is read, which there is not with T = {self.steps}; unfold more steps")
        return ghost

    def instance(self, read: Pick | Quantity) -> Instance:
        """What a read at a fixed step is an instance of."""
        if isinstance(read, Pick) and not read.outside:
            return Instance(read.quantity, read.offset)
        return Instance(read, 0)

    def read(self, instance: Instance) -> Node:
        """An instance as an expression."""
        return Pick(instance.target, instance.step) if instance.step else instance.target

    def position(self, instance: Instance) -> int | None:
        """The step of an instance, also of a value outside the steps; None for what has no time."""
        target = instance.target
        if isinstance(target, Pick):
            return target.offset + (self.steps if target.from_end else 0)
        return instance.step or None

    @cached_property
    def _outputs(self) -> dict[Node, Node]:
        """Values of functions that some signal already holds."""
        held = [e for e in self.primal.equations if isinstance(e.target, Quantity) and isinstance(e.expr, NONLINEAR)]
        found: dict[Node, Node] = {}
        for equation in held:
            if equation.timed:
                found |= {self.fixed(equation.expr, t): Pick(equation.target, t) for t in range(1, self.steps + 1)}
            elif equation.expr.kind == equation.target.kind:
                found[self.fixed(equation.expr, 0)] = equation.target
        return found

    def mark(self, instance: Instance) -> Quantity:
        """What stands for the adjoint of an instance; its name is none that can be written."""
        target = instance.target
        name = f"adjoint of {target.source()} at {instance.step}"
        return Quantity(name, "input", target.shape, Kind.SEQUENCE)

    def dot(self, instance: Instance) -> Quantity:
        """What stands for the derivative of an instance by the entry."""
        return Quantity(f"derivative of {instance.target.source()} at {instance.step}", "input", instance.target.shape, Kind.SEQUENCE)

    def reused(self, node: Node) -> Node:
        """The expression with function values that some signal holds replaced by reads of it."""
        return reuse(node, self._outputs)

    def sent(self, instance: Instance, g: Node) -> dict[Key, Node]:
        """What an instance with adjoint g sends to everything that its equation reads; what is zero everywhere is left out."""
        known = (instance, g)
        if known not in self._sent:
            found: dict[Key, list[Node]] = {}
            equation = self.primal.equation[instance.target]
            for term, each in self._terms(equation, instance.step):
                self._walk(term, g, each, found)
            joined = {key: self.reused(A.filled(add(values), key.read.target.shape)) for key, values in found.items()}
            self._sent[known] = {key: value for key, value in joined.items() if not vanishes(value)}
        return self._sent[known]

    def _terms(self, equation: Equation, step: int) -> list[tuple[Node, bool]]:
        """The terms of an equation and whether each counts once for every sequence."""
        if not equation.sums_sequences:
            shared = isinstance(equation.target, Quantity) and equation.target.kind == Kind.SHARED
            return [(self.fixed(equation.expr, step), not shared)]
        terms = summands(equation.expr)
        return [(self.fixed(term, step), term.kind != Kind.SHARED) for term in terms]

    def _walk(self, node: Node, g: Node, each: bool, found: dict[Key, list[Node]]) -> None:
        if isinstance(node, (Pick, Quantity)):
            found.setdefault(Key(self.instance(node), each), []).append(g)
            return
        for operand, value in rule(node).adjoint(node, g):
            self._walk(operand, value, each, found)

    def links(self, instance: Instance) -> list[Link]:
        """The links from an instance to all that its equation reads."""
        if instance.target not in self.primal.equation:
            return []
        mark = self.mark(instance)
        return [Link(instance, key.read, key.each, mark, value) for key, value in self.sent(instance, mark).items()]


def vanishes(node: Node) -> bool:
    """Whether an expression is zero because of zeros written in it."""
    match node:
        case A.Zeros():
            return True
        case Number():
            return is_number(node, 0)
        case Mul() | MatMul() | A.Outer() | A.Dot():
            return any(map(vanishes, node.operands))
        case Add():
            return all(map(vanishes, node.operands))
        case Div():
            return vanishes(node.args[0])
    return isinstance(node, SPREAD) and vanishes(node.args[0])
