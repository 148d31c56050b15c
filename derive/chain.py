"""Chain: the unrolled model -> what SymPy's scalar chain rule gives for every scalar of it.

Knows no adjoint rule of arrays, of time or of sequences: only scalar equations, their derivatives by SymPy, and reverse
accumulation over them; where scalars depend on each other in a circle, the implicit function theorem's linear system.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

import numpy as np
import sympy as sp

from derive.nodes import Number, Pick, T, ghost_at, walk
from derive.recurrence import Recurrence, Target
from derive.scalars import Graph, Scalar, Values
from derive.structure import components
from derive.unrolled import Key, Unrolled, elementwise


class Model(Unrolled):
    """The model, unrolled: every component of every quantity is a symbol of its own, with its equation in the graph."""

    def __init__(self, recurrence: Recurrence, sizes: Mapping[str, int], lengths: tuple[int, ...]) -> None:
        self.graph = Graph(Values(self._symbol))
        super().__init__(recurrence, sizes, lengths, self.graph)
        self.again: set[Key] = set()
        for target in (*recurrence.quantities, *(ghost for ghosts in recurrence.ghosts.values() for ghost in ghosts)):
            if isinstance(target, Pick) and target.quantity.given:
                continue
            for key in self.instances(target):
                self.value(target, *key[1:])

    def _symbol(self, name: str) -> sp.Symbol:
        return sp.Symbol(f"{name} {len(self.graph.values.table)}")

    def value(self, target: Target, t: int, row: int) -> np.ndarray:
        """As Unrolled, noting what is read before it has its equation: the unknowns of steady states."""
        found = super().value(target, t, row)
        self.again |= self.running & {(target.source(), t, row), (target.source(), 0, row), (target.source(), 0, 0)}
        return found

    def compute(self, target: Target, key: Key) -> None:
        """Symbols first, then their equations."""
        self.memo[key] = elementwise(lambda symbol: self.graph.leaf(symbol.name), self.symbols(key, target))
        if target in self.recurrence.equation:
            self.running.add(key)
            made = self.right_side(target, key)
            self.running.discard(key)
            for index, symbol in np.ndenumerate(self.memo[key]):
                self.graph.define(symbol, made[index], key in self.again)

    def values(self, key: Key) -> np.ndarray:
        """What a quantity's symbols stand for."""
        return elementwise(self.graph.resolved, self.memo[key])


class Point:
    """Random rational numbers for the free symbols of a model, and what follows for the others by their equations.

    sparse: symbols that are zero half of the time, as in a mask.
    """

    def __init__(self, graph: Graph, seed: int, sparse: Iterable[sp.Symbol] = ()) -> None:
        self.graph, self.random, self.sparse = graph, random.Random(seed), frozenset(sparse)
        self.numbers: dict[Scalar, sp.Rational] = {}
        self.values = Values(lambda name: self.draw(), form=lambda x: x)
        self.origin = {symbol: key for key, symbol in graph.values.table.items() if symbol not in graph.values.renamed}
        for key, symbol in graph.values.table.items():
            if symbol in graph.values.renamed:
                self.values.table[self._key(key)] = self.number(graph.values.renamed[symbol])

    def draw(self) -> sp.Rational:
        """A number that is not zero."""
        return sp.Rational(self.random.choice((-1, 1)) * self.random.randint(1, 99), self.random.randint(1, 9))

    def number(self, symbol: Scalar) -> sp.Rational:
        """The value of a symbol."""
        if symbol not in self.numbers:
            if symbol in self.graph.formula:
                made = self.of(self.graph.formula[symbol])
            elif symbol in self.origin:
                made = self._origin(self.origin[symbol])
            else:
                made = sp.S.Zero if symbol in self.sparse and self.random.random() < 0.5 else self.draw()
            self.numbers[symbol] = made
        return self.numbers[symbol]

    def _key(self, key: tuple) -> tuple:
        return tuple(self.of(part) if isinstance(part, sp.Expr) else part for part in key)

    def _origin(self, key: tuple) -> sp.Rational:
        name, *arguments = self._key(key)
        if name in ("positive", "zero"):
            return self.values.signs(arguments[0])[name == "zero"]
        return self.values.lookup(name, *arguments)

    def of(self, expr: Scalar) -> sp.Rational:
        """The value of an expression. Raises: ZeroDivisionError where it has none."""
        made = expr.xreplace({symbol: self.number(symbol) for symbol in sorted(expr.free_symbols, key=str)})
        if not made.is_Rational:
            raise ZeroDivisionError(f"{expr} has no value at this point")
        return made

    def array(self, values: np.ndarray) -> np.ndarray:
        """The values of an array."""
        return elementwise(self.of, values)


