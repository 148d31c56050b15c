"""Sections 1 to 3 of an unfolding: the model at every step, the sum over paths, its factors. Shares -> drafts."""

from __future__ import annotations

from derive.nodes import Node, Quantity
from derive.recurrence import Target
from derive.sections.boxes import ONE, Box, Fence, Listing, Name, Partial, row, terms
from derive.sections.boxes import Unfolding as Chain
from derive.sections.draft import Draft, draft
from derive.sections.model import loop_states
from derive.structure import blocks
from derive.unfolding.factors import Factors
from derive.unfolding.links import Instance, Link
from derive.unfolding.notation import number
from derive.unfolding.shares import Shares


def model(shares: Shares) -> list[Draft]:
    """The equations on the way, the objective, and the states one after the other."""
    primal, notation = shares.system.primal, shares.system.notation
    met = {instance.target for path in shares.unfolding.paths for instance in path.places}
    aim = primal.objective
    lines = []
    for equation in primal.equations:
        if equation.target in met and not (aim is not None and equation.target.source() == aim.name):
            because = "Holds at every step." if equation.timed else "Holds without time."
            lines.append(draft(1, "equation", notation.target(equation.target), notation.box(equation.expr), because=because))
    for block in blocks(primal):
        if block.kind in ("forward", "backward") and met & set(block.members):
            lines.append(_states(shares, *loop_states(shares.system, block), backward=block.kind == "backward"))
    return [*lines, _objective(shares)]


def _states(shares: Shares, states: list[Quantity], uses: list[Quantity], backward: bool) -> Draft:
    order = range(shares.steps + 1, 0, -1) if backward else range(shares.steps + 1)

    def at(step: int) -> Box:
        boxes = tuple(shares.factors.notation.read(q, number(step)) for q in states)
        return boxes[0] if len(boxes) == 1 else Fence(Listing(boxes))

    chain = Chain(tuple(at(step) for step in order), tuple(Name(q.name) for q in uses) if len(uses) <= 3 else ())
    because = "Unfolded: a network with a layer for each step and the same parameters in every layer."
    return draft(1, "unfold time into space", chain, because=because, source="seung2005")


def _objective(shares: Shares) -> Draft:
    derivation = shares.unfolding.derivation
    if derivation.cotangents:
        given = [shares.factors.notation.read(seed, number(shares.steps)) for seed in derivation.cotangents.values()]
        start = ("Left open; paths start from its derivatives by the signals, such as ", given[0], ", which are given.")
        return draft(1, "objective", shares.system.objective, because=start)
    equation = derivation.primal.equation[derivation.primal.named[derivation.primal.objective.name]]  # type: ignore[union-attr]
    forms = [shares.system.notation.box(equation.expr), shares.factors.notation.box(shares.unfolding.unfolded.fixed(equation.expr, 0))]
    because = "For one sequence; shares of several are added."
    return draft(1, "objective", shares.system.objective, *dict.fromkeys(forms), because=because)


def paths(shares: Shares) -> list[Draft]:
    """The sum of all shares, then each with the way it goes."""
    groups: dict[tuple[int | None, int | None], list[int]] = {}
    for place, path in enumerate(shares.unfolding.paths):
        groups.setdefault((path.source, path.acts), []).append(place)
    heads = [shares.name(shares.unfolding.paths[members[0]]) for members in groups.values()]
    lines = [draft(2, "sum over paths", shares.by_weight, terms(*((False, head) for head in heads)), because=_explanation(shares, heads))]
    for head, members in zip(heads, groups.values(), strict=True):
        if len(members) > 1:
            because = f"{len(members)} ways lead from the one step to the other."
            lines.append(draft(2, "ways", head, terms(*((False, shares.names[place]) for place in members)), because=because))
        for place in members:
            path = shares.unfolding.paths[place]
            rule_name = "without time" if path.source is None else f"from step {path.source} to step {path.acts}"
            way = Chain(tuple(shares.factors.instance(i) for i in path.places[:-1]) + (shares.weight,), ())
            lines.append(draft(2, rule_name, shares.names[place], terms(shares.terms[place]), because=(way, ".")))
    return lines


