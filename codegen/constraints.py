"""Constraints: a program's systems and the caller's values -> errors where values are off, projections, nearest values.

A system's matrix depends on sizes and constants alone; its decomposition is kept in the frame's `factors` for the next
call with the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codegen.affine import Bounds, Evaluation, Rows
from codegen.allowed import Allowed
from codegen.frame import Frame
from codegen.program import Program, Projection
from codegen.sizes import size_value
from codegen.systems import Assertion, System

# How far a constraint may be off, as a share of its terms if every component were the largest: some thousand roundings.
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}

Arrays = Mapping[str, np.ndarray]
Factors = dict[int, tuple[object, Allowed, np.ndarray]]


def require_constraints(program: Program, frame: Frame) -> None:
    """Refuse parameters that break a constraint. Raises ValueError with the assert, the place, and by how much it is off."""
    for place, system in enumerate(program.systems):
        values = _real(system, frame.arrays)
        tolerance = system.tolerance or TOLERANCE["float32" if frame.dtype == np.float32 else "float64"]
        bounds = Bounds({name: values[name] for name in system.parameters})
        evaluated = Evaluation(system, frame.dims, values, bounds)
        for assertion in system.assertions:
            problem = _problem(evaluated, assertion, tolerance)
            if problem:
                raise ValueError(problem + _advice(program, place, frame, values))


def _real(system: System, arrays: Arrays) -> dict[str, np.ndarray]:
    """Parameters and constants in float64; of complex ones the real part, which a step into the plane leaves alone."""
    given = [name for name, buffer in system.buffers.items() if buffer.role == "argument"]
    return {name: np.real(arrays[name]).astype(np.float64) for name in given}


def _problem(evaluated: Evaluation, assertion: Assertion, tolerance: float) -> str:
    """What is wrong with a constraint, or nothing."""
    (left, over), (right, under) = evaluated.pairs[assertion.left], evaluated.pairs[assertion.right]
    off = np.abs(left - right)
    size = np.abs(left) + np.abs(right) + (0.0 if over is None else over) + (0.0 if under is None else under)
    if not np.any(off > tolerance * np.max(size, initial=0.0)):
        return ""
    worst = int(np.argmax(off))
    shape = evaluated.shape(assertion.left)
    index = tuple(int(i) for i in np.unravel_index(worst, shape))
    at = f" at ({', '.join(map(str, index))})" if shape else ""
    line = f", line {assertion.line}," if assertion.line else ""
    return f"{assertion.text}{line} does not hold{at}: {left[worst]:.9g} is not {right[worst]:.9g}, off by {off[worst]:.2g}"


def _advice(program: Program, place: int, frame: Frame, values: Arrays) -> str:
    """What to do about it: give the nearest values, unless there are none."""
    system = program.systems[place]
    names = _named(program, system)
    if _satisfied(program, place, frame, values) is None:
        return f"; no values of {names} satisfy all asserts on {names} together"
    return f"; kernel.nearest(values) moves {names} to where it does"


def _named(program: Program, system: System) -> str:
    labels = [program.buffers[name].label for name in system.parameters]
    return " and ".join([*([", ".join(labels[:-1])] if len(labels) > 1 else []), labels[-1]])


def _satisfied(program: Program, place: int, frame: Frame, values: Arrays) -> dict[str, np.ndarray] | None:
    """The nearest parameters that satisfy a system; None where there are none."""
    system = program.systems[place]
    allowed, target = _factors(program, place, frame, values)
    vector = np.concatenate([values[name].ravel() for name in system.parameters])
    rows = allowed.matrix
    moved = vector
    for _ in range(2):  # the second step takes off the rounding of the first
        moved = moved - allowed.least(rows @ moved - target)
    largest = np.max(np.abs(np.concatenate([vector, moved])), initial=0.0)
    moved = np.where(np.abs(moved) > 4 * np.finfo(np.float64).eps * largest, moved, 0.0)
    size = abs(rows) @ np.full(len(moved), largest) + np.abs(target)
    off = np.abs(rows @ moved - target)
    if np.any(off > 1e-10 * np.max(size, initial=0.0)):
        return None
    return dict(zip(system.parameters, _split(system, frame, moved), strict=True))


def _split(system: System, frame: Frame, vector: np.ndarray) -> list[np.ndarray]:
    shapes = [frame.shape(system.buffers[name]) for name in system.parameters]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(vector, ends), shapes, strict=True)]


def _factors(program: Program, place: int, frame: Frame, values: Arrays) -> tuple[Allowed, np.ndarray]:
    """The decomposed matrix of a system and the right side c, newly made where sizes or constants are others."""
    system = program.systems[place]
    constants = {name: array for name, array in values.items() if name not in system.parameters}
    key = (tuple(frame.dims.items()), tuple((name, array.tobytes()) for name, array in constants.items()))
    known = frame.factors.get(place)
    if known is None or known[0] != key:
        sizes = {
            name: int(np.prod([size_value(size, frame.dims) for size in system.buffers[name].shape])) for name in system.parameters
        }
        matrix, target = _matrix(system, frame, constants, sizes)
        known = (key, Allowed(matrix), target)
        frame.factors[place] = known
    return known[1], known[2]


def _matrix(system: System, frame: Frame, constants: Arrays, sizes: Mapping[str, int]) -> tuple[object, np.ndarray]:
    """A and c of A θ = c, the rows of every assertion after one another."""
    from scipy.sparse import csr_array, vstack

    rows = Rows(sizes)
    evaluated = Evaluation(system, frame.dims, constants, rows)
    parts, targets = [], []
    for assertion in system.assertions:
        (left, over), (right, under) = evaluated.pairs[assertion.left], evaluated.pairs[assertion.right]
        signed = [part for part in (over, None if under is None else rows.scale(under, -1.0)) if part is not None]
        parts.append(rows.add(signed) if signed else csr_array((len(left), rows.width)))
        targets.append(right - left)
    return vstack(parts, format="csr"), np.concatenate(targets)


def project_changes(program: Program, frame: Frame, changes: Arrays) -> dict[str, np.ndarray]:
    """By label, the allowed changes of every constrained parameter nearest to the given ones. Raises ValueError for a wrong shape."""
    found: dict[str, np.ndarray] = {}
    for place, system in enumerate(program.systems):
        allowed, _ = _factors(program, place, frame, _real(system, frame.arrays))
        labels = [program.buffers[name].label for name in system.parameters]
        parts = []
        for label, name in zip(labels, system.parameters, strict=True):
            shape = frame.shape(system.buffers[name])
            part = changes.get(label, np.zeros(shape))
            if part.shape != shape:
                raise ValueError(f"the change of {label} has shape {part.shape}; it must be {shape}")
            parts.append(part.ravel())
        found |= zip(labels, _split(system, frame, allowed.project(np.concatenate(parts))), strict=True)
    return found


def project(projection: Projection, frame: Frame) -> None:
    """Compute projections of changes into their buffers."""
    program = frame.program
    done: dict[tuple, list[np.ndarray]] = {}
    for statement in projection.statements:
        system = program.systems[statement.system]
        key = (statement.system, statement.changes)
        if key not in done:
            allowed, _ = _factors(program, statement.system, frame, _real(system, frame.arrays))
            changes = dict(statement.changes)
            parts = [frame.arrays[changes[n]] if n in changes else np.zeros(frame.shape(system.buffers[n])) for n in system.parameters]
            vector = np.concatenate([np.ravel(part) for part in parts])
            done[key] = _split(system, frame, allowed.project(vector.astype(np.float64) if vector.dtype == object else vector))
        frame.arrays[statement.out][...] = done[key][system.parameters.index(statement.part)]


def nearest(program: Program, frame: Frame) -> dict[str, np.ndarray]:
    """By buffer, the constrained parameters nearest to the frame's that satisfy every constraint. Raises ValueError where none do."""
    found: dict[str, np.ndarray] = {}
    for place, system in enumerate(program.systems):
        moved = _satisfied(program, place, frame, _real(system, frame.arrays))
        if moved is None:
            texts = "; ".join(assertion.text for assertion in system.assertions)
            raise ValueError(f"no values of {_named(program, system)} satisfy all of these: {texts}")
        found |= moved
    return found
