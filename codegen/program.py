"""Program: the code generator's own form of a recurrence, between lowering and emission.

Buffers hold values, statements fill them, segments are runs of statements over steps, phases are what a kernel runs. Nothing here
knows SymPy, and nothing knows which recurrence it came from. What statements compute are the elements of `codegen.element`.
`codegen.verify` holds the written specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from codegen.sizes import Size
from codegen.streaming import Streaming

if TYPE_CHECKING:
    from codegen.statements import Statement
    from codegen.systems import Project, System


@dataclass(frozen=True, slots=True)
class Buffer:
    """A named array. label: what the caller calls it, if anything; kind: shared `shape`, sequence `(B, shape)` or timed
    `(before + T + after, B, shape)`; role: argument (the caller gives it) or value (a statement fills it); loose: a timed value
    that is read only within its own loop at its own step, so that one step's room is enough unless it is asked for; hoisted: a loose
    value of which parts are made for all steps before the loop, where sequences are few; below: of integers, what they are less than
    (they begin at -1)."""  # noqa: D205, D209

    name: str
    label: str
    kind: str
    shape: tuple[Size, ...]
    role: str = "value"
    before: int = 0
    after: int = 0
    loose: bool = False
    hoisted: bool = False
    below: Size | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """Statements run together. order: once (no steps), sweep (each statement over all steps in turn), forward or backward (all
    statements at a step, then the next step). number: its place in the generated module."""  # noqa: D205, D209

    number: int
    order: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Solve:
    """Unknown buffers that a segment maps to themselves: a steady state. level: shared, rows (each sequence), step (each sequence
    at the loop's current step) or sweep (each sequence at all steps at once). cut: (state, new value) buffers of the
    unknowns solved for; the other buffers of the segment follow from them. names: what messages call the unknowns."""  # noqa: D205, D209

    cut: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    linear: bool
    level: str
    segment: Segment


@dataclass(frozen=True, slots=True)
class Loop:
    """Segments and solves run one after the other at every step, in one direction of time."""

    direction: str
    body: tuple[Segment | Solve, ...]


@dataclass(frozen=True, slots=True)
class Projection:
    """Projections, which are computed one after the other between compiled segments."""

    statements: tuple[Project, ...]
    order: str = "once"


Part = Segment | Solve | Loop
Action = Part | Projection


def bodies(action: Action) -> tuple[Action, ...]:
    """What an action runs at a step of its own loop, or itself."""
    return action.body if isinstance(action, Loop) else (action,)


def solves(action: Action) -> list[Solve]:
    """The steady states that an action solves for."""
    return [part for part in bodies(action) if isinstance(part, Solve)]


def segments_of(part: Part) -> tuple[Segment, ...]:
    """The segments of an action."""
    return tuple(each.segment if isinstance(each, Solve) else each for each in bodies(part))  # type: ignore[misc]


def number_of(part: Part) -> int:
    """An action's number: that of its first segment."""
    return segments_of(part)[0].number


def is_once(action: Action) -> bool:
    """Whether an action runs once for all steps."""
    if isinstance(action, Solve):
        return action.level in ("shared", "rows")
    return isinstance(action, Projection) or (isinstance(action, Segment) and action.order == "once")


@dataclass(frozen=True)
class Phase:
    """What runs at one call: its actions in order, and the buffers they write."""

    name: str
    actions: tuple[Action, ...]
    writes: tuple[str, ...] = ()

    @cached_property
    def runs(self) -> tuple[tuple[Part, ...] | Projection, ...]:
        """The actions, those as one that stand between projections and so are run by one call."""
        found: list[tuple[Part, ...] | Projection] = []
        for apart, group in groupby(self.actions, lambda action: isinstance(action, Projection)):
            actions = tuple(group)
            found += actions if apart else (actions,)  # type: ignore[arg-type]
        return tuple(found)

    def segments(self) -> Iterator[Segment]:
        """Every segment, in order of execution."""
        parts = (part for action in self.actions for part in (action.body if isinstance(action, Loop) else (action,)))
        yield from (part.segment if isinstance(part, Solve) else part for part in parts if not isinstance(part, Projection))

    def statements(self) -> Iterator[Statement]:
        """Every statement, projections too."""
        for part in (*self.segments(), *(action for action in self.actions if isinstance(action, Projection))):
            yield from part.statements


@dataclass(frozen=True, slots=True)
class Program:
    """A whole kernel: buffers by name, phases by name (forward, gradient, pullback), and the interface.

    kept: buffers of the forward phase that a later phase reads (the tape); results: for each phase, label -> buffer handed to
    the caller; losses: buffers of what each sequence adds to the objective, and of what no sequence does; guesses: unknown buffer of a
    steady state -> label of its starting guess; cotangents: label -> argument buffer of the pullback phase; zero: labels that no path
    leads to; least: fixed positions that are read, as (what the user calls it, from the end or not, offset, room before, room after),
    which say how many steps a sequence needs; streaming: how it runs a step or a window at a time; systems: constraints on parameters;
    needs: for each phase of gradients, label -> the places of the actions that it needs.
    """

    name: str
    dims: tuple[str, ...]
    buffers: Mapping[str, Buffer]
    phases: Mapping[str, Phase]
    results: Mapping[str, Mapping[str, str]]
    kept: frozenset[str] = frozenset()
    objective: str | None = None
    losses: tuple[str | None, str | None] = (None, None)
    guesses: Mapping[str, str] = field(default_factory=dict)
    cotangents: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, float] = field(default_factory=dict)
    zero: frozenset[str] = frozenset()
    least: tuple[tuple[str, bool, int, int, int], ...] = ()
    streaming: Streaming = Streaming()
    systems: tuple[System, ...] = ()
    needs: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)

    def part(self, phase: str, labels: Iterable[str]) -> Phase:
        """The actions of a phase of gradients that some of these need."""
        whole, needs = self.phases[phase], self.needs[phase]
        places = set[int]().union(*(needs[label] for label in labels))
        return replace(whole, actions=tuple(action for place, action in enumerate(whole.actions) if place in places))
