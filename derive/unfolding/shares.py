"""Shares: Unfolding -> its terms as boxes, their labels, and what the sections ask about links and adjoints."""

from __future__ import annotations

from derive.nodes import At, Number
from derive.sections.boxes import Box, Glyph, Name, Partial, Script
from derive.sections.system import System
from derive.unfolding.factors import Factors
from derive.unfolding.links import Instance, Link
from derive.unfolding.notation import number
from derive.unfolding.paths import Path, Unfolding


class Shares:
    """What the sections read: the entry, every path's label and term, and the system that names come from."""

    def __init__(self, unfolding: Unfolding) -> None:
        self.unfolding, self.steps = unfolding, unfolding.steps
        self.system = System(unfolding.derivation)
        self.system.names.taken.update(str(index) for index in unfolding.entry.indices)
        self.share, self.any = Name(self.system.names.fresh("G", "P", "share")), Name(self.system.names.fresh("v", "u", "any"))
        self.factors = Factors(self.system, unfolding.unfolded, unfolding.entry.indices)
        self.weight = self.factors.weight(unfolding.goal)
        self.by_weight = Partial(self.system.objective, self.weight)
        self.names = [self.name(path, path.number) for path in unfolding.paths]
        self.terms = [self.factors.term(path) for path in unfolding.paths]

    def name(self, path: Path, number_of: int = 0) -> Box:
        """The label of a share: the step it comes from, the step it acts at, and its number among such."""
        if path.source is None:
            steps, latex = "·", r"\cdot"
        else:
            source, acts = number(path.source), number(path.acts)  # type: ignore[arg-type]
            steps, latex = f"{source.text}→{acts.text}", rf"{source.latex} \to {acts.latex}"
        if number_of:
            steps, latex = f"{steps},{number_of}", rf"{latex},\,{number_of}"
        return Script(self.share, sub=Glyph(steps, latex))

    def shift(self, link: Link) -> int:
        """By how many steps a link leads on."""
        steps = [self.unfolding.unfolded.position(instance) for instance in (link.reader, link.read)]
        return 0 if None in steps else steps[1] - steps[0]  # type: ignore[operator]

    def adjoint(self, instance: Instance) -> Box | None:
        """The adjoint of an instance by its name in the derivation; None where it is a number, or nothing."""
        adjoint = self.unfolding.derivation.adjoints.get(instance.target)
        if isinstance(adjoint, At):
            return self.factors.notation.read(adjoint.quantity, number(instance.step))
        return None if adjoint is None or isinstance(adjoint, Number) else self.factors.notation.box(adjoint)
