"""Vector functions: within two units in the last place of the right value, in every instruction set that can be had here."""

import functools
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL, c_double, c_long, c_void_p
from pathlib import Path

import jinja2
import mpmath as mp
import numpy as np
import pytest

from codegen.build import compile_extension
from codegen.emit import TEMPLATES, emit
from codegen.environment import find_toolchain
from codegen.kernel import Kernel
from codegen.loading import load_extension
from codegen.lower import lower
from derive.language import load, parse
from tests.codegen.kernel_cases import worst
from tests.oracles import stock_layouts

# With RETROGRAD_EVERY_FLOAT=1 every float32 is tried, and ten million float64 values, which takes some ten minutes.
EVERY = os.environ.get("RETROGRAD_EVERY_FLOAT") == "1"
STRIDE, DOUBLES = (1, 10**7) if EVERY else (4093, 10**5)
EXACT = {
    "tanh": mp.tanh, "exp": mp.exp, "log": lambda x: mp.log(x) if x >= 0 else mp.nan, "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)), "gelu": lambda x: x * mp.erfc(-x * mp.sqrt(0.5)) / 2, "erf": mp.erf, "atan": mp.atan,
    "sin": mp.sin, "cos": mp.cos,
}  # fmt: skip
BOUND = {"gelu": 8}  # units in the last place, where more than two are allowed
TEXT = "x[t]: scalar\n" + "".join(f"{name}_[t]: scalar = {name}(x[t])\n" for name in EXACT)
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


def exactly(name, x):
    with mp.workdps(40):
        values = [EXACT[name](mp.mpf(float(v))) if np.isfinite(v) else np.longdouble("nan") for v in x]
        return np.array([np.longdouble(mp.nstr(v, 25)) if isinstance(v, mp.mpf) else v for v in values])


@pytest.fixture(scope="module")
def extremes(tmp_path_factory):
    """The library of `extremes.c` for a dtype; every function of it hands back the largest error in units in the last place."""
    toolchain, templates = find_toolchain(), jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES))

    @functools.cache
    def build(ctype):
        folder = tmp_path_factory.mktemp(ctype)
        texts = (templates.get_template(name).render(ctype=ctype, suffix="f" if ctype == "float" else "")
                 for name in (f"elementary_{ctype}.h", "elementary.h.j2"))  # fmt: skip
        (folder / "elementary.h").write_text("\n".join(texts))
        source, library = Path(__file__).parent / "extremes.c", folder / "extremes.so"
        given = [f'-DHEADER="{folder / "elementary.h"}"', *(["-DSINGLE"] if ctype == "float" else [])]
        subprocess.run([*toolchain.compiler, *toolchain.flags, *given, str(source), "-o", str(library), "-lm"], check=True)
        return CDLL(str(library))

    return build


def called(function, *arguments):
    function.restype, function.argtypes = c_double, None
    return function(*arguments)


def test_every_float_or_a_sample_of_them(extremes):
    library, part = extremes("float"), 1 << 28
    pieces = [(name, start) for name in EXACT for start in range(0, 1 << 32, part)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        tops = pool.map(lambda piece: called(getattr(library, f"between_{piece[0]}"), c_long(piece[1]), c_long(piece[1] + part),
                                             c_long(STRIDE)), pieces)  # fmt: skip
        top = {name: max(of) for name, of in groupby_name(pieces, tops)}
    assert all(value <= BOUND.get(name, 2) for name, value in top.items()), top
    assert min(top.values()) > 0.4, top


def groupby_name(pieces, values):
    """(name, all its values) for every name."""
    found = {}
    for (name, _), value in zip(pieces, values, strict=True):
        found.setdefault(name, []).append(value)
    return found.items()


def test_doubles_against_extended_precision_and_fifty_digits(compiled, extremes):
    rng, library = np.random.default_rng(1), extremes("double")
    spans = [(-1, 1), (-7, 7), (-30, 30), (-745, 709)]
    x = np.concatenate([*(rng.uniform(*span, DOUBLES // 5) for span in spans), np.exp(rng.uniform(-40, 7, DOUBLES // 5)), SPECIAL])
    top = {name: called(getattr(library, f"worst_{name}"), x.ctypes.data_as(c_void_p), c_long(x.size)) for name in EXACT}
    assert all(value <= BOUND.get(name, 2) for name, value in top.items()) and min(top.values()) > 0.4, top
    few = rng.uniform(-8, 8, 1500)
    for dtype in ("float64", "float32"):
        x = few.astype(dtype)
        found = computed(compiled(TEXT, dtype), x)
        for name in EXACT:
            error = units(found[name], exactly(name, x), np.dtype(dtype))
            assert error.max() <= BOUND.get(name, 2), (name, dtype, x[error.argmax()])
    assert units(np.nextafter(np.nextafter(np.nextafter(found["erf"], 9), 9), 9), exactly("erf", x), np.float32).max() > 2


def test_specials_are_those_of_numpy(compiled):
    for dtype in ("float64", "float32"):
        with np.errstate(all="ignore"):
            x = np.array(SPECIAL, dtype)
            found = computed(compiled(TEXT, dtype), x)
            for name in ("tanh", "exp", "log", "atan"):
                wanted = getattr(np, {"atan": "arctan"}.get(name, name))(x)
                assert np.array_equal(np.isnan(found[name]), np.isnan(wanted)) and np.array_equal(np.isinf(found[name]), np.isinf(wanted))
                zero = wanted == 0
                assert np.array_equal(np.signbit(found[name][zero]), np.signbit(wanted[zero])), name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_no_number_stays_so_whatever_its_bits(compiled, dtype):
    integers, quiet = (np.uint64, 0x7FF8 << 48) if dtype == "float64" else (np.uint32, 0x7FC00000)
    sign, payloads = 1 << (8 * integers().itemsize - 1), [0, 1, 2, 5, 255, 511, 2047, 4095, 1 << 18, (1 << 22) - 1]
    x = np.array([quiet | bits | side for bits in payloads for side in (0, sign)], integers).view(dtype)
    assert np.isnan(x).all()
    found = computed(compiled(TEXT, dtype), x)
    assert len(found) > 6 and all(np.isnan(values).all() for values in found.values())
    assert not np.isnan(computed(compiled(TEXT, dtype), np.ones_like(x))["tanh"]).any()


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
