"""Stages: a run of actions -> what threads do between two points at which they wait for each other.

Rows never meet but in sums over them. So a thread takes its own rows through every step of every action that fills rows, steady states
included, and threads wait only where something shared is made: matrices laid out for products, sums over sequences, what follows from
these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codegen.program import Buffer, Part, Phase, Segment, Solve, bodies, number_of, segments_of, solves
from codegen.statements import Product

Matrix = tuple[str, bool]  # the buffer of a product's matrix, and whether it is multiplied transposed


@dataclass(frozen=True, slots=True)
class Stage:
    """Actions whose statements fill rows, or what is shared (`shared`); matrices to lay out before they run."""

    parts: tuple[Part, ...]
    shared: bool
    packs: tuple[Matrix, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """What one call of a compiled module runs, by the number of its first action; back: sums go from the last step to the first; piece: it
    is one steady state, or one segment of a loop with steady states, for where the whole does not come to an end."""  # noqa: D205, D209

    number: int
    back: bool
    stages: tuple[Stage, ...]
    piece: bool = False

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All matrices that are laid out, each once."""
        return tuple(dict.fromkeys(matrix for stage in self.stages for matrix in stage.packs))

    @property
    def parts(self) -> tuple[Part, ...]:
        """All actions in order."""
        return tuple(part for stage in self.stages for part in stage.parts)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments in order."""
        return tuple(segment for part in self.parts for segment in segments_of(part))

    @property
    def solves(self) -> tuple[Solve, ...]:
        """All steady states in order."""
        return tuple(solve for part in self.parts for solve in solves(part))


def is_shared(segment: Segment, buffers: Mapping[str, Buffer]) -> bool:
    """Whether a segment fills what all sequences share."""
    return all(buffers[statement.out].kind == "shared" for statement in segment.statements)


def units(phase: Phase, buffers: Mapping[str, Buffer]) -> list[Unit]:
    """The units of a phase: what stands between projections, each steady state, and each segment of a loop with one."""
    back, found = phase.name != "forward", []
    for run in phase.runs:
        if isinstance(run, tuple):
            found.append(_unit(run, buffers, back))
            pieces = [each for part in run if not isinstance(part, Segment) for each in bodies(part)]
            found += [_unit([piece], buffers, back, piece=True) for piece in pieces]  # type: ignore[list-item]
    return found


def _unit(parts: Sequence[Part], buffers: Mapping[str, Buffer], back: bool, piece: bool = False) -> Unit:
    stages: list[Stage] = []
    laid: set[Matrix] = set()
    for part in parts:
        segments = segments_of(part)
        shared = all(is_shared(segment, buffers) for segment in segments)
        products = [s for segment in segments for s in segment.statements if isinstance(s, Product)]
        packs = tuple(matrix for matrix in dict.fromkeys(f[:2] for s in products for f in s.factors) if matrix not in laid)
        laid.update(packs)
        last = stages[-1] if stages else None
        if last is not None and last.shared == shared:
            stages[-1] = Stage((*last.parts, part), shared, (*last.packs, *packs))
        else:
            stages.append(Stage((part,), shared, packs))
    return Unit(number_of(parts[0]), back, tuple(stages), piece)
