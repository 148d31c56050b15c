"""Refusals: what references for peers do not cover, in the user's names."""

from __future__ import annotations

from collections.abc import Mapping

from codegen.program import Program, Projection, solves
from codegen.statements import Accumulate


def check_covered(program: Program, sizes: Mapping[str, int]) -> None:
    """Raises: ValueError naming what is not covered."""
    forward = program.phases["forward"]
    for action in forward.actions:
        for solve in solves(action):
            names = ", ".join(program.buffers[name].label or name for name in solve.names)
            raise ValueError(f"{names} is a steady state, which references for JAX and PyTorch do not cover; compare with numpy")
        if isinstance(action, Projection):
            raise ValueError("project(…) is not covered by references for JAX and PyTorch; compare with numpy")
    for statement in forward.statements():
        if isinstance(statement, Accumulate) and statement.place:
            problem = "a sum at places that an index input chooses is not covered by references for JAX and PyTorch"
            raise ValueError(f"{problem}; compare with numpy")
    if sizes.get("T", 1) < 1 or sizes.get("B", 1) < 1:
        raise ValueError("references for JAX and PyTorch need at least one step and one sequence")
