"""Exact: the constraints of an unrolled recurrence -> the projector onto what they allow, in rational numbers.

The matrix comes from the constraints themselves, component by component, and the projector from a basis of its rows:
nothing is shared with the closed forms that it is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import sympy as sp

from derive.constraints import System
from derive.nodes import Node


class Evaluated(Protocol):
    """Scalars of a recurrence: the right sides of its equations for given values."""

    def given(self, values: Mapping[str, np.ndarray]) -> Evaluated:
        """The same with other values for some quantities, and nothing computed yet."""

    def eval(self, node: Node, t: int, row: int) -> np.ndarray:
        """An expression."""

    def shape(self, shape: tuple) -> tuple[int, ...]:
        """Sizes as integers."""


class ExactProjector:
    """P = I - A⁺A over the components of a system's parameters, one after another.

    Raises: ValueError where A holds symbols, so that its rank depends on their values.
    """

    def __init__(self, scalars: Evaluated, system: System) -> None:
        self.parameters = system.parameters
        shapes = [scalars.shape(q.shape) for q in system.parameters]
        self.shapes = dict(zip((q.name for q in system.parameters), shapes, strict=True))
        unknown = {name: _symbols(name, shape) for name, shape in self.shapes.items()}
        trial = scalars.given(unknown)
        residuals = [trial.eval(c.left, 0, 0) - trial.eval(c.right, 0, 0) for c in system.constraints]
        symbols = [symbol for array in unknown.values() for symbol in array.ravel()]
        matrix, _ = sp.linear_eq_to_matrix([sp.sympify(x) for r in residuals for x in np.ravel(r)], symbols)
        if not all(entry.is_Rational for entry in matrix):
            raise ValueError("the constraints' matrix depends on the values of constants")
        reduced, pivots = matrix.rref()
        rows = reduced[: len(pivots), :]
        self.matrix = sp.eye(len(symbols)) - rows.T * (rows * rows.T).inv() * rows if pivots else sp.eye(len(symbols))

    def project(self, changes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every parameter's part of the projection of changes; zero where one is left out."""
        vector = [x for name, shape in self.shapes.items() for x in np.ravel(changes.get(name, np.full(shape, sp.S.Zero)))]
        made = list(self.matrix * sp.Matrix(vector))
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()]).tolist()
        parts = (np.array(made[start:end], dtype=object) for start, end in zip([0, *ends], ends, strict=False))
        return {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}


def _symbols(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.array([sp.Symbol(f"change of {name}{list(index)}") for index in np.ndindex(*shape)], dtype=object).reshape(shape)
