"""Probes: a recurrence -> the same with signals that say how near its functions are to their kinks, and how saturated they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from derive.arithmetic import Add, Apply, Neg, Where
from derive.functions import FUNCTIONS
from derive.names import Names, taken_by
from derive.nodes import At, Kind, Node, Pick, Quantity, walk
from derive.normal import normalise
from derive.recurrence import Equation, Recurrence, reads

SATURATED = {"tanh": 4.0, "sigmoid": 8.0, "erf": 2.5}  # beyond these arguments slopes are below about 1e-3
KINKED = ("abs", "relu", "sign")


@dataclass(frozen=True, slots=True)
class Probes:
    """recurrence: with the probes as quantities; kinks: names whose zero is a kink; saturating: name -> largest sound argument."""

    recurrence: Recurrence
    kinks: tuple[str, ...]
    saturating: Mapping[str, float]


def is_analytic(recurrence: Recurrence) -> bool:
    """Whether a complex step may pass through every function in use."""
    nodes = [node for equation in recurrence.equations for node in walk(equation.expr)]
    return all(FUNCTIONS[node.name].analytic if isinstance(node, Apply) else not isinstance(node, Where) for node in nodes)


def find_probes(recurrence: Recurrence) -> Probes:
    """Add a quantity for every kinked function's distance from its kink and every saturating function's argument."""
    primal = normalise(recurrence)
    names = Names(taken_by(primal))
    quantities, equations = list(primal.quantities), list(primal.equations)
    kinks: list[str] = []
    saturating: dict[str, float] = {}

    def add(node: Node, timed: bool, stem: str) -> str:
        kind = Kind.TIMED if timed else node.kind
        quantity = Quantity(names.fresh(stem), "signal" if timed else "quantity", node.shape, kind)
        quantities.append(quantity)
        equations.append(Equation(quantity, node))
        return quantity.name

    for equation in primal.equations:
        for node in walk(equation.expr):
            distance = _distance(node)
            if distance is not None and any(True for _ in reads(distance)):
                kinks.append(add(distance, _is_timed(distance, equation), "kink"))
            elif isinstance(node, Apply) and node.name in SATURATED and any(True for _ in reads(node)):
                saturating[add(node.operands[0], _is_timed(node, equation), "argument")] = SATURATED[node.name]
    return Probes(replace(primal, quantities=tuple(quantities), equations=tuple(equations)), tuple(kinks), saturating)


def _distance(node: Node) -> Node | None:
    if isinstance(node, Apply) and node.name in KINKED:
        return node.operands[0]
    if isinstance(node, Where) or (isinstance(node, Apply) and node.name in ("maximum", "minimum")):
        return Add(node.operands[0], Neg(node.operands[1]))
    return None


def _is_timed(node: Node, equation: Equation) -> bool:
    return equation.timed or any(isinstance(read, At) and not isinstance(read, Pick) for read in reads(node))
