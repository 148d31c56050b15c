"""One case of the fuzz: a random recurrence, its gradient against its tangent, its complex step, and through its text."""

from __future__ import annotations

import re

import numpy as np
from generator import draw, generate

from derive.adjoint import gradient
from derive.language import parse
from derive.recurrence import Recurrence
from derive.reference import evaluate
from derive.tangents import tangent
from derive.writing import write


class Case:
    """A random recurrence with values, lengths and a direction."""

    def __init__(self, seed: int, analytic: bool, recurrence: Recurrence | None = None) -> None:
        self.rng = np.random.default_rng([seed, 11])
        self.recurrence = recurrence or parse(generate(seed, analytic).text)
        self.batch = int(self.rng.integers(1, 4))
        self.steps = int(self.rng.choice([0, 1, 2, 3, 5]))
        self.place()

    def place(self) -> None:
        """Sizes at which every pick exists: more steps until the reference accepts them."""
        while True:
            low = max(0, self.steps - 3)
            self.lengths = self.rng.integers(low, self.steps + 1, self.batch) if self.rng.random() < 0.6 else np.full(self.batch, self.steps)
            self.values = draw(self.recurrence, self.rng, self.steps, self.batch)
            try:
                self.value = self.evaluate(self.recurrence, self.values)["E"]
                return
            except ValueError as error:
                if "is read at step" not in str(error):
                    raise
                self.steps += 1

    def evaluate(self, recurrence: Recurrence, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return evaluate(recurrence, values, self.steps, self.batch, self.lengths)

    def direction(self, labels: list[str]) -> dict[str, np.ndarray]:
        """A random direction, zero beyond each sequence's end."""
        moves = {label: self.rng.standard_normal(np.shape(self.values[label])) for label in labels}
        for label, move in moves.items():
            if label in self.recurrence.named and self.recurrence.named[label].kind == 2:
                for row, length in enumerate(self.lengths):
                    move[length:, row] = 0
        return moves


def inner(grads: dict[str, np.ndarray], moves: dict[str, np.ndarray]) -> tuple[float, float]:
    """The inner product and the product of the norms."""
    product = sum(np.sum(grads[label] * move) for label, move in moves.items())
    norms = [np.sqrt(sum(np.sum(np.abs(part) ** 2) for part in parts.values())) for parts in (grads, moves)]
    return product, norms[0] * norms[1]


def compare(case: Case, through_text: bool = True) -> dict[str, float]:
    """Relative errors of one case: adjoint against tangent, and against the complex step where that is allowed."""
    derivation = gradient(case.recurrence)
    labels = list(derivation.gradients)
    result = case.evaluate(derivation.recurrence, case.values)
    grads = {label: result[derivation.gradients[label].name] for label in labels}
    assert all(np.shape(grads[label]) == np.shape(case.values[label]) for label in labels)
    moves = case.direction(labels)
    product, scale = inner(grads, moves)
    forward = tangent(case.recurrence)
    given = dict(case.values)
    for label, target in forward.tangents.items():
        if label in moves:
            given[target.source()] = moves[label]
    along = case.evaluate(forward.recurrence, given)[forward.tangents["E"].source()]
    errors = {"tangent": _relative(along - product, scale), "value": abs(float(result["E"] - case.value))}
    if through_text:
        text = write(derivation.recurrence)
        again = parse(text, "again")
        assert uncommented(write(again)) == uncommented(text)
        second = case.evaluate(again, case.values)
        errors["text"] = max(_relative(np.max(np.abs(second[q.name] - result[q.name]), initial=0.0), 1.0) for q in derivation.gradients.values())
    return errors


def complex_step(case: Case) -> float:
    """The relative error of the gradient against the complex step along a random direction."""
    derivation = gradient(case.recurrence)
    result = case.evaluate(derivation.recurrence, case.values)
    grads = {label: result[q.name] for label, q in derivation.gradients.items()}
    moves = case.direction(list(grads))
    product, scale = inner(grads, moves)
    shifted = {label: value + 1e-30j * moves[label] if label in moves else value for label, value in case.values.items()}
    return _relative(np.imag(case.evaluate(case.recurrence, shifted)["E"]) / 1e-30 - product, scale)


def second_order(case: Case) -> dict[str, float]:
    """The gradient of a function of the gradient, through text, against its tangent."""
    derivation = gradient(case.recurrence)
    text = re.sub(r"(?m)^E: total", "E_first: total", write(derivation.recurrence))
    terms = []
    for label, quantity in derivation.gradients.items():
        if quantity.role == "total":
            terms.append(f"norm2({quantity.name})" if quantity.shape else f"{quantity.name}**2")
        elif quantity.kind == 2 and label == "x0":
            terms.append(f"sum(norm2({quantity.name}[t]) for t in steps)")
        elif quantity.kind == 1 and quantity.shape:
            terms.append(f"norm2({quantity.name})")
    again = parse(text + f"E = minimize({' + '.join(terms)})\n", "second")
    follow = Case.__new__(Case)
    follow.rng, follow.recurrence, follow.batch, follow.steps, follow.lengths = case.rng, again, case.batch, case.steps, case.lengths
    follow.values = case.values
    follow.value = follow.evaluate(again, follow.values)["E"]
    return compare(follow, through_text=False)


def uncommented(text: str) -> str:
    """A recurrence's text without what explains it."""
    return "\n".join(line.split("  # ")[0].rstrip() for line in text.splitlines())


def _relative(error: complex, scale: float) -> float:
    error = float(np.abs(error))
    return error / max(float(scale), 1e-3) if np.isfinite(error) else np.inf
