"""Kernel: `Variant` -> C source -> shared library -> a callable LSTM gradient."""

from __future__ import annotations

import ctypes
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray

FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-fopenmp", "-lm")
SIZES = ("T", "B", "I", "H", "Hp", "Ip", "ldg", "threads", "K", "segment", "scratch_size")
INDICES = ("active", "cuts", "rows", "steps")
GIVEN = ("x", "h0", "c0", "W", "U", "b")
BUFFERS = (
    "G", "C", "Y", "TC", "dH", "dC", "dX", "dWU", "db", "loss", "Wf", "Wb", "Uf", "Ub", "bf", "zero", "scratch",
)  # fmt: skip
FIELDS = (
    [(name, "long") for name in SIZES]
    + [(name, "const long *") for name in INDICES]
    + [(name, "const float *") for name in GIVEN]
    + [(name, "float *") for name in BUFFERS]
)

Arrays = dict[str, NDArray]


@dataclass(frozen=True, slots=True)
class Variant:
    """Template choices; the defaults are the fastest found, every other value leaves one of them out."""

    R: int = 8  # rows of a register tile
    V: int = 2  # vectors of a register tile
    L: int = 16  # floats of a vector
    ahead: int = 16  # prefetch distance in a panel, 0 for none
    segment: int = 256  # inner dimension of one tile call, in the weight gradient
    hoist: bool = False  # U @ x before the loop, instead of continuing the tile of W @ h
    sweep_dx: bool = False  # U.T @ dz after the loop, instead of in it
    fuse: bool = True  # elementwise work right after the product of its units
    repack: bool = False  # weights packed at every step
    barrier: bool = False  # threads meet at every step
    per_step: bool = False  # weight gradient added step by step
    near: bool = True  # tape of the next units fetched ahead
    keep_tanh: bool = False  # a seventh number on the tape
    math: str = "own"  # or "libm"
    pad: int = 16  # floats added to each row of the gate tape
    reuse: bool = True  # workspace kept between calls


class State(ctypes.Structure):
    """The argument record of the generated function."""

    _fields_ = [(n, ctypes.c_long if k == "long" else ctypes.c_void_p) for n, k in FIELDS]


def exponential() -> list[str]:
    """Coefficients, highest first, of (exp(r) - 1 - r) / r**2 on |r| <= log(2)/2, interpolated at Chebyshev points."""
    edge = math.log(2) / 2
    exact = np.polynomial.Polynomial([1 / math.factorial(k + 2) for k in range(16)])
    fitted = np.polynomial.Chebyshev.interpolate(exact, 4, domain=[-edge, edge])
    return [f"{c:.10e}" for c in fitted.convert(kind=np.polynomial.Polynomial).coef[::-1]]


def compiled(source: Path, library: Path) -> ctypes.CDLL:
    """Compile a C file, once, and load it; calls release the interpreter lock while they run."""
    if not library.exists():
        subprocess.run(["gcc", str(source), "-o", str(library), *FLAGS], check=True)
    return ctypes.CDLL(str(library))


