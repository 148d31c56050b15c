"""Gradcheck: Problem -> Report.

Differences every entry of every gradient, then tests objective and gradient as a whole: Taylor slope, tangent against
gradient, saturation, motion. Knows callables and arrays only.

| check | rejects |
| --- | --- |
| entries, one by one | anything wrong in any entry |
| random directions | what a sample of entries missed; a complex step through a function that is not analytic |
| Taylor slope on the kernel | a kernel whose objective and gradient do not belong together |
| dot product with the tangent | a gradient that is not the transpose of the tangent |
"""

from __future__ import annotations

import numpy as np

from codegen.differences import Taylor, Values, measure_taylor, shift
from codegen.entries import FLOAT32, choose_entries, compare_float32, examine
from codegen.problem import KINK_DISTANCE, Problem, Trial, as_float64, prepare
from codegen.report import Quantity, Report

__all__ = ["Problem", "Report", "check"]

SATURATED = 0.2
DOT_PRODUCT = {"float64": 1e-11, "float32": FLOAT32}
OBJECTIVE = {"float64": 1e-10, "float32": FLOAT32}
IMPRECISE = 1e-7


def check(problem: Problem, *, dtype: str = "float64", seed: int = 0, max_entries: int = 20_000) -> Report:
    """Check a gradient numerically, at one random point.

    The float64 gradient is differenced entry by entry, up to `max_entries` in all (beyond them a random sample and
    random directions, and at best a weak pass). With dtype "float32" that gradient is `reference_gradient`, and
    `gradient` is compared with it to 1e-4 in norm; nothing is ever differenced in float32.

    Shapes, units: see `Problem` and `Quantity`. The same seed gives the same report.
    Raises: ValueError for a problem that cannot be checked as asked; whatever the callables raise.
    Source: complex step [squire1998]; Richardson extrapolation; dot-product test [griewank2008].
    """
    _refuse(problem, dtype, max_entries)
    rng = np.random.default_rng(seed)
    trial = prepare(problem, dtype, rng)
    if not np.isfinite(trial.objective):
        return Report((), trial.objective, seed, dtype, draws=trial.draws, kink_distance=trial.kink_distance,
                      failures=("the objective is NaN or infinite",))
    chosen = choose_entries({name: trial.valid[name] for name in problem.free if trial.depends(name)}, max_entries, rng)
    quantities = [examine(trial, name, chosen.get(name, np.empty(0, int)), rng) for name in problem.free]
    tested = trial.gradient
    if dtype == "float32":
        tested = as_float64(problem.gradient(trial.point), problem.free)
        quantities += [compare_float32(trial, name, tested.get(name)) for name in problem.free]
    usable = all(trial.usable(name) for name in problem.free)
    taylor = _run_taylor(trial, dtype, rng) if usable else None
    kernel = None if problem.kernel_value is None else float(np.real(problem.kernel_value(trial.point)))
    tangent = _test_tangent(trial, tested, rng) if usable and not any(row.failed for row in quantities) else None
    saturation = None if problem.saturation is None else float(problem.saturation(trial.point))
    failures = [*_reject_quantities(quantities), *_reject_changes(trial), *_reject_stillness(trial, rng),
                *_reject_taylor(taylor), *_reject_kernel(trial, kernel, dtype), *_reject_tangent(trial, tangent, dtype),
                *_reject_saturation(saturation)]
    return Report(tuple(quantities), trial.objective, seed, dtype, kernel, taylor.slope if taylor else None,
                  taylor.steps if taylor else (), taylor.remainders if taylor else (), tangent, saturation,
                  trial.kink_distance, trial.draws, tuple(failures), tuple(_list_weaknesses(trial, quantities)))


def _refuse(problem: Problem, dtype: str, max_entries: int) -> None:
    if dtype not in DOT_PRODUCT:
        raise ValueError(f"dtype is {dtype!r}; write 'float64' or 'float32'")
    if dtype == "float32" and problem.reference_gradient is None:
        raise ValueError("a float32 gradient is compared with a float64 one: give the problem a reference_gradient")
    if not problem.free:
        raise ValueError("free is empty: name at least one quantity to differentiate")
    if max_entries < 1:
        raise ValueError(f"max_entries is {max_entries}; write 1 or more")


