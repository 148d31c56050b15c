"""Collection: the contributions that equations send to the adjoints of what they read -> the equations of those adjoints.

A lagged read becomes a signal of its own at the reader's step; what a value outside the steps receives is a sum of picks; shared
quantities receive totals. docs/calculus.md ("Adjoint") has the table.
"""

from __future__ import annotations

from dataclasses import replace

from derive import arrays as A
from derive import temporal
from derive.arithmetic import Where, add, summands
from derive.contributions import function_values, lifted, reuse, time_sum
from derive.derivation import Contribution, Derivation
from derive.jacobians import fold
from derive.names import Names, root
from derive.nodes import At, Kind, Node, Number, Pick, Quantity, T, Window, quantity_of, walk
from derive.normal import normalise, pre_activations
from derive.outside import keep_outside
from derive.projections import plan, project
from derive.recurrence import Equation, Recurrence, Target
from derive.rules import rule
from derive.validity import validate

Leaf = At | Pick | Quantity


class Collection:
    """Contributions by target and lag, and the equations made of them."""

    def __init__(self, primal: Recurrence, names: Names) -> None:
        self.primal, self.names = primal, names
        self.place = {e.target: i for i, e in enumerate(primal.equations)}
        self.sensed = pre_activations(primal)
        self.now: dict[Target, list[tuple[int, Node]]] = {}
        self.lagged: dict[tuple[Quantity, int], list[tuple[int, Node]]] = {}
        self.started: list[Target] = []
        self.adjoints: dict[Target, Node] = {}
        self.carried: dict[tuple[Quantity, int], Quantity] = {}
        self.inputs: list[Quantity] = []
        self.generated: set[Quantity] = set()
        self.meanings = dict(primal.meanings)
        self.contributions: list[Contribution] = []
        self.emitted: list[tuple[int, list[Equation]]] = []
        self.plans = plan(primal)
        self.bound = {parameter for entry in self.plans for parameter in entry.system.parameters}

    # -- starting points

    def add_input(self, quantity: Quantity, meaning: str) -> None:
        """Declare a generated input."""
        self.inputs.append(quantity)
        self.meanings[quantity.name] = meaning

    def start(self, target: Target, value: Node) -> None:
        """Give a target's adjoint a first term."""
        self.started.append(target)
        self.now.setdefault(target, []).append((len(self.place), value))

    # -- one component at a time, readers first

    def visit(self, members: list[Target], cyclic: bool) -> None:
        """Name the adjoints of a component's members and send what their equations contribute."""
        members = [m for m in members if cyclic or m in self.now or any(self._reads_back(m))]
        for member in members:
            inline = None if cyclic else self._constant(member)
            self.adjoints[member] = self._name(member, cyclic) if inline is None else inline
        for member in reversed(members):
            self._send(self.primal.equation[member], self.adjoints[member])
        inside = {self.place[member] for member in members}
        for member in members:
            if self.names_own(member):
                self._emit(member, inside if cyclic else set())

    def names_own(self, target: Target) -> bool:
        """Whether the adjoint of a target is a generated quantity, and not written in place."""
        adjoint = self.adjoints.get(target)
        return quantity_of(adjoint) in self.generated

    def _reads_back(self, target: Target) -> list[int]:
        quantity = quantity_of(target)
        return [lag for q, lag in self.lagged if q == quantity and (isinstance(target, Quantity) or self.reaches(target, lag))]

    @staticmethod
    def reaches(ghost: Pick, lag: int) -> bool:
        """Whether a read at t + lag, for a step t in 1..T, can fall on this position outside 1..T."""
        return lag >= ghost.offset if ghost.from_end else lag <= ghost.offset - 1

    def _constant(self, target: Target) -> Node | None:
        terms = self.now.get(target, [])
        if len(terms) != 1 or self._reads_back(target):
            return None
        value = terms[0][1]
        small = sum(1 for _ in walk(value)) <= 4 and not value.shape
        plain = all(
            not isinstance(n, (At, Pick, temporal.TimeSum)) and not (isinstance(n, Quantity) and n.role != "constant") for n in walk(value)
        )
        return value if small and plain else None

    def _name(self, target: Target, cyclic: bool = False) -> Node:
        if isinstance(target, Pick):
            return self._generate(f"{root(target)}_bar", "quantity", target, Kind.SEQUENCE, f"gradient at {target.source()}")
        if target in self.sensed and target.name in self.primal.meanings:
            owner = self.sensed[target].name
            wishes = (["s"] if len([q for q in self.sensed if q.name in self.primal.meanings]) == 1 else []) + [f"s_{owner}"]
            meaning = f"sensitivity of {owner}: derivative by the bias in its {target.name}"
        else:
            wishes, meaning = [f"{target.name}_free_bar" if target in self.bound else f"{target.name}_bar"], f"adjoint of {target.name}"
            if target in self.sensed:
                meaning += f", the sensitivity of {self.sensed[target].name}"
        shared = "quantity" if cyclic else "total"  # a total cannot stand on a cycle; `_summed_first` takes it out
        role = {Kind.TIMED: "signal", Kind.SEQUENCE: "quantity", Kind.SHARED: shared}[target.kind]
        quantity = self._generate(wishes, role, target, target.kind, meaning)
        return At(quantity, 0) if target.kind == Kind.TIMED else quantity

    def _generate(self, wishes: str | list[str], role: str, like: Node, kind: Kind, meaning: str) -> Quantity:
        name = self.names.fresh(*([wishes] if isinstance(wishes, str) else wishes))
        quantity = Quantity(name, role, like.shape, kind)
        self.meanings[name] = meaning
        self.generated.add(quantity)
        return quantity

    # -- walking an equation

    def _send(self, equation: Equation, g: Node) -> None:
        if equation.sums_sequences:
            terms = summands(equation.expr)
            for term in terms:
                self._walk(term, fold(term, g), min(term.kind, Kind.SEQUENCE), equation.target)
            return
        context = Kind.TIMED if equation.timed else (Kind.SEQUENCE if isinstance(equation.target, Pick) else equation.target.kind)
        self._walk(equation.expr, g, context, equation.target)

    def _walk(self, node: Node, g: Node, context: Kind, reader: Target, because: str = "read as it is") -> None:
        if isinstance(node, (At, Pick, Quantity)):
            self.contributions.append(Contribution(reader, node, g, "chain", because))
            self._receive(node, g, context, self.place[reader])
        elif isinstance(node, temporal.TimeSum):
            g = self._held(g, node, "sum_bar", f"a sum over time in {reader.source()}", self.place[reader])
            inner = g if node.window.full else temporal.Within(g, node.window)
            self._walk(node.args[0], inner, Kind.TIMED, reader, "a sum over steps reaches each of them")
        elif isinstance(node, temporal.Within):
            self._walk(node.args[0], temporal.Within(g, node.window), context, reader, "a window is kept")
        else:
            entry = rule(node)
            for operand, sent in entry.adjoint(node, g):
                self._walk(operand, sent, context, reader, entry.because)

    def _receive(self, leaf: Leaf, value: Node, context: Kind, place: int) -> None:
        quantity = quantity_of(leaf)
        if quantity.role in ("constant", "index") or quantity in self.inputs:
            return
        if isinstance(leaf, At):
            if leaf.lag:
                self.lagged.setdefault((quantity, leaf.lag), []).append((place, value))
            else:
                self._keep(quantity, value, place)
        elif isinstance(leaf, Pick):
            self._pick(leaf, time_sum(value) if context == Kind.TIMED else value, place)
        elif context == Kind.TIMED:
            self._keep(quantity, time_sum(value), place)
        else:
            self._keep(quantity, lifted(value) if context == Kind.SEQUENCE else value, place)

    def _keep(self, target: Target, value: Node, place: int) -> None:
        self.now.setdefault(target, []).append((place, value))

    def _pick(self, leaf: Pick, value: Node, place: int) -> None:
        if leaf.quantity.role != "input":
            for ghost in self.primal.ghosts[leaf.quantity]:
                if leaf.outside and ghost == leaf:
                    self._keep(ghost, temporal.Each(value) if value.kind == Kind.SHARED else value, place)
                elif not leaf.outside and leaf.from_end != ghost.from_end:
                    steps = ghost.offset - leaf.offset if leaf.from_end else leaf.offset - ghost.offset
                    if steps >= 0:
                        self._keep(ghost, Where("==", Number(T), Number(steps), value, Number(0)), place)
        if leaf.outside:
            return
        value = self._held(value, leaf, f"{leaf.quantity.name}_pick_bar", leaf.source(), place)
        offset = leaf.offset
        window = Window(offset - 1, offset or None) if leaf.from_end else Window(offset - 1, offset)
        self._keep(leaf.quantity, temporal.Within(value, window), place)

    def _held(self, value: Node, like: Node, stem: str, what: str, place: int) -> Node:
        """A contribution about to enter a timed equation: a quantity of its own where it holds a sum over time."""
        if not any(isinstance(node, temporal.TimeSum) for node in walk(value)):
            return value
        held = self._generate(stem, "quantity", like, Kind.SEQUENCE, f"adjoint of {what}")
        self.emitted.append((place, [Equation(held, value)]))
        return held

    # -- equations of the adjoints

    def _emit(self, target: Target, inside: set[int]) -> None:
        adjoint = self.adjoints[target]
        quantity = quantity_of(adjoint)
        terms = [value for _, value in sorted(self.now.get(target, []), key=lambda entry: (entry[0] in inside, entry[0]))]
        made: list[Equation] = []
        if isinstance(target, Quantity):
            terms += [At(self._carry(target, lag, made), -lag) for lag in sorted(self._reads_back(target), reverse=True)]
        else:
            for lag in sorted(self._reads_back(target), reverse=True):
                terms.append(Pick(self._carry(target.quantity, lag, made), target.args[1] - lag))
        if inside and target.kind == Kind.SHARED:
            terms = self._summed_first(target, quantity, terms, made)
        made.append(Equation(quantity, self._joined(terms, target)))
        self.emitted.append((self.place.get(target, -1), made))

    def _joined(self, terms: list[Node], target: Target) -> Node:
        expr = A.filled(add(terms) if terms else Number(0), target.shape)
        sequence = target.kind == Kind.SEQUENCE or isinstance(target, Pick)
        return temporal.Each(expr) if sequence and expr.kind == Kind.SHARED else expr

    def _summed_first(self, target: Target, quantity: Quantity, terms: list[Node], made: list[Equation]) -> list[Node]:
        """A shared steady state's adjoint: what comes from sequences is totalled outside the cycle."""
        summed = [value for value in terms if value.kind != Kind.SHARED]
        if not summed:
            return terms
        total = self._generate(f"{quantity.name}_sum", "total", target, Kind.SHARED, f"{quantity.name} from all sequences")
        made.append(Equation(total, add(summed)))
        return [total, *(value for value in terms if value.kind == Kind.SHARED)]

    def _carry(self, quantity: Quantity, lag: int, made: list[Equation]) -> Quantity:
        """The signal in which reads at a lag send back, at the reader's step; zero outside the steps."""
        key = (quantity, lag)
        if key not in self.carried:
            stem = f"{quantity.name}_{'back' if lag < 0 else 'ahead'}{abs(lag) if abs(lag) > 1 else ''}"
            read = At(quantity, lag).source()
            signal = self._generate(stem, "signal", quantity, Kind.TIMED, f"what step t sends to {read}")
            terms = [value for _, value in sorted(self.lagged[key], key=lambda entry: entry[0])]
            made.append(Equation(signal, A.filled(add(terms), quantity.shape)))
            for steps in range(1, abs(lag) + 1):
                made.append(Equation(Pick(signal, T + steps if lag < 0 else 1 - steps), A.filled(Number(0), quantity.shape)))
            self.carried[key] = signal
        return self.carried[key]

    # -- the result

    def derivation(self, source: Recurrence, seeds: dict[str, Quantity]) -> Derivation:
        """Emit the gradients and put everything together."""
        gradients, zero = self._gradients()
        backward = [e for _, made in sorted(self.emitted, key=lambda entry: -entry[0]) for e in made]
        outputs = function_values(self.primal)
        backward = [replace(e, expr=reuse(e.expr, outputs)) for e in backward]
        quantities = dict.fromkeys(q if q.role != "objective" else Quantity(q.name, "total", (), 0) for q in self.primal.quantities)
        primal = [replace(e, target=Quantity(e.target.name, "total", (), 0)) if _is_objective(e) else e for e in self.primal.equations]
        if source.objective and (source.objective.abstract or seeds):
            quantities = {q: None for q in quantities if q.name != source.objective.name}
            primal = [e for e in primal if not (isinstance(e.target, Quantity) and e.target.name == source.objective.name)]
        made = [e.target for e in backward if isinstance(e.target, Quantity)]
        result = Recurrence(
            name=f"{source.name}_gradient", title=source.title, quantities=(*quantities, *self.inputs, *made),
            equations=(*primal, *backward), functions=source.functions, defaults=source.defaults, meanings=self.meanings, file=source.file,
            constraints=source.constraints,
        )  # fmt: skip
        checked = normalise(validate(keep_outside(result, self.primal.arguments, self.names), {}))
        return Derivation(
            source=source, primal=self.primal, recurrence=checked, adjoints=self.adjoints, carried=self.carried,
            gradients=gradients, zero=frozenset(zero), cotangents=seeds, contributions=tuple(self.contributions),
            projections=tuple(self.projections),
            free={p.name: self.adjoints[p] for made in self.projections for p in made.system.parameters},
        )  # fmt: skip

    def free(self) -> list[Target]:
        """What receives a gradient."""
        return list(self.primal.free)

    def _gradients(self) -> tuple[dict[str, Quantity], list[str]]:
        gradients: dict[str, Quantity] = {}
        zero = []
        for target in self.free():
            label = target.source()
            if target not in self.adjoints:
                self.adjoints[target] = self._name(target)
                if target not in self.now and not self._reads_back(target):
                    zero.append(label)
                self._emit(target, set())
            adjoint = self.adjoints[target]
            gradients[label] = quantity_of(adjoint)  # type: ignore[assignment]
            self.meanings[gradients[label].name] = f"gradient at {label}" + (", unprojected" if target in self.bound else "")
        self.projections, gradients, zero = project(self.plans, gradients, zero, self.names, self.meanings)
        self.emitted += [(-1, list(made.equations)) for made in self.projections]
        return gradients, zero


def _is_objective(equation: Equation) -> bool:
    return isinstance(equation.target, Quantity) and equation.target.role == "objective"
