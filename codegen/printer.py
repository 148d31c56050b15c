"""Printer: elements -> lines of Cython in three-address form, common subexpressions computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.element import Const, Element, Hot, Index, InWindow, Load, OnDiagonal, Op, Piece, Present, Select, SizeValue, Steps
from codegen.program import Buffer
from codegen.sizes import Size

INFIX = {"add": " + ", "mul": "*", "div": "/"}
ENDS = "lengths[r] + before"  # the last step of a row


def size_text(size: Size) -> str:
    """A size as a C expression of the dims' variables."""
    terms = ["*".join([*([str(c)] if c != 1 or not names else []), *(f"d_{name}" for name in names)]) for c, names in size]
    return "(" + " + ".join(terms) + ")" if len(terms) > 1 else (terms[0] if terms else "0")


def dim_values(dims: Sequence[str], fixed: Mapping[str, int]) -> list[tuple[str, str]]:
    """Every dim and its size: a constant where it is fixed, else where a call holds it, behind T, B, two flags and the steps before."""
    return [(name, str(fixed.get(name, f"call.d[{place + 5}]"))) for place, name in enumerate(dims)]


def product_text(sizes: tuple[Size, ...]) -> str:
    """The number of components of a shape."""
    return "*".join(size_text(size) for size in sizes) or "1"


