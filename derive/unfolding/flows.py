"""Sections 4 and 5 of an unfolding: how the entry enters later steps, and how errors come back to it. Shares -> drafts."""

from __future__ import annotations

from derive.nodes import PRODUCT, At, Node, Pick, Quantity, quantity_of, replace
from derive.recurrence import reads
from derive.rules import differentiated, rule
from derive.sections.boxes import Box, Fence, Partial, Total, fenced, row, terms
from derive.sections.draft import Draft, draft, listed
from derive.sections.system import Cell
from derive.unfolding.links import Instance
from derive.unfolding.notation import indexed
from derive.unfolding.products import Product
from derive.unfolding.shares import Shares

MOST_EXPANDED, MOST_LISTED = 6, 6  # products of which a sensitivity is written as a sum; labels in a sentence


def forward(shares: Shares) -> list[Draft]:
    """For every use of the entry, the total derivative: what the entry multiplies, and what depended on it before."""
    readers = dict.fromkeys(path.reader for path in shares.unfolding.paths if path.reader is not None)
    ordered = sorted(readers, key=lambda i: (shares.unfolding.unfolded.position(i) or 0))
    return [line for reader in ordered for line in _use(shares, reader)]


def _use(shares: Shares, reader: Instance) -> list[Draft]:
    links = shares.unfolding.links.get(reader, ())
    direct = [link for link in links if link.read == shares.unfolding.goal]
    before = [link.read for link in links if link.read != shares.unfolding.goal]
    if len(direct) != 1 or shares.unfolding.derivation.primal.equation[reader.target].sums_sequences:
        return []
    letters, coefficient = shares.factors.coefficient(direct[0])
    value = indexed(shares.factors.instance(reader), letters)
    left = Total(value, shares.weight)
    explicit = coefficient if coefficient is not None else Partial(value, shares.weight)
    through = _through(shares, reader, before, letters)
    first = [shares.names[p] for p, path in enumerate(shares.unfolding.paths) if path.reader == reader]
    said: list[str | Box] = ["The explicit part" if through else "All of it", " belongs to ", *_some(first), "."]
    if through:
        rest = [shares.names[p] for p, path in enumerate(shares.unfolding.paths) if reader in path.places[:-2]]
        held = [shares.factors.instance(instance) for instance in before]
        said += [" The rest is there because ", *listed(held), f" depend{'s' * (len(held) == 1)} on the entry already: it leads on to "]
        said += [*_some(rest), "."]
    else:
        outside = [g for g in dict.fromkeys(_ghosts(shares, reader)) if g != shares.unfolding.goal.target]
        if outside:
            boxes = [shares.factors.notation.box(ghost) for ghost in outside]
            said += [" ", *listed(boxes), f" do{'es' * (len(boxes) == 1)} not depend on the entry."]
    whole = terms((False, explicit), *((False, part) for part in through))
    return [draft(4, "total derivative", left, whole, because=tuple(said))]


def _ghosts(shares: Shares, reader: Instance) -> list[Pick]:
    """The values outside the steps that an equation reads."""
    expr = shares.unfolding.unfolded.expression(reader)
    return [read for read in reads(expr) if isinstance(read, Pick) and read.outside]  # type: ignore[arg-type]


def _through(shares: Shares, reader: Instance, before: list[Instance], letters: tuple[Box, ...]) -> list[Box]:
    """The tangent of an equation by what it reads of values that depend on the entry."""
    unfolded = shares.unfolding.unfolded
    dots: dict[Node, Node] = {}
    for instance in before:
        dot = unfolded.dot(instance)
        shares.factors.notation.stand_for(dot, Total(shares.factors.instance(instance), shares.weight))
        dots[unfolded.read(instance)] = dot
    moved = _tangent(unfolded.expression(reader), dots)  # type: ignore[arg-type]
    return [] if moved is None else [shares.factors.entry(unfolded.reused(moved), letters)]


def backward(shares: Shares) -> list[Draft]:
    """The derivation's line for the gradient, at every use of the entry, and what the sensitivities in it are sums of."""
    derivation, system = shares.unfolding.derivation, shares.system
    label = shares.unfolding.entry.target.source()
    quantity = derivation.total(label)
    left, right = system.notation.target(quantity), system.notation.box(_gradient(shares, quantity))
    because = "The gradient as the derivation has it, for any number of steps."
    lines = [draft(5, "gradient", left, right, because=because, source="werbos1990")]
    lines += [line for cell in system.cells if cell.function is not None for line in _both(shares, cell)]
    readers: dict[Instance, list[int]] = {}
    for place, path in enumerate(shares.unfolding.paths):
        if path.reader is not None and path.links:
            readers.setdefault(path.reader, []).append(place)
    for reader, members in sorted(readers.items(), key=lambda item: -(shares.unfolding.unfolded.position(item[0]) or 0)):
        lines += _at(shares, reader, members)
    return lines


