"""The builder: declarations and equations one by one -> Recurrence.

The parser, the adjoint and users who write families of recurrences in Python all go through it.
"""

from __future__ import annotations

import keyword
import re

import sympy as sp
from sympy.core.symbol import Str

from derive.arithmetic import number, same_shape
from derive.arrays import filled
from derive.constraints import require_equality
from derive.errors import Location, RecurrenceError, ShapeError
from derive.nodes import At, Kind, Node, Pick, Quantity, Shape, dim, shape_text
from derive.recurrence import Constraint, Equation, Objective, Recurrence
from derive.reserved import RESERVED
from derive.validity import validate

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


def check_name(name: str) -> str:
    """A name as the language allows it; raises RecurrenceError."""
    if not isinstance(name, str) or not NAME.match(name) or keyword.iskeyword(name) or name.startswith("__"):
        raise RecurrenceError(f"{str(name)[:70]!r} is not a name", "use ASCII letters, digits and underscores, at most 64")
    if name in RESERVED:
        raise RecurrenceError(f"{name} is reserved", f"choose another name, such as {name}_1")
    return name


def as_shape(dims: tuple[object, ...]) -> Shape:
    """A shape from names of dims, integers and SymPy expressions in dims."""
    shape = []
    for size in dims:
        entry = dim(check_name(size)) if isinstance(size, str) else sp.sympify(size, strict=True)
        if entry.is_nonpositive:
            raise RecurrenceError(f"a dim must be at least 1, not {entry}")
        shape.append(sp.expand(entry))
    return tuple(shape)


