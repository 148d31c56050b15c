"""The share of one path by itself, without any derivative rule: complex steps through the model's equations, all else held."""

from __future__ import annotations

import numpy as np

from derive.nodes import Kind, Node
from derive.reference import _Reference
from derive.unfolding.links import Instance
from derive.unfolding.paths import Path, Unfolding

STEP = 1e-30


class OneRead(_Reference):
    """The model at given values, where one instance is read as another value than it has."""

    def __init__(self, base: _Reference, instance: Instance, value: np.ndarray) -> None:
        self.__dict__.update(base.__dict__)
        self.base, self.instance, self.changed = base, instance, value

    def value(self, target, t, row):
        return self.changed if (target, t) == self.instance else self.base.value(target, t, row)


class OneUse(_Reference):
    """The model with a parameter of its own at one step."""

    def __init__(self, *arguments: object, parameter: Node, step: int, value: np.ndarray) -> None:
        super().__init__(*arguments)
        self.parameter, self.step, self.changed = parameter, step, value

    def eval(self, node, t, row):
        return self.changed if node == self.parameter and t == self.step else super().eval(node, t, row)


def base_of(unfolding: Unfolding, values: dict[str, np.ndarray], batch: int) -> _Reference:
    complexes = {name: np.asarray(value, complex) for name, value in values.items()}
    return _Reference(unfolding.derivation.primal, complexes, unfolding.steps, batch, None)


def along(unfolding: Unfolding, path: Path, base: _Reference, row: int, index: tuple[int, ...]) -> float:
    """The derivative of a sequence's objective by one entry, through this path alone: every equation on it is evaluated with nothing
    changed but the value before it on the path."""
    goal = path.places[-1]
    value = np.array(base.value(goal.target, goal.step, row), complex)
    value[index] += STEP * 1j
    for before, reader in zip(path.places[:0:-1], path.places[-2::-1], strict=True):
        expr = unfolding.derivation.primal.equation[reader.target].expr
        value = OneRead(base, before, value).eval(expr, reader.step, row)
    return float(np.imag(value) / STEP)


def shares_along(unfolding: Unfolding, path: Path, values: dict[str, np.ndarray], batch: int) -> np.ndarray:
    """Every entry of a path's share, summed over sequences for parameters."""
    base, goal = base_of(unfolding, values, batch), path.places[-1].target
    shape = base.shape(goal.shape)
    entries = [[along(unfolding, path, base, row, index) for index in np.ndindex(shape)] for row in range(batch)]
    found = np.array(entries).reshape(batch, *shape)
    return found.sum(axis=0) if goal.kind == Kind.SHARED else found


def shares_of_steps(unfolding: Unfolding, source: int, acts: int, values: dict[str, np.ndarray], batch: int) -> np.ndarray:
    """The derivative of the cost of one step by the parameter as it is at another, with nothing else changed: all paths between."""
    complexes = {name: np.asarray(value, complex) for name, value in values.items()}
    primal, parameter = unfolding.derivation.primal, unfolding.entry.target
    cost = next(path.places[1] for path in unfolding.paths if path.source == source)
    found = np.zeros(values[parameter.name].shape)
    for index in np.ndindex(found.shape):
        changed = complexes[parameter.name].copy()
        changed[index] += STEP * 1j
        run = OneUse(primal, complexes, unfolding.steps, batch, None, parameter=parameter, step=acts, value=changed)
        found[index] = sum(float(np.imag(run.value(cost.target, source, row))) / STEP for row in range(batch))
    return found
