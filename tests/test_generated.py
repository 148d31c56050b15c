"""generated/: every file is what the code writes today, byte for byte, and a stale one is seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sympy
from click.testing import CliRunner

from codegen import regenerate
from derive.language import parse

ROOT = Path(__file__).parent.parent
PINNED = re.search(r"^sympy==(\S+)$", (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)[1]

if sympy.__version__ != PINNED:
    pytest.skip(
        f"generated files are compared with SymPy {PINNED}, whose printing decides some bytes; here is {sympy.__version__}",
        allow_module_level=True,
    )


@pytest.fixture(scope="module")
def wanted():
    return regenerate.render_all()


def test_files_are_fresh(wanted):
    stale = regenerate.find_stale(ROOT / "generated", wanted)
    assert not stale, f"run python -m codegen.regenerate; stale: {', '.join(stale)}"


def test_three_files_for_each(wanted):
    assert set(wanted) == {
        f"{name}/{file}"
        for name in regenerate.stock_names()
        for file in (f"{name}.pyx", f"{name}_gradient.rec", "derivation.tex")
    }


def statements(text):
    """Without comments, which the language does not read."""
    return [bare for line in text.splitlines() if (bare := line.split("#")[0].rstrip())]


def test_gradients_read_back(wanted):
    for path, text in wanted.items():
        if path.endswith(".rec"):
            assert statements(regenerate.to_rec(parse(text))) == statements(text)


def test_refresh_writes_and_removes(wanted, tmp_path):
    assert regenerate.refresh(tmp_path, wanted) == sorted(wanted)
    assert regenerate.find_stale(tmp_path, wanted) == [] == regenerate.refresh(tmp_path, wanted)
    changed, gone, extra = "elman/elman.pyx", "lstm/derivation.tex", "old/old.pyx"
    (tmp_path / changed).write_bytes((tmp_path / changed).read_bytes() + b" ")
    (tmp_path / gone).unlink()
    (tmp_path / "old").mkdir()
    (tmp_path / extra).write_text("x")
    assert regenerate.find_stale(tmp_path, wanted) == sorted([changed, gone, extra])
    assert regenerate.refresh(tmp_path, wanted) == sorted([changed, gone, extra])
    assert regenerate.find_stale(tmp_path, wanted) == [] and not (tmp_path / "old").exists()


def test_check_lists_what_is_stale_and_writes_nothing(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(regenerate, "render_all", lambda: wanted)
    monkeypatch.setattr(regenerate, "FOLDER", tmp_path)
    regenerate.refresh(tmp_path, wanted)
    assert CliRunner().invoke(regenerate.main, ["--check"]).exit_code == 0
    (tmp_path / "gru" / "gru.pyx").write_text("")
    done = CliRunner().invoke(regenerate.main, ["--check"])
    assert done.exit_code == 1 and done.stdout == "generated/gru/gru.pyx\n"
    assert (tmp_path / "gru" / "gru.pyx").read_text() == ""


def test_no_dates_and_no_paths(wanted):
    for path, text in wanted.items():
        assert not re.search(r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}\b", text), path
        assert str(ROOT) not in text, path
