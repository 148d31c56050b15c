"""Unit: what one call runs -> the lines of its function in Cython, and of those that solve for its steady states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.components import INDENT
from codegen.printer import product_text, size_text
from codegen.program import Loop, Program, Segment, Solve
from codegen.stages import Matrix, Part, Stage, Unit

ROWS = "call.split[id], call.split[id + 1]"


class UnitLines:
    """One unit's function. matrices: all that the module lays out, in the order of their slots."""

    def __init__(self, program: Program, order: Sequence[str], unit: Unit, fixed: Mapping[str, int], matrices: Sequence[Matrix]) -> None:
        self.program, self.order, self.unit, self.fixed, self.matrices = program, order, unit, fixed, matrices

    def describe(self) -> dict[str, object]:
        """Its matrices, and its stages with what is laid out before each. A piece runs its segment, or solves for its unknowns."""
        return {
            "name": f"{'piece' if self.unit.piece else 'unit'}_{self.unit.number}",
            "number": ~self.unit.number if self.unit.piece else self.unit.number,
            "dims": self.dims(),
            "rooms": [(self.matrices.index(matrix), ", ".join(self._sizes(matrix))) for matrix in self.unit.matrices],
            "stages": [self._stage(stage) for stage in self.unit.stages],
        }

    def dims(self) -> list[tuple[str, str]]:
        """Every dim and where its size stands."""
        return [(name, str(self.fixed.get(name, f"call.d[{place + 4}]"))) for place, name in enumerate(self.program.dims)]

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
            "number": solve.segment.number, "count": len(solve.cut), "linear": int(solve.linear), "lines": lines, "dims": self.dims(),
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
            case Segment() if self.unit.piece:
                return self._piece(part, shared)
            case Segment():
                return [self._segment(part, "t0", "t1", shared)]
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

    def _piece(self, segment: Segment, shared: bool) -> list[str]:
        """The segment over some steps; where there is a report, what its equations are solved for."""
        solves = [solve for phase in self.program.phases.values() for run in phase.runs if isinstance(run, tuple) for solve in _solves(run)]
        run = self._segment(segment, "t0", "t1", shared)
        if not any(solve.segment.number == segment.number for solve in solves):
            return [run]
        return ["if call.report != NULL:", f"{INDENT}solve_{segment.number}(call, call.report, t0, id)", "else:", INDENT + run]

    def _before(self, solve: Solve) -> str:
        """How many rows of a report come before a steady state's."""
        rows = {"shared": "1", "rows": "batch", "step": "batch", "sweep": "batch*(t1 - t0 + 1)"}
        return " + ".join(rows[other.level] for other in self.unit.solves[: self.unit.solves.index(solve)]) or "0"


def _solves(run: Sequence[Part]) -> list[Solve]:
    return [each for part in run for each in (part.body if isinstance(part, Loop) else (part,)) if isinstance(each, Solve)]
