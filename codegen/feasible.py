"""Feasible: a recurrence with constraints -> points that satisfy them and directions that keep them, for a check.

Both come from the literal reference, by a dense least-squares solution that shares nothing with kernels; where the
parameters are too many for that, from the kernel's own decomposition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from codegen.constraints import TOLERANCE
from codegen.kernel import Kernel
from codegen.program import Program
from derive.constraints import constrained, derived, systems
from derive.nullspace import Nullspace
from derive.recurrence import Recurrence, reads
from derive.reference import nullspaces

DENSE = 1500  # components of the parameters of one system

Arrays = dict[str, np.ndarray]


def loosened(program: Program, dtype: str) -> Program:
    """The program, held to the tolerance of the precision in which its values were rounded."""
    systems = tuple(replace(system, tolerance=TOLERANCE[dtype]) for system in program.systems)
    return replace(program, systems=systems)


@dataclass
class Feasible:
    """Where values may lie and move. The constants that constraints read are drawn once, so that the directions stay the same.

    given: names whose values are the caller's, which stay as they are.
    """

    recurrence: Recurrence
    reference: Kernel
    dtype: str
    rng: np.random.Generator
    given: frozenset[str] = frozenset()
    constants: Arrays = field(default_factory=dict)
    allowed: list[Nullspace] = field(default_factory=list)
    values: Arrays = field(default_factory=dict)

    def place(self, values: Arrays) -> Arrays:
        """The values, with constants as drawn at first and parameters moved to the nearest ones that satisfy the constraints.

        Parameters of the caller's are not moved, nor are others then. Raises: ValueError where no values satisfy the constraints.
        """
        if not self.values:
            self._begin(values)
        values = {**values, **self.constants}
        return values if self.given & self.bound else {**values, **self._nearest(values)}

    def project(self, changes: Mapping[str, np.ndarray]) -> Arrays:
        """The changes nearest to these that keep the constraints; of what is not constrained, as they are."""
        if not self.allowed:
            return {**changes, **self.reference.project(self.values, changes)}
        return {**changes, **{name: part for entry in self.allowed for name, part in entry.project(changes).items()}}

    @property
    def bound(self) -> set[str]:
        """Names of the constrained parameters."""
        return {parameter.name for system in systems(self.recurrence) for parameter in system.parameters}

    def _begin(self, values: Arrays) -> None:
        """Draw the constants: half of the components of arrays zero, as in a mask, unless no values satisfy the constraints then."""
        constraints, equations = self.recurrence.constraints, self.recurrence.equation
        read = [*constrained(constraints), *(r for e in derived(constraints, equations) for r in reads(e.expr))]
        names = sorted({quantity.name for quantity in read if quantity.role == "constant"})  # type: ignore[union-attr]
        drawn = {name: np.asarray(values[name]).astype(self.dtype).astype(np.float64) for name in names}
        masks = {name for name, array in drawn.items() if array.ndim and name not in self.given}
        sparse = {name: array * self.rng.integers(0, 2, array.shape) if name in masks else array for name, array in drawn.items()}
        for constants in (sparse, drawn):
            self.constants, self.values = constants, {**values, **constants}
            with np.errstate(all="ignore"):
                found = nullspaces(self.recurrence, self.values)
            self.allowed = found if all(entry.cuts[-1] <= DENSE for entry in found) else []
            try:
                self._nearest(self.values)
            except (ValueError, np.linalg.LinAlgError):
                if constants is drawn:
                    raise
            else:
                return

    def _nearest(self, values: Arrays) -> Arrays:
        if not self.allowed:
            return self.reference.nearest(values)  # type: ignore[return-value]
        with np.errstate(all="ignore"):
            return {name: part for entry in self.allowed for name, part in entry.nearest(values).items()}
