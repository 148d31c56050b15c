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

from codegen.element import Element, Load, Size
from codegen.streaming import Streaming
from codegen.systems import Project, Projection, System


@dataclass(frozen=True, slots=True)
class Read:
    """A whole buffer (a vector for each row), `lag` steps from the current one."""

    buffer: str
    lag: int = 0


@dataclass(frozen=True, slots=True)
class Map:
    """out[row, i…] = element."""

    out: str
    element: Element


@dataclass(frozen=True, slots=True)
class Reduce:
    """out[row, i…] = sum or maximum of the element over further axes of the given sizes."""

    out: str
    operation: str
    element: Element
    axes: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """out[row, :] = matrix @ operand[row, :], the matrix shared, as stored or transposed; further: factors of products that are added;
    ahead: so many of the factors, from the first, are known for all steps before the loop that this stands in."""  # noqa: D205, D209

    out: str
    matrix: str
    transposed: bool
    operand: Read
    further: tuple[tuple[str, bool, Read], ...] = ()
    ahead: int = 0

    @property
    def factors(self) -> tuple[tuple[str, bool, Read], ...]:
        """Matrix, whether it is transposed, and operand of every product in the sum."""
        return (self.matrix, self.transposed, self.operand), *self.further


@dataclass(frozen=True, slots=True)
class OuterSum:
    """out[i, j] = Σ left[row, i] right[row, j], over rows, and over steps where the segment is timed."""

    out: str
    left: Read
    right: Read


@dataclass(frozen=True, slots=True)
class Accumulate:
    """out[…, i…] = Σ element: over steps for each row where out is a sequence's, over all rows (and steps) where it is shared.

    window: the steps that are summed, as a Python slice of 1..T; its start is None where the sum goes over rows alone. place: an axis of
    out and the integer that says where along it the element, which has all axes but this one, is added; nowhere where it is negative.
    """  # noqa: D205, D209

    out: str
    element: Element
    window: tuple[int | None, int | None] = (None, None)
    place: tuple[int, Load] | None = None


@dataclass(frozen=True, slots=True)
class PickStep:
    """out[row] = buffer at a fixed position, from the row's start (0 stands before step 1) or from its end (0 is step T)."""

    out: str
    buffer: str
    from_end: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Fill:
    """A value outside the steps: buffer[position][row, i…] = element."""

    out: str
    from_end: bool
    offset: int
    element: Element


Statement = Project | Map | Reduce | Product | OuterSum | Accumulate | PickStep | Fill


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


Part = Segment | Solve | Loop
Action = Part | Projection


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
