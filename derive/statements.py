"""Statements: a syntax tree -> declarations and equations, sorted by form, before any shape is known."""

from __future__ import annotations

import ast
import keyword
from dataclasses import dataclass, field

from derive.limits import Source
from derive.refusals import alone
from derive.reserved import RESERVED
from derive.suggestions import STATEMENT_FORMS, STATEMENTS, keyword_hint

ROLES = ("input", "const", "total")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A declared name. role is a Builder method's name, or `quantity`; dims are syntax; tree is where it stands."""

    name: str
    role: str
    dims: tuple[ast.expr, ...]
    tree: ast.expr
    timed: bool = False
    default: ast.expr | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """An equation: of a declared name, or of a value outside the steps (`index`; Ellipsis means all of them)."""

    name: str
    expr: ast.expr
    target: ast.expr
    index: ast.expr | None = None

    @property
    def line(self) -> int:
        """The line it stands on."""
        return self.target.lineno

    @property
    def everywhere(self) -> bool:
        """Whether it is `h[...] = EXPR`."""
        return isinstance(self.index, ast.Constant) and self.index.value is Ellipsis


@dataclass(frozen=True, slots=True)
class Aim:
    """The objective: its name, `minimize` or `maximize`, its expression unless it is left abstract, and its place."""

    name: str
    sense: str
    expr: ast.expr | None
    target: ast.expr


@dataclass(slots=True)
class Statements:
    """A file's statements by form; `places` says where each name was first given a meaning.

    slopes: of those lambdas whose slope is the user's choice.
    """

    title: str = ""
    declarations: dict[str, Declaration] = field(default_factory=dict)
    definitions: list[Definition] = field(default_factory=list)
    functions: dict[str, ast.expr] = field(default_factory=dict)
    lambdas: dict[str, ast.Lambda] = field(default_factory=dict)
    slopes: dict[str, ast.Lambda] = field(default_factory=dict)
    equalities: list[ast.Compare] = field(default_factory=list)
    objective: Aim | None = None
    places: dict[str, ast.expr] = field(default_factory=dict)


def sort_statements(tree: ast.Module, source: Source) -> Statements:
    """Sort a file's statements. Raises RecurrenceError at a statement that the language does not have."""
    return _Sorter(source).run(tree)


