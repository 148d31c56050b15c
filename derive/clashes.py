"""Clashes: operands whose shapes do not fit, and the file's declarations -> a hint that names the line to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from derive.arithmetic import MatMul, Mul, Neg, Transpose, same_shape
from derive.errors import ShapeError
from derive.nodes import At, Kind, Node, Pick, Quantity, Shape, shape_text
from derive.sizes import size_text
from derive.suggestions import declaration


@dataclass(slots=True)
class Declared:
    """Where names got their shapes: lines of declarations, and names whose shape was inferred."""

    lines: Mapping[str, int]
    inferred: set[str] = field(default_factory=set)

    def hint(self, operands: tuple[Node, ...], wanted: Shape | None = None) -> str:
        """What to declare so that operands agree with each other, or with a wanted shape; empty where unknown."""
        shaped = [node for node in operands if node.shape]
        if wanted is None:
            if not shaped:
                return ""
            wanted = shaped[0].shape
            second = next((node for node in shaped if not same_shape(node.shape, wanted)), None)
            pairs = [] if second is None else [(second, wanted), (shaped[0], second.shape)]
        else:
            pairs = [(node, wanted) for node in operands]
        found = [change for node, shape in pairs if (change := _change(node, shape)) and change[0].name in self.known]
        found.sort(key=lambda change: change[0].role != "parameter")
        return self._sentence(*found[0]) if found else ""

    def product_hint(self, left: Node, right: Node) -> str:
        """What to declare instead so that `left @ right` is defined."""
        if len(left.shape) != 2 or len(right.shape) not in (1, 2) or same_shape(left.shape[1:], right.shape[:1]):
            return ""
        changes = [_change(left, (left.shape[0], right.shape[0])), _change(right, (left.shape[1], *right.shape[1:]))]
        found = [change for change in changes if change and change[0].name in self.known]
        return self._sentence(*found[0]) if found else ""

    @property
    def known(self) -> set[str]:
        """Names with a shape that the user can change."""
        return {*self.lines, *self.inferred}

    def _sentence(self, quantity: Quantity, shape: Shape) -> str:
        name = f"{quantity.name}[t]" if quantity.kind == Kind.TIMED else quantity.name
        line = declaration(name, ", ".join(map(size_text, shape)))
        if quantity.name in self.inferred:
            return f"{quantity.name} was taken to be {shape_text(quantity.shape)}; did you mean {line}?"
        where = f"{shape_text(quantity.shape)} on line {self.lines[quantity.name]}"
        return f"{quantity.name} was declared {where}; did you mean {line}?"


def _change(node: Node, shape: Shape) -> tuple[Quantity, Shape] | None:
    """The quantity to declare anew so that the node gets that shape, and the quantity's shape then."""
    match node:
        case Quantity():
            return (node, shape) if len(shape) <= 2 else None
        case At() | Pick():
            return (node.quantity, shape) if len(shape) <= 2 else None
        case Transpose():
            return _change(node.args[0], shape[::-1]) if len(shape) == 2 else None
        case Neg():
            return _change(node.args[0], shape)
        case Mul():
            shaped = [factor for factor in node.args if factor.shape]
            return _change(shaped[0], shape) if len(shaped) == 1 else None
        case MatMul():
            left = node.args[0]
            return (
                _change(left, (shape[0], left.shape[1]))
                if len(shape) == len(node.shape) and shape[1:] == node.shape[1:]
                else None
            )
    return None


def with_hint(error: ShapeError, hint: str) -> ShapeError:
    """The error with a hint that names a declaration, where there is one."""
    return ShapeError(error.problem, hint, error.where) if hint else error
