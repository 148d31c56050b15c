"""Index inputs: an integer that stands for the vector with a single one."""

import re

import numpy as np
import pytest

import derive
from derive.reference import evaluate
from derive.writing import write
from tests.codegen.kernel_cases import worst

TEXT = """
c[t]: index[m]
d[t]: index[k]
h[t]: n = tanh(W @ h[t-1] + U @ onehot(c[t]) + P @ onehot(c[t-1]))
y[t]: k = softmax(V @ concat(h[t], onehot(c[t])))
E = minimize(sum(cross_entropy(onehot(d[t]), y[t]) + dot(u, onehot(c[t])) for t in steps) + norm2(R @ onehot(c[T])))
R: (n, m)
u: m
"""
DENSE = re.sub(r"onehot\((\w\[[^]]*\])\)", r"\1", TEXT).replace("index[m]", "m").replace("index[k]", "k")


@pytest.fixture
def values():
    rng = np.random.default_rng(5)
    sizes = {"n": 3, "m": 4, "k": 2}
    found = {q.name: rng.standard_normal([sizes[str(s)] for s in q.shape]) for q in derive.parse(TEXT).of_role("parameter")
             if all(str(s) in sizes for s in q.shape)}  # fmt: skip
    found["V"] = rng.standard_normal((2, 7))
    return {**found, "c": np.array([[0, 3], [-1, 2], [3, 0], [1, -1]]), "d": np.array([[1, 0], [-1, 1], [0, 0], [1, 1]])}


def dense(values):
    """The same with vectors in place of integers."""
    return {**values, "c": np.eye(5)[values["c"]][..., :4], "d": np.eye(3)[values["d"]][..., :2]}


def test_an_index_is_the_vector_with_a_single_one(values):
    for recurrence, other in (
        (derive.parse(TEXT), derive.parse(DENSE)),
        (derive.gradient(derive.parse(TEXT)).recurrence, derive.gradient(derive.parse(DENSE)).recurrence),
    ):
        for lengths in (None, [4, 2]):
            made, wanted = evaluate(recurrence, values, 4, 2, lengths), evaluate(other, dense(values), 4, 2, lengths)
            shared = [q.name for q in recurrence.quantities if q.name in other.named]
            assert len(shared) > 8
            assert max(worst(made[name], wanted[name]) for name in shared) < 1e-14
    assert worst(made["W_bar"], 1.01 * wanted["W_bar"]) > 1e-3


def test_there_is_no_gradient_at_an_index():
    derivation = derive.gradient(derive.parse(TEXT))
    assert {"W", "U", "P", "V", "R", "u", "h[0]"} == set(derivation.gradients)
    assert not derive.prove(derivation).failures


def test_the_gradient_reads_back():
    text = write(derive.gradient(derive.parse(TEXT)).recurrence)
    assert "onehot(c[t-1])" in text and "c[t]: index[m]" in text
    strip = lambda written: re.sub(r" *#.*", "", written)
    assert strip(write(derive.parse(text))) == strip(text)


def test_the_builder_has_them_too():
    b = derive.Builder("tokens")
    c, y = b.index("c", "m"), b.signal("y", "n")
    b.define(y[derive.t], b.parameter("U", "n", "m") @ c[derive.t - 1])
    assert write(b.recurrence()) == "c[t]: index[m]\nU: (n, m)\ny[t]: n = U @ onehot(c[t-1])\n"


def test_the_tangent_holds_an_index_still():
    forward = derive.tangent(derive.parse(TEXT))
    assert "c" not in forward.tangents and "c_dot" not in write(forward.recurrence)
