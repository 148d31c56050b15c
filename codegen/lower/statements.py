"""Statements: equations -> statements that fill buffers, each product and reduction in a buffer of its own.

Structure then decides by itself what is hoisted out of a loop and what becomes one product over all steps.
"""

from __future__ import annotations

from dataclasses import replace

from codegen.element import Element, Index, Load, Op
from codegen.lower.elements import Elements, is_index
from codegen.lower.parts import RowMax, RowScatter, RowSum, RowSumExp, is_scaling
from codegen.lower.scatter import scattered
from codegen.lower.sizes import as_element, as_size
from codegen.program import Buffer
from codegen.statements import Accumulate, Fill, Map, OuterSum, PickStep, Product, Read, Reduce, Statement
from codegen.systems import Project
from derive import arrays as A
from derive import temporal
from derive.arithmetic import Add, Div, MatMul, Mul, Neg, Transpose, is_rational, summands
from derive.flattening import Kron, Reshape
from derive.nodes import At, Kind, Node, Pick, Quantity, Shape
from derive.recurrence import Equation

KINDS = {Kind.SHARED: "shared", Kind.SEQUENCE: "sequence", Kind.TIMED: "timed"}


def axes(shape: Shape, start: int = 0) -> Index:
    """The plain index of a shape."""
    return tuple((start + place, ()) for place in range(len(shape)))


def summed_steps(node: temporal.TimeSum) -> tuple[int | None, int | None]:
    """The window of a sum over time; its start is never None, which says that a sum goes over rows alone."""
    start, stop = node.window.bounds
    return start or 0, stop


