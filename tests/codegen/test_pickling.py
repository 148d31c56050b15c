import pickle
import subprocess
import sys

import numpy as np
import pytest
from oracles import stock_layouts

import codegen
from codegen.cache import Cache
from tests.codegen.kernel_cases import ELMAN, everything, interpreted, same

VALUES = stock_layouts.draw("elman", seed=2, steps=6, batch=3, dims={"n": 4, "m": 3, "k": 2})


@pytest.fixture(scope="module")
def elman(compiled):
    return compiled("elman")


def test_an_interpreted_kernel_survives_pickling():
    kernel = interpreted(ELMAN)
    values = {"x": np.ones((3, 1, 2)), "W": np.eye(2), "U": np.eye(2), "b": np.ones(2)}
    again = pickle.loads(pickle.dumps(kernel))
    assert again.program == kernel.program and same(again.value_and_grad(values)[1], kernel.value_and_grad(values)[1])


def test_a_compiled_kernel_is_pickled_by_its_source(elman, session_cache, monkeypatch):
    packed = pickle.dumps(elman)
    assert b"softmax" in packed and len(packed) < 2000
    monkeypatch.setenv("RETROGRAD_CACHE", str(session_cache))
    again = pickle.loads(packed)
    assert again.module is not None and repr(again) == repr(elman)
    assert same(everything(again, VALUES), everything(elman, VALUES))


def test_a_pickle_opens_in_a_process_of_its_own(elman, session_cache, tmp_path):
    (tmp_path / "packed").write_bytes(pickle.dumps((elman, VALUES)))
    code = "import pickle, sys; k, v = pickle.load(open(sys.argv[1], 'rb')); print(k.value_and_grad(v)[0].hex(), 'sympy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "packed"], capture_output=True, text=True,
                          env={"PYTHONPATH": ".", "RETROGRAD_CACHE": str(session_cache), "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert done.stdout.split() == [float(elman.value_and_grad(VALUES)[0]).hex(), "False"], done.stderr


def test_options_are_part_of_a_pickle(session_cache, monkeypatch):
    monkeypatch.setenv("RETROGRAD_CACHE", str(session_cache))
    kernel = codegen.compile("elman", "float32", {"n": 4}, cache=Cache(session_cache))
    again = pickle.loads(pickle.dumps(kernel))
    assert (again.dtype, again.fixed) == ("float32", {"n": 4})
    with pytest.raises(ValueError, match="n = 4, from what was fixed"):
        again.forward(stock_layouts.draw("elman", seed=1))
