"""The sunspot example: it runs, is ahead of persistence on years it has not seen, and repeats itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("statsmodels", reason="the sunspot numbers come with statsmodels")
pytest.importorskip("matplotlib", reason="the example draws with matplotlib")

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "sunspots.py"
FEW = {"iterations": 40, "restarts": 2, "seed": 0}


@pytest.fixture(scope="module")
def sunspots():
    spec = importlib.util.spec_from_file_location("sunspots_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETROGRAD_CACHE", str(tmp_path_factory.mktemp("kernels") / "cache"))
        yield


@pytest.fixture(scope="module")
def first(sunspots, tmp_path_factory):
    picture = tmp_path_factory.mktemp("plots") / "sunspots.png"
    return sunspots.main(**FEW, output=str(picture)), picture


def test_network_is_ahead_of_persistence(first):
    errors, _ = first
    assert all(np.isfinite(error) and error > 0 for error in errors.values())
    assert errors["network"] < 0.8 * errors["persistence"]


def test_baselines_do_not_depend_on_training(first):
    errors, _ = first
    assert errors["persistence"] == pytest.approx(32.90, abs=0.01)
    assert errors["autoregression (9)"] == pytest.approx(19.14, abs=0.01)
    assert errors["autoregression (9) of square roots"] == pytest.approx(16.66, abs=0.01)


def test_plot_is_a_picture(first):
    _, picture = first
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_same_seed_same_numbers(sunspots, first):
    assert sunspots.main(**FEW) == first[0]


def test_held_out_years_take_no_part(sunspots):
    """Other numbers in the held-out years leave the trained forecasts of earlier years as they are, to the bit."""
    series = 50 + 40 * np.sin(np.arange(80) * 0.6)
    other = series.copy()
    other[60:] += 25
    forecasts = [sunspots.network_forecast(numbers, train=59, iterations=3, restarts=1, seed=0) for numbers in (series, other)]
    assert np.array_equal(forecasts[0][:59], forecasts[1][:59])
    assert not np.array_equal(forecasts[0][60:], forecasts[1][60:])


def test_a_worse_network_would_be_seen(sunspots, first):
    """Without training the network is behind persistence, so the comparison can fail."""
    untrained = sunspots.main(iterations=0, restarts=1, seed=0)
    assert not untrained["network"] < 0.8 * untrained["persistence"]
