"""One-step forecasts of yearly sunspot numbers, trained with SciPy on a compiled gradient.

Input: the yearly numbers 1700-2008 that come with statsmodels, and the recurrence in `sunspots.rec`. Output: the errors
on the last sixty years beside persistence and linear autoregressions, and a plot. Those years play no part in training:
their weight in the objective is zero. Nor did they in choosing the number of units, the decay, the two input lags, or
the order of the autoregressions: these were compared on 1829-1888 and 1889-1948, training on the years before each.
There the network was ahead of all three; on the held-out years it is ahead of persistence and of the autoregression,
but behind the autoregression of square roots.

Run `python sunspots.py --output sunspots.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from statsmodels.datasets import sunspots

import codegen

UNITS, LAGS, ORDER = 12, 2, 9
SCALE = 100.0                                  # sunspot numbers are fed in hundreds
HELD_OUT = 60                                  # years
SHAPES = {"W": (UNITS, UNITS), "U": (UNITS, LAGS), "b": (UNITS,), "V": (1, UNITS), "P": (1, LAGS), "c": (1,)}


def windows(series: np.ndarray, lags: int) -> np.ndarray:
    """Stack each year's value and those of the years before it, (T,) to (T, lags); zeros before the first."""
    return np.stack([np.concatenate([np.zeros(i), series[: len(series) - i]]) for i in range(lags)], axis=1)


def unpack(vector: np.ndarray) -> dict[str, np.ndarray]:
    """Name the parameters in the one vector that SciPy moves."""
    ends = np.cumsum([np.prod(shape) for shape in SHAPES.values()])[:-1]
    return {name: part.reshape(SHAPES[name]) for name, part in zip(SHAPES, np.split(vector, ends), strict=True)}


def starting_point(rng: np.random.Generator) -> np.ndarray:
    """Draw small random parameters, matrices scaled by their fan-in."""
    return np.concatenate([
        rng.normal(size=shape).ravel() * (0.5 / np.sqrt(shape[-1]) if len(shape) == 2 else 0.1)
        for shape in SHAPES.values()
    ])


def network_forecast(numbers: np.ndarray, train: int, iterations: int, restarts: int, seed: int) -> np.ndarray:
    """Average the forecasts of the restarts for every year but the first, (T,), in sunspot numbers.

    Only the first `train` forecasts are scored in training; the objective is the mean squared error over them, in
    units of SCALE squared, plus the weight penalty.
    """
    kernel = codegen.compile(str(Path(__file__).with_name("sunspots.rec")), dtype="float64")
    weights = np.where(np.arange(len(numbers) - 1) < train, 1.0 / train, 0.0)
    data = {
        "x": windows(numbers[:-1] / SCALE, LAGS)[:, None, :],
        "d": (numbers[1:] / SCALE)[:, None, None],
        "w": weights[:, None],
    }

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, grads = kernel.value_and_grad({**data, **unpack(vector)})
        return value, np.concatenate([np.ravel(grads[name]) for name in SHAPES])

    forecasts = []
    for restart in range(restarts):
        start = starting_point(np.random.default_rng(seed + restart))
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxcor": 20})
        run = kernel.forward({**data, **unpack(found.x)})
        forecasts.append(SCALE * np.asarray(run["y"])[:, 0, 0])
        print(f"restart {restart}: objective {found.fun:.6f} after {found.nit} iterations")
    return np.mean(forecasts, axis=0)


def autoregression(series: np.ndarray, train: int) -> np.ndarray:
    """Forecast a series one step ahead by least squares on its training years, (T,) to (T-1,)."""
    past = np.column_stack([windows(series[:-1], ORDER), np.ones(len(series) - 1)])
    years = slice(ORDER - 1, train)            # the first years lack a full past
    coefficients = np.linalg.lstsq(past[years], series[1:][years], rcond=None)[0]
    return past @ coefficients


def plot(years: np.ndarray, numbers: np.ndarray, forecasts: dict[str, np.ndarray], output: str) -> None:
    """Save the held-out years, observed and forecast."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4))
    axes.plot(years, numbers, "k.-", label="observed")
    for name, forecast in forecasts.items():
        axes.plot(years, forecast, linewidth=1, label=name)
    axes.set_xlabel("year")
    axes.set_ylabel("sunspot number")
    axes.set_title("One-step forecasts of held-out years")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)
    figure.tight_layout()
    figure.savefig(output, dpi=120)
    pyplot.close(figure)


def main(iterations: int = 400, restarts: int = 6, seed: int = 0, output: str | None = None) -> dict[str, float]:
    """Train, forecast, and compare; returns the root mean squared error on the held-out years by method."""
    table = sunspots.load_pandas().data
    years, numbers = table["YEAR"].to_numpy(), table["SUNACTIVITY"].to_numpy()
    train = len(numbers) - 1 - HELD_OUT
    forecasts = {
        "network": network_forecast(numbers, train, iterations, restarts, seed),
        "persistence": numbers[:-1],
        f"autoregression ({ORDER})": autoregression(numbers, train),
        f"autoregression ({ORDER}) of square roots": autoregression(np.sqrt(numbers), train) ** 2,
    }
    held = {name: forecast[train:] for name, forecast in forecasts.items()}
    observed = numbers[1:][train:]
    errors = {name: float(np.sqrt(np.mean((forecast - observed) ** 2))) for name, forecast in held.items()}
    print(f"root mean squared error, {years[1:][train]:.0f}-{years[-1]:.0f}, none of them used in training:")
    for name, error in errors.items():
        print(f"  {name:36s}{error:6.2f}")
    if output is not None:
        plot(years[1:][train:], observed, held, output)
    return errors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=400, help="L-BFGS-B iterations per restart")
    parser.add_argument("--restarts", type=int, default=6, help="random starting points, whose forecasts are averaged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="sunspots.png", help="file for the plot")
    main(**vars(parser.parse_args()))
