"""Reference: Recurrence and arrays -> the value of every quantity, by executing docs/calculus.md literally.

One sequence, one step, one quantity at a time, on demand, in NumPy (float64 or complex128). Slow, short, independent of the
scheduler and of the code generator: what everything else is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

import numpy as np
import sympy as sp

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Abstract, Add, Apply, Div, MatMul, Mul, Neg, Pow, Surrogate, Transpose, Where, summands
from derive.constraints import System, system_of, systems
from derive.elementary import COMPARE, elementary
from derive.errors import RecurrenceError
from derive.fixedpoint import settle
from derive.flattening import Kron, Reshape
from derive.linearity import is_linear
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, T, ghost_at
from derive.nullspace import Nullspace
from derive.recurrence import Recurrence, Target, reads
from derive.structure import blocks

Values = Mapping[str, np.ndarray]


def evaluate(recurrence: Recurrence, values: Values, steps: int, batch: int, lengths: object = None) -> dict[str, np.ndarray]:
    """Every quantity of a recurrence: shared `dims`, sequence `(B, dims)`, timed `(T, B, dims)`, zero beyond a sequence's end.

    values: arrays by label ("W", "x", "h[0]"); lengths: (B,) or None for all `steps`.
    Raises: ValueError where a pick falls outside 1..T and nothing stands there.
    """
    return _Reference(recurrence, values, steps, batch, lengths).run()


def nullspaces(recurrence: Recurrence, values: Values) -> list[Nullspace]:
    """For each system of constraints, the directions that it allows, given the sizes and constants in `values`."""
    return [_Reference(recurrence, values, 0, 0, None).nullspace(system) for system in systems(recurrence)]


class _Reference:
    def __init__(self, recurrence: Recurrence, values: Values, steps: int, batch: int, lengths: object) -> None:
        self.recurrence, self.values, self.steps, self.batch = recurrence, values, steps, batch
        self.lengths = [steps] * batch if lengths is None else [int(n) for n in lengths]  # type: ignore[attr-defined]
        self.dtype = np.result_type(np.float64, *(np.asarray(v).dtype for v in values.values()))
        self.sizes = self._sizes()
        self.numbers: dict[tuple[object, int], float] = {}
        self.memo: dict[tuple[Target, int, int], np.ndarray] = {}
        self.steady = {m: g for block in blocks(recurrence) for g in block.groups if g.steady for m in g.members}

    def nullspace(self, system: System) -> Nullspace:
        """The directions that the constraints of a system allow."""

        def residual(values: Mapping[str, np.ndarray]) -> np.ndarray:
            trial = copy(self)
            trial.values, trial.memo = {**self.values, **values}, {}
            return np.concatenate([np.ravel(trial.eval(c.left, 0, 0) - trial.eval(c.right, 0, 0)) for c in system.constraints])

        return Nullspace({q.name: self.shape(q.shape) for q in system.parameters}, residual)

    def _sizes(self) -> dict[object, sp.Integer]:
        """Sizes by dim, from the arrays; a dim that stands only in sums or products is what is left of one."""
        axes: list[tuple[sp.Expr, int]] = []
        for quantity in self.recurrence.quantities:
            if quantity.name in self.values and quantity.role != "index":
                array = np.asarray(self.values[quantity.name])
                axes += zip(quantity.shape, array.shape[array.ndim - len(quantity.shape) :], strict=True)
        for ghost in self.recurrence.arguments:
            if ghost.source() in self.values:
                axes += zip(ghost.shape, np.shape(self.values[ghost.source()])[1:], strict=True)
        sizes: dict[object, sp.Integer] = {size: sp.Integer(length) for size, length in axes if size.is_Symbol}
        for size, length in sorted(axes, key=lambda axis: len(axis[0].free_symbols)):
            unknown = size.free_symbols - sizes.keys()
            if len(unknown) == 1:
                (dim,) = unknown
                (sizes[dim],) = sp.solve(size.xreplace(sizes) - length, dim)
        return sizes

    def number(self, value: object, row: int = 0) -> float:
        steps = self.lengths[row] if self.lengths else 0
        if (value, steps) not in self.numbers:
            self.numbers[value, steps] = float(value.xreplace({**self.sizes, T: sp.Integer(steps)}))  # type: ignore[attr-defined]
        return self.numbers[value, steps]

    def shape(self, shape: tuple) -> tuple[int, ...]:
        return tuple(int(self.number(size)) for size in shape)

    def run(self) -> dict[str, np.ndarray]:
        self._check_picks()
        result: dict[str, np.ndarray] = {}
        for quantity in self.recurrence.quantities:
            shape = self.shape(quantity.shape)
            if quantity.kind == Kind.SHARED:
                if not (quantity.role == "objective" and quantity not in self.recurrence.equation):
                    result[quantity.name] = self.value(quantity, 0, 0)
            elif quantity.kind == Kind.SEQUENCE:
                result[quantity.name] = np.array([self.value(quantity, 0, b) for b in range(self.batch)], self.dtype).reshape(
                    self.batch, *shape
                )
            else:
                array = np.zeros((self.steps, self.batch, *shape), self.dtype)
                for b in range(self.batch):
                    for t in range(1, self.lengths[b] + 1):
                        array[t - 1, b] = self.value(quantity, t, b)
                result[quantity.name] = array
        return result

    def value(self, target: Target, t: int, row: int) -> np.ndarray:
        """A quantity (at step t where it is timed) or a value outside the steps, for one sequence."""
        row = 0 if isinstance(target, Quantity) and target.kind == Kind.SHARED else row
        key = (target, t, row)
        if key not in self.memo:
            if target in self.steady:
                self._settle(self.steady[target].members, t, row)
            else:
                self.memo[key] = self._fresh(target, t, row)
        return self.memo[key]

    def _fresh(self, target: Target, t: int, row: int) -> np.ndarray:
        equation = self.recurrence.equation.get(target)
        if equation is not None:
            if equation.sums_sequences:
                return self._total(equation.expr)
            return self._spread(self.eval(equation.expr, t, row), target.shape)
        if isinstance(target, Pick) or target.name not in self.values:
            label = target.source()
            if label in self.values:
                return np.asarray(self.values[label], self.dtype)[row]
            if isinstance(target, Quantity) and target.name in self.recurrence.defaults:
                return np.asarray(float(self.recurrence.defaults[target.name]), self.dtype)
            if isinstance(target, Pick):
                return np.zeros(self.shape(target.shape), self.dtype)
            raise KeyError(label)
        array = np.asarray(self.values[target.name], self.dtype)
        if target.role == "index":  # type: ignore[union-attr]
            return (np.arange(*self.shape(target.shape)) == np.real(array[t - 1, row])).astype(self.dtype)
        return array if target.kind == Kind.SHARED else (array[row] if target.kind == Kind.SEQUENCE else array[t - 1, row])

    def _spread(self, value: np.ndarray, shape: tuple) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, self.dtype), self.shape(shape))

    def _total(self, expr: Node) -> np.ndarray:
        terms = summands(expr)
        result = np.zeros(self.shape(expr.shape), self.dtype)
        for term in terms:
            rows = range(1) if term.kind == Kind.SHARED else range(self.batch)
            for row in rows:
                result = result + self.eval(term, 0, row)
        return result

    def at(self, quantity: Quantity, position: int, row: int) -> np.ndarray:
        """A timed quantity at a position, inside the steps or outside."""
        steps = self.lengths[row]
        if 1 <= position <= steps:
            return self.value(quantity, position, row)
        if quantity.given:
            return np.zeros(self.shape(quantity.shape), self.dtype)
        return self.value(self._ghost(quantity, position, steps), 0, row)

    def _ghost(self, quantity: Quantity, position: int, steps: int) -> Pick:
        ghost = ghost_at(quantity, position, steps)
        if ghost not in self.recurrence.ghosts[quantity]:
            raise ValueError(f"{quantity.name} is read at step {position} of {steps}")
        return ghost

    def _check_picks(self) -> None:
        """Fixed steps must stand in every sequence, also where a window without steps would never read them."""
        found = (read for equation in self.recurrence.equations for read in reads(equation.expr))
        for pick in {read for read in found if isinstance(read, Pick) and not read.quantity.given}:
            for steps in {*self.lengths}:
                position = pick.offset + steps if pick.from_end else pick.offset
                if not 1 <= position <= steps:
                    self._ghost(pick.quantity, position, steps)

    def eval(self, node: Node, t: int, row: int) -> np.ndarray:
        """An expression at a step of a sequence."""
        match node:
            case Number():
                return np.asarray(self.number(node.value, row), self.dtype)
            case At():
                return self.at(node.quantity, t + node.lag, row)
            case Pick():
                steps = self.lengths[row]
                return self.at(node.quantity, node.offset + steps if node.from_end else node.offset, row)
            case Quantity():
                return self.value(node, 0, row)
            case temporal.TimeSum():
                zero = np.zeros(self.shape(node.shape), self.dtype)
                return sum((self.eval(node.args[0], s, row) for s in node.window.range(self.lengths[row])), zero)
            case temporal.Within():
                inside = t in node.window.range(self.lengths[row])
                return self.eval(node.args[0], t, row) if inside else np.zeros(self.shape(node.shape), self.dtype)
            case A.Filled():
                sizes = self.shape(tuple(node.args))
                return np.eye(sizes[0]) if isinstance(node, A.Eye) else np.full(sizes, float(isinstance(node, A.Ones)))
            case A.CrossEntropy() if isinstance(node.args[1], A.Softmax):
                d, z = self.eval(node.args[0], t, row), self.eval(node.args[1].args[0], t, row)
                return -np.sum(d * self._log_softmax(z))
        return self._operation(node, [self.eval(arg, t, row) for arg in node.operands])

    def _operation(self, node: Node, v: list[np.ndarray]) -> np.ndarray:
        match node:
            case Add():
                return sum(v[1:], v[0])
            case Neg():
                return -v[0]
            case Mul():
                return np.prod(np.stack(np.broadcast_arrays(*v)), axis=0)
            case Div():
                return v[0] / v[1]
            case Pow():
                return v[0] ** (int(node.exponent) if node.exponent.is_Integer else float(node.exponent))
            case Apply():
                return elementary(node.name, *np.broadcast_arrays(*v))
            case Where():
                return np.where(COMPARE[node.relation](np.real(v[0]), np.real(v[1])), v[2], v[3])
            case Surrogate():
                return v[0]
            case MatMul():
                return v[0] @ v[1]
            case Transpose():
                return v[0].T
            case Abstract():
                raise RecurrenceError(f"{node.name} is abstract and has no value", f"define it: {node.name} = lambda u: …")
        return self._array(node, v)

    def _array(self, node: Node, v: list[np.ndarray]) -> np.ndarray:
        match node:
            case A.Sum():
                return np.sum(v[0])
            case A.Mean():
                return np.mean(v[0])
            case A.Norm2():
                return np.sum(v[0] * v[0])
            case A.Dot():
                return np.sum(v[0] * v[1])
            case A.CrossEntropy():
                return -np.sum(v[0] * np.log(v[1]))
            case A.Softmax():
                return np.exp(self._log_softmax(v[0]))
            case A.LogSoftmax():
                return self._log_softmax(v[0])
            case A.LogSumExp():
                top = np.max(np.real(v[0]), axis=-1)
                return top + np.log(np.sum(np.exp(v[0] - top[..., None]), axis=-1))
            case A.LayerNorm():
                centred = v[0] - np.mean(v[0], axis=-1, keepdims=True)
                return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
            case A.Outer():
                return np.outer(v[0], v[1])
            case Kron():
                return np.kron(v[0], v[1])
            case Reshape():
                return v[0].reshape(self.shape(node.shape))
            case A.Concat():
                return np.concatenate(v)
            case A.Diag():
                return np.diag(v[0])
            case A.Slice():
                return v[0][tuple(slice(*map(self._index, axis)) if len(axis) == 2 else self._index(axis[0]) for axis in node.spec)]
            case A.Pad():
                out = np.zeros(self.shape(node.shape), self.dtype)
                sizes = v[0].shape or (1,)
                out[tuple(slice(self._index(s), self._index(s) + n) for (s, _), n in zip(node.spec, sizes, strict=True))] = v[0]
                return out
            case A.Project():
                return self.nullspace(system_of(self.recurrence, node.name)).project(dict(zip(node.names, v, strict=True)))[node.name]
            case temporal.StopGradient():
                return v[0]
        raise NotImplementedError(f"no value rule for {type(node).__name__}")

    def _index(self, bound: object) -> int:
        return int(self.number(bound))

    @staticmethod
    def _log_softmax(z: np.ndarray) -> np.ndarray:
        top = np.max(np.real(z), axis=-1, keepdims=True)
        return z - top - np.log(np.sum(np.exp(z - top), axis=-1, keepdims=True))

    def _settle(self, members: tuple[Target, ...], t: int, row: int) -> None:
        shapes = [self.shape(member.shape) for member in members]
        cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])

        def step(u: np.ndarray) -> np.ndarray:
            parts = np.split(u, cuts[:-1])
            self.memo.update({(m, t, row): p.reshape(s) for m, p, s in zip(members, parts, shapes, strict=True)})
            new = [np.ravel(self._fresh(m, t, row)) for m in members]
            for member in members:  # all else that was computed on the way does not depend on the trial
                del self.memo[member, t, row]
            return np.concatenate(new)

        linear = is_linear([self.recurrence.equation[m].expr for m in members], members)
        solution = settle(step, np.zeros(int(cuts[-1]), self.dtype), linear)
        for member, part, shape in zip(members, np.split(solution, cuts[:-1]), shapes, strict=True):
            self.memo[member, t, row] = part.reshape(shape)
