"""Language: text -> Recurrence, by a whitelist over Python's syntax tree; nothing is executed.

Limits, then statements by form, then names whose shapes follow, then nodes, through the builder.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from derive.builder import Builder
from derive.clashes import Declared, with_hint
from derive.constraints import LINEAR
from derive.errors import RecurrenceError, ShapeError
from derive.expressions import Expressions
from derive.indexing import Indexing
from derive.inference import Inference
from derive.limits import MAX_BYTES, Source, parse_tree, read_source
from derive.nodes import Kind, Node, Quantity, Shape, shape_text
from derive.recurrence import Recurrence
from derive.reserved import RESERVED
from derive.sizes import size_text
from derive.statements import Declaration, Definition, Statements, sort_statements
from derive.suggestions import STATEMENT_FORMS, closest

MAX_DIMS = 100
MAX_RESEMBLANCES = 20


def parse(text: str | bytes, name: str = "recurrence", file: str | None = None) -> Recurrence:
    """Read a recurrence from text in the language of docs/language.md.

    Raises: RecurrenceError with file, line, caret and hint. Nothing in the text is executed.
    """
    source = read_source(text, file or f"{name}.rec")
    try:
        statements = sort_statements(parse_tree(source), source)
        if not statements.places and not statements.definitions:
            raise RecurrenceError(f"{source.file} declares and defines nothing", STATEMENT_FORMS)
        return _Reader(source, statements, name).recurrence()
    except RecursionError:
        raise RecurrenceError(f"{source.file} is nested too deeply", "give parts names of their own") from None


class _Reader:
    """One pass over the statements of one file."""

    def __init__(self, source: Source, statements: Statements, name: str) -> None:
        self.source, self.statements = source, statements
        self.builder = Builder(name, statements.title, source.file)
        self.quantities: dict[str, Quantity] = {}
        dims = self._dims()
        self.declared = Declared(self.builder.lines)
        self.indexing = Indexing(source, self.quantities, dims)
        functions = frozenset(statements.functions)
        self.expressions = Expressions(
            source, self.quantities, functions, statements.lambdas, statements.slopes, self.indexing, self.declared
        )
        if statements.objective is not None:
            self.expressions.objective = statements.objective.name

    def recurrence(self) -> Recurrence:
        statements = self.statements
        for name, tree in statements.functions.items():
            self._guard(tree, self.builder.function, name)
        kinds = self._kinds()
        for declaration in statements.declarations.values():
            self._declare(declaration, kinds)
        self._infer()
        for definition in statements.definitions:
            self._define(definition)
        self._aim()
        for equality in statements.equalities:
            self._constrain(equality)
        self._unused()
        return self.builder.recurrence()

    def _guard(
        self, tree: ast.AST, call: Callable[..., Quantity | None], *args: object, **options: object
    ) -> Quantity | None:
        try:
            return call(*args, **options)
        except RecurrenceError as error:
            raise error.at(self.source.where(tree)) from None

    # -- names

    def _dims(self) -> frozenset[str]:
        """Names of the dims, which are those in declarations. Raises RecurrenceError where one is a quantity too."""
        places: dict[str, ast.Name] = {}
        for declaration in self.statements.declarations.values():
            for size in declaration.dims:
                found = (node for node in ast.walk(size) if isinstance(node, ast.Name) and node.id not in RESERVED)
                places.update({node.id: node for node in found if node.id not in places})
        for name, tree in places.items():
            known = self.statements.places.get(name)
            if known is not None:
                problem = f"{name} is both a dim and the name that line {known.lineno} declares"
                raise self.source.error(tree, problem, "rename one of the two")
        if len(places) > MAX_DIMS:
            raise RecurrenceError(
                f"{self.source.file} has {len(places)} dims; at most {MAX_DIMS} are read", "use fewer sizes"
            )
        return frozenset(places)

    def _kinds(self) -> dict[str, Kind]:
        """Kinds of the quantities without time: the largest among what they read, lambdas included."""
        statements, declared = self.statements, self.statements.declarations
        trees = [(d.name, d.expr) for d in statements.definitions if d.name in declared and d.index is None]
        readers: dict[str, list[str]] = defaultdict(list)
        for name, tree in [*trees, *statements.lambdas.items(), *statements.slopes.items()]:
            for read in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}:
                readers[read].append(name)
        wide = {name for name, d in declared.items() if d.timed or d.role == "sequence_input"}
        shared = {name for name, d in declared.items() if d.role == "total"}
        stack = [*wide, "T", "each", "steps"]
        while stack:
            found = {reader for reader in readers[stack.pop()] if reader not in wide and reader not in shared}
            wide |= found
            stack += found
        return {name: Kind.SEQUENCE if name in wide else Kind.SHARED for name in declared}

    def _declare(self, declaration: Declaration, kinds: dict[str, Kind]) -> None:
        name, tree = declaration.name, declaration.tree
        dims = tuple(self.indexing.dimension(size) for size in declaration.dims)
        options: dict[str, object] = {}
        if declaration.role == "quantity":
            options = {"kind": kinds[name]}
        elif declaration.default is not None:
            options = {"default": self._constant(declaration.default)}
        quantity = self._guard(tree, getattr(self.builder, declaration.role), name, *dims, **options)
        self.quantities[name] = quantity  # type: ignore[assignment]
        self.builder.lines[name] = tree.lineno

    def _constant(self, tree: ast.expr) -> object:
        if isinstance(tree, ast.UnaryOp):
            value = self.source.decimal(tree.operand)  # type: ignore[arg-type]
            return -value if isinstance(tree.op, ast.USub) else value
        return self.source.decimal(tree)  # type: ignore[arg-type]

    def _infer(self) -> None:
        statements = self.statements
        equations: list[tuple[ast.expr, Shape | None]] = [
            (d.expr, self.quantities[d.name].shape) for d in statements.definitions if d.name in self.quantities
        ]
        aim = statements.objective
        if aim is not None and aim.expr is not None:
            equations.append((aim.expr, ()))
        equations += [(_difference(equality), None) for equality in statements.equalities]
        known = {name: quantity.shape for name, quantity in self.quantities.items()}
        skip = {*self.indexing.dims, *statements.functions, *statements.lambdas, *([aim.name] if aim else [])}
        timed = [name for name, quantity in self.quantities.items() if quantity.kind == Kind.TIMED]
        inference = Inference({**dict.fromkeys(skip, ()), **known}, timed, self.indexing.shape)
        found = inference.run(equations)
        for name, shape in found.items():
            quantity = self._guard(inference.places[name], self.builder.parameter, name, *shape)
            self.quantities[name] = quantity  # type: ignore[assignment]
            self.declared.inferred.add(name)
            self.builder.notes.append(f"note: {name} is taken as a parameter, {shape_text(shape)}")
        self._resemblances(list(found), [expr for expr, _ in equations], sorted({*known, *found}))

    def _resemblances(self, found: list[str], trees: list[ast.expr], known: list[str]) -> None:
        """Warn of names used once that resemble another: they may be slips of the pen."""
        uses = Counter(node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name))
        once = [name for name in found if uses[name] == 1 and len(name) > 2]
        for name in once[:MAX_RESEMBLANCES]:
            others = [other for other in known if other != name and (uses[other] > 1 or other in self.builder.lines)]
            near = closest(name, others, 0.75)
            if near:
                self.builder.notes.append(f"warning: {name} is used once and resembles {near}; was that meant?")

    def _unused(self) -> None:
        """Read lambdas that no equation calls too, so that what is wrong in them is said; warn of idle functions."""
        statements, used = self.statements, self.expressions.used
        for name in [*statements.functions, *statements.lambdas]:
            if name not in used:
                line = statements.places[name].lineno
                self.builder.notes.append(f"warning: {name} is defined on line {line} and never used")
        for name, tree in statements.lambdas.items():
            if name not in used:
                self.expressions.try_lambda(name, tree)

    # -- equations

    def _define(self, definition: Definition) -> None:
        quantity, name = self.quantities.get(definition.name), definition.name
        if quantity is None or name not in self.statements.declarations:
            raise self.source.error(definition.target, f"{name} is not declared", f"write {name}[t]: n = … first")
        if definition.index is None:
            timed = quantity.kind == Kind.TIMED
            expr = self._read(definition, quantity, f"{name}[t]" if timed else name, timed)
            self._equate(definition, quantity, expr, self.builder.define, quantity, expr)
            return
        if quantity.role != "signal":
            reason = "inputs read zero outside 1..T" if quantity.role == "input" and quantity.kind == Kind.TIMED else ""
            hint = reason or "only what is declared as h[t]: n = … has values outside the steps"
            raise self.source.error(
                definition.target, f"{name} is not a signal, and has no values outside the steps", hint
            )
        expr = self._read(definition, quantity, self.source.written(definition.target), False)
        if definition.everywhere:
            self._equate(definition, quantity, expr, self.builder.define_outside, quantity, expr)
            return
        ghost = self.indexing.step(definition.target, quantity)  # type: ignore[arg-type]
        self._equate(definition, quantity, expr, self.builder.define, ghost, expr)

    def _read(self, definition: Definition, quantity: Quantity, place: str, timed: bool) -> Node:
        self.expressions.enter(place, timed, ", ".join(map(size_text, quantity.shape)))
        return self.expressions.whole(definition.expr)

    def _equate(
        self, definition: Definition, quantity: Quantity, expr: Node, define: Callable[..., None], *args: object
    ) -> None:
        """Hand an equation to the builder; a clash of shapes names the declaration to change."""
        if definition.everywhere and expr.shape not in ((), quantity.shape):
            shapes = shape_text(quantity.shape), shape_text(expr.shape)
            problem = f"{quantity.name} is declared {shapes[0]}, its values outside the steps are {shapes[1]}"
            raise self.source.error(definition.expr, problem, self.declared.hint((expr,), quantity.shape))
        try:
            define(*args, definition.line)
        except ShapeError as error:
            hint = self.declared.hint((expr,), quantity.shape)
            raise with_hint(error, hint).at(self.source.where(definition.expr)) from None
        except RecurrenceError as error:
            raise RecurrenceError(
                error.problem, error.hint or "leave out one of the two", self.source.where(definition.target)
            ) from None

    def _constrain(self, equality: ast.Compare) -> None:
        for node in ast.walk(equality):
            quantity = self.quantities.get(node.id) if isinstance(node, ast.Name) else None
            if quantity is not None and quantity.kind != Kind.SHARED:
                varies = "from step to step" if quantity.kind == Kind.TIMED else "from sequence to sequence"
                raise self.source.error(node, f"{quantity.name} differs {varies}", LINEAR)
        self.expressions.enter("a constraint", False, "")
        left, right = (self.expressions.whole(side) for side in (equality.left, equality.comparators[0]))
        try:
            self._guard(equality, self.builder.constrain, left, right, self.source.where(equality))
        except ShapeError as error:
            raise with_hint(error, self.declared.hint((left, right))) from None

    def _aim(self) -> None:
        aim = self.statements.objective
        if aim is None:
            return
        expr = None
        if aim.expr is not None:
            self.expressions.enter(aim.name, False, "")
            expr = self.expressions.whole(aim.expr)
        build = self.builder.minimize if aim.sense == "minimize" else self.builder.maximize
        try:
            self._guard(aim.expr or aim.target, build, aim.name, expr, aim.target.lineno)
        except ShapeError as error:
            raise with_hint(error, "an objective is a scalar: write norm2(…), sum(…) or dot(a, …)") from None


def _difference(equality: ast.Compare) -> ast.expr:
    """The two sides of an equality as terms of a sum, in which shapes follow from one another."""
    return ast.copy_location(ast.BinOp(equality.left, ast.Sub(), equality.comparators[0]), equality)


def load(reference: str | Path) -> Recurrence:
    """A stock recurrence by its name, or a `.rec` file by its path.

    Raises: RecurrenceError where there is no such file, or what is in it cannot be read.
    """
    text, name, file = read(reference)
    return parse(text, name, file)


def read(reference: str | Path) -> tuple[bytes, str, str]:
    """The text, name and file name of a stock recurrence or of a path. Raises RecurrenceError.

    No more is read than a recurrence file may hold, and one byte, so that what is too long is seen to be.
    """
    zoo = Path(__file__).parent / "zoo"
    stock = zoo / f"{reference}.rec"
    try:
        path = stock if str(reference).isidentifier() and stock.is_file() else Path(reference)
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1), path.stem, str(reference) if path is not stock else path.name
    except (OSError, ValueError) as error:
        known = sorted(entry.stem for entry in zoo.glob("*.rec"))
        near = closest(str(reference), known)
        hint = f"did you mean {near}? " if near else ""
        reason = getattr(error, "strerror", None) or "cannot be read"
        problem = f"{str(reference)[:200]!s}: {reason}"
        raise RecurrenceError(
            problem, f"{hint}stock recurrences are {', '.join(known)}; anything else is a path"
        ) from None
