"""Emit: Program -> the source of a Cython module.

Every unit (a phase, or a segment of a phase with steady states) becomes a function that threads run together, every segment a function
over one thread's rows. Templates place the text; everything is decided here and in `codegen.loops`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from codegen.loops import SegmentLines
from codegen.printer import product_text, size_text
from codegen.program import Program, Solve
from codegen.stages import Matrix, Stage, Unit, units

TEMPLATES = Path(__file__).parent / "templates"
BLOCK = 256  # values of a reduction that are laid side by side
PRECISION = {  # of numbers, of a steady state (docs/reliability.md), and of what one change along its way adds to the others
    "float32": {"epsilon": "1.1920929e-07", "aim": "1e-6", "ridge": "1e-6"},
    "float64": {"epsilon": "2.220446049250313e-16", "aim": "1e-13", "ridge": "1e-13"},
}
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
        functions=UNARY, block=BLOCK, segments=source.segments(), units=source.described(), matrices=source.most_matrices(),
        buffers=len(program.buffers) + 2, settles=any(unit.solve for unit in source.units), **PRECISION[dtype],
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
            SegmentLines(self.program, self.order, segment, self.fixed, unit)
            for unit in self.units for stage in unit.stages for segment in stage.segments
        ]  # fmt: skip
        return [lines.describe() for lines in sorted(found, key=lambda lines: lines.segment.number)]

    def described(self) -> list[dict[str, object]]:
        """Every unit's function: its matrices, and its stages with what is laid out before each."""
        return [
            {
                "number": unit.number,
                "dims": [(name, str(self.fixed.get(name, f"call.d[{place + 4}]"))) for place, name in enumerate(self.program.dims)],
                "rooms": [self._room(matrix) for matrix in unit.matrices],
                "steady": None if unit.solve is None else self._steady(unit.solve),
                "stages": [self._stage(unit, stage) for stage in unit.stages],
            }
            for unit in self.units
        ]

    def _steady(self, solve: Solve) -> dict[str, object]:
        """Where the unknowns of a steady state lie, and the rows that take part."""
        lines = ["r1 = min(r1, (<const long long*> call.p[0])[t0 - 1])"] if solve.level == "step" else []
        for number, names in enumerate(solve.cut):
            for field, name in zip(("state", "image"), names, strict=True):
                place = self.order.index(name) + 2
                step = f" + (t0 - 1)*call.s[{place}]" if self.program.buffers[name].kind == "timed" else ""
                lines.append(f"unknowns[{number}].{field} = <array> call.p[{place}]{step}")
            lines.append(f"unknowns[{number}].width = {product_text(self.program.buffers[names[0]].shape)}")
        return {"unknowns": solve.cut, "linear": int(solve.linear), "lines": lines}

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
