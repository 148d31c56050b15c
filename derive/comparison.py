"""Comparison: Derivation and sizes -> which gradients equal what the scalar chain rule gives, and which do not.

By equations: each adjoint of the model's quantities has one symbol on both sides, and every derived equation must
equal the chain rule's. Then both are one linear system, and its solutions agree. By points: both sides as wholes, at
random rational numbers, each gradient compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, product

import numpy as np
import sympy as sp

from derive.chain import Chain, Model, Point, leading
from derive.constraints import System, systems
from derive.derivation import Derivation
from derive.errors import RecurrenceError
from derive.exact import ExactProjector
from derive.nodes import Kind, Quantity, quantity_of
from derive.recurrence import Recurrence, Target
from derive.scalars import Scalar
from derive.structure import blocks
from derive.unrolled import Key, Unrolled, array, elementwise

POINTS = 3
SWOLLEN = 4000  # operations beyond which a difference is not cancelled but evaluated
CASES = 4  # comparisons of one difference that are treated by cases; beyond, it is evaluated


@dataclass(frozen=True, slots=True)
class Failure:
    """A difference that is not zero.

    label: of which gradient; index: its step (from 1), sequence (from 0) and component (from 0), as far as there are
    any.
    """

    label: str
    index: tuple[int, ...]
    problem: str

    def __str__(self) -> str:
        """`W[0, 1]: the derived value is …`."""
        place = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return f"{self.label}{place}: {self.problem}"


class Solved(Unrolled):
    """The derived system on numbers; its cycles without lag are solved as linear systems.

    Raises: RecurrenceError where no order of steps computes it; ValueError where a cycle is not linear or has not one
    solution.
    """

    def __init__(
        self, recurrence: Recurrence, sizes: Mapping[str, int], lengths: tuple[int, ...], point: Point
    ) -> None:
        super().__init__(recurrence, sizes, lengths, point.values)
        groups = [group for block in blocks(recurrence) for group in block.groups if group.steady]
        self.steady = {member: group for group in groups for member in group.members}

    def compute(self, target: Target, key: Key) -> None:
        """Fill the memo for a key, or for the whole cycle that it is part of."""
        if target not in self.steady:
            super().compute(target, key)
            return
        members = self.steady[target].members
        keys = [(m.source(), *key[1:]) for m in members]
        unknown = [self.symbols(k, m) for m, k in zip(members, keys, strict=True)]
        self.memo.update(zip(keys, unknown, strict=True))
        sides = [self.right_side(m, k) - u for m, k, u in zip(members, keys, unknown, strict=True)]
        symbols = [s for u in unknown for s in u.ravel()]
        matrix, constant = sp.linear_eq_to_matrix([x for side in sides for x in np.ravel(side)], symbols)
        solution = dict(zip(symbols, matrix.LUsolve(constant), strict=True))
        for k, u in zip(keys, unknown, strict=True):
            self.memo[k] = array([solution[s] for s in u.ravel()]).reshape(u.shape)


class Comparison:
    """The unrolled model with the chain rule over its scalars on one side, the derived equations on the other."""

    def __init__(self, derivation: Derivation, sizes: Mapping[str, int], lengths: tuple[int, ...]) -> None:
        self.derivation, self.sizes, self.lengths = derivation, sizes, lengths
        self.model = Model(derivation.primal, sizes, lengths)
        self.graph = self.model.graph
        self.system = Unrolled(derivation.recurrence, sizes, lengths, self.graph.values)
        self.system.memo.update((key, self.model.values(key)) for key in self.model.memo)
        self.cotangents = self._cotangents()
        self.system.memo.update((key, symbols) for key, symbols, _ in self.cotangents)
        pairs = [
            pair for _, seeds, owners in self.cotangents for pair in zip(owners.ravel(), seeds.ravel(), strict=True)
        ]
        self.seeds: dict[sp.Symbol, Scalar] = dict(pairs)
        if not derivation.cotangents and derivation.primal.objective:
            self.seeds[self.model.memo[derivation.primal.objective.name, 0, 0][()]] = sp.S.One
        self.given = dict(self.system.memo)
        self.constrained = systems(derivation.source)
        constants = derivation.primal.of_role("constant") if self.constrained else ()
        self.sparse = [symbol for q in constants if q.shape for symbol in self.model.memo[q.name, 0, 0].ravel()]
        self.targets = {target.source(): target for target in derivation.adjoints}

    def _cotangents(self) -> list[tuple[Key, np.ndarray, np.ndarray]]:
        """The generated inputs that stand for derivatives of the objective: key, symbols, and by which symbols."""
        found = []
        for name, seed in self.derivation.cotangents.items():
            owners = self.model.instances(self.derivation.primal.named[name])
            for key, owner in zip(self.model.instances(seed), owners, strict=True):
                found.append((key, self.system.symbols(key, seed), self.model.memo[owner]))
        return found

    def changed(self) -> Iterator[Failure]:
        """Equations of the model that the derived system does not have as they were."""
        derived = {e.target.source(): e.expr for e in self.derivation.recurrence.equations}
        aim = self.derivation.primal.objective
        for equation in self.derivation.primal.equations:
            name = equation.target.source()
            dropped = name not in derived and aim is not None and aim.name == name and bool(self.derivation.cotangents)
            if not dropped and derived.get(name) != equation.expr:
                yield Failure(name, (), "the derived system has another equation than the model")

    # -- by equations

    def cancelled(self) -> set[str]:
        """The gradients whose differences cancel by themselves; none where that of some adjoint does not."""
        hints = self._named()
        reached, known, symbols = leading(self.graph, self.seeds), {}, {}
        for target, quantity in hints.items():
            for own, key in zip(self.model.instances(target), self.system.instances(quantity), strict=True):
                names = self.system.symbols(key, quantity)
                for index, symbol in np.ndenumerate(self.model.memo[own]):
                    names[index] = known[symbol] = names[index] if symbol in reached else sp.S.Zero
                symbols[key] = names
        self.system.memo = {**self.given, **symbols}
        chain = Chain(self.graph, self.seeds, known)
        labels = self.derivation.gradients
        try:
            if not all(self._equal(target, q, chain) for target, q in hints.items() if target.source() not in labels):
                return set()
            free = {label: self.derivation.total(label) for label in labels}
            equal = {label for label, q in free.items() if self._equal(self.targets[label], q, chain)}  # type: ignore[arg-type]
        except ValueError:
            return set()
        for system in self.constrained:
            bound = {parameter.name for parameter in system.parameters}
            if not (bound <= equal and self._projected(system)):
                equal -= bound
        return equal

    def _projected(self, system: System) -> bool:
        """Whether the derived gradients of a system's parameters are what its matrix makes of the unprojected ones."""
        try:
            projector = ExactProjector(self.system, system)
        except ValueError:
            return False  # with constants in it, the matrix is compared at points
        names, derivation = [parameter.name for parameter in system.parameters], self.derivation
        wanted = projector.project({name: self.system.value(derivation.total(name), 0, 0) for name in names})  # type: ignore[arg-type]
        made = {name: self.system.value(derivation.gradients[name], 0, 0) for name in names}
        return all(self._vanishes(x) for name in names for x in np.ravel(made[name] - wanted[name]))

    def _named(self) -> dict[Target, Quantity]:
        """The model's targets whose adjoint is said to be a quantity of the derived system, which is then proved."""
        derived = self.derivation.recurrence
        found: dict[Target, Quantity] = {}
        for target, adjoint in self.derivation.adjoints.items():
            name = quantity_of(adjoint).source()
            quantity = derived.named.get(name)
            if quantity is None:
                continue
            made = quantity in derived.equation and name not in self.derivation.primal.named
            if made and quantity.kind == target.kind:
                found[target] = quantity
        return found

    def _equal(self, target: Target, quantity: Quantity, chain: Chain) -> bool:
        quantity = self.derivation.recurrence.named[quantity.name]
        for own, key in zip(self.model.instances(target), self.system.instances(quantity), strict=True):
            made = self.system.right_side(quantity, key)
            symbols = np.ndenumerate(self.model.memo[own])
            if not all(self._vanishes(made[index] - chain.sum(symbol)) for index, symbol in symbols):
                return False
        return True

    def _vanishes(self, difference: Scalar) -> bool:
        """Whether a difference cancels: as it is, or once repeated values are written out."""
        return any(all(map(_is_zero, self._cases(form))) for form in self._forms(difference))

    def _forms(self, expr: Scalar) -> Iterator[Scalar]:
        while True:
            yield expr
            made = {s: self.graph.formula[s] for s in expr.free_symbols if s in self.graph.formula}
            if not made:
                return
            expr = expr.xreplace(made)
            if expr.count_ops() > SWOLLEN:
                return

    def _cases(self, expr: Scalar) -> Iterator[Scalar]:
        """The expression above, at and below every kink that it knows of."""
        kinks: dict[Scalar, dict[str, Scalar]] = {}
        for key, symbol in self.graph.values.table.items():
            if key[0] in ("positive", "zero") and symbol in expr.free_symbols:
                kinks.setdefault(key[1], {})[key[0]] = symbol
        if len(kinks) > CASES or _is_zero(expr):
            yield expr
            return
        for choice in product(("positive", "zero", "negative"), repeat=len(kinks)):
            chosen = [
                (symbol, kind, case)
                for held, case in zip(kinks.values(), choice, strict=True)
                for kind, symbol in held.items()
            ]
            yield expr.xreplace({symbol: sp.Integer(int(kind == case)) for symbol, kind, case in chosen})

    # -- by points

    def at_points(self, labels: list[str]) -> list[Failure]:
        """The differences of these gradients that are not zero, at the first random rational point that has any."""
        chain, done, seeds = Chain(self.graph, self.seeds, {}), 0, count()
        while done < POINTS:
            seed = next(seeds)
            try:
                failures = list(self._at(Point(self.graph, seed, self.sparse), chain, labels))
            except ZeroDivisionError:
                if seed > 10 * POINTS:
                    raise
                continue
            except (RecurrenceError, ValueError) as error:
                return [Failure(label, (), f"the derived system has no value: {error}") for label in labels]
            if failures:
                return failures
            done += 1
        return []

    def _at(self, point: Point, chain: Chain, labels: list[str]) -> Iterator[Failure]:
        derivatives = chain.solve(point)
        solved = Solved(self.derivation.recurrence, self.sizes, self.lengths, point)
        solved.memo.update((key, point.array(values)) for key, values in self.given.items())
        wanted = self._wanted(solved, derivatives)
        for label in labels:
            quantity = self.derivation.recurrence.named[self.derivation.gradients[label].name]
            for own, key in zip(self.model.instances(self.targets[label]), solved.instances(quantity), strict=True):
                made = solved.value(quantity, *key[1:])
                for index, symbol in np.ndenumerate(self.model.memo[own]):
                    if made[index] != wanted[symbol]:
                        place = {Kind.SHARED: (), Kind.SEQUENCE: own[2:], Kind.TIMED: own[1:]}[self.targets[label].kind]
                        problem = f"derived {made[index]}, by the chain rule {wanted[symbol]}"
                        yield Failure(label, (*place, *index), problem)


    def _wanted(self, solved: Solved, derivatives: Mapping[sp.Symbol, sp.Rational]) -> dict[sp.Symbol, sp.Rational]:
        """The derivatives, those by constrained parameters projected."""
        found = dict(derivatives)
        for system in self.constrained:
            symbols = {q.name: self.model.memo[q.name, 0, 0] for q in system.parameters}
            free = {name: elementwise(derivatives.__getitem__, array) for name, array in symbols.items()}
            for name, made in ExactProjector(solved, system).project(free).items():
                found.update(zip(symbols[name].ravel(), made.ravel(), strict=True))
        return found


def _is_zero(expr: Scalar) -> bool:
    """Whether an expression is zero as a rational function; a value that is not zero settles it early."""
    if expr.is_Rational:
        return expr == 0
    odd = {symbol: sp.Rational(2 * place + 3, 2) for place, symbol in enumerate(sorted(expr.free_symbols, key=str))}
    value = expr.xreplace(odd)
    if value.is_Rational and value != 0:
        return False
    expr = sp.expand(expr)
    if expr == 0 or expr.is_polynomial() or expr.count_ops() > SWOLLEN:
        return expr == 0
    return sp.expand(sp.together(expr).as_numer_denom()[0]) == 0
