"""Outside: a changed recurrence -> the same with the values outside the steps that a change must not lose.

A position outside the steps exists where something reads it. Where a change takes away the last such read, by a lag, a fixed step
of a short sequence may still fall there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from derive.names import Names, root
from derive.nodes import Kind, Pick, Quantity
from derive.recurrence import Equation, Recurrence, reads


def keep_outside(recurrence: Recurrence, wanted: Iterable[Pick], names: Names) -> Recurrence:
    """The recurrence with a quantity that reads each wanted value which nothing else reads and a fixed step may fall on."""
    found = (read for equation in recurrence.equations for read in reads(equation.expr))
    picked = {read.quantity for read in found if isinstance(read, Pick) and not read.outside}
    lost = [ghost for ghost in wanted if ghost.quantity in picked and ghost not in recurrence.ghosts[ghost.quantity]]
    made = tuple(Equation(Quantity(names.fresh(root(ghost)), "quantity", ghost.shape, Kind.SEQUENCE), ghost) for ghost in lost)
    quantities = (*recurrence.quantities, *(equation.target for equation in made))
    return replace(recurrence, quantities=quantities, equations=(*recurrence.equations, *made)) if made else recurrence
