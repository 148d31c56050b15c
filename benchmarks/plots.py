"""Plots: rows of the matrix -> ratios by recurrence; rows of growth -> times by steps, sequences and units.

PNG or SVG, as the file's name says.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.matrix import BUILT_IN, Row

COLOURS = {"jax": "#0072b2", "torch": "#d55e00", BUILT_IN: "#cc79a7", "numpy": "#009e73", "retrograd": "#000000"}
MARKS = {"small": "o", "mid": "s", "large": "D"}
TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256)
NAMES = {"T": "steps", "B": "sequences", "n": "units"}


def draw_ratios(rows: Sequence[Row], file: Path) -> None:
    """How many times longer each peer takes, a row for each recurrence, a panel for each dtype; left of the line the kernel is slower."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    done = [row for row in rows if "seconds" in row]
    dtypes = list(dict.fromkeys(row["dtype"] for row in done))
    names = list(dict.fromkeys(row["recurrence"] for row in done))[::-1]
    figure, panels = plt.subplots(
        1, max(len(dtypes), 1), figsize=(5 * max(len(dtypes), 1) + 2, 0.28 * len(names) + 1.6), sharey=True, sharex=True, squeeze=False
    )
    for panel, dtype in zip(panels[0], dtypes, strict=False):
        for row in (row for row in done if row["dtype"] == dtype):
            for peer, ratio in row["ratios"].items():  # type: ignore[attr-defined]
                height = names.index(row["recurrence"]) + 0.22 * (list(MARKS).index(str(row["size"])) - 1)
                panel.plot(ratio, height, MARKS[str(row["size"])], color=COLOURS[peer], markersize=5, alpha=0.85)
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set(xscale="log", title=str(dtype), xlabel="times the kernel's time, value and gradient")
        panel.grid(axis="x", which="both", linewidth=0.3)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.set_ylim(-0.7, len(names) - 0.3)
    peers = [peer for peer in COLOURS if any(peer in row["ratios"] for row in done)]  # type: ignore[operator]
    handles = [plt.Line2D([], [], color=COLOURS[peer], marker="o", linestyle="", label=peer) for peer in peers]
    sizes = [size for size in MARKS if any(row["size"] == size for row in done)]
    handles += [plt.Line2D([], [], color="grey", marker=MARKS[size], linestyle="", label=size) for size in sizes]
    for panel in panels[0]:
        ticks = [tick for tick in TICKS if panel.get_xlim()[0] <= tick <= panel.get_xlim()[1]]
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.xaxis.set_minor_formatter(lambda value, _: "")
    width = figure.get_size_inches()[0]
    figure.tight_layout(rect=(0, 0, 1 - 1.4 / width, 1))
    figure.legend(handles=handles, loc="center right", fontsize=8, frameon=False)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def draw_growth(rows: Sequence[Row], file: Path) -> None:
    """Milliseconds of a value and gradient, a panel for each of steps, sequences and units, both axes logarithmic."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    axes = list(dict.fromkeys(str(row["along"]) for row in rows))
    figure, panels = plt.subplots(1, len(axes), figsize=(4 * len(axes), 3.6), sharey=True, squeeze=False)
    for panel, along in zip(panels[0], axes, strict=True):
        found = [row for row in rows if row["along"] == along and row["seconds"]]
        for peer in dict.fromkeys(peer for row in found for peer in row["seconds"]):  # type: ignore[attr-defined]
            points = [(row["at"], 1e3 * row["seconds"][peer]) for row in found]  # type: ignore[index]
            panel.plot(*zip(*points, strict=True), "o-", color=COLOURS[peer], label=peer, markersize=4)
        panel.set(xscale="log", yscale="log", xlabel=NAMES[along])
        panel.set_xticks([row["at"] for row in found], [str(row["at"]) for row in found])
        panel.minorticks_off()
        panel.grid(linewidth=0.3)
    panels[0][0].set_ylabel("ms, value and gradient")
    panels[0][0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"{rows[0]['recurrence']}, {rows[0]['dtype']}, threads: {rows[0]['threads']}", fontsize=10)
    figure.tight_layout()
    figure.savefig(file, dpi=150)
    plt.close(figure)
