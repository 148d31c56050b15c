
import numpy as np
import pytest
from oracles import stock_layouts

from codegen.kernel import Kernel
from codegen.lower import lower
from derive.language import load
from tests.codegen.kernel_cases import everything, interpreted, same, worst

PLAIN = {"n": 4, "m": 3, "k": 2}


@pytest.fixture(scope="module")
def elman(compiled):
    return compiled("elman")


def draw(**others):
    return stock_layouts.draw("elman", seed=2, **{"steps": 6, "batch": 3, "dims": PLAIN} | others)


# arrays of every kind


def byte_swapped(a):
    return a.astype(a.dtype.newbyteorder())


def unaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype) if a.size else np.zeros(0)
    out = view[: a.size].reshape(a.shape)
    out[...] = a
    assert not out.flags.aligned or not a.size
    return out


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "negative strides": lambda a: a[::-1].copy()[::-1],
    "Fortran": np.asfortranarray,
    "read-only": read_only,
    "byte-swapped": byte_swapped,
    "unaligned": unaligned,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("lengths", [None, [2, 6, 4]])
def test_any_layout_of_arrays_gives_the_same_bits(elman, layout, lengths):
    values = draw(**({"lengths": lengths} if lengths else {}))
    turned = {label: LAYOUTS[layout](array) if label != "lengths" else array for label, array in values.items()}
    assert same(everything(elman, turned), everything(elman, values))


def test_one_array_may_stand_for_several_arguments(elman):
    values = draw()
    square = values["W"]
    overlapping = {**values, "W": square, "U": square[:, :3], "V": square[:2], "b": square[0], "c": square[1, :2]}
    apart = {label: array.copy() for label, array in overlapping.items()}
    assert same(everything(elman, overlapping), everything(elman, apart))


def test_arguments_are_never_modified(elman):
    for lengths in (None, [2, 6, 4]):
        values = draw(**({"lengths": lengths} if lengths else {}))
        before = {label: array.copy() for label, array in values.items()}
        run = elman.forward(values)
        seeds = {"h": np.ones((6, 3, 4)), "y": np.ones((6, 3, 2))}
        run.backward()
        run.backward(seeds)
        assert all(np.array_equal(values[label], before[label], equal_nan=True) for label in values)
        assert np.all(seeds["h"] == 1) and np.all(seeds["y"] == 1)


def test_weights_may_change_between_forward_and_backward_and_inputs_may_not(elman):
    values = draw()
    run = elman.forward(values)
    wanted = run.backward()
    for label in ("W", "U", "b", "V", "c"):
        values[label] += 1
    assert same(run.backward(), wanted) and not same(elman.forward(values).backward(), wanted)
    values["x"] += 1  # input sequences are read where they lie
    assert not same(run.backward(), wanted)


def test_results_are_the_callers_own(elman):
    run = elman.forward(draw())
    wanted = run.backward()
    for name in ("h", "y"):
        run[name][...] = np.nan
    for array in run.final.values():
        array[...] = np.nan
    found = run.backward()
    assert same(found, wanted)
    for array in found.values():
        array[...] = 0
    assert same(run.backward(), wanted)


# sizes at the edge


@pytest.mark.parametrize(("steps", "batch", "dims"), [
    (0, 3, PLAIN), (6, 0, PLAIN), (0, 0, PLAIN), (1, 1, {"n": 1, "m": 1, "k": 1}), (2, 1, {"n": 17, "m": 1, "k": 9}),
])  # fmt: skip
def test_empty_and_smallest_sizes(elman, steps, batch, dims):
    values = stock_layouts.draw("elman", seed=1, steps=steps, batch=batch, dims=dims)
    found, wanted = everything(elman, values), everything(interpreted("elman"), values)
    assert all(worst(found[name], wanted[name]) < 1e-13 for name in wanted)
    if not steps or not batch:
        assert found["E"] == 0 and all(not grad.any() for grad in elman.value_and_grad(values)[1].values())


def test_a_missing_batch_axis_is_added_and_taken_off_again(elman):
    whole = draw(batch=1)
    single = {label: array[:, 0] if label in ("x", "d") else (array[0] if label == "h[0]" else array) for label, array in whole.items()}
    found, wanted = everything(elman, single), everything(elman, whole)
    shapes = {label: np.shape(array) for label, array in single.items()} | {"h": (6, 4), "y": (6, 2)}
    for name, array in wanted.items():
        assert name == "E" or found[name].shape == shapes[name]
        assert np.array_equal(np.ravel(found[name]), np.ravel(array))
    run = elman.forward({**single, "lengths": 4})
    assert run["h"].shape == (6, 4) and not run["h"][4:].any() and run.final["h"].shape == (4,)
    back = run.backward({"h": np.ones((6, 4))})
    assert back["x"].shape == (6, 3) and back["h[0]"].shape == (4,)


# lengths


def test_nothing_beyond_a_sequences_end_is_read_and_results_are_zero_there(elman):
    lengths = [4, 0, 6, 1]
    values = draw(lengths=lengths)
    assert np.isnan(values["x"][4:, 0]).all() and np.isnan(values["d"]).any()
    clean = {label: np.nan_to_num(array) if label != "lengths" else array for label, array in values.items()}
    found = everything(elman, values)
    assert same(found, everything(elman, clean))
    for row, length in enumerate(lengths):
        for name in ("h", "y", "x", "d"):
            assert not found[name][length:, row].any()
            assert length == 0 or found[name][:length, row].any()


