"""Scatter: an element that is zero but where one axis meets an integer -> what is added there.

A sum of `s[i]*onehot(c)[j]` over steps then costs as many additions as `s` has components, whatever the number of values of `c`.
"""

from __future__ import annotations

from dataclasses import replace

from codegen.element import Const, Element, Hot, InWindow, Load, OnDiagonal, Op, Piece, Present, Select


def scattered(element: Element) -> tuple[Element, tuple[int, Load]] | None:
    """The element without its integer's factor, and the axis and the integer that say where it goes; None where it has no such form."""
    match element:
        case Hot(place=(int(axis), ()), integer=integer):
            return Const(1), (axis, integer)
        case Op(name="neg") | InWindow():
            found = scattered(element.args[0] if isinstance(element, Op) else element.arg)
            if found is None:
                return None
            inner, place = found
            return (replace(element, args=(inner,)) if isinstance(element, Op) else replace(element, arg=inner)), place
        case Op(name="mul"):
            return _factored(element)
    return None


def _factored(element: Op) -> tuple[Element, tuple[int, Load]] | None:
    for number, arg in enumerate(element.args):
        found = scattered(arg)
        if found is not None:
            inner, (axis, integer) = found
            rest = [*element.args[:number], *element.args[number + 1 :]]
            moved = [_moved(other, axis, integer) for other in (rest if inner == Const(1) and rest else [inner, *rest])]
            if None not in moved:
                return (moved[0] if len(moved) == 1 else Op("mul", tuple(moved))), (axis, integer)  # type: ignore[return-value, arg-type]
    return None


def _moved(element: Element, axis: int, integer: Load) -> Element | None:
    """The element with an axis replaced by an integer; None where the axis has more to say than a place."""

    def index(place: tuple) -> tuple:
        return (integer, place[1]) if place[0] == axis else place

    match element:
        case Load():
            return replace(element, index=tuple(index(place) for place in element.index))
        case Hot():
            return replace(element, place=index(element.place))
        case Op() | Select():
            args = [_moved(arg, axis, integer) for arg in element.args]
            return None if None in args else replace(element, args=tuple(args))
        case InWindow() | Present():
            arg = _moved(element.arg, axis, integer)
            return None if arg is None else replace(element, arg=arg)
        case Piece() | OnDiagonal():
            return None
    return element
