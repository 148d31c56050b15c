"""What is handed back and where it goes: outputs, arrays to fill, losses of each sequence."""

import numpy as np
import pytest
from oracles import stock_layouts

from tests.codegen.kernel_cases import interpreted, same, worst

DRAWN = {"steps": 6, "batch": 3, "dims": {"n": 4, "m": 3, "k": 2}}
PENALISED = """
x[t]: m
u: input[n]
h[t]: n = tanh(W @ h[t-1] + U @ x[t])
E = minimize(norm2(W) - sum(norm2(h[t]) for t in steps)/2 + 3*norm2(h[T] - u) - norm2(U)/5)
"""


@pytest.fixture(scope="module")
def elman(compiled):
    return compiled("elman")


def draw(**others):
    return stock_layouts.draw("elman", seed=2, **DRAWN | others)


# outputs


@pytest.mark.parametrize("lengths", [None, [2, 6, 4]])
def test_outputs_are_what_is_handed_back(elman, lengths):
    values = draw(**({"lengths": lengths} if lengths else {}))
    whole, part = elman.forward(values), elman.forward(values, outputs=["y"])
    assert np.array_equal(part["y"], whole["y"]) and part.value == whole.value and set(part.final) == {"y"}
    assert same(part.backward(), whole.backward())
    with pytest.raises(KeyError, match="h was not kept; name it in outputs="):
        part["h"]
    with pytest.raises(ValueError, match="outputs has 'z', which is no signal; there are h, y, E"):
        elman.forward(values, outputs=["z"])
    with pytest.raises(TypeError, match=r"outputs is a string; write outputs=\['y'\]"):
        elman.forward(values, outputs="y")


def test_what_no_output_and_no_gradient_needs_is_not_stored_for_all_steps():
    kernel = interpreted("x[t]: n\nq[t]: n = h[t-1] + x[t]\nh[t]: n = q[t]/2\nE = minimize(sum(dot(h[t], x[t]) for t in steps))\n")
    values = {"x": np.ones((5, 1, 2))}
    q = kernel.program.results["forward"]["q"]
    assert kernel.program.buffers[q].loose
    runs = {outputs: kernel.forward(values, outputs=outputs) for outputs in (("h",), ("q",))}
    assert [run._frame.arrays[q].shape[0] for run in runs.values()] == [1, 5]
    assert np.array_equal(runs["q",]["q"], kernel.forward(values)["q"]) and runs["h",].value == runs["q",].value


# arrays to fill


def test_results_are_written_into_the_arrays_given(elman):
    values = draw(lengths=[2, 6, 4])
    run = elman.forward(values)
    wanted = run.backward()
    out = {label: np.full_like(wanted[label], np.nan) for label in ("W", "x", "h[0]")}
    out["x"] = np.full((6, 3, 6), np.nan)[..., ::2]
    value, grads = elman.value_and_grad(values, out=out)
    assert value == run.value and same(grads, wanted)
    assert all(grads[label] is out[label] for label in out)
    pulled = {"U": np.empty((4, 3))}
    found = run.backward({"h": np.ones((6, 3, 4))}, wrt=["U"], out=pulled)
    assert found["U"] is pulled["U"] and same(found, run.backward({"h": np.ones((6, 3, 4))}, wrt=["U"]))
    y = np.empty((6, 3, 2))
    assert np.array_equal(elman.forward(values, outputs=["y"], out={"y": y})["y"], y)


def test_arrays_to_fill_without_a_batch_axis(elman):
    values = {label: array[:, 0] if label in ("x", "d") else array[0] if label == "h[0]" else array
              for label, array in draw(batch=1).items()}  # fmt: skip
    out = {"x": np.empty((6, 3)), "h[0]": np.empty(4)}
    _, grads = elman.value_and_grad(values, out=out)
    assert grads["x"] is out["x"] and same(grads, elman.value_and_grad(values)[1])


def _frozen():
    array = np.zeros((4, 4))
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(("array", "error", "said"), [
    (np.zeros((4, 3)), ValueError, r"out\['W'\] has shape \(4, 3\); it must be \(4, 4\)"),
    (np.zeros((4, 4), np.float32), ValueError, r"out\['W'\] has dtype float32; it must be float64"),
    (np.zeros((4, 4)).astype(">f8"), ValueError, r"out\['W'\] has dtype >f8; it must be float64"),
    (_frozen(), ValueError, r"out\['W'\] cannot be written to"),
    ([[0.0] * 4] * 4, TypeError, r"out\['W'\] is a list; it must be a NumPy array"),
])  # fmt: skip
def test_an_array_that_does_not_fit_is_named(elman, array, error, said):
    with pytest.raises(error, match=said):
        elman.value_and_grad(draw(), out={"W": array})


