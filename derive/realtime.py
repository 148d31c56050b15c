"""Real-time recurrent learning: Recurrence -> Sensitivities, the derivatives of its states by its parameters, run forward.

They are the tangent for every component of a parameter at once (`derive.directions`). States are what lies on a loop or
a steady state and what leads to one. The objective's derivative by a state, all states held fixed, comes from the
adjoint rules; the gradient is its product with the state's sensitivity, and what the objective owes a parameter without
any state in between. Prints nothing, lowers nothing.
Source: [williams1989].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

from derive import arrays as A
from derive import temporal
from derive.adjoint import active_targets, start
from derive.arithmetic import MatMul, add, scale, summands
from derive.collection import Collection
from derive.constraints import systems
from derive.derivation import Derivation
from derive.directions import Directions, stacked
from derive.errors import RecurrenceError
from derive.flattening import count, flat, reshaped
from derive.graph import components
from derive.names import Names, root, taken_by
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, quantity_of
from derive.nodes import replace as exchanged
from derive.normal import normalise
from derive.recurrence import Equation, Recurrence, Target, reads
from derive.rules import transpose
from derive.structure import blocks, edges
from derive.tangents import move


@dataclass(frozen=True)
class Sensitivities(Derivation):
    """A recurrence with its sensitivities, and the gradient of its objective from them.

    by: (label of a quantity, label of what it is differentiated by) -> the quantity that holds the derivative, (n, p) for
    a vector (n) and a parameter of p components, taken row by row; (p) for a scalar; of the quantity's own shape where
    the parameter is a scalar. explicit: label of a state -> the objective's derivative by it, all states held fixed.
    """

    by: Mapping[tuple[str, str], Quantity] = field(default_factory=dict)
    explicit: Mapping[str, Node] = field(default_factory=dict)


def sensitivities(recurrence: Recurrence, wrt: str | Iterable[str] | None = None) -> Sensitivities:
    """Derive the forward sensitivities of a recurrence, and from them the gradient of its objective, if it has one.

    wrt: labels of parameters, inputs without time and values outside the steps ("W", "h[0]"); all parameters by default; parameters
    that constraints bind to one of them come along.
    Shapes: h (n) and W (n, m) give h_by_W (n, n*m) at every step, in the loop's own direction of time; the gradient
    W_bar is (n, m). Where there is no objective every quantity has its sensitivities, otherwise the states.
    Units: those of the state over those of the parameter.
    Raises: RecurrenceError for an unknown label, or naming what has no sensitivities.
    Source: [williams1989].
    """
    primal = normalise(recurrence)
    forward = _Forward(primal, recurrence, _chosen(primal, wrt))
    seeds = start(recurrence, forward, forward.names) if recurrence.objective is not None else {}
    active = active_targets(primal, forward) if seeds or forward.started else set(primal.equation)
    forward.carry(active)
    for members in reversed(components({e.target: [edge.target for edge in edges(primal, e)] for e in primal.equations})):
        forward.visit([m for m in members if m in active and m in forward.moved], cyclic=False)
    return forward.sensitivities(recurrence, seeds)


def _chosen(primal: Recurrence, wrt: str | Iterable[str] | None) -> list[Target]:
    fixed: list[Target] = [q for q in primal.of_role("input") if q.kind != Kind.TIMED]
    known = {target.source(): target for target in [*primal.of_role("parameter"), *fixed, *primal.arguments]}
    if wrt is None:
        return list(primal.of_role("parameter"))
    labels = [wrt] if isinstance(wrt, str) else list(wrt)
    for label in labels:
        if label not in known:
            timed = label in primal.named and primal.named[label].role == "input"
            why = f"{label} has a value at every step, and would need one for every two" if timed else f"no {label} to derive by"
            raise RecurrenceError(why, f"sensitivities are by {', '.join(known) or 'parameters, of which there are none here'}")
    chosen = [known[label] for label in dict.fromkeys(labels)]
    together = [q for system in systems(primal) if {*chosen} & {*system.parameters} for q in system.parameters]
    return list(dict.fromkeys([*chosen, *together]))


def _falls_on(read: Node, target: Target) -> bool:
    """Whether a read may be one of the target itself."""
    if isinstance(target, Quantity) or isinstance(read, Quantity):
        return read == target
    if read.quantity != target.quantity:
        return False
    if isinstance(read, At):
        return bool(read.lag) and Collection.reaches(target, read.lag)
    return read == target or (not read.outside and read.from_end != target.from_end)


def dependents(primal: Recurrence, target: Target) -> set[Quantity]:
    """The quantities that depend on a parameter, an input or a value outside the steps, or whose values outside the steps do."""
    readers: dict[Target, list[Target]] = {}
    for equation in primal.equations:
        for edge in edges(primal, equation):
            readers.setdefault(edge.target, []).append(equation.target)
    stack = [e.target for e in primal.equations if any(_falls_on(read, target) for read in reads(e.expr))]
    found: set[Target] = set()
    while stack:
        reader = stack.pop()
        if reader not in found:
            found.add(reader)
            stack += readers.get(reader, [])
    return {quantity_of(one) for one in ({*found, target} if isinstance(target, Pick) else found)}


class _Forward(Collection):
    """Collects what the objective sends; at a state it stops, and goes on through the state's sensitivities."""

    def __init__(self, primal: Recurrence, source: Recurrence, leaves: list[Target]) -> None:
        super().__init__(primal, Names(taken_by(primal)))
        self.source, self.leaves = source, leaves
        self.by: dict[tuple[Target, Target], Quantity] = {}
        self.explicit: dict[Quantity, Node] = {}
        self.moved: set[Target] = set()
        self.inlined: set[Quantity] = set()

    def free(self) -> list[Target]:
        """What receives a gradient: what was asked for."""
        return self.leaves if self.source.objective is not None else []

    # -- sensitivities

    def carry(self, active: set[Target]) -> None:
        """Choose the states among what the objective depends on, and write the equations of their sensitivities."""
        leading = self._leading(active)
        touched = {leaf: dependents(self.primal, leaf) for leaf in self.leaves}
        for found in touched.values():
            self.moved |= found | {e.target for e in self.primal.equations if isinstance(e.target, Pick) and e.target.quantity in found}
        self.inlined = self._passing(leading & self.moved)
        made: list[Equation] = []
        for leaf, found in touched.items():
            states = [q for q in self.primal.quantities if q in found and q in leading]
            for state in states:
                self._declare(state, leaf)
            for state in states:
                if state not in self.inlined:
                    made += self._equations(state, leaf, states)
        self.emitted.append((len(self.place) + 1, made))

    def _leading(self, active: set[Target]) -> set[Quantity]:
        """What lies on a loop or a steady state, and what leads to one; everything where there is no objective."""
        if self.source.objective is None:
            return {target for target in active if isinstance(target, Quantity)}
        stack = [m for block in blocks(self.primal) if block.kind not in ("once", "sweep") for m in block.members if m in active]
        found: set[Target] = set()
        while stack:
            target = stack.pop()
            if target not in found:
                found.add(target)
                stack += [edge.target for edge in edges(self.primal, self.primal.equation[target])]
        return {quantity_of(one) for one in found}

    def _passing(self, states: set[Quantity]) -> set[Quantity]:
        """Pre-activations that one state reads, once: their sensitivities are written where they are read."""
        uses: Counter[Quantity] = Counter()
        for equation in self.primal.equations:
            weight = 1 if isinstance(equation.target, Quantity) else 2  # of a value outside the steps, which is no state
            for read in reads(equation.expr):
                uses[quantity_of(read)] += weight
        return {q for q in states if q.name not in self.source.named and uses[q] == 1}

    def _declare(self, state: Quantity, leaf: Target) -> None:
        if state.kind == Kind.SHARED and leaf.kind != Kind.SHARED:
            raise RecurrenceError(
                f"{state.name} is one for all sequences and depends on {leaf.source()}, which each sequence has its own of",
                "leave it out of wrt; derive.gradient has no such limit",
            )
        if state in self.inlined:
            return
        shape = stacked(state.shape, count(leaf.shape)) if leaf.shape else state.shape
        name = self.names.fresh(f"{state.name}_by_{root(leaf)}")
        self.by[state, leaf] = Quantity(name, state.role, shape, state.kind)
        self.meanings[name] = f"derivative of {state.name} by {leaf.source()}"

    def _equations(self, state: Quantity, leaf: Target, states: list[Quantity]) -> list[Equation]:
        """The equation of a sensitivity, and its values outside the steps."""
        forward, holder = _Lift(self, leaf, states), self.by[state, leaf]
        made = [Equation(holder, forward.equation(self.primal.equation[state]))]
        for ghost in self.primal.ghosts.get(state, ()):
            given = self.primal.equation.get(ghost)
            value = forward.unit() if ghost == leaf else (forward.equation(given) if given else A.filled(Number(0), holder.shape))
            made.append(Equation(Pick(holder, ghost.args[1]), value))
        return made

    # -- the gradient

    def _send(self, equation: Equation, g: Node) -> None:
        """From a state on to every parameter at once: the transposed sensitivity times what reaches the state."""
        state, held = equation.target, {leaf: held for (q, leaf), held in self.by.items() if q == equation.target}
        if not held:
            super()._send(equation, g)
            return
        self.explicit[state] = g
        if self.names_own(state):
            self.meanings[root(quantity_of(g))] = f"derivative by {state.name}, all states held fixed"
        for leaf, holder in held.items():
            columns = At(holder, 0) if holder.kind == Kind.TIMED else holder
            self._receive(leaf, _chained(columns, g, leaf), state.kind, self.place[state])

    def sensitivities(self, source: Recurrence, seeds: dict[str, Quantity]) -> Sensitivities:
        """Put everything together."""
        made = self.derivation(source, seeds)
        kept = {entry.name: getattr(made, entry.name) for entry in fields(made)}
        kept["recurrence"] = replace(made.recurrence, name=f"{source.name}_sensitivities")
        kept["adjoints"] = {leaf: self.adjoints[leaf] for leaf in self.free()}
        labelled = {(q.source(), leaf.source()): held for (q, leaf), held in self.by.items()}
        return Sensitivities(**kept, by=labelled, explicit={q.source(): g for q, g in self.explicit.items()})


