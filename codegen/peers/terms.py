"""Terms: elements of a Program -> expressions on whole arrays, in the words of a dialect.

An expression's axes are those of its rows (none where it is shared, batch, or steps and batch), then those of the statement. Axes that
it does not depend on have length one, or are left out where they stand first, so that broadcasting puts them back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from codegen.element import Const, Element, Hot, InWindow, Load, OnDiagonal, Op, Piece, Present, Select, SizeValue, Steps
from codegen.peers.dialects import Dialect
from codegen.peers.sizes import LEAD, added, difference, size_text, sizes_text
from codegen.sizes import Size

LOOSE, SUM, TIMES, SIGN, ATOM = range(5)  # how tightly an expression holds together


@dataclass(frozen=True, slots=True)
class Term:
    """An expression: text; lead, its axes of rows; axes, those of the statement that it depends on; strength, how tightly its parts hold
    together; plain, whether it is a number of Python's."""  # noqa: D205, D209

    text: str
    lead: int = 0
    axes: frozenset[int] = frozenset()
    strength: int = ATOM
    plain: bool = False

    def within(self, strength: int) -> str:
        """The text, in parentheses where it would come apart."""
        return self.text if self.strength >= strength else f"({self.text})"


class Terms:
    """Writes elements of one statement.

    axes: the sizes of its own axes; read: (buffer, lag) -> the expression of its whole array and its axes of rows; shapes: of buffers;
    inside: (start, stop) of a window -> the expression that says which steps lie in it, with its axes of rows.
    """

    def __init__(
        self,
        dialect: Dialect,
        axes: Sequence[Size],
        read: Callable[[str, int], tuple[str, int]],
        shapes: Callable[[str], Sequence[Size]],
        inside: Callable[[int | None, int | None], tuple[str, int]],
    ) -> None:
        self.dialect, self.axes, self.read, self.shapes, self.inside = dialect, tuple(axes), read, shapes, inside

    def of(self, element: Element) -> Term:
        """The expression of an element."""
        match element:
            case Const():
                value = element.numerator / element.denominator if element.denominator != 1 else element.numerator
                return Term(repr(float(value)), strength=SIGN if value < 0 else ATOM, plain=True)
            case SizeValue():
                return Term(size_text(element.size), strength=SUM, plain=True)
            case Steps():
                return Term("T", plain=True)
            case Load():
                return self._load(element)
            case Op():
                return self._operation(element)
            case Select():
                return self._select(element)
            case Piece():
                return self._joined((element,))
            case Hot():
                axis, offset = element.place
                place = self._positions(axis, offset)
                chosen = self._integers(element.integer)
                return self._where(Term(f"{chosen.text} == {place.text}", chosen.lead, place.axes), Term("1.0", plain=True), ZERO)
            case Present():
                chosen = self._integers(element.integer)
                return self._where(replace(chosen, text=f"{chosen.text} >= 0"), self.of(element.arg), ZERO)
            case OnDiagonal():
                first, second = (self._positions(axis, ()) for axis in element.axes)
                return self._where(Term(f"{first.text} == {second.text}", 0, first.axes | second.axes), self.of(element.arg), ZERO)
            case InWindow():
                text, lead = self.inside(element.start, element.stop)
                mask = Term(self._with_axes(text, lead, ()), lead)
                return self._where(mask, self.of(element.arg), ZERO)
        raise TypeError(f"no expression for {type(element).__name__}")

    def full(self, element: Element, lead: int) -> str:
        """The expression with all its axes of rows and of the statement at full length."""
        term = self.of(element)
        if term.lead == lead and len(term.axes) == len(self.axes):
            return term.text
        if not lead and not self.axes:
            return self._as_array(term).text
        return self.dialect.form("spread", array=self._as_array(term).text, shape=sizes_text(self.axes, lead))

    # -- functions and choices

    def _as_array(self, term: Term) -> Term:
        return Term(self.dialect.form("number", value=term.text)) if term.plain else term

    def _joint(self, terms: Sequence[Term], text: str, strength: int) -> Term:
        """An expression of several, which broadcast."""
        axes = frozenset[int]().union(*(term.axes for term in terms))
        return Term(text, max(term.lead for term in terms), axes, strength, all(term.plain for term in terms))

    def _operation(self, element: Op) -> Term:
        if element.name == "add" and all(isinstance(arg, Piece) for arg in element.args):
            return self._joined(element.args)  # type: ignore[arg-type]
        args = [self.of(arg) for arg in element.args]
        match element.name:
            case "add":
                text = args[0].within(SUM)
                for part, term in zip(element.args[1:], args[1:], strict=True):
                    negative = isinstance(part, Op) and part.name == "neg"
                    text += f" - {self.of(part.args[0]).within(TIMES)}" if negative else f" + {term.within(SUM)}"
                return self._joint(args, text, SUM)
            case "mul":
                return self._joint(args, " * ".join(term.within(TIMES) for term in args), TIMES)
            case "div":
                return self._joint(args, f"{args[0].within(TIMES)} / {args[1].within(SIGN)}", TIMES)
            case "neg":
                return self._joint(args, f"-{args[0].within(SIGN)}", SIGN)
            case "power":
                numerator, denominator = element.exponent  # type: ignore[misc]
                base = args[0] if denominator == 1 else self._called("sqrt", args)
                return self._joint(args, f"{base.within(ATOM)}**{numerator}", SIGN) if numerator != 1 else base
            case "stop_gradient":
                (arg,) = args
                return arg if arg.plain else replace(arg, text=self.dialect.form("held", array=arg.text), strength=ATOM)
        return self._called(element.name, args)

    def _called(self, name: str, args: Sequence[Term]) -> Term:
        texts = [self._as_array(term).text for term in args]
        return replace(self._joint(args, self.dialect.call(name, *texts), ATOM), plain=False)

    def _select(self, element: Select) -> Term:
        a, b, x, y = (self.of(arg) for arg in element.args)
        left = self._as_array(a) if a.plain and b.plain else a
        condition = self._joint((left, b), f"{left.within(SUM)} {element.relation} {b.within(SUM)}", LOOSE)
        return self._where(condition, x, y)

    def _where(self, condition: Term, yes: Term, no: Term) -> Term:
        first = self._as_array(yes) if no.plain else yes  # two numbers of Python's would have PyTorch's own precision
        text = self.dialect.form("where", condition=condition.text, yes=first.text, no=no.text)
        return replace(self._joint((condition, yes, no), text, ATOM), plain=False)

    # -- reads

    def _with_axes(self, text: str, lead: int, selected: Sequence[tuple[int, str]]) -> str:
        """An array with an axis for every one of the statement; selected: (axis, what is taken along it), in the order of axes."""
        taken = dict(selected)
        places = [taken.get(axis, "None") for axis in range(len(self.axes))]
        if not lead:
            while places and places[0] == "None":
                places.pop(0)
        if all(place == ":" for place in places):
            return text
        rows = ":, " * lead
        return f"{text}[{rows}{', '.join(places)}]"

    def _load(self, load: Load) -> Term:
        text, lead = self.read(load.buffer, load.lag)
        sizes = self.shapes(load.buffer)
        if load.shape is not None:
            sizes = load.shape
            text = f"{text}.reshape(({sizes_text(sizes, lead)}))"
        bases = [base for base, _ in load.index]
        axes = [base for base in bases if isinstance(base, int)]
        if any(isinstance(base, Load) for base in bases) or len(set(axes)) < len(axes):
            return self._gathered(load, text, lead, sizes)
        picks = [
            size_text(offset) if base is None else self._span(base, offset, size)
            for (base, offset), size in zip(load.index, sizes, strict=True)
        ]
        if axes == sorted(axes) and None not in bases:
            return Term(self._with_axes(text, lead, list(zip(axes, picks, strict=True))), lead, frozenset(axes))
        if any(pick != ":" for pick in picks):
            text = f"{text}[{':, ' * lead}{', '.join(picks)}]"
        if axes != sorted(axes):
            order = sorted(range(len(axes)), key=axes.__getitem__)
            text = self.dialect.form("permuted", array=text, order=(*range(lead), *(lead + place for place in order)))
        return Term(self._with_axes(text, lead, [(axis, ":") for axis in sorted(axes)]), lead, frozenset(axes))

    def _span(self, axis: int, offset: Size, size: Size) -> str:
        if not offset and size == self.axes[axis]:
            return ":"
        return f"{size_text(offset)}:{size_text(added(self.axes[axis], offset))}"

    def _positions(self, axis: int | None, offset: Size) -> Term:
        """The places 0, 1, … along an axis of the statement, or one place."""
        if axis is None:
            return Term(size_text(offset), strength=SUM)
        text = self._with_axes(self.dialect.form("arange", stop=size_text(self.axes[axis])), 0, [(axis, ":")])
        return Term(f"({text} + {size_text(offset)})" if offset else text, 0, frozenset({axis}))

    def _integers(self, load: Load) -> Term:
        text, lead = self.read(load.buffer, load.lag)
        return Term(self._with_axes(text, lead, ()), lead)

    def _gathered(self, load: Load, text: str, lead: int, sizes: Sequence[Size]) -> Term:
        """Components chosen by integers, or on a diagonal."""
        chosen = [base for base, _ in load.index if isinstance(base, Load)]
        last, plain = load.index[-1], [self._span(base, offset, size) if isinstance(base, int) else ""
                                       for (base, offset), size in zip(load.index[:-1], sizes, strict=False)]  # fmt: skip
        places = [base for base, _ in load.index[:-1]]
        if not lead and len(chosen) == 1 and isinstance(last[0], Load) and set(plain) <= {":"} and places == list(range(len(self.axes))):
            integer, rows = self.read(last[0].buffer, last[0].lag)
            order = (len(places), *range(len(places)))
            table = self.dialect.form("permuted", array=text, order=order) if places else text
            return Term(f"{table}[{self._clipped(integer)}]", rows, frozenset(range(len(places))))
        terms = [
            replace(self._integers(base), text=self._clipped(self._integers(base).text)) if isinstance(base, Load)
            else self._positions(base, offset)
            for base, offset in load.index
        ]  # fmt: skip
        rows = [
            f"{self.dialect.form('arange', stop=name)}[:, {', '.join(['None'] * (len(self.axes) + lead - 1 - place))}]"
            if len(self.axes) + lead - 1 - place else self.dialect.form("arange", stop=name)
            for place, name in enumerate(LEAD[lead].split(", ")) if name
        ]  # fmt: skip
        found = self._joint(terms, f"{text}[{', '.join([*rows, *(term.text for term in terms)])}]", ATOM)
        return replace(found, lead=max(lead, found.lead), plain=False)

    def _clipped(self, integer: str) -> str:
        return f"{integer}.clip(0)"

    def _joined(self, pieces: Sequence[Piece]) -> Term:
        """Pieces along one axis, one after the other, zero between them and around."""
        axis = pieces[0].axis
        parts, reached = [], ()
        terms = [self._piece(piece) for piece in pieces]
        lead = max(term.lead for term in terms)
        axes = frozenset[int]().union(*(term.axes for term in terms))
        in_line = all(piece.start == before for piece, before in zip(pieces, [(), *(piece.stop for piece in pieces)], strict=False))
        if len({piece.axis for piece in pieces}) > 1 or not in_line and len(pieces) > 1:
            alone = [self._joined((piece,)) for piece in pieces]
            return self._joint(alone, " + ".join(term.text for term in alone), SUM)
        for piece, term in zip(pieces, terms, strict=True):
            if piece.start != reached:
                parts.append(self._blank(difference(piece.start, reached), axis, lead, axes))
            parts.append(self._evened(piece, term, axis, lead, axes))
            reached = piece.stop
        if reached != self.axes[axis]:
            parts.append(self._blank(difference(self.axes[axis], reached), axis, lead, axes))
        text = self.dialect.form("joined", parts=", ".join(parts), axis=axis - len(self.axes))
        return Term(text if len(parts) > 1 else parts[0], lead, axes | {axis})

    def _piece(self, piece: Piece) -> Term:
        return self._within(piece)._load(self._moved(piece))

    def _within(self, piece: Piece) -> Terms:
        """The same statement, its axis as long as the piece."""
        length = difference(piece.stop, piece.start)
        axes = [length if axis == piece.axis else size for axis, size in enumerate(self.axes)]
        return Terms(self.dialect, axes, self.read, self.shapes, self.inside)

    @staticmethod
    def _moved(piece: Piece) -> Load:
        """The load as seen from where the piece starts."""
        index = tuple((base, added(offset, piece.start)) if base == piece.axis else (base, offset) for base, offset in piece.load.index)
        return replace(piece.load, index=index)

    def _shape(self, length: Size, axis: int, lead: int, axes: frozenset[int]) -> str:
        one: Size = ((1, ()),)
        return sizes_text([length if at == axis else size if at in axes else one for at, size in enumerate(self.axes)], lead)

    def _blank(self, length: Size, axis: int, lead: int, axes: frozenset[int]) -> str:
        return self.dialect.form("zeros", shape=self._shape(length, axis, lead, axes))

    def _evened(self, piece: Piece, term: Term, axis: int, lead: int, axes: frozenset[int]) -> str:
        """A piece with the axes that the others have."""
        if term.lead == lead and term.axes | {axis} == axes | {axis} and axis in term.axes:
            return term.text
        return self.dialect.form("spread", array=term.text, shape=self._shape(difference(piece.stop, piece.start), axis, lead, axes))


ZERO = Term("0.0", plain=True)
