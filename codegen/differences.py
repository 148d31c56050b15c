"""Differences: an objective, a point and a direction -> numeric derivatives that carry their own error.

Complex step [squire1998], central differences with Richardson extrapolation, and Taylor remainders. Objectives are
callables on mappings from names to arrays; nothing here knows what they compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Values = Mapping[str, np.ndarray]
Objective = Callable[[Any], Any]

EPSILON = float(np.finfo(np.float64).eps)
COMPLEX_STEP = 1e-30
FIRST_STEP = 2.0**-7        # two halvings leave an error of about step**6 / 64, below rounding of the quotient
HALVINGS = 16               # down to 2e-7: gets under kinks that the first steps straddle
TAYLOR_STEPS = tuple(2.0**-k for k in range(3, 21))
MUST_BE_FINITE = 8          # of the smallest Taylor steps; larger ones may leave the objective's domain
FIT = 5                     # the slope is fitted to the smallest remainders above rounding, where the square dominates


@dataclass(frozen=True, slots=True)
class Estimate:
    """A derivative along a direction, a bound on its error (same units), and the smallest step that went into it."""

    value: float
    error: float
    step: float


@dataclass(frozen=True, slots=True)
class Taylor:
    """Remainders |R(p + e d) - R(p) - e g.d|, one per step e, and their slope in log-log (None: at rounding level)."""

    steps: tuple[float, ...]
    remainders: tuple[float, ...]
    slope: float | None

    @property
    def accepted(self) -> bool:
        """Whether the remainder falls like the square of the step, or has no resolvable part that does not."""
        return self.slope is None or self.slope >= 1.8


def shift(point: Values, direction: Values, step: complex) -> dict[str, np.ndarray]:
    """Move a point by `step` times a direction; arrays that the direction does not name are passed on."""
    return {**point, **{name: point[name] + step * along for name, along in direction.items()}}


def complex_step(objective: Objective, point: Values, direction: Values) -> Estimate:
    """Differentiate an analytic objective along a direction, exactly up to rounding.

    Silently wrong where the objective passes through `abs` or anything else that is not analytic: `extrapolate` along
    one direction tells. Source: [squire1998].
    """
    plane = {name: array.astype(np.complex128) if array.dtype.kind == "f" else array for name, array in point.items()}
    value = complex(objective(shift(plane, direction, COMPLEX_STEP * 1j)))
    return Estimate(value.imag / COMPLEX_STEP, 0.0, COMPLEX_STEP)


def extrapolate(objective: Objective, point: Values, direction: Values, *, first: float = FIRST_STEP,
                goal: float = 0.0, precision: float = EPSILON) -> Estimate:
    """Differentiate along a direction by central differences, Richardson-extrapolated over halved steps.

    Stops at an error of `goal`, or where rounding (`precision`, relative to the objective) forbids better. The error is
    the larger of rounding and the spread between neighbours in the extrapolation table. An infinite error means that
    no two steps gave finite values.
    """
    best = Estimate(float("nan"), float("inf"), first)
    last: list[float] = []
    for level in range(HALVINGS):
        step = first / 2**level
        up, down = (float(np.real(objective(shift(point, direction, sign * step)))) for sign in (1, -1))
        rounding = precision * (abs(up) + abs(down)) / (2 * step)
        row = [(up - down) / (2 * step)]
        for order, coarser in enumerate(last, start=1):
            value = row[-1] + (row[-1] - coarser) / (4**order - 1)
            error = max(abs(value - row[-1]), abs(value - coarser), rounding)
            if error < best.error:
                best = Estimate(value, error, step)
            row.append(value)
        last = row
        if level >= 2 and (best.error <= goal or best.error <= rounding):
            break
    return best


def measure_taylor(objective: Objective, point: Values, direction: Values, product: float, noise: float) -> Taylor:
    """Measure the remainders of an objective whose gradient is claimed to have `product` with the direction.

    A remainder not above `noise` (in units of the objective) counts as rounding. A remainder that is rounding at the
    smallest steps shows a right product even if a kink lies farther out.
    """
    here = float(np.real(objective(point)))
    moved = [float(np.real(objective(shift(point, direction, step)))) for step in TAYLOR_STEPS]
    remainders = np.abs(np.array(moved) - here - np.array(TAYLOR_STEPS) * product)
    if not np.isfinite(remainders[-MUST_BE_FINITE:]).all():
        return Taylor(TAYLOR_STEPS, tuple(remainders.tolist()), float("nan"))
    resolved = np.flatnonzero(remainders > noise)[-FIT:]
    at_rounding = float(np.median(remainders[-3:])) <= noise
    slope = None
    if resolved.size > 1:
        slope = float(np.polyfit(np.log(np.array(TAYLOR_STEPS)[resolved]), np.log(remainders[resolved]), 1)[0])
    if at_rounding and (resolved.size < 3 or slope is None or slope < 1.8):
        slope = None
    return Taylor(TAYLOR_STEPS, tuple(remainders.tolist()), slope)
