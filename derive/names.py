"""Names for generated quantities: readable, stable, and never one that the user has taken."""

from __future__ import annotations

from collections.abc import Iterable

from derive.nodes import Pick, Quantity
from derive.reserved import RESERVED


class Names:
    """Hands out names that are still free; the same requests in the same order give the same names."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = {*taken, *RESERVED}

    def fresh(self, *wishes: str) -> str:
        """The first wish that is free, else the last with the first number from 2 that makes it free."""
        for wish in wishes:
            if wish not in self.taken:
                return self._take(wish)
        stem = wishes[-1][:60]
        return self._take(next(f"{stem}{n}" for n in range(2, 10**6) if f"{stem}{n}" not in self.taken))

    def _take(self, name: str) -> str:
        if len(name) > 64:
            return self.fresh(name[:56] + "_")
        self.taken.add(name)
        return name


def taken_by(recurrence: object) -> set[str]:
    """Every name a recurrence uses: quantities, functions and dims."""
    return {*recurrence.named, *recurrence.functions, *recurrence.dims}  # type: ignore[attr-defined]


def root(target: Quantity | Pick) -> str:
    """How generated names for a target begin: `h`; `h_init` for h[0], `h_init2` for h[-1], `g_final` for g[T+1]."""
    if isinstance(target, Quantity):
        return target.name
    number = target.offset if target.from_end else 1 - target.offset
    return f"{target.quantity.name}_{'final' if target.from_end else 'init'}{number if number > 1 else ''}"
