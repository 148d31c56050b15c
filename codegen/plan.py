"""Plan: a scheduled Program -> which of its actions some buffers need, and how its phases run window by window."""

from __future__ import annotations

from collections.abc import Iterable

from codegen.program import Action, Phase, Program, is_once, segments_of, solves
from codegen.statements import Accumulate, PickStep, Statement
from codegen.streaming import Share
from codegen.traversal import reads


def needed_actions(phase: Phase, buffers: Iterable[str]) -> tuple[int, ...]:
    """The places of the actions that fill these buffers, and of all that they depend on."""
    wanted, found = set(buffers), []
    for place in reversed(range(len(phase.actions))):
        action = phase.actions[place]
        statements = _statements(action)
        unknowns = {name for solve in solves(action) for pair in solve.cut for name in pair}
        taken = _reached(statements, wanted)
        if unknowns & (wanted | {read.buffer for statement in taken for read in reads(statement)}):
            taken = statements  # what is read at a steady state depends on all its equations
        wanted |= {read.buffer for statement in taken for read in reads(statement)}
        if taken:
            found.append(place)
    return tuple(reversed(found))


def _statements(action: Action) -> list[Statement]:
    return [s for segment in segments_of(action) for s in segment.statements]  # type: ignore[arg-type]


def _reached(statements: list[Statement], wanted: set[str]) -> list[Statement]:
    """The statements that fill what is wanted, or what those read."""
    taken: list[Statement] = []
    names = set(wanted)
    while more := [s for s in statements if s.out in names and s not in taken]:
        taken += more
        names |= {read.buffer for statement in more for read in reads(statement)}
    return taken


def shares(program: Program) -> tuple[Share, Share] | None:
    """How the forward phase and the gradient run window by window; None where a step needs what is known after all steps alone."""
    found = []
    for phase in (program.phases["forward"], program.phases["gradient"]):
        late = _after_steps(program, phase)
        for statement in phase.statements():
            timed = program.buffers[statement.out].kind == "timed" or _sums_steps(program, statement)
            if timed and any(read.buffer in late for read in reads(statement)):
                return None
            if phase.name == "gradient" and isinstance(statement, PickStep) and statement.from_end:
                return None
        found.append(_share(program, phase, late))
    return found[0], found[1]


def _share(program: Program, phase: Phase, late: set[str]) -> Share:
    statements = [_statements(action) for action in phase.actions]
    sums = _sums(program, phase)
    timed = {s.out for part in statements for s in part if program.buffers[s.out].kind == "timed"}
    needed = needed_actions(phase, timed | sums)
    picks = [place for place, part in enumerate(statements) if any(isinstance(s, PickStep) for s in part)]
    once = [place for place, action in enumerate(phase.actions) if is_once(action)]
    later = late | {s.out for place in once if place not in needed for s in statements[place]}
    later |= _followed(program, phase, later)
    after = [place for place in once if any(s.out in later for s in statements[place])]
    lasting = {s.out for place in {*picks, *after} for s in statements[place]}
    lasting |= {name for place in after for solve in solves(phase.actions[place]) for pair in solve.cut for name in pair}
    lasting = {name for name in lasting - sums if program.buffers[name].kind != "timed"}
    return Share(needed, tuple(picks), tuple(after), tuple(sorted(sums)), tuple(sorted(lasting)))


def _sums_steps(program: Program, statement: Statement) -> bool:
    """Whether a statement sums over steps into a buffer without time."""
    if isinstance(statement, Accumulate):
        return statement.window[0] is not None
    timed = any(program.buffers[read.buffer].kind == "timed" for read in reads(statement))
    return timed and program.buffers[statement.out].kind != "timed" and not isinstance(statement, PickStep)


def _sums(program: Program, phase: Phase) -> set[str]:
    return {s.out for s in phase.statements() if _sums_steps(program, s)}


def _after_steps(program: Program, phase: Phase) -> set[str]:
    """The buffers without time of a phase that depend on its steps: sums, fixed steps, and what follows from them."""
    picks = {
        s.out for s in phase.statements()
        if isinstance(s, PickStep) and (phase.name == "gradient" or s.from_end or s.offset > 0)
    }  # fmt: skip
    return _followed(program, phase, picks | _sums(program, phase))


def has_shares(program: Program) -> bool:
    """Whether what the gradient adds up is a window's own: it does not depend on sums over steps of the forward phase, nor on fixed
    steps, but on the last, which is in one window alone."""  # noqa: D205, D209
    forward = program.phases["forward"]
    picks = {s.out for s in forward.statements() if isinstance(s, PickStep) and (s.offset if s.from_end else s.offset > 0)}
    found = _followed(program, forward, picks | _sums(program, forward))
    return not any(read.buffer in found for statement in program.phases["gradient"].statements() for read in reads(statement))


def _followed(program: Program, phase: Phase, begin: set[str]) -> set[str]:
    """Buffers without time and what follows from them among those of a phase, unknowns of its steady states too."""
    statements = [s for s in phase.statements() if program.buffers[s.out].kind != "timed"]
    unknowns = {new: state for action in phase.actions for solve in solves(action) for state, new in solve.cut}
    found, more = set[str](), {name for name in begin if program.buffers[name].kind != "timed"}
    while more:
        found |= more | {unknowns[name] for name in more & unknowns.keys()}
        more = {s.out for s in statements if any(read.buffer in found for read in reads(s))} - found
    return found
