"""References: the same works as in docs/references.bib, cited by authors and year in titles."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import derive
from derive.present.references import REFERENCES, cited
from derive.present.text import to_text

BIB = (Path(derive.__file__).parent.parent / "docs" / "references.bib").read_text(encoding="utf-8")
STOCK = derive.stock_names()


def plain(text: str) -> str:
    """Without braces, accents and quotes as TeX writes them."""
    return re.sub(r"[^a-z0-9 ]", "", text.lower().replace("--", " ").replace("\n", " ").replace("–", " "))


@pytest.mark.parametrize("key", REFERENCES)
def test_reference_is_in_the_bibliography(key):
    (entry,) = re.findall(rf"@\w+{{{key},\n(.*?)\n}}", BIB, re.DOTALL)
    fields = dict(re.findall(r"(\w+)\s*=\s*{(.*?)}(?:,\n|$)", entry, re.DOTALL))
    work = REFERENCES[key]
    assert int(fields["year"]) == work.year
    assert plain(fields["title"]) == plain(work.title)
    assert len(re.split(r"\s+and\s+", fields["author"])) == len(re.split(", | and ", work.authors))


@pytest.mark.parametrize("name", STOCK)
def test_title_cites_a_known_work(name):
    recurrence = derive.load(name)
    title = " ".join(recurrence.title.split())
    years = re.findall(r"\b(?:19|20)\d\d\b", title)
    keys = cited([], title)
    assert years and sorted(str(REFERENCES[key].year) for key in keys) == sorted(years), title
    text = to_text(derive.gradient(recurrence))
    assert all(f"[{key}] " in text.split("References\n")[1] for key in keys)


def test_names_and_years_must_both_match():
    assert cited([], "As in (Elman, 1990; Schuster and Paliwal, 1997).") == ["elman1990", "schuster1997"]
    assert cited([], "Elman, 1991; Schuster, 1997; Cho, 2014; Xelman, 1990; 19905 Elman, 19905") == []
