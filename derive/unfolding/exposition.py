"""Exposition of an unfolding: Unfolding -> the numbered steps that `derive.present` prints."""

from __future__ import annotations

from derive.exposition import Exposition, numbered
from derive.sections.boxes import ZERO
from derive.sections.draft import draft
from derive.unfolding.flows import backward, forward
from derive.unfolding.paths import Unfolding
from derive.unfolding.sections import factors, model, paths
from derive.unfolding.shares import Shares

SECTIONS = {
    1: "The model, step by step",
    2: "The sum over paths",
    3: "The factors",
    4: "How the entry enters later steps",
    5: "The same sum by sensitivities",
}


def expose_unfolding(unfolding: Unfolding) -> Exposition:
    """An unfolding, to be printed. Raises: RecurrenceError where a node has no notation."""
    shares = Shares(unfolding)
    what = f"Gradient by {unfolding.entry.source()} over {unfolding.steps} step{'s' * (unfolding.steps > 1)}, path by path"
    if unfolding.paths:
        drafts = [*model(shares), *paths(shares), *factors(shares), *forward(shares), *backward(shares)]
    else:
        none = draft(2, "gradient", shares.by_weight, ZERO, because="No path leads from the objective to it.")
        drafts = [*model(shares), none]
    return Exposition(what, SECTIONS, numbered(drafts))
