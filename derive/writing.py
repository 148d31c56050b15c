"""Writing: Recurrence -> text in the recurrence language, which reads back as the same recurrence."""

from __future__ import annotations

from derive.arithmetic import is_number
from derive.arrays import Zeros
from derive.nodes import Kind, Number, Pick, Quantity
from derive.recurrence import Equation, Recurrence
from derive.sizes import size_text


def write(recurrence: Recurrence) -> str:
    """The text of a recurrence, generated names explained in comments. Reads back by `parse`."""
    lines = [f'"""{_title(recurrence.title)}"""'] if recurrence.title else []
    lines += [f"{name}: function" for name in recurrence.functions]
    if recurrence.objective and recurrence.objective.abstract:
        lines.append(f"{recurrence.objective.name} = {recurrence.objective.sense}(...)")
    for quantity in recurrence.of_role("input", "index", "parameter", "constant"):
        lines.append(_declaration(recurrence, quantity))
    lines += [constraint.source() for constraint in recurrence.constraints]
    body = [line for equation in recurrence.equations if (line := _statement(recurrence, equation))]
    width = min(72, max((len(line) for line, _ in body), default=0))
    lines += [f"{line:<{width}}  # {comment}" if comment else line for line, comment in body]
    return "\n".join(lines) + "\n"


def _title(title: str) -> str:
    return title.replace("\\", "").replace('"', "'")


def _dims(quantity: Quantity) -> str:
    sizes = ", ".join(map(size_text, quantity.shape))
    return f"({sizes})" if len(quantity.shape) == 2 else sizes or "scalar"


def _declaration(recurrence: Recurrence, quantity: Quantity) -> str:
    name, sizes = quantity.name, ", ".join(map(size_text, quantity.shape))
    meaning = recurrence.meanings.get(name)
    tail = f"  # {meaning}" if meaning else ""
    if quantity.role == "constant":
        default = recurrence.defaults.get(name)
        value = "" if default is None else f" = {Number(default).text()}"
        return f"{name}: const{f'[{sizes}]' if sizes else ''}{value}{tail}"
    if quantity.role == "index":
        return f"{name}[t]: index[{sizes}]{tail}"
    if quantity.role == "input" and quantity.kind != Kind.TIMED:
        return f"{name}: input{f'[{sizes}]' if sizes else ''}{tail}"
    return f"{name}{'[t]' if quantity.kind == Kind.TIMED else ''}: {_dims(quantity)}{tail}"


def _statement(recurrence: Recurrence, equation: Equation) -> tuple[str, str] | None:
    target, expr = equation.target, equation.expr.source()
    if isinstance(target, Pick):
        zero = isinstance(equation.expr, Zeros) or is_number(equation.expr, 0)
        return f"{target.source()} = {'0' if zero else expr}", ""
    meaning = recurrence.meanings.get(target.name, "")
    if target.role == "objective" and recurrence.objective:
        return f"{target.name} = {recurrence.objective.sense}({expr})", meaning
    if target.role in ("total", "objective"):
        sizes = ", ".join(map(size_text, target.shape))
        return f"{target.name}: total{f'[{sizes}]' if sizes else ''} = {expr}", meaning
    time = "[t]" if target.kind == Kind.TIMED else ""
    return f"{target.name}{time}: {_dims(target)} = {expr}", meaning
