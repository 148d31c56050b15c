"""The calculus' nodes: base class, quantities and reads.

Input: names, shapes and kinds. Output: immutable trees over SymPy's `Basic` that keep the order in which they were written. Every
node knows its shape (a tuple of SymPy integers, symbols and their sums and products) and its kind, rebuilds
(`node.func(*node.args) == node`) and writes itself in the recurrence language (`node.source()`).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from fractions import Fraction

import sympy as sp
from sympy.core.symbol import Str

from derive.errors import ShapeError
from derive.sizes import size_text

Shape = tuple[sp.Expr, ...]

T = sp.Symbol("T", integer=True, nonnegative=True)

# How tightly a form binds when written as text.
SUM, PRODUCT, UNARY, POWER, ATOM = range(5)


class Kind(IntEnum):
    """What a value has one of: all sequences together, each sequence, each step of each sequence."""

    SHARED = 0
    SEQUENCE = 1
    TIMED = 2


def dim(name: str) -> sp.Symbol:
    """The dimension of that name."""
    return sp.Symbol(name, integer=True, positive=True)


def shape_text(shape: Shape) -> str:
    """A shape as users write it: `scalar`, `(n)`, `(n, m)`."""
    return f"({', '.join(map(size_text, shape))})" if shape else "scalar"


class Node(sp.Basic):
    """An expression of the calculus. `shape` and `kind` are set once, by the class' rule `infer`."""

    precedence = ATOM

    def __new__(cls, *args: sp.Basic) -> Node:
        """Build the node and infer its shape and kind; raises ShapeError where operands do not fit."""
        node = sp.Basic.__new__(cls, *args)
        node.shape, node.kind = node.infer()
        return node

    def infer(self) -> tuple[Shape, Kind]:
        """The rule of the class: its shape and kind from its operands."""
        raise NotImplementedError

    def text(self) -> str:
        """The node in the recurrence language, without outer parentheses."""
        raise NotImplementedError

    def source(self, within: int = SUM) -> str:
        """The node in the recurrence language, in parentheses where it binds more loosely than its place allows."""
        return f"({self.text()})" if self.precedence < within else self.text()

    @property
    def operands(self) -> tuple[Node, ...]:
        """The arguments that are expressions."""
        return tuple(arg for arg in self.args if isinstance(arg, Node))

    def _sympystr(self, printer: object) -> str:
        return self.text()

    def _latex(self, printer: object, **_: object) -> str:
        return rf"\mathtt{{{self.text()}}}"


