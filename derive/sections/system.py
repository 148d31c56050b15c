"""System: Derivation -> its cells, and the names of the derivation's own symbols.

A cell is an equation to which an imaginary bias is added: v = φ(F + b), v = F + b where nothing elementwise is
outermost. Its sensitivity is the derivative of the objective by b. The adjoint's equations are read from the
derivation, with carried signals put in where they are read; what does not have the expected form is printed as it
stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from derive.arithmetic import Abstract, Add, Apply, Neg, is_number
from derive.arrays import Zeros
from derive.derivation import Derivation
from derive.functions import FUNCTIONS
from derive.names import Names, taken_by
from derive.nodes import At, Kind, Node, Pick, Quantity, quantity_of, replace, walk
from derive.recurrence import Target, reads
from derive.rules import rule
from derive.sections.boxes import Box, Call, Fence, Glyph, Name, Partial, Script, row, terms
from derive.sections.notation import Notation, position, step
from derive.sections.projector import name_system
from derive.temporal import Each, TimeSum, Within

Signed = tuple[bool, Node]


@dataclass(frozen=True, slots=True)
class Cell:
    """An equation v = φ(F + b).

    form: `inverse` (φ can be inverted), `slope` (it cannot; the pre-activation is the unknown) or `plain` (no φ);
    rest: the terms of F without the bias parameter; bias: the imaginary bias' name; own: whether the model's own bias
    parameter lends its name; slopes: the name of D; sensitivity: the derivative by the bias.
    """

    value: Quantity
    function: Apply | Abstract | None
    form: str
    rest: tuple[Signed, ...]
    bias: Name
    own: bool
    slopes: Name | None
    sensitivity: Quantity
    unknown: Quantity

    @property
    def timed(self) -> bool:
        """Whether it holds at every step."""
        return self.value.kind == Kind.TIMED


def signed_terms(node: Node) -> list[Signed]:
    """The terms of a sum with their signs."""
    if isinstance(node, Each):
        return signed_terms(node.args[0])
    if isinstance(node, Neg):
        return [(not negative, term) for negative, term in signed_terms(node.args[0])]
    return [entry for term in node.args for entry in signed_terms(term)] if isinstance(node, Add) else [(False, node)]


class System:
    """What the sections read: the derivation, its cells, its notation and names that no quantity has."""

    def __init__(self, derivation: Derivation) -> None:
        self.derivation = derivation
        self.source, self.primal, self.whole = derivation.source, derivation.primal, derivation.recurrence
        self.names = Names({*taken_by(self.whole), *taken_by(self.source)})
        aim = self.source.objective
        pulled = aim is None or (not aim.abstract and bool(derivation.cotangents))
        self.objective = Name(self.names.fresh("R") if pulled else aim.name)  # type: ignore[union-attr]
        self.minimised = not pulled and aim.sense == "minimize"  # type: ignore[union-attr]
        self.abstract = pulled or aim.abstract  # type: ignore[union-attr]
        self.rate, self.delta = Name(self.names.fresh("eta", "rate")), Name(self.names.fresh("delta", "kron"))
        self.row_index, self.column_index = self._letters()
        identity = Name(self.names.fresh("I", "Id"))
        self.constrained = name_system(self.names) if derivation.projections else None
        projector = self.constrained.projector if self.constrained else None
        self.notation = Notation(self._derivatives(), identity, projector)
        self.generated = {q for q in self.whole.quantities if q not in self._primal_quantities}
        self.generated -= set(derivation.cotangents.values())
        self.carriers = set(derivation.carried.values())
        self.cells = self._cells()
        self.cell_of = {cell.value: cell for cell in self.cells}

    @cached_property
    def _primal_quantities(self) -> set[Quantity]:
        return {q for q in self.whole.quantities if q.name in self.primal.named}

    def _letters(self) -> tuple[Name, Name]:
        letters = [letter for letter in "ijklpqruvw" if letter not in self.names.taken][:2]
        letters = letters if len(letters) == 2 else [self.names.fresh("i"), self.names.fresh("j")]
        self.names.taken.update(letters)
        return Name(letters[0]), Name(letters[1])

    def _derivatives(self) -> dict[Quantity, Callable[[Glyph | None], Box]]:
        """Quantities that print as derivatives of the objective: its abstract ones, and gradients."""
        found: dict[Quantity, Callable[[Glyph | None], Box]] = {}

        def by(name: str) -> Callable[[Glyph | None], Box]:
            bare = Name(name)
            return lambda at: Partial(self.objective, bare if at is None else Call(bare, (at,)))

        def outside(pick: Pick) -> Callable[[Glyph | None], Box]:
            return lambda _: Partial(self.objective, Call(Name(pick.quantity.name), (position(pick),)))

        for name, quantity in self.derivation.cotangents.items():
            found[quantity] = by(name)
        for target, adjoint in self.derivation.adjoints.items():
            if isinstance(target, Pick) and isinstance(adjoint, Quantity):
                found[adjoint] = outside(target)
        for target, adjoint in self.derivation.adjoints.items():
            quantity = quantity_of(adjoint)
            if (
                isinstance(target, Quantity)
                and target.role in ("parameter", "input")
                and isinstance(quantity, Quantity)
            ):
                found[quantity] = by(target.name)
        for projection in self.derivation.projections:
            found.update((quantity, self._projected(name)) for name, quantity in projection.gradients)
        return found

    def _projected(self, name: str) -> Callable[[Glyph | None], Box]:
        assert self.constrained is not None  # there is a projection
        whole = Fence(row(self.constrained.projector, self.constrained.gradient))
        return lambda _: Script(whole, sub=Name(name))

    # -- cells

    def _cells(self) -> tuple[Cell, ...]:
        readers: dict[Quantity, set[Target]] = {}
        for equation in self.primal.equations:
            for read in reads(equation.expr):
                readers.setdefault(quantity_of(read), set()).add(equation.target)
        merged = {
            cell_function[1]
            for e in self.primal.equations
            if (cell_function := self._merged(e.target, e.expr, readers))
        }
        targets = [e.target for e in self.primal.equations if isinstance(e.target, Quantity) and e.target not in merged]
        chosen = [(q, self._merged(q, self.primal.equation[q].expr, readers)) for q in targets]
        chosen = [(q, pair) for q, pair in chosen if self._sensitivity(pair[1] if pair else q) is not None]
        curved = sum(pair is not None for _, pair in chosen)
        return tuple(self._cell(q, pair, len(chosen) == 1, curved == 1) for q, pair in chosen)

    def _merged(
        self, target: Target, expr: Node, readers: dict[Quantity, set[Target]]
    ) -> tuple[Apply | Abstract, Quantity] | None:
        """The function and the pre-activation of an equation that does nothing but apply the one to the other."""
        if not isinstance(target, Quantity) or not isinstance(expr, (Apply, Abstract)) or len(expr.operands) != 1:
            return None
        (read,) = expr.operands
        inner = read.quantity if isinstance(read, At) and not read.lag else read
        known = isinstance(inner, Quantity) and inner in self.primal.equation and self._sensitivity(inner) is not None
        if (
            not known
            or inner.name in self.derivation.cotangents
            or readers[inner] != {target}
            or target not in self.derivation.adjoints
        ):
            return None
        return expr, inner

    def _sensitivity(self, quantity: Quantity) -> Quantity | None:
        adjoint = self.derivation.adjoints.get(quantity)
        held = quantity_of(adjoint)
        return held if isinstance(held, Quantity) and held in self.generated and held in self.whole.equation else None

    def _cell(
        self, value: Quantity, pair: tuple[Apply | Abstract, Quantity] | None, alone: bool, one_slope: bool
    ) -> Cell:
        function, pre = pair or (None, value)
        rest = signed_terms(self.primal.equation[pre].expr)
        own = next((term for negative, term in rest if not negative and self._is_bias(term, value)), None)
        wishes = (["b"] if alone else []) + [f"b_{value.name}"]
        bias = Name(own.name if own is not None else self.names.fresh(*wishes))  # type: ignore[attr-defined]
        form = "plain"
        if function is not None:
            form = "inverse" if isinstance(function, Abstract) or FUNCTIONS[function.name].inverse else "slope"
        slopes = (
            Name(self.names.fresh(*(["D"] if one_slope else []), f"D_{value.name}")) if function is not None else None
        )
        sensitivity = self._sensitivity(pre)
        kept = tuple(entry for entry in rest if entry[1] is not own)
        assert sensitivity is not None  # only quantities that have one become cells
        unknown = pre if form == "slope" else value
        return Cell(value, function, form, kept, bias, own is not None, slopes, sensitivity, unknown)

    def _is_bias(self, term: Node, value: Quantity) -> bool:
        """Whether a term is a parameter that enters nowhere else, and so may lend its name to the imaginary bias."""
        if not isinstance(term, Quantity) or term.role != "parameter" or term.shape != value.shape:
            return False
        return sum(read == term for e in self.primal.equations for read in reads(e.expr)) == 1

    # -- the adjoint's equations

    def expression(self, target: Target) -> Node:
        """What the derivation's recurrence defines a target as, carried signals put in."""
        return self.unfolded(self.whole.equation[target].expr)

    def unfolded(self, expr: Node) -> Node:
        """The expression with reads of carried signals replaced by what they carry, moved to the step read."""
        moves: dict[Node, Node] = {}
        for read in reads(expr):
            if isinstance(read, (At, Pick)) and read.quantity in self.carriers and self.is_movable(read.quantity):
                moves[read] = self._moved(self.whole.equation[read.quantity].expr, read)
        return replace(expr, moves)

    def is_movable(self, carried: Quantity) -> bool:
        """Whether what a carried signal holds may be written at another step."""
        return not any(isinstance(node, (Within, TimeSum)) for node in walk(self.whole.equation[carried].expr))

    @staticmethod
    def _moved(expr: Node, read: At | Pick) -> Node:
        def at(inner: At) -> Node:
            return (
                At(inner.quantity, inner.lag + read.lag)
                if isinstance(read, At)
                else Pick(inner.quantity, read.args[1] + inner.lag)
            )

        return replace(expr, {inner: at(inner) for inner in reads(expr) if isinstance(inner, At)})

    def reads_adjoint(self, node: Node) -> bool:
        """Whether an expression reads anything of the adjoint system."""
        return any(quantity_of(read) in self.generated for read in reads(node))

    def total_adjoint(self, cell: Cell) -> list[Signed] | None:
        """The terms that reach the cell's value; None where the sensitivity is not the slope times those."""
        equation = self.whole.equation[cell.sensitivity]
        if cell.function is None:
            return signed_terms(self.unfolded(equation.expr))
        adjoint = self.derivation.adjoints[cell.value]
        here = At(cell.value, 0) if cell.timed else cell.value
        sent = [value for _, value in rule(cell.function).adjoint(cell.function, adjoint)]
        if equation.expr not in [form for value in sent for form in (value, replace(value, {cell.function: here}))]:
            return None
        held = quantity_of(adjoint)
        if held not in self.whole.equation:
            return signed_terms(adjoint)
        return signed_terms(self.expression(held))  # type: ignore[arg-type]

    def split(self, entries: list[Signed]) -> tuple[list[Signed], list[Signed]]:
        """Terms that come through the system, and those that the objective sends."""
        through = [entry for entry in entries if self.reads_adjoint(entry[1])]
        explicit = [
            entry
            for entry in entries
            if not self.reads_adjoint(entry[1]) and not isinstance(entry[1], Zeros) and not is_number(entry[1], 0)
        ]
        return through, explicit

    # -- boxes of cells

    def sum(self, entries: list[Signed] | tuple[Signed, ...]) -> Box:
        """A signed sum of nodes as a box."""
        return terms(*((negative, self.notation.box(node)) for negative, node in entries))

    def at(self, name: Name, cell: Cell, lag: int = 0, letter: str = "t") -> Box:
        """A name of a cell's own at a step, or without one."""
        return Call(name, (step(lag, letter),)) if cell.timed else name

    def bias(self, cell: Cell, letter: str = "t") -> Box:
        """The imaginary bias."""
        return self.at(cell.bias, cell, 0, letter)

    def argument(self, cell: Cell) -> Box:
        """F + b."""
        return terms((False, self.sum(cell.rest)), (False, self.bias(cell))) if cell.rest else self.bias(cell)

    def value(self, cell: Cell) -> Box:
        """V."""
        return self.notation.target(cell.value)

    def partial(self, cell: Cell, letter: str = "t") -> Box:
        """The derivative of the objective by the cell's value, as the objective has it."""
        return Partial(self.objective, self.notation.target(cell.value, letter))

    def sensitivity(self, cell: Cell, lag: int = 0, letter: str = "t") -> Box:
        """S."""
        return self.notation.read(cell.sensitivity, step(lag, letter) if cell.timed else None)
