"""Reference: the forward phase of a Program -> a function in the words of JAX or PyTorch, which differentiates by itself.

The source reads like an expert's: products that read inputs alone stand before the loop over all steps at once, products that share an
operand are one, and only what is read after a loop is kept from it. It computes the objective from values by label, or where there is
none, the signals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from codegen.peers.dialects import DIALECTS, Dialect, Scan
from codegen.peers.refusals import check_covered
from codegen.peers.sizes import sizes_text
from codegen.peers.statements import ROWS, Place, StatementWriter, outside_name, step_name
from codegen.program import Buffer, Loop, Program, Segment
from codegen.statements import PickStep, Statement
from codegen.traversal import reads

UNROLLED = 4  # steps at a time, where small steps cost less than what surrounds them


def reference(program: Program, dialect: str, dtype: str, sizes: Mapping[str, int], merged: bool = True, unroll: int = 1) -> str:
    """The source of a module with `objective(values)`: label -> array in, the objective or the signals by label out.

    dialect: jax or torch; sizes: T, B and every dim, which the source begins with; merged: products that share an operand as one;
    unroll: steps that JAX's scan takes at a time.
    Raises: ValueError naming what references do not cover.
    """
    check_covered(program, sizes)
    return Writer(program, DIALECTS[dialect], sizes, merged, unroll).module(dtype)


def variants(program: Program, dialect: str, dtype: str, sizes: Mapping[str, int]) -> list[str]:
    """The sources that an expert would try, of which the fastest counts: which it is depends on the sizes.

    Raises: ValueError as `reference`.
    """
    tried = [(False, 1), (True, 1), (True, UNROLLED)] if dialect == "jax" else [(True, 1), (False, 1)]
    return list(dict.fromkeys(reference(program, dialect, dtype, sizes, *how) for how in tried))


@dataclass(slots=True)
class Writer:
    """Writes one program; `lines` are those of the function, at the level of its body."""

    program: Program
    dialect: Dialect
    sizes: Mapping[str, int]
    merged: bool
    unroll: int
    lines: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)

    def module(self, dtype: str) -> str:
        """The whole source."""
        results = self.program.results["forward"]
        wanted = [results[self.program.objective]] if self.program.objective else list(results.values())
        self._find_needed(wanted)
        self._arguments()
        for action in self.program.phases["forward"].actions:
            if isinstance(action, Loop) or action.order in ("forward", "backward"):
                self._loop(action)
            else:
                self._straight(action)
        if self.program.objective:
            self.lines.append(f"return {wanted[0]}")
        else:
            self.lines.append("return {" + ", ".join(f"{label!r}: {buffer}" for label, buffer in results.items()) + "}")
        head = [
            "import functools", "", self.dialect.imports, "", self.dialect.form("head", dtype=dtype),
            *(f"{name if name in 'TB' else f'size_{name}'} = {size}" for name, size in self.sizes.items()),
        ]  # fmt: skip
        return "\n".join([*head, "", "", "def objective(values):", *(f"    {line}".rstrip() for line in self.lines), ""])

    def _find_needed(self, wanted: Sequence[str]) -> None:
        """The buffers that the wanted ones depend on."""
        by_out: dict[str, list[Statement]] = {}
        for statement in self.program.phases["forward"].statements():
            by_out.setdefault(statement.out, []).append(statement)
        waiting = list(wanted)
        while waiting:
            name = waiting.pop()
            if name not in self.needed:
                self.needed.add(name)
                waiting += [read.buffer for statement in by_out.get(name, ()) for read in reads(statement)]

    def _kept(self, segment: Segment) -> list[Statement]:
        return [statement for statement in segment.statements if statement.out in self.needed]

    def _arguments(self) -> None:
        for buffer in self.program.buffers.values():
            if buffer.role == "argument" and buffer.name in self.needed:
                self.lines.append(f"{buffer.name} = values[{buffer.label!r}]")

    def define(self, name: str, text: str) -> str:
        """A name for an expression of the function's body, which is written once."""
        if name not in self.known:
            self.known.add(name)
            self.lines.append(f"{name} = {text}")
        return name

    # -- statements outside loops

    def _straight(self, segment: Segment) -> None:
        place = Place(self.lines, self.whole, self.inside, self.define, self.position)
        StatementWriter(self.program, self.dialect, place, self.merged).write(self._kept(segment))

    def whole(self, name: str, lag: int = 0) -> tuple[str, int]:
        """A buffer over all its steps, seen from `lag` steps on; for a lag, what stands outside the steps is joined to it."""
        buffer = self.program.buffers[name]
        if not lag:
            return name, ROWS[buffer.kind]
        count = abs(lag)
        if lag < 0:
            outside = [self.outside(buffer, False, place) for place in range(1 - count, 1)]
            joined = self.dialect.form("joined", parts=", ".join([*(f"{ghost}[None]" for ghost in outside), name]), axis=0)
            return self.define(f"ago{count}_{name}", f"{joined}[:T]"), 2
        outside = [self.outside(buffer, True, place) for place in range(1, count + 1)]
        joined = self.dialect.form("joined", parts=", ".join([name, *(f"{ghost}[None]" for ghost in outside)]), axis=0)
        return self.define(f"ahead{count}_{name}", f"{joined}[{count}:]"), 2

    def outside(self, buffer: Buffer, from_end: bool, place: int) -> str:
        """A value outside the steps: as it was filled in, or zero; of integers, none."""
        name = outside_name(buffer.name, from_end, place)
        form = "zeros" if buffer.below is None else "none"
        return self.define(name, self.dialect.form(form, shape=sizes_text(buffer.shape, 1)))

    def inside(self, start: int | None, stop: int | None) -> tuple[str, int]:
        """Which steps lie in a window, as an array over steps, with an axis of rows."""
        steps = range(self.sizes["T"])[start:stop]
        name = f"inside_{steps.start}_{steps.stop}"
        counted = self.dialect.form("arange", stop="T")
        text = f"({counted} >= {steps.start}) & ({counted} < {steps.stop})"
        return self.define(name, f"({text})[:, None]"), 2

    def position(self, pick: PickStep) -> str:
        """A buffer at a fixed position, which lies outside the steps or in them."""
        place = (self.sizes["T"] if pick.from_end else 0) + pick.offset
        buffer = self.program.buffers[pick.buffer]
        if 1 <= place <= self.sizes["T"]:
            return f"{pick.buffer}[{place - 1}]"
        return self.outside(buffer, place > 0, place - self.sizes["T"] if place > 0 else place)

    # -- loops

    def _loop(self, action: Segment | Loop) -> None:
        """A loop over steps. What it reads of its own steps is its state, what else is timed its input, what is read later its output."""
        segments = [part for part in action.body if isinstance(part, Segment)] if isinstance(action, Loop) else [action]
        statements = [statement for segment in segments for statement in self._kept(segment)]
        if not statements:
            return
        own = {statement.out for statement in statements}
        backward = (action.direction if isinstance(action, Loop) else action.order) == "backward"
        reach: dict[str, int] = {}
        inputs: dict[str, str] = {}

        def read(name: str, lag: int) -> tuple[str, int]:
            buffer = self.program.buffers[name]
            if buffer.kind != "timed":
                return name, ROWS[buffer.kind]
            if name in own:
                if lag:
                    reach[name] = max(reach.get(name, 0), abs(lag))
                return (step_name(name, lag), 1)
            inputs[step_name(name, lag)] = self.whole(name, lag)[0]
            return step_name(name, lag), 1

        def inside(start: int | None, stop: int | None) -> tuple[str, int]:
            whole, _ = self.inside(start, stop)
            inputs[f"now_{whole}"] = whole
            return f"now_{whole}", 1

        body: list[str] = []
        place = Place(body, read, inside, self.define, self.position, in_step=True)
        StatementWriter(self.program, self.dialect, place, self.merged).write(statements)
        state = list(self._state(reach, backward))
        outputs = [(name, step_name(name, 0)) for name in sorted(own & self._read_outside(statements))]
        number = segments[0].number
        self.lines += self.dialect.scan(Scan(number, backward, state, list(inputs.items()), body, outputs, self.unroll))

    def _state(self, reach: Mapping[str, int], backward: bool) -> Iterator[tuple[str, str, str]]:
        """Every value of earlier steps that a step reads: its name, what it begins with, and what follows it."""
        sign = 1 if backward else -1
        for name, most in reach.items():
            for count in range(1, most + 1):
                start = self.outside(self.program.buffers[name], backward, count if backward else 1 - count)
                yield step_name(name, sign * count), start, step_name(name, sign * (count - 1))

    def _read_outside(self, own: Sequence[Statement]) -> set[str]:
        """Buffers that are read by statements other than these, or wanted."""
        mine = {id(statement) for statement in own}
        found = {self.program.results["forward"][self.program.objective]} if self.program.objective else set(
            self.program.results["forward"].values())  # fmt: skip
        for statement in self.program.phases["forward"].statements():
            if id(statement) not in mine and statement.out in self.needed:
                found |= {read.buffer for read in reads(statement)}
        return found
