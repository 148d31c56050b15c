"""Fusion: scheduled phases -> the same, where products that only meet in a sum are formed as one sum.

The terms of such a sum then never leave the registers, nor need room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from codegen.program import (
    Action,
    Buffer,
    Element,
    InWindow,
    Load,
    Loop,
    OnDiagonal,
    Op,
    Phase,
    Present,
    Product,
    Segment,
    Select,
    Statement,
)  # fmt: skip
from codegen.traversal import elements, reads, solves


def add_products(
    phases: Mapping[str, Phase], buffers: Mapping[str, Buffer], results: Mapping[str, Mapping[str, str]]
) -> dict[str, Phase]:
    """Phases whose products are added up where one sum alone reads them, at the step of its own loop."""
    read = Counter(read.buffer for phase in phases.values() for s in phase.statements() for read in reads(s))
    wanted = {name for of_phase in results.values() for name in of_phase.values()}
    wanted |= {name for phase in phases.values() for a in phase.actions for solve in solves(a) for pair in solve.cut for name in pair}
    lone = {name for name, count in read.items() if count == 1 and name not in wanted and not buffers[name].label}

    def fused(action: Action) -> Action:
        if isinstance(action, Segment):
            return replace(action, statements=_fused(action.statements, buffers, lone))
        return replace(action, body=tuple(fused(part) for part in action.body)) if isinstance(action, Loop) else action  # type: ignore[arg-type]

    return {name: replace(phase, actions=tuple(fused(action) for action in phase.actions)) for name, phase in phases.items()}



def _fused(statements: Sequence[Statement], buffers: Mapping[str, Buffer], lone: set[str]) -> tuple[Statement, ...]:
    """The statements of a segment, each sum of products formed where the last of its products stood."""
    products = {s.out: s for s in statements if isinstance(s, Product) and s.out in lone}
    sums: dict[str, Product] = {}
    gone: set[str] = set()
    changed: dict[str, Statement] = {}
    for statement in statements:
        for element in elements(statement.element) if hasattr(statement, "element") else ():
            terms = _terms(element, products, buffers)
            if len(terms) > 1 and len({buffers[name].kind for name in terms}) == 1:
                chosen = [product for product in products.values() if product.out in terms]
                last = chosen[-1].out
                gone |= terms - {last}
                sums[last] = replace(chosen[0], out=last, further=tuple(f for product in chosen[1:] for f in product.factors))
                kept = tuple(arg for arg in element.args if not (isinstance(arg, Load) and arg.buffer in terms - {last}))
                whole = kept[0] if len(kept) == 1 else replace(element, args=kept)
                before = changed.get(statement.out, statement)
                changed[statement.out] = replace(before, element=_replaced(before.element, element, whole))
    return tuple(sums.get(s.out, changed.get(s.out, s)) for s in statements if s.out not in gone)


def _terms(element: Element, products: Mapping[str, Product], buffers: Mapping[str, Buffer]) -> set[str]:
    """The products that a sum adds whole, component by component, at the current step."""
    if not isinstance(element, Op) or element.name != "add":
        return set()
    return {arg.buffer for arg in element.args if isinstance(arg, Load) and arg.buffer in products and _is_plain(arg, buffers[arg.buffer])}


def _is_plain(load: Load, buffer: Buffer) -> bool:
    return not load.lag and load.shape is None and load.index == tuple((place, ()) for place in range(len(buffer.shape)))


def _replaced(element: Element, old: Element, new: Element) -> Element:
    """An element in which another stands for one of its parts."""
    if element == old:
        return new
    match element:
        case Op() | Select():
            return replace(element, args=tuple(_replaced(arg, old, new) for arg in element.args))
        case OnDiagonal() | InWindow() | Present():
            return replace(element, arg=_replaced(element.arg, old, new))
    return element
