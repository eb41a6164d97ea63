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
from bench.report.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
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
from bench.report.tradeoff import tradeoff

__all__ = ["heatmap", "memory", "phases", "timeline", "tradeoff"]

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
_TRACKS = (
    ("cpu_pct", "CPU [%]\n100 % = 1 core", BLUE),
    ("rss_mib", "RAM [MiB]", VERMILION),
    ("gpu_util_pct", "GPU use [%]", GREEN),
    ("gpu_process_mib", "GPU memory of\nthe run [MiB]", PURPLE),
    ("gpu_memory_mib", "GPU memory of\nthe device [MiB]", ORANGE),
)
_BANDS = ("#E8E8E8", "#D3E6F3", "#FBE8C8", "#D5EFE5", "#F3DDE9", "#FBDCCB", "#FBF7CE")


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
        The figure; null where no run ended well.
    """
    drawn = [block for block in blocks(runs) if block.table["typical_run"].notna().any()]
    if not drawn:
        return None
    shown = [_least(block, "typical_run", "inference_s") for block in drawn]
    what = "Where the time goes"
    titles = [_title(what, block, table, "typical_run") for block, table in zip(drawn, shown, strict=True)]
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


@styled
def timeline(samples: pd.DataFrame, run_id: str) -> Figure | None:
    """Draw one run's CPU and memory over time, its phases shaded; the GPU's too where it was sampled.

    Args:
        samples: Rows of the timeline table.
        run_id: The run to draw.

    Returns:
        The figure; null where the run was sampled fewer than twice.
    """
    run = samples[samples["run_id"] == run_id].sort_values("t_s", ignore_index=True)
    tracks = [track for track in _TRACKS if run[track[0]].notna().any()]
    if len(run) < 2 or not tracks:
        return None
    title = f"Run {run_id} over time, ended {run['status'].iloc[0]}"
    figure, (part,) = stack([title], [1.2 + 1.15 * len(tracks)])
    axes = part.subplots(len(tracks), 1, squeeze=False, sharex=True)[:, 0]
    names = list(dict.fromkeys(run["phase"]))
    colour_of = {name: _BANDS[number % len(_BANDS)] for number, name in enumerate(names)}
    changes = run.index[run["phase"].ne(run["phase"].shift())].tolist()
    ends = [*changes[1:], len(run) - 1]
    for axis, (column, label, colour) in zip(axes, tracks, strict=True):
        for first, last in zip(changes, ends, strict=True):
            band = colour_of[run["phase"][first]]
            axis.axvspan(run["t_s"][first], run["t_s"][last], color=band, linewidth=0)
        axis.plot(run["t_s"], run[column], color=colour, linewidth=1.5)
        axis.set_ylim(0, max(1.0, 1.1 * float(run[column].max())))
        axis.set_ylabel(label, fontsize=8)
    axes[-1].set_xlim(run["t_s"].iloc[0], run["t_s"].iloc[-1])
    axes[-1].set_xlabel("Time since the run's process was asked for [s]")
    part.align_ylabels(list(axes))
    handles = [Patch(facecolor=colour_of[name], edgecolor=INK, linewidth=0.3, label=wrap(name)) for name in names]
    legend_below(part, handles, columns=5)
    return figure
