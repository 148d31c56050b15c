"""Entries: a Trial -> one Quantity per gradient, every entry compared with a numeric derivative.

Tolerances are per entry: a share of the entry itself, and a floor from the largest entry and from rounding. What the
floor could hide is stated as a weakness, never passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codegen.differences import EPSILON, FIRST_STEP, Estimate, complex_step, extrapolate, shift
from codegen.problem import Trial
from codegen.report import Quantity

SHARE = {"complex step": 1e-10, "Richardson": 1e-8}     # of the entry itself
FLOOR = {"complex step": 1e-12, "Richardson": 1e-10}    # of the largest entry of the quantity
HIDDEN = 1e-6       # a floor above this share of the largest entry makes the verdict weak
UNSETTLED = 1e-3    # differences that disagree among themselves by more than this share decide nothing
FLOAT32 = 1e-4      # normwise, by Euclidean norm and by largest entry


@dataclass(frozen=True, slots=True)
class Comparison:
    """Gradient entries beside their references, with the tolerance of each; all of one length."""

    entries: np.ndarray     # flat indices
    gradient: np.ndarray
    reference: np.ndarray
    tolerance: np.ndarray
    steps: np.ndarray

    def fill(self, quantity: Quantity) -> Quantity:
        """Add the measured errors to a quantity; it fails if an entry is beyond its tolerance or not finite."""
        if self.entries.size == 0:
            return quantity
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.abs(self.gradient - self.reference)
            excess = np.where(error == 0, 0.0, error / self.tolerance)
        bad = ~np.isfinite(error)
        worst = int(np.argmax(np.where(bad, np.inf, excess)))
        index = tuple(int(i) for i in np.unravel_index(int(self.entries[worst]), quantity.shape))
        size = float(np.linalg.norm(self.reference))
        absolute = float("nan") if bad.any() else float(np.max(error))
        relative = float(np.linalg.norm(error)) / size if size > 0 else absolute and float("inf")
        status = quantity.status
        if bad.any():
            status = f"failed: NaN or infinite at {index}"
        elif excess[worst] > 1:
            status = f"failed: wrong at {index}, {int(np.sum(excess > 1))} of {error.size} entries compared"
        return replace(quantity, checked=self.entries.size, absolute=absolute, relative=relative, worst=index,
                       status=status, step=float(self.steps[worst]) if self.steps.size else None,
                       gradient=float(self.gradient[worst]), reference=float(self.reference[worst]))


def choose_entries(valid: Mapping[str, np.ndarray], limit: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Flat indices of the entries to difference: all of them, or a random `limit`, small quantities in full first."""
    chosen, left = {}, limit
    by_size = sorted(valid, key=lambda name: int(np.sum(valid[name])))
    for position, name in enumerate(by_size):
        entries = np.flatnonzero(valid[name])
        share = max(1, left // (len(by_size) - position))
        if entries.size > share:
            entries = np.sort(rng.choice(entries, size=share, replace=False))
        chosen[name], left = entries, left - entries.size
    return chosen


def examine(trial: Trial, name: str, entries: np.ndarray, rng: np.random.Generator) -> Quantity:
    """Compare one gradient with numeric derivatives, at the given entries and along random directions."""
    shape, count = trial.point[name].shape, int(np.sum(trial.valid[name]))
    method = "complex step" if trial.problem.analytic else "Richardson"
    blank = Quantity(name, shape, count, 0, method)
    fault = find_fault(trial, name, trial.gradient.get(name))
    if not trial.depends(name):
        return _prove_zero(trial, replace(blank, method="no path"), fault, rng)
    if not trial.usable(name):
        return replace(blank, method="none", status=f"failed: {fault}")
    if count == 0:
        return replace(blank, method="none", status=f"failed: {fault}" if fault else "weak: no entry may be perturbed")
    estimates = [_differentiate(trial, name, int(entry)) for entry in entries]
    quantity = _weigh(trial, _compare(trial, name, entries, estimates, method).fill(blank), estimates)
    if not quantity.failed:
        quantity = _try_directions(trial, quantity, rng, 1 if entries.size == count else 4)
    if not quantity.failed and quantity.checked < count and quantity.status == "passed":
        quantity = replace(quantity, status=f"weak: {quantity.checked} of {count} entries differenced")
    return replace(quantity, status=f"failed: {fault}") if fault else quantity


def find_fault(trial: Trial, name: str, gradient: np.ndarray | None) -> str | None:
    """Say what is wrong with a gradient on sight, without differencing; None where nothing is."""
    point, valid = trial.point[name], trial.valid[name]
    if gradient is None:
        return "no gradient returned"
    if gradient.shape != point.shape:
        return f"gradient has shape {gradient.shape}, the quantity has {point.shape}"
    if not np.isfinite(gradient).all():
        return f"NaN or infinite at {_first(~np.isfinite(gradient))}"
    if gradient[~valid].any():
        return f"not zero at {_first((gradient != 0) & ~valid)}, which the objective never reads"
    if not trial.depends(name):
        return f"not zero at {_first(gradient != 0)} although no dependence path exists" if gradient.any() else None
    return None if gradient.any() or not valid.any() else "zero although a dependence path to the objective exists"


def compare_float32(trial: Trial, name: str, gradient: np.ndarray | None) -> Quantity:
    """Compare a float32 gradient (already widened) with the float64 gradient: at most 1e-4, normwise."""
    shape, count = trial.point[name].shape, int(np.sum(trial.valid[name]))
    blank = Quantity(name, shape, count, 0, "float32 against float64")
    fault = find_fault(trial, name, gradient)
    if fault or gradient is None or not trial.usable(name):
        return replace(blank, status=f"failed: {fault or 'no float64 gradient to compare with'}")
    entries, reference = np.arange(gradient.size), trial.gradient[name].ravel()
    tolerance = np.full(gradient.size, FLOAT32 * float(np.max(np.abs(reference), initial=0.0)))
    quantity = Comparison(entries, gradient.ravel(), reference, tolerance, np.empty(0)).fill(blank)
    if not quantity.failed and quantity.relative is not None and quantity.relative > FLOAT32:
        return replace(quantity, status=f"failed: wrong by {quantity.relative:.1e} in norm")
    return quantity


def _first(where: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])


