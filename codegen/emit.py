"""Emit: Program -> the source of a Cython module.

Every unit (a phase, or a segment of a phase with steady states) becomes a function that threads run together, every segment a function
over one thread's rows. Templates place the text; everything is decided here and in `codegen.loops`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from codegen.loops import SegmentLines
from codegen.program import Program, solves
from codegen.stages import Matrix, Unit, units
from codegen.unit import UnitLines

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
    chosen = [program.phases[name] for name in phases if name in program.phases] if phases is not None else program.phases.values()
    source = _Source(program, fixed or {}, [unit for phase in chosen for unit in units(phase, program.buffers)])
    return _template("kernel.pyx.j2").render(
        name=plain(program.name), dtype=dtype, functions=UNARY, segments=source.segments(), units=source.described(),
        matrices=max(1, len(source.matrices)), buffers=len(program.buffers) + 2, solves=source.solves(), **_shared(dtype),
    )  # fmt: skip


def emit_runtime(program: Program, dtype: str) -> str:
    """The C source of what the modules of all recurrences share, as `emit` writes it into each: it may be compiled apart, and beside."""
    searches = any(solves(action) for phase in program.phases.values() for action in phase.actions)
    return _template("runtime.c.j2").render(solves=searches, **_shared(dtype))


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    return environment.get_template(name)


def _shared(dtype: str) -> dict[str, object]:
    double = dtype == "float64"
    return {"ctype": "double" if double else "float", "suffix": "" if double else "f", "block": BLOCK, **PRECISION[dtype]}


def plain(name: str) -> str:
    """A name that may stand in generated source: the recurrence's own where it is an ASCII identifier."""
    return name if name.isascii() and name.isidentifier() and len(name) <= 64 else "recurrence"


class _Source:
    """What the templates place for the units of a program."""

    def __init__(self, program: Program, fixed: Mapping[str, int], chosen: Sequence[Unit]) -> None:
        self.program, self.fixed, self.units = program, fixed, chosen
        self.order = list(program.buffers)
        self.matrices: list[Matrix] = list(dict.fromkeys(matrix for unit in chosen for matrix in unit.matrices))

    def segments(self) -> list[dict[str, object]]:
        """Every segment's function, by number."""
        found = {segment.number: (segment, unit.back) for unit in self.units for segment in unit.segments}
        return [
            SegmentLines(self.program, self.order, segment, self.fixed, back, self.matrices).describe()
            for _, (segment, back) in sorted(found.items())
        ]  # fmt: skip

    def solves(self) -> list[dict[str, object]]:
        """Every steady state's function, by the number of its equations."""
        return [self.unit_lines(unit).solve(solve) for unit in self.units if not unit.piece for solve in unit.solves]

    def described(self) -> list[dict[str, object]]:
        """Every unit's function."""
        return [self.unit_lines(unit).describe() for unit in self.units]

    def unit_lines(self, unit: Unit) -> UnitLines:
        """The lines of one unit."""
        return UnitLines(self.program, self.order, unit, self.fixed, self.matrices)
