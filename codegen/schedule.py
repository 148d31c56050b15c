"""Schedule: statements of each phase -> blocks in order, the tape, and room for what lives within one step.

The same analysis as `derive.structure`, on statements: strongly connected components of reads with lags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from codegen.fusion import fuse_products
from codegen.program import Action, Buffer, Loop, Phase, Program, Projection, Segment, Solve, solves
from codegen.stages import is_shared
from codegen.statements import Accumulate, Fill, Map, OuterSum, PickStep, Product, Statement
from codegen.systems import Project
from codegen.traversal import reads
from codegen.unknowns import choose_cut, is_affine, redirect
from codegen.verify import verify
from derive.errors import RecurrenceError
from derive.graph import components


@dataclass(frozen=True, slots=True)
class Draft:
    """A phase's name and its statements, in any order."""

    name: str
    statements: list[Statement]


def schedule(program: Program, drafts: Sequence[Draft], fused: bool = True) -> Program:
    """Order every phase, find the tape, and verify the result against the written specification."""
    buffers = dict(program.buffers)
    guesses: dict[str, str] = {}
    phases: dict[str, Phase] = {}
    numbers = iter(range(10**6))
    for draft in drafts:
        wanted = set(program.results[draft.name].values())
        phases[draft.name] = _Scheduler(draft, buffers, guesses, numbers).run(wanted, drafts if draft.name == "forward" else ())
    if fused:
        phases = fuse_products(phases, buffers, program.results)
    phases = {name: _with_writes(phase) for name, phase in phases.items()}
    kept = _tape(phases)
    ahead = {s.out for phase in phases.values() for s in phase.statements() if isinstance(s, Product) and s.ahead}
    buffers = {
        name: replace(b, loose=_is_loose(b, phases, kept, program), hoisted=name in ahead)
        for name, b in buffers.items() if _is_used(b, phases)
    }  # fmt: skip
    done = replace(program, buffers=buffers, phases=phases, kept=kept, guesses=_guesses(guesses, buffers, program))
    verify(done)
    return done


def _with_writes(phase: Phase) -> Phase:
    """The phase with the buffers that its statements and steady states write, sorted."""
    outs = {statement.out for statement in phase.statements()}
    outs |= {name for action in phase.actions for solve in solves(action) for pair in solve.cut for name in pair}
    return replace(phase, writes=tuple(sorted(outs)))


def _guesses(guesses: Mapping[str, str], buffers: Mapping[str, Buffer], program: Program) -> dict[str, str]:
    """Labels of starting guesses: `x0` for the steady state x, or `x_guess` where x0 is taken."""
    taken = {b.label for b in program.buffers.values()}
    labels = {}
    for buffer in guesses:
        label = buffers[buffer].label
        if label:
            labels[buffer] = f"{label}0" if f"{label}0" not in taken else f"{label}_guess"
    return labels


def _is_used(buffer: Buffer, phases: Mapping[str, Phase]) -> bool:
    if buffer.role == "argument" and buffer.label:
        return True
    return any(
        buffer.name == s.out or any(read.buffer == buffer.name for read in reads(s))
        for phase in phases.values() for s in phase.statements()
    ) or any(
        buffer.name in pair for phase in phases.values() for a in phase.actions for solve in solves(a) for pair in solve.cut
    )  # fmt: skip


def _tape(phases: Mapping[str, Phase]) -> frozenset[str]:
    forward = set(phases["forward"].writes)
    later = {
        read.buffer
        for name, phase in phases.items() if name != "forward"
        for s in phase.statements() for read in reads(s)
    }  # fmt: skip
    return frozenset(forward & later)


def _is_loose(buffer: Buffer, phases: Mapping[str, Phase], kept: frozenset[str], program: Program) -> bool:
    """Whether one step's room is enough: written and read at the current step of one loop only."""
    if buffer.kind != "timed" or buffer.role == "argument" or buffer.before or buffer.after or buffer.name in kept:
        return False
    if any(buffer.name in results.values() for phase, results in program.results.items() if phase != "forward"):
        return False
    homes = set()
    for phase in phases.values():
        for place, action in enumerate(phase.actions):
            parts = action.body if isinstance(action, Loop) else (action,)
            for part in parts:
                segment = part.segment if isinstance(part, Solve) else part
                if isinstance(part, Solve) and buffer.name in (name for pair in part.cut for name in pair):
                    return False
                for statement in segment.statements:
                    touched = [r for r in reads(statement) if r.buffer == buffer.name]
                    if touched or statement.out == buffer.name:
                        homes.add((phase.name, place))
                        if segment.order == "sweep" or any(r.lag for r in touched) or isinstance(part, Solve):
                            return False
    return len(homes) == 1


def _key(statement: Statement) -> tuple[str, object]:
    return (statement.out, (statement.from_end, statement.offset) if isinstance(statement, Fill) else None)


def _may_fall_on(pick: PickStep, outside: bool, fill: Fill) -> bool:
    """Whether a fixed step is a value outside the steps: its own, or where a sequence is too short, one at the other end."""
    if outside:
        return (pick.from_end, pick.offset) == (fill.from_end, fill.offset)
    return pick.from_end != fill.from_end