def test_each_sequence_is_as_if_it_were_alone(elman):
    lengths = [4, 6, 1]
    values = draw(lengths=lengths)
    whole = everything(elman, values)
    for row, length in enumerate(lengths):
        own = {label: array[:length, [row]] if label in ("x", "d") else (array[[row]] if label == "h[0]" else array)
               for label, array in values.items() if label != "lengths"}  # fmt: skip
        alone = everything(elman, own)
        assert worst(whole["h"][:length, [row]], alone["h"]) < 1e-14
        assert worst(whole["x"][:length, [row]], alone["x"]) < 1e-14
        assert worst(whole["h[0]"][[row]], alone["h[0]"]) < 1e-14


def test_final_is_the_last_step_of_each_sequence(elman):
    values = draw(lengths=[4, 0, 6])
    run = elman.forward(values)
    assert np.array_equal(run.final["h"][0], run["h"][3, 0]) and np.array_equal(run.final["h"][2], run["h"][5, 2])
    assert np.array_equal(run.final["h"][1], values["h[0]"][1])
    assert not run.final["y"][1].any() and run.final["y"].shape == (3, 2)


def test_final_of_a_backward_signal_without_steps_is_zero():
    kernel = interpreted("x[t]: n\ng[t]: n = tanh(g[t+1] + x[t])\nE = minimize(sum(norm2(g[t]) for t in steps))\n")
    run = kernel.forward({"x": np.ones((3, 2, 1)), "g[T+1]": np.ones((2, 1)), "lengths": [3, 0]})
    assert run.final["g"][1] == 0 and run.final["g"][0] == run["g"][2, 0]


# a run


def test_a_run_hands_out_signals_value_and_solutions(compiled, elman):
    values = draw()
    run = elman.forward(values)
    assert run.value == elman.value_and_grad(values)[0]
    assert run["E"] == run.value
    with pytest.raises(KeyError, match="no signal 'z'; it has E, h, y"):
        run["z"]
    steady = compiled("settle").forward(stock_layouts.draw("settle", seed=1))
    assert set(steady.solutions) == {"x"} and steady.final == {}


def test_gradients_of_what_is_asked_for(elman):
    values = draw()
    whole = elman.value_and_grad(values)[1]
    assert set(whole) == set(values) == {"W", "U", "b", "V", "c", "x", "d", "h[0]"}
    assert all(whole[label].shape == values[label].shape for label in whole)
    some = elman.value_and_grad(values, wrt=["W", "h[0]"])[1]
    assert list(some) == ["W", "h[0]"] and np.array_equal(some["W"], whole["W"])
    with pytest.raises(ValueError, match="no gradient at 'h'; there are W, "):
        elman.value_and_grad(values, wrt=["h"])


def test_cotangents_of_any_subset_add_up(elman):
    rng, run = np.random.default_rng(4), elman.forward(draw(lengths=[6, 2, 5]))
    seeds = {"h": rng.standard_normal((6, 3, 4)), "y": rng.standard_normal((6, 3, 2))}
    both, first, second, none = (run.backward(s) for s in (seeds, {"h": seeds["h"]}, {"y": seeds["y"]}, {}))
    assert all(not grad.any() for grad in none.values())
    assert all(worst(both[label], first[label] + second[label]) < 1e-13 for label in both)
    assert not first["V"].any() and second["V"].any()
    seeds["h"][2:, 1] = np.nan
    assert same(run.backward(seeds), both)
    assert run.backward({"h": np.nan_to_num(seeds["h"])}, wrt=["W"]).keys() == {"W"}


def test_cotangents_equal_numeric_differences(elman):
    values, rng = draw(), np.random.default_rng(3)
    seed, move = rng.standard_normal((6, 3, 2)), rng.standard_normal((4, 4))
    grad = elman.forward(values).backward({"y": seed})["W"]
    plus, minus = (np.sum(elman.forward({**values, "W": values["W"] + s * move})["y"] * seed) for s in (1e-5, -1e-5))
    assert np.sum(grad * move) == pytest.approx((plus - minus) / 2e-5, rel=1e-7)
    assert np.sum(-grad * move) != pytest.approx((plus - minus) / 2e-5, rel=1e-7)


def test_wrong_cotangents_are_named(elman):
    run = elman.forward(draw())
    with pytest.raises(ValueError, match="no signal 'z' to give a cotangent; there are h, y"):
        run.backward({"z": np.ones(1)})
    with pytest.raises(ValueError, match=r"the cotangent of h has shape \(6, 3, 5\); it must be \(6, 3, 4\)"):
        run.backward({"h": np.ones((6, 3, 5))})


def test_without_an_objective_only_cotangents():
    kernel = interpreted("x[t]: n\nh[t]: n = tanh(W @ h[t-1] + x[t])\n")
    values = {"x": np.ones((2, 1, 1)), "W": np.eye(1)}
    with pytest.raises(ValueError, match="has no objective"):
        kernel.value_and_grad(values)
    run = kernel.forward(values)
    with pytest.raises(ValueError, match="has no objective"):
        run.backward()
    with pytest.raises(ValueError, match="has no objective"):
        _ = run.value
    assert run.backward({"h": np.ones((2, 1, 1))})["W"].shape == (1, 1)


def test_the_kernel_says_what_it_takes(elman):
    assert "elman, float64, compiled: x (T, B, m)" in repr(elman) and "interpreted" in repr(Kernel(lower(load("settle")), "float64"))
