"""Inlining: calls of lambdas -> the nodes of their bodies, of bounded size and depth."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from derive import temporal
from derive.arithmetic import Surrogate
from derive.limits import MAX_NESTING, MAX_NODES, Source
from derive.nodes import Node


class Inlining:
    """Writes lambdas out where they are called.

    A lambda that reads its argument twice doubles it, and lambdas call each other, so that a short text can stand for a
    very large expression: sizes are counted as written out, and refused above the limit.
    """

    def __init__(self, source: Source, lambdas: Mapping[str, ast.Lambda], slopes: Mapping[str, ast.Lambda]) -> None:
        self.source, self.lambdas, self.slopes = source, lambdas, slopes
        self._scopes: list[dict[str, Node]] = []
        self._active: list[str] = []
        self._measures: dict[int, tuple[Node, int, int]] = {}
        self._total = 0

    @property
    def scope(self) -> Mapping[str, Node] | None:
        """The arguments of the lambda whose body is being read; None outside of lambdas."""
        return self._scopes[-1] if self._scopes else None

    def call(self, read: Callable[[ast.expr], Node], tree: ast.Call, values: list[Node]) -> Node:
        """The body of the called lambda, its arguments replaced. Raises RecurrenceError where lambdas form a circle."""
        name = tree.func.id  # type: ignore[attr-defined]
        if name in self._active:
            circle = " calls ".join([*self._active[self._active.index(name) :], name])
            raise self.source.error(
                tree, f"lambdas call each other in a circle: {circle}", "a lambda is written out where it is called"
            )
        if len(self._active) >= MAX_NESTING // 5:
            raise self.source.error(
                tree, f"more than {MAX_NESTING // 5} lambdas call each other", "write some of them out"
            )
        marked = [temporal.Argument(value) for value in values]
        self._active.append(name)
        try:
            result = self._body(read, self.lambdas[name], marked)
            if name in self.slopes:
                result = Surrogate(result, self._body(read, self.slopes[name], marked), *marked)
        finally:
            self._active.pop()
        self._check(result, tree)
        return result

    def _body(self, read: Callable[[ast.expr], Node], function: ast.Lambda, values: list[Node]) -> Node:
        self._scopes.append(dict(zip((argument.arg for argument in function.args.args), values, strict=True)))
        try:
            return read(function.body)
        finally:
            self._scopes.pop()

    def bounded(self, node: Node, tree: ast.expr) -> Node:
        """The node, counted towards the size of the file as written out."""
        self._total += self._check(node, tree)
        if self._total > MAX_NODES:
            problem = f"with lambdas written out, the file has more than {MAX_NODES} expression nodes"
            raise self.source.error(tree, problem, "give what is used often an equation of its own")
        return node

    def _check(self, node: Node, tree: ast.expr) -> int:
        size, depth = self._measure(node)
        if size > MAX_NODES or depth > 2 * MAX_NESTING:
            limit = (
                f"{MAX_NODES} expression nodes"
                if size > MAX_NODES
                else f"{2 * MAX_NESTING} operations inside one another"
            )
            problem = f"with lambdas written out, this has more than {limit}"
            raise self.source.error(tree, problem, "give what is used often an equation of its own")
        return size

    def _measure(self, node: Node) -> tuple[int, int]:
        """Number of nodes and depth of a tree, as written out; without recursion, each shared node visited once."""
        known = self._measures
        stack = [node]
        while stack:
            top = stack[-1]
            missing = [] if id(top) in known else [part for part in top.operands if id(part) not in known]
            if missing:
                stack += missing
                continue
            stack.pop()
            if id(top) not in known:
                parts = [known[id(part)] for part in top.operands]
                known[id(top)] = (top, 1 + sum(p[1] for p in parts), 1 + max((p[2] for p in parts), default=0))
        return known[id(node)][1:]
