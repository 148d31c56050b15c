"""Contributions: how an expression reaches an adjoint of another kind, and what it may read instead of computing again.

Input: expressions. Output: expressions.
"""

from __future__ import annotations

from collections.abc import Mapping

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Add
from derive.nodes import At, Kind, Node, Pick, Quantity, Window
from derive.normal import NONLINEAR
from derive.recurrence import Recurrence


def time_sum(value: Node) -> Node:
    """The sum over steps; a window outermost becomes the sum's."""
    if isinstance(value, temporal.Within):
        return temporal.TimeSum(value.args[0], value.window)
    return temporal.TimeSum(value, Window())


def lifted(value: Node) -> Node:
    """A contribution made once for each sequence, though a total would count its shared terms once."""
    if isinstance(value, Add):
        return Add(*(lifted(term) for term in value.args))
    return temporal.Each(value) if value.kind == Kind.SHARED else value


def function_values(primal: Recurrence) -> dict[Node, Node]:
    """For each function value that is a quantity by itself, the read of that quantity."""
    defined = [equation for equation in primal.equations if isinstance(equation.target, Quantity)]
    reads = {e.expr: At(e.target, 0) if e.target.kind == Kind.TIMED else e.target for e in defined}
    return {expr: read for expr, read in reads.items() if isinstance(expr, NONLINEAR) and expr.kind == read.kind}


def reuse(node: Node, outputs: Mapping[Node, Node]) -> Node:
    """The expression with function values that some signal already holds replaced by reads of that signal."""
    if node in outputs:
        return outputs[node]
    if isinstance(node, (At, Pick, Quantity)) or not node.operands:
        return node
    if isinstance(node, A.CrossEntropy):
        return node
    return node.func(*(reuse(arg, outputs) if isinstance(arg, Node) else arg for arg in node.args))
