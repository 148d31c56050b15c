"""Gauss-Newton: Recurrence and the signals between network and loss -> a recurrence for the product J' H J v.

J is the Jacobian of those signals, H the Hessian of the loss by them. Three passes: the tangent of the network, the tangent of the
loss's gradient, the adjoint of the network; the network's own curvature plays no part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from derive import arrays as A
from derive.adjoint import gradient, pullback
from derive.contributions import function_values
from derive.errors import RecurrenceError
from derive.names import Names, taken_by
from derive.nodes import At, Kind, Node, Number, Quantity, quantity_of
from derive.nodes import replace as substitute
from derive.normal import normalise
from derive.products import Product, allowed, explained
from derive.recurrence import Equation, Recurrence, Target, reads
from derive.structure import describe
from derive.tangents import moved_equation, moved_target, named_dot
from derive.validity import validate

Dots = dict[Quantity, Quantity]


def gauss_newton_product(recurrence: Recurrence, at: str | Iterable[str]) -> Product:
    """Derive the product of the generalised Gauss-Newton matrix with a direction.

    at: the signal, or signals, through which the objective depends on the parameters; a name of the normal form, such as the argument
    of a softmax, will do. What else the loss reads, such as targets, stands still there. Labels, shapes and units are those of a
    Hessian product.
    Raises: RecurrenceError where there is no objective, where `at` names no signal that the loss reads, or where the objective
    depends on parameters in another way.
    Source: [martens2010]; [schraudolph2002].
    """
    if recurrence.objective is None or recurrence.objective.abstract:
        raise RecurrenceError(
            f"{recurrence.name} has no objective that is written out, and so no loss with a Hessian",
            "add a line such as E = minimize(sum(norm2(y[t]) for t in steps))",
        )
    names = tuple(dict.fromkeys((at,) if isinstance(at, str) else at))
    split = split_at(normalise(recurrence, apart=names), names)
    return allowed(explained(_GaussNewton(recurrence, split).product(), "Gauss-Newton matrix times direction, at"))


# -- the split


@dataclass(frozen=True)
class Split:
    """A model in two. outputs: what stands between network and loss; network: what they are computed from, themselves included;
    loss: what the objective is computed from, up to them; curved: the part of the loss that depends on them."""  # noqa: D205, D209

    model: Recurrence
    outputs: tuple[Quantity, ...]
    network: frozenset[Quantity]
    loss: frozenset[Quantity]
    curved: frozenset[Quantity]


def split_at(model: Recurrence, names: tuple[str, ...]) -> Split:
    """Split a model in normal form at some of its signals. Raises: RecurrenceError where it does not come apart there."""
    aim = model.named[model.objective.name]  # type: ignore[union-attr]
    defined = [q.name for q in model.quantities if q in model.equation and q != aim]
    for name in names or ("",):
        if name not in defined:
            raise RecurrenceError(f"{model.name} has no signal {name!r} between network and loss", f"there are {', '.join(defined)}")
    outputs = tuple(model.named[name] for name in names)
    found = _upstream(model, [aim], outputs)
    read = {q for member in found if member not in outputs for q in _read_by(model, member)}
    for output in outputs:
        if output not in read:
            raise RecurrenceError(f"the objective {aim.name} does not read {describe(output)}", "name what stands between network and loss")
    loss = frozenset(found) - {*outputs}
    _require_no_parameters(model, found, outputs)
    network = frozenset(_upstream(model, outputs, ()))
    curved = loss & _downstream(model, outputs)
    both = sorted(q.name for q in network & curved)
    if both:
        raise RecurrenceError(
            f"{both[0]} depends on {' and '.join(names)}, and network and loss both read it", f"split there instead: at={both[0]!r}"
        )
    return Split(model, outputs, network, loss, curved)


def _read_by(model: Recurrence, quantity: Quantity) -> list[Quantity]:
    """What a quantity's equations read, those of its values outside the steps included."""
    own = [e for e in model.equations if quantity_of(e.target) == quantity]
    return list(dict.fromkeys(quantity_of(read) for e in own for read in reads(e.expr)))


