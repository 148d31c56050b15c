"""Random statements: signals of every form, what stands outside their steps, and quantities without time."""

from __future__ import annotations

from collections.abc import Callable

from generator.expressions import Known, Shape, Writer, dims_of
from generator.vocabulary import BOUNDED, DIMS, PARTS, SEQUENCE, SHARED, TIMED


def shape_of(w: Writer) -> Shape:
    """A random shape: vectors most often, then matrices and scalars."""
    d, e = (str(w.choice(list(DIMS))) for _ in range(2))
    long = str(w.choice(list(PARTS)))
    return w.choice([(d,), (d,), (d,), (d, e), (d, e), (), (), (long,), (long, e) if w.chance(0.3) else (d, e)])


def mixed(w: Writer, shape: Shape, own: str) -> str:
    """What a loop does to a value of its own: it passes a matrix, or is scaled."""
    if not shape or w.chance(0.2):
        return f"0.6*{own}"
    if len(shape) == 2 and w.chance(0.3):
        return f"{own} @ {w.parameter((shape[1],) * 2)}"
    if w.chance(0.2):
        return f"{w.parameter((shape[0],) * 2)}.T @ {own}"
    return f"{w.parameter((shape[0],) * 2, declared=w.chance(0.7))} @ {own}"


def bounded(w: Writer, inner: str) -> str:
    """Through a function that does not grow."""
    return str(w.choice(BOUNDED)).format(inner)


# -- signals: each writes its equations and says what they define, and which lags of that may be read


def loop(w: Writer, name: str, shape: Shape, sign: str) -> list[Known]:
    """A signal that runs forward or backward through itself, over one step or several."""
    one, two, three = (f"{name}[t{sign}{lag}]" for lag in (1, 2, 3))
    own = w.choice([one, one, one, f"(0.5*{two} + 0.4*{one})", f"(0.6*{three} - 0.3*{one})"])
    own = f"stop_gradient({own})" if w.chance(0.1) else own
    body = bounded(w, f"{mixed(w, shape, own)} + {w.expression(shape, TIMED, 2)}")
    if len(shape) == 2 and w.chance(0.4):
        d, e = ((d,) for d in shape)
        body = f"0.7*{own} + outer({bounded(w, w.expression(d, TIMED, 1))}, {bounded(w, w.expression(e, TIMED, 1))})"
    elif shape and w.chance(0.1):
        body = f"softmax({own} + {w.expression(shape, TIMED, 2)})"
    w.lines.append(f"{name}[t]: {dims_of(shape)} = {body}")
    step = -1 if sign == "-" else 1
    return [Known(name, shape, TIMED, (0, step, 2 * step), ("0", "-1") if sign == "-" else ("T+1", "T+2"))]


def forward(w: Writer, name: str, shape: Shape) -> list[Known]:
    """A loop forward in time."""
    return loop(w, name, shape, "-")


def backward(w: Writer, name: str, shape: Shape) -> list[Known]:
    """A loop backward in time."""
    return loop(w, name, shape, "+")


def sweep(w: Writer, name: str, shape: Shape) -> list[Known]:
    """An equation outside of any loop."""
    w.lines.append(f"{name}[t]: {dims_of(shape)} = {w.expression(shape, TIMED, 3)}")
    return [Known(name, shape, TIMED, (0, 0, -1, 1), ("0", "T+1"))]


def pair(w: Writer, name: str, shape: Shape) -> list[Known]:
    """Two signals in one loop, with lags of their own."""
    other = w.fresh("s")
    w.lines.append(f"{name}[t]: {dims_of(shape)} = tanh(0.5*{other}[t-1] + {w.expression(shape, TIMED, 1)})")
    w.lines.append(f"{other}[t]: {dims_of(shape)} = 0.7*{name}[t] - 0.3*{name}[t-2]*{w.expression(shape, TIMED, 1)}")
    return [Known(other, shape, TIMED, (0, -1), ("0",)), Known(name, shape, TIMED, (0, -1, -2), ("0", "-1"))]


def fast(w: Writer, name: str, shape: Shape) -> list[Known]:
    """A matrix that changes with a vector and multiplies it: weights within the loop."""
    d, e = (str(w.choice(list(DIMS))) for _ in range(2))
    matrix, key = w.fresh("s"), w.expression((e,), TIMED, 1)
    w.lines.append(f"{matrix}[t]: {dims_of((d, e))} = 0.6*{matrix}[t-1] + outer({name}[t-1], tanh({key}))")
    w.lines.append(f"{name}[t]: {d} = tanh({matrix}[t] @ ({w.expression((e,), TIMED, 2)}) - 0.4*{name}[t-1])")
    return [Known(matrix, (d, e), TIMED, (0, -1), ("0",)), Known(name, (d,), TIMED, (0, -1), ("0",))]