def walk(node: Node) -> Iterator[Node]:
    """Every node of a tree, parents before children, left to right."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(top.operands))


def replace(node: Node, rule: dict[Node, Node]) -> Node:
    """The tree with every occurrence of a key replaced by its value (parents first)."""
    if node in rule:
        return rule[node]
    if not node.operands:
        return node
    return node.func(*(replace(arg, rule) if isinstance(arg, Node) else arg for arg in node.args))


class Number(Node):
    """An exact number, a dimension as a number, or T (the number of steps of each sequence)."""

    def __new__(cls, value: sp.Expr | int | Fraction) -> Number:
        """Build from an int, a Fraction or a SymPy expression in dims and T."""
        if isinstance(value, Fraction):
            value = sp.Rational(value.numerator, value.denominator)
        return super().__new__(cls, sp.Integer(value) if isinstance(value, int) else value)

    @property
    def value(self) -> sp.Expr:
        """The SymPy number or expression in dims and T."""
        return self.args[0]

    @property
    def precedence(self) -> int:  # type: ignore[override]
        """Fractions and negative numbers are written as divisions and negations."""
        if not self.value.is_Rational:
            if self.value.is_Pow and self.value.exp.is_positive:
                return POWER
            return ATOM if self.value.is_Symbol else (SUM if self.value.is_Add else PRODUCT)
        if self.value < 0:
            return UNARY
        return ATOM if self.value.is_Integer or decimal(self.value) else PRODUCT

    def infer(self) -> tuple[Shape, Kind]:
        """A scalar; T differs between sequences."""
        return (), Kind.SEQUENCE if self.value.has(T) else Kind.SHARED

    def text(self) -> str:
        """Integers and finite decimals as such, other fractions as a division."""
        if self.value.is_Integer:
            return whole(int(self.value))
        if self.value.is_Rational:
            return decimal(self.value) or f"{whole(int(self.value.p))}/{whole(int(self.value.q))}"
        return str(self.value)


def whole(value: int) -> str:
    """An integer as a literal; large ones are written as decimals, which have no limit."""
    return str(value) if abs(value) < 10**6 else f"{value}.0"


def decimal(value: sp.Rational) -> str:
    """A fraction as an exact decimal, or nothing where it has none of at most 60 digits."""
    rest, twos, fives = int(value.q), 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places > 60:
        return ""
    digits = str(abs(int(value.p)) * 10**places // int(value.q)).rjust(places + 1, "0")
    whole, part = (digits[:-places], digits[-places:]) if places else (digits, "")
    return ("-" if value < 0 else "") + whole + (f".{part}" if part else "")


class Quantity(Node):
    """A named quantity: input, parameter, constant, signal, derived quantity or total.

    As an expression it stands for its value, which a timed quantity has only at a step (`At`, `Pick`).
    """

    def __new__(cls, name: Str | str, role: Str | str, shape: Shape | sp.Tuple, kind: int) -> Quantity:
        """Build from a checked ASCII name, a role, a shape and a kind."""
        as_str = [part if isinstance(part, Str) else Str(part) for part in (name, role)]
        return super().__new__(cls, *as_str, sp.Tuple(*shape), sp.Integer(int(kind)))

    @property
    def name(self) -> str:
        """The name as written."""
        return self.args[0].name

    @property
    def given(self) -> bool:
        """Whether it is an input, which reads zero outside the steps."""
        return self.role in ("input", "index")

    @property
    def role(self) -> str:
        """One of input, index, parameter, constant, signal, quantity, total, objective."""
        return self.args[1].name

    def infer(self) -> tuple[Shape, Kind]:
        """As declared."""
        return tuple(self.args[2]), Kind(int(self.args[3]))

    def text(self) -> str:
        """The name."""
        return self.name


class At(Node):
    """A timed quantity at the step `t + lag`."""

    def __new__(cls, quantity: Quantity, lag: int | sp.Integer) -> At:
        """Build from a timed quantity and an integer lag."""
        return super().__new__(cls, quantity, sp.Integer(lag))

    @property
    def quantity(self) -> Quantity:
        """What is read."""
        return self.args[0]

    @property
    def lag(self) -> int:
        """The step read, relative to t."""
        return int(self.args[1])

    @property
    def operands(self) -> tuple[Node, ...]:
        """None: a read is a leaf."""
        return ()

    def infer(self) -> tuple[Shape, Kind]:
        """That of the quantity."""
        if self.quantity.kind != Kind.TIMED:
            raise ShapeError(f"{self.quantity.name} has no time", f"write {self.quantity.name} without [t]")
        return self.quantity.shape, Kind.TIMED

    def text(self) -> str:
        """`h[t-1]`."""
        return read_text(self.quantity, f"t{self.lag:+d}" if self.lag else "t")


class Pick(Node):
    """A timed quantity at a fixed position: `h[2]`, `h[0]`, `h[T-1]`, `g[T+1]`."""

    def __new__(cls, quantity: Quantity, position: int | sp.Expr) -> Pick:
        """Build from a timed quantity and an integer, or T plus an integer."""
        return super().__new__(cls, quantity, sp.sympify(position, strict=True))

    quantity = At.quantity
    operands = At.operands

    @property
    def from_end(self) -> bool:
        """Whether the position counts from T."""
        return self.args[1].has(T)

    @property
    def offset(self) -> int:
        """The position less T (from the end) or less 0 (from the start)."""
        return int(self.args[1] - T) if self.from_end else int(self.args[1])

    @property
    def outside(self) -> bool:
        """Whether the position lies outside 1..T for every T."""
        return self.offset > 0 if self.from_end else self.offset <= 0

    def infer(self) -> tuple[Shape, Kind]:
        """One value for each sequence."""
        if self.quantity.kind != Kind.TIMED:
            raise ShapeError(f"{self.quantity.name} has no time", f"write {self.quantity.name} without an index")
        return self.quantity.shape, Kind.SEQUENCE

    def text(self) -> str:
        """`h[T-1]`."""
        return read_text(self.quantity, position_text(self.from_end, self.offset))


def quantity_of(node: Node) -> Node:
    """The quantity that a read is one of; anything else is itself."""
    return node.quantity if isinstance(node, (At, Pick)) else node


def ghost_at(quantity: Quantity, position: int, steps: int) -> Pick:
    """The value of a quantity at a position outside the steps 1..`steps`, counted from its own end."""
    return Pick(quantity, position if position <= 0 else T + (position - steps))


def read_text(quantity: Quantity, place: str) -> str:
    """A timed quantity at a place; an index stands for the vector with a single one."""
    read = f"{quantity.name}[{place}]"
    return f"onehot({read})" if quantity.role == "index" else read


def position_text(from_end: bool, offset: int) -> str:
    """A fixed position as users write it: `0`, `-1`, `T`, `T+1`."""
    return str(offset) if not from_end else ("T" if not offset else f"T{offset:+d}")


class Window(sp.Basic):
    """A slice of the steps 1..T, clipped as Python clips; a missing bound is None."""

    def __new__(cls, start: object = None, stop: object = None) -> Window:
        """Build from two integers or None."""
        bounds = [Str("") if b is None or b == Str("") else sp.Integer(b) for b in (start, stop)]
        return sp.Basic.__new__(cls, *bounds)

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The two bounds as written."""
        return tuple(None if isinstance(b, Str) else int(b) for b in self.args)  # type: ignore[return-value]

    @property
    def full(self) -> bool:
        """Whether it holds every step."""
        return self.bounds[0] in (None, 0) and self.bounds[1] is None

    def source(self) -> str:
        """`steps[-3:]`."""
        start, stop = ("" if b is None else str(b) for b in self.bounds)
        return "steps" if self.full else f"steps[{start}:{stop}]"

    def range(self, steps: int) -> range:
        """The steps it holds, from 1, in a sequence of that many."""
        return range(1, steps + 1)[slice(*self.bounds)]
