"""`retrograd generate`: FILE -> a folder that builds without retrograd."""

from __future__ import annotations

from pathlib import Path

import click

from codegen.commands.inputs import dtype_option, file_argument, read_recurrence
from codegen.commands.terminal import note, progress

EXAMPLES = """\b
Examples:
  retrograd generate elman -o elman
  retrograd generate model.rec -o build/model --dtype float32
  pip install ./elman && python elman/test_gradient.py"""


@click.command(epilog=EXAMPLES)
@file_argument
@click.option(
    "-o",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to write.",
)
@dtype_option
def generate(file: str, folder: Path, dtype: str) -> None:
    """Write a folder that builds without retrograd.

    It holds the Cython source, a Python package with forward, backward and value_and_grad, the gradient as a recurrence
    file, and a test against finite differences. FILE is a path, - for standard input, or a stock name.
    """
    recurrence = read_recurrence(file)
    with progress(recurrence.name) as say:
        say("generating")
        from codegen.standalone import generate as write_folder

        written = write_folder(recurrence, folder, dtype)
    for path in written:
        click.echo(str(path))
    note(f"build it with: pip install {folder}")
