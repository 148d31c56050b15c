"""Linearity: expressions and unknowns -> whether the expressions are affine in the unknowns, by their form."""

from __future__ import annotations

from collections.abc import Iterable

from derive.arithmetic import Add, Div, MatMul, Mul, Neg, Transpose, Where
from derive.arrays import Concat, Diag, Dot, Mean, Outer, Pad, Project, Slice, Sum
from derive.flattening import Kron, Reshape
from derive.nodes import At, Node
from derive.recurrence import Target, reads
from derive.temporal import Argument, Each, StopGradient, TimeSum, Within

LINEAR = (Add, Neg, Transpose, Concat, Diag, Mean, Sum, Pad, Slice, Reshape, Project, StopGradient, Each, Argument, TimeSum, Within)
BILINEAR = (Mul, MatMul, Dot, Outer, Kron)


def is_linear(expressions: Iterable[Node], unknowns: Iterable[Target]) -> bool:
    """Whether every expression is affine in the unknowns at the current step (other steps of them are known)."""
    names = set(unknowns)
    return all(affine_degree(expr, names) <= 1 for expr in expressions)


def reads_unknown(expr: Node, names: set[Target]) -> bool:
    """Whether an expression reads one of the unknowns at the current step."""
    return any(
        (read.quantity if isinstance(read, At) else read) in names and not (isinstance(read, At) and read.lag) for read in reads(expr)
    )


def affine_degree(node: Node, names: set[Target]) -> int:
    """0 where no unknown enters at the current step, 1 where the expression is affine in them, 2 otherwise."""
    if not node.operands:
        return int(reads_unknown(node, names))
    degrees = [affine_degree(arg, names) for arg in node.operands]
    if not any(degrees):
        return 0
    if isinstance(node, BILINEAR):
        return min(2, sum(degrees))
    if isinstance(node, Div):
        return 2 if degrees[1] else degrees[0]
    if isinstance(node, Where):
        return 2 if degrees[0] or degrees[1] else max(degrees)
    return max(degrees) if isinstance(node, LINEAR) else 2