class Chain:
    """Reverse accumulation.

    seeds: symbol -> the objective's direct derivative; known: symbol -> a name for its derivative.

    Only scalars that lead to a seed count as readers: what the objective does not depend on has the derivative zero.
    """

    def __init__(self, graph: Graph, seeds: Mapping[sp.Symbol, Scalar], known: Mapping[sp.Symbol, sp.Symbol]) -> None:
        self.seeds, self.known = seeds, known
        self.readers: dict[sp.Symbol, list[tuple[sp.Symbol, Scalar]]] = {symbol: [] for symbol in graph.inputs}
        reached = leading(graph, seeds)
        for reader, inputs in graph.inputs.items():
            for read, derivative in inputs if reader in reached else ():
                self.readers[read].append((reader, graph.resolved(derivative)))
        self.memo: dict[sp.Symbol, Scalar | None] = {}

    def derivative(self, symbol: sp.Symbol) -> Scalar:
        """The objective's derivative by a scalar, in terms of the known names.

        Raises: ValueError on a cycle without a name.
        """
        if symbol in self.known:
            return self.known[symbol]
        if symbol not in self.memo:
            self.memo[symbol] = None
            self.memo[symbol] = self.sum(symbol)
        found = self.memo[symbol]
        if found is None:
            raise ValueError(f"{symbol} lies on a cycle whose derivatives have no name")
        return found

    def sum(self, symbol: sp.Symbol) -> Scalar:
        """The chain rule: a scalar's own seed, and what each of its readers sends back."""
        sent = (factor * self.derivative(reader) for reader, factor in self.readers[symbol])
        return sp.Add(self.seeds.get(symbol, sp.S.Zero), *sent)

    def solve(self, point: Point) -> dict[sp.Symbol, sp.Rational]:
        """Every derivative at a point, in exact numbers."""
        found: dict[sp.Symbol, sp.Rational] = {}
        factors = {read: [(reader, point.of(f)) for reader, f in edges] for read, edges in self.readers.items()}
        for members in components({read: [reader for reader, _ in edges] for read, edges in factors.items()}):
            own = [point.of(self.seeds.get(m, sp.S.Zero)) for m in members]
            outer = [
                sp.Add(o, *(f * found[r] for r, f in factors[m] if r in found))
                for o, m in zip(own, members, strict=True)
            ]
            place = {m: i for i, m in enumerate(members)}
            matrix = sp.eye(len(members))
            for m in members:
                for reader, factor in factors[m]:
                    if reader in place:
                        matrix[place[m], place[reader]] -= factor
            solution = outer if matrix == sp.eye(len(members)) else list(matrix.LUsolve(sp.Matrix(outer)))
            found.update(zip(members, solution, strict=True))
        return found


def leading(graph: Graph, seeds: Iterable[sp.Symbol]) -> set[sp.Symbol]:
    """The scalars on which one of the seeds depends."""
    reached, stack = set(seeds), list(seeds)
    while stack:
        found = {read for read, _ in graph.inputs[stack.pop()]} - reached
        reached |= found
        stack += found
    return reached


def reach(recurrence: Recurrence) -> int:
    """The least number of steps at which every fixed step that is read lies within them."""
    return max((1 - p.offset if p.from_end else p.offset for p in _picks(recurrence)), default=1)


def shortest(recurrence: Recurrence) -> int:
    """The least number of steps at which every fixed step that is read has a value; not zero where T is a number."""
    uses = any(isinstance(n, Number) and n.value.has(T) for e in recurrence.equations for n in walk(e.expr))
    steps = int(uses)
    while any(not _stands(recurrence, p, steps) for p in _picks(recurrence)):
        steps += 1
    return steps


def _picks(recurrence: Recurrence) -> list[Pick]:
    return [n for e in recurrence.equations for n in walk(e.expr) if isinstance(n, Pick) and not n.outside]


def _stands(recurrence: Recurrence, pick: Pick, steps: int) -> bool:
    position = pick.offset + steps if pick.from_end else pick.offset
    return 1 <= position <= steps or pick.quantity.given or ghost_at(pick.quantity, position, steps) in recurrence.ghosts[pick.quantity]
