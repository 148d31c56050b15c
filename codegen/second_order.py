"""Second order: a kernel, values and a direction -> products with its Jacobian, its Hessian or its Gauss-Newton matrix.

Each product is computed by a kernel of its own (`Kernel.products`), derived from the same recurrence; its arguments are those of the
recurrence and their directions. Derives nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from codegen.run import Run, asked_for

if TYPE_CHECKING:
    from codegen.kernel import Kernel

# What a product's kernel calls a direction and a product, beside the labels of the recurrence.
DIRECTION, PRODUCT = "the direction at {}", "the product at {}"


class Tangents(NamedTuple):
    """A Jacobian-vector product. value: the objective, summed over sequences; derivative: its derivative along the direction (both None
    where there is no objective); tangents: by the names of signals and quantities, shaped as they are."""  # noqa: D205, D209

    value: float | None
    derivative: float | None
    tangents: dict[str, np.ndarray]


def jvp(kernel: Kernel, values: Mapping[str, object], direction: Mapping[str, object], steps: int | None, batch: int | None) -> Tangents:
    """The objective, its derivative along a direction, and the tangents of all signals. Raises: as `Kernel.forward`."""
    run, aim = _run(kernel, "jvp", values, direction, steps, batch), kernel.program.objective
    tangents = {name: run[PRODUCT.format(name)] for name in kernel.program.results["forward"] if name != aim}
    return Tangents(None, None, tangents) if aim is None else Tangents(run.value, run[PRODUCT.format(aim)], tangents)


def product(
    kernel: Kernel, name: str, values: Mapping[str, object], direction: Mapping[str, object], wrt: Iterable[str] | None,
    steps: int | None, batch: int | None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The product of a matrix with a direction at every differentiable label, or those in `wrt`.

    Raises: as `Kernel.forward`; as `asked_for` for the labels.
    """
    wanted = asked_for(kernel.program.results["gradient"], wrt)
    run = _run(kernel, name, values, direction, steps, batch)
    return {label: run[PRODUCT.format(label)] for label in wanted}


def _run(
    kernel: Kernel, name: str, values: Mapping[str, object], direction: Mapping[str, object], steps: int | None, batch: int | None
) -> Run:
    """The run of a product's kernel."""
    if kernel.products is None:
        raise ValueError(f"this kernel of {kernel.program.name} has no second derivatives; make one with codegen.compile")
    known = kernel.program.results["pullback"]
    for label in direction:
        if label not in known:
            raise ValueError(f"there is no direction at {label!r}; there are {', '.join(known)}")
    kernel._arguments.require_known(values)
    moves = {DIRECTION.format(label): array for label, array in direction.items()}
    return kernel.products(name).forward({**values, **moves}, steps=steps, batch=batch)
