"""Unrolled: Recurrence and sizes -> every component of every quantity at every step as a scalar expression.

Executes docs/calculus.md literally, one sequence, one step, one quantity at a time, on arrays of SymPy scalars. What
functions are is asked of `scalars`; what a cycle without lag means is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import sympy as sp

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Abstract, Add, Apply, Div, MatMul, Mul, Neg, Pow, Surrogate, Transpose, Where, summands
from derive.constraints import system_of
from derive.exact import ExactProjector
from derive.flattening import Kron, Reshape
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, T, ghost_at
from derive.recurrence import Recurrence, Target
from derive.scalars import Graph, Scalar, Values

Key = tuple[str, int, int]


def array(value: object) -> np.ndarray:
    """An array of scalars."""
    return np.asarray(value, dtype=object)


def elementwise(function: Callable[..., Scalar], *arrays: np.ndarray) -> np.ndarray:
    """A function of scalars, applied to every component of arrays of one shape or scalars."""
    return array(np.frompyfunc(function, len(arrays), 1)(*arrays))


def rows(function: Callable[[list[Scalar]], object], operand: np.ndarray) -> np.ndarray:
    """A function of vectors, applied along the last axis."""
    if operand.ndim == 1:
        return array(function(list(operand)))
    return array([function(list(row)) for row in operand])


class Unrolled:
    """A recurrence on scalars. memo: (name as written, step or 0, sequence or 0) -> array; `given` fills it beforehand.

    sizes: dim -> length; lengths: number of steps of each sequence.
    Raises: ValueError where a pick falls outside 1..T and nothing stands there, or on a cycle.
    """

    def __init__(
        self, recurrence: Recurrence, sizes: Mapping[str, int], lengths: tuple[int, ...], scalars: Graph | Values
    ) -> None:
        self.recurrence, self.lengths, self.scalars = recurrence, lengths, scalars
        self.sizes = {sp.Symbol(name, integer=True, positive=True): sp.Integer(size) for name, size in sizes.items()}
        self.memo: dict[Key, np.ndarray] = {}
        self.running: set[Key] = set()

    # -- quantities

    def instances(self, target: Target) -> list[Key]:
        """The keys of a quantity or of a value outside the steps."""
        name = target.source()
        if target.kind == Kind.SHARED:
            return [(name, 0, 0)]
        if target.kind == Kind.SEQUENCE:
            return [(name, 0, row) for row in range(len(self.lengths))]
        return [(name, t, row) for row, steps in enumerate(self.lengths) for t in range(1, steps + 1)]

    def value(self, target: Target, t: int, row: int) -> np.ndarray:
        """A quantity (at step t where it is timed) or a value outside the steps, for one sequence."""
        key = (target.source(), t if target.kind == Kind.TIMED else 0, 0 if target.kind == Kind.SHARED else row)
        if key not in self.memo:
            self.compute(target, key)
        return self.memo[key]

    def compute(self, target: Target, key: Key) -> None:
        """Fill the memo for a key."""
        if target not in self.recurrence.equation:
            self.memo[key] = self.symbols(key, target)
            return
        if key in self.running:
            raise ValueError(f"{key[0]} reads itself at step {key[1]}")
        self.running.add(key)
        self.memo[key] = self.right_side(target, key)
        self.running.discard(key)

    def right_side(self, target: Target, key: Key) -> np.ndarray:
        """The value of the right side of a target's equation."""
        equation = self.recurrence.equation[target]
        if equation.sums_sequences:
            terms = summands(equation.expr)
            result = self.zeros(equation.expr.shape)
            for term in terms:
                for row in range(1 if term.kind == Kind.SHARED else len(self.lengths)):
                    result = array(result + self.eval(term, 0, row))
        else:
            result = self.eval(equation.expr, *key[1:])
        return np.broadcast_to(array(result), self.shape(target.shape))

    def given(self, values: Mapping[str, np.ndarray]) -> Unrolled:
        """The same recurrence for given values of some shared quantities, constants as they are here."""
        plain = self.scalars.values if isinstance(self.scalars, Graph) else self.scalars
        other = Unrolled(self.recurrence, {}, self.lengths, plain)
        other.sizes = self.sizes
        other.memo = {(q.name, 0, 0): self.value(q, 0, 0) for q in self.recurrence.of_role("constant")}
        other.memo.update(((name, 0, 0), value) for name, value in values.items())
        return other

    def symbols(self, key: Key, target: Target) -> np.ndarray:
        """An array of new symbols for something that nothing defines."""
        shape = self.shape(target.shape)
        made = [sp.Symbol(f"{key[0]}@{key[1]}.{key[2]}{list(index)}") for index in np.ndindex(*shape)]
        return array(made).reshape(shape)

    def number(self, value: sp.Expr, row: int = 0) -> sp.Rational:
        """A number, a dim or T of one sequence."""
        return value.xreplace({**self.sizes, T: sp.Integer(self.lengths[row])})

    def shape(self, shape: tuple) -> tuple[int, ...]:
        """Sizes as integers."""
        return tuple(int(self.number(size)) for size in shape)

    def zeros(self, shape: tuple) -> np.ndarray:
        """Zeros of a shape."""
        return np.full(self.shape(shape), sp.S.Zero, dtype=object)

    def at(self, quantity: Quantity, position: int, row: int) -> np.ndarray:
        """A timed quantity at a position, inside the steps or outside."""
        steps = self.lengths[row]
        if 1 <= position <= steps:
            return self.value(quantity, position, row)
        if quantity.given:
            return self.zeros(quantity.shape)
        ghost = ghost_at(quantity, position, steps)
        if ghost not in self.recurrence.ghosts[quantity]:
            raise ValueError(f"{quantity.name} is read at step {position} of {steps}")
        return self.value(ghost, 0, row)

    # -- expressions

    def eval(self, node: Node, t: int, row: int) -> np.ndarray:
        """An expression at a step of a sequence."""
        match node:
            case Number():
                return array(self.number(node.value, row))
            case At():
                return self.at(node.quantity, t + node.lag, row)
            case Pick():
                return self.at(node.quantity, node.offset + (self.lengths[row] if node.from_end else 0), row)
            case Quantity():
                return self.value(node, 0, row)
            case temporal.TimeSum():
                parts = [self.eval(node.args[0], s, row) for s in node.window.range(self.lengths[row])]
                return array(sum(parts, self.zeros(node.shape)))
            case temporal.Within():
                inside = t in node.window.range(self.lengths[row])
                return self.eval(node.args[0], t, row) if inside else self.zeros(node.shape)
            case A.Eye():
                return array(sp.eye(*self.shape(tuple(node.args))[:1]).tolist())
            case A.Filled():
                return self.zeros(tuple(node.args)) + int(isinstance(node, A.Ones))
            case A.CrossEntropy() if isinstance(node.args[1], A.Softmax):
                d, z = self.eval(node.args[0], t, row), self.eval(node.args[1].args[0], t, row)
                return array(-np.sum(d * self._log_softmax(z)))
        return array(self._operation(node, [self.eval(arg, t, row) for arg in node.operands]))

    def _operation(self, node: Node, v: list[np.ndarray]) -> object:
        match node:
            case Add():
                return sum(v[1:], v[0])
            case Neg():
                return -v[0]
            case Mul():
                result = v[0]
                for factor in v[1:]:
                    result = result * factor
                return result
            case Div():
                return v[0] / v[1]
            case Pow():
                return self._power(v[0], node.exponent)
            case Apply():
                return self._apply(node.name, *v)
            case Abstract():
                return elementwise(lambda x: self.scalars.call(f"abstract {node.name}{chr(39) * node.order}", x), v[0])
            case Where():
                return elementwise(lambda a, b, x, y: self._choose(node.relation, a - b, x, y), *v)
            case Surrogate():
                return elementwise(self.scalars.surrogate, *v)
            case MatMul():
                return v[0] @ v[1]
            case Transpose():
                return v[0].T
        return self._array(node, v)

    def _power(self, base: np.ndarray, exponent: sp.Rational) -> object:
        if exponent.is_Integer:
            return elementwise(lambda x: x**exponent, base)
        if exponent.q != 2:
            raise NotImplementedError(f"the proof has no derivative rule for the power {exponent}")
        whole = sp.floor(exponent)
        return elementwise(lambda x: self.scalars.call("root", x) * x**whole, base)

    def _apply(self, name: str, *v: np.ndarray) -> object:
        signs = self.scalars.signs
        match name:
            case "relu":
                return elementwise(lambda x: signs(x)[0] * x, *v)
            case "sign":
                return elementwise(self._sign, *v)
            case "abs":
                return elementwise(lambda x: self._sign(x) * x, *v)
            case "maximum":
                return elementwise(lambda a, b: (a + b) / 2 + self._sign(a - b) * (a - b) / 2, *v)
            case "minimum":
                return elementwise(lambda a, b: (a + b) / 2 - self._sign(a - b) * (a - b) / 2, *v)
        return elementwise(lambda x: self.scalars.call(name, x), *v)

    def _sign(self, x: Scalar) -> Scalar:
        positive, zero = self.scalars.signs(x)
        return 2 * positive + zero - 1

    def _choose(self, relation: str, difference: Scalar, x: Scalar, y: Scalar) -> Scalar:
        positive, zero = self.scalars.signs(difference)
        yes = {
            "<": 1 - positive - zero,
            "<=": 1 - positive,
            ">": positive,
            ">=": positive + zero,
            "==": zero,
            "!=": 1 - zero,
        }[relation]
        return yes * x + (1 - yes) * y

    def _array(self, node: Node, v: list[np.ndarray]) -> object:
        match node:
            case A.Sum():
                return np.sum(v[0])
            case A.Mean():
                return np.sum(v[0]) / v[0].size
            case A.Norm2():
                return np.sum(v[0] * v[0])
            case A.Dot():
                return np.sum(v[0] * v[1])
            case A.CrossEntropy():
                return -np.sum(v[0] * elementwise(lambda y: self.scalars.call("log", y), v[1]))
            case A.Softmax():
                return rows(self.scalars.softmax, v[0])
            case A.LogSoftmax():
                return self._log_softmax(v[0])
            case A.LogSumExp():
                return rows(self.scalars.logsumexp, v[0])
            case A.LayerNorm():
                return rows(self.scalars.layer_norm, v[0])
            case A.Outer():
                return np.outer(v[0], v[1])
            case Kron():
                return np.kron(*v)
            case Reshape():
                return v[0].reshape(self.shape(node.shape))
            case A.Concat():
                return np.concatenate(v)
            case A.Diag():
                return np.diag(v[0]) if v[0].ndim == 2 else self._diagonal(v[0])
            case A.Slice():
                return v[0][
                    tuple(
                        slice(*map(self._index, axis)) if len(axis) == 2 else self._index(axis[0]) for axis in node.spec
                    )
                ]
            case A.Pad():
                out = self.zeros(node.shape)
                sizes = v[0].shape or (1,)
                out[
                    tuple(slice(self._index(s), self._index(s) + n) for (s, _), n in zip(node.spec, sizes, strict=True))
                ] = v[0]
                return out
            case A.Project():
                projector = ExactProjector(self, system_of(self.recurrence, node.name))
                return projector.project(dict(zip(node.names, v, strict=True)))[node.name]
            case temporal.Each():
                return v[0]
            case temporal.StopGradient():
                return elementwise(self.scalars.stop, v[0])
        raise NotImplementedError(f"the proof has no value rule for {type(node).__name__}")

    def _index(self, bound: sp.Expr) -> int:
        return int(self.number(bound))

    @staticmethod
    def _diagonal(v: np.ndarray) -> np.ndarray:
        out = np.full((v.size, v.size), sp.S.Zero, dtype=object)
        np.fill_diagonal(out, v)
        return out

    def _log_softmax(self, z: np.ndarray) -> np.ndarray:
        return rows(lambda row: array(row) - self.scalars.logsumexp(row), z)
