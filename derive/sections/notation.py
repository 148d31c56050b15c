"""Notation: nodes of the calculus -> boxes, in the notation of the field.

`x[t-1]` becomes x(t-1), `W @ x` a product side by side, `a*b` of vectors an elementwise product, `outer(s, x)` the
product with a transpose. Generated quantities that hold a derivative become that derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatchmethod

import sympy as sp

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Abstract, Add, Apply, Div, MatMul, Mul, Neg, Pow, Surrogate, Transpose, Where
from derive.errors import RecurrenceError
from derive.flattening import Kron, Reshape
from derive.functions import FUNCTIONS, ONE_OVER_ROOT_TWO, ONE_OVER_ROOT_TWO_PI, TWO_OVER_ROOT_PI
from derive.nodes import ATOM, POWER, PRODUCT, At, Kind, Node, Number, Pick, Quantity, T, Window, decimal, position_text
from derive.sections.boxes import (
    LAST,
    ONES,
    ZERO,
    Big,
    Box,
    Call,
    Choice,
    Fence,
    Fraction,
    Glyph,
    Listing,
    Name,
    Relation,
    Script,
    circled,
    fenced,
    kronecker,
    operator,
    row,
    terms,
    transposed,
)  # fmt: skip

STEP = Glyph("t", "t")
UNIT = Glyph("e", r"\mathbf{e}")  # the vector with a single one
CONSTANTS = {
    TWO_OVER_ROOT_PI.value: Glyph("(2/√π)", r"\tfrac{2}{\sqrt{\pi}}"),
    ONE_OVER_ROOT_TWO_PI.value: Glyph("(1/√(2π))", r"\tfrac{1}{\sqrt{2\pi}}"),
    ONE_OVER_ROOT_TWO.value: Glyph("(1/√2)", r"\tfrac{1}{\sqrt{2}}"),
}


def sign_text(latex: str) -> str:
    """The same in text: a true minus sign."""
    return latex.replace("-", "−")


def step(lag: int, letter: str = "t") -> Glyph:
    """The step `t + lag`."""
    latex = f"{letter}{lag:+d}" if lag else letter
    return Glyph(sign_text(latex).replace("'", "′"), latex)


def position(pick: Pick) -> Glyph:
    """A fixed position."""
    latex = position_text(pick.from_end, pick.offset)
    return Glyph(sign_text(latex), latex)


def size(expr: sp.Expr) -> Box:
    """A SymPy expression in dims and T."""
    if expr == T:
        return LAST
    if expr.is_Symbol:
        return Name(expr.name)
    if expr in CONSTANTS:
        return CONSTANTS[expr]
    if expr.is_Rational:
        text = decimal(sp.Rational(abs(expr))) if not expr.is_Integer else str(abs(expr))
        held: Box = Glyph(text, text) if text else Fraction(size(sp.Integer(abs(expr.p))), size(sp.Integer(expr.q)))
        return terms((True, held)) if expr < 0 else held
    if expr.is_Add:
        return terms(*((False, size(part)) for part in expr.as_ordered_terms()))
    if expr.is_Mul:
        value, rest = expr.as_coeff_Mul()
        parts = [size(part) for part in rest.as_ordered_factors()]
        product = row(*parts) if abs(value) == 1 else row(size(abs(value)), *parts)
        return terms((True, product)) if value < 0 else product
    if expr.is_Pow:
        return Script(fenced(size(expr.base), ATOM), sup=size(expr.exp))
    raise RecurrenceError(f"no notation for the size {expr}")


def bounds(window: Window) -> tuple[Glyph, Glyph]:
    """The first and the last step of a window."""
    start, stop = window.bounds

    def glyph(from_end: bool, offset: int) -> Glyph:
        latex = position_text(from_end, offset)
        return Glyph(sign_text(latex), latex)

    first = glyph((start or 0) < 0, (start or 0) + 1)
    return first, glyph(stop is None or stop < 0, stop or 0)


def function_sign(name: str) -> Glyph:
    """An elementwise function of the table."""
    return Glyph(name, FUNCTIONS[name].latex or operator(name).latex)


class Notation:
    """Turns nodes into boxes. `derivatives` holds quantities that stand for a derivative: step (or None) -> box."""

    def __init__(
        self, derivatives: Mapping[Quantity, Callable[[Glyph | None], Box]], identity: Name, projector: Name | None = None
    ) -> None:
        self.derivatives, self.identity, self.projector = derivatives, identity, projector

    def read(self, quantity: Quantity, at: Glyph | None = None) -> Box:
        """A quantity, at a step where it is timed."""
        if quantity in self.derivatives:
            return self.derivatives[quantity](at)
        name = Name(quantity.name)
        read = name if at is None else Call(name, (at,))
        return Script(UNIT, sub=read) if quantity.role == "index" else read

    def target(self, target: Quantity | Pick, letter: str = "t") -> Box:
        """What an equation defines."""
        if isinstance(target, Quantity):
            return self.read(target, step(0, letter) if target.kind == Kind.TIMED else None)
        return self.box(target)

    def held(self, node: Node, level: int) -> Box:
        """The box of a node, fenced where its place needs it."""
        return fenced(self.box(node), level)

    def call(self, head: Box, *operands: Node) -> Box:
        """head(operands)."""
        return Call(head, tuple(self.box(operand) for operand in operands))

    def applied(self, node: Apply | Abstract, order: int) -> Box:
        """The sign of an applied elementwise function, with as many primes."""
        name = function_sign(node.name) if isinstance(node, Apply) else Name(node.name)
        return Script(name, sup=Glyph("′" * order, r"\prime" * order)) if order else name

    @singledispatchmethod
    def box(self, node: Node) -> Box:
        """The box of a node. Raises RecurrenceError naming a type without notation."""
        raise RecurrenceError(
            f"no notation for {type(node).__name__}: {node.source()[:80]}", "add it to derive/sections/notation.py"
        )

    @box.register
    def _(self, node: Number) -> Box:
        return size(node.value)

    @box.register
    def _(self, node: Quantity) -> Box:
        return self.read(node)

    @box.register
    def _(self, node: At) -> Box:
        return self.read(node.quantity, step(node.lag))

    @box.register
    def _(self, node: Pick) -> Box:
        return self.read(node.quantity, position(node))

    @box.register
    def _(self, node: Add) -> Box:
        return terms(*((False, self.box(term)) for term in node.args))

    @box.register
    def _(self, node: Neg) -> Box:
        inner = self.box(node.args[0])
        return terms((True, Fence(inner) if len(getattr(inner, "terms", ())) > 1 else inner))

    @box.register
    def _(self, node: Mul) -> Box:
        """Scalars side by side, arrays elementwise, in the order written."""
        groups: list[list[Box]] = [[]]
        previous: Node | None = None
        for factor in node.args:
            if previous is not None and previous.shape and factor.shape:
                groups.append([])
            digits = groups[-1] and isinstance(factor, Number)
            groups[-1] += [Glyph("·", r"\cdot")] * bool(digits) + [self.held(factor, PRODUCT)]
            previous = factor
        return circled(*(row(*group) for group in groups))

    @box.register
    def _(self, node: MatMul) -> Box:
        left, right = (self.box(arg) for arg in node.args)
        return row(fenced(left, PRODUCT), fenced(right, PRODUCT))

    @box.register
    def _(self, node: Div) -> Box:
        return Fraction(self.box(node.args[0]), self.box(node.args[1]))

    @box.register
    def _(self, node: Pow) -> Box:
        return Script(self.held(node.args[0], POWER), sup=size(node.exponent))

    @box.register
    def _(self, node: Apply) -> Box:
        if node.name == "abs":
            return Fence(self.box(node.operands[0]), "||")
        return self.call(function_sign(node.name), *node.operands)

    @box.register
    def _(self, node: Abstract) -> Box:
        return self.call(self.applied(node, node.order), *node.operands)

    @box.register
    def _(self, node: Where) -> Box:
        left, right, then, otherwise = (self.box(arg) for arg in node.operands)
        return Choice(left, node.relation, right, then, otherwise)

    @box.register
    def _(self, node: Surrogate) -> Box:
        return self.call(operator("surrogate"), *node.operands[:2])

    @box.register
    def _(self, node: temporal.StopGradient) -> Box:
        return self.call(operator("stop"), *node.operands)

    @box.register
    def _(self, node: Transpose) -> Box:
        return transposed(self.box(node.args[0]))

    @box.register
    def _(self, node: A.Function) -> Box:
        return self.call(operator(node.name), *node.operands)

    @box.register
    def _(self, node: A.Norm2) -> Box:
        return Script(Fence(self.box(node.args[0]), "‖‖"), sup=Glyph("2", "2"))

    @box.register
    def _(self, node: A.Dot) -> Box:
        return row(self._across(node.args[0]), self.held(node.args[1], PRODUCT))

    @box.register
    def _(self, node: A.Outer) -> Box:
        return row(self.held(node.args[0], PRODUCT), transposed(self.box(node.args[1])))

    def _across(self, node: Node) -> Box:
        return transposed(self.box(node)) if len(node.shape) == 1 else self.call(operator("vec"), node)

    @box.register
    def _(self, node: A.CrossEntropy) -> Box:
        return terms((True, row(self._across(node.args[0]), self.call(function_sign("log"), node.args[1]))))

    @box.register
    def _(self, node: A.Concat) -> Box:
        return Fence(Listing(tuple(self.box(arg) for arg in node.args), ";"), "[]")

    @box.register
    def _(self, node: A.Filled) -> Box:
        return {A.Zeros: ZERO, A.Ones: ONES}.get(type(node), self.identity)

    @box.register
    def _(self, node: A.Slice) -> Box:
        axes = tuple(
            Listing(tuple(size(part) for part in axis), ":") if len(axis) == 2 else size(axis[0]) for axis in node.spec
        )
        return Script(
            Fence(self.box(node.args[0]), "()") if not self._plain(node.args[0]) else self.box(node.args[0]),
            sub=Listing(axes, ","),
        )

    def _plain(self, node: Node) -> bool:
        return isinstance(self.box(node), (Name, Call))

    @box.register
    def _(self, node: Kron) -> Box:
        return kronecker(*(transposed(self.box(arg)) if len(arg.shape) == 1 else self.box(arg) for arg in node.args))

    @box.register
    def _(self, node: Reshape) -> Box:
        """Rows are laid one after the other: vec of a matrix, and back."""
        shape = Listing(tuple(size(part) for part in node.shape), "×")
        return self.call(operator("vec") if len(node.shape) == 1 else Script(operator("mat"), sub=shape), node.args[0])

    @box.register
    def _(self, node: A.Pad) -> Box:
        return Call(operator("pad"), (self.box(node.args[0]), *(size(part) for axis in node.spec for part in axis)))

    @box.register
    def _(self, node: A.Project) -> Box:
        head = self.projector or operator("project")
        return Script(Call(head, tuple(self.box(value) for value in node.operands)), sub=Name(node.name))

    @box.register(temporal.Each)
    @box.register(temporal.Argument)
    def _(self, node: Node) -> Box:
        return self.box(node.args[0])

    @box.register
    def _(self, node: temporal.TimeSum) -> Box:
        first, last = bounds(node.window)
        body = self.held(node.args[0], PRODUCT)
        if node.window.full:
            return Big(STEP, None, body)
        return Big(Listing((STEP, first), "="), last, body)

    @box.register
    def _(self, node: temporal.Within) -> Box:
        first, last = bounds(node.window)
        inside = Relation(STEP, "=", first) if first == last else Relation(first, "≤", Relation(STEP, "≤", last))
        return row(Fence(inside, "[]"), self.held(node.args[0], PRODUCT))
