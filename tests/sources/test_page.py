"""docs/sources.md: rows, stock recurrences, tests and keys that it names are there, and none is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import derive

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
ROWS = {cells[0]: cells for line in PAGE.splitlines() if (cells := [c.strip() for c in line.strip("|").split(" | ")])[0].startswith("S")}


def test_every_row_is_there():
    assert list(ROWS) == [f"S{number}" for number in range(1, 23)]


@pytest.mark.parametrize("row", ROWS)
def test_row_names_recurrences_and_tests(row):
    _, _, _, recurrences, tests = ROWS[row]
    names, (path,) = re.findall(r"`(\w+)`", recurrences), re.findall(r"`([^`]+)`", tests)
    assert names and set(names) <= set(derive.stock_names())
    found = re.findall(r"^def (test_\w+)\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert any(f"_s{int(row[1:]):02d}_" in name for name in found), f"{path} has no test of {row}"


def test_every_stock_recurrence_is_named():
    tables = "\n".join(line for line in PAGE.splitlines() if line.startswith("| "))
    assert set(derive.stock_names()) <= set(re.findall(r"`(\w+)`", tables))


def test_keys_are_in_the_bibliography():
    keys = re.findall(r"^@\w+{(\w+),", (ROOT / "docs" / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert set(re.findall(r"\[([a-z]+\d{4}\w*)\]", PAGE)) <= set(keys)
