"""Forms: a constraint -> what it says of a parameter's directions, where a table knows a closed form of their projection.

Only the part of a constraint that is linear in parameters decides which directions it allows. That part is written as
a sum of atoms with rational coefficients and compared with the rows of `PATTERNS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp

from derive import arrays as A
from derive.arithmetic import Add, Div, MatMul, Mul, Neg, Transpose, Where, is_rational
from derive.linearity import reads_unknown
from derive.nodes import Node, Number, Quantity
from derive.recurrence import Constraint
from derive.rules import rule, transpose

Form = Mapping[Node, sp.Rational]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A row: its name; matched: the form of a constraint and the parameter -> what the projection needs, or None.

    project: (the gradient, what was matched) -> its projection; because: why that is the projection.
    """

    name: str
    match: Callable[[Form, Quantity], Node | None]
    project: Callable[[Node, Node], Node]
    because: str


def linear_form(constraint: Constraint, unknown: set[Quantity]) -> dict[Node, sp.Rational]:
    """The part of left - right in which the unknowns enter, as atoms with coefficients; what cancels is left out."""
    found: dict[Node, sp.Rational] = {}
    _collect(constraint.left, sp.S.One, unknown, found)
    _collect(constraint.right, sp.S.NegativeOne, unknown, found)
    return {atom: coefficient for atom, coefficient in found.items() if coefficient}


def _collect(node: Node, factor: sp.Rational, unknown: set[Quantity], found: dict[Node, sp.Rational]) -> None:
    if not reads_unknown(node, unknown):  # type: ignore[arg-type]
        return
    match node:
        case Add():
            for term in node.args:
                _collect(term, factor, unknown, found)
        case Neg():
            _collect(node.args[0], -factor, unknown, found)
        case Div() if is_rational(node.args[1]) and node.args[1].value:
            _collect(node.args[0], factor / node.args[1].value, unknown, found)
        case Mul():
            numbers = [part for part in node.args if is_rational(part)]
            others = sorted((part for part in node.args if part not in numbers), key=lambda part: not reads_unknown(part, unknown))  # type: ignore[arg-type]
            factor = sp.Mul(factor, *(part.value for part in numbers))
            if len(others) == 1:
                _collect(others[0], factor, unknown, found)
            else:
                _add(found, Mul(*others), factor)
        case Transpose() | A.Sum() | A.Mean() | A.Diag():
            _collect_inside(node, factor, unknown, found)
        case _:
            _add(found, node, factor)


def _collect_inside(node: Node, factor: sp.Rational, unknown: set[Quantity], found: dict[Node, sp.Rational]) -> None:
    """A linear function of a sum, term by term; not of terms that are spread over a larger shape."""
    inner: dict[Node, sp.Rational] = {}
    (operand,) = node.operands
    _collect(operand, factor, unknown, inner)
    if any(atom.shape != operand.shape for atom in inner):
        _add(found, node, factor)
        return
    for atom, coefficient in inner.items():
        bare = atom.args[0] if isinstance(atom, Transpose) and not isinstance(node, Transpose) else atom
        _add(found, transpose(atom) if isinstance(node, Transpose) else node.func(bare), coefficient)


def _add(found: dict[Node, sp.Rational], atom: Node, coefficient: sp.Rational) -> None:
    found[atom] = found.get(atom, sp.S.Zero) + coefficient


# -- what single constraints on one parameter say


def _only(form: Form) -> Node | None:
    return next(iter(form)) if len(form) == 1 else None


def _fixed(form: Form, w: Quantity) -> Node | None:
    return w if _only(form) in (w, Transpose(w) if len(w.shape) == 2 else w) else None


def _mirrored(form: Form, w: Quantity, sign: int) -> Node | None:
    if len(w.shape) != 2 or form.keys() != {w, Transpose(w)}:
        return None
    return w if form[w] == sign * form[Transpose(w)] else None


def _diagonal(form: Form, w: Quantity) -> Node | None:
    return A.Diag(w) if len(w.shape) == 2 and isinstance(atom := _only(form), A.Diag) and atom.args[0] == w else None


def _selected(form: Form, w: Quantity) -> Node | None:
    return atom if isinstance(atom := _only(form), A.Slice) and atom.args[0] == w else None


