"""Unit: what one call runs -> the lines of its function in Cython, and of those that solve for its steady states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.components import INDENT
from codegen.printer import dim_values, product_text, size_text
from codegen.program import Loop, Part, Program, Segment, Solve
from codegen.stages import Matrix, Stage, Unit

ROWS = "call.split[id], call.split[id + 1]"


class UnitLines:
    """One unit's function. matrices: all that the module lays out, in the order of their slots."""

    def __init__(self, program: Program, order: Sequence[str], unit: Unit, fixed: Mapping[str, int], matrices: Sequence[Matrix]) -> None:
        self.program, self.order, self.unit, self.fixed, self.matrices = program, order, unit, fixed, matrices

    def describe(self) -> dict[str, object]:
        """Its matrices, and its stages with what is laid out before each."""
        return {
            "name": f"{'piece' if self.unit.piece else 'unit'}_{self.unit.number}",
            "number": ~self.unit.number if self.unit.piece else self.unit.number,
            "dims": dim_values(self.program.dims, self.fixed),
            "rooms": [(self.matrices.index(matrix), ", ".join(self._sizes(matrix))) for matrix in self.unit.matrices],
            "stages": [self._stage(stage) for stage in self.unit.stages],
        }

    def solve(self, solve: Solve) -> dict[str, object]:
        """The function that solves for a steady state: where its unknowns lie, and the rows that take part."""
        lines = []
        for number, names in enumerate(solve.cut):
            for field, name in zip(("state", "image"), names, strict=True):
                place = self.order.index(name) + 2
                step = f" + (t - 1)*call.s[{place}]" if self.program.buffers[name].kind == "timed" else ""
                lines.append(f"unknowns[{number}].{field} = <array> call.p[{place}]{step}")
            lines.append(f"unknowns[{number}].width = {product_text(self.program.buffers[names[0]].shape)}")
        return {
            "number": solve.segment.number, "count": len(solve.cut), "linear": int(solve.linear), "lines": lines,
            "dims": dim_values(self.program.dims, self.fixed),
            "timed": solve.level in ("step", "sweep"), "shared": solve.level == "shared",
        }  # fmt: skip

    def _sizes(self, matrix: Matrix) -> tuple[str, str]:
        """Columns and inner dimension of a matrix as its products read it."""
        n, m = (size_text(size) for size in self.program.buffers[matrix[0]].shape)
        return (m, n) if matrix[1] else (n, m)

    def _stage(self, stage: Stage) -> dict[str, object]:
        packs = []
        for name, transposed in stage.packs:
            _, m = (size_text(size) for size in self.program.buffers[name].shape)
            strides = f"{m}, 1" if transposed else f"1, {m}"
            columns, inner = self._sizes((name, transposed))
            place, slot = self.order.index(name) + 2, self.matrices.index((name, transposed))
            packs.append(f"pack_share(call, id, {columns}, {inner}, <array> call.p[{place}], {strides}, call.packed[{slot}])")
        parts = [(self.unit.parts.index(part), self._part(part, stage.shared)) for part in stage.parts]
        return {"packs": packs, "parts": parts, "shared": stage.shared}

    def _part(self, part: Part, shared: bool) -> list[str]:
        match part:
            case Segment():
                return [self._segment(part, "t0", "t1", shared)]
            case Solve() if self.unit.piece:  # its equations over some steps, or where there is a report, what they are solved for
                solved, run = self._solve(part), self._segment(part.segment, "t0", "t1", shared)
                return ["if call.report != NULL:", INDENT + solved, "else:", INDENT + run]
            case Solve(level="sweep"):
                return ["for t in range(t0, t1 + 1):", INDENT + self._solve(part, " + 4*batch*(t - t0)")]
            case Solve():
                return [self._solve(part)]
            case Loop():
                steps = "range(t0, t1 + 1)" if part.direction == "forward" else "range(t1, t0 - 1, -1)"
                body = [self._solve(each) if isinstance(each, Solve) else self._segment(each, "t", "t", shared) for each in part.body]
                return [f"for t in {steps}:", *(INDENT + line for line in ["if stopped(call, id):", INDENT + "break", *body])]

    def _segment(self, segment: Segment, first: str, last: str, shared: bool) -> str:
        return f"segment_{segment.number}(call, {first}, {last}, {'0, batch' if shared else ROWS}, id)"

    def _solve(self, solve: Solve, step: str = "") -> str:
        return f"solve_{solve.segment.number}(call, call.report + 4*({self._before(solve)}){step}, t, id)"

    def _before(self, solve: Solve) -> str:
        """How many rows of a report come before a steady state's."""
        rows = {"shared": "1", "rows": "batch", "step": "batch", "sweep": "batch*(t1 - t0 + 1)"}
        return " + ".join(rows[other.level] for other in self.unit.solves[: self.unit.solves.index(solve)]) or "0"
