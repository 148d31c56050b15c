"""Report: the record of one gradient check, and its JSON, plain text and table.

Input: what `gradcheck.check` measured. Output: text. Measures nothing, judges nothing beyond joining the findings.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("quantity", "shape", "entries", "method", "absolute", "relative", "worst", "step", "gradient", "reference",
           "status")
NUMERIC = ("entries", "absolute", "relative", "step", "gradient", "reference")
# What a narrow terminal leaves out, first to last.
DISPENSABLE = ("step", "entries", "reference", "gradient", "absolute", "method")
LONGEST = 24  # columns kept for a text that may be wrapped


@dataclass(frozen=True, slots=True)
class Quantity:
    """One comparison of one gradient with its reference.

    Units: `absolute`, `gradient` and `reference` are in units of the objective over those of the quantity; `step` is in
    units of the quantity; `relative` and `directional` are pure numbers.
    """

    name: str
    shape: tuple[int, ...]
    entries: int                        # how many may be perturbed
    checked: int                        # how many of them were compared
    method: str                         # "complex step", "Richardson", "no path", "float32 against float64", "none"
    absolute: float | None = None       # largest |gradient - reference| over the entries compared
    relative: float | None = None       # norm of the error over norm of the reference
    worst: tuple[int, ...] | None = None    # index of the entry farthest beyond (or nearest to) its tolerance
    step: float | None = None           # step of the difference at the worst index (Richardson: the smallest one used)
    gradient: float | None = None       # gradient under test at the worst index
    reference: float | None = None      # its reference there
    directional: float | None = None    # worst relative error along random directions
    status: str = "passed"              # "passed", "zero, proved", "weak: why", "failed: why"

    @property
    def failed(self) -> bool:
        """Whether this comparison rejects the gradient."""
        return self.status.startswith("failed")


@dataclass(frozen=True, slots=True)
class Report:
    """What a gradient check found.

    Units: objectives and Taylor remainders are in units of the objective; Taylor steps are multiples of a random
    direction whose entries have the size of the quantities; slope, dot-product error and saturation are pure numbers.
    `None` means that the problem did not supply what the measurement needs, or that a failure came first.
    """

    quantities: tuple[Quantity, ...]
    objective: float
    seed: int
    dtype: str
    kernel_objective: float | None = None
    taylor_slope: float | None = None   # 2 if right, 1 if wrong; None with steps: remainder at rounding level
    taylor_steps: tuple[float, ...] = ()
    taylor_remainders: tuple[float, ...] = ()
    dot_product_error: float | None = None      # |g.u - tangent along u| / (|g| |u|)
    saturation: float | None = None     # fraction of sigmoid-like units that are saturated, 0 to 1
    kink_distance: float | None = None
    draws: int = 1                      # points drawn until one was far enough from every kink
    failures: tuple[str, ...] = ()
    weaknesses: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing rejected the gradient; a weak pass is a pass."""
        return not self.failures

    @property
    def verdict(self) -> str:
        """`passed`, `passed, weak: why` or `failed: why`."""
        if self.failures:
            return "failed: " + "; ".join(self.failures)
        return "passed, weak: " + "; ".join(self.weaknesses) if self.weaknesses else "passed"

    def to_json(self) -> str:
        """Write the record as strict JSON, keys in order of declaration; NaN and infinities become strings."""
        content = {"verdict": self.verdict, "passed": self.passed, **asdict(self)}
        return json.dumps(_strict(content), indent=2, ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """Write the table in plain text, the remaining measurements below it, the verdict last."""
        rows = [COLUMNS, *(_row(quantity) for quantity in self.quantities)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, "", *self._measurements(), self.verdict])

    def to_table(self, width: int = 160) -> Table:
        """Build the table for a terminal of so many columns, verdict last; columns that do not fit are left out."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        style = "bold red" if not self.passed else "bold yellow" if self.weaknesses else "bold green"
        below = Text.assemble("\n" + ", ".join(self._measurements()) + "\n\n", (self.verdict, style))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption=below, caption_style="none",
                      caption_justify="left")
        shown = self._fitting(width)
        for place in shown:
            table.add_column(COLUMNS[place], justify="right" if COLUMNS[place] in NUMERIC else "left")
        for quantity in self.quantities:
            cells = [Text(_row(quantity)[place]) for place in shown]
            cells[-1].stylize("red" if quantity.failed else "yellow" if quantity.status.startswith("weak") else "green")
            table.add_row(*cells)
        return table

    def _fitting(self, width: int) -> list[int]:
        """Places of the columns that fit side by side."""
        rows = [COLUMNS, *(_row(quantity) for quantity in self.quantities)]
        widths = {name: min(LONGEST, max(len(row[place]) for row in rows)) + 2 for place, name in enumerate(COLUMNS)}
        for name in DISPENSABLE:
            if sum(widths.values()) > width:
                del widths[name]
        return [place for place, name in enumerate(COLUMNS) if name in widths]

    def _measurements(self) -> list[str]:
        lines = [f"objective {self.objective:.12g}", f"dtype {self.dtype}", f"seed {self.seed}"]
        if self.kernel_objective is not None:
            lines.append(f"kernel's objective {self.kernel_objective:.12g}")
        if self.taylor_slope is not None:
            lines.append(f"Taylor slope {self.taylor_slope:.3f}")
        elif self.taylor_steps:
            lines.append("Taylor remainder at rounding level")
        if self.dot_product_error is not None:
            lines.append(f"dot-product error {self.dot_product_error:.1e}")
        if self.saturation is not None:
            lines.append(f"saturated {100 * self.saturation:.0f} %")
        if self.kink_distance is not None:
            draws = f"after {self.draws} draw{'s' if self.draws > 1 else ''}"
            near = f"nearest kink {self.kink_distance:.1e} {draws}"
            lines.append(near if math.isfinite(self.kink_distance) else "no kinks")
        return lines

    def __str__(self) -> str:
        return self.to_text()


def _row(quantity: Quantity) -> tuple[str, ...]:
    some = quantity.checked < quantity.entries
    return (quantity.name, _tuple(quantity.shape),
            f"{quantity.checked} of {quantity.entries}" if some else str(quantity.entries), quantity.method,
            _number(quantity.absolute, ".1e"), _number(quantity.relative, ".1e"), _tuple(quantity.worst),
            _number(quantity.step, ".1e"), _number(quantity.gradient, ".9g"), _number(quantity.reference, ".9g"),
            quantity.status)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _tuple(value: tuple[int, ...] | None) -> str:
    return "" if value is None else "(" + ", ".join(map(str, value)) + ")"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
