"""Texts from a stranger: none is executed, none crashes, hangs or exhausts memory, and each gets an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import derive.limits as limits
from derive.errors import RecurrenceError
from derive.language import parse

PROGRAM = Path(__file__).with_name("hostile.py")
ROOT = Path(limits.__file__).parents[1]


def batch(folder: Path, *arguments: str) -> dict:
    """Run the whole corpus in a process of its own, in an empty folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(PROGRAM), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_hostile_texts_are_answered_and_never_run(tmp_path: Path) -> None:
    result = batch(tmp_path)
    assert result["count"] >= 1500
    assert not result["wrong"], result["wrong"][:10]
    assert result["memory"] < 200
    assert not list(tmp_path.iterdir())
    for family in ("payload", "nest", "bomb", "soup", "mutation"):
        assert result["outcomes"][family]["refused"] > 0
    assert result["outcomes"]["mutation"]["accepted"] > 0


def test_the_watch_sees_what_is_executed(tmp_path: Path) -> None:
    result = batch(tmp_path, "sabotage")
    assert [entry[2] for entry in result["wrong"]] == ["accepted", "ZeroDivisionError", "NameError"]
    assert {"exec", "os.system"} <= {event.split()[0] for event in result["wrong"][0][3]}
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#" * 65537, "at most 65536 bytes"),
        ("h[t]: n = " + "-" * 60000 + "b", "nested too deeply or too long"),
        ("\n".join(f"x{i}: n = b*b" for i in range(2001)), "expression nodes; at most 10000 are read"),
        ("h[t]: n = " + "(" * 101 + "b" + ")" * 101, "more than 100 nested parentheses"),
        ("h[t]: n = " + "-" * 101 + "h[t-1]", "more than 100 operations inside one another"),
        ("h[t]: n = 1000000*h[t-1]", "the integer is too large; integers stay below 1000000"),
        ("h[t]: n = h[t-1]**65", "the exponent 65 is not allowed"),
        ("h[t]: n = h[t-1]**0.3", "the exponent 0.3 is not allowed"),
        ("h[t]: n = h[t-1001]", "the lag 1001 is too long"),
        ("h[t]: n = h[t-1]\nh[-1001] = 0", "the distance from the steps 1001 is too long"),
        ("a = lambda u: u*u + u\nh[t]: n = " + "a(" * 14 + "h[t-1]" + ")" * 14,
         "with lambdas written out, this has more than 10000"),
        ("x: " + "*".join(f"(a{i} + b{i})" for i in range(9)), "the dim has more than 32 terms"),
        ("\n".join(f"x{i}: n{i}" for i in range(101)), "has 101 dims; at most 100"),
        ("\n".join(f"h{i}[t]: n = h{i}[t-1000]" for i in range(30)), "too many long lags"),
        ("h[t]: n = " + "9" * 5000, "not readable: Exceeds the limit"),
        ("h[t]: n = 0." + "9" * 200, "the number has too many digits"),
        ("h" * 65 + ": n", "is not a name"),
        ("__h: n", "__h is not a name"),
    ],
)  # fmt: skip
def test_each_limit_has_its_message(text: str, message: str) -> None:
    with pytest.raises(RecurrenceError) as caught:
        parse(text)
    assert message in caught.value.problem


@pytest.mark.parametrize("text", [
    "#" * 65000 + "\nh[t]: n = tanh(h[t-1])", "h[t]: n = " + "(" * 90 + "h[t-1]" + ")" * 90,
    "h[t]: n = h[t-1] + 999999*h[t-1]",
    "h[t]: n = h[t-1]**64 + h[t-1]**-64", "h[t]: n = h[t-1000]", "h[t]: n = " + " + ".join(["h[t-1]"] * 900),
    "h[t]: n = " + "*".join(["h[t-1]"] * 900), "h" * 64 + "[t]: n = 0.5*" + "h" * 64 + "[t-1]",
    "h[t]: n = tanh(h[t-1]) # (((" + "(" * 500,
    '"""' + "(" * 500 + '"""\nh[t]: n = tanh(h[t-1])', "a = lambda u: u*u + u\nh[t]: n = a(a(a(h[t-1])))",
    "h[t]: n = " + "tanh(" * 90 + "h[t-1]" + ")" * 90,
])  # fmt: skip
def test_what_stays_within_the_limits_is_read(text: str) -> None:
    assert parse(text).named
