"""Parts: nodes that only lowering needs, for what functions of vectors and matrices are computed from."""

from __future__ import annotations

from codegen.element import Index
from derive import arrays as A
from derive.arithmetic import MatMul, joint_kind
from derive.nodes import Kind, Shape


def is_scaling(node: MatMul) -> bool:
    """Whether a product is one with a diagonal matrix, made of a vector: nothing is summed."""
    left, right = node.args
    return any(isinstance(side, A.Diag) and len(side.shape) == 2 for side in (left, right))


class Blocks(A.Function):
    """A Kronecker product before its axes are joined: an axis for each axis of the factors."""

    name = "blocks"

    def infer(self) -> tuple[Shape, Kind]:
        """Rows of the one and of the other, then columns of the one and of the other; vectors have no rows."""
        first, second = (arg.shape for arg in self.operands)
        shape = (*first[:-1], *second[:-1], first[-1], second[-1])
        return shape, joint_kind(self.operands)

    def split(self, index: Index) -> tuple[Index, Index]:
        """The indices of the factors."""
        rows = [len(arg.shape) - 1 for arg in self.operands]
        return (*index[: rows[0]], index[-2]), (*index[rows[0] : sum(rows)], index[-1])


class RowReduction(A.LogSumExp):
    """A reduction along the last axis."""


class RowMax(RowReduction):
    """The maximum."""


class RowSumExp(RowReduction):
    """Σ exp(a - max a)."""


class RowSum(RowReduction):
    """The sum."""


class RowScatter(RowReduction):
    """Σ (a - mean a)²."""
