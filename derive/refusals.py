"""Refusals: a name or an operator that has no meaning where it stands -> the error that says so, with what to write."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Protocol

from derive.calls import CALLS
from derive.errors import RecurrenceError
from derive.indexing import Indexing
from derive.limits import Source
from derive.nodes import Quantity
from derive.reserved import RESERVED
from derive.suggestions import EXPRESSION_FORMS, STATEMENT_FORMS, declaration, keyword_hint, near


class Names(Protocol):
    """What a file's names mean, as the expression reader knows it; `wanted` are the dims that the equation asks for."""

    source: Source
    indexing: Indexing
    quantities: Mapping[str, Quantity]
    functions: frozenset[str]
    lambdas: Mapping[str, ast.Lambda]
    objective: str
    wanted: str


def unknown(names: Names, tree: ast.Name) -> RecurrenceError:
    """The error for a name that stands for no value."""
    name, error = tree.id, names.source.error
    if name == "t":
        return error(tree, "t is the step and has no value", "it stands only inside brackets, as in h[t-1]")
    if name == "steps":
        hint = "it stands only in sum(… for t in steps) and within(…, steps[-3:])"
        return error(tree, "steps has no value", hint)
    if name in CALLS or name in names.functions or name in names.lambdas:
        return error(tree, f"{name} is a function", f"write {name}(…)")
    if name in RESERVED:
        return error(tree, f"{name} is a word of the language and has no value", EXPRESSION_FORMS)
    if name == names.objective:
        return error(tree, f"{name} is the objective, which no equation reads", "give what is shared a name of its own")
    known = (names.wanted, *sorted(names.indexing.dims), "n")
    dims = next(sizes for sizes in known if sizes)
    guess = near(name, [*names.quantities, *names.indexing.dims])
    hint = f"{guess}declare it with a line such as {declaration(name, dims)} or {name}: scalar"
    return error(tree, f"{name} is not declared, and its shape does not follow from here", hint)


def undeclared(names: Names, tree: ast.Name) -> RecurrenceError:
    """The error for a name with a step that is not declared."""
    name = tree.id
    if name in RESERVED or name == names.objective:
        return unknown(names, tree)
    guess = near(name, names.quantities)
    hint = f"{guess}declare it: {name}[t]: n for an input, {name}[t]: n = … for a signal"
    return names.source.error(tree, f"{name} is not declared", hint)


def uncallable(names: Names, tree: ast.Name) -> RecurrenceError:
    """The error for a call of what is no function."""
    name, error = tree.id, names.source.error
    if name in ("minimize", "maximize"):
        return error(tree, f"{name} stands alone", f"write E = {name}(…)")
    if name in names.quantities:
        hint = f"write {name}[…] for a step, {name}*(…) for a product"
        return error(tree, f"{name} is a quantity and cannot be called", hint)
    guess = near(name, [*CALLS, *names.lambdas, *names.functions])
    hint = f"{guess}define it: {name} = lambda u: …, or leave it abstract: {name}: function"
    return error(tree, f"{name} is not a function of the language", hint)


def alone(source: Source, value: ast.expr) -> RecurrenceError:
    """The error for an expression that stands alone as a statement."""
    hint = STATEMENT_FORMS
    match value:
        case ast.Constant(value=str()):
            hint = "the title is the first statement; comments begin with #"
        case ast.Lambda():
            hint = keyword_hint("lambda")
        case ast.Call(func=ast.Name(id="minimize" | "maximize" as sense)):
            hint = f"give the objective a name: E = {sense}(…)"
        case ast.Compare(ops=[ast.Eq()]):
            hint = "an equation is written with one =; a constraint on parameters with assert"
    return source.error(value, "an expression alone is not a statement of the language", hint)


def not_a_power(names: Names, tree: ast.BinOp) -> str:
    """What is said of `^`, which binds more loosely than the power that was meant: W @ h^2 for W @ h**2."""
    base, power = tree.left, tree.right
    while isinstance(base, (ast.BinOp, ast.UnaryOp)):
        base = base.right if isinstance(base, ast.BinOp) else base.operand
    constant = isinstance(power, ast.Constant)
    meant = f"{names.source.written(base, 30)}**{names.source.written(power, 10)}" if constant else "a**2"
    return f"^ is not a power here; write {meant}"
