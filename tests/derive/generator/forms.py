"""Forms of expression, one row each: a shape's row writes itself from parts it asks for.

`a` gives the parts, all for one place in the file: `a.s()`, `a.v(d)`, `a.m(d, e)` and `a.like()` are expressions, `a.p(d, e)` is a
parameter, `a.hot(d)` an index. What a row writes binds tightly: it is a name, a call, components, or stands in parentheses. A row
that does not apply to a shape writes nothing, and another one is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from generator.vocabulary import ABSTRACT, CUTS, KINKED, PARTS, SEQUENCE, SHARED, SIZES, SMOOTH, STOPPED, TIMED

EVERYWHERE, RUN = (TIMED, SEQUENCE, SHARED), (TIMED, SEQUENCE)


@dataclass(frozen=True)
class Row:
    """A form: how it is written, how often, where it may stand, and the kind of file that has it ("", "kinked", "abstract")."""

    write: Callable[..., str]
    weight: float = 1.0
    places: tuple[str, ...] = EVERYWHERE
    needs: str = ""


def _wide(d: str) -> bool:
    return SIZES[d] > 1


def _cut(a: object, d: str, array: Callable[[str], str], rest: str = "") -> str:
    if d not in CUTS:
        return ""
    whole, rows = a.choice(CUTS[d])
    return f"{array(whole)}[{rows}{rest}]"


def _row_function(a: object, d: str, array: str) -> str:
    return f"{a.choice(['softmax', 'log_softmax', *(['layer_norm'] if _wide(d) else [])])}({array})"


# Of any shape, component by component: write(a).
ELEMENTWISE = (
    Row(lambda a: f"({a.like()} + {a.like()})", 2),
    Row(lambda a: f"({a.like()} - {a.like()}/2)"),
    Row(lambda a: f"({a.like()}*{a.like()})", 2),
    Row(lambda a: f"({a.s()}*{a.like()})"),
    Row(lambda a: f"({a.like()} + {a.s()})"),
    Row(lambda a: f"({a.like()}/(2.5 + sin({a.like()})))"),
    Row(lambda a: f"({a.s()}/(1.5 + {a.like()}**2))"),
    Row(lambda a: f"(n*{a.like()}/(n*m + k))", 0.5),
    Row(lambda a: a.function(SMOOTH), 3),
    Row(lambda a: a.function(KINKED), 3, needs="kinked"),
    Row(lambda a: a.function(ABSTRACT), 6, needs="abstract"),
    Row(lambda a: a.function(STOPPED)),
    Row(lambda a: f"blend({a.like()}, {a.like() if a.chance(0.7) else a.s()})"),
    Row(lambda a: f"within({a.like()}, {a.window()})", places=(TIMED,)),
    Row(lambda a: f"({a.like()}*T/(T + 2))", 0.4, RUN),
    Row(lambda a: f"({a.like()}/T)", 0.2, RUN),
    Row(lambda a: f"sum({a.summand()} for t in {a.window()})", 3, (SEQUENCE,)),
    Row(lambda a: f"each({a.like()})", 0.5, (SEQUENCE,)),
)

# write(a, d, e), with two dims at random.
SCALARS = (
    Row(lambda a, d, e: f"dot({a.v(d)}, {a.v(d)})"),
    Row(lambda a, d, e: f"dot({a.m(d, e)}, {a.m(d, e)})"),
    Row(lambda a, d, e: f"norm2({a.v(d)})"),
    Row(lambda a, d, e: f"norm2({a.m(d, e)})"),
    Row(lambda a, d, e: f"{a.choice(['mean', 'sum', 'logsumexp'])}({a.v(d)})", 2),
    Row(lambda a, d, e: f"{a.choice(['mean', 'sum'])}({a.m(d, e)})"),
    Row(lambda a, d, e: f"cross_entropy({a.v(d)}, softmax({a.v(d)}))"),
    Row(lambda a, d, e: f"cross_entropy({a.m(d, e)}, softmax({a.m(d, e)}))", 0.5),
    Row(lambda a, d, e: f"cross_entropy({a.v(d)}, 0.2 + sigmoid({a.v(d)}))", 0.5),
    Row(lambda a, d, e: f"cross_entropy({a.hot('m')}, softmax({a.v('m')}))", 1, RUN),
    Row(lambda a, d, e: f"dot({a.hot('n')}, {a.v('n')})", 0.5, RUN),
    Row(lambda a, d, e: f"{a.v(d)}[{a.component(d)}]"),
    Row(lambda a, d, e: f"{a.m(d, e)}[{a.component(d)}, {a.component(e)}]"),
    Row(lambda a, d, e: f"norm2({a.v(d)}[1:{d}])" if _wide(d) else "", 0.5),
    Row(lambda a, d, e: f"log(1 + norm2({a.v(d)}))"),
    Row(lambda a, d, e: f"norm2(kron({a.v(d)}, {a.m(d, e)}))", 0.5),
    Row(lambda a, d, e: f"mean(kron({a.m(d, e)}, {a.m(e, d)}))", 0.5),
)

# A vector of d, with another dim e: write(a, d, e).
VECTORS = (
    Row(lambda a, d, e: f"({a.p(d, e)} @ {a.v(e)} + {a.v(d)})", 2),
    Row(lambda a, d, e: f"({a.p(d, e)} @ ({a.v(e)} - {a.v(e)}))"),
    Row(lambda a, d, e: f"({a.p(e, d)}.T @ {a.v(e)})"),
    Row(lambda a, d, e: f"({a.m(d, e)} @ {a.v(e)})", 2),
    Row(lambda a, d, e: f"(transpose({a.m(e, d)}) @ {a.v(e)})"),
    Row(lambda a, d, e: f"(outer({a.v(d)}, {a.v(e)}) @ {a.v(e)})"),
    Row(lambda a, d, e: f"(diag({a.v(d)}) @ {a.v(d)})"),
    Row(lambda a, d, e: f"({a.p(d, 'm')} @ {a.hot('m')})", 1, RUN),
    Row(lambda a, d, e: f"({a.m('n', d)}.T @ {a.hot('n')})", 0.5, RUN),
    Row(lambda a, d, e: f"({a.hot(d)}*{a.v(d)})" if d in "nm" else "", 0.5, RUN),
    Row(lambda a, d, e: _row_function(a, d, a.v(d)), 2),
    Row(lambda a, d, e: f"log(softmax({a.v(d)}))", 0.5),
    Row(lambda a, d, e: f"logsumexp({a.m(d, e)})"),
    Row(lambda a, d, e: f"diag({a.m(d, d)})"),
    Row(lambda a, d, e: f"{a.m(d, e)}[:, {a.component(e)}]"),
    Row(lambda a, d, e: f"{a.m(e, d)}[{a.component(e)}, :]"),
    Row(lambda a, d, e: f"concat({', '.join(a.v(part) for part in PARTS[d])})" if d in PARTS else "", 6),
    Row(lambda a, d, e: _cut(a, d, a.v), 2),
    Row(lambda a, d, e: f"concat({a.v(d)}, {a.v(e)})[0:{d}]"),
    Row(lambda a, d, e: f"concat({a.v(e)}, {a.v(d)})[{e}:{e} + {d}]", 0.5),
    Row(lambda a, d, e: f"concat({a.v(d)}[1:], {a.v(d)}[0:1])" if _wide(d) else "", 0.5),
    Row(lambda a, d, e: f"pad({a.s()}, {a.place_in(d)}, {d})", 0.5),
    Row(lambda a, d, e: f"pad({a.v(d)}, 1, {d} + 2)[1:{d} + 1]", 0.5),
    Row(lambda a, d, e: f"reshape({a.m(d, e)}, {e}, {d})[{a.component(e)}, :]", 0.5),
    Row(lambda a, d, e: f"reshape(kron({a.v(d)}, {a.v(e)}), {d}, {e})[:, {a.component(e)}]", 0.5),
    Row(lambda a, d, e: f"(kron({a.m(d, e)}, {a.v(e)}) @ reshape({a.m(e, e)}, {e}*{e}))", 0.5),
)

# A matrix (d, e), with another dim f: write(a, d, e, f).
MATRICES = (
    Row(lambda a, d, e, f: f"({a.m(d, f)} @ {a.m(f, e)})", 2),
    Row(lambda a, d, e, f: f"({a.p(d, d)} @ {a.m(d, e)})", 2),
    Row(lambda a, d, e, f: f"({a.m(d, f)} @ {a.p(f, e)} + {a.m(d, e)})"),
    Row(lambda a, d, e, f: f"({a.m(f, d)}.T @ {a.m(f, e)})"),
    Row(lambda a, d, e, f: f"outer({a.v(d)}, {a.v(e)})", 3),
    Row(lambda a, d, e, f: f"outer({a.hot(d)}, {a.v(e)})" if d in "nm" else "", 1, RUN),
    Row(lambda a, d, e, f: f"outer({a.v(d)}, {a.hot(e)})" if e in "nm" else "", 1, RUN),
    Row(lambda a, d, e, f: f"{a.m(e, d)}.T"),
    Row(lambda a, d, e, f: f"transpose({a.m(e, d)})"),
    Row(lambda a, d, e, f: _row_function(a, e, a.m(d, e)), 2),
    Row(lambda a, d, e, f: f"diag({a.v(d)})" if d == e else ""),
    Row(lambda a, d, e, f: f"(diag({a.v(d)}) @ {a.m(d, e)})"),
    Row(lambda a, d, e, f: f"({a.s()}*eye({d}) - {a.m(d, d)})" if d == e else ""),
    Row(lambda a, d, e, f: f"concat({', '.join(a.m(part, e) for part in PARTS[d])})" if d in PARTS else "", 6),
    Row(lambda a, d, e, f: _cut(a, d, lambda whole: a.m(whole, e), ", :")),
    Row(lambda a, d, e, f: f"concat({a.m(d, e)}, {a.m(f, e)})[0:{d}, :]", 0.5),
    Row(lambda a, d, e, f: f"concat({a.m(f, e)}, {a.m(d, e)})[{f}:{f} + {d}, 0:{e}]", 0.5),
    Row(lambda a, d, e, f: f"pad({a.m(d, e)}, 1, {d} + 2, 0, {e})[1:{d} + 1, :]", 0.5),
    Row(lambda a, d, e, f: f"reshape({a.m(e, d)}, {d}, {e})", 0.5),
    Row(lambda a, d, e, f: f"reshape(kron({a.v(d)}, {a.v(e)}), {d}, {e})", 0.5),
    Row(lambda a, d, e, f: f"kron({a.m(d, e)}, {a.m(f, f)})[0:{d}, 0:{e}]", 0.5),
    Row(lambda a, d, e, f: f"concat({a.m(d, e)}[1:, :], {a.m(d, e)}[0:1, :])" if _wide(d) else "", 0.5),
)
FORMS = {0: SCALARS, 1: VECTORS, 2: MATRICES}
