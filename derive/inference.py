"""Inference: names without a declaration -> parameters whose shapes follow from where they stand.

A shape follows for an operand of `@`, a term of a sum that has a shape, and one argument of `dot`, `outer` or
`cross_entropy` whose other is known. Anything else is left alone, and the parser asks for a declaration.
"""

from __future__ import annotations

import ast
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping

import sympy as sp

from derive.limits import MAX_NODES, chain
from derive.nodes import Shape
from derive.reserved import RESERVED

TO_SCALAR = {"sum", "mean", "dot", "norm2", "logsumexp", "cross_entropy"}
PAIRS = {"dot", "cross_entropy"}
OWN_SHAPE = {"concat", "pad", "diag", "transpose", "eye", "zeros", "ones"}
MAX_VISITS = 20 * MAX_NODES


class Inference:
    """Shapes of names, known or found. `found` holds the new ones in order of discovery, `places` where each was found.

    timed: names whose first index is a step; components: the shape of a slice, from its syntax and the whole's shape.
    """

    def __init__(
        self,
        shapes: Mapping[str, Shape],
        timed: Iterable[str],
        components: Callable[[ast.Subscript, Shape], Shape | None],
    ) -> None:
        self.shapes = dict(shapes)
        self.timed, self.components = frozenset(timed), components
        self.found: dict[str, Shape] = {}
        self.places: dict[str, ast.Name] = {}
        self._visits = 0
        self._memo: dict[tuple[int, Shape | None], Shape | None] = {}

    def run(self, equations: list[tuple[ast.expr, Shape | None]]) -> dict[str, Shape]:
        """Visit the equations, each with its target's shape where it has one, and those that read a name once its shape is found.

        Gives up where names depend on each other in a very long chain; what is left then asks for a declaration.
        """
        readers: dict[str, list[int]] = defaultdict(list)
        for number, (expr, _) in enumerate(equations):
            for name in {node.id for node in ast.walk(expr) if isinstance(node, ast.Name)} - self.shapes.keys():
                readers[name].append(number)
        open_equations = {number for numbers in readers.values() for number in numbers}
        waiting = deque(sorted(open_equations))
        queued = set(waiting)
        while waiting and self._visits < MAX_VISITS:
            number = waiting.popleft()
            queued.discard(number)
            before = len(self.found)
            self.visit(*equations[number])
            for name in list(self.found)[before:]:
                again = [reader for reader in readers[name] if reader not in queued]
                waiting.extend(again)
                queued.update(again)
        return self.found

    def visit(self, node: ast.expr, expected: Shape | None) -> Shape | None:
        """The shape of an expression where it is known; `expected` is the shape its place asks for."""
        self._visits += 1
        if self._visits > MAX_VISITS:
            return None
        key = (id(node), expected)
        if key not in self._memo:
            before = len(self.found)
            shape = self._visit(node, expected)
            if len(self.found) > before:  # what was seen on the way may be out of date
                return shape
            self._memo[key] = shape
        return self._memo[key]

    def _assign(self, node: ast.expr, shape: Shape) -> None:
        if isinstance(node, ast.Attribute) and node.attr == "T" and len(shape) == 2:
            node, shape = node.value, shape[::-1]
        if isinstance(node, ast.Name) and node.id not in self.shapes and node.id not in RESERVED:
            self.shapes[node.id] = self.found[node.id] = shape
            self.places[node.id] = node
            self._memo.clear()

    def _visit(self, node: ast.expr, expected: Shape | None) -> Shape | None:
        match node:
            case ast.Constant():
                return ()
            case ast.Name():
                return self.shapes.get(node.id)
            case ast.Subscript():
                return self._subscript(node)
            case ast.Attribute():
                inner = self.visit(node.value, expected[::-1] if expected else None)
                return inner[::-1] if inner is not None else None
            case ast.UnaryOp():
                return self.visit(node.operand, expected)
            case ast.BinOp(op=ast.MatMult()):
                return self._product(node, expected)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self._sum(node, expected)
            case ast.BinOp():
                return self._factors(node, expected)
            case ast.Call():
                return self._call(node, expected)
        return None

    def _subscript(self, node: ast.Subscript) -> Shape | None:
        base = node.value
        if isinstance(base, ast.Name) and base.id in self.timed:
            return self.shapes[base.id]
        whole = self.visit(base, None)
        return self.components(node, whole) if whole else None

    def _product(self, node: ast.BinOp, expected: Shape | None) -> Shape | None:
        right = self.visit(node.right, None)
        left = self.visit(node.left, None)
        if left is None and right and expected and len(expected) == len(right):
            self._assign(node.left, (expected[0], right[0]))
            left = self.visit(node.left, None)
        if right is None and left and len(left) == 2 and (expected is None or len(expected) <= 1):
            self._assign(node.right, (left[1],))
            right = self.visit(node.right, None)
        if left and right and len(left) == 2:
            return (left[0], *right[1:])
        return expected if expected else None

    def _sum(self, node: ast.BinOp, expected: Shape | None) -> Shape | None:
        terms = [part for _, part in chain(node, (ast.Add, ast.Sub))]
        known = [self.visit(term, expected) for term in terms]
        shape = next((s for s in known if s), None) or expected
        if shape:
            for term in terms:
                self._assign(term, shape)
                self.visit(term, shape)
        return shape if shape else (() if all(s == () for s in known) else None)

    def _factors(self, node: ast.BinOp, expected: Shape | None) -> Shape | None:
        factors = (
            [part for _, part in chain(node, ast.Mult)] if isinstance(node.op, ast.Mult) else [node.left, node.right]
        )
        known = [self.visit(factor, None) for factor in factors]
        shape = next((s for s in known if s), None)
        for factor, found in zip(factors, known, strict=True):
            if found is None and (shape or expected) and not isinstance(node.op, ast.Pow):
                self._weak(factor, shape or expected)
        return shape or (() if all(s == () for s in known) else None)

    def _weak(self, node: ast.expr, shape: Shape | None) -> None:
        """Expect a shape only where the expression cannot be a scalar: it holds a matrix product."""
        if any(isinstance(part, ast.BinOp) and isinstance(part.op, ast.MatMult) for part in ast.walk(node)):
            self.visit(node, shape)

    def _call(self, node: ast.Call, expected: Shape | None) -> Shape | None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if node.args and isinstance(node.args[0], ast.GeneratorExp):
            return self.visit(node.args[0].elt, expected)
        if name in TO_SCALAR or name == "outer":
            known = [self.visit(arg, None) for arg in node.args]
            if len(known) == 2:
                self._pair(name, node.args, known, expected)
            return () if name in TO_SCALAR else None
        if name == "project":
            for part in node.keywords:
                self.visit(part.value, self.shapes.get(part.arg or ""))
            return self.visit(node.args[0], expected) if node.args else expected
        if name in OWN_SHAPE:
            known = [self.visit(arg, None) for arg in node.args]
            if name == "concat" and known and all(known):
                return (sp.expand(sp.Add(*(shape[0] for shape in known if shape))), *(known[0] or ())[1:])
            return None
        shapes = [self.visit(arg, expected) for arg in _values(node)]
        return next((s for s in shapes if s), expected)

    def _pair(self, name: str, args: list[ast.expr], known: list[Shape | None], expected: Shape | None) -> None:
        for index, (arg, found) in enumerate(zip(args, known, strict=True)):
            other = known[1 - index]
            if found is None and name in PAIRS and other:
                self._assign(arg, other)
                self.visit(arg, other)
            elif found is None and name == "outer" and expected and len(expected) == 2:
                self._assign(arg, (expected[index],))


def _values(node: ast.Call) -> list[ast.expr]:
    """The arguments of a call, with the sides of a comparison as arguments of their own."""
    return [
        part for arg in node.args for part in ((arg.left, *arg.comparators) if isinstance(arg, ast.Compare) else (arg,))
    ]
