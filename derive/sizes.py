"""Sizes: SymPy expressions in dims -> text as users write it."""

from __future__ import annotations

import sympy as sp
from sympy.printing.str import StrPrinter


class _Sizes(StrPrinter):
    def _print_Pow(self, expr: sp.Pow, **_: object) -> str:
        return "*".join([str(expr.base)] * int(expr.exp))


def size_text(size: sp.Expr) -> str:
    """A size in the recurrence language, powers as products: `n*n`."""
    return str(_Sizes().doprint(size))
