"""Expressions: Python's syntax tree -> nodes, by a whitelist. Anything not listed is an error with its place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from fractions import Fraction

import sympy as sp

from derive import temporal
from derive.arithmetic import Abstract, Add, Div, MatMul, Mul, Neg, Pow, Transpose
from derive.calls import CALLS, INSIDE_LAMBDAS, arguments
from derive.clashes import Declared, with_hint
from derive.errors import RecurrenceError, ShapeError
from derive.indexing import Indexing
from derive.inlining import Inlining
from derive.limits import MAX_EXPONENT, Source, chain
from derive.nodes import Kind, Node, Number, Quantity, T, Window, dim
from derive.refusals import not_a_power, uncallable, undeclared, unknown
from derive.suggestions import EXPRESSION_FORMS, EXPRESSIONS, OPERATORS


class Expressions:
    """Turns syntax into nodes, given the quantities, abstract functions and lambdas of a file.

    `enter` says in which equation the expressions that follow stand.
    """

    def __init__(
        self,
        source: Source,
        quantities: Mapping[str, Quantity],
        functions: frozenset[str],
        lambdas: Mapping[str, ast.Lambda],
        slopes: Mapping[str, ast.Lambda],
        indexing: Indexing,
        declared: Declared,
    ) -> None:
        self.source, self.quantities, self.functions, self.lambdas = source, quantities, functions, lambdas
        self.indexing, self.declared, self.inlining = indexing, declared, Inlining(source, lambdas, slopes)
        self.objective = ""
        self.used: set[str] = set()
        self._place, self._timed, self._summing = "", False, False
        self.wanted = ""

    def enter(self, place: str, timed: bool, wanted: str) -> None:
        """Expressions from here on stand in the equation of `place`; `wanted` are the dims that it asks for."""
        self._place, self._timed, self.wanted = place, timed, wanted

    def whole(self, tree: ast.expr) -> Node:
        """The node of the right side of an equation, of bounded size."""
        return self.inlining.bounded(self.node(tree), tree)

    def try_lambda(self, name: str, tree: ast.Lambda) -> None:
        """Read the body of a lambda that nothing calls, for its errors alone."""
        call = ast.copy_location(ast.Call(ast.copy_location(ast.Name(name), tree), [], []), tree)
        self.inlining.call(self.node, call, [Number(1) for _ in tree.args.args])

    def node(self, tree: ast.expr) -> Node:
        """The node of an expression. Raises RecurrenceError at the part that is wrong."""
        try:
            return self._visit(tree)
        except RecurrenceError as error:
            raise error.at(self.source.where(tree)) from None

    def _visit(self, tree: ast.expr) -> Node:
        match tree:
            case ast.Constant(value=int() | float()) if not isinstance(tree.value, bool):
                return Number(self.source.decimal(tree))
            case ast.Constant():
                raise self.source.error(
                    tree, f"{self.source.written(tree)} is not a number", "numbers are written 2, 0.5 or 1e-3"
                )
            case ast.Name():
                return self._name(tree)
            case ast.BinOp():
                return self._binary(tree)
            case ast.UnaryOp(op=ast.USub()):
                return Neg(self.node(tree.operand))
            case ast.UnaryOp(op=ast.UAdd()):
                return self.node(tree.operand)
            case ast.Attribute(attr="T"):
                return self._transpose(tree)
            case ast.Attribute():
                raise self.source.error(
                    tree, f".{tree.attr[:40]} is not in the language", "the only attribute is .T, the transpose"
                )
            case ast.Subscript():
                return self._subscript(tree)
            case ast.Call():
                return self._call(tree)
            case ast.Compare():
                raise self.source.error(tree, "a comparison stands only inside where(…)", "write where(a > b, x, y)")
        kind = type(tree.op).__name__ if isinstance(tree, ast.UnaryOp) else type(tree).__name__
        name, hint = EXPRESSIONS.get(kind, (self.source.written(tree), EXPRESSION_FORMS))
        raise self.source.error(tree, f"{name} is not in the language", hint)

    # -- names

    def _name(self, tree: ast.Name) -> Node:
        name, scope = tree.id, self.inlining.scope
        if scope is not None and name in scope:
            return scope[name]
        if name == "T":
            return Number(T)
        if name in self.indexing.dims and name not in self.quantities:
            return Number(dim(name))
        if scope is not None:
            raise self.source.error(
                tree, f"{name} is not an argument of the lambda", "a lambda reads its arguments, numbers and dims only"
            )
        if name in self.quantities:
            return self._whole(tree, self.quantities[name])
        raise unknown(self, tree)

    def _whole(self, tree: ast.Name, quantity: Quantity) -> Node:
        if quantity.kind == Kind.TIMED:
            raise self.source.error(
                tree,
                f"{quantity.name} is a sequence and needs a step",
                f"write {quantity.name}[t] or {quantity.name}[t-1]",
            )
        return quantity

    # -- operators

    def build(self, kind: Callable[..., Node], tree: ast.expr, *operands: Node) -> Node:
        """A node from operands; where shapes clash, the hint names the declaration to change."""
        try:
            return kind(*operands)
        except ShapeError as error:
            hint = self.declared.product_hint(*operands) if kind is MatMul else self.declared.hint(operands)
            raise with_hint(error, hint).at(self.source.where(tree)) from None

    def _transpose(self, tree: ast.Attribute) -> Node:
        self._matrices_only_outside(tree)
        return Transpose(self.node(tree.value))

    def _matrices_only_outside(self, tree: ast.expr) -> None:
        if self.inlining.scope is not None:
            raise self.source.error(
                tree, f"{self.source.written(tree)} is not elementwise", "a lambda is a function of single numbers"
            )

    def _binary(self, tree: ast.BinOp) -> Node:
        match tree.op:
            case ast.Add() | ast.Sub():
                return self._sum(tree)
            case ast.Mult():
                return self._product(tree)
            case ast.Pow():
                return Pow(self.node(tree.left), Number(self._exponent(tree.right)))
            case ast.Div():
                return self.build(Div, tree, self.node(tree.left), self.node(tree.right))
            case ast.MatMult():
                self._matrices_only_outside(tree)
                return self.build(MatMul, tree, self.node(tree.left), self.node(tree.right))
        sign, hint = OPERATORS[type(tree.op)]
        problem = not_a_power(self, tree) if sign == "^" else f"{sign} is not in the language"
        raise RecurrenceError(problem, hint, self.source.operator(tree, sign))

    def _sum(self, tree: ast.BinOp) -> Node:
        terms = [(sign, self.node(part)) for sign, part in chain(tree, (ast.Add, ast.Sub))]
        return self.build(Add, tree, *(Neg(node) if isinstance(sign, ast.Sub) else node for sign, node in terms))

    def _product(self, tree: ast.BinOp) -> Node:
        return self.build(Mul, tree, *(self.node(part) for _, part in chain(tree, ast.Mult)))

    def _exponent(self, tree: ast.expr) -> sp.Rational:
        negative = isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub)
        inner = tree.operand if negative else tree  # type: ignore[attr-defined]
        match inner:
            case ast.Constant(value=int() | float()) if not isinstance(inner.value, bool):
                value = self.source.decimal(inner)
            case ast.BinOp(op=ast.Div(), left=ast.Constant(value=int()) as top, right=ast.Constant(value=2)) if (
                not isinstance(top.value, bool)
            ):
                value = self.source.decimal(top) / 2
            case _:
                hint = "write exp(b*log(a)) for a power that varies, sqrt(a) or a**(1/2) for a root"
                raise self.source.error(tree, "an exponent is a number", hint)
        if value > MAX_EXPONENT or Fraction(2 * value).denominator != 1:
            hint = f"exponents are integers up to {MAX_EXPONENT}, or halves such as 0.5"
            raise self.source.error(tree, f"the exponent {self.source.written(tree, 20)} is not allowed", hint)
        exponent = sp.Rational(value.numerator, value.denominator)
        return -exponent if negative else exponent

    # -- reads

    def _subscript(self, tree: ast.Subscript) -> Node:
        self._matrices_only_outside(tree)
        base = tree.value
        if not isinstance(base, ast.Name):
            return self.indexing.components(tree, self.node(base))
        quantity = self.quantities.get(base.id)
        anchor = _anchor(tree.slice)
        if quantity is None and (anchor or base.id == "steps"):
            raise undeclared(self, base)
        if quantity is None or quantity.kind != Kind.TIMED:
            if quantity is not None and anchor:
                raise self.source.error(
                    tree, f"{base.id} has no time", f"write {base.id} without [{self.source.written(tree.slice)}]"
                )
            return self.indexing.components(tree, self.node(base))
        if quantity.role == "index":
            raise self.source.error(tree, f"{base.id} is an index", f"write onehot({self.source.written(tree)})")
        return self._step(tree, quantity)

    def _step(self, tree: ast.Subscript, quantity: Quantity) -> Node:
        if _anchor(tree.slice) == "t":
            self.inside_steps(tree, self.source.written(tree))
        return self.indexing.step(tree, quantity)

    def onehot(self, tree: ast.expr) -> Node:
        """The vector with a single one that an index at a step stands for."""
        base = tree.value if isinstance(tree, ast.Subscript) else tree
        quantity = self.quantities.get(base.id) if isinstance(base, ast.Name) else None
        if quantity is None or quantity.role != "index" or not isinstance(tree, ast.Subscript):
            hint = f"declare one: {base.id if isinstance(base, ast.Name) and quantity is None else 'c'}[t]: index[m]"
            hint = f"write onehot({quantity.name}[t])" if quantity is not None and quantity.role == "index" else hint
            raise self.source.error(tree, f"onehot takes an index input at a step, not {self.source.written(tree)}", hint)
        return self._step(tree, quantity)

    def inside_steps(self, tree: ast.expr, written: str) -> None:
        """Raises RecurrenceError where no step is given: in an equation without time, outside a sum over time."""
        if not (self._timed or self._summing):
            name = tree.value.id if isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Name) else ""
            pick = f", or a fixed step such as {name}[T]" if name else ""
            problem = f"{written} has no step in the equation of {self._place}, which has no time"
            raise self.source.error(tree, problem, f"write sum({written} for t in steps){pick}")

    def over_time(self, tree: ast.Call, body: ast.expr, window: Window) -> Node:
        """A sum over time, which stands in equations without time only, and in no other sum over time."""
        if self._summing:
            raise self.source.error(
                tree, "a sum over time inside another", "give the inner one an equation without time"
            )
        if self._timed:
            problem = f"a sum over time in the equation of {self._place}, which holds at every step"
            raise self.source.error(tree, problem, "give the sum a name without time, and read that")
        self._summing = True
        try:
            return temporal.TimeSum(self.node(body), window)
        finally:
            self._summing = False

    # -- calls

    def _call(self, tree: ast.Call) -> Node:
        if not isinstance(tree.func, ast.Name):
            written = self.source.written(tree.func)
            raise self.source.error(
                tree.func, f"{written} cannot be called", "only functions of the language are called, by their names"
            )
        name = tree.func.id
        if (tree.keywords and name != "project") or any(isinstance(arg, ast.Starred) for arg in tree.args):
            raise self.source.error(tree, f"{name} takes plain arguments only", "leave out names and stars")
        if name in self.lambdas:
            self.used.add(name)
            values = arguments(self, tree, len(self.lambdas[name].args.args))
            return self.inlining.call(self.node, tree, values)
        if name in self.functions:
            self.used.add(name)
            return Abstract(name, 0, arguments(self, tree, 1)[0])
        if name in CALLS:
            if self.inlining.scope is not None and name not in INSIDE_LAMBDAS:
                raise self.source.error(
                    tree.func, f"{name} is not elementwise", "a lambda is a function of single numbers"
                )
            return CALLS[name](self, tree)
        raise uncallable(self, tree.func)


def _anchor(tree: ast.expr) -> str:
    """`t` or `T` where an index begins with it."""
    first = tree.left if isinstance(tree, ast.BinOp) else tree
    return first.id if isinstance(first, ast.Name) and first.id in ("t", "T") else ""