def _explanation(shares: Shares, heads: list[Box]) -> tuple[str | Box, ...]:
    count, paths = len(shares.unfolding.paths), shares.unfolding.paths
    crossed = next((shares.name(path) for path in reversed(paths) if path.source != path.acts), heads[-1])
    said: list[str | Box] = [
        f"{count} path{'s' * (count > 1)} lead{'s' * (count == 1)} from the objective to a use of ",
        shares.weight,
        ". The label of a share, as of ",
        crossed,
        ", says from which step's cost it comes and at which step it acts. ",
    ]
    crossing = next((link for path in paths for link in path.links[:-1] if shares.shift(link)), None)
    if crossing is not None:
        said += [_direction(shares), " They cross steps because ", shares.factors.instance(crossing.reader), " reads "]
        uses = len({path.acts for path in paths})
        why = "the entry is used at several steps, and several ways lead to a use" if uses > 1 else "several ways lead to the one use"
        said += [shares.factors.instance(crossing.read), f"; they are added because {why}."]
    return tuple(said)


def _direction(shares: Shares) -> str:
    shifts = {shares.shift(link) for path in shares.unfolding.paths for link in path.links[:-1]}
    if max(shifts) <= 0:
        return "Errors flow backward in time: a share acts at the step it comes from or at an earlier one, never at a later one."
    if min(shifts) >= 0:
        return "What runs backward in time sends errors forward: a share acts at the step it comes from or at a later one."
    return "Errors flow to earlier steps through what runs forward in time, and to later ones through what runs backward."


def factors(shares: Shares) -> list[Draft]:
    """What the objective sends, and what every kind of link multiplies by, each at the last step where it occurs."""
    lines = []
    explicit = {(path.places[path.first].target): path for path in shares.unfolding.paths}
    for path in explicit.values():
        if len(path.places) - 1 == path.first:
            continue
        place = shares.factors.instance(path.places[path.first])
        held = shares.factors.notation.box(path.explicit)
        if held != Partial(shares.system.objective, place):
            because = "Where the error of a step arises: what the objective itself sends."
            lines.append(draft(3, "explicit derivative", Partial(shares.system.objective, place), held, because=because))
    kinds: dict[tuple[Target, Target, int], Link] = {}
    met = {link: None for path in shares.unfolding.paths for link in path.links[:-1]}
    for link in sorted(met, key=lambda link: link.reader.step):
        kinds[link.reader.target, link.read.target, shares.shift(link)] = link
    for link in kinds.values():
        lines.append(_link(shares, link))
    for instance, node in _last_slopes(shares).items():
        cell = shares.system.cell_of[instance.target]  # type: ignore[index]
        name = Factors.at(cell.slopes, shares.unfolding.unfolded.position(instance))  # type: ignore[arg-type]
        what = ("The slope of ", shares.system.notation.applied(cell.function, 0), ", on the diagonal.")  # type: ignore[arg-type]
        lines.append(draft(3, "slopes", name, shares.factors.diagonal(node), because=what, source="seung2005"))
    return lines


def _last_slopes(shares: Shares) -> dict[Instance, Node]:
    last = {instance.target: instance for instance in sorted(shares.factors.slopes, key=lambda i: i.step)}
    return {instance: shares.factors.slopes[instance] for instance in last.values()}


def _link(shares: Shares, link: Link) -> Draft:
    reader, read = shares.factors.instance(link.reader), shares.factors.instance(link.read)
    shift = shares.shift(link)
    kind = "link within a step" if not shift else f"link to {'an earlier' if shift < 0 else 'a later'} step"
    negative, factors = shares.factors.of(link)
    if (link.reader, link.read) in shares.factors.opaque:
        sent = shares.factors.holding({link.mark: shares.any}).box(link.sent)
        left = row(factors[0].box, shares.any)
        return draft(3, kind, left, sent, because="No product of matrices; so here it is by what it makes of what arrives.")
    unit = shares.system.notation.identity if link.read.target.shape else ONE
    right = row(*(factor.transposed for factor in reversed(factors))) if factors else unit
    because = "Shares have its transpose." if link.read.target.shape else "A factor."
    return draft(3, kind, Partial(reader, read), terms((negative, right)), because=because)
