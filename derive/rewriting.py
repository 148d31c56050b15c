"""Rewriting: compositions of functions that lose digits -> the same value in a form that keeps them.

Input: an expression in normal form and what defines the quantities it reads. Output: an expression. A table, a row for each form; no
row looks at names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from derive.arithmetic import Add, Apply, Neg, is_number
from derive.arrays import CrossEntropy, LogSoftmax, Softmax
from derive.nodes import Node

Definitions = Mapping[Node, Node]  # a read at the current step -> the expression that defines it


def _cross_entropy(node: Node, known: Definitions) -> Node | None:
    """The cross entropy of a softmax, fused with it."""
    if isinstance(node, CrossEntropy) and isinstance(known.get(node.args[1]), Softmax):
        return CrossEntropy(node.args[0], known[node.args[1]])
    return None


def _log_of_softmax(node: Node, known: Definitions) -> Node | None:
    """Log softmax(z), without the exponentials that vanish."""
    defined = known.get(_argument(node, "log"))
    return LogSoftmax(defined.args[0]) if isinstance(defined, Softmax) else None


def _log_of_sigmoid(node: Node, known: Definitions) -> Node | None:
    """Log sigmoid(z) = z - softplus(z)."""
    z = _argument(known.get(_argument(node, "log")), "sigmoid")
    return Add(z, Neg(Apply("softplus", z))) if z is not None else None


def _log_of_complement(node: Node, known: Definitions) -> Node | None:
    """log(1 - sigmoid(z)) = -softplus(z)."""
    match known.get(_argument(node, "log")):
        case Add(args=(one, Neg(args=(held,)))) if is_number(one, 1):
            z = _argument(known.get(held, held), "sigmoid")
            return Neg(Apply("softplus", z)) if z is not None else None
    return None


ROWS: tuple[Callable[[Node, Definitions], Node | None], ...] = (
    _cross_entropy, _log_of_softmax, _log_of_sigmoid, _log_of_complement,
)  # fmt: skip


def _argument(node: Node | None, name: str) -> Node | None:
    """The argument of an elementwise function of that name; None for anything else."""
    return node.operands[0] if isinstance(node, Apply) and node.name == name else None


def stable(node: Node, known: Definitions) -> Node:
    """The expression with every form of the table rewritten, from the inside."""
    if node.operands:
        node = node.func(*(stable(arg, known) if isinstance(arg, Node) else arg for arg in node.args))
    return next((made for row in ROWS if (made := row(node, known)) is not None), node)
