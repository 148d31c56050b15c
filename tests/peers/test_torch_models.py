"""Stock recurrences with the weights of whole PyTorch models: a recurrent layer, a linear read-out, a loss."""

import numpy as np
import pytest

import derive
from tests.codegen.kernel_cases import worst
from tests.peers.torch_layers import LENGTHS

STOCK = {
    "elman": ("RNN", "cross entropy"),
    "bidirectional": ("RNN", "cross entropy"),
    "lstm": ("LSTM", "squares"),
    "gru_reset_after": ("GRU", "squares"),
}
T, B, M, N, K = 7, 4, 3, 5, 4
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


def model_of(torch, name, dtype):
    """A model with attributes `rnn` and `head`, and data for it."""
    torch.manual_seed(1)
    real, both = getattr(torch, dtype), name == "bidirectional"
    rnn = getattr(torch.nn, STOCK[name][0])(M, N, bidirectional=both)
    model = torch.nn.ModuleDict({"rnn": rnn, "head": torch.nn.Linear(N * (1 + both), K)}).to(real)
    x = torch.randn(T, B, M, dtype=real, requires_grad=True)
    targets = torch.rand(T, B, K, dtype=real).requires_grad_()
    return model, x, targets


def loss_of(torch, name, model, x, targets):
    """The objective of the stock recurrence, over each sequence's own steps."""
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
    y = model["head"](rnn.pad_packed_sequence(model["rnn"](packed)[0], total_length=T)[0])
    if STOCK[name][1] == "squares":
        costs = ((y - targets) ** 2).sum(-1) / 2
    else:
        costs = -(targets * torch.log_softmax(y, -1)).sum(-1)
    return costs[torch.arange(T)[:, None] < torch.tensor(LENGTHS)[None]].sum()


def gradients_of(torch, name, model):
    """PyTorch's gradients by the recurrence's names, cut by hand."""
    grads = {label: parameter.grad.numpy() for label, parameter in model.named_parameters()}
    read_out = "by" if STOCK[name][1] == "squares" else "c"
    found = {"V": grads["head.weight"], read_out: grads["head.bias"]}
    gates = {"RNN": [""], "LSTM": list("ifgo"), "GRU": list("rzg")}[STOCK[name][0]]
    for direction, ending in (("f", ""), ("b", "_reverse")) if name == "bidirectional" else (("", ""),):
        for index, gate in enumerate(gates):
            rows = slice(index * N, (index + 1) * N)
            for letter, part in (("W", "weight_hh"), ("U", "weight_ih"), ("b", "bias_ih")):
                found[f"{letter}{gate}{direction}"] = grads[f"rnn.{part}_l0{ending}"][rows]
    if name == "gru_reset_after":
        found["ag"] = grads["rnn.bias_hh_l0"][-N:]
    return found


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", STOCK)
def test_models_equal_torch(torch, compiled, name, dtype):
    model, x, targets = model_of(torch, name, dtype)
    loss = loss_of(torch, name, model, x, targets)
    loss.backward()
    weights = derive.import_weights(name, model.state_dict(), prefix="rnn.", read_out="head.")
    values = {**weights, "x": x.detach().numpy(), "d": targets.detach().numpy(), "lengths": np.array(LENGTHS)}
    value, grads = compiled(name, dtype).value_and_grad(values)
    assert abs(value - loss.item()) < TOLERANCE[dtype] * abs(loss.item())
    wanted = gradients_of(torch, name, model) | {"x": x.grad.numpy(), "d": targets.grad.numpy()}
    assert wanted.keys() == {label for label in grads if not label.endswith("]")}
    found = {label: worst(grads[label], wanted[label]) for label in wanted}
    assert max(found.values()) < TOLERANCE[dtype], found
    assert all(worst(1.001 * grads[label], wanted[label]) > TOLERANCE[dtype] for label in ("V", "x"))


@pytest.mark.parametrize("name", ["elman", "lstm", "gru_reset_after"])
def test_weights_of_a_single_cell(torch, name):
    torch.manual_seed(2)
    cell = getattr(torch.nn, f"{STOCK[name][0]}Cell")(M, N).double()
    layer = getattr(torch.nn, STOCK[name][0])(M, N).double()
    layer.load_state_dict({f"{key}_l0": tensor for key, tensor in cell.state_dict().items()})
    one, two = derive.import_weights(name, cell.state_dict(), layer=None), derive.import_weights(name, layer.state_dict())
    assert one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in one)


def test_what_torch_hands_out(torch):
    module = torch.nn.LSTM(M, N)
    plain = derive.import_weights("lstm", module.state_dict())
    tracked = derive.import_weights("lstm", dict(module.named_parameters()))
    assert all(np.array_equal(plain[key], tracked[key]) for key in plain)
    plain["Wi"][...] = 0
    assert module.weight_hh_l0.detach().abs().min() > 0, "the arrays are copies"
    with pytest.raises(TypeError, match="weight_hh_l0 is no array of floats"):
        derive.import_weights("lstm", module.bfloat16().state_dict())


def test_projections_and_other_modules_are_refused(torch):
    with pytest.raises(ValueError, match="weight_hr_l0 projects"):
        derive.import_weights("lstm", torch.nn.LSTM(M, N, proj_size=2).state_dict())
    with pytest.raises(ValueError, match=r"weight_hh_l0 has shape \(15, 5\); it must be \(20, 5\), 4 gates of 5 units"):
        derive.import_weights("lstm", torch.nn.GRU(M, N).state_dict())
