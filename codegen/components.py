"""Components: statements over the components of a row -> functions in Cython, and the lines that call them for every row.

A function takes pointers to rows that never overlap, so that its loops are vectorised without checks.
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen.element import Const, InWindow, Load, Op, Select, SizeValue
from codegen.printer import ENDS, Printer, fixed_step, product_text, row_start, size_text
from codegen.program import Buffer, Program, Segment
from codegen.stages import is_shared
from codegen.statements import Accumulate, Fill, Map, OuterSum, Reduce, Statement
from codegen.traversal import elements, is_plain, plain, reads

INDENT = "    "


class Components:
    """The functions of one segment, which grow as its statements are printed; windows, integers: how many of them a row has at most."""

    def __init__(self, program: Program, segment: Segment) -> None:
        self.program, self.segment, self.buffers = program, segment, program.buffers
        self.shared = is_shared(segment, program.buffers)
        self.windows = self.integers = 0
        self.functions: list[dict[str, object]] = []

    def maps(self, group: Sequence[Map]) -> list[str]:
        """Maps that share a loop: what one computes the next takes from its variable; what nothing else reads is not stored."""
        first = self.buffers[group[0].out]
        flat = self._is_flat(group)
        printer = Printer(self.buffers, flat)
        for statement in group:
            out = self.buffers[statement.out]
            value = printer.value(statement.element)
            if not self._is_passing(out, group):
                printer.lines.append(f"{self._store(out, printer)} = {value}")
            printer.known[Load(out.name, 0, plain(out))] = value
        if flat:
            call = self._function(printer, first.shape or (((1, ()),),), printer.lines)
            return ["if rows > r0:", INDENT + "r = r0", INDENT + call]
        return self._over_rows(printer, self._function(printer, first.shape, printer.lines), first.kind)

    def _is_flat(self, group: Sequence[Map]) -> bool:
        """Whether rows can be taken as one: every value at a component depends on that component of rows alone."""
        first = self.buffers[group[0].out]
        if first.kind == "shared" or len(first.shape) > 1:
            return False
        parts = [e for s in group for e in elements(s.element)]
        if any(not isinstance(e, (Load, Const, SizeValue, Op, Select)) for e in parts):
            return False
        loads = [(self.buffers[e.buffer], e) for e in parts if isinstance(e, Load)]
        return all(b.kind != "shared" and b.shape == first.shape and is_plain(e, b) for b, e in loads)

    def _is_passing(self, out: Buffer, group: Sequence[Map]) -> bool:
        """Whether a value lives within the loop of its group alone."""
        others = [s for s in self.segment.statements if s not in group]
        return out.loose and not out.label and not any(read.buffer == out.name for s in others for read in reads(s))

    def reduce(self, statement: Reduce) -> list[str]:
        """Reductions of a row, in blocks along the last axis, whose values are laid side by side and summed in vectors.

        Sums down the columns of a matrix go row by row, as it lies in memory.
        """
        out, printer = self.buffers[statement.out], Printer(self.buffers)
        value = printer.value(statement.element)
        if _goes_down(statement, len(out.shape)):
            return self._down(statement, printer, value)
        last, first = len(out.shape) + len(statement.axes) - 1, len(out.shape)
        size, block = size_text(statement.axes[-1]), f"i{last + 1}"
        join = "acc + total" if statement.operation == "sum" else "largest"
        given = "" if statement.operation == "sum" else "acc, "
        lines = [
            f"{block} = 0",
            f"while {block} < {size}:",
            f"{INDENT}stop = {block} + BLOCK if {block} + BLOCK < {size} else {size}",
            f"{INDENT}for i{last} in range({block}, stop):",
            *(INDENT * 2 + line for line in [*printer.lines, f"room[i{last} - {block}] = {value}"]),
            f"{INDENT}acc = {join}({given}room, stop - {block})",
            f"{INDENT}{block} = stop",
        ]
        for place in reversed(range(len(statement.axes) - 1)):
            lines = [f"for i{first + place} in range({size_text(statement.axes[place])}):", *(INDENT + line for line in lines)]
        start = "0" if statement.operation == "sum" else "-INFINITY"
        inner = [f"acc = {start}", *lines, f"{self._store(out, printer)} = acc"]
        call = self._function(printer, out.shape, inner)
        self.functions[-1]["axes"] = [f"i{n}" for n in range(last + 2)]
        return self._over_rows(printer, call, out.kind)

    def _down(self, statement: Reduce, printer: Printer, value: str) -> list[str]:
        """A sum over an axis along which a matrix is stored in long strides: added to all components of the last kept axis at a time."""
        out = self.buffers[statement.out]
        kept, below = len(out.shape) - 1, len(out.shape)
        place, across = self._store(out, printer), f"for i{kept} in range({size_text(out.shape[-1])}):"
        lines = [across, f"{INDENT}{place} = 0", f"for i{below} in range({size_text(statement.axes[0])}):", INDENT + across]
        lines += [INDENT * 2 + line for line in [*printer.lines, f"{place} = {place} + {value}"]]
        call = self._function(printer, out.shape[:-1], lines)
        self.functions[-1]["axes"] = [f"i{n}" for n in range(below + 1)]
        return self._over_rows(printer, call, out.kind)

    def zero(self, statement: Statement) -> list[str]:
        """Lines that set a sum to zero, but where a sum over steps goes on; none for anything else."""
        if not isinstance(statement, Accumulate):
            return []
        out, printer, split = self.buffers[statement.out], Printer(self.buffers), self.is_split(statement)
        call = self._function(printer, out.shape, [f"{self._store(out, printer)} = 0"], split=self.shared and split)
        lines = self._over_rows(printer, call, out.kind)
        return ["rows = r1", *(lines if statement.window[0] is None else ["if not call.more:", *(INDENT + line for line in lines)])]

    def accumulate(self, statement: Accumulate, once: bool) -> list[str]:
        """Lines that add a statement's element, at one step where it is timed; once: a sum over rows alone."""
        out, printer = self.buffers[statement.out], Printer(self.buffers)
        element = (
            statement.element if once or statement.window in ((None, None), (0, None)) else InWindow(*statement.window, statement.element)
        )
        value, chosen = printer.value(element), statement.place
        place = self._store(out, printer, chosen)
        lines = [*printer.lines, f"{place} = {place} + {value}"]
        if chosen is None:
            call = self._function(printer, out.shape, lines, split=self.shared and self.is_split(statement))
            return self._over_rows(printer, call, "sequence")
        inner = [f"if {printer.integer(chosen[1])} >= 0:", *(INDENT + line for line in lines)]
        return self._over_rows(printer, self._function(printer, out.shape, inner, without=chosen[0]), "sequence")

    def fill(self, statement: Fill) -> list[str]:
        """Lines that fill a value outside the steps."""
        out, printer = self.buffers[statement.out], Printer(self.buffers)
        value = printer.value(statement.element)
        call = self._function(printer, out.shape, [*printer.lines, f"{self._store(out, printer)} = {value}"])
        return self._over_rows(printer, call, out.kind, fixed_step(statement.from_end, statement.offset))

    def is_split(self, statement: Statement) -> bool:
        """Whether every thread forms its own share of a sum's components."""
        if isinstance(statement, Accumulate):
            return bool(self.buffers[statement.out].shape) and statement.place is None
        return isinstance(statement, OuterSum)

    def _function(
        self, printer: Printer, sizes: Sequence[object], inner: list[str], without: int | None = None, split: bool = False
    ) -> str:
        """A function over the components of one row, and the call of it; split: over a thread's share of the first axis alone."""
        lines = inner
        for place in (place for place in reversed(range(len(sizes))) if place != without):
            span = "first, last" if (split or printer.flat) and place == 0 else size_text(sizes[place])  # type: ignore[arg-type]
            lines = [f"for i{place} in range({span}):", *(INDENT + line for line in lines)]
        pointers = {name: self.buffers[buffer] for (buffer, _), name in printer.pointers.items()}
        scalars = ["first", "last", "steps", *printer.integers.values(), *printer.windows.values()]
        name = f"row_{self.segment.number}_{len(self.functions)}"
        text = "\n".join(lines)
        self.functions.append({
            "name": name,
            "pointers": [(name, buffer.below is not None) for name, buffer in pointers.items()],
            "scalars": [*(f"d_{dim}" for dim in self.program.dims), *scalars],
            "values": [f"v{n}" for n in range(len(printer.known))],
            "axes": [f"i{n}" for n in range(max(len(sizes), 1 + text.count("room[")))],
            "reduces": "room[" in text,
            "lines": lines,
        })  # fmt: skip
        self.windows, self.integers = max(self.windows, len(printer.windows)), max(self.integers, len(printer.integers))
        row = "r0" if printer.flat else "r"
        starts = [row_start(self.buffers[buffer], lag, row) for buffer, lag in printer.pointers]
        span = ["0", "0"]
        if split:
            size = size_text(sizes[0])  # type: ignore[arg-type]
            span = [f"share({size}, id, threads)", f"share({size}, id + 1, threads)"]
        elif printer.flat:
            span = ["0", f"(rows - r0)*{product_text(tuple(sizes))}"]  # type: ignore[arg-type]
        return f"{name}({', '.join([*starts, *(f'd_{dim}' for dim in self.program.dims), *span, ENDS, *scalars[3:]])})"

    def _over_rows(self, printer: Printer, call: str, kind: str, before: Sequence[str] = ()) -> list[str]:
        """A call for every row of the thread; once where there are no rows."""
        if kind == "shared":
            return [*before, call]
        return ["for r in range(r0, rows):", *(INDENT + line for line in [*before, *printer.row_lines, call])]

    def _store(self, out: Buffer, printer: Printer, place: tuple[int, Load] | None = None) -> str:
        index = [(place[1] if place and axis == place[0] else axis, ()) for axis in range(len(out.shape))]
        return f"{printer.pointer(out.name, 0)}[{printer.address(out, tuple(index))}]"


def _goes_down(statement: Reduce, kept: int) -> bool:
    """Whether the one axis that is summed over lies further apart in memory than the last kept one, wherever both are read."""
    if statement.operation != "sum" or len(statement.axes) != 1 or not kept:
        return False
    bases = [[base for base, _ in e.index] for e in elements(statement.element) if isinstance(e, Load)]
    both = [found for found in bases if kept in found and kept - 1 in found]
    return bool(both) and all(found.index(kept - 1) > found.index(kept) for found in both)
