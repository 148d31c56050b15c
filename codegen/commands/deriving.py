"""`retrograd derive`: FILE -> its gradient, as text, LaTeX, HTML, PDF or a recurrence file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from codegen.commands.inputs import file_argument, read_recurrence
from codegen.commands.terminal import is_terminal, note, progress, width

if TYPE_CHECKING:
    from derive.derivation import Derivation
    from derive.recurrence import Recurrence

FORMATS = ("text", "latex", "html", "pdf", "rec")
SUFFIXES = {".txt": "text", ".tex": "latex", ".html": "html", ".pdf": "pdf", ".rec": "rec"}
PAGE, NARROW = 100, 60  # columns of text, and the fewest that formulas are broken to
EXAMPLES = """\b
Examples:
  retrograd derive elman                       numbered steps, as text
  retrograd derive model.rec --format rec      the gradient as a recurrence
  retrograd derive model.rec -o model.pdf      typeset; the suffix says the format
  retrograd derive elman --sensitivities       the same gradient, run forward in time
  echo 'x: n = tanh(W @ x + b)' | retrograd derive -"""


@click.command(epilog=EXAMPLES)
@file_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Form of the result; by default that of OUT's suffix, else text.",
)
@click.option(
    "-o",
    "out",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="OUT",
    help="File to write, instead of stdout.",
)
@click.option("--sensitivities", is_flag=True, help="Derive forward sensitivities (real-time recurrent learning).")
@click.option("--wrt", metavar="NAMES", help="By which parameters or values outside the steps: W,h[0]; all parameters by default.")
def derive(file: str, form: str | None, out: Path | None, sensitivities: bool, wrt: str | None) -> None:
    """Derive the gradient of a recurrence and print the derivation.

    FILE is a path, - for standard input, or a stock name. Functions and objectives may be left without a definition.
    """
    target = None if out is None or str(out) == "-" else out
    form = form or (SUFFIXES.get(target.suffix.lower(), "text") if target else "text")
    if form == "pdf" and target is None and is_terminal():
        raise ValueError("a pdf is not for a terminal; name a file with -o")
    if wrt is not None and not sensitivities:
        raise ValueError("--wrt goes with --sensitivities; a gradient is by everything at once")
    recurrence = read_recurrence(file)
    with progress(recurrence.name) as say:
        say("deriving")
        derivation = by_sensitivities(recurrence, wrt) if sensitivities else by_adjoint(recurrence)
        content = present(derivation, form, target is None)
    if target is None:
        click.echo(content, nl=False)
    else:
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        note(f"{target} written")


def by_adjoint(recurrence: Recurrence) -> Derivation:
    """The gradient; without an objective, the vector-Jacobian product."""
    from derive.adjoint import gradient, pullback

    return gradient(recurrence) if recurrence.objective is not None else pullback(recurrence)


def by_sensitivities(recurrence: Recurrence, wrt: str | None) -> Derivation:
    """Forward sensitivities by the names given, separated by commas."""
    from derive.realtime import sensitivities

    return sensitivities(recurrence, None if wrt is None else [name.strip() for name in wrt.split(",")])


def present(derivation: Derivation, form: str, on_screen: bool = False) -> str | bytes:
    """Write a derivation in a form; text on a screen fits its width. Raises: RuntimeError and OSError for pdf."""
    if form == "rec":
        from derive.writing import write

        return write(derivation.recurrence)
    if form == "text":
        from derive.present.text import to_text

        columns = max(NARROW, min(PAGE, width())) if on_screen and is_terminal() else PAGE
        return to_text(derivation, columns).rstrip("\n") + "\n"
    if form == "html":
        from derive.present.html import to_html

        return to_html(derivation)
    from derive.present.latex import to_latex

    source = to_latex(derivation, document=True)
    if form == "latex":
        return source
    from codegen.commands.typesetting import typeset

    return typeset(source)
