"""Emit: Program -> the source of a Cython module.

Every unit (a phase, or a segment of a phase with steady states) becomes a function that threads run together, every segment a function
over one thread's rows. Templates place the text; everything is decided here and in `codegen.loops`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from codegen.loops import SegmentLines
from codegen.printer import size_text
from codegen.program import Program
from codegen.stages import Matrix, Stage, Unit, units

TEMPLATES = Path(__file__).parent / "templates"
UNARY = "tanh exp log sqrt sin cos abs erf atan sigmoid relu softplus sign gelu".split()


def emit(program: Program, dtype: str, fixed: Mapping[str, int] | None = None, phases: Sequence[str] | None = None) -> str:
    """The Cython source of a program's units, for float32 or float64.

    fixed: dims that are constants in it; phases: whose units, all by default.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    chosen = [program.phases[name] for name in phases if name in program.phases] if phases is not None else program.phases.values()
    source = _Source(program, fixed or {}, [unit for phase in chosen for unit in units(phase, program.buffers)])
    return environment.get_template("kernel.pyx.j2").render(
        name=plain(program.name), dtype=dtype, ctype="double" if dtype == "float64" else "float", suffix="" if dtype == "float64" else "f",
        functions=UNARY, segments=source.segments(), units=source.described(), matrices=source.most_matrices(),
    )  # fmt: skip


def plain(name: str) -> str:
    """A name that may stand in generated source: the recurrence's own where it is an ASCII identifier."""
    return name if name.isascii() and name.isidentifier() and len(name) <= 64 else "recurrence"


class _Source:
    """What the templates place for the units of a program."""

    def __init__(self, program: Program, fixed: Mapping[str, int], chosen: Sequence[Unit]) -> None:
        self.program, self.fixed, self.units = program, fixed, chosen
        self.order = list(program.buffers)

    def most_matrices(self) -> int:
        """The largest number of matrices that a unit lays out, and at least one."""
        return max([1, *(len(unit.matrices) for unit in self.units)])

    def segments(self) -> list[dict[str, object]]:
        """Every segment's function, by number."""
        found = [
            SegmentLines(self.program, self.order, segment, self.fixed, unit.matrices)
            for unit in self.units for stage in unit.stages for segment in stage.segments
        ]  # fmt: skip
        return [lines.describe() for lines in sorted(found, key=lambda lines: lines.segment.number)]

    def described(self) -> list[dict[str, object]]:
        """Every unit's function: its matrices, and its stages with what is laid out before each."""
        return [
            {
                "number": unit.number,
                "dims": [(name, str(self.fixed.get(name, f"call.d[{place + 3}]"))) for place, name in enumerate(self.program.dims)],
                "rooms": [self._room(matrix) for matrix in unit.matrices],
                "stages": [self._stage(unit, stage) for stage in unit.stages],
            }
            for unit in self.units
        ]

    def _sizes(self, matrix: Matrix) -> tuple[str, str]:
        """Columns and inner dimension of a matrix as its products read it."""
        n, m = (size_text(size) for size in self.program.buffers[matrix[0]].shape)
        return (m, n) if matrix[1] else (n, m)

    def _room(self, matrix: Matrix) -> str:
        return ", ".join(self._sizes(matrix))

    def _stage(self, unit: Unit, stage: Stage) -> dict[str, object]:
        packs, places = [], [segment.number for each in unit.stages for segment in each.segments]
        for name, transposed in stage.packs:
            _, m = (size_text(size) for size in self.program.buffers[name].shape)
            strides = f"{m}, 1" if transposed else f"1, {m}"
            place = self.order.index(name) + 2
            columns, inner = self._sizes((name, transposed))
            slot = unit.matrices.index((name, transposed))
            packs.append(f"pack_share(call, id, {columns}, {inner}, <array> call.p[{place}], {strides}, call.packed[{slot}])")
        return {
            "packs": packs,
            "segments": [(places.index(segment.number), segment.number) for segment in stage.segments],
            "shared": stage.shared,
        }
