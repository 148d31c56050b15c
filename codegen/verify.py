"""Verify: the written specification of a Program, checked at the border from scheduling to execution.

1. Every buffer that is read has been written earlier in its phase, or in the forward phase, or is an argument; within a loop also
   at an earlier step of the loop's own direction.
2. No read leaves a buffer: a lag lies within the buffer's room outside the steps, an index has the buffer's axes.
3. Every buffer is written by one statement (a value outside the steps, by one Fill), and of the kind the statement gives.
4. Sums start from zero in the statement that forms them; nothing else adds to a buffer.
5. A loose buffer is read at the current step of its own loop only.
6. The matrix of a product is written before the segment that reads it, which may rearrange it once; a sum over rows alone reads nothing
   timed.
7. A projection names parameters of one system; it reads and writes what is shared.
"""

from __future__ import annotations

from codegen.element import Load
from codegen.program import Action, Loop, Phase, Program, Solve
from codegen.statements import Accumulate, Fill, OuterSum, PickStep, Product, Statement
from codegen.systems import Project
from codegen.traversal import elements, reads


class ProgramError(AssertionError):
    """A Program that breaks its specification: a defect of the generator, never of the user's text."""


def verify(program: Program) -> None:
    """Check a program. Raises ProgramError naming the phase, the statement and the rule."""
    given = {b.name for b in program.buffers.values() if b.role == "argument"}
    forward: set[str] = set()
    for name, phase in program.phases.items():
        written = given | forward
        outs: set[object] = set()
        for action in phase.actions:
            _check_action(program, phase, action, written, outs)
        for label, buffer in program.results[name].items():
            _require(buffer in written, phase, label, 1, "is handed back and never written")
        if name == "forward":
            forward = written - given


def _require(holds: bool, phase: Phase, what: object, rule: int, problem: str) -> None:
    if not holds:
        raise ProgramError(f"phase {phase.name}, rule {rule}: {what} {problem}")


def _check_action(program: Program, phase: Phase, action: Action, written: set[str], outs: set[object]) -> None:
    parts = action.body if isinstance(action, Loop) else (action,)
    segments = [part.segment if isinstance(part, Solve) else part for part in parts]
    order = action.direction if isinstance(action, Loop) else segments[0].order
    later = {s.out for segment in segments for s in segment.statements if not isinstance(s, Fill)}
    later |= {state for part in parts if isinstance(part, Solve) for state, _ in part.cut}
    for part, segment in zip(parts, segments, strict=True):
        if isinstance(part, Solve):
            written |= {state for state, _ in part.cut}
        made = {statement.out for statement in segment.statements}
        for statement in segment.statements:
            packed = not isinstance(statement, Product) or not any(matrix in made for matrix, _, _ in statement.factors)
            _require(packed, phase, statement.out, 6, "multiplies by a matrix that is made in the same segment")
            _check_statement(program, phase, statement, written, later, order)
            key = (statement.out, statement.from_end, statement.offset) if isinstance(statement, Fill) else statement.out
            _require(key not in outs, phase, statement.out, 3, "is written twice")
            outs.add(key)
            if not isinstance(statement, Fill):
                written.add(statement.out)


def _check_statement(program: Program, phase: Phase, statement: Statement, written: set[str], later: set[str], order: str) -> None:
    outside = (
        isinstance(statement, PickStep) and (statement.offset > 0) == statement.from_end and (statement.from_end or statement.offset <= 0)
    )
    if isinstance(statement, Project):
        held = (statement.part, *(name for name, _ in statement.changes))
        _require(set(held) <= set(program.systems[statement.system].parameters), phase, statement.out, 7, "is not of its system")
    for read in reads(statement):
        buffer = program.buffers.get(read.buffer)
        _require(buffer is not None, phase, read.buffer, 1, "does not exist")
        ahead = (read.lag < 0 and order == "forward") or (read.lag > 0 and order == "backward")
        fine = read.buffer in written or (read.buffer in later and ahead) or outside
        _require(fine, phase, f"{statement.out} reads {read.buffer} at lag {read.lag}, which", 1, "is not yet written")
        if buffer is not None:
            _require(-buffer.before <= read.lag <= buffer.after, phase, f"{read.buffer} at lag {read.lag}", 2, "leaves the buffer")
            _require(not (buffer.loose and read.lag), phase, f"{read.buffer} at lag {read.lag}", 5, "is loose")
    for element in elements(statement.element) if hasattr(statement, "element") else ():
        if isinstance(element, Load):
            axes = len(program.buffers[element.buffer].shape if element.shape is None else element.shape)
            _require(len(element.index) == axes, phase, element.buffer, 2, f"has {axes} axes and is read with {len(element.index)}")
    _check_kind(program, phase, statement)


def _check_kind(program: Program, phase: Phase, statement: Statement) -> None:
    out = program.buffers[statement.out]
    if isinstance(statement, OuterSum):
        _require(out.kind == "shared", phase, out.name, 3, "holds a sum over rows and is not shared")
    if isinstance(statement, Accumulate):
        _require(out.kind != "timed", phase, out.name, 3, "holds a sum over steps and is timed")
        timed = [read.buffer for read in reads(statement) if program.buffers[read.buffer].kind == "timed"]
        _require(not timed or statement.window[0] is not None, phase, out.name, 6, f"sums rows alone and reads {', '.join(timed)}")
    if isinstance(statement, Product):
        for matrix, _, operand in statement.factors:
            _require(program.buffers[matrix].kind == "shared", phase, matrix, 3, "multiplies rows and is not shared")
            _require(program.buffers[operand.buffer].kind == out.kind, phase, out.name, 3, "is not of its operand's kind")
    if isinstance(statement, Project):
        kinds = {program.buffers[name].kind for name in (out.name, *(read.buffer for read in reads(statement)))}
        _require(kinds == {"shared"}, phase, out.name, 7, "projects what is not shared")
    if isinstance(statement, PickStep):
        _require(out.kind == "sequence", phase, out.name, 3, "holds a fixed step and is not a sequence's")
    if isinstance(statement, Fill):
        room = out.after >= statement.offset if statement.from_end else out.before >= 1 - statement.offset
        _require(out.kind == "timed" and room, phase, out.name, 2, f"has no room at {statement.offset}")
