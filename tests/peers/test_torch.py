"""torch.nn.RNN, LSTM and GRU: forward and every gradient, one and two layers, both directions, sequences of unequal lengths."""

import functools

import numpy as np
import pytest

import derive
from codegen.kernel import Kernel
from codegen.lower import lower
from tests.codegen.kernel_cases import worst
from tests.peers.torch_layers import KINDS, draw

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
SHAPES = [(layers, bidirectional) for layers in (1, 2) for bidirectional in (False, True)]


@pytest.fixture(scope="module")
def kernel(stacks, compiled):  # noqa: F811
    """A kernel of a stack: compiled for the largest ones, interpreted for the rest."""

    @functools.cache
    def find(cell, layers, bidirectional, dtype):
        if (layers, bidirectional) == SHAPES[-1]:
            return compiled(stacks.stack(cell, layers, bidirectional).to_rec(), dtype)
        return Kernel(lower(stacks.stack(cell, layers, bidirectional)), dtype)

    return find


def values_of(stacks, peer):
    """The kernel's values for a module; NaN beyond each sequence's end, which nothing may read."""
    shape = (peer.layers, peer.bidirectional)
    values = {"x": peer.x.copy(), **stacks.parameters(peer.cell, peer.module.state_dict(), *shape)}
    for name, states in peer.states.items():
        values |= stacks.initial(name, states, *shape)
    if peer.lengths is not None:
        values["lengths"] = np.array(peer.lengths)
        for row, length in enumerate(peer.lengths):
            values["x"][length:, row] = np.nan
    return values


def cotangents_of(peer):
    """Cotangents by signal: those of the final states stand at each sequence's last step, or at the first of a reversed layer."""
    found, rows = {"y": peer.cotangents["y"]}, np.arange(len(peer.last))
    for name in peer.states:
        for suffix, final in zip(peer.suffixes, peer.cotangents[name], strict=True):
            found[f"{name}{suffix}"] = np.zeros((len(peer.x), *final.shape), final.dtype)
            found[f"{name}{suffix}"][0 if "reverse" in suffix else peer.last, rows] = final
    return found


def errors(stacks, kernel, peer, values=None):
    """The largest difference of each output and each gradient."""
    values = values_of(stacks, peer) if values is None else values
    run = kernel.forward(values)
    grads = run.backward(cotangents_of(peer))
    found = {"y": worst(run["y"], peer.outputs["y"])}
    for name in peer.states:
        finals = [run[f"{name}{suffix}"][0] if "reverse" in suffix else run.final[f"{name}{suffix}"] for suffix in peer.suffixes]
        found[f"final {name}"] = worst(np.stack(finals), peer.outputs[name])
        starts = [grads[f"{name}{suffix}[{'T+1' if 'reverse' in suffix else '0'}]"] for suffix in peer.suffixes]
        found[f"d {name}"] = worst(np.stack(starts), peer.gradients[name])
    others = peer.gradients.keys() - peer.states.keys()
    assert others == {label for label in grads if not label.endswith("]")}
    return found | {f"d {label}": worst(grads[label], peer.gradients[label]) for label in others}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("layers", "bidirectional"), SHAPES)
@pytest.mark.parametrize("cell", KINDS)
def test_layers_equal_torch(torch, stacks, kernel, cell, layers, bidirectional, ragged, dtype):
    peer = draw(torch, cell, layers, bidirectional, dtype, ragged, seed=layers)
    found = errors(stacks, kernel(cell, layers, bidirectional, dtype), peer)
    assert max(found.values()) < TOLERANCE[dtype], found


def _swap(values, one, other):
    return {**values, one: values[other], other: values[one]}


DAMAGES = {
    "gates": lambda v: _swap(v, "Wi_l0", "Wf_l0"),
    "directions": lambda v: _swap(v, "Ug_l1", "Ug_l1_reverse"),
    "layers": lambda v: _swap(v, "Wo_l0", "Wo_l1"),
    "states": lambda v: _swap(v, "h_l1[0]", "h_l1_reverse[T+1]"),
    "transpose": lambda v: {**v, "Wg_l1": v["Wg_l1"].T},
    "one bias": lambda v: {**v, "bf_l1": v["bf_l1"] / 2},
    "scale": lambda v: {**v, "Wo_l1_reverse": 1.001 * v["Wo_l1_reverse"]},
    "length": lambda v: {**v, "lengths": np.array([7, 3, 1, 4])},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_sabotaged_values_are_rejected(torch, stacks, kernel, damage):
    peer = draw(torch, "lstm", 2, True, "float64", ragged=True)
    found = errors(stacks, kernel("lstm", 2, True, "float64"), peer, DAMAGES[damage](values_of(stacks, peer)))
    assert max(found.values()) > 1e-5, found


def test_the_other_reset_is_rejected(torch, compiled):  # noqa: F811
    peer = draw(torch, "gru_reset_after", 1, False, "float64", ragged=False)
    values = derive.import_weights("gru_reset_after", peer.module.state_dict())
    common = {"x": peer.x, "h[0]": peer.states["h"][0], "V": np.eye(5), "by": np.zeros(5), "d": np.zeros((7, 4, 5))}
    assert worst(compiled("gru_reset_after").forward({**values, **common})["h"], peer.outputs["y"]) < 1e-10
    before = {**values, "bg": values["bg"] + values["ag"]}
    before.pop("ag")
    assert worst(compiled("gru").forward({**before, **common})["h"], peer.outputs["y"]) > 1e-3


@pytest.mark.parametrize("cell", KINDS)
def test_modules_without_bias_equal_torch(torch, stacks, kernel, cell):
    peer = draw(torch, cell, 1, False, "float64", ragged=False, bias=False)
    values = values_of(stacks, peer)
    run = kernel(cell, 1, False, "float64").forward(values)
    assert not any(values[label].any() for label in values if label.startswith(("b", "a")))
    assert worst(run["y"], peer.outputs["y"]) < 1e-10


def test_the_example_runs(stacks, torch, tmp_path, monkeypatch):
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "cache"))
    for cell in KINDS:
        found = stacks.main(cell, layers=1, bidirectional=False)
        assert len(found) == 2 and max(found.values()) < 1e-12, found
