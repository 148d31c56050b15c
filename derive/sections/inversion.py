"""Sections 3 and 4: input as a function of output, and its Jacobian. System -> drafts."""

from __future__ import annotations

import sympy as sp

from derive.arithmetic import Apply
from derive.functions import FUNCTIONS
from derive.nodes import At, Pick, quantity_of, replace
from derive.recurrence import reads
from derive.sections.boxes import (
    Box,
    Call,
    Fence,
    Fraction,
    Glyph,
    Listing,
    Partial,
    Script,
    fenced,
    inverse,
    operator,
    row,
    terms,
    with_index,
)  # fmt: skip
from derive.sections.draft import Draft, draft
from derive.sections.jacobian import Leaf, component, diagonal, jacobian
from derive.sections.notation import function_sign, position, size, step
from derive.sections.system import Cell, System

Entry = tuple[bool, Leaf | None, Box]
PRIMED = "t'"
FUNCTION_OF = "a unique function of the input"


def index_form(system: System, cell: Cell) -> bool:
    """Whether the cell is written with indices too: where it is the whole system, and a vector."""
    return len(system.cells) == 1 and len(cell.value.shape) == 1 and cell.form == "inverse"


def applied(system: System, cell: Cell, order: int = 0) -> Box:
    """φ or a derivative of it."""
    return system.notation.applied(cell.function, order)  # type: ignore[arg-type]


def with_bias(system: System, cell: Cell) -> Box:
    """φ(F + b)."""
    inside = system.argument(cell)
    return Call(applied(system, cell), (inside,)) if cell.function is not None else inside


def inversion(system: System) -> list[Draft]:
    """For each cell the bias that makes a given output a solution."""
    lines: list[Draft] = []
    for cell in system.cells:
        if cell.timed or not cell.own:
            lines.append(_imaginary(system, cell))
        lines += _inverted(system, cell)
    return lines


def _imaginary(system: System, cell: Cell) -> Draft:
    bias = system.bias(cell)
    because: tuple[str | Box, ...] = (
        "An imaginary bias ",
        bias,
        " is added, inside the nonlinearity; in the model it is zero.",
    )
    if cell.own:
        because = (
            "The model has one bias ",
            cell.bias,
            "; the imaginary ",
            bias,
            " may differ from step to step, and equals it in the model.",
        )
    elif cell.function is None:
        because = ("An imaginary bias ", bias, " is added; in the model it is zero.")
    return draft(3, "imaginary bias", system.value(cell), with_bias(system, cell), because=because, source="seung2005")


def _inverted(system: System, cell: Cell) -> list[Draft]:
    rest, bias = system.sum(cell.rest), system.bias(cell)
    minus = ((True, rest),) if cell.rest else ()
    what = "trajectory" if cell.timed else "state"
    unique = f"The bias that makes a given {what} a solution; it is unique, even where the output is not {FUNCTION_OF}."
    rule_name, key = "input as a function of output", "seung2005"
    if cell.form == "plain":
        return [draft(3, rule_name, bias, terms((False, system.value(cell)), *minus), because=unique, source=key)]
    if cell.form == "slope":
        pre = system.notation.target(cell.unknown)
        head = applied(system, cell)
        because = (
            head,
            " has no inverse: the pre-activation ",
            pre,
            " itself is taken as the unknown, and no inverse is needed.",
        )
        known = draft(3, "no inverse", system.value(cell), Call(head, (pre,)), because=because)
        return [known, draft(3, rule_name, bias, terms((False, pre), *minus), because=unique, source=key)]
    head = inverse(applied(system, cell))
    lines = [
        draft(3, rule_name, bias, terms((False, Call(head, (system.value(cell),))), *minus), because=unique, source=key)
    ]
    if index_form(system, cell):
        i, j = system.row_index, system.column_index
        parts = [(not negative, component(system.notation, node, i, j)) for negative, node in cell.rest]
        if all(part is not None for _, part in parts):
            right = terms((False, Call(head, (with_index(system.value(cell), i),))), *parts)  # type: ignore[arg-type]
            lines.append(
                draft(3, rule_name, with_index(bias, i), right, because="The same for each component.", source=key)
            )
    if isinstance(cell.function, Apply):
        lines.append(_inverse_function(system, cell, head))
    return lines


