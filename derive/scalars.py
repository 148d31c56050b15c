"""Scalars: the symbols of the exact proof. Functions of scalar expressions -> symbols with derivative rules.

`Values` gives every application of a function to an argument one symbol (or, at a point, one rational number), the
same one wherever it occurs. `Graph` records which scalar is defined by which expression of which others, for SymPy's
scalar differentiation. Neither knows the adjoint rules: the derivative rules stand here a second time, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import sympy as sp

from derive.arrays import EPSILON

Scalar: TypeAlias = sp.Expr


def digits(value: sp.Expr) -> sp.Rational:
    """An irrational factor of the calculus: its first 50 digits."""
    return sp.Rational(str(value.evalf(50)))


def _gelu(x: Scalar, y: Scalar, at: Callable[..., Scalar]) -> Scalar:
    below = (1 + at("erf", digits(1 / sp.sqrt(2)) * x)) / 2
    return below + x * digits(1 / sp.sqrt(2 * sp.pi)) * at("exp", -(x**2) / 2)


SLOPES: dict[str, Callable[[Scalar, Scalar, Callable[..., Scalar]], Scalar]] = {
    "tanh": lambda x, y, at: 1 - y**2,
    "sigmoid": lambda x, y, at: y * (1 - y),
    "softplus": lambda x, y, at: at("sigmoid", x),
    "exp": lambda x, y, at: y,
    "log": lambda x, y, at: 1 / x,
    "sqrt": lambda x, y, at: 1 / (2 * y),
    "root": lambda x, y, at: y / (2 * x),  # of powers, whose rule goes from one power to the next through x
    "sin": lambda x, y, at: at("cos", x),
    "cos": lambda x, y, at: -at("sin", x),
    "erf": lambda x, y, at: digits(2 / sp.sqrt(sp.pi)) * at("exp", -(x**2)),
    "atan": lambda x, y, at: 1 / (1 + x**2),
    "gelu": _gelu,
}


def slope(name: str, x: Scalar, y: Scalar, at: Callable[..., Scalar]) -> Scalar:
    """The derivative of a function at x, where its value is y; `at(name, x)` gives other functions' values.

    Raises: NotImplementedError for a function without a rule here.
    """
    if name.endswith("'") or name.startswith("abstract "):
        return at(f"{name}'", x)
    if name not in SLOPES:
        raise NotImplementedError(f"the proof has no derivative rule for {name}")
    return SLOPES[name](x, y, at)


def softmax_jacobian(y: Sequence[Scalar]) -> list[list[Scalar]]:
    """The derivatives of softmax by its arguments, through its values: diag(y) - y y'."""
    return [[a * (int(i == j) - b) for j, b in enumerate(y)] for i, a in enumerate(y)]


def layer_norm_jacobian(y: Sequence[Scalar], scatter: Scalar) -> list[list[Scalar]]:
    """The derivatives of layer_norm by its arguments, through its values: (I - 1/n - y y'/n)/scatter."""
    size = len(y)
    return [[(int(i == j) - (1 + a * b) / size) / scatter for j, b in enumerate(y)] for i, a in enumerate(y)]


def canonical(expr: Scalar) -> Scalar:
    """One form for all equal rational functions of the symbols."""
    if expr.is_Atom:
        return expr
    expanded = sp.expand(expr)
    return expanded if expanded.is_polynomial() else sp.cancel(expanded)


@dataclass
class Values:
    """The values of functions, by name and arguments. `fresh` makes a symbol, or at a point a random number."""

    fresh: Callable[[str], Scalar]
    form: Callable[[Scalar], Scalar] = canonical
    table: dict[tuple, Scalar] = field(default_factory=dict)
    renamed: dict[Scalar, Scalar] = field(default_factory=dict)

    def lookup(self, *key: object) -> Scalar:
        """The value under a key, made where there is none."""
        if key not in self.table:
            self.table[key] = self.fresh(str(key[0]))
        return self.renamed.get(self.table[key], self.table[key])

    def call(self, name: str, x: Scalar) -> Scalar:
        """An elementwise function of one argument."""
        return self.lookup(name, self.form(x))

    def softmax(self, row: Sequence[Scalar]) -> list[Scalar]:
        """Softmax of a row."""
        args = tuple(map(self.form, row))
        return [self.lookup("softmax", i, *args) for i in range(len(args))]

    def logsumexp(self, row: Sequence[Scalar]) -> Scalar:
        """The logarithm of the sum of exponentials of a row."""
        return self.lookup("logsumexp", *map(self.form, row))

    def layer_norm(self, row: Sequence[Scalar]) -> list[Scalar]:
        """A row less its mean, over its scatter."""
        args = tuple(map(self.form, row))
        return [self.lookup("layer_norm", i, *args) for i in range(len(args))]

    def scatter(self, row: Sequence[Scalar]) -> Scalar:
        """What layer_norm divides by: the root of a row's variance plus a little."""
        mean = sp.Add(*row) / len(row)
        return self.call("sqrt", sp.Add(*((x - mean) ** 2 for x in row)) / len(row) + EPSILON)

    def signs(self, x: Scalar) -> tuple[Scalar, Scalar]:
        """Two indicators: whether x is positive, and whether it is zero."""
        x = self.form(x)
        if x.is_Rational:
            return sp.Integer(int(bool(x > 0))), sp.Integer(int(x.is_zero))
        if x.could_extract_minus_sign():
            positive, zero = self.signs(-x)
            return 1 - positive - zero, zero
        return self.lookup("positive", x), self.lookup("zero", x)

    def stop(self, x: Scalar) -> Scalar:
        """A stopped value is the value."""
        return x

    def surrogate(self, value: Scalar, slope: Scalar, x: Scalar) -> Scalar:
        """A value with a chosen slope is the value."""
        return value