class Printer:
    """Prints the elements of one statement (or of several that share a loop), for one row.

    `lines` grow; values live in v0, v1 and so on, rows of buffers are read through `pointers`, and what is the same for a whole row is
    computed by `row_lines` beforehand. flat: all rows are one, of components that lie one after the other.
    """

    def __init__(self, buffers: Mapping[str, Buffer], flat: bool = False) -> None:
        self.buffers, self.flat = buffers, flat
        self.pointers: dict[tuple[str, int], str] = {}
        self.lines: list[str] = []
        self.known: dict[Element, str] = {}
        self.windows: dict[tuple[int | None, int | None], str] = {}
        self.integers: dict[Load, str] = {}
        self.row_lines: list[str] = []

    def value(self, element: Element) -> str:
        """The variable or literal that holds an element."""
        if element not in self.known:
            text = self._text(element)
            if isinstance(element, (Const, SizeValue, Steps)):
                return text
            name = f"v{len(self.known)}"
            self.lines.append(f"{name} = {text}")
            self.known[element] = name
        return self.known[element]

    def _text(self, element: Element) -> str:
        match element:
            case Const():
                text = f"{element.numerator}.0" if element.denominator == 1 else f"({element.numerator}.0/{element.denominator}.0)"
                return f"<real>{text}" if element.numerator >= 0 else f"<real>({text})"
            case SizeValue():
                return f"<real>({size_text(element.size)})"
            case Steps():
                return "<real>steps"
            case Load():
                return self.load(element)
            case Op():
                return self._operation(element)
            case Select():
                a, b, x, y = (self.value(arg) for arg in element.args)
                return f"{x} if {a} {element.relation} {b} else {y}"
            case Piece():
                axis = f"i{element.axis}"
                return f"{self.load(element.load)} if {axis} >= {size_text(element.start)} and {axis} < {size_text(element.stop)} else 0"
            case Hot():
                return f"1 if {self.integer(element.integer)} == {self.place(*element.place)} else 0"
            case Present():
                return f"{self.value(element.arg)} if {self.integer(element.integer)} >= 0 else 0"
            case OnDiagonal():
                first, second = element.axes
                return f"{self.value(element.arg)} if i{first} == i{second} else 0"
            case InWindow():
                return f"{self.value(element.arg)} if {self.window(element.start, element.stop)} else 0"
        raise TypeError(f"no printing rule for {type(element).__name__}")

    def _operation(self, op: Op) -> str:
        args = [self.value(arg) for arg in op.args]
        if op.name in INFIX:
            return INFIX[op.name].join(args)
        if op.name == "neg":
            return f"-{args[0]}"
        if op.name == "power":
            return self._power(args[0], *op.exponent)  # type: ignore[misc]
        return f"f_{op.name}({', '.join(args)})"

    @staticmethod
    def _power(base: str, numerator: int, denominator: int) -> str:
        if denominator == 2:
            root = f"f_sqrt({base})"
            whole = "*".join([base] * (abs(numerator) // 2))
            text = f"{whole}*{root}" if whole else root
        else:
            text = "*".join([base] * abs(numerator)) if abs(numerator) <= 8 else f"f_power({base}, {abs(numerator)})"
        return f"1/({text or '1.0'})" if numerator < 0 else text or "1.0"

    def window(self, start: int | None, stop: int | None) -> str:
        """The variable that says whether the row's step lies in a window; computed once for each row."""
        if (start, stop) not in self.windows:
            name = f"w{len(self.windows)}"
            low, high = ("0" if start is None else _clip(start)), (ENDS if stop is None else _clip(stop))
            self.row_lines.append(f"{name} = (before + t - 1 >= {low}) and (before + t - 1 < {high})")
            self.windows[start, stop] = name
        return self.windows[start, stop]

    def load(self, load: Load) -> str:
        """A component of a buffer."""
        return f"{self.pointer(load.buffer, load.lag)}[{self.address(self.buffers[load.buffer], load.index, load.shape)}]"

    def pointer(self, buffer: str, lag: int) -> str:
        """The variable that points to a row of a buffer, some steps from the current one; to all of it where it has no rows."""
        return self.pointers.setdefault((buffer, lag), f"p{len(self.pointers)}")

    def integer(self, load: Load) -> str:
        """The variable that holds a row's integer; loaded once for each row."""
        if load not in self.integers:
            self.integers[load] = f"g{len(self.integers)}"
            self.row_lines.append(f"{self.integers[load]} = ({row_start(self.buffers[load.buffer], load.lag)})[0]")
        return self.integers[load]

    def place(self, base: object, offset: Size) -> str:
        """Where along its axis an index points; a negative integer, at the first component."""
        parts = [f"i{base}"] if isinstance(base, int) else []
        if isinstance(base, Load):
            name = self.integer(base)
            parts = [f"({name} if {name} > 0 else 0)"]
        return " + ".join([*parts, *([size_text(offset)] if offset else [])]) or "0"

    def address(self, buffer: Buffer, index: Index, shape: tuple[Size, ...] | None = None) -> str:
        """The offset of a component from the beginning of its row; `shape`, if any, is the one that the index is for."""
        if self.flat:
            return "i0"
        parts = []
        for axis, (base, offset) in enumerate(index):
            text, below = self.place(base, offset), product_text((buffer.shape if shape is None else shape)[axis + 1 :])
            parts.append(f"({text})*{below}" if below != "1" else f"({text})")
        return " + ".join(parts) or "0"


def row_start(buffer: Buffer, lag: int, row: str = "r") -> str:
    """Where a row of a buffer begins, some steps from step t."""
    name, size = f"b_{buffer.name}", product_text(buffer.shape)
    if buffer.kind == "shared":
        return name
    shift = f" + {lag}" if lag > 0 else f" - {-lag}" if lag else ""
    step = f" + (t - 1{shift})*s_{buffer.name}" if buffer.kind == "timed" else ""
    return f"{name}{step} + {row}*{size}" if size != "1" else f"{name}{step} + {row}"


def fixed_step(from_end: bool, offset: int) -> list[str]:
    """Lines that set t to a fixed step of row r, and leave the row where that lies in another window."""
    place = f"lengths[r] + {offset}" if from_end else f"{offset} - before"
    here = "(before == 0 or (t >= 1 and lengths[r] > 0)) and (lengths[r] <= steps or t <= steps)"
    return [f"t = {place}", f"if not ({here}):", "    continue"]


def _clip(bound: int) -> str:
    return str(bound) if bound >= 0 else f"max(0, {ENDS} - {-bound})"