def _inverse_function(system: System, cell: Cell, head: Box) -> Draft:
    value = system.value(cell)
    formula = FUNCTIONS[cell.function.name].inverse(sp.Symbol("y"))  # type: ignore[union-attr, misc]
    return draft(
        3,
        "inverse function",
        Call(head, (value,)),
        _scalar(formula, value),
        because="Elementwise, within the range of the function.",
    )


def _scalar(expr: sp.Expr, value: Box) -> Box:
    """A SymPy expression in the one symbol that stands for the value."""
    if expr.is_Symbol:
        return value
    if isinstance(expr, sp.Function):
        names = {sp.log: "log", sp.exp: "exp", sp.tan: "tan"}
        known = (
            function_sign(names[expr.func])
            if names.get(expr.func) in FUNCTIONS
            else operator(names.get(expr.func, f"ar{expr.func.__name__[1:]}"))
        )
        return Call(
            known if expr.func is not sp.erfinv else Script(function_sign("erf"), sup=Glyph("⁻¹", "-1")),
            (_scalar(expr.args[0], value),),
        )
    if expr.is_Add:
        return terms(
            *(
                (False, _scalar(part, value))
                for part in sorted(expr.args, key=lambda part: (part.could_extract_minus_sign(), str(part)))
            )
        )
    if expr.is_Mul or expr.is_Pow:
        top, bottom = expr.as_numer_denom()
        if bottom != 1:
            return Fraction(_scalar(top, value), _scalar(bottom, value))
    if expr.is_Mul:
        sign, rest = expr.as_coeff_Mul()
        return terms((True, _scalar(rest, value))) if sign == -1 else row(size(sign), _scalar(rest, value))
    if expr.is_Pow:
        return Script(fenced(_scalar(expr.base, value), 4), sup=size(expr.exp))
    return size(expr)


# -- section 4


def slopes_line(system: System, cell: Cell) -> Draft:
    """D = diag φ'(F + b), and through the output where the function's slope is known."""
    vector = len(cell.value.shape) == 1
    shaped = diagonal if vector else (lambda box: box)
    after = [shaped(Call(applied(system, cell, 1), (system.argument(cell),)))]
    if isinstance(cell.function, Apply):
        here = At(cell.value, 0) if cell.timed else cell.value
        (slope,) = FUNCTIONS[cell.function.name].slopes
        value = replace(slope(cell.function.operands, here), {cell.function: here})
        after.append(shaped(system.notation.box(value)))
    name = system.at(cell.slopes, cell)  # type: ignore[arg-type]
    because = "The slopes of the nonlinearity, on the diagonal." if vector else "The slopes of the nonlinearity."
    return draft(4, "slopes", name, *after, because=because, source="seung2005")


def own_block(system: System, cell: Cell, letter: str = "t") -> Box:
    """The derivative of the bias by the cell's unknown at the same step: D⁻¹ or I."""
    if cell.form == "inverse":
        return inverse(system.at(cell.slopes, cell, 0, letter))  # type: ignore[arg-type]
    return system.notation.identity if cell.value.shape else Glyph("1", "1")


def entries(system: System, cell: Cell, other: Cell) -> list[Entry]:
    """The terms of ∂b/∂u: sign, the read they come from (None for the cell's own value) and matrix."""
    found: list[Entry] = [(False, None, own_block(system, cell))] if cell is other else []
    for negative, node in cell.rest:
        for leaf in dict.fromkeys(reads(node)):
            if quantity_of(leaf) != other.value:
                continue
            products = jacobian(system.notation, node, leaf)
            if products is None:
                fallback = Partial(Fence(system.notation.box(node)), system.notation.box(leaf))
                products = [(False, (fallback,))]
            for sign, factors in products:
                found.append((negative == sign, leaf, _matrix(system, other, leaf, factors)))
    return found