def test_an_array_to_fill_has_memory_of_its_own(elman):
    values, room = draw(), np.zeros((5, 4))
    with pytest.raises(ValueError, match=r"out\['W'\] shares memory with U; give it memory of its own"):
        elman.value_and_grad({**values, "U": room[:4, :3]}, out={"W": room[1:]})
    with pytest.raises(ValueError, match=r"out\['h\[0\]'\] shares memory with out\['W'\]"):
        elman.value_and_grad(values, out={"W": room[:4], "h[0]": room[1:4]})
    seed = np.ones((6, 3, 4))
    with pytest.raises(ValueError, match=r"out\['h\[0\]'\] shares memory with the cotangent of h"):
        elman.forward(values).backward({"h": seed}, out={"h[0]": seed[0]})
    with pytest.raises(ValueError, match="out has 'U', which is not asked for; what is: W"):
        elman.value_and_grad(values, wrt=["W"], out={"U": np.zeros((4, 3))})
    with pytest.raises(TypeError, match=r"wrt is a string; write wrt=\['W'\]"):
        elman.value_and_grad(values, wrt="W")
    assert not room.any() and np.all(seed == 1)
    halves = np.zeros((4, 8))
    assert same(elman.value_and_grad({**values, "W": halves[:, ::2]}, out={"W": halves[:, 1::2]})[1],
                elman.value_and_grad({**values, "W": np.zeros((4, 4))})[1])  # fmt: skip


# losses


def penalised(values):
    """The loss of each sequence, and what is shared, in NumPy."""
    losses = []
    for row, length in enumerate(values["lengths"]):
        h, cost = values["h[0]"][row], 0.0
        for t in range(length):
            h = np.tanh(values["W"] @ h + values["U"] @ values["x"][t, row])
            cost -= np.sum(h**2) / 2
        losses.append(cost + 3 * np.sum((h - values["u"][row]) ** 2))
    return np.array(losses), np.sum(values["W"] ** 2) - np.sum(values["U"] ** 2) / 5


@pytest.mark.parametrize("how", ["interpreted", "compiled"])
def test_losses_of_each_sequence_and_what_is_shared(compiled, how):
    kernel = interpreted(PENALISED) if how == "interpreted" else compiled(PENALISED)
    rng = np.random.default_rng(5)
    shapes = {"W": (3, 3), "U": (3, 2), "x": (5, 4, 2), "u": (4, 3), "h[0]": (4, 3)}
    values = {label: rng.standard_normal(shape) for label, shape in shapes.items()} | {"lengths": np.array([2, 5, 0, 4])}
    run = kernel.forward(values)
    losses, shared = penalised(values)
    assert worst(run.losses, losses) < 1e-14 and worst(run.shared_loss, shared) < 1e-14
    assert run.losses.sum() + run.shared_loss == pytest.approx(run.value, rel=1e-14)
    # The twins: rows in the order of their lengths, and the penalty counted once for each sequence.
    assert worst(run.losses, losses[[1, 3, 0, 2]]) > 0.01 and worst(run.losses, losses + shared) > 0.01
    run.losses[...] = 0
    assert run.losses.any()


def test_losses_of_one_sequence_and_of_none(elman):
    values = draw()
    run = elman.forward(values)
    assert run.losses.shape == (3,) and run.shared_loss == 0
    single = {label: array[:, 1] if label in ("x", "d") else array[1] if label == "h[0]" else array for label, array in values.items()}
    alone = elman.forward(single)
    assert np.ndim(alone.losses) == 0 and alone.losses == alone.value
    assert run.losses[1] == alone.losses  # whichever sequences stand beside it
    assert elman.forward(draw(batch=0)).losses.shape == (0,)
    weights = interpreted("W: (n, n)\nx[t]: n\nh[t]: n = W @ x[t]\nE = minimize(norm2(W))\n")
    run = weights.forward({"W": np.eye(2), "x": np.ones((3, 2, 2))})
    assert run.losses.tolist() == [0, 0] and run.shared_loss == run.value == 2
    with pytest.raises(ValueError, match="has no objective"):
        _ = interpreted("x[t]: n\nh[t]: n = tanh(h[t-1] + x[t])\n").forward({"x": np.ones((2, 1, 1))}).losses
