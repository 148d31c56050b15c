"""README.md and docs/using.md: every Python block and every command in them runs, and prints what the page says it prints."""

from __future__ import annotations

import contextlib
import io
import math
import re
import shlex
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from codegen.cli import cli
from codegen.lower import lower
from codegen.report import COLUMNS
from derive.language import parse

ROOT = Path(__file__).parent.parent
ROW = "W  (4, 4)  16  complex step  1e-15  1e-16  (2, 1)  1.0e-30  -0.1  -0.1  passed"
PAGES = ("README.md", "docs/using.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    text: str
    line: int


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(found[1], found[2], text[: found.start()].count("\n") + 1) for found in FENCE.finditer(text)]


def commands(page: str) -> list[str]:
    return [line for block in blocks_of(page) if block.kind == "sh" for line in block.text.splitlines() if line.strip()]


def alike(expected: str, printed: str) -> bool:
    """Equal word for word; numbers to six digits, and rounding errors only in being small."""
    rows = [dict(zip(COLUMNS, re.split(r"\s{2,}", line.strip()), strict=False)) for line in (expected, printed)]
    if all(row.get("method") == "complex step" for row in rows):
        return _same_row(*rows)
    words, found = expected.split(), printed.split()
    return len(words) == len(found) and all(map(_same, words, found))


def _same_row(expected: dict[str, str], printed: dict[str, str]) -> bool:
    """Rows of a report: which entry is the worst depends on the machine's rounding, so values are compared within each row."""
    whole = all(expected[name] == printed[name] for name in ("quantity", "shape", "entries", "step", "status"))
    small = all(float(row["relative"]) < 1e-12 for row in (expected, printed))
    return whole and small and all(_same(row["gradient"], row["reference"]) for row in (expected, printed))


def _same(expected: str, printed: str) -> bool:
    if expected == printed:
        return True
    try:
        a, b = float(expected), float(printed)
    except ValueError:
        return False
    return math.isclose(a, b, rel_tol=1e-6) or max(abs(a), abs(b)) < 1e-12


def missing(expected: str, printed: str) -> str | None:
    """The first line that is not printed after the lines before it; `…` stands for any number of lines."""
    left = iter(printed.splitlines())
    for line in expected.splitlines():
        if line.strip() and line != "…" and not any(alike(line, other) for other in left):
            return line
    return None


def run_command(line: str) -> str:
    arguments = shlex.split(line)
    assert arguments[0] == "retrograd", line
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # the command line shows warnings its own way
        done = CliRunner().invoke(cli, arguments[1:], catch_exceptions=False)
    assert done.exit_code == 0, f"{line}: {done.output}"
    return done.stdout


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with the files that the pages name, to run in and to write to."""
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_blocks_run_and_print_what_the_page_says(page, checkout):
    names: dict[str, object] = {}
    printed, before = "", ""
    for block in blocks_of(page):
        if block.kind == "python":
            source = "\n" * block.line + block.text
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(source, page, "exec"), names)
            printed = out.getvalue()
        elif block.kind == "sh":
            printed = "".join(run_command(line) for line in block.text.splitlines() if line.startswith("retrograd"))
        elif block.kind == "text":
            assert before in ("python", "sh"), f"{page}:{block.line}: what prints this?"
            lost = missing(block.text, printed)
            assert lost is None, f"{page}:{block.line}: not printed: {lost}\n{printed}"
        else:
            assert block.kind == "rec", f"{page}:{block.line}: a block of kind {block.kind!r} is not tested"
            lower(parse(block.text))
        before = block.kind


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_run_here_or_in_ci(page):
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for line in commands(page):
        if not line.startswith("retrograd"):
            assert line.startswith("python3 -m venv .venv && "), line
            assert page == "README.md" and "readme_command" in ci, line


def test_first_rec_block_is_the_example_file():
    first = next(block for block in blocks_of("README.md") if block.kind == "rec")
    assert first.text == (ROOT / "docs" / "examples" / "rnn.rec").read_text(encoding="utf-8")


def test_stock_table_is_the_zoo():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("## Stock recurrences")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == sorted(path.stem for path in (ROOT / "derive" / "zoo").glob("*.rec"))


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        (ROW, ROW.replace("-0.1  passed", "0.1  passed")),
        (ROW, ROW.replace("-0.1  passed", "-0.10001  passed")),
        (ROW, ROW.replace("1e-16  (2, 1)", "1e-6  (2, 1)")),
        (ROW, ROW.replace("passed", "failed")),
        (ROW, ROW.replace("16  complex", "15  complex")),
        ("W -0.108588365 passed", "W 0.108588365 passed"),
        ("W -0.108588365 passed", "W -0.108598365 passed"),
        ("W passed", "W failed"),
        ("W 1e-15", "W 1e-3"),
        ("W 1", "W nan"),
        ("a\nb", "b\na"),
        ("a\n…\nc", "a\nb"),
    ],
)
def test_wrong_output_is_seen(expected, printed):
    assert missing(expected, expected) is None
    assert missing(expected, printed) is not None