def _matrix(system: System, other: Cell, leaf: Leaf, factors: tuple[Box, ...]) -> Box:
    if other.form == "slope":
        at = step(leaf.lag) if isinstance(leaf, At) else (position(leaf) if isinstance(leaf, Pick) else None)
        factors = (*factors, other.slopes if at is None else Call(other.slopes, (at,)))  # type: ignore[arg-type]
    return row(*factors) if factors else (system.notation.identity if other.value.shape else Glyph("1", "1"))


def kronecker(system: System, leaf: Leaf | None) -> Box:
    """δ between the step that a read falls on and t'."""
    primed = step(0, PRIMED)
    if leaf is None or (isinstance(leaf, At) and not leaf.lag):
        return Script(system.delta, sub=Listing((step(0), primed), ""))
    return Script(system.delta, sub=Listing((step(leaf.lag) if isinstance(leaf, At) else position(leaf), primed), ","))  # type: ignore[arg-type]


def placed(system: System, found: list[Entry], timed: bool) -> Box:
    """The block as a sum; with steps, every term has its δ."""
    parts = []
    for negative, leaf, matrix in found:
        now = leaf is None or (isinstance(leaf, At) and not leaf.lag)
        if timed:
            matrix = row(kronecker(system, leaf), matrix) if now else row(matrix, kronecker(system, leaf))
        parts.append((negative, matrix))
    return terms(*parts)


def blocks_of_jacobian(system: System) -> list[Draft]:
    """∂b/∂v for every pair of cells where it is not zero, with indices where there is one cell, and the slopes."""
    lines: list[Draft] = []
    for cell in system.cells:
        if index_form(system, cell):
            lines += _indexed(system, cell)
        for other in system.cells:
            found = entries(system, cell, other)
            if found:
                lines.append(_block(system, cell, other, found))
        if cell.function is not None:
            lines.append(slopes_line(system, cell))
    return lines


def _block(system: System, cell: Cell, other: Cell, found: list[Entry]) -> Draft:
    both = cell.timed and other.timed
    letter = PRIMED if both or (other.timed and not cell.timed) else "t"
    left = Partial(system.bias(cell), system.notation.target(other.unknown, letter))
    because = "A block of the Jacobian of input by output"
    if cell is other and cell.form == "inverse":
        because += "; the slope of an inverse is the inverse of the slope"
    return draft(4, "Jacobian", left, placed(system, found, both), because=because + ".", source="seung2005")


def _indexed(system: System, cell: Cell) -> list[Draft]:
    i, j = system.row_index, system.column_index
    found = entries(system, cell, cell)
    left = Partial(with_index(system.bias(cell), i), with_index(system.notation.target(cell.unknown, PRIMED), j))
    matrices = [(negative, leaf, with_index(matrix, i, j)) for negative, leaf, matrix in found]
    if cell.timed:
        right = (placed(system, matrices, True),)
    else:
        slope = Script(applied(system, cell), sup=Glyph("⁻¹′", r"-1\,\prime"))
        own = row(Call(slope, (with_index(system.value(cell), i),)), Script(system.delta, sub=Listing((i, j), "")))
        whole = terms(*((negative, matrix) for negative, _, matrix in found))
        right = (
            terms((False, own), *((negative, matrix) for negative, _, matrix in matrices[1:])),
            with_index(whole, i, j),
        )  # type: ignore[assignment]
    because = "Differentiated component by component; the slope of an inverse is the inverse of the slope."
    return [draft(4, "Jacobian", left, *right, because=because, source="seung2005")]
