"""Random recurrences hold every form of the language: what is added to the language must enter the generator."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import fields
from functools import cache

import pytest
from generator import Generated, generate, merged

from derive.builder import Builder
from derive.calls import CALLS
from derive.errors import RecurrenceError
from derive.language import parse
from derive.limits import parse_tree, read_source
from derive.nodes import walk
from derive.recurrence import Recurrence
from derive.rules import RULES
from derive.statements import ROLES, Statements, sort_statements
from derive.temporal import TimeSum, Within

TEXTS = 160  # recurrences in which everything must occur
UNWRITTEN = {"Argument"}  # a mark that reading makes of every call of a lambda, with no form of its own


@cache
def texts() -> list[Generated]:
    return [generate(seed, analytic=seed % 2 == 0, abstract=seed % 6 == 3) for seed in range(TEXTS)]


@cache
def statements() -> list[Statements]:
    sources = [read_source(made.text, "random.rec") for made in texts()]
    return [sort_statements(parse_tree(source), source) for source in sources]


@cache
def recurrences() -> list[Recurrence]:
    return [parse(made.text) for made in texts()]


def missing(wanted: set[str], found: Counter[str], least: int = 1) -> list[str]:
    return sorted(name for name in wanted if found[name] < least)


def test_every_function_is_called() -> None:
    trees = (node for made in texts() for node in ast.walk(ast.parse(made.text)))
    found = Counter(node.func.id for node in trees if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    assert missing(set(CALLS), found) == [], "give these a row in tests/derive/generator/forms.py or vocabulary.py"
    assert missing({"cumulate"}, found) == ["cumulate"]


def test_every_form_of_statement_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Counter[str] = Counter()
    for name in [name for name in vars(Builder) if not name.startswith("_")]:
        method = getattr(Builder, name)
        monkeypatch.setattr(Builder, name, lambda *a, _n=name, _m=method, **o: (found.update([_n]), _m(*a, **o))[1])
    for made in texts():
        parse(made.text)
    wanted = {name for name in vars(Builder) if not name.startswith("_")}
    assert missing(wanted, found) == [], "write these in tests/derive/generator/statements.py or files.py"
    kept = {entry.name: entry.name for entry in fields(Statements)}
    assert [name for name in kept if not any(getattr(made, name) for made in statements())] == []


def test_every_variant_of_a_statement_is_written() -> None:
    found: Counter[str] = Counter()
    for made in statements():
        for declaration in made.declarations.values():
            word = declaration.role if declaration.role not in ROLES else f"{declaration.role} of rank {len(declaration.dims)}"
            found[f"{word}{' with a default' if declaration.default is not None else ''}"] += 1
        for definition in made.definitions:
            place = "" if definition.index is None else ast.unparse(definition.index).replace("Ellipsis", "...")
            found[f"at {place}" if place else "equation"] += 1
        if made.objective is not None:
            found[f"{made.objective.sense}{'' if made.objective.expr is not None else ' ...'}"] += 1
    wanted = {
        *(f"input of rank {rank}" for rank in range(3)), *(f"total of rank {rank}" for rank in range(3)), "sequence_input", "index",
        "parameter", "constant", "constant with a default", "quantity", "signal", "equation", "at 0", "at -1", "at T + 1", "at ...",
        "minimize", "maximize", "minimize ...", "maximize ...",
    }  # fmt: skip
    assert missing(wanted, found) == []


def test_every_rule_has_its_node() -> None:
    found = Counter(type(node).__name__ for made in recurrences() for e in made.equations for node in walk(e.expr))
    wanted = {kind.__name__ for kind in (*RULES, TimeSum, Within)}
    assert missing(wanted, found) == [] and missing({"Cumulate"}, found)
    assert UNWRITTEN <= set(found)


def test_names_go_undeclared_and_orders_differ() -> None:
    pairs = zip(recurrences(), statements(), strict=True)
    assert sum(any(q.name not in made.declarations for q in r.of_role("parameter")) for r, made in pairs) > 5
    assert sum(made.text.startswith('"""') for made in texts()) > 5
    assert sum(not made.text.split('"""\n')[-1].startswith(("phi", "f:")) for made in texts()) > 5


def test_a_seed_gives_one_text() -> None:
    assert generate(7).text == generate(7).text != generate(8).text
    assert len({made.text for made in texts()}) == TEXTS


def test_several_are_one() -> None:
    assert parse(merged(range(3))).objective.sense == "minimize"
    with pytest.raises(RecurrenceError):
        parse("\n".join(generate(seed).text for seed in range(2)))
