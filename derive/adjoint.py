"""Adjoint: Recurrence -> Derivation.

Applies one rule per node and collects contributions by quantity and lag; docs/calculus.md ("Adjoint") in code. Prints nothing,
lowers nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from derive.arrays import filled
from derive.collection import Collection
from derive.derivation import Derivation
from derive.errors import RecurrenceError
from derive.graph import components
from derive.names import Names, root, taken_by
from derive.nodes import At, Kind, Node, Number, Pick, Quantity
from derive.normal import normalise
from derive.recurrence import Recurrence, Target
from derive.rules import rule
from derive.structure import Reading, edges
from derive.temporal import TimeSum, Within


def gradient(recurrence: Recurrence, taken: Iterable[str] = ()) -> Derivation:
    """Derive the adjoint system and every gradient of a recurrence's objective. taken: names that no generated quantity may have.

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
    return _derive(recurrence, taken=taken)


def pullback(recurrence: Recurrence, at: Sequence[Target] | None = None) -> Derivation:
    """Derive the vector-Jacobian product: gradients from cotangents of any signals. The objective plays no part.

    Every quantity the user defined has an input of its own shape for its cotangent (`Derivation.cotangents`), or those in `at` alone,
    which may be values outside the steps.
    Raises: RecurrenceError as `gradient`.
    """
    return _derive(recurrence, recurrence.of_role("signal", "quantity", "total") if at is None else at)


def _derive(recurrence: Recurrence, at: Sequence[Target] | None = None, taken: Iterable[str] = ()) -> Derivation:
    """The adjoint system, started by the objective, or by cotangents of the targets in `at`."""
    primal = normalise(recurrence)
    names = Names({*taken_by(primal), *taken})
    collection = Collection(primal, names)
    seeds = start(recurrence, collection, names) if at is None else _seed(collection, names, at)
    graph = {e.target: [edge.target for edge in edges(primal, e)] for e in primal.equations}
    order = components(graph)
    active = active_targets(primal, collection)
    for members in reversed(order):
        collection.visit([m for m in members if m in active], cyclic=len(members) > 1 or members[0] in graph[members[0]])
    return collection.derivation(recurrence, seeds)


def start(recurrence: Recurrence, collection: Collection, names: Names) -> dict[str, Quantity]:
    """Where the adjoints of an objective start: at 1, or at its abstract derivatives."""
    aim = recurrence.objective
    if not aim.abstract:  # type: ignore[union-attr]
        collection.start(collection.primal.named[aim.name], Number(1))  # type: ignore[union-attr]
        return {}
    seeds = {}
    for quantity in recurrence.of_role("signal", "quantity", "total"):
        name = names.fresh(f"{aim.name}_{quantity.name}")  # type: ignore[union-attr]
        seeds[quantity.name] = _given(collection, quantity, name, f"derivative of {aim.name} by {quantity.name}")  # type: ignore[union-attr]
    return seeds


def _seed(collection: Collection, names: Names, at: Sequence[Target]) -> dict[str, Quantity]:
    """An input for the cotangent of each target."""
    seeds = {}
    for target in at:
        name, label = names.fresh(f"{root(target)}_seed"), target.source()
        seeds[label] = _given(collection, target, name, f"cotangent of {label}")
    return seeds


def _given(collection: Collection, target: Target, name: str, meaning: str) -> Quantity:
    """An input with which a target's adjoint starts."""
    seed = Quantity(name, "constant" if target.kind == Kind.SHARED else "input", target.shape, target.kind)
    collection.add_input(seed, meaning)
    collection.start(target, At(seed, 0) if seed.kind == Kind.TIMED else seed)
    return seed


def active_targets(primal: Recurrence, collection: Collection) -> set[Target]:
    """What the starting points depend on, by reads that a gradient passes."""
    found: set[Target] = set()
    stack: list[Target] = list(collection.started)
    while stack:
        target = stack.pop()
        if target in found or target not in primal.equation:
            continue
        found.add(target)
        stack += [edge.target for edge in edges(primal, primal.equation[target], _passed)]
    return found


def _passed(expr: Node) -> Iterator[Reading]:
    """The reads to which a rule sends something, in the form of `reads_over_time`."""
    stack = [(expr, False)]
    while stack:
        node, inside = stack.pop()
        if isinstance(node, (At, Pick, Quantity)):
            yield node, inside
        elif isinstance(node, (TimeSum, Within)):
            stack.append((node.args[0], inside or isinstance(node, TimeSum)))
        else:
            stack += [(operand, inside) for operand, _ in rule(node).adjoint(node, filled(Number(1), node.shape))]
