"""Every row of the table of functions: slopes, inverses, kinks and domains."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

from derive.arithmetic import Apply
from derive.builder import Builder
from derive.elementary import elementary
from derive.functions import FUNCTIONS
from derive.language import parse
from derive.nodes import Node
from derive.reference import evaluate

POINTS = 7


def points(name: str) -> list[np.ndarray]:
    """Random arguments from the row's domain, away from kinks."""
    row, draw = FUNCTIONS[name], np.random.default_rng(5)
    first = draw.uniform(*row.domain, POINTS)
    first = np.where(np.abs(first) < 0.05, 0.3, first)
    return [first, *(first + draw.choice([-1, 1], POINTS) * draw.uniform(0.1, 1, POINTS) for _ in range(row.arity - 1))]


def value_of(name: str, build: object, arguments: list[np.ndarray]) -> np.ndarray:
    """An expression of the function's arguments and value, by the reference interpreter."""
    builder = Builder("slope")
    operands = [builder.parameter(f"a{i}", "n") for i in range(len(arguments))]
    result = builder.quantity("r", "n")
    builder.define(result, build(tuple(operands), Apply(name, *operands)))  # type: ignore[operator]
    values = {f"a{i}": argument for i, argument in enumerate(arguments)}
    return np.broadcast_to(evaluate(builder.recurrence(), values, 1, 1)["r"][0], POINTS)


def slope_of(name: str, place: int, arguments: list[np.ndarray]) -> np.ndarray:
    def build(operands: tuple[Node, ...], value: Node) -> Node:
        slope = FUNCTIONS[name].slopes[place](operands, value)
        return slope if slope.shape else slope + 0 * operands[0]

    return value_of(name, build, arguments)


def exact(name: str, place: int, arguments: list[np.ndarray]) -> np.ndarray:
    """The derivative by mpmath with 40 digits, from the row's SymPy expression."""
    symbols = sp.symbols(f"u:{len(arguments)}", real=True)
    function = sp.lambdify(symbols, FUNCTIONS[name].scalar(*symbols), "mpmath")
    order = tuple(int(i == place) for i in range(len(arguments)))
    with mpmath.workdps(40):
        return np.array([float(mpmath.diff(function, at, order)) for at in zip(*arguments, strict=True)])


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name, row in FUNCTIONS.items() for place in range(row.arity)]
)
def test_slope_matches_difference(name: str, place: int) -> None:
    arguments = points(name)
    found, expected = slope_of(name, place, arguments), exact(name, place, arguments)
    assert np.all(np.isfinite(found))
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
    for wrong in (-expected, expected * 1.01, expected + 0.01, exact(name, place, [a + 0.1 for a in arguments])):
        if not np.array_equal(wrong, expected):
            with pytest.raises(AssertionError):
                np.testing.assert_allclose(found, wrong, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", [name for name, row in FUNCTIONS.items() if row.analytic])
def test_slope_matches_complex_step(name: str) -> None:
    (argument,) = points(name)
    step = np.imag(elementary(name, argument + 1e-30j)) / 1e-30
    np.testing.assert_allclose(slope_of(name, 0, [argument]), step, rtol=1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_matches_the_scalar_expression(name: str) -> None:
    arguments, row = points(name), FUNCTIONS[name]
    expected = [float(row.scalar(*(sp.Float(a, 40) for a in at)).evalf(30)) for at in zip(*arguments, strict=True)]
    np.testing.assert_allclose(elementary(name, *arguments), expected, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(
        value_of(name, lambda operands, value: value, arguments), expected, rtol=1e-14, atol=1e-16
    )


@pytest.mark.parametrize("name", [name for name, row in FUNCTIONS.items() if row.inverse])
def test_inverse_undoes_the_function(name: str) -> None:
    row, (argument,) = FUNCTIONS[name], points(name)
    back = [float(row.inverse(row.scalar(sp.Float(a, 60))).evalf(30)) for a in argument]
    np.testing.assert_allclose(back, argument, rtol=1e-14)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(back, -argument, rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "arguments", "slopes"),
    [("abs", [0.0], [0.0]), ("relu", [0.0], [0.0]), ("sign", [0.0], [0.0]), ("maximum", [0.4, 0.4], [0.5, 0.5]),
     ("minimum", [0.4, 0.4], [0.5, 0.5]), ("maximum", [0.4, 0.5], [0.0, 1.0]), ("minimum", [0.4, 0.5], [1.0, 0.0])],
)  # fmt: skip
def test_slopes_at_kinks(name: str, arguments: list[float], slopes: list[float]) -> None:
    full = [np.full(POINTS, a) for a in arguments]
    assert [slope_of(name, place, full)[0] for place in range(len(full))] == slopes


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "erf", "gelu", "atan"])
def test_slopes_far_out_are_finite(name: str) -> None:
    found = slope_of(name, 0, [np.array([-800.0, -40, -20, 0, 20, 40, 800])])
    assert np.all(np.isfinite(found)) and np.all(np.abs(found) <= 1.2)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_row_is_complete_and_read_by_the_language(name: str) -> None:
    row = FUNCTIONS[name]
    assert row.latex.startswith("\\") and row.domain[0] < row.domain[1]
    arguments = ", ".join(["h[t-1]"] * row.arity)
    assert parse(f"h[t]: n = {name}({arguments})").equations[0].expr.source() == f"{name}({arguments})"
