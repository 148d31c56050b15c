"""The calculus' nodes: operations over time and sequences, and marks that keep an expression's value.

Input: nodes. Output: nodes.
"""

from __future__ import annotations

from derive.arrays import Function
from derive.nodes import ATOM, Kind, Node, Shape, Window


class StopGradient(Function):
    """The operand's value; nothing flows back through it."""

    name = "stop_gradient"

    def infer(self) -> tuple[Shape, Kind]:
        """The operand's."""
        (a,) = self.operands
        return a.shape, a.kind


class Argument(StopGradient):
    """Marks the argument of an inlined function, which normalisation makes a signal of its own."""

    def text(self) -> str:
        """As the operand."""
        return self.args[0].source(ATOM)


class Each(StopGradient):
    """The operand, one for each sequence: a value that no sequence enters, counted once for every sequence."""

    name = "each"

    def infer(self) -> tuple[Shape, Kind]:
        """At least one for each sequence."""
        (a,) = self.operands
        return a.shape, max(a.kind, Kind.SEQUENCE)


class Windowed(Node):
    """An expression at the steps of a window."""

    @property
    def window(self) -> Window:
        """The steps."""
        return self.args[1]


class TimeSum(Windowed):
    """The sum of a timed expression over the steps of a window, for each sequence."""

    def infer(self) -> tuple[Shape, Kind]:
        """The operand's shape, one for each sequence."""
        return self.args[0].shape, Kind.SEQUENCE

    def text(self) -> str:
        """`sum(e[t] for t in steps)`."""
        return f"sum({self.args[0].source()} for t in {self.window.source()})"


class Within(Windowed):
    """An expression at the steps of a window and zero at the others."""

    def infer(self) -> tuple[Shape, Kind]:
        """The operand's shape; a value for each step."""
        return self.args[0].shape, Kind.TIMED

    def text(self) -> str:
        """`within(e[t], steps[-3:])`."""
        return f"within({self.args[0].source()}, {self.window.source()})"
