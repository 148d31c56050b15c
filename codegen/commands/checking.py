"""`retrograd check`: FILE -> a report on its compiled gradient, compared with numeric differentiation by entries."""

from __future__ import annotations

import click

from codegen.commands.inputs import (
    dtype_option,
    file_argument,
    joined_ranges,
    named_options,
    read_recurrence,
    read_values,
    require_dims,
    size_options,
    value_options,
)
from codegen.commands.terminal import is_terminal, progress, show, width

EXAMPLES = """\b
Examples:
  retrograd check elman
  retrograd check model.rec --dims n=5,m=3 --steps 7 --batch 3
  retrograd check model.rec --range dt=0.1:0.2 --values measured.npz
  retrograd check model.rec --dtype float32 --json > report.json
  retrograd zoo gru | retrograd check -"""


@click.command(epilog=EXAMPLES, short_help="Check the compiled gradient numerically.")
@file_argument
@dtype_option
@size_options(steps="7, or beyond twice the longest lag", batch=3, dims="small and all different")
@value_options
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the values drawn.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def check(
    ctx: click.Context,
    file: str,
    dtype: str,
    dims: dict[str, int],
    steps: int | None,
    batch: int | None,
    ranges: tuple[tuple[str, tuple[float, float]], ...],
    archive: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Compile a recurrence and check its gradient against numeric differentiation.

    FILE is a path, - for standard input, or a stock name. Exit status: 0 passed (also where the verdict is "passed,
    weak"), 1 failed, 2 nothing could be checked: bad input, or values for which a steady state is not found.
    """
    recurrence = read_recurrence(file)
    require_dims(recurrence, dims)
    wanted, values = joined_ranges(ranges), read_values(archive)
    with progress(recurrence.name) as say:
        say("loading SymPy for")
        from codegen.checking import check as check_gradient
        from codegen.driver import compile as compile_kernel

        kernel = compile_kernel(recurrence, dtype, progress=say)
        say("checking")
        with named_options():
            report = check_gradient(recurrence, dtype, dims, steps, batch, seed, kernel, wanted, values)
    if as_json:
        click.echo(report.to_json())
    elif is_terminal():
        show(report.to_table(width()))
    else:
        click.echo(report.to_text())
    ctx.exit(0 if report.passed else 1)
