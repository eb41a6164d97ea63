"""The figures of a report. Each function takes frames as ``bench.store`` loads them and returns a matplotlib figure.

A figure that cannot be drawn honestly is null, never an empty axis: with one setting there is no trade-off to show.
Figures belong to no window and touch no global state, so they show inline in a notebook and in no other place.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.report.heatmap import heatmap
from bench.report.progress import progress
from bench.report.scaling import scaling
from bench.report.speedup import speedup
from bench.report.style import (
    BLUE,
    GREEN,
    MUTED,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    legend_below,
    row_height,
    stack,
    styled,
    wrap,
)
from bench.report.tables import PHASES, Block, blocks
from bench.report.timeline import timeline
from bench.report.tradeoff import tradeoff

__all__ = ["heatmap", "memory", "phases", "progress", "scaling", "speedup", "timeline", "tradeoff"]

_MOST_BARS = 30

# Hatching marks the phases that are not part of RTFx.
_PHASE_LOOK = {
    "load_s": ("load", MUTED, "////"),
    "audio_decode_s": ("audio decoding", "#B5B5B5", "\\\\\\\\"),
    "segment_s": ("finding silences", GREEN, ""),
    "features_s": ("features", YELLOW, ""),
    "encode_s": ("encode", SKY, ""),
    "decode_s": ("decode", BLUE, ""),
    "align_s": ("word times", PURPLE, ""),
    "merge_s": ("merge", VERMILION, ""),
}
_MEMORY_LOOK = (
    ("RAM", "rss_after_load_mib", "after load", "peak_rss_mib", "peak after load", BLUE, "#CFE3F1"),
    (
        "GPU memory",
        "peak_gpu_allocated_mib",
        "peak allocated",
        "peak_gpu_reserved_mib",
        "peak reserved",
        GREEN,
        "#CDEBE1",
    ),
)


@styled
def memory(runs: pd.DataFrame) -> Figure | None:
    """Draw each setting's memory as bars, one part a block: RAM, and the GPU's memory where one was used.

    Args:
        runs: Rows of the runs table; may hold several blocks.

    Returns:
        The figure; null where no peak was measured.
    """
    drawn = [block for block in blocks(runs) if block.table["peak_rss_mib"].notna().any()]
    if not drawn:
        return None
    shown = [_least(block, "peak_rss_mib", "peak_rss_mib") for block in drawn]
    titles = [_title("Memory", block, table, "peak_rss_mib") for block, table in zip(drawn, shown, strict=True)]
    figure, parts = stack(titles, [1.6 + row_height(table["label"]) * len(table) for table in shown])
    for part, table in zip(parts, shown, strict=True):
        tracks = [look for look in _MEMORY_LOOK if table[look[3]].notna().any()]
        axes = part.subplots(1, len(tracks), squeeze=False, sharey=True)[0]
        handles = []
        for axis, (what, low, low_label, high, high_label, dark, pale) in zip(axes, tracks, strict=True):
            places = np.arange(len(table))
            axis.barh(places, table[high], height=0.72, color=pale, edgecolor=dark, linewidth=0.8)
            axis.barh(places, table[low], height=0.36, color=dark)
            for place, value in zip(places, table[high], strict=True):
                at = (float(np.nan_to_num(value)), float(place))
                axis.annotate(
                    "not measured" if np.isnan(value) else f"{value:.0f}",
                    at, (4, 0), textcoords="offset points", va="center", fontsize=8,
                )  # fmt: skip
            axis.set_xlim(0, 1.12 * float(table[high].max()))
            axis.set_xlabel(f"{what} [MiB], lower is better")
            axis.set_yticks(places, [wrap(label) for label in table["label"]])
            axis.set_ylim(len(table) - 0.4, -0.6)
            axis.tick_params(axis="y", length=0, pad=6)
            handles.append(Patch(facecolor=dark, label=f"{what} {low_label}"))
            handles.append(Patch(facecolor=pale, edgecolor=dark, label=f"{what} {high_label}"))
        legend_below(part, handles, columns=2)
    return figure


@styled
def phases(runs: pd.DataFrame) -> Figure | None:
    """Draw where each setting's time went, one part a block: the phases of its typical run as stacked bars.

    Args:
        runs: Rows of the runs table; may hold several blocks.

    Returns:
        The figure; null where no run has a timing.
    """
    drawn = [block for block in blocks(runs) if block.table["inference_s"].notna().any()]
    if not drawn:
        return None
    shown = [_least(block, "inference_s", "inference_s") for block in drawn]
    what = "Where the time goes"
    titles = [_title(what, block, table, "inference_s") for block, table in zip(drawn, shown, strict=True)]
    figure, parts = stack(titles, [1.7 + row_height(table["label"]) * len(table) for table in shown])
    for part, table in zip(parts, shown, strict=True):
        axis = part.subplots()
        places = np.arange(len(table))
        start = np.zeros(len(table))
        handles = []
        for phase in PHASES:
            label, colour, hatch = _PHASE_LOOK[phase]
            length = table[phase].fillna(0.0).to_numpy(dtype=float)
            look: Any = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.4}
            axis.barh(places, length, left=start, height=0.72, **look)
            start = start + length
            outside = ", not part of RTFx" if phase in PHASES[:2] else ""
            handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label + outside))
        axis.set_xlabel("Time of one run [s], lower is better")
        axis.set_yticks(places, [wrap(label) for label in table["label"]])
        axis.set_ylim(len(table) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0, pad=6)
        axis.grid(axis="x")
        legend_below(part, handles, columns=3)
    return figure


def _least(block: Block, measured: str, column: str) -> pd.DataFrame:
    """Take the settings with something measured, no more than there is room for: those least in a column."""
    return block.table.dropna(subset=[measured]).nsmallest(_MOST_BARS, column)


def _title(what: str, block: Block, shown: pd.DataFrame, measured: str) -> str:
    count = int(block.table[measured].notna().sum())
    return f"{what}: {block.title}" + (f", the {len(shown)} least of {count}" if len(shown) < count else "")
