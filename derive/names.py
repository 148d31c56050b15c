"""Names for generated quantities: readable, stable, and never one that the user has taken."""

from __future__ import annotations

from collections.abc import Iterable

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
