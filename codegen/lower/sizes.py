"""Sizes and numbers: SymPy expressions in dims and T -> sizes and elements."""

from __future__ import annotations

import sympy as sp

from codegen.element import Const, Element, Op, SizeValue, Steps
from codegen.sizes import Size
from derive.arithmetic import Add, Div, Mul, Neg, Pow
from derive.errors import RecurrenceError
from derive.nodes import Node, Number, T


def as_size(value: sp.Expr) -> Size:
    """A polynomial in dims with integer coefficients."""
    terms = []
    for term in sp.Add.make_args(sp.expand(value)):
        coefficient, rest = term.as_coeff_Mul()
        names: list[str] = []
        for factor in sp.Mul.make_args(rest):
            base, exponent = factor.as_base_exp()
            power = base.is_Symbol and exponent.is_Integer and exponent > 0
            if not (coefficient.is_Integer and (power or factor == 1)):
                raise RecurrenceError(f"{value} is not a size", "dims are names, integers, and their sums and products")
            names += [base.name] * int(exponent) if power else []
        if coefficient != 0:
            terms.append((int(coefficient), tuple(sorted(names))))
    return tuple(sorted(terms, key=lambda term: (term[1], term[0])))


def number_of(node: Node) -> sp.Expr | None:
    """The number, in dims and T, that an expression made of numbers alone is; None for all others."""
    if isinstance(node, Number):
        return node.value
    parts = [number_of(arg) for arg in node.operands]
    if not parts or any(part is None for part in parts):
        return None
    match node:
        case Add():
            return sp.Add(*parts)
        case Mul():
            return sp.Mul(*parts)
        case Div():
            return parts[0] / parts[1]
        case Neg():
            return -parts[0]
        case Pow():
            return parts[0] ** node.exponent
    return None


def as_element(value: sp.Expr) -> Element:
    """A number, a size or T as an element."""
    if value.is_Rational:
        return Const(int(value.p), int(value.q))
    if value == T:
        return Steps()
    if not value.has(T) and all(c.is_Integer for c in sp.Add.make_args(value) if c.is_Number):
        return SizeValue(as_size(value))
    if value.is_Add or value.is_Mul:
        return Op("add" if value.is_Add else "mul", tuple(as_element(arg) for arg in value.args))
    raise RecurrenceError(f"{value} is not a number that can be computed")