class Statements:
    """Lowers equations one by one; `buffers` and `statements` grow. `prefix` tells generated quantities of phases apart.

    bound: for each constrained parameter, the place of its system and its buffer.
    """

    def __init__(self) -> None:
        self.buffers: dict[str, Buffer] = {}
        self.statements: list[Statement] = []
        self.known: dict[Quantity, str] = {}
        self.aside_of: dict[Node, Read] = {}
        self.losses: tuple[str | None, str | None] = (None, None)
        self.bound: dict[str, tuple[int, str]] = {}
        self.elements = Elements(self.place, self.aside, self.picked)

    def declare(self, quantity: Quantity, prefix: str, label: str, role: str = "value", ends: tuple[int, int] = (0, 0)) -> str:
        """A buffer for a quantity."""
        name = f"{prefix}{quantity.name}"
        sizes = tuple(as_size(size) for size in quantity.shape)
        below = None
        if quantity.role == "index":
            sizes, below = (), sizes[0]
        self.buffers[name] = Buffer(name, label, KINDS[quantity.kind], sizes, role, *ends, below=below)
        self.known[quantity] = name
        return name

    def place(self, quantity: Quantity) -> str:
        """The buffer of a quantity."""
        return self.known[quantity]

    def define(self, equation: Equation) -> None:
        """Lower one equation."""
        target, expr = equation.target, equation.expr
        if isinstance(target, Pick):
            element = self.elements.of(expr, axes(expr.shape))
            self.statements.append(Fill(self.place(target.quantity), target.from_end, target.offset, element))
        elif isinstance(target, Quantity) and target.role == "objective":
            self._objective(self.place(target), expr)
        elif equation.sums_sequences:
            self._total(self.place(target), expr)
        else:
            self._into(self.place(target), expr)

    def fill(self, ghost: Pick, argument: str) -> None:
        """A value outside the steps that the caller gives."""
        self.statements.append(Fill(self.place(ghost.quantity), ghost.from_end, ghost.offset, Load(argument, 0, axes(ghost.shape))))

    # -- one expression into one buffer

    def aside(self, node: Node) -> Read:
        """A buffer that holds the node's value; quantities and their lags are read where they are."""
        if isinstance(node, At) and not is_index(node):
            return Read(self.place(node.quantity), node.lag)
        if isinstance(node, Quantity):
            return Read(self.place(node))
        if node not in self.aside_of:
            name = self._fresh(node.shape, node.kind)
            self._into(name, node)
            self.aside_of[node] = Read(name)
        return self.aside_of[node]

    def picked(self, node: Node) -> Read:
        """A buffer that holds the integer of an index input at a fixed step."""
        assert isinstance(node, Pick)
        mark = Pick(Quantity(node.quantity.name, "integer", (), node.quantity.kind), node.args[1])
        if mark not in self.aside_of:
            source = self.buffers[self.place(node.quantity)]
            name = self._fresh((), Kind.SEQUENCE)
            self.buffers[name] = replace(self.buffers[name], below=source.below)
            self.statements.append(PickStep(name, source.name, node.from_end, node.offset))
            self.aside_of[mark] = Read(name)
        return self.aside_of[mark]

    def _fresh(self, shape: Shape, kind: Kind) -> str:
        name = f"t{len(self.buffers)}"
        self.buffers[name] = Buffer(name, "", KINDS[kind], tuple(as_size(size) for size in shape))
        return name

    def _into(self, out: str, node: Node) -> None:
        if KINDS[node.kind] != self.buffers[out].kind:
            # One value for many rows or steps is computed once, in a buffer of its own kind.
            self.statements.append(Map(out, self.elements.of(node, axes(node.shape))))
            return
        chosen = self.elements.gathered(node, axes(node.shape))
        if chosen is not None:
            self.statements.append(Map(out, chosen))
            return
        match node:
            case MatMul() if not is_scaling(node):
                self._product(out, node)
            case Pick() if not is_index(node):
                self.statements.append(PickStep(out, self.place(node.quantity), node.from_end, node.offset))
            case temporal.TimeSum():
                element = self.elements.of(node.args[0], axes(node.shape))
                self._accumulate(out, element, summed_steps(node))
            case A.Project():
                changes = tuple((self.bound[n][1], self.aside(v).buffer) for n, v in zip(node.names, node.operands, strict=True))
                self.statements.append(Project(out, *self.bound[node.name], changes))
            case A.Sum() | A.Norm2() | A.Dot() | A.CrossEntropy() | RowMax() | RowSumExp() | RowSum() | RowScatter():
                self._reduce(out, node)
            case _:
                self.statements.append(Map(out, self.elements.of(node, axes(node.shape))))

    def _product(self, out: str, node: MatMul) -> None:
        matrix, operand = node.args
        if matrix.kind == Kind.SHARED and operand.kind != Kind.SHARED and len(operand.shape) == 1:
            transposed = isinstance(matrix, Transpose)
            stored = self.aside(matrix.args[0] if transposed else matrix)
            self.statements.append(Product(out, stored.buffer, transposed, self.aside(operand)))
            return
        inner = len(node.shape)
        left = self._whole(matrix, (axes(node.shape)[0], (inner, ())))
        right = self._whole(operand, ((inner, ()), *axes(node.shape)[1:]))
        self.statements.append(Reduce(out, "sum", Op("mul", (left, right)), (as_size(matrix.shape[1]),)))

    def _whole(self, node: Node, index: Index) -> Element:
        """An operand of a product, read where it lies."""
        if isinstance(node, (At, Quantity, Transpose, A.Outer, A.Ones, Reshape, Kron)):
            return self.elements.of(node, index)
        return self.elements.load(self.aside(node), index)

    def _reduce(self, out: str, node: Node) -> None:
        operand = node.args[0]
        if isinstance(node, (RowMax, RowSumExp, RowSum, RowScatter)):
            kept = axes(operand.shape)[:-1]
            over = operand.shape[-1:]
        else:
            kept, over = (), operand.shape
        index = (*kept, *axes(over, len(kept)))
        operation = "max" if isinstance(node, RowMax) else "sum"
        element = self._reduced(node, index, kept)
        self.statements.append(Reduce(out, operation, element, tuple(as_size(size) for size in over)) if over else Map(out, element))

    def _reduced(self, node: Node, index: Index, kept: Index) -> Element:
        operand = node.args[0]
        of, load = self.elements.of, self.elements.load
        match node:
            case A.Norm2():
                return Op("power", (of(operand, index),), (2, 1))
            case A.Dot():
                return Op("mul", (of(operand, index), of(node.args[1], index)))
            case A.CrossEntropy():
                target, y = node.args
                fused = isinstance(y, A.Softmax)
                log = of(A.LogSoftmax(y.args[0]), index) if fused else Op("log", (of(y, index),))
                return Op("neg", (Op("mul", (of(target, index), log)),))
            case RowSumExp():
                top = load(self.aside(RowMax(operand)), kept)
                return Op("exp", (Op("add", (of(operand, index), Op("neg", (top,)))),))
            case RowScatter():
                mean = Op("div", (load(self.aside(RowSum(operand)), kept), as_element(operand.shape[-1])))
                return Op("power", (Op("add", (of(operand, index), Op("neg", (mean,)))),), (2, 1))
        return of(operand, index)

    # -- the objective, and totals over sequences

    def _objective(self, out: str, expr: Node) -> None:
        """The sum of what each sequence costs and of what depends on none; `losses` names the buffers that hold the two."""
        terms = summands(expr)
        groups = [term for term in terms if term.kind != Kind.SHARED], [term for term in terms if term.kind == Kind.SHARED]
        parts: list[str | None] = []
        for group, kind in zip(groups, (Kind.SEQUENCE, Kind.SHARED), strict=True):
            parts.append(self._fresh((), kind) if group else None)
            if group:
                self._into(parts[-1], group[0] if len(group) == 1 else Add(*group))  # type: ignore[arg-type]
        self.losses = parts[0], parts[1]
        if parts[0] is None:
            self.statements.append(Map(out, Load(parts[1], 0, ())))  # type: ignore[arg-type]
            return
        summed = out if parts[1] is None else self._fresh((), Kind.SHARED)
        self.statements.append(Accumulate(summed, Load(parts[0], 0, ())))
        if parts[1] is not None:
            self.statements.append(Map(out, Op("add", (Load(summed, 0, ()), Load(parts[1], 0, ())))))

    def _total(self, out: str, expr: Node) -> None:
        terms = summands(expr)
        if len(terms) == 1 and expr.kind != Kind.SHARED:
            self._over_rows(out, expr)
            return
        parts = [self._summed(term) for term in terms]
        self.statements.append(Map(out, parts[0] if len(parts) == 1 else Op("add", tuple(parts))))

    def _summed(self, term: Node) -> Element:
        """A term of a total: as it is where it is shared, else its sum over sequences; plain factors stay outside the sum."""
        index = axes(term.shape)
        if term.kind == Kind.SHARED:
            return self.elements.of(term, index)
        match term:
            case Neg():
                return Op("neg", (self._summed(term.args[0]),))
            case Mul() if len(term.args) == 2 and is_rational(term.args[0]):
                return Op("mul", (as_element(term.args[0].value), self._summed(term.args[1])))
            case Div() if is_rational(term.args[1]):
                return Op("div", (self._summed(term.args[0]), as_element(term.args[1].value)))
        name = self._fresh(term.shape, Kind.SHARED)
        self._over_rows(name, term)
        return Load(name, 0, index)

    def _over_rows(self, out: str, term: Node) -> None:
        if isinstance(term, (Neg, Mul, Div)) and self._peeled(term) is not None:
            self.statements.append(Map(out, self._summed(term)))
        elif isinstance(term, temporal.TimeSum):
            self._over_steps(out, term)
        elif isinstance(term, A.Outer) and all(arg.kind == Kind.SEQUENCE and not is_index(arg) for arg in term.args):
            self.statements.append(OuterSum(out, *(self.aside(arg) for arg in term.args)))
        else:
            self._accumulate(out, self.elements.of(term, axes(term.shape)))

    def _accumulate(self, out: str, element: Element, window: tuple[int | None, int | None] = (None, None)) -> None:
        """A sum, which adds in one place only where an index input chooses it."""
        found = scattered(element)
        inner, place = found if found is not None else (element, None)
        self.statements.append(Accumulate(out, inner, window, place))

    @staticmethod
    def _peeled(term: Node) -> Node | None:
        if isinstance(term, Neg):
            return term.args[0]
        if isinstance(term, Mul) and len(term.args) == 2 and is_rational(term.args[0]):
            return term.args[1]
        return term.args[0] if isinstance(term, Div) and is_rational(term.args[1]) else None

    def _over_steps(self, out: str, term: temporal.TimeSum) -> None:
        body, window = term.args[0], term.window
        if isinstance(body, A.Outer) and all(arg.kind == Kind.TIMED and not is_index(arg) for arg in body.args):
            left, right = body.args
            if not window.full:
                left = temporal.Within(left, window)
            reads = self.aside(left), self.aside(right)
            if not any(self._ends_in_zero(read) for read in reads):
                reads = self._now(left), reads[1]
            self.statements.append(OuterSum(out, *reads))
        elif isinstance(body, A.Outer) and [arg.kind for arg in body.args] == [Kind.TIMED, Kind.SEQUENCE] and not is_index(body.args[1]):
            summed = temporal.TimeSum(body.args[0], window)
            self.statements.append(OuterSum(out, self.aside(summed), self.aside(body.args[1])))
        else:
            self._accumulate(out, self.elements.of(body, axes(body.shape)), summed_steps(term))

    def _ends_in_zero(self, read: Read) -> bool:
        """Whether what is read is zero beyond each sequence's end, where other signals have their values outside the steps."""
        buffer = self.buffers[read.buffer]
        return not read.lag and (not buffer.after or buffer.role == "argument")

    def _now(self, node: Node) -> Read:
        """A signal copied to the current step, so that it is zero beyond each sequence's end."""
        name = self._fresh(node.shape, Kind.TIMED)
        self.statements.append(Map(name, self.elements.of(node, axes(node.shape))))
        return Read(name)
