"""The table of elementwise functions: slopes in terms of the output, inverse, range for random values, SymPy and LaTeX names.

A row holds one slope for each argument, as a function of the arguments and of the value y. `analytic` says whether a complex step
may pass through it. Kinks: abs and relu have slope 0 there, maximum and minimum of equals one half each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from derive.arithmetic import Add, Apply, Div, Mul, Neg, Pow, Where
from derive.nodes import Node, Number

ONE, TWO, HALF = Number(1), Number(2), Number(sp.Rational(1, 2))


def _digits(value: sp.Expr) -> Number:
    return Number(sp.Rational(str(value.evalf(50))))


TWO_OVER_ROOT_PI = _digits(2 / sp.sqrt(sp.pi))
ONE_OVER_ROOT_TWO_PI = _digits(1 / sp.sqrt(2 * sp.pi))
ONE_OVER_ROOT_TWO = _digits(1 / sp.sqrt(2))


@dataclass(frozen=True, slots=True)
class Elementary:
    """An elementwise function.

    slopes: for each argument, (arguments, value) -> derivative; scalar: the SymPy expression of the arguments;
    inverse: the argument from the value, where there is one; analytic: complex steps pass;
    latex: its name in LaTeX; domain: a range for random arguments.
    """

    slopes: tuple[Callable[[tuple[Node, ...], Node], Node], ...]
    scalar: Callable[..., sp.Expr]
    inverse: Callable[[sp.Expr], sp.Expr] | None = None
    analytic: bool = True
    latex: str = ""
    domain: tuple[float, float] = (-3.0, 3.0)

    @property
    def arity(self) -> int:
        """How many arguments it takes."""
        return len(self.slopes)


def _choice(relation: str) -> tuple[Callable[[tuple[Node, ...], Node], Node], ...]:
    def slope(first: int) -> Callable[[tuple[Node, ...], Node], Node]:
        def of(a: tuple[Node, ...], y: Node) -> Node:
            mine, other = a[first], a[1 - first]
            return Where(relation, mine, other, ONE, Where("==", mine, other, HALF, Number(0)))

        return of

    return slope(0), slope(1)


def _gelu_slope(a: tuple[Node, ...], y: Node) -> Node:
    (x,) = a
    density = Mul(ONE_OVER_ROOT_TWO_PI, Apply("exp", Neg(Div(Pow(x, TWO), TWO))))
    return Add(Div(Add(ONE, Apply("erf", Mul(ONE_OVER_ROOT_TWO, x))), TWO), Mul(x, density))


FUNCTIONS: dict[str, Elementary] = {
    "tanh": Elementary((lambda a, y: Add(ONE, Neg(Pow(y, TWO))),), sp.tanh, sp.atanh, latex=r"\tanh"),
    "sigmoid": Elementary(
        (lambda a, y: Mul(y, Add(ONE, Neg(y))),), lambda x: 1 / (1 + sp.exp(-x)), lambda y: sp.log(y / (1 - y)), latex=r"\sigma"
    ),
    "relu": Elementary(
        (lambda a, y: Where(">", a[0], Number(0), ONE, Number(0)),), lambda x: sp.Max(x, 0), analytic=False, latex=r"\operatorname{relu}"
    ),
    "softplus": Elementary(
        (lambda a, y: Apply("sigmoid", a[0]),),
        lambda x: sp.log(1 + sp.exp(x)),
        lambda y: sp.log(sp.exp(y) - 1),
        latex=r"\operatorname{softplus}",
    ),
    "exp": Elementary((lambda a, y: y,), sp.exp, sp.log, latex=r"\exp", domain=(-2.0, 2.0)),
    "log": Elementary((lambda a, y: Div(ONE, a[0]),), sp.log, sp.exp, latex=r"\log", domain=(0.3, 3.0)),
    "sqrt": Elementary((lambda a, y: Div(ONE, Mul(TWO, y)),), sp.sqrt, lambda y: y**2, latex=r"\sqrt", domain=(0.3, 3.0)),
    "sin": Elementary((lambda a, y: Apply("cos", a[0]),), sp.sin, latex=r"\sin"),
    "cos": Elementary((lambda a, y: Neg(Apply("sin", a[0])),), sp.cos, latex=r"\cos"),
    "abs": Elementary((lambda a, y: Apply("sign", a[0]),), sp.Abs, analytic=False, latex=r"\operatorname{abs}"),
    "sign": Elementary((lambda a, y: Number(0),), sp.sign, analytic=False, latex=r"\operatorname{sign}"),
    "erf": Elementary(
        (lambda a, y: Mul(TWO_OVER_ROOT_PI, Apply("exp", Neg(Pow(a[0], TWO)))),), sp.erf, sp.erfinv, latex=r"\operatorname{erf}"
    ),
    "gelu": Elementary((_gelu_slope,), lambda x: x * (1 + sp.erf(x / sp.sqrt(2))) / 2, latex=r"\operatorname{gelu}"),
    "atan": Elementary((lambda a, y: Div(ONE, Add(ONE, Pow(a[0], TWO))),), sp.atan, sp.tan, latex=r"\arctan"),
    "minimum": Elementary(_choice("<"), sp.Min, analytic=False, latex=r"\min"),
    "maximum": Elementary(_choice(">"), sp.Max, analytic=False, latex=r"\max"),
}
