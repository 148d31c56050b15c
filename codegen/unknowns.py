"""Unknowns: the statements of a cycle without lag -> which buffers to solve for, and whether they enter affinely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from codegen.element import Element, InWindow, Load, OnDiagonal, Op, Piece, Present, Select
from codegen.program import Buffer
from codegen.statements import Accumulate, OuterSum, Product, Reduce, Statement
from codegen.traversal import reads
from derive.graph import components


def _now(statement: Statement, names: set[str]) -> list[str]:
    """The buffers among these that a statement reads at the current step."""
    return [read.buffer for read in reads(statement) if read.buffer in names and not read.lag]


def _is_acyclic(statements: Sequence[Statement], cut: Sequence[str]) -> bool:
    names = {s.out for s in statements} - set(cut)
    graph = {s.out: _now(s, names) for s in statements if s.out in names}
    return all(len(part) == 1 and part[0] not in graph[part[0]] for part in components(graph))


def choose_cut(statements: Sequence[Statement], buffers: Mapping[str, Buffer]) -> tuple[str, ...]:
    """The fewest buffers without which no cycle is left, those the user named first."""
    outs = sorted((s.out for s in statements), key=lambda name: (not buffers[name].label, name))
    for count in (1, 2):
        for cut in combinations(outs, count):
            if _is_acyclic(statements, cut):
                return cut
    cut: list[str] = []
    for name in outs:
        if _is_acyclic(statements, cut):
            break
        cut.append(name)
    return tuple(cut)


def redirect(
    statements: Sequence[Statement], cut: Sequence[str], buffers: dict[str, Buffer]
) -> tuple[list[Statement], list[tuple[str, str]]]:
    """The statements in order of evaluation for given values of the cut, which get their new values in buffers of their own."""
    names = {s.out for s in statements} - set(cut)
    order = [part[0] for part in components({s.out: _now(s, names) for s in statements if s.out in names})]
    by_out = {s.out: s for s in statements}
    pairs = []
    ordered = [by_out[name] for name in order]
    for name in cut:
        new = f"next_{name}"
        buffers[new] = replace(buffers[name], name=new, label="", before=0, after=0)
        pairs.append((name, new))
        ordered.append(replace(by_out[name], out=new))
    return ordered, pairs


def is_affine(statements: Sequence[Statement], unknown: set[str]) -> bool:
    """Whether every statement is affine in the unknown buffers at the current step."""
    return all(_degree(statement, unknown) <= 1 for statement in statements)


def _degree(statement: Statement, unknown: set[str]) -> int:
    match statement:
        case Product() | OuterSum():
            return len(_now(statement, unknown))
        case Reduce(operation="max"):
            return 2 * min(1, _element(statement.element, unknown))
        case Accumulate() | Reduce():
            return _element(statement.element, unknown)
    return _element(statement.element, unknown) if hasattr(statement, "element") else len(_now(statement, unknown))


def _element(element: Element, unknown: set[str]) -> int:
    """0 where no unknown enters, 1 where the element is affine in them, 2 otherwise."""
    match element:
        case Load():
            return int(element.buffer in unknown and not element.lag)
        case Piece():
            return _element(element.load, unknown)
        case InWindow() | OnDiagonal() | Present():
            return _element(element.arg, unknown)
        case Select():
            chosen = [_element(arg, unknown) for arg in element.args]
            return 2 if chosen[0] or chosen[1] else max(chosen[2:])
        case Op():
            degrees = [_element(arg, unknown) for arg in element.args]
            if element.name in ("add", "neg"):
                return max(degrees)
            if element.name == "mul":
                return min(2, sum(degrees))
            if element.name == "div":
                return 2 if degrees[1] else degrees[0]
            return 2 if any(degrees) else 0
    return 0
