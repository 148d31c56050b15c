"""The calculus' nodes: elementwise arithmetic, products and applied functions.

Input: nodes. Output: nodes. Nothing is evaluated, reordered or cancelled; only nested sums are flattened.
"""

from __future__ import annotations

import sympy as sp
from sympy.core.symbol import Str

from derive.errors import ShapeError
from derive.nodes import ATOM, POWER, PRODUCT, SUM, UNARY, Kind, Node, Number, Shape, shape_text


def same_shape(first: Shape, second: Shape) -> bool:
    """Whether two shapes are equal for every value of their dims."""
    return len(first) == len(second) and all(a == b or sp.expand(a - b) == 0 for a, b in zip(first, second, strict=True))


def joint_kind(nodes: tuple[Node, ...]) -> Kind:
    """The largest kind among the parts."""
    return max((node.kind for node in nodes), default=Kind.SHARED)


def common_shape(nodes: tuple[Node, ...]) -> Shape:
    """The shape of an elementwise operation; raises ShapeError where two operands, neither a scalar, differ."""
    first = next((node for node in nodes if node.shape), None)
    for other in nodes:
        if first is not None and other.shape and not same_shape(first.shape, other.shape):
            raise ShapeError(
                f"shapes differ: {first.source()} is {shape_text(first.shape)}, {other.source()} is {shape_text(other.shape)}",
                "both must have one shape, or one of them must be a scalar",
            )
    return first.shape if first is not None else ()


class Elementwise(Node):
    """Operands of equal shape, or scalars."""

    def infer(self) -> tuple[Shape, Kind]:
        """The operands' common shape and largest kind."""
        return common_shape(self.operands), joint_kind(self.operands)


class Add(Elementwise):
    """A sum, in the order written; nested sums are flattened."""

    precedence = SUM

    def __new__(cls, *terms: Node) -> Add:
        """Build from two or more terms."""
        flat = [part for term in terms for part in summands(term)]
        return super().__new__(cls, *flat)

    def text(self) -> str:
        """`a + b - c`."""
        parts = [self.args[0].source(SUM)]
        for term in self.args[1:]:
            taken = positive(term)
            parts.append(f"+ {term.source(PRODUCT)}" if taken is None else f"- {taken.source(PRODUCT)}")
        return " ".join(parts)


class Neg(Elementwise):
    """The negative of an expression."""

    precedence = UNARY

    def text(self) -> str:
        """`-a`."""
        return f"-{self.args[0].source(UNARY)}"


class Mul(Elementwise):
    """An elementwise product, in the order written."""

    precedence = PRODUCT

    def text(self) -> str:
        """`a*b`."""
        return "*".join([self.args[0].source(PRODUCT), *(factor.source(UNARY) for factor in self.args[1:])])


class Div(Elementwise):
    """An elementwise quotient."""

    precedence = PRODUCT

    def text(self) -> str:
        """`a/b`."""
        return f"{self.args[0].source(PRODUCT)}/{self.args[1].source(UNARY)}"


class Pow(Elementwise):
    """An elementwise power with a constant rational exponent."""

    precedence = POWER

    @property
    def exponent(self) -> sp.Rational:
        """The exponent."""
        return self.args[1].value

    def text(self) -> str:
        """`a**2`."""
        return f"{self.args[0].source(ATOM)}**{self.args[1].source(ATOM)}"


class Apply(Elementwise):
    """An elementwise function of the language applied to its arguments: `tanh(z)`, `maximum(a, b)`."""

    def __new__(cls, name: Str | str, *arguments: Node) -> Apply:
        """Build from a name in the table of functions and as many arguments as it takes."""
        return super().__new__(cls, name if isinstance(name, Str) else Str(name), *arguments)

    @property
    def name(self) -> str:
        """The function's name."""
        return self.args[0].name

    def text(self) -> str:
        """`tanh(z)`."""
        return f"{self.name}({', '.join(arg.source() for arg in self.operands)})"


class Abstract(Elementwise):
    """A declared function without a definition, or its derivative of some order: `f(z)`, `slope(f, z)`."""

    def __new__(cls, name: Str | str, order: int | sp.Integer, argument: Node) -> Abstract:
        """Build from the declared name, the order of differentiation and the argument."""
        return super().__new__(cls, name if isinstance(name, Str) else Str(name), sp.Integer(order), argument)

    @property
    def name(self) -> str:
        """The declared name."""
        return self.args[0].name

    @property
    def order(self) -> int:
        """How many times it is differentiated."""
        return int(self.args[1])

    def text(self) -> str:
        """`f(z)`, `slope(f, z)`, `slope(f, z, 2)`."""
        argument = self.args[2].source()
        if not self.order:
            return f"{self.name}({argument})"
        return f"slope({self.name}, {argument}{f', {self.order}' if self.order > 1 else ''})"


