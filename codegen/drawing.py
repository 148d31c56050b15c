"""Drawing: an argument's buffer and sizes -> random values for it, or those that the user wishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from codegen.arguments import LEAD, text_of
from codegen.program import Buffer, Program
from codegen.sizes import lone_dim, size_value

Range = float | tuple[float, float]


class WishError(ValueError):
    """A range or a value that cannot be had. option: `ranges` or `values`; problem: what is wrong with it."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option, self.problem = option, problem


@dataclass(frozen=True)
class Wishes:
    """What the user wants of the values drawn. ranges: label -> (low, high), ends included; values: label -> array, as it is."""

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    values: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_wishes(
    name: str, labels: Mapping[str, Buffer], ranges: Mapping[str, Range] | None, values: Mapping[str, object] | None
) -> Wishes:
    """Wishes for the arguments of a recurrence of that name, checked except for shapes. Raises: WishError."""
    for option, wished in (("ranges", ranges), ("values", values)):
        for label in wished or {}:
            if label not in labels:
                raise WishError(option, f"{name} takes no argument {label!r}; it takes {', '.join(labels)}")
            if option == "values" and label in (ranges or {}):
                raise WishError(option, f"{label} has a range too; give one of the two")
    found = {label: _range(label, labels[label], wish) for label, wish in (ranges or {}).items()}
    return Wishes(found, {label: _array(label, labels[label], value) for label, value in (values or {}).items()})


def _range(label: str, buffer: Buffer, wish: Range) -> tuple[float, float]:
    ends = wish if isinstance(wish, tuple) else (wish, wish)
    if len(ends) != 2 or not np.isfinite(ends).all() or ends[0] > ends[1]:
        shown = ":".join(f"{end:g}" for end in ends)
        raise WishError("ranges", f"{label} has {shown}; a range is a finite number, or two of which the first is not larger")
    if buffer.below is not None and any(end != int(end) or end < -1 for end in ends):
        raise WishError("ranges", f"{label} has {ends[0]:g}:{ends[1]:g}; it takes whole numbers from 0, and -1 for none")
    return float(ends[0]), float(ends[1])


def _array(label: str, buffer: Buffer, value: object) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in ("iuf" if buffer.below is None else "iu"):
        raise WishError("values", f"{label} has dtype {array.dtype}; it takes {'numbers' if buffer.below is None else 'whole numbers'}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise WishError("values", f"{label} is not finite")
    return array.astype(np.float64 if buffer.below is None else np.int64)


def fitted_sizes(
    labels: Mapping[str, Buffer], values: Mapping[str, np.ndarray], dims: Mapping[str, int], steps: int | None, batch: int | None
) -> tuple[dict[str, int], int | None, int | None]:
    """Dims, steps and batch as given, and as the arrays that are to be taken have them. Raises: WishError where they disagree."""
    sizes: dict[object, int | None] = {**dims, ("T",): steps, ("B",): batch}
    found = {name: (size, "as asked for") for name, size in sizes.items() if size is not None}
    for label, array in values.items():
        buffer = labels[label]
        names: list[object] = [(axis,) for axis in LEAD[buffer.kind]]
        names += [lone_dim(size) for size in buffer.shape]
        if array.ndim != len(names):
            raise WishError("values", f"{label} has shape {array.shape}; it must be {text_of(buffer)}")
        for name, length in zip(names, array.shape, strict=True):
            size, origin = found.setdefault(name, (length, f"from {label}"))
            if name is not None and size != length:
                shown = name[0] if isinstance(name, tuple) else name
                raise WishError("values", f"{label} has shape {array.shape}; it must be {text_of(buffer)} with {shown} = {size}, {origin}")
    named = {name: size for name, (size, _) in found.items() if isinstance(name, str)}
    return named, found.get(("T",), (None,))[0], found.get(("B",), (None,))[0]


def draw_values(
    program: Program,
    labels: Mapping[str, Buffer],
    dims: Mapping[str, int],
    steps: int,
    batch: int,
    rng: np.random.Generator,
    positive: bool,
    wishes: Wishes = Wishes(),  # noqa: B008
) -> dict[str, np.ndarray]:
    """Values for every label: of unit size for inputs, of a size that neither dies nor explodes for weights, defaults where given.

    positive: only values above zero, for functions that have no others; wishes come first. Integers of an index are drawn among all it
    may take, "none" too.
    Raises: WishError for a value of another shape.
    """
    lead = {"T": steps, "B": batch}
    values = {}
    for label, buffer in labels.items():
        components = tuple(size_value(size, dims) for size in buffer.shape)
        shape = (*(lead[axis] for axis in LEAD[buffer.kind]), *components)
        if label in wishes.values or label in wishes.ranges:
            values[label] = _wished(label, buffer, shape, dims, rng, wishes)
            continue
        if buffer.below is not None:
            values[label] = rng.integers(-1, size_value(buffer.below, dims), shape)
            continue
        scale = 0.6 / np.sqrt(components[-1]) if buffer.kind == "shared" and len(components) == 2 else 0.6
        drawn = scale * rng.standard_normal(shape)
        values[label] = np.asarray(program.defaults.get(label, np.abs(drawn) + 0.05 if positive else drawn))
    return values


def _wished(
    label: str, buffer: Buffer, shape: tuple[int, ...], dims: Mapping[str, int], rng: np.random.Generator, wishes: Wishes
) -> np.ndarray:
    below = None if buffer.below is None else size_value(buffer.below, dims)
    option = "values" if label in wishes.values else "ranges"
    if option == "values":
        found = wishes.values[label].copy()
    else:
        low, high = wishes.ranges[label]
        found = np.asarray(rng.uniform(low, high, shape) if below is None else rng.integers(int(low), int(high) + 1, shape))
    if found.shape != shape:
        raise WishError(option, f"{label} has shape {found.shape}; it must be {shape}, {text_of(buffer)}")
    if below is not None and found.size and not -1 <= found.min() <= found.max() < below:
        raise WishError(option, f"{label} takes whole numbers from 0 to {below - 1}, and -1 for none")
    return found
