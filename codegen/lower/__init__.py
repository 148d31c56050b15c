"""Lowering: Derivations -> Program. The one border from SymPy to the code generator's own records.

Imports the derivation's nodes; everything after it imports `codegen.program` alone. What it does not know it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from codegen.lower.constraints import lower_systems
from codegen.lower.sizes import number_of
from codegen.lower.statements import Statements
from codegen.lower.streams import streaming
from codegen.lower.sums import formed_before
from codegen.plan import needed_actions
from codegen.program import Buffer, Program
from codegen.schedule import Draft, schedule
from derive.adjoint import gradient, pullback
from derive.arithmetic import Div, Pow
from derive.derivation import Derivation
from derive.errors import RecurrenceError
from derive.nodes import Node, Number, Pick, T, walk
from derive.normal import normalise
from derive.recurrence import Recurrence, reads
from derive.temporal import TimeSum

ROLES = {"input": "argument", "index": "argument", "parameter": "argument", "constant": "argument"}


def lower(recurrence: Recurrence, derivatives: bool = True, fused: bool = True) -> Program:
    """Lower a recurrence, with its gradient and pullback, to a Program.

    The forward phase computes every quantity the user defined; the gradient phase, the gradients of the objective; the pullback
    phase, gradients from cotangents. fused: with products where their values are used (`codegen.fusion`).
    Raises: RecurrenceError for what has no value (abstract functions and objectives) or no order.
    """
    check_concrete(recurrence)
    primal = normalise(recurrence)
    derivations: dict[str, Derivation] = {}
    if derivatives:
        if recurrence.objective is not None:
            derivations["gradient"] = gradient(recurrence)
        derivations["pullback"] = pullback(recurrence)
    lowering = Lowering(recurrence, primal, derivations)
    scheduled = schedule(*lowering.draft(), fused)
    needs = {
        phase: {label: needed_actions(scheduled.phases[phase], [name]) for label, name in scheduled.results[phase].items()}
        for phase in derivations
    }  # fmt: skip
    scheduled = replace(scheduled, needs=needs)
    return replace(scheduled, streaming=streaming(recurrence, primal, scheduled, lowering.primal_only[0]))


def check_concrete(recurrence: Recurrence) -> None:
    """Refuse what has no value, showing the line to add."""
    for name in recurrence.functions:
        raise RecurrenceError(
            f"{name} is declared as a function without a definition, and cannot be computed",
            f"write a definition in its place, such as {name} = lambda u: tanh(u)",
        )
    aim = recurrence.objective
    if aim is not None and aim.abstract:
        signal = next((q.name for q in recurrence.of_role("signal")), None)
        cost = f"sum(norm2({signal}[t]) for t in steps)" if signal else "norm2(x)"
        raise RecurrenceError(
            f"the objective {aim.name} is left abstract, and cannot be computed",
            f"write one in its place, such as {aim.name} = {aim.sense}({cost})",
        )


class Lowering:
    """A recurrence in normal form, with derivations of it -> a Program that is not scheduled yet, and its phases' statements."""

    def __init__(self, recurrence: Recurrence, primal: Recurrence, derivations: Mapping[str, Derivation]) -> None:
        self.recurrence, self.primal, self.derivations = recurrence, primal, derivations
        self.lowered = Statements()
        self.results: dict[str, dict[str, str]] = {}
        self.cotangents: dict[str, str] = {}
        self.ends = self._ends()
        self.primal_only: tuple[dict, dict] = ({}, {})

    def draft(self) -> tuple[Program, list[Draft]]:
        """Declare and lower everything."""
        user = {q.name for q in self.recurrence.quantities}
        for quantity in self.primal.quantities:
            if quantity.role == "objective" and quantity not in self.primal.equation:
                continue
            label = quantity.name if quantity.name in user else ""
            self.lowered.declare(quantity, "q_", label, ROLES.get(quantity.role, "value"), self.ends.get(quantity.name, (0, 0)))
        self._arguments()
        systems = lower_systems(self.recurrence, self.lowered.known)
        self.lowered.bound = {s.buffers[name].label: (place, name) for place, s in enumerate(systems) for name in s.parameters}
        self._lower(self.primal.equations)
        drafts = [Draft("forward", list(self.lowered.statements))]
        defined = self.recurrence.of_role("signal", "quantity", "total", "objective")
        self.results["forward"] = {q.name: self.lowered.known[q] for q in defined if q in self.lowered.known}
        # Sums over time are formed again where a gradient is one, so that a window can add its share; see `codegen.lower.sums`.
        kept = {node: read for node, read in self.lowered.aside_of.items() if not any(isinstance(n, TimeSum) for n in walk(node))}
        self.primal_only = dict(self.lowered.known), kept
        for phase, derivation in self.derivations.items():
            derived = self._derived(phase, derivation)
            drafts.append(Draft(phase, formed_before(derived, drafts[0].statements, self.lowered.buffers)))
        aim = self.recurrence.objective
        program = Program(
            name=self.recurrence.name,
            dims=self.recurrence.dims,
            buffers=self.lowered.buffers,
            phases={},
            results=self.results,
            objective=aim.name if aim else None,
            losses=self.lowered.losses,
            cotangents=self.cotangents,
            defaults={name: float(value) for name, value in self.recurrence.defaults.items()},
            least=self.least(),
            zero=next((d.zero for d in self.derivations.values()), frozenset()),
            systems=systems,
        )
        return program, drafts

    def least(self) -> tuple[tuple[str, bool, int, int, int], ...]:
        """The fixed positions of signals that the model reads; inputs read zero where a sequence is too short. A division by T asks for
        a step as a read of h[T] does."""  # noqa: D205, D209
        found = {}
        for equation in self.primal.equations:
            if any(_needs_step(node) for node in walk(equation.expr)):
                found["T"] = ("T, a divisor,", True, 0, 0, 0)
            for read in reads(equation.expr):
                if isinstance(read, Pick) and not read.outside and not read.quantity.given:
                    ghosts = self.primal.ghosts[read.quantity]
                    room = sum(not g.from_end for g in ghosts), sum(g.from_end for g in ghosts)
                    found[read.source()] = (read.source(), read.from_end, read.offset, *room)
        return tuple(found.values())

    def _lower(self, equations: object) -> list:
        start = len(self.lowered.statements)
        for equation in equations:  # type: ignore[attr-defined]
            self.lowered.define(equation)
        return self.lowered.statements[start:]

    def _arguments(self) -> None:
        """A buffer and a filling for every value outside the steps that the caller gives."""
        for ghost in self.primal.arguments:
            name = f"a{len(self.lowered.buffers)}"
            shape = self.lowered.buffers[self.lowered.known[ghost.quantity]].shape
            self.lowered.buffers[name] = Buffer(name, ghost.source(), "sequence", shape, "argument")
            self.lowered.fill(ghost, name)

    def _derived(self, phase: str, derivation: Derivation) -> list:
        known = {q.name for q in self.primal.quantities}
        lowered, ends = self.lowered, _ends(derivation.recurrence)
        lowered.known, lowered.aside_of = (dict(part) for part in self.primal_only)
        for quantity in derivation.recurrence.quantities:
            if quantity.name in known:
                if quantity not in lowered.known:  # the objective, now a total
                    lowered.known[quantity] = f"q_{quantity.name}"
                continue
            role = ROLES.get(quantity.role, "value")
            lowered.declare(quantity, f"{phase[0]}_", "", role, ends.get(quantity.name, (0, 0)))
        for label, quantity in derivation.cotangents.items():
            if phase == "pullback":
                self.cotangents[label] = lowered.known[quantity]
        primal = {e.target for e in self.primal.equations} | {q for q in derivation.recurrence.quantities if q.name in known}
        own = [e for e in derivation.recurrence.equations if not (e.target in primal or _defines_known(e.target, known))]
        statements = self._lower(own)
        self.results[phase] = {label: lowered.known[q] for label, q in derivation.gradients.items()}
        return statements

    def _ends(self) -> dict[str, tuple[int, int]]:
        """Room outside the steps for primal quantities: what the primal reads, and any derivation."""
        ends = _ends(self.primal)
        for derivation in self.derivations.values():
            for name, (before, after) in _ends(derivation.recurrence).items():
                old = ends.get(name, (0, 0))
                ends[name] = (max(before, old[0]), max(after, old[1]))
        return ends


