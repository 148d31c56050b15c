"""Inputs: what stands on the command line -> a Recurrence, sizes of dims, and the options that commands share."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
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


class Range(click.ParamType):
    """`dt=0.1:0.2` or `dt=0.1` -> ("dt", (0.1, 0.2))."""

    name = "range"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[float, float]]:
        """Read a label and the ends of its range. Raises: click.BadParameter saying what is wrong."""
        if isinstance(value, tuple):
            return value
        label, _, ends = value.rpartition("=")
        try:
            found = tuple(float(end) for end in ends.split(":"))
        except ValueError:
            found = ()
        if not label or len(found) not in (1, 2):
            self.fail(f"{value[:80]!r} is not of the form dt=0.1:0.2, or dt=0.1", param, ctx)
        return label.strip(), (found[0], found[-1])


def value_options(command: F) -> F:
    """--range, which may be repeated, and --values."""
    command = click.option(
        "--values", "archive", type=click.Path(exists=True, dir_okay=False), metavar="FILE.npz",
        help="Arrays by label, taken as they are, with their sizes.",
    )(command)  # fmt: skip
    return click.option(
        "--range", "ranges", type=Range(), multiple=True, metavar="NAME=LOW:HIGH",
        help="Where the values of an argument are drawn from, or its value, NAME=VALUE; may be repeated.",
    )(command)  # fmt: skip


def read_values(archive: str | None) -> dict[str, Any]:
    """The arrays of an archive, without unpickling anything. Raises: click.BadParameter."""
    if archive is None:
        return {}
    import zipfile

    import numpy as np

    try:
        found = np.load(archive, allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found:
                return {label: found[label] for label in found.files}
    except (ValueError, EOFError, zipfile.BadZipFile):
        pass
    raise click.BadParameter(f"{archive} is no .npz archive of numbers, as numpy.savez writes it", param_hint="--values")


def joined_ranges(ranges: tuple[tuple[str, tuple[float, float]], ...]) -> dict[str, tuple[float, float]]:
    """Ranges by label. Raises: click.BadParameter where one is given twice."""
    found: dict[str, tuple[float, float]] = {}
    for label, ends in ranges:
        if label in found:
            raise click.BadParameter(f"{label} is given twice", param_hint="--range")
        found[label] = ends
    return found


@contextlib.contextmanager
def named_options() -> Iterator[None]:
    """Errors of ranges and values, as errors of the options that they come from."""
    from codegen.drawing import WishError

    try:
        yield
    except WishError as error:
        raise click.BadParameter(error.problem, param_hint=f"--{error.option.replace('ranges', 'range')}") from error


def file_argument(command: F) -> F:
    """FILE: a path, - for standard input, or a stock name."""
    return click.argument("file", metavar="FILE")(command)


def dtype_option(command: F) -> F:
    """--dtype float32|float64."""
    choice = click.Choice(["float32", "float64"])
    return click.option(
        "--dtype", type=choice, default="float64", show_default=True, help="Type of every number in the kernel."
    )(command)


def size_options(steps: int | str, batch: int, dims: str) -> Callable[[F], F]:
    """--dims, --steps and --batch, None where not given; steps, batch, dims: what sizes are by default, as shown."""

    def decorate(command: F) -> F:
        least = click.IntRange(min=1)
        for option, what, size in (("--batch", "Number of sequences", batch), ("--steps", "Number of steps, T", steps)):
            text = f"{what}; by default {size}, or as in --values."
            command = click.option(option, type=least, default=None, help=text)(command)
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
