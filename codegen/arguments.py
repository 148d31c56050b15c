"""Arguments: the caller's values -> sizes, and arrays in the kernel's order of rows. Every error names the argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from codegen.program import Buffer, Program
from codegen.sizes import lone_dim, size_value

MOST_SEEN = 256
LEAD = {"shared": (), "sequence": ("B",), "timed": ("T", "B")}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of one call: dims by name, steps T, batch B, lengths (B,), the order of rows (longest first), and whether the caller left
    the batch axis out."""  # noqa: D205, D209

    dims: dict[str, int]
    steps: int
    batch: int
    lengths: np.ndarray
    order: np.ndarray | None
    single: bool


def text_of(buffer: Buffer) -> str:
    """The shape an argument must have, in its own names: `(T, B, m)`."""
    sizes = [" + ".join("*".join([*([str(c)] if c != 1 or not names else []), *names]) for c, names in size) for size in buffer.shape]
    return "(" + ", ".join([*LEAD[buffer.kind], *sizes]) + ")" + (" of whole numbers" if buffer.below is not None else "")


def arguments_of(program: Program) -> dict[str, Buffer]:
    """What the caller gives a program, by label; cotangents are given apart."""
    seeds = set(program.cotangents.values())
    return {b.label: b for b in program.buffers.values() if b.role == "argument" and b.label and b.name not in seeds}


def row_major(array: np.ndarray) -> np.ndarray:
    """The array as compiled code reads it, aligned and row after row; a copy where it is not."""
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else np.require(array, requirements=["C", "A"])


def _unfinite(arrays: tuple[np.ndarray, ...]) -> int:
    return next((place for place, array in enumerate(arrays) if not np.isfinite(array).all()), -1)


