"""Row S18: the gradient is modified so that weights that satisfied linear constraints go on doing so, as in Hinton's lecture."""

import re

import numpy as np
import pytest
from oracles import stock_layouts

from derive.files import read_file
from tests.codegen.kernel_cases import worst
from tests.sources.printed import kernel, missing

RATE = 0.1


def text(name):
    return read_file(name)[0].decode()


def free(name):
    """The file without its constraints."""
    return re.sub(r"^assert .*\n", "", text(name), flags=re.MULTILINE)


def test_s18_derivatives_of_equal_weights_are_averaged():
    values = stock_layouts.draw("tied", seed=3)
    grads, apart = (kernel(name).value_and_grad(values)[1] for name in ("tied", free("tied")))
    mean = (apart["W1"] + apart["W2"]) / 2
    assert worst(grads["W1"], mean) < 1e-12 and worst(grads["W2"], mean) < 1e-12 and worst(apart["W1"], mean) > 1e-3
    after = {label: values[label] - RATE * grads[label] for label in ("W1", "W2")}
    assert np.array_equal(after["W1"], after["W2"])
    kernel("tied").forward({**values, **after})
    with pytest.raises(ValueError, match="W1"):
        kernel("tied").forward({**values, **{label: values[label] - RATE * apart[label] for label in after}})


def test_s18_derivatives_of_one_shared_weight_are_added():
    values = stock_layouts.draw("tied", seed=3)
    shared = re.sub(r"^W2: .*\n", "", free("tied"), flags=re.MULTILINE).replace("W2", "W1")
    both = kernel(shared).value_and_grad({label: a for label, a in values.items() if label != "W2"})[1]["W1"]
    apart, grads = (kernel(name).value_and_grad(values)[1] for name in (free("tied"), "tied"))
    assert worst(both, apart["W1"] + apart["W2"]) < 1e-12 and worst(both, grads["W1"] + grads["W2"]) < 1e-12


def test_s18_symmetric_weights_stay_symmetric():
    values = stock_layouts.draw("hopfield", seed=4)
    grads, apart = (kernel(name).value_and_grad(values)[1] for name in ("hopfield", free("hopfield")))
    wanted = (apart["W"] + apart["W"].T) / 2
    wanted -= np.diag(np.diag(wanted))
    assert worst(grads["W"], wanted) < 1e-12 and worst(grads["W"], apart["W"]) > 1e-3
    kernel("hopfield").forward({**values, "W": values["W"] - RATE * grads["W"]})
    for wrong in (apart["W"], (apart["W"] + apart["W"].T) / 2):
        with pytest.raises(ValueError, match="W"):
            kernel("hopfield").forward({**values, "W": values["W"] - RATE * wrong})


def test_s18_both_readings_are_printed():
    lines = ["(∂E/∂W1)_shared = ∂E/∂W1 + ∂E/∂W2", "(Π grad)_W1 = (∂E/∂W1 + ∂E/∂W2)/2", "ΔW1 = −η (Π grad)_W1", "ΔW2 = −η (Π grad)_W2"]
    assert missing("tied", "A vec(Δθ) = 0", *lines) == []
    assert missing(free("tied"), *lines) == lines
