"""Statements: a syntax tree -> declarations and equations, sorted by form, before any shape is known."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from derive.limits import Source
from derive.reserved import RESERVED


@dataclass(frozen=True, slots=True)
class Declaration:
    """A declared name. role as in Quantity, or `inferred`; dims are syntax; tree is where it stands."""

    name: str
    role: str
    dims: tuple[ast.expr, ...]
    tree: ast.AST
    timed: bool = False
    default: ast.Constant | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """An equation: of a declared name, or of a value outside the steps (`index`; Ellipsis means all of them)."""

    name: str
    expr: ast.expr
    tree: ast.AST
    index: ast.expr | None = None


@dataclass(slots=True)
class Statements:
    """A file's statements by form."""

    title: str = ""
    declarations: dict[str, Declaration] = field(default_factory=dict)
    definitions: list[Definition] = field(default_factory=list)
    functions: dict[str, ast.AST] = field(default_factory=dict)
    lambdas: dict[str, ast.Lambda] = field(default_factory=dict)
    objective: tuple[str, str, ast.expr | None, ast.AST] | None = None


def sort_statements(tree: ast.Module, source: Source) -> Statements:
    """Sort a file's statements. Raises RecurrenceError at a statement that the language does not have."""
    return _Sorter(source).run(tree)


