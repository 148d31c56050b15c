"""Section 8: the algorithm, forward then backward, in the order of the blocks. System and earlier drafts -> drafts."""

from __future__ import annotations

from collections.abc import Mapping

from derive.recurrence import Target
from derive.sections.draft import Draft, draft
from derive.sections.system import System
from derive.structure import Block, blocks

RULES = {
    "once": "compute",
    "sweep": "at all steps",
    "forward": "for t = 1, …, T",
    "backward": "for t = T, …, 1",
    "steady": "solve",
}


def algorithm(system: System, lines: Mapping[Target, list[Draft]], last: list[Draft]) -> list[Draft]:
    """A line for every line that computes something, in the order in which the blocks run; `last` comes at the end.

    lines: what computes each target; targets that are absorbed in the line of another have none.
    """
    order: list[Draft] = []
    shown: set[Draft] = set()
    for block in blocks(system.whole):
        order += _block(block, lines, shown)
    order += [_line("compute", line) for line in last]
    return order


def _block(block: Block, lines: Mapping[Target, list[Draft]], shown: set[Draft]) -> list[Draft]:
    found = []
    for group in block.groups:
        for member in group.members:
            for line in lines.get(member, []):
                if line not in shown:
                    shown.add(line)
                    rule = (
                        RULES["steady"] + " " + RULES[block.kind]
                        if group.steady and block.kind != "steady"
                        else RULES[block.kind]
                    )
                    beside = line.rule in ("slopes", "explicit derivative") and block.kind in (
                        "forward",
                        "backward",
                        "steady",
                    )
                    found.append(
                        _line(("compute" if block.kind == "steady" else "at all steps") if beside else rule, line)
                    )
    return found


def _line(rule: str, line: Draft) -> Draft:
    return draft(8, rule, line.before, *line.after, because=("Computes ", line, "."), source=None)