class Where(Elementwise):
    """One of two values by a comparison: `where(a > b, x, y)`; the comparison has no slope."""

    def __new__(cls, relation: Str | str, *operands: Node) -> Where:
        """Build from `<`, `<=`, `>`, `>=`, `==` or `!=` and the four operands a, b, x, y."""
        return super().__new__(cls, relation if isinstance(relation, Str) else Str(relation), *operands)

    @property
    def relation(self) -> str:
        """The comparison's sign."""
        return self.args[0].name

    def text(self) -> str:
        """`where(a > b, x, y)`."""
        a, b, x, y = (arg.source() for arg in self.operands)
        return f"where({a} {self.relation} {b}, {x}, {y})"


class Surrogate(Elementwise):
    """A value whose slope by an argument is chosen: `surrogate(value, slope, u)`. Nothing flows through the value or the slope."""

    def text(self) -> str:
        """`surrogate(where(u > 0, 1, 0), 1/(1 + abs(u))**2, u)`."""
        return f"surrogate({', '.join(arg.source() for arg in self.operands)})"


class MatMul(Node):
    """Matrix times vector or matrix."""

    precedence = PRODUCT

    def infer(self) -> tuple[Shape, Kind]:
        """(r, c) @ (c) is (r); (r, c) @ (c, k) is (r, k)."""
        left, right = self.operands
        if len(left.shape) != 2 or len(right.shape) not in (1, 2):
            raise ShapeError(
                f"@ takes a matrix and a vector or a matrix: {left.source()} is {shape_text(left.shape)}, "
                f"{right.source()} is {shape_text(right.shape)}",
                "two vectors take dot(a, b) or outer(a, b); elementwise is *",
            )
        if not same_shape(left.shape[1:], right.shape[:1]):
            raise ShapeError(
                f"{left.source()} is {shape_text(left.shape)} and cannot multiply {right.source()}, {shape_text(right.shape)}",
                f"its second dim must be {right.shape[0]}",
            )
        return (left.shape[0], *right.shape[1:]), joint_kind(self.operands)

    def text(self) -> str:
        """`W @ h`."""
        return f"{self.args[0].source(PRODUCT)} @ {self.args[1].source(UNARY)}"


class Transpose(Node):
    """A matrix, transposed."""

    def infer(self) -> tuple[Shape, Kind]:
        """The dims, reversed."""
        (inner,) = self.operands
        if len(inner.shape) != 2:
            raise ShapeError(f".T is for matrices; {inner.source()} is {shape_text(inner.shape)}", "leave out .T")
        return inner.shape[::-1], inner.kind

    def text(self) -> str:
        """`W.T`."""
        return f"{self.args[0].source(ATOM)}.T"


def positive(term: Node) -> Node | None:
    """What a negative term is the negative of, or nothing for others."""
    if isinstance(term, Neg):
        return term.args[0]
    return Number(-term.value) if isinstance(term, Number) and term.value.is_negative else None


def number(value: object) -> Node:
    """A node from a node, an int, a Fraction or a SymPy expression in dims; raises TypeError for anything else."""
    if isinstance(value, Node):
        return value
    if isinstance(value, float):
        return Number(sp.Rational(repr(value)))
    return Number(value)  # type: ignore[arg-type]


def add(terms: list[Node]) -> Node:
    """The sum of at least one term."""
    return terms[0] if len(terms) == 1 else Add(*terms)


def summands(node: Node) -> tuple[Node, ...]:
    """The terms of a sum; the expression itself where it is none."""
    return node.args if isinstance(node, Add) else (node,)


def is_number(node: Node, value: int) -> bool:
    """Whether the node is that number."""
    return isinstance(node, Number) and node.value == value


def scale(factor: Node, node: Node) -> Node:
    """Factor * node, without factors of one and with signs taken outside."""
    if is_number(factor, 1) and (node.shape or not factor.shape):
        return node
    if is_number(node, 1) and (factor.shape or not node.shape):
        return factor
    if isinstance(factor, Neg):
        return negate(scale(factor.args[0], node))
    if isinstance(node, Neg):
        return negate(scale(factor, node.args[0]))
    factors = [*(factor.args if isinstance(factor, Mul) else (factor,)), *(node.args if isinstance(node, Mul) else (node,))]
    numbers = [part for part in factors if is_rational(part)]
    if len(numbers) > 1:
        value = sp.Mul(*(part.value for part in numbers))
        factors = [part for part in factors if part not in numbers]
        factors = [Number(value), *factors] if value != 1 or not factors else factors
    return factors[0] if len(factors) == 1 else Mul(*factors)


def is_rational(node: Node) -> bool:
    """Whether the node is a plain number, without dims or T."""
    return isinstance(node, Number) and node.value.is_Rational


def quotient(a: Node, b: Node) -> Node:
    """A / b, as a number where both are."""
    return Number(a.value / b.value) if is_rational(a) and is_rational(b) else Div(a, b)


def negate(node: Node) -> Node:
    """-node, without double signs."""
    if isinstance(node, Neg):
        return node.args[0]
    return Number(-node.value) if isinstance(node, Number) else Neg(node)
