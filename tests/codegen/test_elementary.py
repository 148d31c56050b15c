"""Vector functions: within two units in the last place of the right value, in every instruction set that can be had here."""

import os

import mpmath as mp
import numpy as np
import pytest

from codegen.build import compile_extension, load_extension
from codegen.emit import emit
from codegen.environment import find_toolchain
from codegen.kernel import Kernel
from codegen.lower import lower
from derive.language import load, parse
from tests.codegen.kernel_cases import worst
from tests.oracles import stock_layouts

# With RETROGRAD_EVERY_FLOAT=1 every float32 is tried, which takes some minutes for each function.
STRIDE = 1 if os.environ.get("RETROGRAD_EVERY_FLOAT") == "1" else 16381
EXACT = {
    "tanh": mp.tanh, "exp": mp.exp, "log": lambda x: mp.log(x) if x >= 0 else mp.nan, "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)), "erf": mp.erf, "atan": mp.atan, "sin": mp.sin, "cos": mp.cos,
}  # fmt: skip
TEXT = "x[t]: scalar\n" + "".join(f"{name}_[t]: scalar = {name}(x[t])\n" for name in EXACT)
WIDE = {"tanh": np.tanh, "exp": np.exp, "log": np.log, "atan": np.arctan, "sin": np.sin, "cos": np.cos}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e-310, 1e-45, 3e-39, 1.7e308, 3e38, -745.2, -103.9, 88.8, 710.0]


def computed(kernel, x):
    with np.errstate(all="ignore"):
        run = kernel.forward({"x": x.reshape(1, -1)})
    return {name: run[f"{name}_"].ravel() for name in EXACT}


def units(found, exact, dtype):
    """Distances in units of the last place of the rounded exact value; infinite where one is not a number and the other is."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        error = np.abs(found.astype(np.longdouble) - exact) / np.spacing(np.abs(rounded)).astype(np.longdouble)
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error)).astype(float)


def wide(name, x):
    """The value in long double, from NumPy where it has the function."""
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            small = np.exp(-np.abs(x))
            return np.where(x >= 0, 1, small) / (1 + small)
        if name == "softplus":
            return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
        return WIDE[name](x)


def exactly(name, x):
    with mp.workdps(40):
        values = [EXACT[name](mp.mpf(float(v))) if np.isfinite(v) else np.longdouble("nan") for v in x]
        return np.array([np.longdouble(mp.nstr(v, 25)) if isinstance(v, mp.mpf) else v for v in values])


def test_every_float_or_a_sample_of_them(compiled):
    kernel, top = compiled(TEXT, "float32"), dict.fromkeys(EXACT, 0.0)
    for start in range(0, 1 << 32, 1 << 26):
        bits = np.arange(start + start % STRIDE, start + (1 << 26), STRIDE, dtype=np.uint64).astype(np.uint32)
        x = bits.view(np.float32)
        found = computed(kernel, x)
        for name in sorted(set(EXACT) - {"erf"}):
            top[name] = max(top[name], units(found[name], wide(name, x), np.float32).max())
    assert max(top.values()) <= 2, top
    assert all(top[name] > 0.4 for name in top if name != "erf"), top


def test_doubles_against_long_doubles_and_fifty_digits(compiled):
    kernel, rng = compiled(TEXT), np.random.default_rng(1)
    spans = [(-1, 1), (-7, 7), (-30, 30), (-745, 709)]
    x = np.concatenate([*(rng.uniform(*span, 20_000) for span in spans), np.exp(rng.uniform(-40, 7, 20_000)), SPECIAL])
    found = computed(kernel, x)
    for name in sorted(set(EXACT) - {"erf"}):
        assert units(found[name], wide(name, x), np.float64).max() <= 2, name
    few = rng.uniform(-8, 8, 1500)
    for dtype in ("float64", "float32"):
        x = few.astype(dtype)
        found = computed(compiled(TEXT, dtype), x)
        for name in EXACT:
            error = units(found[name], exactly(name, x), np.dtype(dtype))
            assert error.max() <= 2, (name, dtype, x[error.argmax()])
    assert units(np.nextafter(np.nextafter(np.nextafter(found["erf"], 9), 9), 9), exactly("erf", x), np.float32).max() > 2


def test_specials_are_those_of_numpy(compiled):
    for dtype in ("float64", "float32"):
        with np.errstate(all="ignore"):
            x = np.array(SPECIAL, dtype)
            found = computed(compiled(TEXT, dtype), x)
            for name in ("tanh", "exp", "log", "atan"):
                wanted = WIDE[name](x)
                assert np.array_equal(np.isnan(found[name]), np.isnan(wanted)) and np.array_equal(np.isinf(found[name]), np.isinf(wanted))
                zero = wanted == 0
                assert np.array_equal(np.signbit(found[name][zero]), np.signbit(wanted[zero])), name


@pytest.mark.parametrize("flags", [("-mno-avx512f",), ("-mno-avx",)])
def test_narrower_vectors_give_right_results(tmp_path, flags):
    toolchain = find_toolchain()
    if not toolchain.isa.startswith("x86_64"):
        pytest.skip("the flags are those of x86-64")
    program = lower(load("lstm"))
    values = stock_layouts.draw("lstm", seed=3, steps=5, batch=3, lengths=None)
    wanted = Kernel(program, "float64").value_and_grad(values)
    for dtype, allowed in (("float64", 1e-12), ("float32", 1e-4)):
        stem = f"narrow_{dtype}"
        library = compile_extension(emit(program, dtype, None, ["forward", "gradient"]), stem, tmp_path, toolchain, extra_flags=flags)
        value, grads = Kernel(program, dtype, load_extension(library, stem)).value_and_grad(values)
        assert abs(value - wanted[0]) < allowed * abs(wanted[0])
        assert max(worst(grads[label], wanted[1][label]) for label in grads) < allowed
    assert worst(1.01 * grads["Wi"], wanted[1]["Wi"]) > allowed


def test_functions_keep_denormals():
    assert 5e-324 * 1.0 != 0 and np.float32(1e-45) != 0
    kernel = Kernel(lower(parse(TEXT)), "float64")
    assert kernel.forward({"x": np.full((1, 1), -744.0)})["exp_"][0, 0] > 0
