"""Factors: the links of a path -> a product of matrices as boxes, and its components.

What a link sends is a matrix times the reader's adjoint: weights stand transposed, slopes on a diagonal, anything else as a transposed
Jacobian that a line of its own explains. The product is read from the right, where the objective is, to the left, where the weight is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Abstract, Add, Apply, Div, MatMul, Mul, Neg, Pow, Transpose, Where
from derive.nodes import ATOM, POWER, PRODUCT, Node, Number, Quantity, walk
from derive.sections.boxes import (
    ONE,
    ONES,
    ZERO,
    Box,
    Call,
    Choice,
    Fence,
    Fraction,
    Glyph,
    Listing,
    Name,
    Partial,
    Row,
    Script,
    fenced,
    row,
    terms,
    transposed,
)
from derive.sections.jacobian import diagonal
from derive.sections.notation import size
from derive.sections.system import System
from derive.unfolding.entries import Index
from derive.unfolding.links import Instance, Link, Unfolded
from derive.unfolding.notation import StepNotation, indexed, number
from derive.unfolding.paths import Path
from derive.unfolding.products import Factor, Product, unbroken

ELEMENTWISE = (Add, Neg, Mul, Div, Pow, Apply, Abstract, Where, temporal.Each, temporal.Argument)


class Factors:
    """Turns links into factors, and paths into products. `letters` are the boxes of the entry's indices."""

    def __init__(self, system: System, unfolded: Unfolded, indices: Sequence[Index]) -> None:
        self.system, self.unfolded = system, unfolded
        self.letters = tuple(Name(i) if isinstance(i, str) else number(i) for i in indices)
        self.notation = StepNotation(system, unfolded.steps, {})
        self.slopes: dict[Instance, Node] = {}
        self.opaque: dict[tuple[Instance, Instance], Link] = {}

    def holding(self, held: Mapping[Quantity, Box]) -> StepNotation:
        """The notation, with boxes for some quantities."""
        return StepNotation(self.system, self.unfolded.steps, held)

    # -- instances

    def instance(self, instance: Instance) -> Box:
        """A value at its step."""
        return self.notation.box(self.unfolded.read(instance))

    def weight(self, instance: Instance) -> Box:
        """The entry."""
        return indexed(self.instance(instance), self.letters)

    @staticmethod
    def at(name: Name, step: int | None) -> Box:
        """A name at a step, or without one."""
        return name if step is None else Call(name, (number(step),))

    def diagonal(self, node: Node) -> Box:
        """A vector as a diagonal matrix."""
        return diagonal(self.notation.box(node))

    # -- links as factors

    def of(self, link: Link) -> tuple[bool, tuple[Factor, ...]]:
        """The sign and factors of a link; a Jacobian by name where it is no product of matrices."""
        found = self.linear(link.sent, link.mark)
        if found is None:
            self.opaque[link.reader, link.read] = link
            return False, (Factor(transposed(Fence(Partial(self.instance(link.reader), self.instance(link.read))))),)
        negative, factors = found
        cell = self.system.cell_of.get(link.reader.target)  # type: ignore[arg-type]
        whole = len(factors) == 1 and factors[0].diagonal is not None and not negative
        if whole and cell is not None and cell.function is not None and cell.slopes is not None and len(link.reader.target.shape) == 1:
            self.slopes[link.reader] = factors[0].diagonal  # type: ignore[assignment]
            named = self.at(cell.slopes, self.unfolded.position(link.reader))
            return False, (Factor(named, diagonal=factors[0].diagonal),)
        return negative, factors

    def linear(self, node: Node, mark: Quantity) -> tuple[bool, tuple[Factor, ...]] | None:
        """An expression linear in `mark` as a product in front of it; None where it is none."""
        if node == mark:
            return False, ()
        box = self.notation.box
        inside = [arg for arg in node.operands if mark in walk(arg)]
        if not inside or (len(inside) > 1 and not isinstance(node, Add)):
            return None
        inner = self.linear(inside[0], mark)
        match node:
            case Add() if len(inside) == len(node.args):
                return self._sum(node, mark)
            case Neg() | temporal.Each() if inner is not None:
                return inner[0] != isinstance(node, Neg), inner[1]
            case Mul():
                return self._times(self._others(node, inside[0]), inside[0], inner)
            case Div() if inside[0] == node.args[0]:
                divisor = node.args[1]
                over = Fraction(ONE, box(divisor))
                factor = Factor(diagonal(over), diagonal=Div(Number(1), divisor)) if divisor.shape else Factor(over, scalar=True)
                return _before(factor, inner) if divisor.shape != node.shape or len(node.shape) < 2 else None
            case MatMul() if inside[0] == node.args[1]:
                return _before(Factor(fenced(box(node.args[0]), PRODUCT)), inner)
            case A.Dot():
                other = node.args[1] if inside[0] == node.args[0] else node.args[0]
                return _before(Factor(transposed(box(other))), inner) if len(other.shape) == 1 else None
            case A.Sum() if len(inside[0].shape) == 1:
                return _before(Factor(transposed(ONES)), inner)
            case A.Slice() if len(node.shape) == len(inside[0].shape) == 1 and inner is not None and inner[1]:
                return self._rows(node, inner)
        return None

    @staticmethod
    def _others(node: Mul, inside: Node) -> Node:
        others = [arg for arg in node.args if arg is not inside]
        return others[0] if len(others) == 1 else Mul(*others)

    def _times(self, rest: Node, inside: Node, inner: tuple[bool, tuple[Factor, ...]] | None) -> tuple[bool, tuple[Factor, ...]] | None:
        held = fenced(self.notation.box(rest), PRODUCT)
        if not rest.shape:
            return _before(Factor(held, scalar=True), inner)
        if len(rest.shape) > 1:
            return None
        if not inside.shape:
            return _before(Factor(held, column=rest), inner)
        return _before(Factor(self.diagonal(rest), diagonal=rest), inner)

    def _sum(self, node: Add, mark: Quantity) -> tuple[bool, tuple[Factor, ...]] | None:
        parts = [self.linear(term, mark) for term in node.args]
        if any(part is None for part in parts):
            return None
        unit = self.notation.identity if mark.shape else ONE
        back, ahead = [], []
        for negative, found in parts:  # type: ignore[misc]
            matrix = (unit,) if not found or (mark.shape and all(factor.scalar for factor in found)) else ()
            back.append((negative, row(*(factor.box for factor in found), *matrix)))
            ahead.append((negative, row(*(factor.transposed for factor in reversed(found)), *matrix)))
        return False, (Factor(Fence(terms(*back)), scalar=not mark.shape, forward=Fence(terms(*ahead))),)

    @staticmethod
    def _rows(node: A.Slice, inner: tuple[bool, tuple[Factor, ...]]) -> tuple[bool, tuple[Factor, ...]]:
        rows = Listing(tuple(size(part) for part in node.spec[0]), ":")
        first, *others = inner[1]
        columns = Script(fenced(first.transposed, ATOM), sub=Listing((Glyph("·", r"\cdot"), rows)))
        return inner[0], (Factor(transposed(columns)), *others)

    def coefficient(self, link: Link) -> tuple[tuple[Box, ...], Box | None]:
        """By what the entry is multiplied in a reader's component, and the component's index; (), None where it is no such product."""
        sent, letters = link.sent, self.letters
        if isinstance(sent, A.Outer) and link.mark in sent.args:
            own, other = sent.args.index(link.mark), 1 - sent.args.index(link.mark)
            return (letters[own],), self.entry(sent.args[other], (letters[other],))
        found = self.linear(sent, link.mark)
        if found is None or not all(factor.diagonal is not None or factor.scalar for factor in found[1]):
            return (), None
        box = self.component(Product(False, found[1], Number(1)), letters)
        return letters, terms((found[0], box))

    # -- paths as products

    def product(self, path: Path, links: Sequence[Link]) -> Product:
        """What a path brings along some of its links to the last value they read."""
        negative = False
        factors: list[Factor] = []
        for link in links:
            minus, found = self.of(link)
            negative, factors = negative != minus, [*found, *factors]
        return Product(negative, tuple(factors), path.explicit)

    def term(self, path: Path) -> tuple[bool, Box]:
        """A path's share of the gradient at the entry, from the objective on the left to what the weight multiplies on the right."""
        if not path.links:
            return False, self.entry(path.explicit, self.letters)
        last = path.links[-1]
        if self.linear(last.sent, last.mark) is not None:
            whole = self.product(path, path.links)
            return whole.negative, self.component(whole, self.letters)
        before = self.product(path, path.links[:-1])
        return before.negative, self.entry(last.sent, self.letters, last.mark, before)

    def whole(self, product: Product) -> Box:
        """The product as it stands, without its sign."""
        explicit = product.explicit if isinstance(product.explicit, Box) else self.notation.box(product.explicit)
        if isinstance(product.explicit, Number) and product.explicit.value == 1 and product.factors:
            return row(*(factor.box for factor in product.factors))
        numbered = product.factors and isinstance(explicit, Row) and isinstance(explicit.parts[0], Glyph)
        return row(*(factor.box for factor in product.factors), unbroken(Fence(explicit) if numbered else explicit))

    def component(self, product: Product, letters: tuple[Box, ...]) -> Box:
        """A component of a product: slopes that stand first come out of it."""
        factors, taken = list(product.factors), []
        while factors and len(letters) == 1 and (factors[0].scalar or factors[0].diagonal is not None):
            first = factors.pop(0)
            taken.append(first.box if first.diagonal is None else self.entry(first.diagonal, letters))
        if factors and len(letters) == 1 and factors[0].column is not None:
            taken.append(self.entry(factors.pop(0).column, letters))  # type: ignore[arg-type]
            letters = ()
        rest = Product(False, tuple(factors), product.explicit)
        if factors or isinstance(product.explicit, Box):
            whole = self.whole(rest)
            taken.append(indexed(whole, letters) if letters else whole)
        elif not (isinstance(product.explicit, Number) and taken):
            taken.append(self.entry(product.explicit, letters))
        return row(*(unbroken(box) for box in reversed([box for box in taken if box != ONE] or [ONE])))

    def entry(self, node: Node, letters: tuple[Box, ...], mark: Quantity | None = None, product: Product | None = None) -> Box:
        """A component of an expression, in which a product may stand at `mark`."""
        if product is not None and node == mark:
            return self.component(product, letters)
        if not letters or not node.shape:
            return self._holding(mark, product).box(node)
        match node:
            case A.Outer():
                return row(*(self.entry(arg, (letter,), mark, product) for arg, letter in zip(node.args, letters, strict=True)))
            case Transpose():
                return self.entry(node.args[0], letters[::-1], mark, product)
            case A.Zeros():
                return ZERO
            case A.Ones():
                return ONE
        if isinstance(node, ELEMENTWISE):
            parts = tuple(self.entry(arg, letters if arg.shape else (), mark, product) for arg in node.operands)
            return self._elementwise(node, parts)
        return indexed(self._holding(mark, product).box(node), letters)

    def _elementwise(self, node: Node, parts: tuple[Box, ...]) -> Box:
        """An elementwise expression of the components of its operands."""
        match node:
            case Add():
                return terms(*((False, part) for part in parts))
            case Neg():
                return terms((True, Fence(parts[0]) if len(getattr(parts[0], "terms", ())) > 1 else parts[0]))
            case Mul():
                return row(*([unbroken(part) for part in parts if part != ONE] or [ONE]))
            case Div():
                return Fraction(*parts)
            case Pow():
                return Script(fenced(parts[0], POWER), sup=size(node.exponent))
            case Where():
                return Choice(parts[0], node.relation, *parts[1:])
            case Apply() if node.name == "abs":
                return Fence(parts[0], "||")
            case Apply() | Abstract():
                return Call(self.notation.applied(node, getattr(node, "order", 0)), parts)
        return parts[0]

    def _holding(self, mark: Quantity | None, product: Product | None) -> StepNotation:
        if mark is None or product is None:
            return self.notation
        whole = self.whole(product)
        return self.holding({mark: Fence(whole) if isinstance(whole, Row) else whole})


def _before(factor: Factor, inner: tuple[bool, tuple[Factor, ...]] | None) -> tuple[bool, tuple[Factor, ...]] | None:
    return None if inner is None else (inner[0], (factor, *inner[1]))
