"""Validity: a drafted Recurrence -> the same Recurrence with notes, or an error that names what is wrong.

Checks what single statements cannot see: missing equations, time where there is none, values beyond the wrong end,
cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from derive.arithmetic import Add, Div, Mul, Neg, same_shape, summands
from derive.arrays import Project
from derive.constraints import constrained, require_affine, systems
from derive.errors import Location, RecurrenceError
from derive.nodes import At, Kind, Node, Pick, Quantity, quantity_of, shape_text, walk
from derive.recurrence import Equation, Recurrence, reads, reads_over_time
from derive.structure import Block, blocks, describe, directions
from derive.temporal import TimeSum, Within


def validate(recurrence: Recurrence, lines: Mapping[str, int]) -> Recurrence:
    """Check a recurrence as a whole; returns it with notes added. Raises RecurrenceError."""
    names = {name.name for q in recurrence.quantities for size in q.shape for name in size.free_symbols}
    for name in sorted(names & set(recurrence.named)):
        raise _error(recurrence, lines.get(name), f"{name} is both a dim and a quantity", "rename one of them")
    for quantity in recurrence.of_role("signal", "quantity", "total"):
        if quantity not in recurrence.equation:
            raise _error(
                recurrence,
                lines.get(quantity.name),
                f"{quantity.name} has no equation",
                f"write {describe(quantity)} = … for it",
            )
    for equation in recurrence.equations:
        _check_equation(recurrence, equation)
    found = blocks(recurrence)
    _check_ends(recurrence, found)
    require_affine(recurrence)
    _check_projections(recurrence)
    return replace(
        recurrence, notes=(*recurrence.notes, *_unused(recurrence, lines), *_settling(recurrence, found), *_repeated(recurrence))
    )


def _error(recurrence: Recurrence, line: int | None, problem: str, hint: str = "") -> RecurrenceError:
    where = Location(recurrence.file or recurrence.name, line) if line else None
    return RecurrenceError(problem, hint, where)


def _check_equation(recurrence: Recurrence, equation: Equation) -> None:
    name = describe(equation.target)
    for read, summed in reads_over_time(equation.expr):
        _check_read(recurrence, equation, read, summed)
    stack = [(equation.expr, False)]
    while stack:
        node, summed = stack.pop()
        if isinstance(node, (TimeSum, Within)):
            _check_time(recurrence, equation, node, summed)
        stack += [(arg, summed or isinstance(node, TimeSum)) for arg in node.operands]
    if equation.expr.kind > equation.target.kind and not equation.sums_sequences:
        raise _error(
            recurrence,
            equation.line,
            f"{name} is one for all sequences, its equation has a value for each",
            f"declare {name} as a quantity of each sequence, or as a total",
        )


def _check_read(recurrence: Recurrence, equation: Equation, read: At | Pick | Quantity, summed: bool) -> None:
    name, line = describe(equation.target), equation.line
    known = quantity_of(read)
    if recurrence.named.get(known.name) != known:
        raise _error(recurrence, line, f"{known.name} in the equation of {name} is not declared here")
    if isinstance(read, At) and not equation.timed and not summed:
        raise _error(
            recurrence,
            line,
            f"{read.source()} has no step in the equation of {name}, which has no time",
            f"write sum({read.source()} for t in steps), or a fixed step such as {known.name}[T]",
        )
    if not isinstance(read, (At, Pick)) and known.kind == Kind.TIMED:
        raise _error(recurrence, line, f"{known.name} is a sequence and needs a step", f"write {known.name}[t]")
    if known.role == "objective":
        raise _error(recurrence, line, f"the equation of {name} reads the objective {known.name}")


def _check_time(recurrence: Recurrence, equation: Equation, node: TimeSum | Within, summed: bool) -> None:
    name, line = describe(equation.target), equation.line
    if isinstance(node, Within):
        if not equation.timed and not summed:
            raise _error(recurrence, line, f"{node.source()} has no step in the equation of {name}", "sum it over steps")
    elif equation.timed:
        problem = f"a sum over time in the equation of {name}, which holds at every step"
        raise _error(recurrence, line, problem, "give the sum a name without time, and read that")
    elif summed:
        raise _error(recurrence, line, f"a sum over time inside another, in the equation of {name}")


def _check_ends(recurrence: Recurrence, found: tuple[Block, ...]) -> None:
    direction = directions(found)
    for ghost in recurrence.arguments:
        kind, name = direction[ghost.quantity], ghost.quantity.name
        if (kind == "forward" and ghost.offset > 0 and ghost.from_end) or (kind == "backward" and not ghost.from_end):
            reader = next(
                (
                    e
                    for e in recurrence.equations
                    for r in reads(e.expr)
                    if isinstance(r, At) and r.quantity == ghost.quantity and (r.lag > 0) == ghost.from_end and r.lag
                ),
                None,
            )
            raise _error(
                recurrence,
                reader.line if reader else None,
                f"{name} runs {kind} in time and is read at {ghost.source()}, beyond its last step",
                f"say what stands there: {ghost.source()} = 0, or {name}[...] = 0",
            )


def _check_projections(recurrence: Recurrence) -> None:
    """A projection names parameters that the same asserts bind."""
    joint = {q.name: tuple(p.name for p in system.parameters) for system in systems(recurrence) for q in system.parameters}
    for equation in recurrence.equations:
        for node in walk(equation.expr):
            if isinstance(node, Project):
                _check_projection(recurrence, equation, node, joint)


def _check_projection(recurrence: Recurrence, equation: Equation, node: Project, joint: Mapping[str, tuple[str, ...]]) -> None:
    line, bound = equation.line, joint.get(node.name, ())
    if not bound:
        raise _error(recurrence, line, f"project({node.name}, …) needs an assert that binds {node.name}", f"write assert {node.name} == …")
    for name, operand in zip(node.names, node.operands, strict=True):
        if name not in bound:
            raise _error(recurrence, line, f"no assert binds {name} together with {node.name}", f"they bind {', '.join(bound)}")
        wanted = recurrence.named[name].shape
        if not same_shape(operand.shape, wanted):
            raise _error(recurrence, line, f"project takes the shape of {name}, {shape_text(wanted)}, not {shape_text(operand.shape)}")


def _unused(recurrence: Recurrence, lines: Mapping[str, int]) -> list[str]:
    used = {quantity_of(r) for e in recurrence.equations for r in reads(e.expr)}
    used |= set(constrained(recurrence.constraints))
    idle = [q.name for q in recurrence.of_role("input", "index", "parameter", "constant") if q not in used and q.name in lines]
    return [f"warning: {name} is declared on line {lines[name]} and never used" for name in idle]


def _settling(recurrence: Recurrence, found: tuple[Block, ...]) -> list[str]:
    notes = []
    for group in (group for block in found for group in block.groups if group.steady):
        names = " and ".join(describe(member) for member in group.members)
        if recurrence.equation[group.members[0]].timed and not any(name.name in recurrence.meanings for name in group.members):
            verb = "forms a cycle" if len(group.members) == 1 else "form a cycle"
            notes.append(f"note: {names} {verb} without lag, solved as a steady state at every step; is a [t-1] missing?")
    return notes


def _repeated(recurrence: Recurrence) -> list[str]:
    """Warnings for what no sequence enters but stands inside a term that is summed over sequences, as in `(sum(…) + norm2(W))/2`."""
    notes = []
    for equation in recurrence.equations:
        if not equation.sums_sequences or equation.target.source() in recurrence.meanings:  # type: ignore[union-attr]
            continue
        terms = summands(equation.expr)
        for inner in (part for term in terms for part in _parts(term)):
            notes.append(
                f"warning: {inner.source()} in {equation.target.source()} is counted once for each sequence;"
                " make it a term of its own to count it once"
            )
    return notes


def _parts(term: Node) -> list[Node]:
    """The shared terms of a sum inside a term that some sequence enters, reached through signs and factors alone."""
    if isinstance(term, Add):
        shared = [part for part in term.args if part.kind == Kind.SHARED and any(True for _ in reads(part))]
        return shared if len(shared) < len(term.args) else []
    if isinstance(term, (Neg, Mul)):
        return [part for arg in term.operands for part in _parts(arg)]
    return _parts(term.args[0]) if isinstance(term, Div) else []