<<<<<<< HEAD

    def _named(self, names: Sequence[str]) -> list[tuple[str, Buffer]]:
        return [(name, self.buffers[name]) for name in names]

    def _body(self) -> list[str]:
        order = self.segment.order
        groups = self._groups()
        if order in ("once", "step"):
            rows = "batch" if order == "once" else "active[t0 - 1]"
            head = [f"rows = {rows}", "t = t0"]
            return head + [line for group in groups for line in self._zero(group[0]) + self._group(group)]
        if order == "sweep":
            return [line for group in groups for line in self._zero(group[0]) + self._sweep(group)]
        steps = "range(t0, t1 + 1)" if order == "forward" else "range(t1, t0 - 1, -1)"
        inner = ["rows = active[t - 1]", *(line for group in groups for line in self._group(group))]
        return [f"for t in {steps}:", *(INDENT + line for line in inner)]

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
        per_step = ["for t in range(t0, t1 + 1):", f"{INDENT}rows = active[t - 1]"]
        per_step += [INDENT + line for line in self._group(group)]
        if not isinstance(statement, Product):
            return per_step
        whole = ["t = t0", "rows = batch*(t1 - t0 + 1)", *self._group(group)]
        return ["if ragged:", *(INDENT + line for line in per_step), "else:", *(INDENT + line for line in whole)]

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

    def _loops(
        self, sizes: Sequence[object], inner: list[str], row_lines: Sequence[str] = (), rows: bool = True, without: int | None = None
    ) -> list[str]:
        """Loops over rows and axes around lines."""
        self.axes = max(self.axes, len(sizes))
        lines = inner
        for place in (place for place in reversed(range(len(sizes))) if place != without):
            lines = [f"for i{place} in range({size_text(sizes[place])}):", *(INDENT + line for line in lines)]  # type: ignore[arg-type]
        lines = [*row_lines, *lines]
        return ["for r in range(rows):", *(INDENT + line for line in lines)] if rows else lines

    def _finish(self, printer: Printer) -> None:
        self.values, self.windows = max(self.values, len(printer.known)), max(self.windows, len(printer.windows))
        self.integers = max(self.integers, len(printer.integers))

    def _store(self, out: Buffer, printer: Printer, place: tuple[int, Load] | None = None) -> str:
        index = [(place[1] if place and axis == place[0] else axis, ()) for axis in range(len(out.shape))]
        return f"b_{out.name}[{printer.address(out, 0, tuple(index))}]"

    def _maps(self, group: Sequence[Map]) -> list[str]:
        """Maps that share a loop: what one computes the next takes from its variable; what nothing else reads is not stored."""
        printer = Printer(self.buffers)
        for statement in group:
            out = self.buffers[statement.out]
            value = printer.value(statement.element)
            if not self._is_passing(out, group):
                printer.lines.append(f"{self._store(out, printer)} = {value}")
            printer.known[Load(out.name, 0, self._plain(out))] = value
        self._finish(printer)
        first = self.buffers[group[0].out]
        return self._loops(first.shape, printer.lines, printer.row_lines, rows=first.kind != "shared")

    def _is_passing(self, out: Buffer, group: Sequence[Map]) -> bool:
        """Whether a value lives within the loop of its group alone."""
        others = [s for s in self.segment.statements if s not in group]
        return out.loose and not out.label and not any(read.buffer == out.name for s in others for read in reads(s))

    def _reduce(self, statement: Reduce) -> list[str]:
        out, printer = self.buffers[statement.out], Printer(self.buffers)
        value = printer.value(statement.element)
        self._finish(printer)
        start, step = (
            ("0", f"acc = acc + {value}")
            if statement.operation == "sum"
            else ("-INFINITY", f"acc = {value} if {value} > acc or {value} != {value} else acc")
        )
        lines = [*printer.lines, step]
        first = len(out.shape)
        for place in reversed(range(len(statement.axes))):
            lines = [f"for i{first + place} in range({size_text(statement.axes[place])}):", *(INDENT + line for line in lines)]
        self.axes = max(self.axes, first + len(statement.axes))
        inner = [f"acc = {start}", *lines, f"{self._store(out, printer)} = acc"]
        return self._loops(out.shape, inner, printer.row_lines, rows=out.kind != "shared")

    def _zero(self, statement: Statement) -> list[str]:
        if not isinstance(statement, Accumulate):
            return []
        out = self.buffers[statement.out]
        count = product_text(out.shape) + ("*batch" if out.kind == "sequence" else "")
        return [f"for r in range({count}):", f"{INDENT}b_{out.name}[r] = 0"]

    def _accumulate(self, statement: Accumulate, once: bool) -> list[str]:
        out, printer = self.buffers[statement.out], Printer(self.buffers)
        element = (
            statement.element if once or statement.window in ((None, None), (0, None)) else InWindow(*statement.window, statement.element)
        )
        value, chosen = printer.value(element), statement.place
        place = self._store(out, printer, chosen)
        self._finish(printer)
        lines = [*printer.lines, f"{place} = {place} + {value}"]
        if chosen is None:
            return self._loops(out.shape, lines, printer.row_lines)
        inner = self._loops(out.shape, lines, rows=False, without=chosen[0])
        return self._loops((), [f"if {printer.integer(chosen[1])} >= 0:", *(INDENT + line for line in inner)], printer.row_lines)

    def _pointer(self, read: Read) -> str:
        buffer = self.buffers[read.buffer]
        if buffer.kind != "timed":
            return f"b_{read.buffer}"
        lag = f" + {read.lag}" if read.lag > 0 else (f" - {-read.lag}" if read.lag else "")
        return f"b_{read.buffer} + (t - 1{lag})*s_{read.buffer}"

    def _with_packed(self, packed: Sequence[tuple[str, bool]], body: list[str]) -> list[str]:
        """The body with every matrix laid out for its products first, once for all steps."""
        if not packed:
            return body
        names = [_packed_name(*matrix) for matrix in packed]
        lines = []
        for (matrix, transposed), name in zip(packed, names, strict=True):
            n, m = (size_text(size) for size in self.buffers[matrix].shape)
            layout = f"{m}, {n}, b_{matrix}, {m}, 1" if transposed else f"{n}, {m}, b_{matrix}, 1, {m}"
            lines.append(f"{name} = packed({layout})")
        lines += [f"failed = {' or '.join(f'{name} == NULL' for name in names)}", "if not failed:"]
        return lines + [INDENT + line for line in body] + [f"free({name})" for name in names]

    def _product(self, statement: Product) -> list[str]:
        """Out (rows, n) = operand (rows, m) @ matrix.T; or, transposed, out (rows, m) = operand (rows, n) @ matrix."""
        n, m = (size_text(size) for size in self.buffers[statement.matrix].shape)
        target, operand = self._pointer(Read(statement.out)), self._pointer(statement.operand)
        wide, inner = (m, n) if statement.transposed else (n, m)
        return [f"product(rows, {wide}, {inner}, {operand}, {_packed_name(statement.matrix, statement.transposed)}, {target})"]

    def _outer_sum(self, statement: OuterSum, timed: bool) -> list[str]:
        n, m = (size_text(size) for size in self.buffers[statement.out].shape)
        count = "batch*(t1 - t0 + 1)" if timed else "rows"
        left, right = self._pointer(statement.left), self._pointer(statement.right)
        return ["t = t0", f"failed = outer_sum({n}, {m}, {count}, {left}, {right}, b_{statement.out}) or failed"]

    def _pick(self, statement: PickStep) -> list[str]:
        out = self.buffers[statement.out]
        position = f"lengths[r] + {statement.offset}" if statement.from_end else str(statement.offset)
        source = f"b_{statement.buffer}[({position} - 1)*s_{statement.buffer} + r*{product_text(out.shape)} + c]"
        inner = [f"b_{statement.out}[r*{product_text(out.shape)} + c] = {source}"]
        return ["for r in range(batch):", f"{INDENT}for c in range({product_text(out.shape)}):", *(INDENT * 2 + line for line in inner)]

    def _fill(self, statement: Fill) -> list[str]:
        out, printer = self.buffers[statement.out], Printer(self.buffers)
        value = printer.value(statement.element)
        self._finish(printer)
        position = f"lengths[r] + {statement.offset}" if statement.from_end else str(statement.offset)
        inner = [*printer.lines, f"{self._store(out, printer)} = {value}"]
        return self._loops(out.shape, inner, [f"t = {position}", *printer.row_lines])
=======
>>>>>>> cdadd40 (Phases run whole in compiled code, by threads that own rows)