def _upstream(model: Recurrence, start: Iterable[Quantity], stop: Iterable[Quantity]) -> dict[Quantity, Quantity | None]:
    """What quantities are computed from, each with the one that reads it; what `stop` is computed from is left out."""
    found: dict[Quantity, Quantity | None] = dict.fromkeys(start)
    stack, closed = list(found), set(stop)
    while stack:
        reader = stack.pop()
        for quantity in () if reader in closed else _read_by(model, reader):
            if quantity not in found:
                found[quantity] = reader
                stack.append(quantity)
    return found


def _downstream(model: Recurrence, start: Iterable[Quantity]) -> set[Quantity]:
    """What is computed from some quantities, themselves included."""
    found, size = set(start), 0
    while len(found) != size:
        size = len(found)
        found |= {quantity_of(e.target) for e in model.equations if any(quantity_of(read) in found for read in reads(e.expr))}
    return found


def _require_no_parameters(model: Recurrence, found: Mapping[Quantity, Quantity | None], outputs: tuple[Quantity, ...]) -> None:
    """Refuse a loss that reads a parameter, or a value outside the steps that the caller gives, other than through the outputs."""
    given = {ghost.quantity: ghost.source() for ghost in model.arguments}
    for quantity in found:
        label = quantity.name if quantity.role == "parameter" else given.get(quantity)
        if label is None or quantity in outputs:
            continue
        path: list[Quantity] = [quantity]
        while (reader := found[path[-1]]) is not None:
            path.append(reader)
        path = [q for q in path if q.name not in model.meanings][::-1]
        facts = ", ".join(f"{describe(reader)} reads {describe(read)}" for reader, read in pairwise(path))
        raise RecurrenceError(
            f"the objective depends on {label} other than through {' and '.join(describe(q) for q in outputs)}: {facts}",
            "name all signals between network and loss; for a penalty on parameters, leave it out and add its own product",
        )


# -- the product


ROLES = {Kind.TIMED: "signal", Kind.SEQUENCE: "quantity", Kind.SHARED: "total"}