class _Sorter:
    def __init__(self, source: Source) -> None:
        self.source, self.found = source, Statements()

    def run(self, tree: ast.Module) -> Statements:
        for place, statement in enumerate(tree.body):
            match statement:
                case ast.Expr(value=ast.Constant(value=str())) if place == 0:
                    self.found.title = " ".join(statement.value.value.split())
                case ast.AnnAssign():
                    self._annotated(statement)
                case ast.Assign(targets=[target]):
                    self._assigned(statement, target)
                case ast.Assert():
                    raise self.source.error(statement, "constraints are not available yet")
                case _:
                    name = type(statement).__name__
                    if isinstance(statement, ast.Expr):
                        name = "an expression alone"
                    raise self.source.error(statement, f"{name} is not a statement of the language",
                                            "statements are declarations (W: (n, m)), equations (h[t]: n = …) and one objective")  # fmt: skip
        return self.found

    def _fresh(self, name: str, tree: ast.AST) -> str:
        found = self.found
        if name in found.declarations or name in found.functions or name in found.lambdas or (found.objective and name == found.objective[0]):
            raise self.source.error(tree, f"{name} is defined twice", "use another name for one of the two")
        if name in RESERVED:
            raise self.source.error(tree, f"{name} is reserved", "choose another name")
        if not name.isascii() or len(name) > 64 or name.startswith("__"):
            raise self.source.error(tree, f"{name[:70]!r} is not a name", "use ASCII letters, digits and underscores, at most 64")
        return name

    def _annotated(self, statement: ast.AnnAssign) -> None:
        target, note = statement.target, statement.annotation
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            if not (isinstance(target.slice, ast.Name) and target.slice.id == "t"):
                raise self.source.error(target, "only [t] is declared with a shape", "leave out the shape for values outside the steps: h[0] = …")
            name = self._fresh(target.value.id, target)
            if isinstance(note, ast.Subscript) and isinstance(note.value, ast.Name) and note.value.id == "index":
                raise self.source.error(note, "index inputs are not available yet")
            role = "input" if statement.value is None else "signal"
            self._declare(name, role, self._dims(note), target, timed=True)
        elif isinstance(target, ast.Name):
            name = self._fresh(target.id, target)
            if isinstance(note, ast.Name) and note.id == "function":
                if statement.value is not None:
                    raise self.source.error(statement, "an abstract function has no value", f"define it as {name} = lambda u: …")
                self.found.functions[name] = target
                return
            self._untimed(name, statement)
        else:
            raise self.source.error(target, f"{ast.unparse(target)[:60]} cannot be declared", "declare a name, or name[t]")
        if statement.value is not None and self.found.declarations[name].role not in ("constant",):
            self.found.definitions.append(Definition(name, statement.value, statement))

    def _untimed(self, name: str, statement: ast.AnnAssign) -> None:
        note, value, target = statement.annotation, statement.value, statement.target
        word = note.value if isinstance(note, ast.Subscript) else note
        role = word.id if isinstance(word, ast.Name) and word.id in ("input", "const", "total") else ""
        if role:
            inner = note.slice if isinstance(note, ast.Subscript) else ast.Tuple([])
            dims = self._dims(inner)
        else:
            dims = self._dims(note)
        if role == "const":
            if value is not None and (dims or not _is_number(value)):
                raise self.source.error(value, "only a scalar constant has a default, and it is a number", f"write {name}: const = 0.1")
            self._declare(name, "constant", dims, target, default=value)  # type: ignore[arg-type]
        elif role == "input":
            if value is not None:
                raise self.source.error(value, f"{name} is an input and has no equation")
            self._declare(name, "input", dims, target)
        elif role == "total":
            if value is None:
                raise self.source.error(statement, f"the total {name} has no equation")
            self._declare(name, "total", dims, target)
        else:
            self._declare(name, "parameter" if value is None else "quantity", dims, target)

    def _declare(self, name: str, role: str, dims: tuple[ast.expr, ...], tree: ast.AST, timed: bool = False,
                 default: ast.Constant | None = None) -> None:  # fmt: skip
        self.found.declarations[name] = Declaration(name, role, dims, tree, timed, default)

    def _dims(self, note: ast.expr) -> tuple[ast.expr, ...]:
        if isinstance(note, ast.Name) and note.id == "scalar":
            return ()
        dims = tuple(note.elts) if isinstance(note, ast.Tuple) else (note,)
        if len(dims) > 2:
            raise self.source.error(note, f"{len(dims)} dims", "quantities are scalars, vectors (n) and matrices (n, m)")
        return dims

    def _assigned(self, statement: ast.Assign, target: ast.expr) -> None:
        value = statement.value
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            if isinstance(target.slice, ast.Name) and target.slice.id == "t":
                raise self.source.error(target, f"{target.value.id}[t] needs its shape", f"write {target.value.id}[t]: n = …")
            self.found.definitions.append(Definition(target.value.id, value, statement, target.slice))
            return
        if not isinstance(target, ast.Name):
            raise self.source.error(target, f"{ast.unparse(target)[:60]} cannot be defined", "define name[t], name or name[0]")
        if isinstance(value, ast.Lambda):
            self._lambda(self._fresh(target.id, target), value)
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("minimize", "maximize"):
            self._objective(target, value)
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "surrogate":
            raise self.source.error(value, "surrogate is not available yet")
        else:
            raise self.source.error(target, f"{target.id} needs its shape", f"write {target.id}: n = …, or {target.id}: scalar = …")

    def _lambda(self, name: str, value: ast.Lambda) -> None:
        a = value.args
        if a.posonlyargs or a.kwonlyargs or a.vararg or a.kwarg or a.defaults or not a.args:
            raise self.source.error(value, "a lambda takes plain arguments", f"write {name} = lambda u, v: …")
        self.found.lambdas[name] = value

    def _objective(self, target: ast.Name, call: ast.Call) -> None:
        sense = call.func.id  # type: ignore[attr-defined]
        if self.found.objective is not None:
            raise self.source.error(target, f"two objectives, {self.found.objective[0]} and {target.id}",
                                    "a file has at most one; add them, or use two files")  # fmt: skip
        if len(call.args) != 1 or call.keywords:
            raise self.source.error(call, f"{sense} takes one expression", f"write {sense}(…), with ... to leave it abstract")
        arg = call.args[0]
        abstract = isinstance(arg, ast.Constant) and arg.value is Ellipsis
        self.found.objective = (self._fresh(target.id, target), sense, None if abstract else arg, target)


def _is_number(value: ast.expr) -> bool:
    inner = value.operand if isinstance(value, ast.UnaryOp) else value
    return isinstance(inner, ast.Constant) and isinstance(inner.value, (int, float)) and not isinstance(inner.value, bool)


