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
    from derive.unfolding.paths import Unfolding

FORMATS = ("text", "latex", "html", "pdf", "rec")
SUFFIXES = {".txt": "text", ".tex": "latex", ".html": "html", ".pdf": "pdf", ".rec": "rec"}
PRODUCTS = ("jvp", "hvp", "gnvp")
PAGE, NARROW = 100, 60  # columns of text, and the fewest that formulas are broken to
EXAMPLES = """\b
Examples:
  retrograd derive elman                       numbered steps, as text
  retrograd derive model.rec --format rec      the gradient as a recurrence
  retrograd derive model.rec -o model.pdf      typeset; the suffix says the format
  retrograd derive elman --sensitivities       the same gradient, run forward in time
  retrograd derive elman --unfold 2 --wrt "U[i,j]"   one entry's gradient, path by path
  retrograd derive elman --product hvp         Hessian times direction, as a recurrence
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
@click.option(
    "--unfold",
    "steps",
    type=click.IntRange(min=1),
    metavar="STEPS",
    help="Write the gradient at one entry as a sum over paths through so many steps.",
)
@click.option(
    "--wrt",
    metavar="NAMES",
    help="With --sensitivities, by which parameters or values outside the steps: W,h[0]; all parameters by default. With --unfold, by "
    "which entry: U[i,j], with letters or whole numbers from 0.",
)
@click.option(
    "--product",
    type=click.Choice(PRODUCTS),
    help="Derive a product with a direction instead, as a recurrence: of the Jacobian, of the Hessian, or of the Gauss-Newton matrix.",
)
@click.option("--at", multiple=True, metavar="NAME", help="With --product gnvp, a signal between network and loss; may be repeated.")
def derive(
    file: str,
    form: str | None,
    out: Path | None,
    sensitivities: bool,
    steps: int | None,
    wrt: str | None,
    product: str | None,
    at: tuple[str, ...],
) -> None:
    """Derive the gradient of a recurrence and print the derivation.

    FILE is a path, - for standard input, or a stock name. Functions and objectives may be left without a definition.
    """
    target = None if out is None or str(out) == "-" else out
    if product is not None or at:
        form = _product_form(product, at, form, target)
    form = form or (SUFFIXES.get(target.suffix.lower(), "text") if target else "text")
    if form == "pdf" and target is None and is_terminal():
        raise ValueError("a pdf is not for a terminal; name a file with -o")
    _require_one_way(sensitivities, steps, wrt, product)
    recurrence = read_recurrence(file)
    with progress(recurrence.name) as say:
        say("deriving")
        if steps is not None:
            content = present(by_paths(recurrence, steps, wrt), form, target is None)
        elif product is not None:
            content = by_product(recurrence, product, at)
        else:
            derivation = by_sensitivities(recurrence, wrt) if sensitivities else by_adjoint(recurrence)
            content = present(derivation, form, target is None)
    if target is None:
        click.echo(content, nl=False)
    else:
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        note(f"{target} written")


def _require_one_way(sensitivities: bool, steps: int | None, wrt: str | None, product: str | None) -> None:
    """Refuse options that do not go together. Raises: ValueError."""
    if sensitivities and steps is not None:
        raise ValueError("--sensitivities and --unfold are two ways to write a gradient; choose one")
    if product is not None and (sensitivities or steps is not None):
        raise ValueError("--product has nothing to do with --sensitivities and --unfold; choose one")
    if wrt is not None and not sensitivities and steps is None:
        raise ValueError("--wrt goes with --sensitivities or --unfold; a gradient is by everything at once")


def by_adjoint(recurrence: Recurrence) -> Derivation:
    """The gradient; without an objective, the vector-Jacobian product."""
    from derive.adjoint import gradient, pullback

    return gradient(recurrence) if recurrence.objective is not None else pullback(recurrence)


def by_sensitivities(recurrence: Recurrence, wrt: str | None) -> Derivation:
    """Forward sensitivities by the names given, separated by commas."""
    from derive.realtime import sensitivities

    return sensitivities(recurrence, None if wrt is None else [name.strip() for name in wrt.split(",")])


def by_paths(recurrence: Recurrence, steps: int, wrt: str | None) -> Unfolding:
    """The gradient at one entry over so many steps, path by path. Raises: ValueError where no entry is named."""
    from derive.unfolding.entries import choices
    from derive.unfolding.paths import unfold

    if wrt is None:
        raise ValueError(f"--unfold needs an entry to take the gradient by; add --wrt with one of {', '.join(choices(recurrence))}")
    return unfold(recurrence, steps, wrt)


def _product_form(product: str | None, at: tuple[str, ...], form: str | None, target: Path | None) -> str:
    """The form of a product, which is a recurrence. Raises: ValueError for options that do not go together."""
    if at and product != "gnvp":
        raise ValueError("--at says where network and loss part, for --product gnvp")
    if product == "gnvp" and not at:
        raise ValueError("--product gnvp needs the signal between network and loss; name it, as in --at y")
    wanted = form or (SUFFIXES.get(target.suffix.lower(), "rec") if target else "rec")
    if wanted != "rec":
        raise ValueError(f"a product is written as a recurrence, not as {wanted}; use --format rec")
    return wanted


def by_product(recurrence: Recurrence, product: str, at: tuple[str, ...]) -> str:
    """Derive a product with a direction and write it as a recurrence. Raises: RecurrenceError."""
    from derive.gauss_newton import gauss_newton_product
    from derive.products import hessian_product, jacobian_product

    if product == "gnvp":
        return gauss_newton_product(recurrence, at).to_rec()
    return (jacobian_product if product == "jvp" else hessian_product)(recurrence).to_rec()


def present(derived: Derivation | Unfolding, form: str, on_screen: bool = False) -> str | bytes:
    """Write what was derived in a form; text on a screen fits its width. Raises: RuntimeError and OSError for pdf."""
    import derive.presentation  # noqa: F401  attaches what records can say of themselves

    if form == "text":
        columns = max(NARROW, min(PAGE, width())) if on_screen and is_terminal() else PAGE
        return derived.to_text(columns).rstrip("\n") + "\n"  # type: ignore[union-attr]
    if form == "html":
        return derived.to_html()  # type: ignore[union-attr]
    if form == "rec":
        return derived.to_rec()  # type: ignore[union-attr]
    source = derived.to_latex(document=True)  # type: ignore[union-attr]
    if form == "latex":
        return source
    from codegen.commands.typesetting import typeset

    return typeset(source)
