"""Inference: names without a declaration -> parameters whose shapes follow from where they stand.

A shape follows for an operand of `@`, a term of a sum that has a shape, and one argument of `dot`, `outer` or `cross_entropy`
whose other is known. Anything else is left alone, and the parser asks for a declaration.
"""

from __future__ import annotations

import ast

import sympy as sp

from derive.nodes import Shape
from derive.reserved import RESERVED

KEEP = {"softmax", "log_softmax", "layer_norm", "stop_gradient", "each"}
TO_SCALAR = {"sum", "mean", "dot", "norm2", "logsumexp", "cross_entropy"}
PAIRS = {"dot", "cross_entropy"}


class Inference:
    """Shapes of names, known or found. `found` holds the new ones in order of discovery."""

    def __init__(self, shapes: dict[str, Shape]) -> None:
        self.shapes = dict(shapes)
        self.found: dict[str, Shape] = {}

    def run(self, equations: list[tuple[ast.expr, Shape]]) -> dict[str, Shape]:
        """Visit all equations, each with its target's shape, until nothing new is found."""
        before = -1
        while before != len(self.found):
            before = len(self.found)
            for expr, shape in equations:
                self.visit(expr, shape)
        return self.found

    def _assign(self, node: ast.expr, shape: Shape) -> None:
        if isinstance(node, ast.Attribute) and node.attr == "T" and len(shape) == 2:
            node, shape = node.value, shape[::-1]
        if isinstance(node, ast.Name) and node.id not in self.shapes and node.id not in RESERVED:
            self.shapes[node.id] = self.found[node.id] = shape

    def visit(self, node: ast.expr, expected: Shape | None) -> Shape | None:
        """The shape of an expression where it is known; `expected` is the shape its place asks for."""
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
        if isinstance(node.value, ast.Name) and not isinstance(node.slice, (ast.Slice, ast.Tuple)):
            return self.shapes.get(node.value.id)
        return None

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
        terms: list[ast.expr] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and isinstance(left.op, (ast.Add, ast.Sub)):
            terms.append(left.right)
            left = left.left
        terms.append(left)
        known = [self.visit(term, expected) for term in reversed(terms)]
        shape = next((s for s in known if s), None) or expected
        if shape:
            for term in reversed(terms):
                self._assign(term, shape)
                self.visit(term, shape)
        return shape if shape else (() if all(s == () for s in known) else None)

    def _factors(self, node: ast.BinOp, expected: Shape | None) -> Shape | None:
        known = [self.visit(node.left, None), self.visit(node.right, None)]
        shape = next((s for s in known if s), None)
        for factor, found in zip((node.left, node.right), known, strict=True):
            if found is None and (shape or expected) and not isinstance(node.op, ast.Pow):
                self._weak(factor, shape or expected)
        return shape or (() if known == [(), ()] else None)

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
        if name in {"concat", "pad", "diag", "transpose", "eye", "zeros", "ones", "onehot"}:
            known = [self.visit(arg, None) for arg in node.args]
            if name == "concat" and known and all(known):
                return (sp.expand(sum(shape[0] for shape in known if shape)), *known[0][1:])
            return None
        shapes = [self.visit(arg, expected) for arg in node.args if not isinstance(arg, ast.Compare)]
        return next((s for s in shapes if s), expected)

    def _pair(self, name: str, args: list[ast.expr], known: list[Shape | None], expected: Shape | None) -> None:
        for index, (arg, found) in enumerate(zip(args, known, strict=True)):
            other = known[1 - index]
            if found is None and name in PAIRS and other:
                self._assign(arg, other)
            elif found is None and name == "outer" and expected and len(expected) == 2:
                self._assign(arg, (expected[index],))
