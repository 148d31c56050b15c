"""A seeded generator of recurrences over the whole language, with random values for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from derive.nodes import Kind
from derive.recurrence import Recurrence

DIMS = {"n": 2, "m": 3, "k": 1}
WINDOWS = ["steps", "steps", "steps[-2:]", "steps[1:]", "steps[:2]", "steps[-3:-1]", "steps[1:3]"]
UNARY = ["tanh({})", "sigmoid({})", "softplus({})", "sin({})", "cos({})", "atan({})", "erf({})", "gelu({})", "exp(tanh({}))",
         "log(2.5 + sin({}))", "sqrt(1.5 + cos({}))", "phi({})"]  # fmt: skip
KINKED = ["relu({})", "abs({})", "where({0} > 0.1, {0}, 0.5*{0})", "maximum({}, 0.2)", "minimum({}, {})", "sign({})"]


@dataclass
class Generated:
    """One random recurrence: its text, and a T from which every pick exists."""

    text: str
    analytic: bool


@dataclass
class _Signal:
    name: str
    shape: tuple[str, ...]
    lags: list[int]
    timed: bool = True


@dataclass
class Generator:
    """Writes one recurrence. analytic: only functions through which a complex step may pass."""

    rng: np.random.Generator
    analytic: bool = True
    lines: list[str] = field(default_factory=list)
    known: list[_Signal] = field(default_factory=list)
    count: int = 0

    def choice(self, options: list) -> object:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def parameter(self, shape: tuple[str, ...]) -> str:
        name = self.fresh("P")
        dims = "scalar" if not shape else (shape[0] if len(shape) == 1 else f"({', '.join(shape)})")
        self.lines.append(f"{name}: {dims}")
        return name

    # -- expressions of a shape; timed says whether t may be read

    def expr(self, shape: tuple[str, ...], timed: bool, depth: int) -> str:
        if depth <= 0 or self.chance(0.15):
            return self.leaf(shape, timed)
        if len(shape) == 1:
            return self.vector(shape, timed, depth)
        return self.scalar(timed, depth)

    def leaf(self, shape: tuple[str, ...], timed: bool) -> str:
        options = [s for s in self.known if s.shape == shape]
        if options and self.chance(0.85):
            signal = self.choice(options)
            if not signal.timed:
                return signal.name
            if timed:
                lag = self.choice(signal.lags)
                return f"{signal.name}[t{lag:+d}]" if lag else f"{signal.name}[t]"
            return f"{signal.name}[{self.choice(['T', 'T', 'T-1', '1', '2', 'T-2'])}]"
        if not shape and self.chance(0.4):
            return str(round(float(self.rng.uniform(0.2, 1.5)), 2))
        return self.parameter(shape)

    def vector(self, shape: tuple[str, ...], timed: bool, depth: int) -> str:
        e = lambda s=shape: self.expr(s, timed, depth - 1)  # noqa: E731
        other = self.choice([d for d in DIMS if d != shape[0]])
        match int(self.rng.integers(14 if timed else 13)):
            case 0 | 1 | 2:
                return f"({self.parameter((shape[0], other))} @ ({e((other,))}) + {e()})"
            case 3:
                return f"({e()} - {e()})"
            case 4:
                return f"({e()})*({e()})"
            case 5:
                return f"({e(())})*({e()})"
            case 6:
                return f"({e()})/(2.5 + sin({e()}))"
            case 7:
                return f"({e()})**{self.choice(['2', '3'])}"
            case 8:
                return f"{self.choice(['softmax', 'log_softmax', 'layer_norm'] if shape != ('k',) else ['softmax', 'log_softmax'])}({e()})"
            case 9:
                return f"concat({e((other,))}, {e()})[{DIMS[other]}:{DIMS[other] + DIMS[shape[0]]}]" if self.chance(0) else f"concat({e()}, {e()})[0:{shape[0]}]"
            case 10:
                return f"(outer({e()}, {e((other,))}) @ ({e((other,))}))" if self.chance(0.5) else f"({self.parameter((other, shape[0]))}.T @ ({e((other,))}))"
            case 11:
                return f"(diag({e()}) @ ({e()}))" if self.chance(0.5) else f"({e()} + {e(())})"
            case 13:
                return f"within({e()}, {self.choice(WINDOWS)})"
        return self.function(e)

    def function(self, e: object) -> str:
        options = UNARY if self.analytic else UNARY + KINKED
        form = str(self.choice(options))
        if form.count("{}") == 2:
            return form.format(e(), e())
        return form.format(e())

    def scalar(self, timed: bool, depth: int) -> str:
        e = lambda s=(): self.expr(s, timed, depth - 1)  # noqa: E731
        d = (str(self.choice(list(DIMS))),)
        match int(self.rng.integers(9)):
            case 0:
                return f"dot({e(d)}, {e(d)})"
            case 1:
                return f"norm2({e(d)})"
            case 2:
                return f"{self.choice(['mean', 'sum', 'logsumexp'])}({e(d)})"
            case 3:
                return f"cross_entropy({e(d)}, softmax({e(d)}))"
            case 4:
                return f"({e()} + {e()})"
            case 5:
                return f"({e()})*({e()})"
            case 6:
                return f"({e()} - {e()}/2)"
        return self.function(e)

    # -- statements

    def signal(self) -> None:
        form = str(self.choice(["forward", "forward", "backward", "sweep", "pair", "steady", "untimed", "untimed_steady"]))
        name, shape = self.fresh("s"), (str(self.choice(list(DIMS))),) if self.chance(0.8) else ()
        dims = shape[0] if shape else "scalar"
        if form in ("untimed", "untimed_steady"):
            summed = f"sum({self.expr(shape, True, 2)} for t in {self.choice(WINDOWS)})" if self.chance(0.6) else self.expr(shape, False, 2)
            if form == "untimed_steady" and shape:
                self.lines.append(f"{name}: {dims} = tanh({self.parameter(shape * 2)} @ {name} + {summed})")
            else:
                self.lines.append(f"{name}: {dims} = {summed} + {self.expr(shape, False, 1)}")
            self.known.append(_Signal(name, shape, [0], timed=False))
            return
        natural = {"forward": [0, -1, -2], "pair": [0, -1], "backward": [0, 1, 2]}.get(form, [0, -1, 1])
        given = self.chance(0.5)
        if form == "steady" and shape:
            self.lines.append(f"{name}[t]: {dims} = tanh({self.parameter(shape * 2)} @ {name}[t] + {self.expr(shape, True, 2)})")
        elif form == "pair":
            other = self.fresh("s")
            self.lines.append(f"{name}[t]: {dims} = tanh(0.5*{other}[t-1] + {self.expr(shape, True, 1)})")
            self.lines.append(f"{other}[t]: {dims} = 0.7*{name}[t] - 0.3*{name}[t-2]*{self.expr(shape, True, 1)}")
        elif form in ("forward", "backward"):
            sign = "-" if form == "forward" else "+"
            own = f"{name}[t{sign}1]" if self.chance(0.6) else f"(0.5*{name}[t{sign}2] + 0.4*{name}[t{sign}1])"
            mixed = f"{self.parameter(shape * 2)} @ {own}" if shape else f"0.6*{own}"
            self.lines.append(f"{name}[t]: {dims} = {self.choice(UNARY[:4]).format(f'{mixed} + {self.expr(shape, True, 2)}')}")
        else:
            self.lines.append(f"{name}[t]: {dims} = {self.expr(shape, True, 3)}")
        if given:
            ghost = self.choice(["0", "0.4", self.parameter(shape), self.expr(shape, False, 1)])
            self.lines.append(f"{name}[...] = {ghost}")
        self.known.append(_Signal(name, shape, [0, 0, -1, 1, 2] if given else natural))

    def run(self) -> Generated:
        self.lines += ["phi = lambda a: a/(2 + sin(a))", "x0[t]: m", "u0: input[n]", "w0[t]: scalar", "C0: const[n]", "T0: (n, m)", "T1: k"]
        self.known += [_Signal("x0", ("m",), [0, 0, -1, 2]), _Signal("u0", ("n",), [0], timed=False), _Signal("w0", (), [0])]
        self.known.append(_Signal("C0", ("n",), [0], timed=False))
        for _ in range(int(self.rng.integers(1, 5))):
            self.signal()
        terms = [f"sum({self.expr((), True, 2)} for t in {self.choice(WINDOWS)})"]
        terms += [self.expr((), False, 2)] if self.chance(0.6) else []
        terms += ["0.1*norm2(T0)"] if self.chance(0.3) else []
        aim = self.choice(["minimize", "maximize"])
        self.lines.append(f"E = {aim}({' + '.join(terms)})")
        return Generated("\n".join(self.lines) + "\n", self.analytic)


def generate(seed: int, analytic: bool = True) -> Generated:
    """The recurrence of a seed."""
    return Generator(np.random.default_rng([seed, 7]), analytic).run()


def draw(recurrence: Recurrence, rng: np.random.Generator, steps: int, batch: int, scale: float = 0.4) -> dict[str, np.ndarray]:
    """Random values for everything the caller gives."""
    values = {}
    for quantity in recurrence.of_role("input", "parameter", "constant"):
        shape = tuple(DIMS.get(str(size), 0) or int(size.subs(DIMS)) for size in quantity.shape)
        lead = {Kind.SHARED: (), Kind.SEQUENCE: (batch,), Kind.TIMED: (steps, batch)}[quantity.kind]
        values[quantity.name] = scale * rng.standard_normal((*lead, *shape))
    for ghost in recurrence.arguments:
        values[ghost.source()] = scale * rng.standard_normal((batch, *(DIMS.get(str(s), 0) or int(s.subs(DIMS)) for s in ghost.shape)))
    return values