def build(variant: Variant, folder: Path) -> ctypes.CDLL:
    """Render the templates of a variant and compile them in `folder`."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    strict = jinja2.StrictUndefined
    template = jinja2.Environment(loader=loader, undefined=strict, trim_blocks=True, lstrip_blocks=True).get_template(
        "kernel.c.j2"
    )
    choices = {name: getattr(variant, name) for name in Variant.__slots__}
    source = folder / f"k{hash(variant) & 0xFFFFFFFF:x}.c"
    source.write_text(template.render(fields=FIELDS, coefficients=exponential(), **choices))
    return compiled(source, source.with_suffix(".so"))


def zeros(*shape: int) -> NDArray[np.float32]:
    """Zeros at a multiple of 64 bytes."""
    raw = np.zeros(math.prod(shape) + 16, np.float32)
    skip = -raw.ctypes.data % 64 // 4
    return raw[skip : skip + math.prod(shape)].reshape(shape)


def share(lengths: NDArray, threads: int, tile: int) -> NDArray[np.int64]:
    """Row borders, at whole tiles where there are enough, that give each thread about the same number of steps."""
    unit = tile if len(lengths) >= tile * threads else 1
    done = np.concatenate([[0], np.cumsum(lengths)])
    wanted = done[-1] * np.arange(threads + 1) / threads
    borders = np.rint(np.interp(wanted, done, np.arange(len(done))) / unit).astype(np.int64) * unit
    borders[-1] = len(lengths)
    return np.minimum(borders, len(lengths))


class Kernel:
    """The generated LSTM for one problem size; holds its workspace."""

    def __init__(self, variant: Variant, folder: Path, threads: int = 2) -> None:
        self.variant, self.threads = variant, threads
        self.library = build(variant, folder)
        self.buffers: Arrays | None = None

    def workspace(self, T: int, B: int, I: int, H: int) -> Arrays:  # noqa: E741
        """Tape (6 numbers per unit and step), packed weights, carries and outputs, unit axes padded to whole panels."""
        v, W = self.variant, self.variant.V * self.variant.L
        Hp, Ip, segment = -(-H // W) * W, -(-I // W) * W, B if self.variant.per_step else self.variant.segment
        shapes = {
            "G": (T, B, 4 * Hp + v.pad), "C": (T + 1, B, Hp), "Y": (T + 1, B, Hp), "dX": (T, B, Ip),
            "TC": (T, B, Hp) if v.keep_tanh else (0,), "dH": (B, Hp), "dC": (B, Hp), "dWU": (4 * H, Hp + Ip),
            "db": (4 * H,), "loss": (B, v.L), "Wf": (4 * Hp, H), "Wb": (4 * Hp, Hp), "Uf": (4 * Hp, I),
            "Ub": (4 * Hp, Ip), "bf": (4 * Hp,), "zero": (max(Hp, Ip),),
            "scratch": (self.threads, segment * (12 * W + 4 * v.L)),
        }  # fmt: skip
        return {name: zeros(*shape) for name, shape in shapes.items()}

    def __call__(self, values: Arrays, lengths: NDArray | None = None) -> Arrays:
        """Run value and gradients of sum(y**2); rows sorted by length, longest first. Outputs view the workspace."""
        (T, B, I), H = values["x"].shape, values["h0"].shape[1]  # noqa: E741
        if self.buffers is None or not self.variant.reuse:
            self.buffers = self.workspace(T, B, I, H)
        lengths = np.full(B, T) if lengths is None else np.asarray(lengths)
        steps, batch = np.nonzero(np.arange(T)[:, None] < lengths)
        index = {
            "active": (np.arange(T)[:, None] < lengths).sum(1), "cuts": share(lengths, self.threads, self.variant.R),
            "rows": steps * B + batch, "steps": np.ascontiguousarray(steps),
        }  # fmt: skip
        o = self.buffers
        Hp, Ip, W = o["C"].shape[2], o["dX"].shape[2], self.variant.V * self.variant.L
        size = o["scratch"].shape[1]
        segment = size // (12 * W + 4 * self.variant.L)
        numbers = (T, B, I, H, Hp, Ip, o["G"].shape[2], self.threads, len(steps), segment, size)
        arrays = {**index, **{n: values[n] for n in GIVEN}, **o}
        self.library.run(ctypes.byref(State(*numbers, *(arrays[n].ctypes.data for n in INDICES + GIVEN + BUFFERS))))
        return {
            "value": o["loss"].sum(dtype=np.float64), "y": o["Y"][1:, :, :H],
            "W": o["dWU"][:, :H], "U": o["dWU"][:, Hp : Hp + I], "b": o["db"],
            "x": o["dX"][:, :, :I], "h0": o["dH"][:, :H], "c0": o["dC"][:, :H],
        }  # fmt: skip
