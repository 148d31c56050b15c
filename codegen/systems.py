"""Systems: the records of constraints in a Program. Nothing is computed here.

A system's statements compute both sides of its assertions from parameters and constants alone; `codegen.affine` reads
its matrix off them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codegen.program import Buffer
    from codegen.statements import Statement


@dataclass(frozen=True, slots=True)
class Assertion:
    """One constraint: as written, where it stands in the file (or nowhere, 0), and the buffers of its two sides."""

    text: str
    line: int
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class System:
    """Constraints that share parameters.

    parameters: their buffers; buffers: all that its statements read and write, of which those filled are its own;
    statements: in order of execution. tolerance: how far values may be off, as a share of their size; None for that of
    the kernel's precision.
    """

    parameters: tuple[str, ...]
    buffers: Mapping[str, Buffer]
    statements: tuple[Statement, ...]
    assertions: tuple[Assertion, ...]
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """out = the part of one parameter in the projection of changes, onto the directions that a system allows.

    system: its place in the program; part: the parameter's buffer; changes: (parameter's buffer, buffer of its change).
    """

    out: str
    system: int
    part: str
    changes: tuple[tuple[str, str], ...]
