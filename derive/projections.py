"""Projections: constraints and unprojected gradients -> equations of the gradients projected onto what is allowed.

Closed forms are equations in the language: parameters that are tied are averaged, then what `derive.forms` knows of
each constraint is applied, where all of it commutes. Everything else is the function `project` of the language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sympy as sp

from derive.arithmetic import Div, Transpose, add, negate, scale
from derive.arrays import Project
from derive.constraints import System, derived, systems
from derive.forms import Pattern, commute, find_pattern, linear_form
from derive.linearity import reads_unknown
from derive.names import Names
from derive.nodes import Kind, Node, Number, Quantity, replace
from derive.recurrence import Constraint, Equation, Recurrence
from derive.rules import transpose

TIED = "Parameters that are tied change together: the nearest such change is their average."
FOLLOWS = "It changes as the parameter that it is tied to."
GENERAL = "The projector of the constraints' matrix, computed from its singular values; a redundant constraint changes nothing."


def _times(ratio: sp.Rational, node: Node) -> Node:
    """A rational multiple, written with whole numbers."""
    held = negate(node) if ratio.p == -1 else scale(Number(ratio.p), node)
    return held if ratio.q == 1 else Div(held, Number(ratio.q))


@dataclass(frozen=True, slots=True)
class Tie:
    """A parameter as a multiple of another one, `root`, perhaps transposed."""

    ratio: sp.Rational
    transposed: bool

    def of(self, root: Node) -> Node:
        """The parameter, or its change, from that of the root."""
        return _times(self.ratio, transpose(root) if self.transposed else root)


@dataclass(frozen=True, slots=True)
class Line:
    """One equation of a projection: what it defines, the name of its rule, and why."""

    target: Quantity
    rule: str
    because: str


@dataclass(frozen=True, slots=True)
class Projection:
    """The projection of one system: its lines in order, the last of each parameter giving its projected gradient.

    ties: how each tied parameter follows from the first; empty where there are none, and where the form is general.
    """

    system: System
    lines: tuple[Line, ...]
    equations: tuple[Equation, ...]
    gradients: tuple[tuple[str, Quantity], ...]
    ties: tuple[tuple[Quantity, Tie], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """How a system is projected: by ties and patterns, or, where `general`, by its matrix."""

    system: System
    ties: dict[Quantity, Tie]
    stages: tuple[tuple[Pattern, Node], ...]
    general: bool

    @property
    def idle(self) -> bool:
        """Whether every direction is allowed."""
        return not self.general and len(self.ties) == 1 and not self.stages


def plan(recurrence: Recurrence) -> list[Plan]:
    """How each system of constraints is projected; without those that allow every direction."""
    found = [_plan(system, recurrence) for system in systems(recurrence)]
    return [entry for entry in found if not entry.idle]


def _plan(system: System, recurrence: Recurrence) -> Plan:
    root = system.parameters[0]
    unknown = set(system.parameters)
    for equation in derived(system.constraints, recurrence.equation):
        if reads_unknown(equation.expr, unknown):
            unknown.add(equation.target)
    ties: dict[Quantity, Tie] = {root: Tie(sp.S.One, False)}
    forms = {constraint: linear_form(constraint, unknown) for constraint in system.constraints}
    if not any(forms.values()):  # each cancels by itself
        return Plan(system, ties, (), False)
    rest, before = list(forms), -1
    while len(ties) > before:
        before, waiting, rest = len(ties), rest, []
        for constraint in waiting:
            tie = _tie(forms[constraint], ties)
            ties.update(tie or {})
            rest += [] if tie else [constraint]
    stages = _stages(rest, ties, unknown) if len(ties) == len(unknown) else None
    return Plan(system, ties, tuple(stages or ()), stages is None)


def _tie(form: dict[Node, sp.Rational], ties: dict[Quantity, Tie]) -> dict[Quantity, Tie] | None:
    """What a constraint of two parameters says of one that is not tied yet."""
    if len(form) != 2 or any(len(atom.shape) > 2 for atom in form):
        return None
    (a, b), pair = form, []
    for atom in (a, b):
        bare = atom.args[0] if isinstance(atom, Transpose) else atom
        pair.append((bare, isinstance(atom, Transpose), form[atom]))
    if not all(isinstance(bare, Quantity) for bare, _, _ in pair) or a.shape != b.shape:
        return None
    for (known, over, k), (new, under, m) in (pair, pair[::-1]):
        if known in ties and new not in ties:
            return {new: Tie(-k / m * ties[known].ratio, ties[known].transposed ^ over ^ under)}
    return None


def _stages(constraints: list[Constraint], ties: dict[Quantity, Tie], unknown: set[Quantity]) -> list[tuple[Pattern, Node]] | None:
    """The patterns of the constraints, each on the root alone; None where one has none, or two do not commute."""
    root = next(iter(ties))
    inside = {parameter: tie.of(root) for parameter, tie in ties.items() if parameter != root}
    found: dict[tuple[str, Node], tuple[Pattern, Node]] = {}
    for constraint in constraints:
        moved = Constraint(replace(constraint.left, inside), replace(constraint.right, inside))
        form = linear_form(moved, unknown)
        if not form:
            continue
        row = find_pattern(form, root)
        if row is None:
            return None
        found[row[0].name, row[1]] = row
    stages = list(found.values())
    fixed = [stage for stage in stages if stage[0].name == "fixed"]
    if fixed:
        return fixed
    return stages if all(commute(a.name, b.name) for i, (a, _) in enumerate(stages) for b, _ in stages[:i]) else None


@dataclass(frozen=True, slots=True)
class Naming:
    """What is projected: a word for it, and the ends of the names of what stands on the way and of the result."""

    what: str
    between: str
    last: str


GRADIENTS, DIRECTIONS = Naming("gradient", "bar", "bar"), Naming("direction", "dot", "allowed_dot")


def project(
    plans: Iterable[Plan], gradients: Mapping[str, Quantity], zero: Iterable[str], names: Names, meanings: dict[str, str]
) -> tuple[list[Projection], dict[str, Quantity], list[str]]:
    """Project gradients, by label, of which there are all of a plan's parameters or none; names and meanings grow.

    Returns the projections, the gradients with those in place, and the labels that no path leads to: a gradient without one may
    be moved by those that it is bound to.
    """
    found, done, still = [], dict(gradients), list(zero)
    for entry in plans:
        bound = [parameter.name for parameter in entry.system.parameters]
        if bound[0] in done:
            found.append(build(entry, done, names, meanings))
            done.update(found[-1].gradients)
            still = still if set(bound) <= set(still) else [label for label in still if label not in bound]
    return found, done, still


def build(
    entry: Plan, changes: Mapping[str, Quantity], names: Names, meanings: dict[str, str], naming: Naming = GRADIENTS
) -> Projection:
    """The projection of changes of a plan's parameters, by their names; names and meanings grow."""
    return _Building(entry, {q: changes[q.name] for q in entry.system.parameters}, names, meanings, naming).run()


