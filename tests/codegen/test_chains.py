"""Blocks that chain: kernels compiled apart, through cotangents and gradients at inputs, against one recurrence."""

import numpy as np
import pytest

from tests.codegen.kernel_cases import worst

BLOCK = """
x[t]: m
hf[t]: n = tanh(Wf @ hf[t-1] + Uf @ x[t] + bf)
hb[t]: n = tanh(Wb @ hb[t+1] + Ub @ x[t] + bb)
y[t]: 2*n = concat(hf[t], hb[t])
"""
READ_OUT = """
y[t]: m
d[t]: k
p[t]: k = softmax(V @ y[t] + c)
E = minimize(sum(cross_entropy(d[t], p[t]) for t in steps))
"""
STACKED = """
x[t]: m
d[t]: k
hf1[t]: n = tanh(Wf1 @ hf1[t-1] + Uf1 @ x[t] + bf1)
hb1[t]: n = tanh(Wb1 @ hb1[t+1] + Ub1 @ x[t] + bb1)
y1[t]: 2*n = concat(hf1[t], hb1[t])
hf2[t]: n = tanh(Wf2 @ hf2[t-1] + Uf2 @ y1[t] + bf2)
hb2[t]: n = tanh(Wb2 @ hb2[t+1] + Ub2 @ y1[t] + bb2)
y2[t]: 2*n = concat(hf2[t], hb2[t])
p[t]: k = softmax(V @ y2[t] + c)
E = minimize(sum(cross_entropy(d[t], p[t]) for t in steps))
"""
T, B, M, N, K = 6, 3, 4, 3, 2
WEIGHTS = {"Wf": (N, N), "Wb": (N, N), "bf": (N,), "bb": (N,)}


def drawn(lengths):
    """Values of the whole stack; labels of the blocks end in 1 and 2."""
    rng = np.random.default_rng(8)
    shapes = {"x": (T, B, M), "d": (T, B, K), "V": (K, 2 * N), "c": (K,)}
    for layer, width in ((1, M), (2, 2 * N)):
        shapes |= {f"{name}{layer}": shape for name, shape in WEIGHTS.items()}
        shapes |= {f"Uf{layer}": (N, width), f"Ub{layer}": (N, width), f"hf{layer}[0]": (B, N), f"hb{layer}[T+1]": (B, N)}
    values = {label: 0.6 * rng.standard_normal(shape) for label, shape in shapes.items()}
    values["d"] = np.abs(values["d"])
    for row, length in enumerate(lengths or ()):
        values["x"][length:, row] = values["d"][length:, row] = np.nan
    return values | ({"lengths": np.array(lengths)} if lengths else {})


def of_block(values, layer):
    """A block's own values, under its own labels."""
    own = [*WEIGHTS, "Uf", "Ub"]
    found = {name: values[f"{name}{layer}"] for name in own}
    found |= {"hf[0]": values[f"hf{layer}[0]"], "hb[T+1]": values[f"hb{layer}[T+1]"]}
    return found | ({"lengths": values["lengths"]} if "lengths" in values else {})


def chained(block, read_out, values, sabotage=None):
    """Signals, objective and every gradient by two blocks and a read-out that know nothing of each other."""
    lower = block.forward({**of_block(values, 1), "x": values["x"]})
    upper = block.forward({**of_block(values, 2), "x": lower["y"]})
    rest = {label: values[label] for label in ("d", "V", "c", "lengths") if label in values}
    top = read_out.forward({**rest, "y": upper["y"]})
    grads = top.backward()
    above = upper.backward({"y": grads.pop("y")})
    middle = above.pop("x")
    below = lower.backward({"y": sabotage(middle) if sabotage else middle})
    grads["x"] = below.pop("x")
    for layer, part in ((1, below), (2, above)):
        grads |= {label.replace("hf[", f"hf{layer}[").replace("hb[", f"hb{layer}[") if "[" in label else f"{label}{layer}": grad
                  for label, grad in part.items()}  # fmt: skip
    return {"y1": lower["y"], "y2": upper["y"], "p": top["p"], "E": top.value}, grads


SABOTAGE = {"sign": lambda g: -g, "a step late": lambda g: np.roll(g, 1, axis=0), "halves swapped": lambda g: np.roll(g, N, axis=2),
            "1 %": lambda g: 1.01 * g, "one sequence lost": lambda g: g * np.array([1, 0, 1])[:, None]}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", [None, (2, 6, 4)])
def test_s15_two_blocks_compiled_apart_equal_the_same_two_as_one_recurrence(compiled, lengths, dtype):
    block, read_out, whole = (compiled(text, dtype) for text in (BLOCK, READ_OUT, STACKED))
    values = {label: np.asarray(array, dtype) if label != "lengths" else array for label, array in drawn(lengths).items()}
    run = whole.forward(values)
    wanted = run.backward()
    signals, grads = chained(block, read_out, values)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert all(worst(found, run[label]) < tolerance for label, found in signals.items())
    assert grads.keys() == wanted.keys()
    assert all(worst(grads[label], wanted[label]) < tolerance for label in wanted)
    if lengths:
        assert all(not grads["x"][length:, row].any() for row, length in enumerate(lengths))
    for change in SABOTAGE.values():
        wrong = chained(block, read_out, values, change)[1]
        assert any(worst(wrong[label], wanted[label]) > 1e-4 for label in wanted)
