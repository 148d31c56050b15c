"""Stages: a run of actions -> what threads do between two points at which they wait for each other.

Rows never meet but in sums over them. So a thread takes its own rows through every step of every segment that fills rows, and threads
wait only where something shared is made: matrices laid out for products, sums over sequences, what follows from these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from codegen.program import Buffer, Loop, Phase, Product, Segment, Solve

BY_ROWS = ("rows", "step")  # levels of steady states at which every sequence has its own
Matrix = tuple[str, bool]  # the buffer of a product's matrix, and whether it is multiplied transposed


@dataclass(frozen=True, slots=True)
class Stage:
    """Segments whose statements fill rows, or what is shared (`shared`); matrices to lay out before they run."""

    segments: tuple[Segment, ...]
    shared: bool
    packs: tuple[Matrix, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """What one call of a compiled module runs, by the number of its first segment; back: sums go from the last step to the first;
    solve: the steady state that its one segment is the equations of, where rows are solved by themselves; matrices: all that it lays out,
    in order."""  # noqa: D205, D209

    number: int
    back: bool
    stages: tuple[Stage, ...]
    solve: Solve | None = None

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All matrices that are laid out, each once."""
        return tuple(dict.fromkeys(matrix for stage in self.stages for matrix in stage.packs))


def is_shared(segment: Segment, buffers: Mapping[str, Buffer]) -> bool:
    """Whether a segment fills what all sequences share."""
    return all(buffers[statement.out].kind == "shared" for statement in segment.statements)


def units(phase: Phase, buffers: Mapping[str, Buffer]) -> list[Unit]:
    """The units of a phase: segments side by side, and each of those that take part in a steady state."""
    found, back = [], phase.name != "forward"
    for part in phase.runs:
        if isinstance(part, tuple):
            found.append(_unit(part, buffers, back))
        else:
            for each in part.body if isinstance(part, Loop) else (part,):
                if isinstance(each, Segment):
                    found.append(_unit([each], buffers, back))
                elif isinstance(each, Solve):
                    found.append(replace(_unit([each.segment], buffers, back), solve=each if each.level in BY_ROWS else None))
    return found


def _unit(segments: Sequence[Segment], buffers: Mapping[str, Buffer], back: bool) -> Unit:
    stages: list[Stage] = []
    laid: set[Matrix] = set()
    for segment in segments:
        shared = is_shared(segment, buffers)
        wanted = dict.fromkeys(factor[:2] for s in segment.statements if isinstance(s, Product) for factor in s.factors)
        packs = tuple(matrix for matrix in wanted if matrix not in laid)
        laid.update(packs)
        last = stages[-1] if stages else None
        if last is not None and last.shared == shared:
            stages[-1] = Stage((*last.segments, segment), shared, (*last.packs, *packs))
        else:
            stages.append(Stage((segment,), shared, packs))
    return Unit(segments[0].number, back, tuple(stages))
