"""Plan: a scheduled Program -> which of its actions some buffers need, and where its gradient sums over steps."""

from __future__ import annotations

from collections.abc import Iterable

from codegen.element import InWindow, Steps
from codegen.program import Action, Phase, Program, segments_of, solves
from codegen.statements import Accumulate, Fill, PickStep, Statement
from codegen.traversal import elements, reads


def needed_actions(phase: Phase, buffers: Iterable[str]) -> tuple[int, ...]:
    """The places of the actions that fill these buffers, and of all that they depend on."""
    wanted, found = set(buffers), []
    for place in reversed(range(len(phase.actions))):
        action = phase.actions[place]
        statements = _statements(action)
        unknowns = {name for solve in solves(action) for pair in solve.cut for name in pair}
        taken = statements if unknowns & wanted else _reached(statements, wanted)
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


def window_sums(program: Program) -> tuple[str, ...] | None:
    """The buffers without time in which the gradient sums over steps; None where the gradient of a window is no such sum.

    That is where the share of a step depends on its place among the others, on how many there are, or on a sum over them.
    """
    known = _after_steps(program, "forward")
    statements = [s for action in program.phases["gradient"].actions for s in _statements(action)]
    if any(_is_placed(s) or any(read.buffer in known for read in reads(s)) for s in statements):
        return None
    late = _after_steps(program, "gradient")
    over_steps = [s for s in statements if _sums_steps(program, s) or program.buffers[s.out].kind == "timed"]
    if any(read.buffer in late for s in over_steps for read in reads(s)):
        return None
    return tuple(sorted(s.out for s in over_steps if program.buffers[s.out].kind != "timed"))


def over_steps(phase: Phase, program: Program) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The buffers without time in which a phase sums over steps, and the places of the actions that these and its timed buffers need."""
    statements = [s for action in phase.actions for s in _statements(action)]
    sums = {s.out for s in statements if _sums_steps(program, s)}
    timed = {s.out for s in statements if program.buffers[s.out].kind == "timed"}
    return tuple(sorted(sums)), needed_actions(phase, timed | sums)


def _is_placed(statement: Statement) -> bool:
    """Whether a step's place, or the number of steps, enters a statement; a value outside the steps that is zero has no place."""
    if isinstance(statement, PickStep):
        return statement.from_end
    if isinstance(statement, Accumulate) and statement.window not in ((None, None), (0, None)):
        return True
    return any(isinstance(e, (Steps, InWindow)) for e in elements(statement.element)) if hasattr(statement, "element") else False


def _sums_steps(program: Program, statement: Statement) -> bool:
    """Whether a statement sums over steps into a buffer without time."""
    if isinstance(statement, Accumulate):
        return statement.window[0] is not None
    timed = any(program.buffers[read.buffer].kind == "timed" for read in reads(statement))
    return timed and program.buffers[statement.out].kind != "timed" and not isinstance(statement, PickStep)


def _after_steps(program: Program, phase: str) -> set[str]:
    """The buffers without time of a phase that depend on its steps: sums, fixed steps, and what follows from them."""
    found: set[str] = set()
    statements = [s for action in program.phases[phase].actions for s in _statements(action) if not isinstance(s, Fill)]
    untimed = [s for s in statements if program.buffers[s.out].kind != "timed"]

    def depends(statement: Statement) -> bool:
        if isinstance(statement, PickStep):
            return phase == "gradient" or statement.from_end or statement.offset > 0
        return _sums_steps(program, statement) or _is_placed(statement) or any(r.buffer in found for r in reads(statement))

    while more := {s.out for s in untimed if s.out not in found and depends(s)}:
        found |= more
    return found
