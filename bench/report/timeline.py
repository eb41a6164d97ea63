"""One run over time: what its process, the machine and the GPU did, phase by phase."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    legend_below,
    stack,
    styled,
    wrap,
)

# A band's colour belongs to its phase, so that timelines beside each other can be compared.
_BANDS = {
    "start": "#E8E8E8",
    "files": "#DDD6C8",
    "load": "#D3E6F3",
    "audio": "#FBE8C8",
    "batch size": "#E3DDF2",
    "warm-up": "#F3DDE9",
    "inference": "#D5EFE5",
    "single stream": "#FBF7CE",
    "score": "#FBDCCB",
}
_OTHER_BANDS = ("#E8E8E8", "#D3E6F3", "#FBE8C8", "#D5EFE5", "#F3DDE9", "#FBDCCB", "#FBF7CE")


@dataclass(frozen=True)
class _Track:
    """One panel: a line, and perhaps one behind it with a name of its own."""

    column: str
    label: str
    colour: str
    behind: str = ""
    behind_name: str = ""


_TRACKS = (
    _Track("cpu_pct", "CPU [%]\n100 % = 1 core", BLUE, "machine_cpu_pct", "CPU of other processes"),
    _Track("rss_mib", "RAM [MiB]", VERMILION, "descendants_rss_mib", "RAM of processes the run started"),
    _Track("gpu_util_pct", "GPU use [%]", GREEN),
    _Track("gpu_process_mib", "GPU memory of\nthe run [MiB]", PURPLE),
    _Track("gpu_memory_mib", "GPU memory of\nthe device [MiB]", ORANGE),
    _Track("gpu_power_w", "GPU power [W]", SKY),
    _Track("gpu_temperature_c", "GPU temper-\nature [°C]", VERMILION),
    _Track("gpu_clock_mhz", "GPU clock\n[MHz]", BLUE, "gpu_memory_clock_mhz", "clock of the GPU's memory"),
)


@styled
def timeline(samples: pd.DataFrame, run_id: str, marks: Iterable[Mapping[str, Any]] | None = None) -> Figure | None:
    """Draw one run's CPU and memory over time, its phases shaded; the GPU's too where it was sampled.

    Args:
        samples: Rows of the timeline table.
        run_id: The run to draw.
        marks: The beginnings of its phases, as in the column ``marks`` of the runs table; where there are none, phases
            begin at the first sample taken in them.

    Returns:
        The figure; null where the run was sampled fewer than twice.
    """
    run = samples[samples["run_id"] == run_id].sort_values("t_s", ignore_index=True)
    tracks = [track for track in _TRACKS if run[track.column].notna().any()]
    if len(run) < 2 or not tracks:
        return None
    title = f"Run {run_id} over time, ended {run['status'].iloc[0]}"
    high = 1.15 if len(tracks) <= 4 else 0.95
    figure, (part,) = stack([title], [1.4 + high * len(tracks)])
    axes = part.subplots(len(tracks), 1, squeeze=False, sharex=True)[:, 0]
    bands = _bands(run, list(marks) if marks is not None else [])
    colour_of = _colours([name for name, _, _ in bands])
    behind: list[Patch | Line2D] = []
    for axis, track in zip(axes, tracks, strict=True):
        for name, start, stop in bands:
            axis.axvspan(start, stop, color=colour_of[name], linewidth=0)
        top = float(run[track.column].max())
        if track.behind and run[track.behind].gt(0).any():
            behind.append(_draw_behind(axis, run, track))
            top = max(top, float(run[track.behind].max()))
        seen = run.dropna(subset=[track.column])
        axis.plot(seen["t_s"], seen[track.column], color=track.colour, linewidth=1.5)
        if track.column == "gpu_clock_mhz" and (held := seen[seen["gpu_slowdown"].fillna("") != ""]).size:
            look: Any = {"color": VERMILION, "marker": "x", "linestyle": "none", "markersize": 5}
            axis.plot(held["t_s"], held[track.column], **look)
            behind.append(Line2D([], [], label="GPU clocks held down", **look))
        axis.set_ylim(0, max(1.0, 1.1 * top))
        axis.set_ylabel(track.label, fontsize=8)
    axes[-1].set_xlim(bands[0][1], bands[-1][2])
    axes[-1].set_xlabel("Time since the run's process was asked for [s]")
    part.align_ylabels(list(axes))
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, edgecolor=INK, linewidth=0.3, label=wrap(name)) for name, colour in colour_of.items()
    ]
    legend_below(part, [*handles, *behind], columns=4 if behind else 5)
    return figure


def _draw_behind(axis: Axes, run: pd.DataFrame, track: _Track) -> Patch | Line2D:
    """Draw a track's second line; between the CPU of the run and of the machine lies what others used."""
    seen = run.dropna(subset=[track.behind])
    look: Any = {"color": MUTED, "linewidth": 0.9, "linestyle": "--"}
    if track.column != "cpu_pct":
        axis.plot(seen["t_s"], seen[track.behind], **look)
        return Line2D([], [], label=track.behind_name, **look)
    both = seen.dropna(subset=[track.column])
    others = both[track.behind].clip(lower=both[track.column])
    shade: Any = {"facecolor": MUTED, "alpha": 0.45, "linewidth": 0}
    axis.fill_between(both["t_s"], both[track.column], others, **shade)
    return Patch(label=track.behind_name, **shade)


def _bands(run: pd.DataFrame, marks: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """List the phases with their beginning and end in seconds, by the marks or else the samples."""
    last = float(run["t_s"].iloc[-1])
    if marks:
        starts = sorted(((float(mark["t_s"]), str(mark["phase"])) for mark in marks), key=lambda item: item[0])
        last = max(last, starts[-1][0])
    else:
        changes = run.index[run["phase"].ne(run["phase"].shift())]
        starts = [(float(run["t_s"][at]), str(run["phase"][at])) for at in changes]
    stops = [*(start for start, _ in starts[1:]), last]
    return [(name, start, stop) for (start, name), stop in zip(starts, stops, strict=True)]


def _colours(names: Sequence[str]) -> dict[str, str]:
    unknown = [name for name in dict.fromkeys(names) if name not in _BANDS]
    others = {name: _OTHER_BANDS[number % len(_OTHER_BANDS)] for number, name in enumerate(unknown)}
    return {name: _BANDS.get(name) or others[name] for name in dict.fromkeys(names)}
