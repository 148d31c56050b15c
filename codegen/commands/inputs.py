"""Inputs: what stands on the command line -> a Recurrence, sizes of dims, and the options that commands share."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codegen.commands.terminal import note
from derive.files import read_file, stock_names

if TYPE_CHECKING:
    from derive.recurrence import Recurrence

F = TypeVar("F", bound=Callable[..., Any])
STANDARD_INPUT = "-"
MOST_READ = 2**20  # bytes taken from standard input: more than a recurrence may have, so that it is refused as too long


class Dims(click.ParamType):
    """`n=5,m=3` -> {"n": 5, "m": 3}."""

    name = "dims"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int]:
        """Read sizes. Raises: click.BadParameter saying which part is wrong."""
        if isinstance(value, dict):
            return value
        found: dict[str, int] = {}
        for part in value.split(","):
            match = re.fullmatch(r"\s*([^\W\d]\w*)\s*=\s*([0-9]{1,9})\s*", part)
            if match is None:
                self.fail(f"{part.strip()[:80]!r} is not of the form n=5; sizes are written as n=5,m=3", param, ctx)
            name, size = match[1], int(match[2])
            if name in found:
                self.fail(f"{name} is given twice", param, ctx)
            if size < 1:
                self.fail(f"{name} must be at least 1, not {size}", param, ctx)
            found[name] = size
        return found


def file_argument(command: F) -> F:
    """FILE: a path, - for standard input, or a stock name."""
    return click.argument("file", metavar="FILE")(command)


def dtype_option(command: F) -> F:
    """--dtype float32|float64."""
    choice = click.Choice(["float32", "float64"])
    return click.option(
        "--dtype", type=choice, default="float64", show_default=True, help="Type of every number in the kernel."
    )(command)


def size_options(steps: int, batch: int, dims: str) -> Callable[[F], F]:
    """--dims, --steps and --batch, with defaults; `dims` says what sizes are by default."""

    def decorate(command: F) -> F:
        least = click.IntRange(min=1)
        command = click.option("--batch", type=least, default=batch, show_default=True, help="Number of sequences.")(
            command
        )
        command = click.option("--steps", type=least, default=steps, show_default=True, help="Number of steps, T.")(
            command
        )
        return click.option(
            "--dims", type=Dims(), default={}, metavar="n=5,m=3", help=f"Sizes of dims; by default {dims}."
        )(command)

    return decorate


def read_recurrence(reference: str) -> Recurrence:
    """Read FILE; what was inferred in it, and what looks odd, is said on stderr (not for stock recurrences).

    Raises: RecurrenceError; ValueError where the name is empty.
    """
    from derive.language import parse

    if not reference:
        raise ValueError("FILE is empty; give a path, - for standard input, or a stock name")
    if reference == STANDARD_INPUT:
        text, stem, file = sys.stdin.buffer.read(MOST_READ), "recurrence", "<stdin>"
    else:
        text, stem, file = read_file(reference)
    recurrence = parse(text, plain_name(stem), file)
    if reference not in stock_names():
        for remark in recurrence.notes:
            note(remark)
    return recurrence


def require_dims(recurrence: Recurrence, dims: dict[str, int]) -> None:
    """Refuse sizes for dims that the recurrence does not have, before anything is compiled. Raises: ValueError."""
    for name in dims:
        if name not in recurrence.dims:
            raise ValueError(f"{recurrence.name} has no dim {name}; it has {', '.join(recurrence.dims) or 'none'}")


def plain_name(stem: str) -> str:
    """A name of at most 60 letters, digits and _ for what a file holds: generated code and file names carry it."""
    plain = re.sub("[^A-Za-z0-9_]+", "_", stem).strip("_")[:60]
    return plain if plain and not plain[0].isdigit() else f"recurrence_{plain}".strip("_")
