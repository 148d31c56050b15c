"""Paths: Recurrence, a number of steps and an entry -> an Unfolding, the gradient at that entry as a sum over paths.

A path starts at the objective, goes from a value to one that its equation reads, and ends where the entry is read. Its term is the
product of what its links send; the gradient is the sum of the terms of all paths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from derive.adjoint import gradient, pullback
from derive.arrays import Project
from derive.contributions import lifted
from derive.derivation import Derivation
from derive.errors import RecurrenceError
from derive.graph import components
from derive.names import Names, taken_by
from derive.nodes import Kind, Node, Number, Pick, Quantity, replace, walk
from derive.recurrence import Equation, Recurrence
from derive.structure import describe
from derive.unfolding.entries import Entry, read_entry
from derive.unfolding.links import Instance, Key, Link, Unfolded

MOST_STEPS, MOST_PATHS = 24, 240


@dataclass(frozen=True, slots=True)
class Path:
    """One way from the objective to a use of the entry.

    places: the instances on it, from the first that the objective reads to the array of the entry; explicit: what the objective itself
    sends, as an expression, to places[first]; links: those after that; source: the step whose cost it starts from; acts: the step at
    which the entry is used (None for both where nothing on the path has a step); number: among paths of the same two steps, from 1,
    or 0 where there is one; each: whether it counts once for each sequence; term: its share of the gradient, in the array's shape.
    """

    places: tuple[Instance, ...]
    first: int
    explicit: Node
    links: tuple[Link, ...]
    source: int | None
    acts: int | None
    number: int
    each: bool
    term: Node

    @property
    def reader(self) -> Instance | None:
        """The instance whose equation uses the entry; None where that is the objective."""
        return self.places[-2] if len(self.places) > 1 else None


@dataclass(frozen=True)
class Unfolding:
    """The gradient at one entry over a fixed number of steps.

    derivation: of the whole gradient; steps: T; entry: which one; paths: by the step they come from, then by how far from it
    they act; unfolded: the model at every step; links: for each instance on a path those of its links that lead on to the entry.
    """

    derivation: Derivation
    steps: int
    entry: Entry
    paths: tuple[Path, ...]
    unfolded: Unfolded
    links: Mapping[Instance, tuple[Link, ...]]

    @cached_property
    def goal(self) -> Instance:
        """The array that the entry is of."""
        return Instance(self.entry.target, self.entry.step)

    @cached_property
    def terms(self) -> tuple[Quantity, ...]:
        """The quantity of `recurrence` that holds the term of each path, in the array's shape."""
        names = Names(taken_by(self.derivation.recurrence))
        target = self.entry.target
        role, kind = ("total", Kind.SHARED) if target.kind == Kind.SHARED else ("quantity", Kind.SEQUENCE)
        steps = [[str(part) for part in (path.source, path.acts, path.number or None) if part is not None] for path in self.paths]
        wishes = ["_".join(["path", *parts]).replace("-", "m") for parts in steps]
        return tuple(Quantity(names.fresh(wish), role, target.shape, kind) for wish in wishes)

    @cached_property
    def recurrence(self) -> Recurrence:
        """The model with every term as a quantity of its own: it holds in sequences of exactly `steps` steps."""
        whole, primal = self.derivation.recurrence, self.derivation.primal
        seeds = {*self.derivation.cotangents.values()}
        kept = [q for q in whole.quantities if q.name in primal.named or q in seeds]
        equations = [e for e in whole.equations if e.target.source() in {known.target.source() for known in primal.equations}]
        made = [Equation(q, lifted(p.term) if p.each else p.term) for q, p in zip(self.terms, self.paths, strict=True)]
        meanings = {q.name: _meaning(path, self.entry) for q, path in zip(self.terms, self.paths, strict=True)}
        title = f"{primal.title or primal.name} (T = {self.steps})"
        return Recurrence(
            name=f"{self.derivation.source.name}_paths", title=title, quantities=(*kept, *self.terms),
            equations=(*equations, *made), functions=primal.functions, defaults=primal.defaults,
            meanings={**{q.name: whole.meanings[q.name] for q in kept if q.name in whole.meanings}, **meanings}, file=primal.file,
        )  # fmt: skip

    def evaluate(self, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """The value of every path's term, in the order of `paths`; their sum is the gradient at the entry.

        values: arrays by name, as for a kernel: parameters `dims`, input sequences (T, B, dims), "h[0]" (B, dims). Each result is a
        number where all indices are, and has an axis for each letter; for an input or a value outside the steps, one for sequences
        before. Parameters' terms are summed over sequences. Raises: ValueError for arrays that are missing or do not fit.
        """
        from derive.reference import evaluate

        batch = self._batch(values)
        try:
            found = evaluate(self.recurrence, values, self.steps, batch)
        except KeyError as error:
            raise ValueError(f"{error.args[0]} has no value") from None
        place = tuple(slice(None) if isinstance(index, str) else index for index in self.entry.indices)
        place = place if self.entry.target.kind == Kind.SHARED else (slice(None), *place)
        try:
            return tuple(found[quantity.name][place] for quantity in self.terms)
        except IndexError:
            raise ValueError(f"{self.entry.source()} is outside the array, of shape {found[self.terms[0].name].shape}") from None

    def _batch(self, values: Mapping[str, np.ndarray]) -> int:
        for name, quantity in self.recurrence.named.items():
            shape = np.shape(values.get(name, ()))
            if quantity.role == "input" and name in values:
                timed = quantity.kind == Kind.TIMED
                if len(shape) != len(quantity.shape) + 1 + timed or (timed and shape[0] != self.steps):
                    wanted = ", ".join([str(self.steps)] * timed + ["B", *map(str, quantity.shape)])
                    raise ValueError(f"{name} has shape {shape}; it must be ({wanted})")
                return int(shape[int(timed)])
        return next((len(values[g.source()]) for g in self.recurrence.arguments if g.source() in values), 1)


def unfold(recurrence: Recurrence, steps: int, wrt: str) -> Unfolding:
    """Write the gradient of one entry as a sum over the paths through a number of steps.

    wrt: `U[k,j]`, `b[0]`, `h[0][k]`, `x[1][j]`: indices are letters or whole numbers from 0. Without an objective, or with an abstract
    one, paths start from its derivatives by the signals. Constraints play no part: the sum is the gradient before its projection.
    Raises: RecurrenceError for an entry that there is not, for a path through a steady state, for too many steps or paths;
    ValueError where the recurrence picks a step beyond the last.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise RecurrenceError(f"cannot unfold {steps} steps", f"unfold 1 to {MOST_STEPS}; `derive` without unfolding holds for any number")
    if any(isinstance(node, Project) for equation in recurrence.equations for node in walk(equation.expr)):
        raise RecurrenceError(
            "no path can be written through project(…), which mixes components", "`derive` without unfolding has no such limit"
        )
    entry = read_entry(wrt, recurrence, steps)
    recurrence = dataclasses.replace(recurrence, constraints=())
    derivation = gradient(recurrence) if recurrence.objective is not None else pullback(recurrence)
    search = _Search(Unfolded(derivation, steps), Instance(entry.target, entry.step))
    if search.count > MOST_PATHS:
        raise RecurrenceError(*_too_many(derivation, entry, steps, search.count))
    found = sorted(search.paths(), key=_order)
    counts: dict[tuple[int | None, int | None], int] = {}
    for path in found:
        counts[path.source, path.acts] = counts.get((path.source, path.acts), 0) + 1
    return Unfolding(derivation, steps, entry, tuple(_numbered(found, counts)), search.unfolded, search.leading)


class _Search:
    """The graph of instances from the objective on, and the paths in it that end at the goal."""

    def __init__(self, unfolded: Unfolded, goal: Instance) -> None:
        self.unfolded, self.goal = unfolded, goal
        self.starts = self._starts()
        graph: dict[Instance, list[Link]] = {}
        stack = list(self.starts)
        while stack:
            instance = stack.pop()
            if instance not in graph:
                graph[instance] = unfolded.links(instance) if instance != goal else []
                stack += [link.read for link in graph[instance]]
        self.counts: dict[Instance, int] = {}
        for members in components({i: [link.read for link in links] for i, links in graph.items()}):
            reached = sum(self.counts.get(link.read, 0) for member in members for link in graph[member])
            cyclic = len(members) > 1 or any(link.read == members[0] for link in graph[members[0]])
            if cyclic and reached:
                _refuse_cycle(members)
            self.counts[members[0]] = int(members[0] == goal) + reached
        self.leading = {i: tuple(x for x in links if self.counts.get(x.read)) for i, links in graph.items() if self.counts.get(i)}
        self.count = sum(self.counts[start] for start in self.starts)

    def _starts(self) -> dict[Instance, Node]:
        """Where paths start, and the derivative of the objective there."""
        derivation, steps = self.unfolded.derivation, self.unfolded.steps
        aim = derivation.primal.objective
        if not derivation.cotangents:
            return {Instance(derivation.primal.named[aim.name], 0): Number(1)}  # type: ignore[union-attr]
        found: dict[Instance, Node] = {}
        for name, seed in derivation.cotangents.items():
            quantity = derivation.primal.named[name]
            for step in range(1, steps + 1) if quantity.kind == Kind.TIMED else (0,):
                found[Instance(quantity, step)] = Pick(seed, step) if step else seed
        return found

    def paths(self) -> Iterator[Path]:
        """Every path, depth first."""
        for start, derivative in self.starts.items():
            stack: list[tuple[Link, ...]] = [()]
            while stack:
                links = stack.pop()
                end = links[-1].read if links else start
                if end == self.goal:
                    yield self._path(start, derivative, links)
                else:
                    stack += [(*links, link) for link in reversed(self.leading.get(end, ()))]

    def _path(self, start: Instance, value: Node, links: tuple[Link, ...]) -> Path:
        """The path along these links: as long as the value is a number it belongs to the explicit derivative."""
        first, explicit = 0, value
        for place, link in enumerate(links, 1):
            if isinstance(value, Number):
                value = self.unfolded.sent(link.reader, value)[Key(link.read, link.each)]
                first, explicit = place, value
            else:
                value = replace(link.sent, {link.mark: value})
        places = (start, *(link.read for link in links))
        steps = [step for step in map(self.unfolded.position, places[:-1]) if step is not None]
        each = any(link.each for link in links) or start.target.kind != Kind.SHARED
        source, acts = (steps[0], steps[-1]) if steps else (None, None)
        return Path(places, first, explicit, links[first:], source, acts, 0, each, value)


def _refuse_cycle(members: tuple[Instance, ...]) -> None:
    names = ", ".join(dict.fromkeys(describe(member.target) for member in members))
    raise RecurrenceError(
        f"paths to the entry lead round a cycle without lag, {names}: a steady state, so there is no end of them",
        "`derive` without unfolding gives the gradient through the steady state, as the solution of a linear system",
    )


def _too_many(derivation: Derivation, entry: Entry, steps: int, count: int) -> tuple[str, str]:
    advice = "the derivation without unfolding has the same sum, with sensitivities in place of paths"
    for fewer in range(min(steps - 1, MOST_STEPS), max(entry.step, 1) - 1, -1):
        paths = _Search(Unfolded(derivation, fewer), Instance(entry.target, entry.step)).count
        if paths <= MOST_PATHS:
            advice = f"{fewer} step{'s have' if fewer > 1 else ' has'} {paths}; {advice}"
            break
    return f"{steps} steps have {count:,} paths to {entry.source()}, more than the {MOST_PATHS} that can be written out", advice


def _order(path: Path) -> tuple[int, int, int]:
    return path.source or 0, abs((path.source or 0) - (path.acts or 0)), len(path.places)


def _numbered(found: list[Path], counts: Mapping[tuple[int | None, int | None], int]) -> Iterator[Path]:
    seen: dict[tuple[int | None, int | None], int] = {}
    for path in found:
        key = (path.source, path.acts)
        seen[key] = seen.get(key, 0) + 1
        number = seen[key] if counts[key] > 1 else 0
        yield Path(path.places, path.first, path.explicit, path.links, *key, number, path.each, path.term)


def _meaning(path: Path, entry: Entry) -> str:
    what = f"share of the gradient at {entry.target.source()}"
    return what if path.source is None else f"{what}: from step {path.source}, acting at step {path.acts}"
