"""Failures: an exception or a warning -> a message on stderr, and for exceptions the exit status."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator

import click

BAD_INPUT = 2
FAULT = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # as a shell reports a process ended by SIGINT
CLOSED = 141  # as a shell reports a process ended by SIGPIPE


def explain(error: BaseException) -> int:
    """Say on stderr what went wrong; the exit status.

    With RETROGRAD_DEBUG=1 the traceback comes first. A reader of stdout that has gone away is no failure to speak of.
    """
    if isinstance(error, BrokenPipeError):
        _discard_output()
        return CLOSED
    if os.environ.get("RETROGRAD_DEBUG") == "1":
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if isinstance(error, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    message = _message(error)
    if message is not None:
        # A message that begins with file and line is left as it is: editors look for that form.
        click.echo(message, err=True) if getattr(error, "where", None) else say("error", message)
        return BAD_INPUT
    first = (str(error).splitlines() or [""])[0]
    click.echo(
        f"retrograd met something unexpected ({type(error).__name__}: {first}); "
        "please report it, with the traceback that RETROGRAD_DEBUG=1 shows",
        err=True,
    )
    return FAULT


def say(kind: str, message: str) -> None:
    """Write `error: …` or `warning: …` to stderr, in colour on a terminal unless NO_COLOR is set."""
    colored = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    head = click.style(f"{kind}:", fg="red" if kind == "error" else "yellow", bold=True) if colored else f"{kind}:"
    click.echo(f"{head} {message}", err=True, color=colored)


@contextlib.contextmanager
def shown_warnings() -> Iterator[None]:
    """Show our own warnings as one line each, and each once; others only with RETROGRAD_DEBUG=1."""
    said: set[str] = set()
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: object) -> None:
            text = str(message)
            if category.__module__.startswith(("codegen.", "derive.")):
                if text not in said:
                    said.add(text)
                    say("warning", text)
            elif os.environ.get("RETROGRAD_DEBUG") == "1":
                shown(message, category, filename, lineno)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _message(error: BaseException) -> str | None:
    """What is wrong with the input; None where the fault is ours."""
    from codegen.convergence import ConvergenceError
    from codegen.loading import BuildError

    if isinstance(error, UnicodeEncodeError):
        wrong = f"{error.encoding} cannot write {error.object[error.start]!r}"
        return f"{wrong}; set PYTHONIOENCODING=utf-8, or write to a file with -o"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory: {str(error) or 'the sizes are too large'}; give smaller --dims, --steps or --batch"
    if isinstance(error, ConvergenceError):
        return f"{error}\n  so nothing was compared; `retrograd check --seed 1` draws other values"
    return str(error) if isinstance(error, (ValueError, TypeError, BuildError, OSError)) else None


def _discard_output() -> None:
    # Python flushes stdout once more at exit, and would complain.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