@dataclass
class Graph:
    """The unrolled model as equations between scalars, each with a symbol of its own.

    inputs: symbol -> (symbol read, derivative) for every symbol its equation reads; `values` holds what the symbols
    stand for, `resolved` replaces a symbol that merely repeats a value by that value; formula: symbol -> its
    equation's right side.
    """

    values: Values
    inputs: dict[sp.Symbol, list[tuple[sp.Symbol, Scalar]]] = field(default_factory=dict)
    aliases: dict[Scalar, Scalar] = field(default_factory=dict)
    formula: dict[sp.Symbol, Scalar] = field(default_factory=dict)

    def resolved(self, expr: Scalar) -> Scalar:
        """The expression in values."""
        return sp.sympify(expr).xreplace(self.aliases)

    def leaf(self, name: str) -> sp.Symbol:
        """A given scalar, or one whose equation follows."""
        symbol = sp.Symbol(name)
        self.inputs[symbol] = []
        return symbol

    def define(self, symbol: sp.Symbol, expr: Scalar, steady: bool) -> None:
        """Give a symbol its equation; steady: it was read before it had one, so its value is free."""
        expr = sp.sympify(expr)
        reads = sorted((s for s in expr.free_symbols if s in self.inputs), key=str)
        self.inputs[symbol] = [(read, self.resolved(sp.diff(expr, read))) for read in reads]
        value = self.resolved(expr)
        if not steady and (value.is_Symbol or value.is_Rational):
            self.aliases[symbol] = value
        elif not steady:
            self.formula[symbol] = value
        elif value.is_Symbol and value not in self.inputs:
            self._rename(value, symbol)

    def _rename(self, value: Scalar, symbol: sp.Symbol) -> None:
        """Let a function's value be called by the symbol of the steady state that it must equal."""
        self.values.renamed[value] = symbol
        self.aliases = {key: held.xreplace({value: symbol}) for key, held in self.aliases.items()} | {value: symbol}
        self.formula = {key: held.xreplace({value: symbol}) for key, held in self.formula.items()}

    def _node(self, value: Scalar, slopes: Sequence[tuple[Scalar, Scalar]]) -> sp.Symbol:
        """A symbol that stands for a value; slopes: (argument, derivative by it)."""
        node = sp.Symbol(f"node{len(self.inputs)}")
        self.inputs[node] = []
        self.aliases[node] = value
        for argument, factor in slopes:
            for read in sorted((s for s in argument.free_symbols if s in self.inputs), key=str):
                self.inputs[node].append((read, factor * self.resolved(sp.diff(argument, read))))
        return node

    def call(self, name: str, x: Scalar) -> Scalar:
        """An elementwise function of one argument."""
        at = self.resolved(x)
        y = self.values.call(name, at)
        return self._node(y, [(sp.sympify(x), slope(name, at, y, self.values.call))])

    def softmax(self, row: Sequence[Scalar]) -> list[Scalar]:
        """Softmax of a row."""
        y = self.values.softmax([self.resolved(x) for x in row])
        return self._row(y, row, softmax_jacobian(y))

    def layer_norm(self, row: Sequence[Scalar]) -> list[Scalar]:
        """A row less its mean, over its scatter."""
        at = [self.resolved(x) for x in row]
        y = self.values.layer_norm(at)
        return self._row(y, row, layer_norm_jacobian(y, self.values.scatter(at)))

    def logsumexp(self, row: Sequence[Scalar]) -> Scalar:
        """The logarithm of the sum of exponentials of a row; its slopes are softmax."""
        at = [self.resolved(x) for x in row]
        return self._row([self.values.logsumexp(at)], row, [self.values.softmax(at)])[0]

    def _row(
        self, values: Sequence[Scalar], row: Sequence[Scalar], jacobian: Sequence[Sequence[Scalar]]
    ) -> list[Scalar]:
        return [
            self._node(y, list(zip(map(sp.sympify, row), slopes, strict=True)))
            for y, slopes in zip(values, jacobian, strict=True)
        ]

    def signs(self, x: Scalar) -> tuple[Scalar, Scalar]:
        """Two indicators, without slope."""
        return self.values.signs(self.resolved(x))

    def stop(self, x: Scalar) -> Scalar:
        """The value, without slope."""
        return self._node(self.resolved(x), [])

    def surrogate(self, value: Scalar, slope: Scalar, x: Scalar) -> Scalar:
        """The value, with the chosen slope by x alone."""
        return self._node(self.resolved(value), [(sp.sympify(x), self.resolved(slope))])
