"""Sizes: polynomials in dims -> texts of a reference, in names of dims; sums and differences of them."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.sizes import Size

LEAD = ("", "B", "T, B")  # the axes of rows, by how many there are


def size_text(size: Size) -> str:
    """A size in names of dims."""
    terms = []
    for coefficient, names in size:
        factors = [f"size_{name}" for name in names]
        terms.append("*".join(factors if coefficient == 1 and factors else [str(coefficient), *factors]))
    return " + ".join(terms).replace("+ -", "- ") or "0"


def sizes_text(sizes: Sequence[Size], lead: int = 0) -> str:
    """The inside of a tuple of sizes, after axes of rows."""
    parts = [*filter(None, LEAD[lead].split(", ")), *map(size_text, sizes)]
    return ", ".join(parts) + ("," if len(parts) == 1 else "")


def added(first: Size, second: Size) -> Size:
    """The sum of two sizes, terms that cancel left out."""
    found: dict[tuple[str, ...], int] = {}
    for coefficient, names in (*first, *second):
        found[names] = found.get(names, 0) + coefficient
    return tuple((coefficient, names) for names, coefficient in sorted(found.items()) if coefficient)


def difference(first: Size, second: Size) -> Size:
    """The first size less the second."""
    return added(first, tuple((-coefficient, names) for coefficient, names in second))
