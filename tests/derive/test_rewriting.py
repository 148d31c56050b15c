"""Stable forms: the same values where the plain form has them, and digits where it has none."""

import numpy as np
import pytest

import derive
from derive.arithmetic import Apply
from derive.nodes import walk
from derive.normal import normalise
from derive.reference import evaluate
from derive.rewriting import ROWS
from tests.codegen.kernel_cases import interpreted, worst

# What is written, and the same computed directly.
FORMS = {
    "cross_entropy(d[t], softmax(z[t]))": lambda d, z: -np.sum(d * log_softmax(z), -1),
    "-dot(d[t], log(softmax(z[t])))": lambda d, z: -np.sum(d * log_softmax(z), -1),
    "-dot(d[t], log(sigmoid(z[t])))": lambda d, z: np.sum(d * np.logaddexp(0, -z), -1),
    "-dot(d[t], log(1 - sigmoid(z[t])))": lambda d, z: np.sum(d * np.logaddexp(0, z), -1),
}
NAMED = {form: form.replace(inner, "y[t]") for form in FORMS for inner in ("softmax(z[t])", "sigmoid(z[t])") if inner in form}


def log_softmax(z):
    return z - np.logaddexp.reduce(z, axis=-1, keepdims=True)


def written(form, named):
    inner = "softmax" if "softmax" in form else "sigmoid"
    definition = f"y[t]: n = {inner}(z[t])\n" if named else ""
    return f"z[t]: n\nd[t]: n\n{definition}E = minimize(sum({NAMED[form] if named else form} for t in steps))"


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_far_out(form, named):
    rng = np.random.default_rng(1)
    z = rng.standard_normal((4, 2, 3)) * np.array([1, 30, 300, 900]).reshape(4, 1, 1)
    d = rng.uniform(0.5, 1, z.shape)
    value, grads = interpreted(written(form, named)).value_and_grad({"z": z, "d": d})
    wanted = FORMS[form](d, z).sum()
    assert abs(value - wanted) < 1e-13 * abs(wanted)
    move = rng.standard_normal(z.shape)
    along = (FORMS[form](d, z + 1e-6 * move).sum() - FORMS[form](d, z - 1e-6 * move).sum()) / 2e-6
    assert abs(np.sum(grads["z"] * move) - along) < 1e-6 * max(1, abs(along))
    assert np.isfinite(grads["d"]).all() and np.isfinite(grads["z"]).all()
    assert abs(np.sum(1.01 * grads["z"] * move) - along) > 1e-6 * max(1, abs(along))


@pytest.mark.parametrize("form", FORMS)
def test_the_plain_form_has_no_digits_there(form):
    """What is rewritten is worth rewriting."""
    text = written(form, True).replace("(z[t])\nE", "(z[t])\nq[t]: n = 1*y[t]\nE")
    recurrence = derive.parse(text.replace("y[t]))", "q[t]))").replace(", y[t])", ", q[t])"))
    nodes = [node for e in normalise(recurrence).equations for node in walk(e.expr)]
    assert any(isinstance(node, Apply) and node.name == "log" for node in nodes) or "cross" in form
    z = np.full((1, 1, 3), 900.0) * np.array([-1, 1, 0.5]).reshape(1, 1, 3)
    with np.errstate(all="ignore"):
        made = evaluate(recurrence, {"z": z, "d": np.ones_like(z)}, 1, 1)
    assert not np.isfinite(made["E"])


def test_normal_forms_stay_normal():
    for form in FORMS:
        for named in (False, True):
            found = normalise(derive.parse(written(form, named)))
            assert normalise(found) == found


def test_no_row_changes_other_logarithms():
    text = "z[t]: n\nE = minimize(sum(sum(log(1 + sigmoid(z[t])) + log(2 - sigmoid(z[t])) + log(exp(z[t]))) for t in steps))"
    logs = [n for e in normalise(derive.parse(text)).equations for n in walk(e.expr) if isinstance(n, Apply) and n.name == "log"]
    assert len(logs) == 3 and len(ROWS) == len(FORMS)
    z = np.random.default_rng(2).standard_normal((3, 2, 4))
    s = 1 / (1 + np.exp(-z))
    assert worst(interpreted(text).forward({"z": z}).value, np.sum(np.log(1 + s) + np.log(2 - s) + z)) < 1e-13
