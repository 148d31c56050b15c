"""One case of the fuzz: a random recurrence, its gradient against its tangent, numeric steps, and through its text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from generator import draw, generate

from codegen.probes import find_probes
from derive.adjoint import gradient, pullback
from derive.arithmetic import Abstract, Apply, Div, Neg
from derive.derivation import Derivation
from derive.holding import hold
from derive.language import parse
from derive.nodes import Kind, Node, Number, T, walk
from derive.recurrence import Recurrence
from derive.reference import evaluate, nullspaces
from derive.tangents import tangent
from derive.writing import write

THOROUGH = "RETROGRAD_FUZZ" in os.environ  # every mutant, where the tests otherwise take some
KINK_DISTANCE = 1e-4  # nearer to a kink than this, numeric differentiation is not asked
Values = Mapping[str, np.ndarray]


class Case:
    """A random recurrence with values, lengths and directions."""

    def __init__(self, seed: int, analytic: bool, recurrence: Recurrence | None = None) -> None:
        self.rng = np.random.default_rng([seed, 11])
        self.recurrence = recurrence or parse(generate(seed, analytic).text)
        self.batch = int(self.rng.integers(1, 4))
        self.steps = int(self.rng.choice([0, 1, 2, 3, 5]))
        self.place()

    def place(self) -> None:
        """Sizes at which every fixed step exists: more steps until the reference accepts them; a divisor T is not zero."""
        divided = any(isinstance(node, Div) and node.args[1] == Number(T) for node in nodes(self.recurrence))
        self.steps = max(self.steps, int(divided))
        while True:
            low = max(0, self.steps - 3)
            low = max(low, int(divided)) if self.rng.random() < 0.6 else self.steps
            self.lengths = self.rng.integers(low, self.steps + 1, self.batch)
            self.values = draw(self.recurrence, self.rng, self.steps, self.batch)
            try:
                self.value = self.evaluate(self.recurrence, self.values)["E"]
                return
            except ValueError as error:
                if "is read at step" not in str(error):
                    raise
            self.steps += 1

    def evaluate(self, recurrence: Recurrence, values: Values) -> dict[str, np.ndarray]:
        """Every quantity of a recurrence that takes the values of this one."""
        return evaluate(recurrence, values, self.steps, self.batch, self.lengths)

    def follow(self, recurrence: Recurrence) -> Case:
        """The same values and lengths for another recurrence."""
        other = Case.__new__(Case)
        other.rng, other.recurrence, other.batch, other.steps, other.lengths = self.rng, recurrence, self.batch, self.steps, self.lengths
        other.values, other.value = self.values, self.evaluate(recurrence, self.values)["E"]
        return other

    def direction(self, labels: list[str]) -> dict[str, np.ndarray]:
        """A random direction that keeps the constraints, zero beyond each sequence's end."""
        moves = {label: self.rng.standard_normal(np.shape(self.values[label])) for label in labels}
        for label, move in moves.items():
            if label in self.recurrence.named and self.recurrence.named[label].kind == Kind.TIMED:
                self._end(move)
        for allowed in nullspaces(self.recurrence, self.values) if self.recurrence.constraints else ():
            moves |= allowed.project({name: moves[name] for name in allowed.shapes if name in moves})
        return moves

    def cotangents(self, derivation: Derivation, result: Values) -> dict[str, np.ndarray]:
        """Random cotangents of every signal, zero beyond each sequence's end."""
        seeds = {label: self.rng.standard_normal(np.shape(result[label])) for label in derivation.cotangents}
        for label, quantity in derivation.cotangents.items():
            if quantity.kind == Kind.TIMED:
                self._end(seeds[label])
        return seeds

    def _end(self, array: np.ndarray) -> None:
        for row, length in enumerate(self.lengths):
            array[length:, row] = 0


def nodes(recurrence: Recurrence) -> Iterator[Node]:
    """Every node of every equation."""
    return (node for equation in recurrence.equations for node in walk(equation.expr))


def product(first: Values, second: Values) -> float:
    """The inner product of two families of arrays."""
    return sum(np.sum(first[label] * second[label]) for label in second)


def norm(arrays: Values) -> float:
    """The norm of a family of arrays."""
    return float(np.sqrt(sum(np.sum(np.abs(part) ** 2) for part in arrays.values())))


def compare(case: Case, through_text: bool = True) -> dict[str, float]:
    """Relative errors of one case: adjoint against tangent, and again after the adjoint was written as text and read."""
    derivation = gradient(case.recurrence)
    result = case.evaluate(derivation.recurrence, case.values)
    grads = gradients_of(case, derivation, result)
    moves = case.direction(list(grads))
    errors = {"tangent": transposed(grads, moves, along(case, moves)["E"])}
    errors["projected"] = outside_constraints(case, grads)
    errors["value"] = _relative(result["E"] - case.value, abs(case.value))
    if through_text:
        text = write(derivation.recurrence)
        again = parse(text, "again")
        assert uncommented(write(again)) == uncommented(text)
        second = case.evaluate(again, case.values)
        moved = {label: second[q.name] - result[q.name] for label, q in derivation.gradients.items()}
        errors["text"] = _relative(norm(moved), norm(grads))
    return errors


def compare_pullback(case: Case) -> dict[str, float]:
    """The relative error of ⟨u, J v⟩ against ⟨Jᵀu, v⟩, with cotangents u of every signal: relative to the norms of u and J v."""
    derivation = pullback(case.recurrence)
    seeds = case.cotangents(derivation, case.evaluate(case.recurrence, case.values))
    given = {**case.values, **{q.name: seeds[label] for label, q in derivation.cotangents.items()}}
    grads = gradients_of(case, derivation, case.evaluate(derivation.recurrence, given))
    moves = case.direction(list(grads))
    changes = {label: part for label, part in along(case, moves).items() if label in seeds}
    scale = max(norm(seeds) * norm(changes), norm(grads) * norm(moves))
    return {"pullback": _relative(product(seeds, changes) - product(grads, moves), scale)}