class Arguments:
    """Checks values against a program's arguments."""

    def __init__(
        self, program: Program, dtype: np.dtype, fixed: Mapping[str, int], unfinite: Callable[[tuple[np.ndarray, ...]], int] | None = None
    ) -> None:
        """unfinite: finds the place of the first array that holds something infinite or NaN, -1 for none; NumPy does where it is None."""
        self.program, self.dtype, self.fixed, self.unfinite = program, dtype, dict(fixed), unfinite or _unfinite
        self.seen: dict[object, Sizes] = {}
        self.optional: frozenset[str] = frozenset()
        self.buffers = arguments_of(program)
        # What lags of input sequences read before the first step is zero, or the end of the stream's part before.
        self.carried = {
            label: replace(program.buffers[name], kind="sequence", before=0, after=0)
            for label, name, _ in program.streaming.state if program.buffers[name].role == "argument"
        }  # fmt: skip
        # A starting guess is a sequence's, also where the steady state it is for is one at every step.
        self.guessed = {
            label: replace(
                program.buffers[name], kind="shared" if program.buffers[name].kind == "shared" else "sequence", before=0, after=0
            )
            for name, label in program.guesses.items()
        }

    @cached_property
    def known(self) -> dict[str, Buffer]:
        """Everything that may be given, by label."""
        return {**self.buffers, **self.guessed, **self.carried}

    @cached_property
    def shared(self) -> frozenset[str]:
        """The labels of parameters and constants."""
        return frozenset(label for label, buffer in self.known.items() if buffer.kind == "shared" and buffer.below is None)

    def read(self, values: Mapping[str, object], steps: int | None, batch: int | None) -> tuple[Sizes, dict[str, np.ndarray]]:
        """Sizes, and an array for every label that was given. Raises ValueError or TypeError naming the argument."""
        key = self.key(values, steps, batch)
        sizes = self.seen.get(key)
        if key is not None and sizes is not None:
            self._check_finite(values)  # type: ignore[arg-type]
            return sizes, dict(values)  # type: ignore[arg-type]
        known = self.known
        self.require_known(values)
        arrays = {label: self._numbers(known[label], label, values[label]) for label in values if label != "lengths"}
        self._require_all(arrays)
        single = self._is_single(arrays, known)
        if single:
            arrays = {label: self._with_batch(array, known[label].kind) for label, array in arrays.items()}
        sizes = self._sizes(arrays, known, values.get("lengths"), steps, batch, single)
        self._check_finite(arrays)
        self._check_positions(sizes)
        if key is not None and not single:
            if len(self.seen) >= MOST_SEEN:
                self.seen.clear()
            self.seen[key] = sizes
        return sizes, {label: self._counted(known[label], label, array, sizes) for label, array in arrays.items()}

    def key(self, values: Mapping[str, object], steps: int | None, batch: int | None) -> object:
        """What tells that values pass every check that looks at shapes alone; None for those with lengths, integers or other numbers."""
        key: list[object] = [steps, batch]
        for label, value in values.items():
            if type(value) is not np.ndarray or value.dtype != self.dtype or label == "lengths":
                return None
            key += label, value.shape
        return tuple(key)

    def _check_finite(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse parameters and constants that hold something infinite or NaN; these reach every sequence."""
        if self.dtype == object:
            return
        labels = [label for label in arrays if label in self.shared]
        bad = self.unfinite(tuple([row_major(arrays[label]) for label in labels]))
        if bad >= 0:
            array = arrays[labels[bad]]
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(f"{labels[bad]} is not finite{f' at {at}' if array.ndim else ''}")

    def _counted(self, buffer: Buffer, label: str, array: np.ndarray, sizes: Sizes) -> np.ndarray:
        """An index with "none" beyond each sequence's end, where anything may stand; everything else as it is."""
        if buffer.below is not None and buffer.kind == "timed" and sizes.order is not None:
            lengths = sizes.lengths[np.argsort(sizes.order)]
            array = np.where(np.arange(sizes.steps)[:, None] < lengths, array, -1)
        self._check_below(buffer, label, array, sizes.dims)
        return array

    def require_known(self, labels: Iterable[str]) -> None:
        """Refuse what is no argument. Raises ValueError naming it."""
        known = self.known
        for label in labels:
            if label not in known and label != "lengths":
                if label in {name for name, _, _ in self.program.streaming.state}:
                    raise ValueError(f"{label} follows from an equation of {self.program.name}; leave that equation out to give it")
                import difflib

                near = difflib.get_close_matches(label, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(sorted(known))}"
                raise ValueError(f"{self.program.name} takes no argument {label!r}; {hint}")

    def _numbers(self, buffer: Buffer, label: str, value: object) -> np.ndarray:
        return self._array(label, value) if buffer.below is None else self._integers(label, value)

    def _array(self, label: str, value: object) -> np.ndarray:
        try:
            array = np.asarray(value)
        except ValueError as problem:
            raise ValueError(f"{label} is not an array: {problem}") from problem
        if array.dtype == self.dtype:
            return array
        if array.dtype == object and self.dtype != object:
            raise TypeError(f"{label} is not an array of numbers")
        kind = np.dtype(self.dtype).kind
        if array.dtype.kind not in ("iuf" if kind == "f" else "iufcO"):
            raise TypeError(f"{label} has dtype {array.dtype}; this kernel takes {np.dtype(self.dtype).name}")
        return array.astype(self.dtype)

    @staticmethod
    def _integers(label: str, value: object) -> np.ndarray:
        array = np.asarray(value)
        if array.dtype.kind not in "iu":
            raise TypeError(f"{label} has dtype {array.dtype}; it takes whole numbers from 0, and -1 for none")
        return array.astype(np.int64)

    def _require_all(self, arrays: Mapping[str, np.ndarray]) -> None:
        for label, buffer in self.buffers.items():
            optional = "[" in label or label in self.program.defaults or label in self.optional
            if label not in arrays and not optional:
                raise ValueError(f"{label} is missing: {text_of(buffer)}")

    def _is_single(self, arrays: Mapping[str, np.ndarray], known: Mapping[str, Buffer]) -> bool:
        """Whether the caller left the batch axis out of everything that has one."""
        found: dict[bool, str] = {}
        for label, array in arrays.items():
            buffer = known[label]
            full = len(LEAD[buffer.kind]) + len(buffer.shape)
            if array.ndim == full:
                if buffer.kind != "shared":
                    found[False] = label
            elif array.ndim == full - 1 and buffer.kind != "shared":
                found[True] = label
            else:
                raise ValueError(f"{label} has shape {array.shape}; it must be {text_of(buffer)}")
        if len(found) == 2:
            raise ValueError(f"{found[False]} has a batch axis and {found[True]} has none; give both one, or neither")
        return True in found

    @staticmethod
    def _with_batch(array: np.ndarray, kind: str) -> np.ndarray:
        return array if kind == "shared" else np.expand_dims(array, 1 if kind == "timed" else 0)

    def _sizes(self, arrays: Mapping[str, np.ndarray], known: Mapping[str, Buffer], lengths: object, steps: int | None,
               batch: int | None, single: bool) -> Sizes:  # fmt: skip
        found: dict[str, tuple[int, str]] = {name: (n, "what was fixed at compile time") for name, n in self.fixed.items()}
        if steps is not None:
            found["T"] = (int(steps), "steps=")
        if batch is not None:
            found["B"] = (int(batch), "batch=")
        for label, array in arrays.items():
            for axis, name in enumerate(LEAD[known[label].kind]):
                self._match(found, name, array.shape[axis], label, array, known[label])
        for label, array in arrays.items():
            lead = len(LEAD[known[label].kind])
            for size, length in zip(known[label].shape, array.shape[lead:], strict=True):
                name = lone_dim(size)
                if name is not None:
                    self._match(found, name, length, label, array, known[label])
        if not found.keys() >= set(self.program.dims):
            self._deduce(found, arrays, known)
        missing = [name for name in self.program.dims if name not in found]
        if missing:
            raise ValueError(f"the size {missing[0]} follows from no argument; fix it with dims={{{missing[0]!r}: …}} when compiling")
        dims = {name: found[name][0] for name in self.program.dims}
        self._check_shapes(arrays, known, dims)
        return self._timing(found, dims, lengths, single)

    @staticmethod
    def _deduce(found: dict[str, tuple[int, str]], arrays: Mapping[str, np.ndarray], known: Mapping[str, Buffer]) -> None:
        """Dims that stand only in sums and products, one unknown at a time, as n in an argument of size 2*n."""
        lengths = [(size, length, label) for label, array in arrays.items() if known[label].shape
                   for size, length in zip(known[label].shape[::-1], array.shape[::-1], strict=False)]  # fmt: skip
        for size, length, label in lengths * len(lengths):
            unknown = {name for _, names in size for name in names} - set(found)
            name = next(iter(unknown), "")
            if len(unknown) == 1 and all(names.count(name) <= 1 for _, names in size):
                at = {key: n for key, (n, _) in found.items()}
                rest = size_value(size, {**at, name: 0})
                factor = size_value(size, {**at, name: 1}) - rest
                if factor and (length - rest) % factor == 0 and length >= rest:
                    found[name] = ((length - rest) // factor, label)

    def _timing(self, found: Mapping[str, tuple[int, str]], dims: dict[str, int], lengths: object, single: bool) -> Sizes:
        kinds = {b.kind for b in self.program.buffers.values()}
        if "T" not in found and "timed" in kinds:
            raise ValueError("the number of steps follows from no argument; give steps=")
        total = found.get("T", (0, ""))[0]
        rows = found["B"][0] if "B" in found else 1
        if total < 0 or rows < 0:
            raise ValueError("steps and batch are not negative")
        whole = np.full(rows, total, np.int64)
        if lengths is None:
            return Sizes(dims, total, rows, whole, None, single)
        given = np.atleast_1d(np.asarray(lengths))
        if given.shape != (rows,) or given.dtype.kind not in "iu":
            found_as = f"shape {given.shape} and dtype {given.dtype}"
            raise ValueError(f"lengths has {found_as}; it must be {rows} whole numbers, one for each sequence")
        if rows and (given.min() < 0 or given.max() > total):
            raise ValueError(f"lengths must lie between 0 and the number of steps, {total}; it holds {given.min()} to {given.max()}")
        order = np.argsort(-given, kind="stable")
        return Sizes(dims, total, rows, given[order].astype(np.int64), order, single)

    def _match(self, found: dict[str, tuple[int, str]], name: str, length: int, label: str, array: np.ndarray, buffer: Buffer) -> None:
        if name in found and found[name][0] != length:
            size, origin = found[name]
            raise ValueError(f"{label} has shape {array.shape}; it must be {text_of(buffer)} with {name} = {size}, from {origin}")
        found.setdefault(name, (length, label))

    def _check_shapes(self, arrays: Mapping[str, np.ndarray], known: Mapping[str, Buffer], dims: Mapping[str, int]) -> None:
        for label, array in arrays.items():
            buffer = known[label]
            want = tuple(size_value(size, dims) for size in buffer.shape)
            if array.shape[len(LEAD[buffer.kind]) :] != want:
                values = ", ".join(f"{name} = {size}" for name, size in dims.items())
                raise ValueError(f"{label} has shape {array.shape}; it must be {text_of(buffer)} with {values}")

    @staticmethod
    def _check_below(buffer: Buffer, label: str, array: np.ndarray, dims: Mapping[str, int]) -> None:
        if buffer.below is not None and array.size:
            size, low, high = size_value(buffer.below, dims), int(array.min()), int(array.max())
            if low < -1 or high >= size:
                wrong = low if low < -1 else high
                raise ValueError(f"{label} holds {wrong}; it takes whole numbers from 0 to {size - 1}, and -1 for none")

    def _check_positions(self, sizes: Sizes) -> None:
        for text, from_end, offset, before, after in self.program.least:
            for length in sorted({int(n) for n in sizes.lengths}):
                position = length + offset if from_end else offset
                if not 1 - before <= position <= length + after:
                    least = 1 - before - offset if from_end else offset - after
                    raise ValueError(f"{text} is read in a sequence of {length} steps; it needs at least {least}")
