"""Loops: one segment of a Program -> the lines of its function in Cython.

Statements become loops over raw pointers, over the rows of one thread or its share of a sum's components; products run in register
tiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.printer import Printer, product_text, row_start, size_text
from codegen.program import (
    Accumulate,
    Buffer,
    Const,
    Fill,
    Index,
    InWindow,
    Load,
    Map,
    Op,
    OuterSum,
    PickStep,
    Piece,
    Product,
    Program,
    Read,
    Reduce,
    Segment,
    Select,
    SizeValue,
    Statement,
)  # fmt: skip
from codegen.stages import Matrix, is_shared
from codegen.traversal import elements, reads

INDENT = "    "
ROWS_NOW = "rows = active[t - 1] if active[t - 1] < r1 else r1"


def packed_name(matrix: str, transposed: bool) -> str:
    """The variable of a matrix laid out for its products."""
    return f"{'wt' if transposed else 'w'}_{matrix}"


class SegmentLines:
    """One segment's function: declarations and body."""

    def __init__(
        self, program: Program, order: Sequence[str], segment: Segment, fixed: Mapping[str, int], matrices: Sequence[Matrix]
    ) -> None:
        self.fixed, self.matrices = fixed, matrices
        self.program, self.order, self.segment = program, order, segment
        self.shared = is_shared(segment, program.buffers)
        self.buffers: Mapping[str, Buffer] = program.buffers
        self.windows = self.integers = 0
        self.functions: list[dict[str, object]] = []

    def describe(self) -> dict[str, object]:
        """What the template places."""
        body = self._body()
        used = sorted(
            {s.out for s in self.segment.statements} | {r.buffer for s in self.segment.statements for r in reads(s)}, key=self.order.index
        )
        return {
            "number": self.segment.number,
            "dims": [(name, str(self.fixed.get(name, f"call.d[{place + 3}]"))) for place, name in enumerate(self.program.dims)],
            "buffers": [(self.order.index(name) + 2, name, b.kind == "timed", b.below is not None) for name, b in self._named(used)],
            "windows": [f"w{n}" for n in range(self.windows)],
            "integers": [f"g{n}" for n in range(self.integers)],
            "packed": [(packed_name(*matrix), self.matrices.index(matrix)) for matrix in self._packed()],
            "lines": body,
            "functions": self.functions,
        }

    def _named(self, names: Sequence[str]) -> list[tuple[str, Buffer]]:
        return [(name, self.buffers[name]) for name in names]

    def _packed(self) -> list[Matrix]:
        return list(dict.fromkeys((s.matrix, s.transposed) for s in self.segment.statements if isinstance(s, Product)))

    def _body(self) -> list[str]:
        order, groups = self.segment.order, self._groups()
        if self.shared:
            return self._shared_body(groups)
        if order in ("once", "step"):
            head = ["t = t0", "rows = r1" if order == "once" else ROWS_NOW]
            return head + [line for group in groups for line in self._zero(group[0]) + self._group(group)]
        if order == "sweep":
            return [line for group in groups for line in self._zero(group[0]) + self._sweep(group)]
        steps = "range(t0, t1 + 1)" if order == "forward" else "range(t1, t0 - 1, -1)"
        inner = ["if stopped(call, id):", f"{INDENT}return", ROWS_NOW, *(line for group in groups for line in self._group(group))]
        return [f"for t in {steps}:", *(INDENT + line for line in inner)]

    def _shared_body(self, groups: Sequence[Sequence[Statement]]) -> list[str]:
        """Sums split their own components over the threads, which wait where one reads what another made."""
        lines, made = [], set[str]()
        for group in groups:
            if made & {read.buffer for statement in group for read in reads(statement)}:
                lines.append("wait(call)")
                made = set()
            made |= {statement.out for statement in group}
            own = self._zero(group[0]) + (self._sweep(group) if self.segment.order == "sweep" else self._group(group))
            lines += own if self._is_split(group[0]) else ["if id == 0:", *(INDENT + line for line in own)]
        return ["t = t0", "rows = r1", *lines]

    def _is_split(self, statement: Statement) -> bool:
        """Whether every thread forms its own share of a sum's components."""
        if isinstance(statement, Accumulate):
            return bool(self.buffers[statement.out].shape) and statement.place is None
        return isinstance(statement, OuterSum)

    def _groups(self) -> list[list[Statement]]:
        """The statements in runs that share a loop: maps of one shape that read each other component by component."""
        groups: list[list[Statement]] = []
        for statement in self.segment.statements:
            if groups and self._joins(statement, groups[-1]):
                groups[-1].append(statement)
            else:
                groups.append([statement])
        return groups

    def _joins(self, statement: Statement, group: Sequence[Statement]) -> bool:
        first = self.buffers[group[0].out]
        out = self.buffers[statement.out]
        if not (isinstance(statement, Map) and isinstance(group[0], Map) and (out.kind, out.shape) == (first.kind, first.shape)):
            return False
        made = {other.out for other in group}
        if any(isinstance(e, Piece) and e.load.buffer in made for e in elements(statement.element)):
            return False
        loads = [e for e in elements(statement.element) if isinstance(e, Load) and e.buffer in made]
        return all(e == Load(e.buffer, 0, self._plain(out)) if not e.lag else self.segment.order != "sweep" for e in loads)

    # -- statements

    def _sweep(self, group: Sequence[Statement]) -> list[str]:
        statement = group[0]
        if isinstance(statement, OuterSum):
            return self._outer_sum(statement, timed=True)
        per_step = ["for t in range(t0, t1 + 1):", INDENT + ROWS_NOW]
        per_step += [INDENT + line for line in self._group(group)]
        if not isinstance(statement, Product):
            return per_step
        whole = ["t = t0", "rows = batch*(t1 - t0 + 1)", *self._group(group)]
        return ["if ragged or r0 > 0 or r1 < batch:", *(INDENT + line for line in per_step), "else:", *(INDENT + line for line in whole)]

    def _group(self, group: Sequence[Statement]) -> list[str]:
        statement = group[0]
        match statement:
            case Map():
                return self._maps(group)  # type: ignore[arg-type]
            case Reduce():
                return self._reduce(statement)
            case Product():
                return self._product(statement)
            case OuterSum():
                return self._outer_sum(statement, timed=False)
            case Accumulate():
                return self._accumulate(statement, self.segment.order == "once")
            case PickStep():
                return self._pick(statement)
            case Fill():
                return self._fill(statement)
        raise TypeError(f"no emission rule for {type(statement).__name__}")

    def _plain(self, out: Buffer, start: int = 0) -> Index:
        return tuple((start + place, ()) for place in range(len(out.shape)))

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
        return f"{name}({', '.join([*starts, *(f'd_{dim}' for dim in self.program.dims), *span, 'lengths[r]', *scalars[3:]])})"

    def _over_rows(self, printer: Printer, call: str, kind: str, before: Sequence[str] = ()) -> list[str]:
        """A call for every row of the thread; once where there are no rows."""
        if kind == "shared":
            return [*before, call]
        return ["for r in range(r0, rows):", *(INDENT + line for line in [*before, *printer.row_lines, call])]

    def _store(self, out: Buffer, printer: Printer, place: tuple[int, Load] | None = None) -> str:
        index = [(place[1] if place and axis == place[0] else axis, ()) for axis in range(len(out.shape))]
        return f"{printer.pointer(out.name, 0)}[{printer.address(out, tuple(index))}]"

    def _maps(self, group: Sequence[Map]) -> list[str]:
        """Maps that share a loop: what one computes the next takes from its variable; what nothing else reads is not stored."""
        first = self.buffers[group[0].out]
        flat = self._is_flat(group)
        printer = Printer(self.buffers, flat)
        for statement in group:
            out = self.buffers[statement.out]
            value = printer.value(statement.element)
            if not self._is_passing(out, group):
                printer.lines.append(f"{self._store(out, printer)} = {value}")
            printer.known[Load(out.name, 0, self._plain(out))] = value
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
        return all(b.kind != "shared" and b.shape == first.shape and e.index == self._plain(b) and not e.shape for b, e in loads)

    def _is_passing(self, out: Buffer, group: Sequence[Map]) -> bool:
        """Whether a value lives within the loop of its group alone."""
        others = [s for s in self.segment.statements if s not in group]
        return out.loose and not out.label and not any(read.buffer == out.name for s in others for read in reads(s))

    def _reduce(self, statement: Reduce) -> list[str]:
        """Reductions of a row, in blocks along the last axis, whose values are laid side by side and summed in vectors."""
        out, printer = self.buffers[statement.out], Printer(self.buffers)
        value = printer.value(statement.element)
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

    def _zero(self, statement: Statement) -> list[str]:
        if not isinstance(statement, Accumulate):
            return []
        out, printer, split = self.buffers[statement.out], Printer(self.buffers), self._is_split(statement)
        call = self._function(printer, out.shape, [f"{self._store(out, printer)} = 0"], split=self.shared and split)
        return ["rows = r1", *self._over_rows(printer, call, out.kind)]

    def _accumulate(self, statement: Accumulate, once: bool) -> list[str]:
        out, printer = self.buffers[statement.out], Printer(self.buffers)
        element = (
            statement.element if once or statement.window in ((None, None), (0, None)) else InWindow(*statement.window, statement.element)
        )
        value, chosen = printer.value(element), statement.place
        place = self._store(out, printer, chosen)
        lines = [*printer.lines, f"{place} = {place} + {value}"]
        if chosen is None:
            call = self._function(printer, out.shape, lines, split=self.shared and self._is_split(statement))
            return self._over_rows(printer, call, "sequence")
        inner = [f"if {printer.integer(chosen[1])} >= 0:", *(INDENT + line for line in lines)]
        return self._over_rows(printer, self._function(printer, out.shape, inner, without=chosen[0]), "sequence")

    def _pointer(self, read: Read) -> str:
        buffer = self.buffers[read.buffer]
        if buffer.kind != "timed":
            return f"b_{read.buffer}"
        lag = f" + {read.lag}" if read.lag > 0 else (f" - {-read.lag}" if read.lag else "")
        return f"b_{read.buffer} + (t - 1{lag})*s_{read.buffer}"

    def _product(self, statement: Product) -> list[str]:
        """Out (rows, n) = operand (rows, m) @ matrix.T; or, transposed, out (rows, m) = operand (rows, n) @ matrix."""
        n, m = (size_text(size) for size in self.buffers[statement.matrix].shape)
        target, operand = self._pointer(Read(statement.out)), self._pointer(statement.operand)
        wide, inner = (m, n) if statement.transposed else (n, m)
        packed = packed_name(statement.matrix, statement.transposed)
        return [f"product(rows - r0, {wide}, {inner}, {operand} + r0*{inner}, {packed}, {target} + r0*{wide})"]

    def _outer_sum(self, statement: OuterSum, timed: bool) -> list[str]:
        n, m = (size_text(size) for size in self.buffers[statement.out].shape)
        count = "batch*(t1 - t0 + 1)" if timed else "rows"
        left, right = self._pointer(statement.left), self._pointer(statement.right)
        return ["t = t0", f"outer_sum({n}, {m}, {count}, {left}, {right}, b_{statement.out}, call, id)"]

    def _pick(self, statement: PickStep) -> list[str]:
        out = self.buffers[statement.out]
        position = f"lengths[r] + {statement.offset}" if statement.from_end else str(statement.offset)
        source = f"b_{statement.buffer}[({position} - 1)*s_{statement.buffer} + r*{product_text(out.shape)} + c]"
        inner = [f"b_{statement.out}[r*{product_text(out.shape)} + c] = {source}"]
        return ["for r in range(r0, r1):", f"{INDENT}for c in range({product_text(out.shape)}):", *(INDENT * 2 + line for line in inner)]

    def _fill(self, statement: Fill) -> list[str]:
        out, printer = self.buffers[statement.out], Printer(self.buffers)
        value = printer.value(statement.element)
        position = f"lengths[r] + {statement.offset}" if statement.from_end else str(statement.offset)
        call = self._function(printer, out.shape, [*printer.lines, f"{self._store(out, printer)} = {value}"])
        return self._over_rows(printer, call, out.kind, [f"t = {position}"])