def _gradient(shares: Shares, quantity: Quantity) -> Node:
    """The derivation's expression of a gradient, with what is neither of the model nor an adjoint put in."""
    system, adjoints = shares.system, shares.unfolding.derivation.adjoints.values()
    held = {quantity_of(adjoint) for adjoint in adjoints}
    expr = system.expression(quantity)
    between = [read for read in reads(expr) if isinstance(read, At) and not read.lag and read.quantity in system.generated - held]
    return replace(expr, {read: system.whole.equation[read.quantity].expr for read in between})


def _at(shares: Shares, reader: Instance, members: list[int]) -> list[Draft]:
    paths = [shares.unfolding.paths[place] for place in members]
    held = shares.adjoint(reader)
    if held is None:
        return []
    products = list(dict.fromkeys(shares.factors.product(path, path.links[:-1]) for path in paths))
    lines = []
    step = shares.unfolding.unfolded.position(reader)
    where = "" if step is None else f" at step {step}"
    if len(products) <= MOST_EXPANDED:
        after = terms(*((product.negative, shares.factors.whole(product)) for product in products))
        if after != held:
            because = f"What arrives{where}, one term for every way from the objective."
            lines.append(draft(5, "sensitivity", held, after, because=because))
    last = paths[0].links[-1]
    use = shares.factors.entry(last.sent, shares.factors.letters, last.mark, Product(False, (), held))
    because = f"The derivation's term{where} is the sum of the shares that act there."
    lines.append(draft(5, "agreement", use, terms(*((False, shares.names[place]) for place in members)), because=because))
    return lines


def _both(shares: Shares, cell: Cell) -> list[Draft]:
    """Of a state that is read at its own step and at another: both parts are multiplied by the slope."""
    for step in range(shares.steps, 0, -1):
        value = Instance(cell.value, step)
        own: list[tuple[bool, Box]] = []
        other: list[tuple[bool, Box]] = []
        for links in shares.unfolding.links.values():
            for link in links:
                held = shares.adjoint(link.reader) if link.read == value else None
                if held is not None:
                    negative, factors = shares.factors.of(link)
                    box = shares.factors.whole(Product(negative, factors, held))
                    (other if shares.shift(link) else own).append((negative, box))
        explicit = [path.explicit for path in shares.unfolding.paths if path.places[path.first] == value]
        own += [(False, shares.factors.notation.box(node)) for node in dict.fromkeys(explicit)]
        if own and other:
            return _slope_of_both(shares, value, terms(*own), terms(*other))
    return []


def _slope_of_both(shares: Shares, value: Instance, own: Box, other: Box) -> list[Draft]:
    inner = [link for link in shares.unfolding.links[value] if link.read != shares.unfolding.goal]
    held = shares.adjoint(inner[0].read) if len(inner) == 1 else None
    if held is None:
        return []
    _, slopes = shares.factors.of(inner[0])
    boxes = [factor.box for factor in slopes]
    wrong = terms((False, own), (False, row(*boxes, fenced(other, PRODUCT))))
    because = (
        "What arrives from the step itself and what arrives from another are added first, and the slope multiplies both. Without the "
        "parentheses, as ",
        wrong,
        ", the part from the step itself would lack its slope, which is wrong.",
    )
    right = row(*boxes, Fence(terms((False, own), (False, other))))
    return [draft(5, "read now and at another step", held, right, because=because, source="werbos1990")]


def _some(boxes: list[Box]) -> tuple[str | Box, ...]:
    """Boxes as prose; of many the first few."""
    if len(boxes) <= MOST_LISTED:
        return listed(boxes)
    first = [part for box in boxes[: MOST_LISTED - 2] for part in (box, ", ")]
    return (*first[:-1], f" and {len(boxes) - MOST_LISTED + 2} more")


def _tangent(node: Node, dots: dict[Node, Node]) -> Node | None:
    """The tangent of an expression at fixed steps, or None where it is zero."""
    if isinstance(node, (Pick, Quantity)):
        return dots.get(node)
    moved = [_tangent(arg, dots) for arg in differentiated(node)]
    return None if all(part is None for part in moved) else rule(node).tangent(node, moved)
