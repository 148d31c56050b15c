"""Statements of a Program -> lines on whole arrays, in the words of a dialect. Products that share an operand may be one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codegen.peers.dialects import Dialect
from codegen.peers.sizes import added, size_text
from codegen.peers.terms import Terms
from codegen.program import Program
from codegen.sizes import ZERO_SIZE, Size
from codegen.statements import Accumulate, Fill, Map, OuterSum, PickStep, Product, Read, Reduce, Statement

ROWS = {"shared": 0, "sequence": 1, "timed": 2}  # axes of rows of a whole buffer


def outside_name(name: str, from_end: bool, place: int) -> str:
    """A name for a value outside the steps: place 0, -1, … before the first, 1, 2, … after the last."""
    return f"after{place}_{name}" if from_end else f"before{1 - place}_{name}"


def step_name(name: str, lag: int) -> str:
    """A name for a value within a step of a loop, `lag` steps on."""
    return f"now_{name}" if not lag else f"{'ago' if lag < 0 else 'ahead'}{abs(lag)}_now_{name}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where statements are written.

    lines: grows; read: (buffer, lag) -> the expression of it and its axes of rows; inside: a window -> which steps lie in it; define:
    (name, expression) -> a name of the function's body; position: a fixed step -> its value; in_step: within a loop.
    """

    lines: list[str]
    read: Callable[[str, int], tuple[str, int]]
    inside: Callable[[int | None, int | None], tuple[str, int]]
    define: Callable[[str, str], str]
    position: Callable[[PickStep], str]
    in_step: bool = False


@dataclass(frozen=True, slots=True)
class StatementWriter:
    """Writes statements of one program at one place; merged: products that share an operand as one, with their weights side by side."""

    program: Program
    dialect: Dialect
    place: Place
    merged: bool

    def write(self, statements: Sequence[Statement]) -> None:
        """Write statements in order."""
        sharing: dict[Read, list[Product]] = {}
        for statement in statements:
            if isinstance(statement, Product):
                sharing.setdefault(statement.operand, []).append(statement)
        for statement in statements:
            if isinstance(statement, Product):
                self._product(statement, sharing[statement.operand])
            else:
                self._write(statement)

    def _write(self, statement: Statement) -> None:
        match statement:
            case Map():
                terms = self._terms(self._sizes(statement.out))
                self._assign(statement.out, terms.full(statement.element, self._lead(statement.out)))
            case Reduce():
                self._reduce(statement)
            case OuterSum():
                self._outer(statement)
            case Accumulate():
                self._accumulate(statement)
            case PickStep():
                self._assign(statement.out, self.place.position(statement))
            case Fill():
                text = self._terms(self._sizes(statement.out)).full(statement.element, 1)
                self.place.define(outside_name(statement.out, statement.from_end, statement.offset), text)

    def _name(self, name: str) -> str:
        """A buffer's name where it is filled."""
        return step_name(name, 0) if self.place.in_step and self.program.buffers[name].kind == "timed" else name

    def _assign(self, name: str, text: str) -> None:
        self.place.lines.append(f"{self._name(name)} = {text}")

    def _sizes(self, name: str) -> tuple[Size, ...]:
        return self.program.buffers[name].shape

    def _lead(self, name: str) -> int:
        rows = ROWS[self.program.buffers[name].kind]
        return min(rows, 1) if self.place.in_step else rows

    def _terms(self, axes: Sequence[Size]) -> Terms:
        return Terms(self.dialect, axes, self.place.read, self._sizes, self.place.inside)

    # -- products

    def _product(self, statement: Product, alike: Sequence[Product]) -> None:
        operand = self.place.read(statement.operand.buffer, statement.operand.lag)[0]
        if not self.merged or len(alike) == 1:
            self._assign(statement.out, f"{operand} @ {_weights(statement)}")
        elif statement is alike[0]:
            self._merge(operand, alike)

    def _merge(self, operand: str, alike: Sequence[Product]) -> None:
        """One product with the weights of several side by side, taken apart again."""
        first = alike[0].out
        weights = [_weights(product) for product in alike]
        stacked = self.place.define(f"weights_{first}", self.dialect.form("joined", parts=", ".join(weights), axis=1))
        bounds, reached = [], ZERO_SIZE
        for statement in alike[:-1]:
            reached = added(reached, self._sizes(statement.out)[0])
            bounds.append(size_text(reached))
        names = [self._name(statement.out) for statement in alike]
        split = self.dialect.form("split", array=f"{operand} @ {stacked}", bounds=", ".join(bounds))
        self.place.lines.append(f"{', '.join(names)} = {split}")

    # -- sums

    def _reduce(self, statement: Reduce) -> None:
        """Over further axes, which stand last. A maximum stands below an exponential only, where it changes no gradient."""
        kept = self._sizes(statement.out)
        whole = self._terms((*kept, *statement.axes)).full(statement.element, self._lead(statement.out))
        axes = tuple(range(-len(statement.axes), 0))
        self._assign(statement.out, self.dialect.form("highest" if statement.operation == "max" else "sum", array=whole, axes=axes))

    def _accumulate(self, statement: Accumulate) -> None:
        shared = self.program.buffers[statement.out].kind == "shared"
        timed = statement.window[0] is not None
        whole = self._terms(self._sizes(statement.out)).full(statement.element, 2 if timed else 1)
        start, stop = statement.window
        if timed and (start or stop is not None):
            whole = f"({whole})[{start or ''}:{'' if stop is None else stop}]"
        axes = ((0, 1) if shared else (0,)) if timed else (0,)
        self._assign(statement.out, self.dialect.form("sum", array=whole, axes=axes))

    def _outer(self, statement: OuterSum) -> None:
        (left, lead), (right, _) = (self.place.read(read.buffer, read.lag) for read in (statement.left, statement.right))
        rows = "tb"[2 - lead :]
        self._assign(statement.out, self.dialect.form("outer", spec=f"{rows}i,{rows}j->ij", left=left, right=right))


def _weights(product: Product) -> str:
    """What rows are multiplied by from the right."""
    return product.matrix if product.transposed else f"{product.matrix}.T"