class _GaussNewton:
    """The network's tangent and adjoint, and between them the tangent of the loss's gradient."""

    def __init__(self, source: Recurrence, split: Split) -> None:
        self.source, self.split, self.model = source, split, split.model
        loss = _loss(split)
        reached = gradient(loss).adjoints  # names aside: which values outside the steps the loss reads
        ghosts = [ghost for output in split.outputs for ghost in loss.ghosts.get(output, ()) if ghost in reached]
        self.started: list[Target] = [*split.outputs, *ghosts]
        self.network = pullback(self.model, self.started)
        self.loss = gradient(loss, taken=taken_by(self.network.recurrence))
        self.names = Names(taken_by(self.network.recurrence) | taken_by(self.loss.recurrence))
        self.outputs = function_values(self.model)
        self.added: list[Quantity] = []
        self.meanings = {**self.loss.recurrence.meanings, **self.network.recurrence.meanings}

    def product(self) -> Product:
        """All passes in one recurrence."""
        moving = [q for q in self.model.quantities if q in self.split.network and q.role not in ("constant", "index")]
        dots = {q: self._dot(q) for q in moving}
        tangents = [moved_equation(e, dots, self.outputs) for e in self.model.equations if quantity_of(e.target) in dots]
        seeds = {label: self._seed(label, given) for label, given in self.network.cotangents.items()}
        curvature = self._curvature(dots, seeds)
        whole = self._joined([*tangents, *curvature], seeds)
        there = {*whole.quantities, *whole.arguments}
        directions = {target.source(): moved_target(target, dots) for target in self.model.free if quantity_of(target) in dots}
        directions = {label: target for label, target in directions.items() if target in there}
        return Product(self.source, whole, directions, self.network.gradients)

    def _dot(self, quantity: Quantity) -> Quantity:
        dot = named_dot(quantity, self.names)
        self.added.append(dot)
        self.meanings[dot.name] = f"tangent of {quantity.name}"
        return dot

    def _seed(self, label: str, given: Quantity) -> Quantity:
        """What the network's adjoint starts from, in place of the input for a cotangent."""
        seed = Quantity(given.name, ROLES[given.kind], given.shape, given.kind)
        self.added.append(seed)
        self.meanings[seed.name] = f"Hessian of the loss at {label}, times the tangent there"
        return seed

    def _curvature(self, dots: Dots, seeds: Mapping[str, Quantity]) -> list[Equation]:
        """The equations of the loss's gradient by the outputs, and of its tangent as they alone move, which is in the seeds."""
        derived = self.loss.recurrence
        adjoints = {target.source(): self._adjoint(target) for target in self.started}
        own = _upstream(derived, [a for a in adjoints.values() if a is not None], self.split.network | self.split.loss)
        own = {q: reader for q, reader in own.items() if q not in self.model.quantities}
        self.added += [q for q in derived.quantities if q in own]
        moving = _downstream(derived, self.split.outputs) & {*own, *self.split.curved}
        inside = {adjoint: seeds[label] for label, adjoint in adjoints.items() if adjoint in moving}
        still = [seed for seed in seeds.values() if seed not in inside.values()]
        inside |= {q: self._dot(q) for q in derived.quantities if q in moving and q not in inside}
        held = [e for e in derived.equations if quantity_of(e.target) in inside]
        inside |= {output: dots[output] for output in self.split.outputs}
        return [
            *(e for e in derived.equations if quantity_of(e.target) in own),
            *(moved_equation(e, inside, self.outputs) for e in held),
            *(Equation(seed, A.filled(Number(0), seed.shape)) for seed in still),
        ]

    def _adjoint(self, target: Target) -> Quantity | None:
        """The quantity that holds the loss's gradient at an output; None where the gradient is a constant."""
        found = self.loss.adjoints.get(target)
        found = None if found is None else quantity_of(found)
        return found if isinstance(found, Quantity) and found in self.loss.recurrence.quantities else None

    def _joined(self, between: list[Equation], seeds: Mapping[str, Quantity]) -> Recurrence:
        """The model, what stands between, and the network's adjoint."""
        network = self.network.recurrence
        places: dict[Node, Node] = {}
        for label, given in self.network.cotangents.items():
            places |= {At(given, 0): At(seeds[label], 0)} if given.kind == Kind.TIMED else {given: seeds[label]}
        primal = [e for e in network.equations if e.target in self.model.equation]
        backward = [replace(e, expr=substitute(e.expr, places)) for e in network.equations if e.target not in self.model.equation]
        given = {*self.network.cotangents.values()}
        drafted = replace(
            network, name=f"{self.source.name}_gauss_newton", quantities=(*(q for q in network.quantities if q not in given), *self.added),
            equations=(*primal, *between, *backward), meanings=self.meanings, notes=(),
        )  # fmt: skip
        return normalise(validate(self._pruned(drafted, self.network.gradients.values()), {}))

    def _pruned(self, drafted: Recurrence, results: Iterable[Quantity]) -> Recurrence:
        """Without what only the loss's value and gradient need."""
        kept = [q for q in self.model.quantities if q not in self.split.loss]
        needed = _upstream(drafted, [*results, *(q for q in drafted.quantities if q in kept)], ())
        equations = tuple(e for e in drafted.equations if quantity_of(e.target) in needed)
        defined = {quantity_of(e.target) for e in drafted.equations}
        quantities = tuple(q for q in drafted.quantities if q in needed or (q not in defined and q in self.model.quantities))
        return replace(drafted, quantities=quantities, equations=equations)


def _loss(split: Split) -> Recurrence:
    """The loss as a recurrence of its own; the outputs are zero in it, since its gradient's equations are all that is wanted."""
    ghosts = [ghost for q in split.outputs for ghost in split.model.ghosts.get(q, ())]
    held = [Equation(target, A.filled(Number(0), target.shape)) for target in (*split.outputs, *ghosts)]
    model, inside = split.model, {*split.outputs, *split.loss}
    return Recurrence(
        name=model.name, title=model.title, quantities=tuple(q for q in model.quantities if q in inside),
        equations=(*held, *(e for e in model.equations if quantity_of(e.target) in split.loss)),
        functions=model.functions, defaults=model.defaults, objective=model.objective, meanings=model.meanings, file=model.file,
    )  # fmt: skip
