"""What the tests of the command line share: running a command in this process or another, small recurrences."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from codegen.cli import cli

ROOT = Path(__file__).parents[2]
SMALL = """\
x[t]: n
a: n
h[t]: n = tanh(a*h[t-1] + x[t])
E = minimize(sum(norm2(h[t]) for t in steps))
"""


def run(*arguments, given=None):
    """The result of a command in this process: exit_code, stdout, stderr; what is not an exit is raised."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], input=given, prog_name="retrograd")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*arguments, given=None):
    """What a refused command says on stderr; nothing may have reached stdout, and no traceback anything."""
    result = run(*arguments, given=given)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and "Traceback" not in result.stderr
    return result.stderr


def hear_interrupts():
    """For a new process: SIGINT is what it is in a terminal. Shells have programs in the background ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments, **options):
    """A process that runs a command; options as of subprocess.Popen."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "codegen", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options
    )
