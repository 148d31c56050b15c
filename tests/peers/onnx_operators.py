"""ONNX's recurrent operators by the stock recurrences: the same equations, read from the `.rec` files, in either direction or both.

Stage: test subject. Input: attributes and inputs of an operator. Output: its Y, Y_h and Y_c.
"""

from __future__ import annotations

import re

import numpy as np

import derive
from derive.files import ZOO

DIRECTIONS = ("forward", "reverse", "bidirectional")
ATTRIBUTES = {"direction", "hidden_size", "layout", "linear_before_reset"}
INPUTS = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}


def stock_of(operator, attributes, inputs):
    """The stock recurrence that has the operator's equations."""
    if operator == "GRU":
        return "gru_reset_after" if attributes.get("linear_before_reset", 0) else "gru"
    return {"RNN": "elman", "LSTM": "lstm_peephole" if "P" in inputs else "lstm"}[operator]


def text_of(name, direction="forward"):
    """A stock recurrence's cell as text, without its read-out: as it stands, with time reversed, or both under names of their own."""
    lines = (ZOO / f"{name}.rec").read_text(encoding="utf-8").splitlines()
    cell = [line for line in lines if not re.search(r'^"""|\bk\b|^E = ', line)]    # the read-out and its targets have the dim k
    if direction == "bidirectional":
        shared = [line for line in cell if line.startswith("x[t]")]
        own = [line for line in cell if line not in shared]
        return "\n".join([*shared, *_renamed(own, "f"), *_renamed(_reversed(own), "b")]) + "\n"
    return "\n".join(cell if direction == "forward" else _reversed(cell)) + "\n"


def _reversed(lines):
    return [line.replace("[t-1]", "[t+1]") for line in lines]


def _renamed(lines, suffix):
    names = derive.parse("x[t]: m\n" + "\n".join(lines) + "\n").named.keys() - {"x"}
    return [re.sub(rf"\b({'|'.join(sorted(names))})\b", rf"\1_{suffix}", line) for line in lines]


def run(kernel_of, operator, attributes, inputs):
    """Y, Y_h and Y_c, laid out as ONNX does, by a kernel that `kernel_of` makes of text."""
    assert attributes.keys() <= ATTRIBUTES and inputs.keys() <= set(INPUTS[operator]), (attributes, inputs.keys())
    direction, batch_first = attributes.get("direction", "forward"), attributes.get("layout", 0) == 1
    name = stock_of(operator, attributes, inputs)
    weights = {key: inputs[key] for key in ("W", "R", "B", "P") if key in inputs}
    paths = {"forward": [("", False)], "reverse": [("", True)], "bidirectional": [("_f", False), ("_b", True)]}[direction]
    values = {"x": inputs["X"].swapaxes(0, 1) if batch_first else inputs["X"]}
    if "sequence_lens" in inputs:
        values["lengths"] = inputs["sequence_lens"]
    states = ("h", "c") if operator == "LSTM" else ("h",)
    for index, (suffix, backward) in enumerate(paths):
        found = derive.import_weights(name, weights, "onnx", direction=index)
        values |= {f"{key}{suffix}": array for key, array in found.items()}
        for state in states:
            if f"initial_{state}" in inputs:
                initial = inputs[f"initial_{state}"]
                place = "T+1" if backward else "0"
                values[f"{state}{suffix}[{place}]"] = initial[:, index] if batch_first else initial[index]
    done = kernel_of(text_of(name, direction)).forward(values)
    outputs = {"Y": np.stack([done[f"h{suffix}"] for suffix, _ in paths], axis=1)}
    for state in states:
        finals = [done[f"{state}{suffix}"][0] if backward else done.final[f"{state}{suffix}"] for suffix, backward in paths]
        outputs[f"Y_{state}"] = np.stack(finals)
    if batch_first:
        outputs = {key: array.transpose(2, 0, 1, 3) if key == "Y" else array.swapaxes(0, 1) for key, array in outputs.items()}
    return outputs