class _Building:
    def __init__(self, entry: Plan, free: dict[Quantity, Quantity], names: Names, meanings: dict[str, str], naming: Naming) -> None:
        self.plan, self.free, self.names, self.meanings, self.naming = entry, free, names, meanings, naming
        self.lines: list[Line] = []
        self.equations: list[Equation] = []
        self.gradients: dict[str, Quantity] = {}

    def run(self) -> Projection:
        parameters = self.plan.system.parameters
        if self.plan.general:
            order = tuple(q.name for q in parameters)
            values = [self.free[q] for q in parameters]
            for parameter in parameters:
                self._last(parameter, Project(parameter.name, parameter.shape, order, *values), "by its matrix", GENERAL)
        else:
            self._closed(parameters)
        ties = tuple(self.plan.ties.items()) if len(self.plan.ties) > 1 and not self.plan.general else ()
        gradients = tuple((q.name, self.gradients[q.name]) for q in parameters)
        return Projection(self.plan.system, tuple(self.lines), tuple(self.equations), gradients, ties)

    def _closed(self, parameters: tuple[Quantity, ...]) -> None:
        root = parameters[0]
        fixed = any(pattern.name == "fixed" for pattern, _ in self.plan.stages)
        steps = [("tied", lambda g: self._average(), TIED)] if len(parameters) > 1 and not fixed else []
        steps += [(pattern.name, lambda g, p=pattern, m=matched: p.project(g, m), pattern.because) for pattern, matched in self.plan.stages]
        value: Quantity = self.free[root]
        for place, (rule, apply, because) in enumerate(steps):
            if place == len(steps) - 1:
                self._last(root, apply(value), rule, because)
            else:
                stem, meaning = f"{root.name}_{rule}_{self.naming.between}", f"{value.name}, projected: {rule}"
                value = self._define(stem, root, apply(value), meaning, rule, because)
        for parameter in parameters[1:]:
            self._last(parameter, self.plan.ties[parameter].of(self.gradients[root.name]), "tied", FOLLOWS)

    def _average(self) -> Node:
        """The multiple of the root nearest to all gradients: weighted by ratios, over the sum of their squares."""
        terms = [tie.of(self.free[parameter]) for parameter, tie in self.plan.ties.items()]
        return _times(1 / sp.Add(*(tie.ratio**2 for tie in self.plan.ties.values())), add(terms))

    def _last(self, parameter: Quantity, expr: Node, rule: str, because: str) -> None:
        meaning = f"{self.naming.what} at {parameter.name}, projected"
        self.gradients[parameter.name] = self._define(f"{parameter.name}_{self.naming.last}", parameter, expr, meaning, rule, because)

    def _define(self, stem: str, like: Quantity, expr: Node, meaning: str, rule: str, because: str) -> Quantity:
        quantity = Quantity(self.names.fresh(stem), "quantity", like.shape, Kind.SHARED)
        self.meanings[quantity.name] = meaning
        self.equations.append(Equation(quantity, expr))
        self.lines.append(Line(quantity, rule, because))
        return quantity
