"""Marking: Recurrence -> Program in which whatever passes no gradient is marked, so that a framework that differentiates by itself agrees.

A Program holds values alone; `stop_gradient` and the slope of a surrogate are known to derivations. Here the first becomes an
operation, and a surrogate the value whose derivative is the chosen slope: `stop(value) + stop(slope)*(u - stop(u))`.
"""

from __future__ import annotations

from dataclasses import replace

from codegen.lower import lower
from codegen.program import Program
from derive.arithmetic import Add, Apply, Mul, Neg, Surrogate
from derive.nodes import Node
from derive.normal import normalise
from derive.recurrence import Recurrence
from derive.temporal import StopGradient

HELD = "stop_gradient"


def marked_program(recurrence: Recurrence) -> Program:
    """The forward phase of a recurrence, products apart from the loops that read them; `stop_gradient` stands where nothing flows back.

    Raises: RecurrenceError for what has no value.
    """
    primal = normalise(recurrence)
    equations = tuple(replace(equation, expr=_marked(equation.expr)) for equation in primal.equations)
    if equations == primal.equations:
        return lower(recurrence, derivatives=False, fused=False)
    program = lower(replace(primal, equations=equations), derivatives=False, fused=False)
    names = {quantity.name for quantity in recurrence.quantities}
    results = {label: buffer for label, buffer in program.results["forward"].items() if label in names}
    return replace(program, results={**program.results, "forward": results})


def _held(node: Node) -> Node:
    return Apply(HELD, node)


def _marked(node: Node) -> Node:
    """The expression with marks, from the inside."""
    if not node.operands:
        return node
    parts = [_marked(arg) if isinstance(arg, Node) else arg for arg in node.args]
    if type(node) is StopGradient:
        return _held(parts[0])
    if isinstance(node, Surrogate):
        value, slope, argument = parts
        return Add(_held(value), Mul(_held(slope), Add(argument, Neg(_held(argument)))))
    return node.func(*parts)