class _Sorter:
    def __init__(self, source: Source) -> None:
        self.source, self.found = source, Statements()
        self._everywhere: dict[str, Definition] = {}

    def run(self, tree: ast.Module) -> Statements:
        for place, statement in enumerate(tree.body):
            match statement:
                case ast.Expr(value=ast.Constant(value=str() as title)) if place == 0:
                    self.found.title = " ".join(title.split())
                case ast.AnnAssign():
                    self._annotated(statement)
                case ast.Assign(targets=[target]):
                    self._assigned(statement, target)
                case ast.Assert():
                    self._assert(statement)
                case ast.Expr():
                    raise alone(self.source, statement.value)
                case _:
                    name, hint = STATEMENTS.get(
                        type(statement).__name__, (self.source.written(statement, 20), STATEMENT_FORMS)
                    )
                    raise self.source.error(statement, f"{name} is not a statement of the language", hint)
        return self.found

    def _assert(self, statement: ast.Assert) -> None:
        test, hint = statement.test, "write assert W == W.T, say"
        if statement.msg is not None:
            raise self.source.error(statement.msg, "an assert has no message", "leave out what follows the comma")
        if not isinstance(test, ast.Compare):
            raise self.source.error(test, "a constraint is an equality", hint)
        if len(test.ops) > 1:
            raise self.source.error(test, "a constraint has one ==", "write an assert for each")
        if not isinstance(test.ops[0], ast.Eq):
            hint = f"{hint}; for a range, derive the parameter from a free one: W: (n, n) = tanh(V)"
            raise self.source.error(test, "a constraint is an equality", hint)
        self.found.equalities.append(test)

    def _fresh(self, name: str, tree: ast.expr) -> str:
        known = self.found.places.get(name)
        if known is not None:
            raise self.source.error(
                tree, f"{name} is defined twice, first on line {known.lineno}", "use another name for one of the two"
            )
        if name in RESERVED:
            raise self.source.error(tree, f"{name} is reserved", f"choose another name, such as {name}_1")
        if keyword.iskeyword(name):
            raise self.source.error(tree, f"{name} is not a name", keyword_hint(name))
        self.found.places[name] = tree
        return name

    def _annotated(self, statement: ast.AnnAssign) -> None:
        target, note, value = statement.target, statement.annotation, statement.value
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            self._timed(target, target.value.id, note, value)
        elif isinstance(target, ast.Name):
            if (
                isinstance(value, ast.Call)
                and isinstance(value.func, ast.Name)
                and value.func.id in ("minimize", "maximize")
            ):
                raise self.source.error(
                    note, "an objective is a scalar and takes no shape", f"write {target.id} = {value.func.id}(…)"
                )
            if isinstance(note, ast.Name) and note.id == "function":
                if value is not None:
                    hint = f"define it as {target.id} = lambda u: …, without a word for its kind"
                    raise self.source.error(value, "an abstract function has no value", hint)
                self.found.functions[self._fresh(target.id, target)] = target
                return
            self._untimed(self._fresh(target.id, target), target, note, value)
        else:
            raise self.source.error(
                target, f"{self.source.written(target)} cannot be declared", "declare a name, or name[t]"
            )

    def _timed(self, target: ast.Subscript, name: str, note: ast.expr, value: ast.expr | None) -> None:
        if not (isinstance(target.slice, ast.Name) and target.slice.id == "t"):
            hint = "leave out the shape for values outside the steps: h[0] = …"
            raise self.source.error(target, f"only {name}[t] is declared with a shape", hint)
        if self._is_index(note):
            self._index(target, name, note, value)
            return
        dims = self._dims(note)
        self._declare(self._fresh(name, target), "input" if value is None else "signal", dims, target, timed=True)
        if value is not None:
            self.found.definitions.append(Definition(name, value, target))

    @staticmethod
    def _is_index(note: ast.expr) -> bool:
        word = note.value if isinstance(note, ast.Subscript) else note
        return isinstance(word, ast.Name) and word.id == "index"

    def _index(self, target: ast.expr, name: str, note: ast.expr, value: ast.expr | None) -> None:
        dims = self._dims(note.slice) if isinstance(note, ast.Subscript) else ()
        if len(dims) != 1:
            raise self.source.error(note, "an index says how many values it has", f"write {name}[t]: index[m]")
        if value is not None:
            raise self.source.error(value, f"{name} is an index input and has no equation", f"write {name}[t]: index[m]")
        self._declare(self._fresh(name, target), "index", dims, target, timed=True)

    def _untimed(self, name: str, target: ast.expr, note: ast.expr, value: ast.expr | None) -> None:
        if self._is_index(note):
            raise self.source.error(note, "an index input has time", f"write {name}[t]: index[m]")
        word = note.value if isinstance(note, ast.Subscript) else note
        role = word.id if isinstance(word, ast.Name) and word.id in ROLES else ""
        dims = () if role and word is note else self._dims(note.slice if role else note)  # type: ignore[attr-defined]
        if role == "const":
            if value is not None and (dims or not _is_number(value)):
                problem = "only a scalar constant has a default, and it is a number"
                raise self.source.error(value, problem, f"write {name}: const = 0.1")
            self._declare(name, "constant", dims, target, default=value)
            return
        if role == "input" and value is not None:
            raise self.source.error(
                value, f"{name} is an input and has no equation", f"write {name}: n = … for a quantity"
            )
        if role == "total" and value is None:
            raise self.source.error(target, f"the total {name} has no equation", f"write {name}: total[n] = …")
        role = "sequence_input" if role == "input" else role
        self._declare(name, role or ("parameter" if value is None else "quantity"), dims, target)
        if value is not None:
            self.found.definitions.append(Definition(name, value, target))

    def _declare(self, name: str, role: str, dims: tuple[ast.expr, ...], tree: ast.expr, timed: bool = False,
                 default: ast.expr | None = None) -> None:  # fmt: skip
        self.found.declarations[name] = Declaration(name, role, dims, tree, timed, default)

    def _dims(self, note: ast.expr) -> tuple[ast.expr, ...]:
        if isinstance(note, ast.Name) and note.id == "scalar":
            return ()
        dims = tuple(note.elts) if isinstance(note, ast.Tuple) else (note,)
        if len(dims) not in (1, 2):
            hint = "quantities are scalars (scalar), vectors (n) and matrices (n, m)"
            raise self.source.error(note, f"{len(dims)} dims", hint)
        return dims

    def _assigned(self, statement: ast.Assign, target: ast.expr) -> None:
        value = statement.value
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            self._outside(target, target.value.id, value)
            return
        if not isinstance(target, ast.Name):
            written = self.source.written(target)
            raise self.source.error(
                target, f"{written} cannot be defined", "define name[t], name or name[0], one to a line"
            )
        called = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        if isinstance(value, ast.Lambda):
            self.found.lambdas[target.id] = self._lambda(self._fresh(target.id, target), value)
        elif called in ("minimize", "maximize"):
            self._objective(target, value)  # type: ignore[arg-type]
        elif called == "surrogate":
            self._surrogate(self._fresh(target.id, target), value)  # type: ignore[arg-type]
        else:
            hint = f"write {target.id}: n = …, or {target.id}: scalar = …"
            raise self.source.error(target, f"{target.id} needs its shape", hint)

    def _outside(self, target: ast.Subscript, name: str, value: ast.expr) -> None:
        if isinstance(target.slice, ast.Name) and target.slice.id == "t":
            raise self.source.error(target, f"{name}[t] needs its shape", f"write {name}[t]: n = …")
        definition = Definition(name, value, target, target.slice)
        if definition.everywhere:
            known = self._everywhere.setdefault(name, definition)
            if known is not definition:
                problem = f"{name}[...] is defined twice, first on line {known.line}"
                raise self.source.error(target, problem, "leave out one of the two")
        self.found.definitions.append(definition)

    def _surrogate(self, name: str, call: ast.Call) -> None:
        hint = f"write {name} = surrogate(lambda u: where(u > 0, 1, 0), lambda u: 1/(1 + abs(u))**2)"
        parts = [part for part in call.args if isinstance(part, ast.Lambda) and len(part.args.args) == 1]
        if len(call.args) != 2 or len(parts) != 2 or call.keywords:
            raise self.source.error(call, "surrogate takes two lambdas of one argument, the value and its slope", hint)
        self.found.lambdas[name], self.found.slopes[name] = (self._lambda(name, part) for part in parts)

    def _lambda(self, name: str, value: ast.Lambda) -> ast.Lambda:
        a = value.args
        names = [argument.arg for argument in a.args]
        if (
            a.posonlyargs
            or a.kwonlyargs
            or a.vararg
            or a.kwarg
            or a.defaults
            or not names
            or len({*names}) < len(names)
        ):
            raise self.source.error(
                value, "a lambda takes plain arguments, each once", f"write {name} = lambda u, v: …"
            )
        for argument in a.args:
            if argument.arg in RESERVED:
                raise self.source.error(argument, f"{argument.arg} is reserved", f"write {name} = lambda u: …")
        return value

    def _objective(self, target: ast.Name, call: ast.Call) -> None:
        sense, known = call.func.id, self.found.objective  # type: ignore[attr-defined]
        if known is not None:
            problem = f"two objectives, {known.name} on line {known.target.lineno} and {target.id}"
            raise self.source.error(target, problem, "a file has at most one; add them, or use two files")
        if len(call.args) != 1 or call.keywords:
            raise self.source.error(
                call, f"{sense} takes one expression", f"write {sense}(…), with ... to leave it abstract"
            )
        arg = call.args[0]
        abstract = isinstance(arg, ast.Constant) and arg.value is Ellipsis
        self.found.objective = Aim(self._fresh(target.id, target), sense, None if abstract else arg, target)


def _is_number(value: ast.expr) -> bool:
    signed = isinstance(value, ast.UnaryOp) and isinstance(value.op, (ast.USub, ast.UAdd))
    inner = value.operand if signed else value  # type: ignore[attr-defined]
    return (
        isinstance(inner, ast.Constant) and isinstance(inner.value, (int, float)) and not isinstance(inner.value, bool)
    )
