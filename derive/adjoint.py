"""Adjoint: Recurrence -> Derivation.

Applies one rule per node and collects contributions by quantity and lag; docs/calculus.md ("Adjoint") in code. Prints nothing,
lowers nothing.
"""

from __future__ import annotations

from derive.collection import Collection
from derive.derivation import Derivation
from derive.errors import RecurrenceError
from derive.graph import components
from derive.names import Names, taken_by
from derive.nodes import At, Kind, Number, Quantity
from derive.normal import normalise
from derive.recurrence import Recurrence, Target
from derive.structure import edges


def gradient(recurrence: Recurrence) -> Derivation:
    """Derive the adjoint system and every gradient of a recurrence's objective.

    Shapes: a signal h (n) gets an adjoint h_bar (n) per step; a parameter W (n, m) a total W_bar (n, m); a value outside the steps
    or an input, one per sequence or step. Units: those of the objective over those of the quantity. An abstract objective R
    enters through input sequences R_x, its derivatives by the signals.
    Raises: RecurrenceError where there is no objective, or naming the cycle when no order of steps computes it.
    Source: [seung2005] steady states and trajectories; [werbos1990].
    """
    if recurrence.objective is None:
        raise RecurrenceError(
            f"{recurrence.name} has no objective",
            "add a line such as E = minimize(sum(norm2(h[t]) for t in steps)), or use derive.pullback",
        )
    return _derive(recurrence, cotangents=False)


def pullback(recurrence: Recurrence) -> Derivation:
    """Derive the vector-Jacobian product: gradients from cotangents of any signals. The objective plays no part.

    Every quantity the user defined has an input of its own shape for its cotangent (`Derivation.cotangents`).
    Raises: RecurrenceError as `gradient`.
    """
    return _derive(recurrence, cotangents=True)


def _derive(recurrence: Recurrence, cotangents: bool) -> Derivation:
    primal = normalise(recurrence)
    names = Names(taken_by(primal))
    collection = Collection(primal, names)
    seeds = start(recurrence, collection, names, cotangents)
    graph = {e.target: [edge.target for edge in edges(primal, e)] for e in primal.equations}
    order = components(graph)
    active = active_targets(primal, collection)
    for members in reversed(order):
        collection.visit([m for m in members if m in active], cyclic=len(members) > 1 or members[0] in graph[members[0]])
    return collection.derivation(recurrence, seeds)


def start(recurrence: Recurrence, collection: Collection, names: Names, cotangents: bool) -> dict[str, Quantity]:
    """Where adjoints start: the objective (1), its abstract derivatives, or given cotangents."""
    aim = recurrence.objective
    seeds: dict[str, Quantity] = {}
    if not cotangents and aim is not None and not aim.abstract:
        collection.start(collection.primal.named[aim.name], Number(1))
        return seeds
    for quantity in recurrence.of_role("signal", "quantity", "total"):
        name = names.fresh(f"{quantity.name}_seed" if cotangents else f"{aim.name}_{quantity.name}")  # type: ignore[union-attr]
        role = "constant" if quantity.kind == Kind.SHARED else "input"
        seed = Quantity(name, role, quantity.shape, quantity.kind)
        meaning = f"cotangent of {quantity.name}" if cotangents else f"derivative of {aim.name} by {quantity.name}"  # type: ignore[union-attr]
        collection.add_input(seed, meaning)
        collection.start(quantity, At(seed, 0) if quantity.kind == Kind.TIMED else seed)
        seeds[quantity.name] = seed
    return seeds


def active_targets(primal: Recurrence, collection: Collection) -> set[Target]:
    """What the starting points depend on."""
    found: set[Target] = set()
    stack: list[Target] = list(collection.started)
    while stack:
        target = stack.pop()
        if target in found or target not in primal.equation:
            continue
        found.add(target)
        stack += [edge.target for edge in edges(primal, primal.equation[target])]
    return found