class _Scheduler:
    """Orders the statements of one phase."""

    def __init__(self, draft: Draft, buffers: dict[str, Buffer], guesses: dict[str, str], numbers: object) -> None:
        self.draft, self.buffers, self.guesses, self.numbers = draft, buffers, guesses, numbers
        self.of = {_key(s): s for s in draft.statements}
        self.fills: dict[str, list[Fill]] = {}
        for statement in draft.statements:
            if isinstance(statement, Fill):
                self.fills.setdefault(statement.out, []).append(statement)

    def run(self, wanted: set[str], drafts: Sequence[Draft]) -> Phase:
        needed = wanted | {read.buffer for draft in drafts if draft.name != self.draft.name for s in draft.statements for read in reads(s)}
        graph = self._reached(needed)
        order = components({key: [target for target, _, _ in out] for key, out in graph.items()})
        actions: list[Action] = []
        for members in order:
            self._join(actions, self._block(members, graph), ("once", "sweep"))
        return Phase(self.draft.name, tuple(actions))

    def _reached(self, needed: set[str]) -> dict:
        """The graph of what the wanted buffers depend on."""
        stack = [key for key in self.of if key[0] in needed]
        found = set()
        while stack:
            key = stack.pop()
            if key not in found:
                found.add(key)
                stack += [target for target, _, _ in self._edges(self.of[key])]
        return {key: self._edges(self.of[key]) for key in self.of if key in found}

    def _edges(self, statement: Statement) -> list[tuple[tuple[str, object], int, bool]]:
        """(key, lag, barrier) for every read of something this phase computes."""
        found = []
        barrier = isinstance(statement, (Accumulate, OuterSum, PickStep))
        for read in reads(statement):
            outside = isinstance(statement, PickStep) and (statement.offset > 0 if statement.from_end else statement.offset <= 0)
            if (read.buffer, None) in self.of and not outside:
                found.append(((read.buffer, None), read.lag, barrier))
            for fill in self.fills.get(read.buffer, []):
                lagged = read.lag and (read.lag > 0) == fill.from_end
                if _may_fall_on(statement, outside, fill) if isinstance(statement, PickStep) else lagged:
                    found.append((_key(fill), 0, True))
        return list(dict.fromkeys(found))

    def _block(self, members: tuple, graph: Mapping) -> Action:
        inside = [(key, edge) for key in members for edge in graph[key] if edge[0] in members]
        statements = [self.of[key] for key in members]
        timed = any(self._timed(s) for s in statements)
        if any(isinstance(s, Project) for s in statements):
            if inside:
                raise RecurrenceError("project stands on a cycle without lag", "project what is known before the cycle is solved")
            return Projection(tuple(statements))  # type: ignore[arg-type]
        if not inside:
            return self._segment("sweep" if timed else "once", statements)
        if any(barrier for _, (_, _, barrier) in inside):
            raise AssertionError(f"a cycle through a sum reached the scheduler: {members}")
        lags = {lag for _, (_, lag, _) in inside}
        if lags == {0}:
            level = "sweep" if timed else ("rows" if self.buffers[statements[0].out].kind == "sequence" else "shared")
            return self._solve(statements, level)
        direction = "forward" if min(lags) < 0 else "backward"
        now = {key: [target for target, lag, _ in graph[key] if lag == 0 and target in members] for key in members}
        body: list[Segment | Solve] = []
        for part in self._clustered(components(now), now):
            steady = len(part) > 1 or part[0] in now[part[0]]
            step = [self.of[key] for key in part]
            self._join(body, self._solve(step, "step") if steady else self._segment(direction, step), (direction,))
        return body[0] if len(body) == 1 and isinstance(body[0], Segment) else Loop(direction, tuple(body))

    def _clustered(self, parts: list[tuple], now: Mapping) -> list[tuple]:
        """The parts of a step in an order that keeps statements of one kind and shape together, so that they share a loop."""

        def kind(part: tuple) -> tuple[str, object]:
            statement = self.of[part[0]]
            return type(statement).__name__, self.buffers[statement.out].shape if isinstance(statement, Map) else None

        waiting, done, order = list(parts), set(), []
        while waiting:
            ready = [part for part in waiting if all(read in done or read in part for key in part for read in now[key])]
            alike = [part for part in ready if order and kind(part) == kind(order[-1])]
            chosen = (alike or sorted(ready, key=lambda part: kind(part)[0] == "Map"))[0]
            waiting.remove(chosen)
            done.update(chosen)
            order.append(chosen)
        return order

    def _join(self, actions: list, new: Action, orders: tuple[str, ...]) -> None:
        """Add an action, joined to the last where both are segments of one of these orders that fill rows, or both what is shared."""
        last = actions[-1] if actions else None
        if isinstance(last, Projection) and isinstance(new, Projection):
            actions[-1] = replace(last, statements=(*last.statements, *new.statements))
            return
        if isinstance(last, Segment) and isinstance(new, Segment) and last.order == new.order and new.order in orders:
            if is_shared(last, self.buffers) == is_shared(new, self.buffers):
                actions[-1] = replace(last, statements=(*last.statements, *new.statements))
                return
        actions.append(new)

    def _timed(self, statement: Statement) -> bool:
        if isinstance(statement, (PickStep, Fill)):
            return False
        if isinstance(statement, Accumulate):
            return statement.window[0] is not None
        return self.buffers[statement.out].kind == "timed" or any(self.buffers[r.buffer].kind == "timed" for r in reads(statement))

    def _segment(self, order: str, statements: Sequence[Statement]) -> Segment:
        return Segment(next(self.numbers), order, tuple(statements))  # type: ignore[call-overload]

    def _solve(self, statements: list[Statement], level: str) -> Solve:
        outs = [s.out for s in statements]
        cut = choose_cut(statements, self.buffers)
        linear = is_affine(statements, set(outs))
        ordered, pairs = redirect(statements, cut, self.buffers)
        if not linear:
            self.guesses.update(dict.fromkeys(cut, ""))
        order = "sweep" if level == "sweep" else ("step" if level == "step" else "once")
        names = tuple(name for name in outs if self.buffers[name].label) or tuple(cut)
        return Solve(tuple(pairs), names, linear, level, self._segment(order, ordered))