def _needs_step(node: Node) -> bool:
    """Whether a node divides by what holds T and is zero, or may be, in a sequence without steps."""
    divisor = node.args[1] if isinstance(node, Div) else (node.args[0] if isinstance(node, Pow) and node.exponent < 0 else None)
    if divisor is None or not any(isinstance(part, Number) and part.value.has(T) for part in walk(divisor)):
        return False
    value = number_of(divisor)
    return value is None or value.subs(T, 0).is_zero is not False


def _defines_known(target: object, known: set[str]) -> bool:
    return isinstance(target, Pick) and target.quantity.name in known


def _ends(recurrence: Recurrence) -> dict[str, tuple[int, int]]:
    """Steps of room before and after 1..T for every timed quantity: its ghosts; for inputs also fixed positions that short
    sequences lack, which read zero."""  # noqa: D205, D209
    ends = {}
    for quantity, ghosts in recurrence.ghosts.items():
        ends[quantity.name] = (sum(not g.from_end for g in ghosts), sum(g.from_end for g in ghosts))
    for equation in recurrence.equations:
        for read in reads(equation.expr):
            if isinstance(read, Pick) and read.quantity.given:
                before, after = ends[read.quantity.name]
                reach = (1 - read.offset, 0) if read.from_end else (0, read.offset)
                ends[read.quantity.name] = (max(before, reach[0]), max(after, reach[1]))
    return ends
