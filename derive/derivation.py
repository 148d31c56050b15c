"""The Derivation record: what the adjoint and the tangent return and what presentation, proof and lowering read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from derive.nodes import At, Node, Pick, Quantity
from derive.projections import Projection
from derive.recurrence import Recurrence, Target


@dataclass(frozen=True, slots=True)
class Contribution:
    """What the equation of `reader` sends to the adjoint of what it reads, at the reader's step."""

    reader: Target
    read: At | Pick | Quantity
    value: Node
    rule: str
    because: str


@dataclass(frozen=True)
class Derivation:
    """The result of differentiating a recurrence.

    source: as the user wrote it; primal: its normal form; recurrence: primal and adjoint equations in one system; adjoints: for
    each primal quantity or value outside the steps, the expression of its adjoint (a read of a generated quantity, or a constant
    where it is one); carried: for (quantity, lag), the generated signal that a lagged read sends back; gradients: label -> the
    quantity that holds the gradient; zero: labels that no path leads to; cotangents: label of a primal quantity -> the input
    that holds its cotangent; contributions: every application of a rule; projections: how the gradients of constrained
    parameters were projected; free: for these, the quantity that holds the gradient before its projection.
    """

    source: Recurrence
    primal: Recurrence
    recurrence: Recurrence
    adjoints: Mapping[Target, Node]
    carried: Mapping[tuple[Quantity, int], Quantity]
    gradients: Mapping[str, Quantity]
    zero: frozenset[str] = frozenset()
    cotangents: Mapping[str, Quantity] = field(default_factory=dict)
    contributions: tuple[Contribution, ...] = ()
    projections: tuple[Projection, ...] = ()
    free: Mapping[str, Quantity] = field(default_factory=dict)

    def total(self, label: str) -> Quantity | None:
        """The quantity that holds the derivative of the objective by a label, whatever constraints say."""
        return self.free.get(label, self.gradients.get(label))
