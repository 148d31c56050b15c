"""Files: the text of a stock recurrence or of a path. Imports nothing heavy, so that cached kernels can be found without parsing."""

from __future__ import annotations

import difflib
from pathlib import Path

from derive.errors import RecurrenceError

MAX_BYTES = 64 * 1024  # of text from users
ZOO = Path(__file__).parent / "zoo"


def stock_names() -> list[str]:
    """Names of the stock recurrences, sorted."""
    return sorted(path.stem for path in ZOO.glob("*.rec"))


def read_file(reference: str | Path) -> tuple[bytes, str, str]:
    """The text, name and file name of a stock recurrence or of a path.

    Raises: RecurrenceError where there is no such file.
    """
    stock = ZOO / f"{reference}.rec"
    path = stock if str(reference).isidentifier() and stock.is_file() else Path(reference)
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1), path.stem, path.name if path is stock else str(reference)
    except (OSError, ValueError) as error:
        known = stock_names()
        near = difflib.get_close_matches(str(reference), known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        reason = getattr(error, "strerror", None) or "cannot be read"
        raise RecurrenceError(
            f"{reference}: {reason}", f"{hint}stock recurrences are {', '.join(known)}; anything else is a path"
        ) from None
