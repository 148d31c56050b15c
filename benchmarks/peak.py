"""Peak: the multiply-adds that the cores of this machine can do, measured on registers alone, in floating-point operations a second."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL, byref, c_double, c_long
from pathlib import Path

from codegen.environment import find_toolchain

LOOPS, ROUNDS = 3_000_000, 60


@functools.cache
def measure_peak(dtype: str, threads: int) -> float:
    """The best of many rounds, threads side by side; the first wake the cores."""
    toolchain = find_toolchain()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        subprocess.run([*toolchain.compiler, *toolchain.flags, str(Path(__file__).parent / "peak.c"), "-o", str(library)], check=True)
        spin = getattr(CDLL(str(library)), "spin_float" if dtype == "float32" else "spin_double")
        spin.restype, spin.argtypes = c_double, None

        def once(_: int) -> float:
            return spin(c_long(LOOPS), byref(c_double()))

        with ThreadPoolExecutor(threads) as pool:
            return max(sum(pool.map(once, range(threads))) for _ in range(ROUNDS))
