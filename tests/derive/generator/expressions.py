"""Random expressions of a shape at a place, from the rows of `forms` down to reads of what the file has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from generator.forms import ELEMENTWISE, FORMS, Row
from generator.vocabulary import DIMS, PICKS, SHARED, SIZES, TIMED, WINDOWS

Shape = tuple[str, ...]


def dims_of(shape: Shape) -> str:
    """A shape as declarations write it."""
    return "scalar" if not shape else (shape[0] if len(shape) == 1 else f"({', '.join(shape)})")


@dataclass(frozen=True)
class Known:
    """Something that expressions may read: its name, shape, kind, and where outside its step: lags, and positions before and after."""

    name: str
    shape: Shape
    kind: str
    lags: tuple[int, ...] = (0,)
    outside: tuple[str, ...] = ()
    index: bool = False


@dataclass
class Writer:
    """Writes random expressions. analytic: without kinks; abstract: with a function that has no definition."""

    rng: np.random.Generator
    analytic: bool = True
    abstract: bool = False
    tag: str = ""
    budget: int = 70
    lines: list[str] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    parameters: list[tuple[str, Shape]] = field(default_factory=list)
    count: int = 0

    def choice(self, options: Sequence) -> object:
        """One of several, each as likely."""
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < p)

    def fresh(self, stem: str) -> str:
        """A new name."""
        self.count += 1
        return f"{stem}{self.count}{self.tag}"

    def parameter(self, shape: Shape, declared: bool = True) -> str:
        """A new parameter; one that stands where its shape follows may go without a declaration."""
        name = self.fresh("P")
        if declared:
            self.parameters.append((name, shape))
            self.lines.append(f"{name}: {dims_of(shape)}")
        return name

    def expression(self, shape: Shape, place: str, depth: int) -> str:
        """An expression of a shape that may stand at a place."""
        self.budget -= 1
        if depth <= 0 or self.budget < 0 or self.chance(0.12):
            return self.leaf(shape, place)
        ask = Ask(self, shape, place, depth - 1)
        while True:
            row = self._row((*FORMS[len(shape)], *ELEMENTWISE), place)
            text = row.write(ask) if row in ELEMENTWISE else row.write(ask, *shape, *(ask.dim() for _ in range(2 if not shape else 1)))
            if text:
                return text

    def _row(self, rows: Sequence[Row], place: str) -> Row:
        kinds = {"", *([] if self.analytic else ["kinked"]), *(["abstract"] if self.abstract else [])}
        fit = [row for row in rows if place in row.places and row.needs in kinds]
        weights = np.array([row.weight for row in fit])
        return fit[int(self.rng.choice(len(fit), p=weights / weights.sum()))]

    def leaf(self, shape: Shape, place: str) -> str:
        """A read of something of the shape, or of another shape made to fit; a number, or a parameter."""
        options = [k for k in self.known if k.shape == shape and (place != SHARED or k.kind == SHARED)]
        if options and self.chance(0.85):
            return self.read(self._liked(options), place)
        if not shape and self.chance(0.4):
            return str(round(float(self.rng.uniform(0.2, 1.5)), 2))
        if shape and self.chance(0.15):
            square = ["eye"] if len(shape) == 2 and shape[0] == shape[1] else []
            name = self.choice(["ones", "zeros", *square])
            return f"{name}({shape[0] if name == 'eye' else ', '.join(shape)})"
        return self._fitted(shape, place) if place != SHARED and self.chance(0.6) else self.parameter(shape)

    def _fitted(self, shape: Shape, place: str) -> str:
        """A read of a vector, made into a scalar, a vector of another dim, or a matrix."""
        vector = self._liked([k for k in self.known if len(k.shape) == 1])
        read = self.read(vector, place)
        if not shape:
            return f"mean({read})"
        other = self.parameter(shape[1:]) if len(shape) == 2 else ""
        made = f"({self.parameter((shape[0], vector.shape[0]))} @ {read})"
        return f"outer({made}, {other})" if other else made

    def _liked(self, options: Sequence[Known]) -> Known:
        """One of several; what has an equation, more often."""
        return self.choice([k for k in options for _ in range(4 if k.name.startswith("s") else 1)])

    def read(self, known: Known, place: str) -> str:
        """A read of something, at a step, at a fixed step, or outside the steps."""
        if known.kind != TIMED:
            return known.name
        if place == TIMED and self.chance(0.85):
            lag = self.choice(known.lags)
            read = f"{known.name}[t{lag:+d}]" if lag else f"{known.name}[t]"
        else:
            read = f"{known.name}[{self.choice(known.outside) if known.outside and self.chance(0.15) else self.choice(PICKS)}]"
        return f"onehot({read})" if known.index else read


@dataclass(frozen=True)
class Ask:
    """What the row of a form asks for: parts of the expression that is being written."""

    writer: Writer
    shape: Shape
    place: str
    depth: int

    def s(self) -> str:
        """A scalar."""
        return self.writer.expression((), self.place, self.depth)

    def v(self, d: str) -> str:
        """A vector."""
        return self.writer.expression((d,), self.place, self.depth)

    def m(self, d: str, e: str) -> str:
        """A matrix."""
        return self.writer.expression((d, e), self.place, self.depth)

    def like(self) -> str:
        """Something of the same shape."""
        return self.writer.expression(self.shape, self.place, self.depth)

    def summand(self) -> str:
        """Something of the same shape, for each step."""
        return self.writer.expression(self.shape, TIMED, self.depth)

    def p(self, *shape: str) -> str:
        """A parameter: a new one, or one that is shared."""
        old = [k.name for k in self.writer.known if k.kind == SHARED and k.shape == shape]
        return self.choice(old) if old and self.chance(0.3) else self.writer.parameter(shape)

    def hot(self, d: str) -> str:
        """An index that counts to d."""
        return self.writer.read(next(k for k in self.writer.known if k.index and k.shape == (d,)), self.place)

    def function(self, forms: Sequence[str]) -> str:
        """One of several functions, its arguments filled in."""
        form = str(self.choice(forms))
        return form.format(*(self.like() for _ in range(2 if "{1}" in form else max(1, form.count("{}")))))

    def dim(self) -> str:
        """A dim."""
        return str(self.choice(list(DIMS)))

    def window(self) -> str:
        """Some of the steps."""
        return str(self.choice(WINDOWS))

    def place_in(self, d: str) -> str:
        """The number of a component, from the start."""
        return str(self.writer.rng.integers(SIZES[d]))

    def component(self, d: str) -> str:
        """A component: its number, from the start or from the end."""
        return self.place_in(d) if self.chance(0.7) else "-1"

    def choice(self, options: Sequence) -> object:
        """One of several."""
        return self.writer.choice(options)

    def chance(self, p: float) -> bool:
        """True with that probability."""
        return self.writer.chance(p)
