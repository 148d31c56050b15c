"""Language: text -> Recurrence, by a whitelist over Python's syntax tree; nothing is executed.

Limits, then statements by form, then names whose shapes follow, then nodes, through the builder.
"""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

from derive.builder import Builder
from derive.errors import RecurrenceError
from derive.expressions import Expressions
from derive.inference import Inference
from derive.limits import Source, parse_tree, read_source
from derive.nodes import Kind, Quantity, shape_text
from derive.recurrence import Recurrence
from derive.reserved import RESERVED
from derive.statements import Declaration, Definition, Statements, sort_statements


def parse(text: str | bytes, name: str = "recurrence", file: str | None = None) -> Recurrence:
    """Read a recurrence from text in the language of docs/language.md.

    Raises: RecurrenceError with file, line, caret and hint. Nothing in the text is executed.
    """
    source = read_source(text, file or f"{name}.rec")
    statements = sort_statements(parse_tree(source), source)
    try:
        return _Reader(source, statements, name).recurrence()
    except RecursionError:
        raise RecurrenceError(f"{source.file} is nested too deeply", "give parts names of their own") from None


class _Reader:
    """One pass over the statements of one file."""

    def __init__(self, source: Source, statements: Statements, name: str) -> None:
        self.source, self.statements = source, statements
        self.builder = Builder(name, statements.title, source.file)
        self.quantities: dict[str, Quantity] = {}
        used = {n.id for d in statements.declarations.values() for size in d.dims for n in ast.walk(size) if isinstance(n, ast.Name)}
        self.expressions = Expressions(source, self.quantities, tuple(statements.functions), statements.lambdas, frozenset(used - RESERVED))

    def recurrence(self) -> Recurrence:
        for name, tree in self.statements.functions.items():
            self._guard(tree, self.builder.function, name)
        kinds = self._kinds()
        for declaration in self.statements.declarations.values():
            self._declare(declaration, kinds)
        self._infer()
        for definition in self.statements.definitions:
            self._define(definition)
        if self.statements.objective is not None:
            name, sense, tree, place = self.statements.objective
            expr = None if tree is None else self.expressions.node(tree)
            aim = self.builder.minimize if sense == "minimize" else self.builder.maximize
            self._guard(tree or place, aim, name, expr, place.lineno)  # type: ignore[attr-defined]
        return self.builder.recurrence()

    def _guard(self, tree: ast.AST, call: object, *args: object) -> object:
        try:
            return call(*args)  # type: ignore[operator]
        except RecurrenceError as error:
            raise error.at(self.source.where(tree)) from None

    def _declare(self, declaration: Declaration, kinds: dict[str, Kind]) -> None:
        name, build = declaration.name, self.builder
        dims = tuple(self.expressions.dimension(size) for size in declaration.dims)
        if declaration.role == "quantity":
            quantity = self._guard(declaration.tree, lambda: build.quantity(name, *dims, kind=kinds[name]))
        elif declaration.role == "constant":
            default = None if declaration.default is None else self._constant(declaration.default)
            quantity = self._guard(declaration.tree, lambda: build.constant(name, *dims, default=default))
        else:
            role = "sequence_input" if declaration.role == "input" and not declaration.timed else declaration.role
            quantity = self._guard(declaration.tree, getattr(build, role), name, *dims)
        self.quantities[name] = quantity  # type: ignore[assignment]
        self.builder.lines[name] = declaration.tree.lineno  # type: ignore[attr-defined]

    def _constant(self, tree: ast.expr) -> object:
        if isinstance(tree, ast.UnaryOp):
            return -self._constant(tree.operand)  # type: ignore[operator]
        return self.source.decimal(tree)  # type: ignore[arg-type]

    def _kinds(self) -> dict[str, Kind]:
        """Kinds of the quantities without time: the largest among what they read."""
        declared = self.statements.declarations
        kinds = {
            name: Kind.SEQUENCE if d.timed or d.role == "input" else Kind.SHARED for name, d in declared.items() if d.role != "total"
        }
        trees = [d for d in self.statements.definitions if d.index is None and d.name in kinds and not declared[d.name].timed]
        for _ in trees or [None]:
            for definition in trees:
                names = {node.id for node in ast.walk(definition.expr) if isinstance(node, ast.Name)}
                wide = names & {"T", "each", "steps"} or any(kinds.get(n) == Kind.SEQUENCE for n in names)
                kinds[definition.name] = Kind.SEQUENCE if wide else kinds[definition.name]
        return kinds

    def _infer(self) -> None:
        definitions = self.statements.definitions
        equations = [(d.expr, self.quantities[d.name].shape) for d in definitions if d.name in self.quantities]
        if self.statements.objective and self.statements.objective[2] is not None:
            equations.append((self.statements.objective[2], ()))
        known = {name: quantity.shape for name, quantity in self.quantities.items()}
        skip = {*self.expressions.dims, *self.statements.functions, *self.statements.lambdas}
        inference = Inference({**known, **dict.fromkeys(skip, ())})
        for name, shape in inference.run(equations).items():
            self.quantities[name] = self.builder.parameter(name, *shape)
            self.builder.notes.append(f"note: {name} is taken as a parameter, {shape_text(shape)}")
            uses = sum(isinstance(n, ast.Name) and n.id == name for expr, _ in equations for n in ast.walk(expr))
            near = difflib.get_close_matches(name, [other for other in known if other != name], 1, 0.75)
            if uses == 1 and near and len(name) > 2:
                self.builder.notes.append(f"warning: {name} is used once and resembles {near[0]}; was that meant?")

    def _define(self, definition: Definition) -> None:
        quantity = self.quantities.get(definition.name)
        line = definition.tree.lineno  # type: ignore[attr-defined]
        if quantity is None:
            raise self.source.error(definition.tree, f"{definition.name} is not declared", f"write {definition.name}[t]: n = … first")
        expr = self.expressions.node(definition.expr)
        if definition.index is None:
            self._guard(definition.expr, self.builder.define, quantity, expr, line)
        elif isinstance(definition.index, ast.Constant) and definition.index.value is Ellipsis:
            self._signal_only(definition, quantity)
            self._guard(definition.expr, self.builder.define_outside, quantity, expr, line)
        else:
            self._signal_only(definition, quantity)
            target = definition.tree.targets[0]  # type: ignore[attr-defined]
            ghost = self.expressions.node(target)
            self._guard(definition.expr, self.builder.define, ghost, expr, line)

    def _signal_only(self, definition: Definition, quantity: Quantity) -> None:
        if quantity.role != "signal":
            raise self.source.error(definition.tree, f"{quantity.name} is not a signal", "only signals have values outside the steps")


def load(reference: str | Path) -> Recurrence:
    """A stock recurrence by its name, or a `.rec` file by its path.

    Raises: RecurrenceError where there is no such file, or what is in it cannot be read.
    """
    text, name, file = read(reference)
    return parse(text, name, file)


def read(reference: str | Path) -> tuple[bytes, str, str]:
    """The text, name and file name of a stock recurrence or of a path. Raises RecurrenceError."""
    stock = Path(__file__).parent / "zoo" / f"{reference}.rec"
    path = stock if str(reference).isidentifier() and stock.is_file() else Path(reference)
    try:
        return path.read_bytes(), path.stem, str(reference) if path is not stock else path.name
    except OSError as error:
        known = sorted(entry.stem for entry in stock.parent.glob("*.rec"))
        near = difflib.get_close_matches(str(reference), known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        reason = error.strerror or "cannot be read"
        raise RecurrenceError(f"{reference}: {reason}", f"{hint}stock recurrences are {', '.join(known)}; anything else is a path") from None


