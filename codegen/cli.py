"""Command line: arguments -> a command that runs, and an exit status; whatever it raises -> a message on stderr.

Exit status: 0 done; 1 a check failed; 2 bad input; 70 a fault in retrograd; 130 interrupted. Computes nothing itself:
each command imports what it needs when it runs; help, `zoo`, `cache` and `doctor` load neither SymPy nor Cython.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from codegen.commands.benching import bench
from codegen.commands.caching import cache
from codegen.commands.checking import check
from codegen.commands.deriving import derive
from codegen.commands.doctoring import doctor
from codegen.commands.failures import explain, shown_warnings
from codegen.commands.generating import generate
from codegen.commands.zoo import zoo
from codegen.environment import installed_version

EXAMPLES = """\b
Examples:
  retrograd derive elman                      the derivation as text
  retrograd derive model.rec -o model.pdf     the same, typeset
  retrograd check model.rec --dims n=5,m=3    compile, and check the gradient
  retrograd generate model.rec -o model       a folder that builds without retrograd

\b
FILE is a path, - for standard input, or a stock name (retrograd zoo lists them).
Exit status: 0 done, 1 a check failed, 2 bad input."""


class Commands(click.Group):
    """The commands, in the order of their use; every exception ends in a message and a status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Raises: nothing but click's own ways to end."""
        try:
            with shown_warnings():
                result = super().invoke(ctx)
                sys.stdout.flush()
                return result
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            ctx.exit(explain(error))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands as they were added."""
        return list(self.commands)


def version() -> str:
    """Tell the version that is installed, or that of the checkout which is running."""
    found = installed_version("retrograd")
    if found is None:
        import tomllib

        project = Path(__file__).parent.parent / "pyproject.toml"
        found = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    return str(found)


def _show_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"retrograd {version()}")
        ctx.exit()


@click.group(
    cls=Commands, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli() -> None:
    """Write a recurrence as equations; get its gradient derived, printed and compiled to a checked kernel."""


for command in (derive, generate, check, bench, zoo, doctor, cache):
    cli.add_command(command)


def main() -> None:
    """Run the command line of this process and exit."""
    cli.main(prog_name="retrograd")
