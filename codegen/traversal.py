"""Traversal of Programs: the elements of a tree, the reads of a statement, the segments and steady states of an action."""

from __future__ import annotations

from collections.abc import Iterator

from codegen.element import Element, Hot, Index, InWindow, Load, OnDiagonal, Op, Piece, Present, Select
from codegen.program import Buffer
from codegen.statements import Accumulate, OuterSum, PickStep, Product, Read, Statement
from codegen.systems import Project


def elements(element: Element) -> Iterator[Element]:
    """Every element of a tree, parents first."""
    yield element
    match element:
        case Op() | Select():
            for arg in element.args:
                yield from elements(arg)
        case OnDiagonal() | InWindow():
            yield from elements(element.arg)
        case Present():
            yield element.integer
            yield from elements(element.arg)
        case Hot():
            yield element.integer
        case Piece():
            yield from elements(element.load)
        case Load():
            yield from (base for base, _ in element.index if isinstance(base, Load))


def reads(statement: Statement) -> list[Read]:
    """Every read of a statement: buffer and lag (0 for what has no time)."""
    match statement:
        case Product():
            return [read for matrix, _, operand in statement.factors for read in (Read(matrix), operand)]
        case OuterSum():
            return [statement.left, statement.right]
        case PickStep():
            return [Read(statement.buffer)]
        case Project():
            return [Read(buffer) for _, buffer in statement.changes]
    found = [Read(e.buffer, e.lag) for e in elements(statement.element) if isinstance(e, Load)]
    if isinstance(statement, Accumulate) and statement.place:
        found.append(Read(statement.place[1].buffer, statement.place[1].lag))
    return found


def plain(buffer: Buffer) -> Index:
    """The index of a whole buffer, component by component."""
    return tuple((place, ()) for place in range(len(buffer.shape)))


def is_plain(load: Load, buffer: Buffer) -> bool:
    """Whether a buffer is read component by component, as it stands."""
    return load.shape is None and load.index == plain(buffer)