def _mask(form: Form, w: Quantity) -> Node | None:
    atom = _only(form)
    if not isinstance(atom, Mul) or atom.args[0] != w or atom.shape != w.shape:
        return None
    return atom.args[1] if len(atom.args) == 2 else Mul(*atom.args[1:])


def _dot(form: Form, w: Quantity) -> Node | None:
    atom = _only(form)
    if not isinstance(atom, A.Dot) or w not in atom.args or atom.args[0] == atom.args[1]:
        return None
    return atom.args[1] if atom.args[0] == w else atom.args[0]


def _product(form: Form, matrix: Node) -> Node | None:
    atom = _only(form)
    return atom.args[1] if isinstance(atom, MatMul) and atom.args[0] == matrix and len(atom.shape) == 1 else None


def _without(g: Node, atom: Node) -> Node:
    """G less the components that a selection takes: the selection times its transpose is the identity."""
    selected = atom.func(g, *atom.args[1:])
    ((_, placed),) = rule(atom).adjoint(atom, selected)
    return Add(g, Neg(placed))


def _square(a: Node) -> Node:
    """The sum of squares to divide by, or 1 where it is zero, so that a vector of zeros takes nothing away."""
    if isinstance(a, A.Ones):
        return Number(sp.Mul(*a.shape))
    return Where(">", A.Norm2(a), Number(0), A.Norm2(a), Number(1))


PATTERNS = (
    Pattern("fixed", _fixed, lambda g, _: A.filled(Number(0), g.shape), "The parameter is fixed, so no change of it is allowed."),
    Pattern(
        "symmetric",
        lambda form, w: _mirrored(form, w, -1),
        lambda g, _: Div(Add(g, transpose(g)), Number(2)),
        "The nearest symmetric matrix is the mean of a matrix and its transpose.",
    ),
    Pattern(
        "antisymmetric",
        lambda form, w: _mirrored(form, w, 1),
        lambda g, _: Div(Add(g, Neg(transpose(g))), Number(2)),
        "The nearest antisymmetric matrix is half the difference of a matrix and its transpose.",
    ),
    Pattern("diagonal", _diagonal, _without, "The diagonal is fixed, and all other components are free."),
    Pattern("selected", _selected, _without, "These components are fixed, and all others are free."),
    Pattern(
        "masked",
        _mask,
        lambda g, mask: Where("!=", mask, Number(0), Number(0), g),
        "Components are fixed where the factor is not zero, and free where it is.",
    ),
    Pattern(
        "summed",
        lambda form, w: w if _only(form) in (A.Sum(w), A.Mean(w)) else None,
        lambda g, _: Add(g, Neg(A.Mean(g))),
        "The sum stays as it is when the mean is taken off every component.",
    ),
    Pattern(
        "dotted",
        _dot,
        lambda g, a: Add(g, Neg(Mul(Div(A.Dot(a, g), _square(a)), a))),
        "What lies along the constant vector is taken away.",
    ),
    Pattern(
        "rows",
        _product,
        lambda g, a: Add(g, Neg(A.Outer(Div(MatMul(g, a), _square(a)), a))),
        "What lies along the constant vector is taken away from every row.",
    ),
    Pattern(
        "columns",
        lambda form, w: _product(form, Transpose(w)) if len(w.shape) == 2 else None,
        lambda g, a: Add(g, Neg(A.Outer(a, Div(MatMul(Transpose(g), a), _square(a))))),
        "What lies along the constant vector is taken away from every column.",
    ),
)

# Projections of one family commute, so their product, in any order, projects onto what all of them allow.
COMMUTING = (
    frozenset({"diagonal", "selected", "masked"}),  # each keeps some components and sets the others to zero
    frozenset({"symmetric", "antisymmetric", "diagonal"}),  # a transposition keeps the diagonal in its place
    frozenset({"symmetric", "antisymmetric", "summed"}),  # and the matrix of ones
)


def commute(first: str, second: str) -> bool:
    """Whether the projections of two patterns commute, whatever was matched."""
    return any({first, second} <= family for family in COMMUTING)


def find_pattern(form: Form, w: Quantity) -> tuple[Pattern, Node] | None:
    """The row that knows the constraint's projection, and what was matched; nothing where there is none."""
    for pattern in PATTERNS:
        matched = pattern.match(form, w)
        if matched is not None:
            return pattern, matched
    return None