def _moving(trial: Trial) -> list[str]:
    return [name for name in trial.problem.free if trial.depends(name)]


def _product(gradient: Values, direction: Values) -> float:
    return sum(float(np.sum(gradient[name] * along)) for name, along in direction.items())


def _run_taylor(trial: Trial, dtype: str, rng: np.random.Generator) -> Taylor:
    """On the kernel's own objective in float64; on the reference with float32, which resolves no remainder, and where values are held."""
    own = dtype == "float64" and trial.problem.held is None
    kernel = trial.problem.kernel_value if own else None
    direction = trial.direction(_moving(trial), rng)
    product = _product(trial.gradient, direction)
    return measure_taylor(kernel or trial.problem.value, trial.point, direction, product, trial.noise())


def _test_tangent(trial: Trial, tested: Values, rng: np.random.Generator) -> float | None:
    """|g.u - tangent along u| relative to |g| |u|, over all quantities at once."""
    if trial.problem.jvp is None:
        return None
    direction = trial.direction(trial.problem.free, rng)
    difference = abs(_product(tested, direction) - float(np.real(trial.problem.jvp(trial.point, direction))))
    norms = [np.sqrt(sum(float(np.sum(mapping[name] ** 2)) for name in direction)) for mapping in (tested, direction)]
    size = float(norms[0] * norms[1])
    return difference / size if size > 0 else difference


def _reject_quantities(quantities: list[Quantity]) -> list[str]:
    return [f"{row.name}: {row.status.removeprefix('failed: ')}" for row in quantities if row.failed]


def _reject_changes(trial: Trial) -> list[str]:
    return [f"{name} was changed by a callable that was only to read it" for name, array in trial.point.items()
            if not np.array_equal(array, trial.drawn[name], equal_nan=array.dtype.kind in "fc")]


def _reject_stillness(trial: Trial, rng: np.random.Generator) -> list[str]:
    direction = trial.direction(_moving(trial), rng)
    moved = [float(np.real(trial.problem.value(shift(trial.point, direction, step)))) for step in (0.1, -0.01, 0.001)]
    if np.nanmax(np.abs(np.array([*moved, trial.objective]) - trial.objective)) > trial.rounding():
        return []
    return ["the objective does not move with what is differentiated"]


def _reject_taylor(taylor: Taylor | None) -> list[str]:
    if taylor is None or taylor.accepted:
        return []
    return [f"Taylor slope {taylor.slope:.2f} where a right gradient gives 2"]


def _reject_kernel(trial: Trial, kernel: float | None, dtype: str) -> list[str]:
    if kernel is None or trial.objective == kernel:
        return []
    allowed = (OBJECTIVE[dtype] + trial.problem.precision) * abs(trial.objective) + trial.noise()
    if dtype == "float32":
        allowed += FLOAT32 * trial.noise() / (64 * trial.problem.precision)
    if abs(kernel - trial.objective) <= allowed:
        return []
    return [f"the kernel's objective is {kernel:.9g}, the reference's {trial.objective:.9g}"]


def _reject_tangent(trial: Trial, tangent: float | None, dtype: str) -> list[str]:
    if tangent is None or tangent <= DOT_PRODUCT[dtype] + trial.problem.precision:
        return []
    return [f"gradient and tangent disagree by {tangent:.1e} in the dot-product test"]


def _reject_saturation(saturation: float | None) -> list[str]:
    if saturation is None or saturation <= SATURATED:
        return []
    return [f"{100 * saturation:.0f} % of the sigmoid-like units are saturated, more than {100 * SATURATED:.0f} %"]


def _list_weaknesses(trial: Trial, quantities: list[Quantity]) -> list[str]:
    found = list(trial.problem.weaknesses)
    found += [f"{row.name}: {row.status.removeprefix('weak: ')}" for row in quantities if row.status.startswith("weak")]
    found += [f"{name} was drawn as zero" for name in _moving(trial)
              if trial.valid[name].any() and not trial.point[name][trial.valid[name]].any()]
    if trial.kink_distance is not None and not trial.kink_distance >= KINK_DISTANCE:
        found.append(f"no point farther than {trial.kink_distance:.1e} from a kink in {trial.draws} draws")
    if trial.problem.precision > IMPRECISE:
        found.append(f"the objective itself is only precise to {trial.problem.precision:.0e}")
    return found