def steady(w: Writer, name: str, shape: Shape) -> list[Known]:
    """A cycle without lag, solved at every step; sometimes inside a loop, sometimes through two signals."""
    own, more = f"{name}[t]", w.expression(shape, TIMED, 2)
    if w.chance(0.3):
        other = w.fresh("s")
        w.lines.append(f"{other}[t]: {dims_of(shape)} = 0.5*{own} + {w.expression(shape, TIMED, 1)}")
        own = f"{other}[t]"
    looped = w.chance(0.4)
    more += f" + 0.3*{name}[t-1]" if looped else ""
    w.lines.append(f"{name}[t]: {dims_of(shape)} = tanh({mixed(w, shape, own)} + {more})")
    return [Known(name, shape, TIMED, (0, -1) if looped else (0, -1, 1), ("0",))]


def untimed(w: Writer, name: str, shape: Shape) -> list[Known]:
    """A quantity of each sequence, sometimes on a cycle."""
    inner = w.expression(shape, SEQUENCE, 3)
    if w.chance(0.3):
        w.lines.append(f"{name}: {dims_of(shape)} = tanh({mixed(w, shape, name)} + {inner})")
    else:
        w.lines.append(f"{name}: {dims_of(shape)} = {inner} + {w.expression(shape, SEQUENCE, 1)}")
    return [Known(name, shape, SEQUENCE)]


def derived(w: Writer, name: str, shape: Shape) -> list[Known]:
    """A parameter made of others, sometimes on a cycle."""
    inner = w.expression(shape, SHARED, 2)
    if w.chance(0.15):
        inner = f"tanh({mixed(w, shape, name)} + {inner})"
    elif len(shape) == 2 and shape[0] == shape[1]:
        own = w.parameter(shape)
        inner = f"({own} {w.choice('+-')} {own}.T)/2 + 0.2*({inner})"
    w.lines.append(f"{name}: {dims_of(shape)} = {inner}")
    return [Known(name, shape, SHARED)]


def total(w: Writer, name: str, shape: Shape) -> list[Known]:
    """A sum over sequences."""
    dims = f"[{', '.join(shape)}]" if shape else ""
    terms = [w.expression(shape, SEQUENCE, 2), *([w.expression(shape, SHARED, 1)] if w.chance(0.5) else [])]
    w.lines.append(f"{name}: total{dims} = {' + '.join(terms)}")
    return [Known(name, shape, SHARED)]


SIGNALS: tuple[tuple[Callable[[Writer, str, Shape], list[Known]], float], ...] = (
    (forward, 3), (backward, 1.5), (sweep, 2), (pair, 1), (fast, 1), (steady, 1), (untimed, 1.5), (derived, 1), (total, 0.7),
)  # fmt: skip


def signal(w: Writer) -> None:
    """One more quantity, with values outside its steps."""
    weights = [weight for _, weight in SIGNALS]
    form = SIGNALS[int(w.rng.choice(len(SIGNALS), p=[weight / sum(weights) for weight in weights]))][0]
    made = form(w, w.fresh("s"), shape_of(w))
    w.known += [ends(w, known) if known.kind == TIMED else known for known in made]


def ends(w: Writer, known: Known) -> Known:
    """What stands outside the steps: an argument where nothing is said, an equation for some positions, or for all of them."""
    give = lambda place: f"{known.name}[{place}] = {_outside(w, known.shape)}"  # noqa: E731
    form = w.choice(["argument", "argument", "first", "all", "first and all"])
    if form.startswith("first"):
        w.lines += [give(place) for place in known.outside[: 1 + w.chance(0.4)]]
    if form.endswith("all"):
        w.lines.append(give("..."))
        return Known(known.name, known.shape, TIMED, (0, 0, -1, 1, 2), ("0", "-1", "T+1", "T+2"))
    return known


def _outside(w: Writer, shape: Shape) -> str:
    if w.chance(0.3):
        return str(w.choice(["0", "0.4", "1/3"]))
    return w.parameter(shape) if w.chance(0.4) else w.expression(shape, SEQUENCE, 2)