def _differentiate(trial: Trial, name: str, entry: int) -> Estimate:
    direction, problem = trial.unit(name, entry), trial.problem
    if problem.analytic:
        return complex_step(problem.value, trial.point, direction)
    size = max(abs(float(trial.point[name].flat[entry])), trial.scale[name])
    goal = 1e-10 * float(np.max(np.abs(trial.gradient[name])))
    return extrapolate(problem.value, trial.point, direction, first=FIRST_STEP * size, goal=goal,
                       precision=problem.precision)


def _compare(trial: Trial, name: str, entries: np.ndarray, estimates: Sequence[Estimate], method: str) -> Comparison:
    reference = np.array([estimate.value for estimate in estimates])
    tolerance = (SHARE[method] + _inexact(trial)) * np.abs(reference) + _floor(trial, name, estimates, method)
    return Comparison(entries, trial.gradient[name].ravel()[entries], reference, tolerance,
                      np.array([estimate.step for estimate in estimates]))


def _floor(trial: Trial, name: str, estimates: Sequence[Estimate], method: str) -> np.ndarray:
    largest = max(abs(estimate.value) for estimate in estimates)
    uncertain = 4 * np.array([estimate.error for estimate in estimates])
    return (FLOOR[method] + _inexact(trial)) * largest + trial.floor(name) + uncertain


def _inexact(trial: Trial) -> float:
    return trial.problem.precision if trial.problem.precision > EPSILON else 0.0


def _settles(trial: Trial, estimate: Estimate, size: float, floor: float) -> bool:
    """Whether steps agree among themselves, to a share of `size` or as far as rounding lets them."""
    return estimate.error == 0 or estimate.error <= max(UNSETTLED * size, trial.rounding() / estimate.step + floor)


def _weigh(trial: Trial, quantity: Quantity, estimates: Sequence[Estimate]) -> Quantity:
    """Reject differences that never settled, and state what the tolerance could hide."""
    largest, floor = max(abs(estimate.value) for estimate in estimates), trial.floor(quantity.name)
    if not all(_settles(trial, estimate, largest, floor) for estimate in estimates):
        return replace(quantity, status="failed: differences do not settle; a kink is too near, or the objective noisy")
    if quantity.failed:
        return quantity
    hidden = float(np.max(_floor(trial, quantity.name, estimates, quantity.method)))
    if hidden > UNSETTLED * largest:
        return replace(quantity, status="weak: at rounding level beside the other gradients")
    if hidden > HIDDEN * largest:
        return replace(quantity, status=f"weak: errors below {hidden / largest:.0e} of the largest entry could hide")
    return quantity


def _try_directions(trial: Trial, quantity: Quantity, rng: np.random.Generator, count: int) -> Quantity:
    """Compare along random directions, by a real difference too: it alone sees a complex step that is not allowed."""
    problem, floor, worst = trial.problem, trial.floor(quantity.name), 0.0
    for _ in range(count):
        direction = trial.direction([quantity.name], rng)
        terms = [trial.gradient[name] * along for name, along in direction.items() if trial.usable(name)]
        product, size = sum(float(np.sum(term)) for term in terms), sum(float(np.sum(np.abs(term))) for term in terms)
        slack = floor * sum(float(np.sum(np.abs(along))) for along in direction.values())
        real = extrapolate(problem.value, trial.point, direction, goal=1e-10 * size, precision=problem.precision)
        exact = complex_step(problem.value, trial.point, direction) if problem.analytic else real
        span = size + abs(real.value)
        doubt = (SHARE["Richardson"] + _inexact(trial)) * span + 4 * real.error + slack
        if not (_settles(trial, real, span, slack) and abs(real.value - exact.value) <= doubt):
            return replace(quantity, status=_doubt(quantity, exact, real))
        error = abs(product - exact.value)
        if not error <= (SHARE[quantity.method] + _inexact(trial)) * size + 4 * exact.error + slack:
            return replace(quantity, status=f"failed: {product:.9g} along a direction, difference {exact.value:.9g}")
        worst = max(worst, error / size if size > 0 else error)
    return replace(quantity, directional=worst)


def _doubt(quantity: Quantity, exact: Estimate, real: Estimate) -> str:
    if quantity.method == "Richardson":
        return "failed: differences along a direction do not settle; a kink is too near, or the objective noisy"
    return (f"failed: complex step {exact.value:.6g} and real difference {real.value:.6g} disagree along a direction; "
            "the objective is not analytic there, check it with analytic=False")


def _prove_zero(trial: Trial, quantity: Quantity, fault: str | None, rng: np.random.Generator) -> Quantity:
    """Without a path nothing may change, not even a bit: rounding cannot excuse it."""
    if fault:
        return replace(quantity, status=f"failed: {fault}")
    direction = trial.direction([quantity.name], rng)
    moved = float(np.real(trial.problem.value(shift(trial.point, direction, 1.0))))
    if moved != trial.objective:
        return replace(quantity, status="failed: the objective moves with it although no path is said to exist")
    return replace(quantity, checked=quantity.entries, absolute=0.0, relative=0.0, status="zero, proved")
