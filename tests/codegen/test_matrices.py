"""Signals and inputs that are matrices at every step."""

import numpy as np
import pytest

import derive
from codegen.checking import check
from derive.reference import evaluate
from tests.codegen.kernel_cases import interpreted, worst

MEMORY = """
x[t]: m
K[t]: (n, k)
v[t]: n = tanh(U @ x[t] + b)
q[t]: k = Q @ x[t]
lam: scalar
A[t]: (n, k) = lam*A[t-1] + outer(v[t], q[t]) + 0.1*(W @ A[t-1]) + K[t]*A[t-2]
B[t]: (n, k) = softmax(A[t])*tanh(A[t-1]) + layer_norm(A[t])
y[t]: k = A[t].T @ v[t] + B[t][0, :] + R @ B[t][:, 1]
C[t]: (k, n) = transpose(A[t]) @ A[t] @ concat(B[t], A[t])[0:n, :].T
E = minimize(sum(norm2(y[t])/2 + sum(C[t])*mean(C[t]) + norm2(logsumexp(A[t])) for t in steps) + dot(A[T], A[1]))
"""
SMALL = {"dims": {"n": 2, "k": 3, "m": 4}, "steps": 5, "batch": 1}
SETTLED = MEMORY.replace("E =", "Z: (n, n)\nS: (n, n) = tanh(S @ Z + A[T] @ A[T].T)/4\nE =").replace("A[1]))", "A[1]) + norm2(S))")


def test_the_check_passes_compiled_and_sees_a_transpose(compiled):
    report = check(MEMORY, kernel=compiled(MEMORY), **SMALL)
    assert report.passed, str(report)
    turned = MEMORY.replace("0.1*(W @ A", "0.1*(W.T @ A")
    assert not check(MEMORY, kernel=interpreted(turned), **SMALL).passed


def test_the_derivation_is_proved():
    proof = derive.prove(derive.gradient(derive.parse(MEMORY.replace("S: (n, n) = tanh(S @ Z + A[T] @ A[T].T)/4\n", "").replace("", ""))))
    assert not proof.failures and len(proof.verdicts) == 10


@pytest.mark.parametrize("lengths", [None, [2, 5, 1]])
def test_kernels_equal_the_reference(compiled, lengths):
    rng = np.random.default_rng(4)
    shapes = {"lam": (), "U": (2, 3), "b": (2,), "Q": (4, 3), "W": (2, 2), "R": (4, 2), "Z": (2, 2),
              "x": (5, 3, 3), "K": (5, 3, 2, 4), "A[0]": (3, 2, 4), "A[-1]": (3, 2, 4)}  # fmt: skip
    values = {label: 0.5 * rng.standard_normal(shape) for label, shape in shapes.items()}
    derivation = derive.gradient(derive.parse(SETTLED))
    wanted = evaluate(derivation.recurrence, values, 5, 3, lengths)
    given = values if lengths is None else {**values, "lengths": np.array(lengths)}
    value, grads = compiled(SETTLED).value_and_grad(given)
    assert abs(value - wanted["E"]) < 1e-12 * abs(wanted["E"])
    errors = {label: worst(grads[label], wanted[q.name]) for label, q in derivation.gradients.items()}
    assert len(errors) == 11 and max(errors.values()) < 1e-11, errors
    assert worst(grads["K"], 1.001 * wanted["K_bar"]) > 1e-5
