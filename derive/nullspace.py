"""Nullspace: the constraints of a recurrence as a dense matrix -> projections onto what they allow, by least squares.

Literal and slow: the matrix is made column by column, from the residuals themselves. What everything else that
projects is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np

Arrays = dict[str, np.ndarray]
ROUNDING = 64 * np.finfo(np.float64).eps


def _settled(vector: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The vector without what is rounding beside the one that it was made from; of complex ones each part by itself."""
    if np.iscomplexobj(vector):
        return _settled(vector.real, start.real) + 1j * _settled(vector.imag, start.imag)
    return np.where(np.abs(vector) > ROUNDING * np.max(np.abs(start), initial=0.0), vector, 0)


class Nullspace:
    """The directions that the constraints of one system allow.

    shapes: of its parameters, by name; residual: values of these -> left - right of every constraint, in one vector.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], residual: Callable[[Arrays], np.ndarray]) -> None:
        self.shapes, self.residual = shapes, residual
        self.cuts = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])

    def split(self, vector: np.ndarray) -> Arrays:
        """The parameters in a vector."""
        parts = np.split(vector, self.cuts[:-1])
        return {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def join(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """The vector of parameters; zero where one is left out."""
        return np.concatenate([np.ravel(arrays.get(name, np.zeros(shape))) for name, shape in self.shapes.items()])

    @cached_property
    def matrix(self) -> np.ndarray:
        """A: the derivative of the residual, which is affine."""
        size = int(self.cuts[-1])
        offset = self.residual(self.split(np.zeros(size)))
        return np.array([self.residual(self.split(unit)) - offset for unit in np.eye(size)]).T.reshape(offset.size, size)

    def project(self, changes: Mapping[str, np.ndarray]) -> Arrays:
        """The allowed changes nearest to the given ones: (I - A⁺A) g."""
        g = self.join(changes)
        return self.split(_settled(g - self._least(self.matrix @ g), g))

    def nearest(self, values: Mapping[str, np.ndarray]) -> Arrays:
        """The values nearest to the given ones that satisfy the constraints: θ - A⁺(A θ - c).

        Raises: ValueError where no values do.
        """
        given = self.join(values)
        moved = self.split(_settled(given - self._least(self.residual(self.split(given))), given))
        left = np.max(np.abs(self.residual(moved)), initial=0.0)
        size = np.max(np.abs([*self.residual(self.split(np.zeros(self.cuts[-1]))), *given]), initial=0.0)
        if left > 1e-9 * size:
            names = " and ".join(self.shapes)
            raise ValueError(f"no values of {names} satisfy all of the constraints; the nearest miss them by {left:.2g}")
        return moved

    def _least(self, right: np.ndarray) -> np.ndarray:
        return np.linalg.lstsq(self.matrix, right, rcond=None)[0]
