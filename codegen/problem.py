"""Problem: callables on arrays -> Trial, the same problem at one drawn point, ready to be differenced.

Input: an objective, the gradient under test and a way to draw values. Output: a point away from kinks, the objective
and gradient there, and the directions in which it may be moved. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codegen.differences import EPSILON, Values

KINK_DISTANCE = 1e-3
MAX_DRAWS = 100

# Callables take mappings from names to arrays; Any, since the caller's own mapping type is as good as another.
Function = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be checked: a scalar objective and a gradient, as callables on mappings from names to arrays.

    Shapes: a gradient has the shape of its quantity. Units: gradients are in units of the objective over those of the
    quantity. Callables must not change their arguments, and raise their own errors, which are passed on.
    """

    value: Function                     # reference objective, for float64 and (where `analytic`) complex128 arrays
    gradient: Function                  # gradient under test: names in `free` -> arrays; may be float32
    draw: Callable[[np.random.Generator], dict[str, np.ndarray]]    # values for everything; float64, initial ones not 0
    free: tuple[str, ...]               # names to differentiate, as in "W", "h[0]", "x"
    analytic: bool                      # complex step allowed; else Richardson-extrapolated central differences
    reference_gradient: Function | None = None      # float64 gradient that a float32 `gradient` is compared with
    kernel_value: Function | None = None            # objective of the compiled kernel
    path: Mapping[str, bool] = field(default_factory=dict)      # False: no dependence; absent: True
    kink_distance: Function | None = None   # least distance of any argument of abs, relu, ... from its kink
    saturation: Function | None = None      # fraction of sigmoid-like units that are saturated
    jvp: Callable[[Any, Any], float] | None = None      # (values, direction) -> derivative of the objective along it
    mask: Function | None = None        # names -> True where an entry may be perturbed; gradients elsewhere are 0
    held: Function | None = None        # values -> further values, which stay as they are while the point is moved
    feasible: Function | None = None    # direction over all of `free` -> its projection onto what constraints allow
    precision: float = EPSILON          # relative accuracy of value and gradient; larger for iterated steady states
    weaknesses: tuple[str, ...] = ()    # what the user's own sizes hide, as in "T = 1: no gradient passes through time"


@dataclass(frozen=True, slots=True)
class Trial:
    """A problem at one point: the float64 gradient to be differenced, and where and how far the point may be moved."""

    problem: Problem
    point: Values
    drawn: Values                       # a copy from before any gradient was asked for, to see what callables change
    draws: int
    kink_distance: float | None
    objective: float
    gradient: Values                    # as returned, in float64; names and shapes not yet checked
    valid: Mapping[str, np.ndarray]     # True where an entry may be perturbed
    scale: Mapping[str, float]          # root mean square of each quantity; 1 where that is zero

    def depends(self, name: str) -> bool:
        """Whether the objective is said to depend on a quantity."""
        return self.problem.path.get(name, True)

    def usable(self, name: str) -> bool:
        """Whether the gradient of a quantity is there, has its shape, and is finite."""
        gradient = self.gradient.get(name)
        return gradient is not None and gradient.shape == self.point[name].shape and bool(np.isfinite(gradient).all())

    def unit(self, name: str, entry: int) -> dict[str, np.ndarray]:
        """Return the direction that moves one entry, given by its flat index, and what constraints tie to it."""
        along = np.zeros(self.point[name].shape)
        along.flat[entry] = 1.0
        return self._allow({name: along})

    def direction(self, names: Sequence[str], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw a direction over some quantities: entries of their size, zero where nothing may move."""
        normal = {name: self.scale[name] * rng.standard_normal(self.point[name].shape) for name in names}
        return self._allow({name: np.where(self.valid[name], along, 0.0) for name, along in normal.items()})

    def _allow(self, direction: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.problem.feasible is None:
            return direction
        still = {name: np.zeros(self.point[name].shape) for name in self.problem.free}
        return dict(self.problem.feasible(still | direction))

    def floor(self, name: str) -> float:
        """Estimate the rounding in a gradient from the largest contribution of any quantity to the objective."""
        largest = max((float(np.max(np.abs(self.gradient[other]), initial=0.0)) * self.scale[other]
                       for other in self.problem.free if self.usable(other)), default=0.0)
        return 16 * self.problem.precision * largest / self.scale[name]

    def rounding(self) -> float:
        """Estimate the rounding in the objective's own value."""
        return 64 * self.problem.precision * abs(self.objective)

    def noise(self) -> float:
        """Estimate the rounding in the objective: of its own value, and of the values it was computed from."""
        moved = sum(float(np.sum(np.abs(self.gradient[name] * self.point[name]), where=self.valid[name]))
                    for name in self.problem.free if self.usable(name))
        return self.rounding() + 64 * self.problem.precision * moved


def prepare(problem: Problem, dtype: str, rng: np.random.Generator) -> Trial:
    """Draw a point, again while it lies near a kink, and take objective and float64 gradient there.

    For float32 the point is rounded first, so that both precisions see the same one.

    Raises: ValueError naming what `draw` left out.
    """
    point, draws, distance = _draw(problem, dtype, rng)
    missing = [name for name in problem.free if name not in point]
    if missing:
        raise ValueError(f"draw() returned no values for {', '.join(missing)}; it must return every name in free")
    masks = problem.mask(point) if problem.mask is not None else {}
    valid = {name: np.broadcast_to(np.asarray(masks.get(name, True), bool), point[name].shape) for name in problem.free}
    gradient = problem.reference_gradient if dtype == "float32" else problem.gradient
    assert gradient is not None
    drawn = {name: array.copy() for name, array in point.items()}
    scale = {name: _size(point[name][valid[name]]) for name in problem.free}
    objective = float(np.real(problem.value(point)))
    return Trial(problem, point, drawn, draws, distance, objective, as_float64(gradient(point), problem.free),
                 valid, scale)


def as_float64(gradient: Values, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Widen gradients; names that are missing stay missing."""
    return {name: np.asarray(gradient[name], dtype=np.float64) for name in names if name in gradient}


def _draw(problem: Problem, dtype: str, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], int, float | None]:
    best: dict[str, np.ndarray] = {}
    farthest = -np.inf
    for draws in range(1, MAX_DRAWS + 1):
        point = {name: _rounded(np.array(array), dtype) for name, array in problem.draw(rng).items()}
        if problem.held is not None:
            point |= problem.held(point)
        if problem.kink_distance is None:
            return point, draws, None
        distance = float(problem.kink_distance(point))
        if distance > farthest or not best:
            best, farthest = point, distance
        if distance >= KINK_DISTANCE:
            break
    return best, draws, farthest


def _rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype).astype(np.float64) if array.dtype.kind == "f" else array


def _size(entries: np.ndarray) -> float:
    size = float(np.sqrt(np.mean(entries**2))) if entries.size else 0.0
    return size if size > 0 else 1.0
