"""Structure: Recurrence -> blocks, the strongly connected components of its lagged dependence graph.

A block is computed once, swept over all steps, run forward or backward in time, or solved as a steady state. What no order of
steps computes is refused by naming the cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from derive.errors import Location, RecurrenceError
from derive.graph import components
from derive.nodes import At, Kind, Node, Pick, Quantity
from derive.recurrence import Equation, Recurrence, Target, reads_over_time

Reading = tuple[At | Pick | Quantity, bool]


class Edge(NamedTuple):
    """A read: of what, at which lag (0 for what has no time), whether a sum or pick stands between (a barrier), and as written."""

    target: Target
    lag: int
    barrier: bool
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Equations that are evaluated at one step: a single one, or a cycle without lag that is solved."""

    members: tuple[Target, ...]
    steady: bool


@dataclass(frozen=True, slots=True)
class Block:
    """One component. kind: once, sweep, forward, backward or steady; groups in order of evaluation within a step."""

    kind: str
    groups: tuple[Group, ...]

    @property
    def members(self) -> tuple[Target, ...]:
        """All targets of the block."""
        return tuple(member for group in self.groups for member in group.members)


def edges(recurrence: Recurrence, equation: Equation, reads: Callable[[Node], Iterable[Reading]] = reads_over_time) -> list[Edge]:
    """What an equation reads, among what has an equation itself; `reads` finds the reads that count, by default all."""
    found: dict[Edge, None] = {}
    for read, summed in reads(equation.expr):
        barrier = summed or equation.sums_sequences
        if isinstance(read, At):
            found[Edge(read.quantity, read.lag, barrier, read.source())] = None
            outer = recurrence.ghosts[read.quantity]
            reached = [g for g in outer if (g.offset <= 0) == (read.lag < 0)] if read.lag else []
        elif isinstance(read, Pick):
            reached = [read] if read.outside else []
            if not read.outside:
                found[Edge(read.quantity, 0, True, read.source())] = None
                falls = [g for g in recurrence.ghosts[read.quantity] if g.from_end != read.from_end]
                found.update((Edge(g, 0, True, f"{read.source()}, in short sequences {g.source()}"), None) for g in falls)
        else:
            reached = []
            found[Edge(read, 0, barrier, read.source())] = None
        found.update((Edge(ghost, 0, barrier, ghost.source()), None) for ghost in reached)
    return [edge for edge in found if edge.target in recurrence.equation]


def blocks(recurrence: Recurrence) -> tuple[Block, ...]:
    """The blocks of a recurrence, in an order in which they can be computed.

    Raises: RecurrenceError naming the cycle that no order of steps computes.
    """
    graph = {equation.target: edges(recurrence, equation) for equation in recurrence.equations}
    order = components({target: [edge.target for edge in out] for target, out in graph.items()})
    return tuple(_block(recurrence, graph, members) for members in order)


def _block(recurrence: Recurrence, graph: Mapping[Target, list[Edge]], members: tuple[Target, ...]) -> Block:
    inside = [(target, edge) for target in members for edge in graph[target] if edge.target in members]
    timed = recurrence.equation[members[0]].timed
    if not inside:
        return Block("sweep" if timed else "once", (Group(members, False),))
    if any(edge.barrier for _, edge in inside):
        _refuse(recurrence, inside, "through a sum or a fixed step, which need all steps first", "break the cycle")
    lags = {edge.lag for _, edge in inside}
    if min(lags) < 0 < max(lags):
        _refuse(recurrence, inside, "with lags of both signs", "this is not supported; break the cycle or drop one lag")
    now = {t: [edge.target for owner, edge in inside if owner == t and edge.lag == 0] for t in members}
    groups = tuple(Group(part, len(part) > 1 or part[0] in now[part[0]]) for part in components(now))
    kind = "steady" if lags == {0} else ("forward" if min(lags) < 0 else "backward")
    return Block(kind, groups)


def describe(target: Target) -> str:
    """`h[t]`, `x`, `h[0]`: a target as users write it."""
    return f"{target.name}[t]" if isinstance(target, Quantity) and target.kind == Kind.TIMED else target.source()


def _refuse(recurrence: Recurrence, inside: list[tuple[Target, Edge]], how: str, hint: str) -> None:
    names = list(dict.fromkeys(describe(target) for target, _ in inside))
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    facts = [f"{describe(target)} reads {edge.text}" for target, edge in inside]
    verb = "forms" if len(names) == 1 else "form"
    line = min((recurrence.equation[target].line or 0 for target, _ in inside), default=0)
    where = Location(recurrence.file or recurrence.name, line) if line else None
    raise RecurrenceError(f"{listed} {verb} a cycle {how}: {', '.join(facts)}", hint, where)


def directions(found: Iterable[Block]) -> dict[Target, str]:
    """The kind of the block in which each target is computed."""
    return {member: block.kind for block in found for member in block.members}