def _chained(columns: Node, g: Node, leaf: Target) -> Node:
    """What a state sends to a parameter, in the parameter's shape."""
    if not leaf.shape:
        return A.Dot(columns, g) if columns.shape else scale(g, columns)
    return reshaped(scale(g, columns) if not g.shape else MatMul(transpose(columns), flat(g)), leaf.shape)


class _Lift:
    """Equations of the model -> those of their derivatives by one leaf."""

    def __init__(self, forward: _Forward, leaf: Target, states: list[Quantity]) -> None:
        self.forward, self.leaf = forward, leaf
        self.stands_for = {Quantity(f"{q.name} moves", q.role, q.shape, q.kind): q for q in states}
        self.dots: dict[Quantity, Node] = {q: dot for dot, q in self.stands_for.items()}
        if isinstance(leaf, Quantity):
            self.dots[leaf] = Number(1) if not leaf.shape else Quantity(f"{leaf.name} moves", leaf.role, leaf.shape, leaf.kind)
        unknown = {dot: None for dot in self.dots.values() if isinstance(dot, Quantity)}
        self.directions = Directions(count(leaf.shape), unknown, self.known)

    def unit(self) -> Node:
        """The derivative of the leaf by itself."""
        return A.Eye(count(self.leaf.shape)) if self.leaf.shape else Number(1)

    def known(self, read: At | Pick | Quantity) -> Node:
        """The derivative of what is read: the leaf's own, a sensitivity, or that of a pre-activation written out."""
        dot = quantity_of(read)
        state = self.stands_for.get(dot)
        if state is None:
            return self.unit()
        if state in self.forward.inlined:
            return self.of(self.forward.primal.equation[state].expr)
        holder = self.forward.by[state, self.leaf]
        return holder if isinstance(read, Quantity) else read.func(holder, read.args[1])

    def of(self, expr: Node, like: Node | None = None) -> Node:
        """The derivative of an expression, spread over the shape of another."""
        moved = move(expr, self.dots)
        whole = expr if like is None else like
        if not self.leaf.shape:
            found = Number(0) if moved is None else exchanged(moved, {r: self.known(r) for r in reads(moved) if self.directions.enters(r)})
            return A.filled(found, whole.shape)
        return A.filled(Number(0), stacked(whole.shape, self.directions.size)) if moved is None else self.directions.like(moved, whole)

    def equation(self, equation: Equation) -> Node:
        """The right side of the derivative's equation: in a total each term counts as often as the term that it is of."""
        expr, target = equation.expr, equation.target
        if not equation.sums_sequences:
            made = self.of(expr)
            return temporal.Each(made) if target.kind == Kind.SEQUENCE and made.kind == Kind.SHARED else made
        terms = [term for term in summands(expr) if move(term, self.dots) is not None]
        made = [(self.of(term, expr), term.kind) for term in terms]
        return add([temporal.Each(part) if kind > part.kind == Kind.SHARED else part for part, kind in made] or [self.of(expr)])
