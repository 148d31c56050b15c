"""docs/: what the pages say of the language, of tolerances and of modules is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codegen import entries, gradcheck, problem, steady
from codegen.lower import lower
from derive import limits
from derive.adjoint import gradient
from derive.calls import CALLS
from derive.errors import RecurrenceError
from derive.language import parse
from derive.rules import RULES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [DOCS / f"{name}.md" for name in ("using", "language", "calculus", "notation", "reliability", "architecture", "sources")]
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)(?:#[^)]*)?\)")


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def fenced(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def section(text: str, title: str) -> str:
    return re.split(r"^#+ ", text.split(f"# {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if set(line) - set("| -")]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CHANGELOG.md", *PAGES, DOCS / "examples" / "README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CHANGELOG.md", *PAGES], ids=lambda p: p.name)
def test_prose_is_wrapped(page):
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        inside ^= line.startswith("```")
        if not (inside or line.startswith(("|", "python3 -m"))):
            assert len(line) <= 120, f"{page.name}:{number}"


def test_recurrences_in_the_language_page_are_read_and_derived():
    found = fenced(read("language.md"), "rec")
    assert len(found) == 6
    for text in found:
        recurrence = parse(text)
        gradient(recurrence)
        if not recurrence.functions:
            lower(recurrence)


def test_every_function_is_on_the_language_page():
    named = set(re.findall(r"`(\w+)", section(read("language.md"), "Expressions") + section(read("language.md"), "What closure adds")))
    assert set(CALLS) <= named, set(CALLS) - named


def test_the_error_shown_is_the_error_raised():
    with pytest.raises(RecurrenceError) as caught:
        parse("x[t]: n\nq[t]: m\ny[t]: n = x[t] + q[t]\n", name="shapes")
    assert fenced(read("language.md"), "text") == [f"{caught.value}\n"]


def test_limits_are_those_of_the_code():
    written = [f"{limits.MAX_BYTES // 1024} KiB", f"{limits.MAX_NODES:,} expression nodes", f"{limits.MAX_NESTING} nested parentheses"]
    written += ["below 10⁶", f"exponents up to {limits.MAX_EXPONENT}", f"lags up to {limits.MAX_LAG:,}"]
    assert limits.MAX_INTEGER == 10**6
    for page in ("language.md", "reliability.md"):
        text = " ".join(read(page).split())
        assert not [phrase for phrase in written if phrase not in text], page


def test_every_rule_is_in_the_calculus_table():
    named = set(re.findall(r"`(\w+)`", " ".join(row[0] for row in rows(section(read("calculus.md"), "Rules")))))
    types = {rule.__name__ for rule in RULES}
    assert types <= named, types - named
    assert named <= types, named - types


def number(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-")


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ("every entry", [entries.SHARE["complex step"], entries.FLOOR["complex step"]]),
        ("the same where", [entries.SHARE["Richardson"], entries.FLOOR["Richardson"]]),
        ("random directions", [entries.SHARE["complex step"], entries.SHARE["Richardson"]]),
        ("gradient against the tangent", [gradcheck.DOT_PRODUCT["float64"]]),
        ("the kernel's objective", [gradcheck.OBJECTIVE["float64"]]),
        ("float32 gradients", [entries.FLOAT32]),
    ],
)
def test_tolerances_are_those_of_the_code(row, values):
    (found,) = [cells for cells in rows(section(read("reliability.md"), "retrograd check")) if cells[0].startswith(row)]
    # A bare 10 would be found in 1e-10.
    assert [value for value in values if not re.search(rf"(?<![\d.]){re.escape(number(value))}(?!\d)", found[2])] == []


def test_other_figures_are_those_of_the_code():
    text = " ".join(read("reliability.md").split())
    assert f"more than {100 * gradcheck.SATURATED:.0f} %" in text
    assert f"nearer than {number(problem.KINK_DISTANCE)}" in text
    assert f"more than {number(entries.HIDDEN)} of the largest entry" in text
    assert steady.solve_fixed_point.__kwdefaults__["tolerance"] is None and "1e-13 in float64 and 1e-6 in float32" in text


def modules(package: str) -> set[str]:
    return {path.stem for path in (ROOT / package).rglob("*.py") if path.stem not in ("__init__", "__main__")}


@pytest.mark.parametrize("package", ["derive", "codegen"])
def test_architecture_names_every_module_and_no_other(package):
    table = rows(section(read("architecture.md"), package))[1:]
    named = {name for row in table for name in re.findall(r"`(\w+)`", row[1])}
    present = modules(package)
    assert present <= named, f"docs/architecture.md lacks {', '.join(sorted(present - named))}"
    assert named <= present, f"docs/architecture.md names {', '.join(sorted(named - present))}"


def test_architecture_names_records_where_they_are():
    for record, module, _ in rows(section(read("architecture.md"), "One record per border"))[1:]:
        text = (ROOT / module.strip("`")).read_text(encoding="utf-8")
        assert all(f"class {name}" in text for name in re.findall(r"`(\w+)`", record)), record


@pytest.mark.parametrize("page", ["architecture.md", "notation.md", "reliability.md", "calculus.md"])
def test_paths_exist(page):
    for path in re.findall(r"`((?:derive|codegen|tests|docs|\.ci|generated)/[\w./]*)`", read(page)):
        assert (ROOT / path).exists(), f"{page}: {path}"
