"""Typesetting: a LaTeX document -> the bytes of a PDF, by pdflatex in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PASSES = 2  # the second knows the numbers that the first gave
PATIENCE = 120.0  # seconds for each
SHOWN = 8  # lines of a complaint


def typeset(source: str) -> bytes:
    """Typeset a document; the same bytes on every run.

    Raises: ValueError where pdflatex is missing or refuses the document, with what it said.
    """
    program = shutil.which("pdflatex")
    if program is None:
        raise ValueError(
            "pdf needs pdflatex, which is missing; install TeX Live (Debian: texlive-latex-base), or use --format latex"
        )
    # Dates would make every run different.
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": "0",
        "FORCE_SOURCE_DATE": "1",
        "openout_any": "p",
        "max_print_line": "200",
    }
    with tempfile.TemporaryDirectory(prefix="retrograd-") as name:
        folder = Path(name)
        (folder / "derivation.tex").write_text(source, encoding="utf-8")
        command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "derivation.tex"]
        for _ in range(PASSES):
            try:
                done = subprocess.run(
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=PATIENCE,
                )
            except subprocess.TimeoutExpired:
                raise ValueError(f"pdflatex took more than {PATIENCE:.0f} s; use --format latex") from None
            if done.returncode:
                raise ValueError(_complaint(done.stdout.decode(errors="replace")))
        return (folder / "derivation.pdf").read_bytes()


def _complaint(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    first = next((place for place, line in enumerate(lines) if line.startswith("!")), max(0, len(lines) - SHOWN))
    shown = "\n".join(f"    {line}" for line in lines[first : first + SHOWN])
    advice = "a package may be missing (amsmath, bm, hyperref); --format latex shows the source"
    return f"pdflatex refused the document:\n{shown}\n  {advice}"