class Builder:
    """Collects a recurrence; `recurrence()` checks and returns it.

    Every method that declares returns the quantity, to be used with Python's operators: `W @ h[t-1] + b`.
    Raises RecurrenceError (ShapeError for shapes) at the statement that is wrong.
    """

    def __init__(self, name: str, title: str = "", file: str = "") -> None:
        self.name, self.title, self.file = name, title, file
        self._quantities: dict[str, Quantity] = {}
        self._equations: dict[Quantity | Pick, Equation] = {}
        self._defaults: dict[str, sp.Rational] = {}
        self._functions: list[str] = []
        self._objective: Objective | None = None
        self._everywhere: dict[Quantity, tuple[Node, int | None]] = {}
        self._constraints: list[Constraint] = []
        self.meanings: dict[str, str] = {}
        self.notes: list[str] = []
        self.lines: dict[str, int] = {}

    def _declare(self, name: str, role: str, dims: tuple[object, ...], kind: Kind) -> Quantity:
        shape = as_shape(dims)
        if name in self._quantities or name in self._functions:
            raise RecurrenceError(f"{name} is declared twice", "use another name for one of the two")
        quantity = Quantity(Str(check_name(name)), role, shape, kind)
        self._quantities[name] = quantity
        return quantity

    def input(self, name: str, *dims: object) -> Quantity:
        """An input sequence, (T, B, dims)."""
        return self._declare(name, "input", dims, Kind.TIMED)

    def index(self, name: str, size: object) -> Quantity:
        """An input sequence of integers in 0..size-1, or -1 for none, (T, B); reading it gives the vector (size) with a single one."""
        return self._declare(name, "index", (size,), Kind.TIMED)

    def sequence_input(self, name: str, *dims: object) -> Quantity:
        """An input without time, (B, dims)."""
        return self._declare(name, "input", dims, Kind.SEQUENCE)

    def parameter(self, name: str, *dims: object) -> Quantity:
        """A parameter, shared by all sequences and steps; receives a gradient."""
        return self._declare(name, "parameter", dims, Kind.SHARED)

    def constant(self, name: str, *dims: object, default: object = None) -> Quantity:
        """A constant, shared, without gradient; a scalar one may have a default."""
        if default is not None:
            self._defaults[name] = sp.Rational(str(default))
        return self._declare(name, "constant", dims, Kind.SHARED)

    def signal(self, name: str, *dims: object) -> Quantity:
        """A signal, (T, B, dims), to be defined at every step."""
        return self._declare(name, "signal", dims, Kind.TIMED)

    def quantity(self, name: str, *dims: object, kind: Kind = Kind.SEQUENCE) -> Quantity:
        """A quantity without time; on a cycle, a steady state."""
        return self._declare(name, "quantity", dims, kind)

    def total(self, name: str, *dims: object) -> Quantity:
        """A quantity summed over sequences."""
        return self._declare(name, "total", dims, Kind.SHARED)

    def function(self, name: str) -> None:
        """An abstract elementwise function."""
        if name in self._quantities or name in self._functions:
            raise RecurrenceError(f"{name} is declared twice", "use another name for one of the two")
        self._functions.append(check_name(name))

    def define(self, target: Node, expr: object, line: int | None = None) -> None:
        """Give the equation of `h[t]`, `x` or of a value outside the steps, `h[0]`."""
        expr = number(expr)
        if isinstance(target, At):
            if target.lag:
                raise RecurrenceError(f"an equation defines {target.quantity.name}[t], not {target.source()}", "shift it in time")
            target = target.quantity
        if isinstance(target, Pick) and not target.outside:
            raise RecurrenceError(
                f"{target.source()} lies inside the steps, where the equation of {target.quantity.name}[t] holds",
                f"values outside the steps are {target.quantity.name}[0], {target.quantity.name}[-1], … and {target.quantity.name}[T+1], …",
            )
        if target in self._equations:
            raise RecurrenceError(f"{target.source()} is defined twice")
        self._equations[target] = Equation(target, self._fit(target, expr), line)

    def define_outside(self, quantity: Quantity, expr: object, line: int | None = None) -> None:
        """Give one equation to every value outside the steps that is read: `h[...] = EXPR`."""
        self._everywhere[quantity] = (number(expr), line)

    def _fit(self, target: Node, expr: Node) -> Node:
        if isinstance(target, Pick):
            expr = filled(expr, target.shape)
        if not same_shape(target.shape, expr.shape):
            raise ShapeError(
                f"{target.source()} is declared {shape_text(target.shape)}, its equation is {shape_text(expr.shape)}",
                f"{expr.source()[:120]} is {shape_text(expr.shape)}",
            )
        return expr

    def minimize(self, name: str, expr: object, line: int | None = None) -> Quantity:
        """The objective, to be made small; None leaves it abstract."""
        return self._aim(name, "minimize", expr, line)

    def maximize(self, name: str, expr: object, line: int | None = None) -> Quantity:
        """The objective, to be made large; None leaves it abstract."""
        return self._aim(name, "maximize", expr, line)

    def _aim(self, name: str, sense: str, expr: object, line: int | None) -> Quantity:
        if self._objective is not None:
            raise RecurrenceError(
                f"two objectives, {self._objective.name} and {name}", "a file has at most one; add them, or use two files"
            )
        quantity = self._declare(name, "objective", (), Kind.SHARED)
        self._objective = Objective(name, sense, abstract=expr is None)
        if expr is not None:
            self.define(quantity, expr, line)
        return quantity

    def constrain(self, left: object, right: object, where: Location | None = None) -> None:
        """Hold parameters to left == right, which is affine in them; a side may be a scalar, for every component of the other."""
        constraint = Constraint(number(left), number(right), where)
        require_equality(constraint.left, constraint.right)
        self._constraints.append(constraint)

    def recurrence(self) -> Recurrence:
        """The finished record. Raises RecurrenceError for what is missing or does not fit."""
        while self._spread_outside():
            pass
        return validate(self._draft(), self.lines)

    def _spread_outside(self) -> bool:
        """Equations for values outside the steps that have none of their own; these may read others, so whether there were any."""
        ghosts, known = self._draft().ghosts, len(self._equations)
        for quantity, (expr, line) in self._everywhere.items():
            for ghost in ghosts[quantity]:
                if ghost not in self._equations:
                    self._equations[ghost] = Equation(ghost, self._fit(ghost, expr), line)
        return len(self._equations) > known

    def _draft(self) -> Recurrence:
        return Recurrence(
            name=self.name,
            title=self.title,
            quantities=tuple(self._quantities.values()),
            equations=tuple(self._equations.values()),
            functions=tuple(self._functions),
            defaults=dict(self._defaults),
            objective=self._objective,
            meanings=dict(self.meanings),
            notes=tuple(self.notes),
            file=self.file,
            constraints=tuple(self._constraints),
        )
