"""Normal form: Recurrence -> Recurrence in which every argument of a nonlinear function is a signal of its own.

The imaginary bias is added to those signals, the pre-activations; costs summed over time become scalar signals; compositions that
lose digits are written in a stable form. Applying it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from derive.arithmetic import Abstract, Apply, Surrogate
from derive.arrays import LayerNorm, LogSoftmax, LogSumExp, Project, Softmax
from derive.names import Names, taken_by
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, walk
from derive.nodes import replace as replace_nodes
from derive.recurrence import Equation, Recurrence, Target
from derive.rewriting import stable
from derive.temporal import Argument, TimeSum

NONLINEAR = (Apply, Abstract, Softmax, LogSoftmax, LogSumExp, LayerNorm, Argument)
READS = (At, Pick, Quantity, Number)


def normalise(recurrence: Recurrence, apart: Collection[str] = ()) -> Recurrence:
    """The normal form of a recurrence. apart: names of quantities that are read as they are, also where a stable form would read what
    they are computed from."""  # noqa: D205, D209
    return _Normaliser(recurrence).run(apart)


def _arguments(recurrence: Recurrence) -> int:
    """How many pre-activations the normal form adds."""
    found = {arg for e in recurrence.equations for arg in _nonlinear(e.expr)}
    return len({arg for arg in found if not isinstance(arg, READS)})


def _nonlinear(node: Node) -> Iterator[Node]:
    """The arguments of nonlinear functions in an expression; of a surrogate, its own alone."""
    if isinstance(node, NONLINEAR):
        yield from (arg for arg in node.operands if not isinstance(arg, Argument))
    inside = node.operands[2:] if isinstance(node, Surrogate) else node.operands
    for arg in inside:
        if isinstance(node, Surrogate) and not isinstance(arg, Argument):
            yield arg
        yield from _nonlinear(arg)


def pre_activations(primal: Recurrence) -> dict[Target, Quantity]:
    """For each pre-activation of a normal form, the quantity whose nonlinearity reads it."""
    found: dict[Target, Quantity] = {}
    for equation in primal.equations:
        for node in walk(equation.expr):
            if isinstance(node, NONLINEAR) and isinstance(equation.target, Quantity):
                for arg in node.operands:
                    quantity = arg.quantity if isinstance(arg, At) else arg
                    if isinstance(quantity, Quantity) and quantity in primal.equation and not (isinstance(arg, At) and arg.lag):
                        found.setdefault(quantity, equation.target)
    return found


class _Normaliser:
    def __init__(self, recurrence: Recurrence) -> None:
        self.recurrence = recurrence
        self.names = Names(taken_by(recurrence))
        self.single = _arguments(recurrence) == 1
        self.meanings = dict(recurrence.meanings)
        self.quantities = list(recurrence.quantities)
        self.equations: list[Equation] = []
        self.known: dict[tuple[Node, bool], Node] = {}

    def run(self, apart: Collection[str]) -> Recurrence:
        for equation in self.recurrence.equations:
            expr = self._visit(equation.expr, equation, equation.timed)
            self.equations.append(replace(equation, expr=expr))
        defined = [e for e in self.equations if isinstance(e.target, Quantity) and e.target.name not in apart]
        known = {(At(e.target, 0) if e.timed else e.target): e.expr for e in defined}
        self.equations = [replace(e, expr=stable(e.expr, known)) for e in self.equations]
        return replace(self.recurrence, quantities=tuple(self.quantities), equations=tuple(self.equations), meanings=self.meanings)

    def _visit(self, node: Node, equation: Equation, timed: bool) -> Node:
        if isinstance(node, READS) or not node.operands:
            return node
        if isinstance(node, TimeSum):
            return self._cost(node, equation)
        if isinstance(node, Surrogate):
            mark = node.operands[2]
            inner = mark.operands[0] if isinstance(mark, Argument) else mark
            argument = self._name(self._visit(inner, equation, timed), equation, timed)
            return Surrogate(*(_unmarked(replace_nodes(part, {mark: argument})) for part in node.operands[:2]), argument)
        inside = timed and not isinstance(node, Project)  # what is projected has no step
        parts = [self._visit(arg, equation, inside) if isinstance(arg, Node) else arg for arg in node.args]
        if isinstance(node, Project) and node is not equation.expr:  # its adjoint is summed over sequences before it is projected
            return self._signal(node.func(*parts), equation, False, f"projection in {equation.target.source()}", f"{node.name}_projected")
        if isinstance(node, NONLINEAR):
            parts = [self._name(arg, equation, timed) if isinstance(arg, Node) else arg for arg in parts]
            if isinstance(node, Argument):
                return parts[0]
        return node.func(*parts)

    def _cost(self, node: TimeSum, equation: Equation) -> Node:
        body = self._visit(node.args[0], equation, True)
        if not body.shape and not isinstance(body, READS):
            target = equation.target.source()
            body = self._signal(body, equation, True, f"cost summed in {target}", "e")
        return TimeSum(body, node.window)

    def _name(self, node: Node, equation: Equation, timed: bool) -> Node:
        if isinstance(node, READS):
            return node
        owner = equation.target.quantity.name if isinstance(equation.target, Pick) else equation.target.name
        wishes = (["z"] if self.single else []) + [f"z_{owner}"]
        return self._signal(node, equation, timed, f"pre-activation of {owner}", *wishes)

    def _signal(self, node: Node, equation: Equation, timed: bool, meaning: str, *wishes: str) -> Node:
        if (node, timed) in self.known:
            return self.known[node, timed]
        name = self.names.fresh(*wishes)
        role, kind = ("signal", Kind.TIMED) if timed else ("quantity", node.kind)
        quantity = Quantity(name, role, node.shape, kind)
        owner = equation.target.quantity if isinstance(equation.target, Pick) else equation.target
        self.quantities.insert(self.quantities.index(owner), quantity)
        self.equations.append(Equation(quantity, node, equation.line))
        self.meanings[name] = meaning
        self.known[node, timed] = At(quantity, 0) if timed else quantity
        return self.known[node, timed]


def _unmarked(node: Node) -> Node:
    """The expression without marks of inlined functions: what no gradient passes has no pre-activations."""
    if isinstance(node, Argument):
        return _unmarked(node.operands[0])
    return node.func(*(_unmarked(arg) if isinstance(arg, Node) else arg for arg in node.args)) if node.operands else node
