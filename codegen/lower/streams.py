"""Streams: a recurrence and its Program -> what carries it from step to step, or in the user's names why nothing does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from codegen.plan import has_shares, needed_actions, shares
from codegen.program import Program
from codegen.streaming import Streaming
from derive.nodes import At, Kind, Number, Pick, Quantity, T, position_text, quantity_of, walk
from derive.recurrence import Equation, Recurrence, reads
from derive.temporal import TimeSum, Within

LATE = "its steps need what is known after all of them alone, such as a sum over time or h[T]"
CURVED = (
    "its objective is no sum over steps, of which windows have a share; it may not hold functions or products of sums over time, or single "
    "steps but the last"
)


def streaming(recurrence: Recurrence, primal: Recurrence, program: Program, known: Mapping[Quantity, str]) -> Streaming:
    """How a program runs in pieces. known: the buffers of the primal's quantities."""
    signals = [q for q in recurrence.of_role("signal") if q.kind == Kind.TIMED]
    reached = list(_reached(recurrence, signals))
    problem = _problem(recurrence, signals, reached)
    found = Streaming(problem) if problem else Streaming(
        state=tuple(state(primal, known)),
        inputs=tuple(dict.fromkeys(q.name for q in reached if q.role == "input" and q.kind == Kind.TIMED)),
        actions=needed_actions(program.phases["forward"], [known[q] for q in signals]),
    )  # fmt: skip
    if "gradient" not in program.phases:
        return replace(found, windowless="it has no objective", untruncated="it has no objective")
    why = _ahead(recurrence) if signals else problem
    both = None if why else shares(program)
    if both is None:
        return replace(found, windowless=why or LATE, untruncated=why or LATE)
    return replace(found, untruncated="" if has_shares(program) else CURVED, forward=both[0], gradient=both[1])


def _reached(recurrence: Recurrence, start: list[Quantity]) -> Iterator[Quantity]:
    """Every quantity that some depend on."""
    seen, stack = set(start), list(reversed(start))
    while stack:
        quantity = stack.pop()
        yield quantity
        for equation in _equations(recurrence, quantity):
            for read in reads(equation.expr):
                source = quantity_of(read)
                if source not in seen:
                    seen.add(source)
                    stack.append(source)


def _equations(recurrence: Recurrence, quantity: Quantity) -> list[Equation]:
    """The equation of a quantity, and those of its values outside the steps."""
    return [e for e in recurrence.equations if (e.target.quantity if isinstance(e.target, Pick) else e.target) == quantity]


def _problem(recurrence: Recurrence, signals: list[Quantity], reached: list[Quantity]) -> str:
    """Why signals do not follow from the step before and the step's inputs; empty where they do."""
    if not signals:
        return "it has no signals over time"
    for equation in (e for quantity in reached for e in _equations(recurrence, quantity)):
        name = _label(equation)
        for node in walk(equation.expr):
            if isinstance(node, At) and node.lag > 0:
                return f"{name} reads {node.source()}, a step that is still to come"
            if isinstance(node, Pick) and not (node.outside and not node.from_end and isinstance(equation.target, Pick)):
                return f"{name} reads {node.source()}, a fixed step"
            if isinstance(node, (Within, TimeSum)):
                return f"{name} depends on which steps there are, by {node.source()}"
            if isinstance(node, Number) and node.value.has(T):
                return f"{name} depends on T, the number of steps"
    return ""


def _label(equation: Equation) -> str:
    return f"{equation.target.name}[t]" if equation.timed else equation.target.source()


def _ahead(recurrence: Recurrence) -> str:
    """An equation that reads a step to come; empty where none does."""
    for equation in recurrence.equations:
        for read in reads(equation.expr):
            if isinstance(read, At) and read.lag > 0:
                return f"{_label(equation)} reads {read.source()}, a step that is still to come"
    return ""


def state(primal: Recurrence, known: Mapping[Quantity, str]) -> Iterator[tuple[str, str, int]]:
    """Every value before the first step that a lag reads."""
    reach: dict[Quantity, int] = {}
    for equation in primal.equations:
        for read in reads(equation.expr):
            if isinstance(read, At) and read.lag < 0:
                reach[read.quantity] = max(reach.get(read.quantity, 0), -read.lag)
    for quantity in primal.quantities:
        for position in range(reach.get(quantity, 0)):
            yield f"{quantity.name}[{position_text(False, -position)}]", known[quantity], -position