def transposed(grads: Values, moves: Values, change: float) -> float:
    """The relative error of a gradient whose product with a direction is the objective's change along it."""
    return _relative(change - product(grads, moves), norm(grads) * norm(moves))


def outside_constraints(case: Case, grads: Values) -> float:
    """How much of the gradient leads off the constraints, relative to all of it."""
    spaces = nullspaces(case.recurrence, case.values) if case.recurrence.constraints else []
    kept = {name: part for space in spaces for name, part in space.project(grads).items()}
    return _relative(norm({name: grads[name] - part for name, part in kept.items() if name in grads}), norm(grads))


def gradients_of(case: Case, derivation: Derivation, result: Values) -> dict[str, np.ndarray]:
    """The gradients of what has values, each of its shape."""
    grads = {label: result[quantity.name] for label, quantity in derivation.gradients.items()}
    assert all(np.shape(grads[label]) == np.shape(case.values[label]) for label in grads if label in case.values)
    return {label: grad for label, grad in grads.items() if label in case.values}


def along(case: Case, moves: Values) -> dict[str, np.ndarray]:
    """The tangent of every quantity that has one, along a direction."""
    forward = tangent(case.recurrence)
    given = {**case.values, **{target.source(): moves[label] for label, target in forward.tangents.items() if label in moves}}
    result = case.evaluate(forward.recurrence, given)
    return {label: result[target.source()] for label, target in forward.tangents.items() if target.source() in result}


def complex_step(case: Case) -> float | None:
    """The relative error against a complex step along a random direction, what no gradient passes held fixed.

    None too near to a kink, where a difference depends on the side.
    """
    if kink_distance(case) < KINK_DISTANCE:
        return None
    derivation = gradient(case.recurrence)
    grads = gradients_of(case, derivation, case.evaluate(derivation.recurrence, case.values))
    moves = case.direction(list(grads))
    recurrence, given = moving(case)
    shifted = case.evaluate(recurrence, given | {label: given[label] + 1e-30j * move for label, move in moves.items()})["E"]
    return transposed(grads, moves, np.imag(shifted) / 1e-30)


def moving(case: Case) -> tuple[Recurrence, dict[str, np.ndarray]]:
    """What a numeric step moves: the recurrence with what no gradient passes held fixed, and its values."""
    held = hold(case.recurrence)
    if held is None:
        return case.recurrence, dict(case.values)
    measured = case.evaluate(held.measured, case.values)
    return held.recurrence, {**case.values, **{name: measured[name] for name in held.names}}


def kink_distance(case: Case) -> float:
    """How far the arguments of functions with kinks are from them."""
    probes = find_probes(case.recurrence)
    if not probes.kinks:
        return np.inf
    result = case.evaluate(probes.recurrence, case.values)
    distances = []
    for name in probes.kinks:
        array = np.abs(result[name])
        if probes.recurrence.named[name].kind == Kind.TIMED:
            distances += [np.min(array[:length, row], initial=np.inf) for row, length in enumerate(case.lengths)]
        else:
            distances.append(np.min(array, initial=np.inf))
    return float(min(distances, default=np.inf))


def second_order(case: Case) -> dict[str, float]:
    """The gradient of a function of the gradient, through text, against its tangent."""
    derivation = gradient(case.recurrence)
    text = re.sub(r"(?m)^E: total", "E_first: total", write(derivation.recurrence))
    terms = []
    for quantity in derivation.gradients.values():
        read = f"{quantity.name}[t]" if quantity.kind == Kind.TIMED else quantity.name
        square = f"norm2({read})" if quantity.shape else f"{read}**2"
        terms.append(f"sum({square} for t in steps)" if quantity.kind == Kind.TIMED else square)
    again = parse(text + f"E = minimize({' + '.join(terms)})\n", "second")
    return compare(case.follow(again), through_text=False)


def compare_abstract(seed: int) -> dict[str, float]:
    """Derive with an abstract function and put the sine in its place, against the other way round."""
    text = generate(seed, abstract=True).text
    recurrence = parse(text)
    if recurrence.objective.abstract:
        return {}
    case = Case(seed, True, with_sine(recurrence))
    found, wanted = gradient(recurrence), gradient(case.recurrence)
    values = [case.evaluate(with_sine(derivation.recurrence), case.values) for derivation in (found, wanted)]
    grads = [gradients_of(case, derivation, result) for derivation, result in zip((found, wanted), values, strict=True)]
    difference = {label: grads[0][label] - grad for label, grad in grads[1].items()}
    return {"abstract": _relative(norm(difference), norm(grads[1]))}


def with_sine(recurrence: Recurrence) -> Recurrence:
    """The recurrence with the sine for every function without a definition."""

    def visit(node: Node) -> Node:
        if not node.operands:
            return node
        built = node.func(*(visit(arg) if isinstance(arg, Node) else arg for arg in node.args))
        if not isinstance(built, Abstract):
            return built
        made = Apply("cos" if built.order % 2 else "sin", *built.operands)
        return Neg(made) if built.order % 4 > 1 else made

    equations = tuple(replace(e, expr=visit(e.expr)) for e in recurrence.equations)
    return replace(recurrence, equations=equations, functions=())


def uncommented(text: str) -> str:
    """A recurrence's text without what explains it."""
    return "\n".join(line.split("  # ")[0].rstrip() for line in text.splitlines())


def _relative(error: complex, scale: float) -> float:
    error = float(np.abs(error))
    return error / max(float(scale), 1e-3) if np.isfinite(error) else np.inf
