"""Products: Recurrence -> a recurrence that computes a product of its Jacobian or its Hessian with a direction.

All are made of tangents and adjoints, so each is a recurrence in the same language. The Gauss-Newton product is in
`derive.gauss_newton`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from derive.adjoint import gradient
from derive.names import Names, taken_by
from derive.nodes import Kind, Pick, Quantity
from derive.nodes import replace as substitute
from derive.normal import normalise
from derive.projections import DIRECTIONS, build, plan
from derive.recurrence import Equation, Recurrence, Target
from derive.tangents import Tangent, tangent
from derive.validity import validate
from derive.writing import write


@dataclass(frozen=True)
class Product:
    """A recurrence that computes a product with a direction.

    source: as the user wrote it; recurrence: its normal form with all that the product needs; directions: label -> the input, constant
    or value outside the steps in which its direction enters (a label that is not here has no part in the product); results: label ->
    the quantity that holds the product.
    """

    source: Recurrence
    recurrence: Recurrence
    directions: Mapping[str, Target]
    results: Mapping[str, Quantity]

    def to_rec(self) -> str:
        """The recurrence as a file in the language; it parses back and compiles."""
        return write(self.recurrence)


def jacobian_product(recurrence: Recurrence) -> Product:
    """Derive the tangents of the objective and of every quantity the user defined (the Jacobian-vector product).

    Shapes: a direction has the shape of what it moves, a result that of the quantity. Units: those of the quantity over those of the
    direction's length. Raises: RecurrenceError where a node has no rule.
    Source: [pearlmutter1994], the R-operator.
    """
    moved = tangent(recurrence)
    defined = recurrence.of_role("signal", "quantity", "total")
    aim = recurrence.objective
    names = [q.name for q in defined] + ([aim.name] if aim and not aim.abstract else [])
    results = {name: moved.tangents[name] for name in names}
    labels = [target.source() for target in recurrence.free]
    return _product(recurrence, moved, labels, results, "tangent of")  # type: ignore[arg-type]


def hessian_product(recurrence: Recurrence) -> Product:
    """Derive the product of the objective's Hessian with a direction: the tangent of the gradient.

    Labels are those of the gradient: parameters, inputs and values outside the steps; directions and results have their shapes. With
    constraints both are projected onto what these allow, Π H Π.
    Raises: RecurrenceError as `gradient`.
    Source: [pearlmutter1994].
    """
    first = gradient(recurrence)
    moved = tangent(first.recurrence)
    results = {label: moved.tangents[quantity.name] for label, quantity in first.gradients.items()}
    return allowed(_product(recurrence, moved, first.gradients, results, "Hessian times direction, at"))  # type: ignore[arg-type]


def _product(source: Recurrence, moved: Tangent, labels: Iterable[str], results: Mapping[str, Quantity], meaning: str) -> Product:
    there = {*moved.recurrence.quantities, *moved.recurrence.arguments}
    directions = {label: moved.tangents[label] for label in labels if moved.tangents.get(label) in there}
    return explained(Product(source, moved.recurrence, directions, results), meaning)


def allowed(product: Product) -> Product:
    """The product with directions projected onto what constraints allow, as its results, which are gradients, are already."""
    recurrence, plans = product.recurrence, plan(product.recurrence)
    names, meanings = Names(taken_by(recurrence)), dict(recurrence.meanings)
    directions, added, equations, places = dict(product.directions), [], [], {}
    for entry in plans:
        for parameter in entry.system.parameters:
            if parameter.name not in directions:  # it has no part in the product, but in the constraints
                given = Quantity(names.fresh(f"{parameter.name}_dot"), "constant", parameter.shape, Kind.SHARED)
                directions[parameter.name] = given
                meanings[given.name] = f"direction at {parameter.name}"
                added.append(given)
        made = build(entry, directions, names, meanings, DIRECTIONS)  # type: ignore[arg-type]
        places |= {directions[name]: quantity for name, quantity in made.gradients}
        added += [line.target for line in made.lines]
        equations += made.equations
    if not plans:
        return product
    moved = [Equation(e.target, substitute(e.expr, places), e.line) for e in recurrence.equations]
    whole = replace(recurrence, quantities=(*recurrence.quantities, *added), equations=(*moved, *equations), meanings=meanings)
    return replace(product, recurrence=normalise(validate(whole, {})), directions=directions)


def explained(product: Product, meaning: str) -> Product:
    """The product with its directions and results explained in its file."""
    named = {target.name: f"direction at {label}" for label, target in product.directions.items() if not isinstance(target, Pick)}
    named |= {quantity.name: f"{meaning} {label}" for label, quantity in product.results.items()}
    return replace(product, recurrence=replace(product.recurrence, meanings={**product.recurrence.meanings, **named}))
