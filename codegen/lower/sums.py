"""Sums: the statements of a gradient -> the same, with copies of what the forward phase has summed over steps, where its steps need it.

What a step multiplies by must be known before the first step, so that the gradient can be taken a window of steps at a time. Sums that no
step needs are left: they are gradients, to which a window adds its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from codegen.element import Load
from codegen.program import Buffer
from codegen.statements import Accumulate, Map, OuterSum, Statement
from codegen.traversal import plain, reads


def formed_before(statements: Sequence[Statement], forward: Sequence[Statement], buffers: Mapping[str, Buffer]) -> list[Statement]:
    """The statements of a phase that follows the forward phase. buffers: those of both."""
    formed = {key: s.out for s in reversed(forward) if (key := _sum(s, buffers)) is not None}
    needed = _needed_by_steps(statements, buffers)
    return [_copied(s, formed[key], buffers) if s.out in needed and (key := _sum(s, buffers)) in formed else s for s in statements]


def _sum(statement: Statement, buffers: Mapping[str, Buffer]) -> tuple[Statement, str] | None:
    """What tells sums over steps that are equal; None for everything else."""
    over_steps = isinstance(statement, Accumulate) and statement.window[0] is not None
    over_steps |= isinstance(statement, OuterSum) and buffers[statement.left.buffer].kind == "timed"
    return (replace(statement, out=""), buffers[statement.out].kind) if over_steps else None


def _needed_by_steps(statements: Sequence[Statement], buffers: Mapping[str, Buffer]) -> set[str]:
    """The buffers without time that values of steps depend on."""
    needed: set[str] = set()
    left = [s for s in statements if buffers[s.out].kind == "timed"]
    while left:
        new = {read.buffer for s in left for read in reads(s) if buffers[read.buffer].kind != "timed"} - needed
        needed |= new
        left = [s for s in statements if s.out in new]
    return needed


def _copied(statement: Statement, source: str, buffers: Mapping[str, Buffer]) -> Map:
    return Map(statement.out, Load(source, 0, plain(buffers[source])))
