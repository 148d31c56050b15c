"""Projector: the names of a derivation -> names for the linear system of its constraints, which no quantity has."""

from __future__ import annotations

from dataclasses import dataclass

from derive.names import Names
from derive.sections.boxes import Name


@dataclass(frozen=True, slots=True)
class Constrained:
    """Names of A vec(θ) = c, of the projector onto what it allows, and of the gradient by all of θ."""

    parameters: Name
    matrix: Name
    right: Name
    projector: Name
    gradient: Name


def name_system(names: Names) -> Constrained:
    """Take a name for each, the usual one where it is free."""
    wishes = (("theta", "params"), ("A", "A_c"), ("c", "c_A"), ("Pi", "proj"), ("g", "grad"))
    return Constrained(*(Name(names.fresh(*wish)) for wish in wishes))
