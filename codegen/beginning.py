"""Beginning: a kernel and the caller's values -> a frame with the arguments of a call. Every error names the argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from codegen.arguments import Arguments, Sizes, row_major
from codegen.frame import Frame
from codegen.layout import Arrays
from codegen.program import Buffer, Program

if TYPE_CHECKING:
    from codegen.kernel import Kernel


def begin(
    kernel: Kernel, values: Mapping[str, object], steps: int | None, batch: int | None, keep: bool = False, checked: bool = True
) -> tuple[Frame, Sizes, dict[str, np.ndarray]]:
    """A frame with the arguments, sizes, and the arrays that were given.

    keep: copy all but input sequences, so that weights may be updated before the gradient is taken; checked: refuse values that break a
    constraint. Raises: ValueError or TypeError naming the argument.
    """
    arguments, program = kernel._arguments, kernel.program
    sizes, arrays = arguments.read(values, steps, batch)
    frame = blank(kernel, sizes)
    place(arguments, frame, sizes, arrays, keep)
    if checked:
        require_constraints(program, frame)
    for label, name, position in program.streaming.state:
        if label in arguments.carried and label in arrays:
            frame.arrays[name][frame.room(name) - 1 + position] = given(frame, arguments.carried[label], arrays[label], sizes)
    place_guesses(arguments, frame, sizes, arrays)
    return frame, sizes, arrays


def blank(kernel: Kernel, sizes: Sizes) -> Frame:
    """A frame without arrays."""
    dtype = kernel._arguments.dtype
    return Frame(
        kernel.program, sizes.dims, sizes.steps, sizes.batch, sizes.lengths, dtype, Arrays(dtype), factors=kernel.factors,
        threads=kernel.threads, plans=kernel.plans,
    )  # fmt: skip


def place(arguments: Arguments, frame: Frame, sizes: Sizes, arrays: Mapping[str, np.ndarray], keep: bool = False) -> None:
    """Put the arguments into a frame; those left out are zero, or what the recurrence says."""
    left_out = []
    for label, buffer in arguments.buffers.items():
        array = arrays.get(label)
        if array is None and label not in frame.program.defaults:
            left_out.append(buffer.name)
            continue
        read = given(frame, buffer, array, sizes)
        frame.arrays[buffer.name] = read.copy() if keep and buffer.kind != "timed" and read is array else read
    frame.complete(left_out, whole=left_out, zeroed=True)


def place_guesses(arguments: Arguments, frame: Frame, sizes: Sizes, arrays: Mapping[str, np.ndarray]) -> None:
    """Put the starting guesses of steady states into a frame."""
    for name, label in frame.program.guesses.items():
        if label in arrays:
            frame.guesses[name] = given(frame, arguments.guessed[label], arrays[label], sizes)


def require_constraints(program: Program, frame: Frame) -> None:
    """Refuse parameters that break a constraint. Raises ValueError."""
    if program.systems:
        from codegen.constraints import require_constraints

        require_constraints(program, frame)


def given(frame: Frame, buffer: Buffer, array: np.ndarray | None, sizes: Sizes) -> np.ndarray:
    """An argument as a buffer: in the order of rows, zero beyond each sequence's end, with room outside the steps."""
    if array is None:
        filled = frame.allocate(buffer.name, whole=True)
        if buffer.label in frame.program.defaults:
            filled[...] = frame.program.defaults[buffer.label]
        return filled
    if sizes.order is not None and buffer.kind != "shared":
        array = array[sizes.order] if buffer.kind == "sequence" else array[:, sizes.order]
        if buffer.kind == "timed":
            beyond = np.arange(frame.steps)[:, None] >= frame.lengths[None, :]
            array[beyond] = 0 if buffer.below is None else -1
    if buffer.kind == "timed" and (buffer.before or buffer.after):
        padded = frame.allocate(buffer.name, whole=True)
        padded[buffer.before : buffer.before + frame.steps] = array
        return padded
    return row_major(array)
