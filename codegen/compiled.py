"""Compiled: a loaded extension and a frame -> a runner of segments. Takes the addresses of a frame's arrays once."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from codegen.frame import Frame


class Compiled:
    """Runs the segments of a compiled module on a frame's buffers."""

    def __init__(self, module: ModuleType, frame: Frame) -> None:
        program, self.frame, self.module = frame.program, frame, module
        self.active, self.lengths = frame.active, np.ascontiguousarray(frame.lengths)
        pointers = [self.active.ctypes.data, self.lengths.ctypes.data]
        strides = [0, 0]
        for name in program.buffers:
            array = frame.arrays.get(name)
            if array is None:
                pointers.append(0)
                strides.append(0)
                continue
            timed = program.buffers[name].kind == "timed"
            step = 0 if timed and frame.is_single(name) else (array.strides[0] // array.itemsize if timed else 0)
            pointers.append(array.ctypes.data + (frame.room(name) * array.strides[0] if timed and step else 0))
            strides.append(step)
        self.pointers = np.array(pointers, np.uintp)
        self.strides = np.array(strides, np.int64)
        self.sizes = np.array([frame.steps, frame.batch, int(frame.ragged), *frame.dims.values()], np.int64)
        self.addresses = (self.pointers.ctypes.data, self.strides.ctypes.data, self.sizes.ctypes.data)

    def run(self, number: int, t0: int, t1: int) -> None:
        """Run a segment over the steps t0..t1."""
        self.module.run(number, *self.addresses, t0, t1)
