"""Random asserts: what parameters must satisfy, and projections onto what these allow."""

from __future__ import annotations

from generator.expressions import Shape, Writer
from generator.vocabulary import SHARED, SIZES, TIMED

# Of one parameter, by rank. Square ones and ties are homogeneous, so that values which satisfy them may be scaled.
SQUARE = ("{0} == {0}.T", "{0} == -{0}.T", "diag({0}) == 0", "{0} @ ones({1}) == 0", "{0}[0, :] == 0")
ALONE = {
    1: ("sum({0}) == 1", "mean({0}) == 0", "{0}[0] == 0.3", "dot({0}, ones({1})) == 0.5"),
    2: ("{0} @ ones({2}) == 1", "{0}[:, 0] == 0", "sum({0}) == 0.4", "{0}.T @ ones({1}) == 0", "{0}[0, :] - 0.1 == 0"),
}
TIES = ("{0} == {1}", "{0} == -2*{1}", "{0} + {1} == 0", "sum({0}) == sum({1})")


def _square(shape: Shape) -> bool:
    return len(shape) == 2 and shape[0] == shape[1]


def constrain(w: Writer) -> str:
    """Write asserts of some parameters; returns a cost that holds a projection, or nothing."""
    free = [(name, shape) for name, shape in w.parameters if shape and (len(shape) > 1 or SIZES[shape[0]] > 1)]
    cost = ""
    for _ in range(int(w.rng.integers(1, 3))):
        if not free:
            break
        name, shape = free.pop(int(w.rng.integers(len(free))))
        others = [entry for entry in free if entry[1] == shape]
        if others and w.chance(0.5):
            other = others[0]
            free.remove(other)
            w.lines.append("assert " + w.choice(TIES).format(name, other[0]))
        else:
            w.lines.append("assert " + w.choice(SQUARE if _square(shape) else ALONE[len(shape)]).format(name, *shape))
        if not cost and w.chance(0.4):
            projected = f"project({name}, {name} = {w.expression(shape, SHARED, 2)})"
            cost = w.choice(["norm2({0})", "sum(sin(mean({0}))*{1} for t in steps)"]).format(projected, w.expression((), TIMED, 1))
    return cost
