"""Fusion: scheduled phases -> the same, with products where their values are used.

A product for all steps whose only reader is a loop moves into that loop; products that only meet in a sum are formed as one sum, whose
terms then never leave the registers; and what is nothing but such a product is written by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from codegen.element import Element, InWindow, Load, OnDiagonal, Op, Present, Select
from codegen.program import Action, Buffer, Loop, Phase, Segment, solves
from codegen.statements import Map, Product, Statement
from codegen.traversal import elements, is_plain, reads


def fuse_products(
    phases: Mapping[str, Phase], buffers: Mapping[str, Buffer], results: Mapping[str, Mapping[str, str]]
) -> dict[str, Phase]:
    """Phases whose products stand in the loops that alone read them, added up where one sum alone reads them at the step of its loop."""
    read = Counter(read.buffer for phase in phases.values() for s in phase.statements() for read in reads(s))
    wanted = {name for of_phase in results.values() for name in of_phase.values()}
    wanted |= {name for phase in phases.values() for a in phase.actions for solve in solves(a) for pair in solve.cut for name in pair}
    lone = {name for name, count in read.items() if count == 1 and name not in wanted and not buffers[name].label}

    def fused(action: Action) -> Action:
        if isinstance(action, Segment):
            return replace(action, statements=_written(_fused(action.statements, buffers, lone), buffers, lone))
        return replace(action, body=tuple(fused(part) for part in action.body)) if isinstance(action, Loop) else action  # type: ignore[arg-type]

    return {
        name: replace(phase, actions=tuple(fused(action) for action in _sunk(phase.actions, buffers, lone)))
        for name, phase in phases.items()
    }


def _sunk(actions: Sequence[Action], buffers: Mapping[str, Buffer], lone: set[str]) -> list[Action]:
    """Actions with products out of sweeps moved into the loops that alone read them, at their own step and component by component."""
    waiting: dict[str, Product] = {}
    left: list[Action] = []
    homes: dict[str, int] = {}
    for place, action in enumerate(actions):
        if isinstance(action, Segment) and action.order == "sweep":
            waiting |= {s.out: s for s in action.statements if isinstance(s, Product) and s.out in lone}
        if isinstance(action, Segment) and action.order in ("forward", "backward"):
            loads = (e for s in action.statements if isinstance(s, Map) for e in elements(s.element) if isinstance(e, Load) and not e.lag)
            homes |= {e.buffer: place for e in loads if e.buffer in waiting and is_plain(e, buffers[e.buffer])}
    for place, action in enumerate(actions):
        if isinstance(action, Segment):
            moved = [replace(waiting[name], ahead=len(waiting[name].factors)) for name, home in homes.items() if home == place]
            kept = [s for s in action.statements if s.out not in homes]
            action = replace(action, statements=(*moved, *kept))
        if not isinstance(action, Segment) or action.statements:
            left.append(action)
    return left


def _fused(statements: Sequence[Statement], buffers: Mapping[str, Buffer], lone: set[str]) -> tuple[Statement, ...]:
    """The statements of a segment, each sum of products formed where the last of its products stood; first what is known ahead."""
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
                sums[last] = _added(last, chosen)
                kept = tuple(arg for arg in element.args if not (isinstance(arg, Load) and arg.buffer in terms - {last}))
                whole = kept[0] if len(kept) == 1 else replace(element, args=kept)
                before = changed.get(statement.out, statement)
                changed[statement.out] = replace(before, element=_replaced(before.element, element, whole))
    return tuple(sums.get(s.out, changed.get(s.out, s)) for s in statements if s.out not in gone)


def _added(out: str, chosen: Sequence[Product]) -> Product:
    """The sum of products, those that are known before the loop first."""
    ahead, now = [], []
    for product in chosen:
        ahead += product.factors[: product.ahead]
        now += product.factors[product.ahead :]
    (matrix, transposed, operand), *further = ahead + now
    return Product(out, matrix, transposed, operand, tuple(further), len(ahead))


def _written(statements: Sequence[Statement], buffers: Mapping[str, Buffer], lone: set[str]) -> tuple[Statement, ...]:
    """The statements of a segment without maps that only copy a product: it takes their place."""
    products = {s.out: s for s in statements if isinstance(s, Product) and s.out in lone}
    copies = {s.element.buffer: s.out for s in statements if isinstance(s, Map) and _is_copy(s, products, buffers)}  # type: ignore[union-attr]
    return tuple(
        replace(s, out=copies[s.out]) if s.out in copies else s for s in statements if s.out not in set(copies.values())
    )  # fmt: skip


def _is_copy(statement: Map, products: Mapping[str, Product], buffers: Mapping[str, Buffer]) -> bool:
    load, out = statement.element, buffers[statement.out]
    if not isinstance(load, Load) or load.buffer not in products or load.lag or not is_plain(load, buffers[load.buffer]):
        return False
    return (out.kind, out.shape) == (buffers[load.buffer].kind, buffers[load.buffer].shape)


def _terms(element: Element, products: Mapping[str, Product], buffers: Mapping[str, Buffer]) -> set[str]:
    """The products that a sum adds whole, component by component, at the current step."""
    if not isinstance(element, Op) or element.name != "add":
        return set()
    loads = (arg for arg in element.args if isinstance(arg, Load) and arg.buffer in products and not arg.lag)
    return {load.buffer for load in loads if is_plain(load, buffers[load.buffer])}


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
