import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import codegen
import derive
from codegen import driver
from codegen.cache import Cache
from codegen.driver import CompilerWarning
from derive.errors import RecurrenceError
from tests.codegen.kernel_cases import ELMAN

VALUES = {"x": np.full((3, 2, 2), 0.5), "W": 0.1 * np.eye(3), "U": np.ones((3, 2)), "b": np.zeros(3)}


def stages(*arguments, cache):
    """The stages that a compile runs, and the kernel."""
    seen = []
    kernel = codegen.compile(*arguments, cache=Cache(cache), progress=seen.append)
    return seen, kernel


EVERY = ["deriving", "generating", "compiling"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache that holds ELMAN in float64."""
    root = tmp_path_factory.mktemp("driver") / "cache"
    seen, _ = stages(ELMAN, cache=root)
    assert seen == EVERY
    return root


def test_a_second_compile_runs_nothing(filled):
    seen, kernel = stages(ELMAN, cache=filled)
    assert seen == [] and kernel.module is not None
    assert stages(ELMAN.encode(), cache=filled)[0] == []


@pytest.mark.parametrize("arguments", [
    (ELMAN, "float32"), (ELMAN, "float64", {"n": 3}), (ELMAN, "float64", {"n": 4}), (ELMAN.replace("norm2(h[t])", "norm2(h[t])/2"),),
])  # fmt: skip
def test_another_dtype_other_dims_and_another_text_are_built(filled, arguments):
    seen, kernel = stages(*arguments, cache=filled)
    assert seen == EVERY
    assert stages(*arguments, cache=filled)[0] == []
    assert stages(ELMAN, cache=filled)[0] == []
    if kernel.fixed == {"n": 4}:
        with pytest.raises(ValueError, match="n = 4, from what was fixed"):
            kernel.forward(VALUES)
    else:
        assert np.isfinite(kernel.value_and_grad(VALUES)[0])


def test_a_comment_reaches_no_code_but_is_another_text(filled):
    seen, kernel = stages(ELMAN + "# said twice\n", cache=filled)
    assert seen == EVERY[:3]
    library = kernel.module.__file__
    assert library == stages(ELMAN, cache=filled)[1].module.__file__


def test_sizes_fixed_at_compile_time_change_nothing_but_that(filled):
    fixed, free = (codegen.compile(ELMAN, dims=dims, cache=Cache(filled)) for dims in ({"n": 3}, None))
    (value, grads), (wanted, wanted_grads) = fixed.value_and_grad(VALUES), free.value_and_grad(VALUES)
    assert value == pytest.approx(wanted, rel=1e-14) and all(np.allclose(grads[k], wanted_grads[k], rtol=1e-13, atol=0) for k in grads)


FRESH = """
import json, sys
import numpy as np
import codegen
from codegen.cache import Cache
seen = []
kernel = codegen.compile(sys.argv[1], cache=Cache(sys.argv[2]), progress=seen.append)
values = {k: np.array(v) for k, v in json.loads(sys.argv[3]).items()}
value, grads = kernel.value_and_grad(values)
print(json.dumps([seen, float(value).hex(), sorted(m for m in ("sympy", "Cython", "scipy", "jinja2", "mpmath") if m in sys.modules)]))
"""


def test_a_cached_kernel_imports_nothing_heavy(filled):
    given = json.dumps({label: array.tolist() for label, array in VALUES.items()})
    done = subprocess.run([sys.executable, "-c", FRESH, ELMAN, str(filled), given], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.getcwd()})  # fmt: skip
    assert done.returncode == 0, done.stderr
    value = codegen.compile(ELMAN, cache=Cache(filled)).value_and_grad(VALUES)[0]
    assert json.loads(done.stdout) == [[], float(value).hex(), []]
    cold = subprocess.run([sys.executable, "-c", FRESH, ELMAN, str(filled.parent / "other"), given], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.getcwd()})  # fmt: skip
    assert json.loads(cold.stdout)[0] == EVERY and {"sympy", "jinja2"} <= set(json.loads(cold.stdout)[2])


def test_a_path_a_name_a_text_and_a_recurrence_are_taken(filled, tmp_path):
    path = tmp_path / "net.rec"
    path.write_text(ELMAN)
    for what in (path, str(path), ELMAN, derive.parse(ELMAN)):
        kernel = codegen.compile(what, cache=Cache(filled))
        assert kernel.value_and_grad(VALUES)[0] == codegen.compile(ELMAN, cache=Cache(filled)).value_and_grad(VALUES)[0]
    assert codegen.compile(path, cache=Cache(filled)).program.name == "net"


def test_cotangents_are_built_at_their_first_use(filled):
    seen, kernel = stages(ELMAN, cache=filled)
    run = kernel.forward(VALUES)
    grads = run.backward({"h": np.ones((3, 2, 3))})
    numeric = [np.sum(kernel.forward({**VALUES, "b": np.full(3, s)})["h"]) for s in (1e-5, -1e-5)]
    assert np.sum(grads["b"]) == pytest.approx((numeric[0] - numeric[1]) / 2e-5, rel=1e-6)
    again, other = stages(ELMAN, cache=filled)
    assert np.array_equal(other.forward(VALUES).backward({"h": np.ones((3, 2, 3))})["b"], grads["b"])
    assert again == []


# where nothing can be built


def test_without_a_compiler_one_warning_and_the_right_result(filled, tmp_path, monkeypatch):
    wanted = codegen.compile(ELMAN, cache=Cache(filled)).value_and_grad(VALUES)
    monkeypatch.setattr(driver, "find_toolchain", lambda: None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kernel = codegen.compile(ELMAN, cache=Cache(tmp_path / "cache"))
        value, grads = kernel.value_and_grad(VALUES)
        kernel.forward(VALUES).backward({"h": np.ones((3, 2, 3))})
    assert [item.category for item in caught] == [CompilerWarning]
    assert caught[0].filename == __file__ and "no C compiler was found" in str(caught[0].message)
    assert kernel.module is None and value == pytest.approx(wanted[0], rel=1e-14)
    assert all(np.allclose(grads[label], wanted[1][label], rtol=1e-12, atol=1e-15) for label in grads)


def test_a_compiler_that_is_not_there_is_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    with pytest.warns(CompilerWarning):
        assert codegen.compile(ELMAN, cache=Cache(tmp_path / "cache")).module is None


def test_a_cached_kernel_needs_no_compiler(filled, monkeypatch):
    monkeypatch.setattr(driver, "find_toolchain", lambda: pytest.fail("a compiler was looked for"))
    assert stages(ELMAN, cache=filled)[0] == []


# refusals


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((ELMAN, "float16"), ValueError, "dtype 'float16' is not one of float32, float64"),
    ((ELMAN, "float64", {"q": 2}), ValueError, "has no dim q; it has m, n"),
    ((ELMAN, "float64", {"n": 0}), ValueError, "the dim n must be at least 1, not 0"),
    (("x[t]: n\ny[t]: n = x[t] +\n",), RecurrenceError, "recurrence.rec:2"),
    (("f: function\nx[t]: n\ny[t]: n = f(x[t])\n",), RecurrenceError, "f is declared as a function without a definition"),
    (("no-such-stock-recurrence",), Exception, "no-such-stock-recurrence"),
])  # fmt: skip
def test_what_cannot_be_compiled_is_refused(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        codegen.compile(*arguments, cache=Cache(tmp_path / "cache"))
