"""Accuracy against speed: every setting as a point, the ones worth having as a line, the recommended ones named."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from bench.metrics import RTFX, WER
from bench.report.accuracy import Accuracy
from bench.report.frontier import Picks, pareto_front, recommend
from bench.report.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, VERMILION, legend_below, stack, styled, wrap
from bench.report.tables import Block, blocks
from bench.search.objectives import Constraint

# What a pick is called, its marker and its colour; shapes differ so that colour is not needed.
_ROLES = {
    "most_accurate": ("most accurate", "*", VERMILION),
    "fastest_within": ("fastest within 1 point of WER", "D", ORANGE),
    "least_memory": ("least memory", "s", GREEN),
    "fastest": ("fastest", "^", PURPLE),
}
_MOST_NAMED = 10
# More intervals than this hide the points.
_MOST_INTERVALS = 24


@styled
def tradeoff(
    runs: pd.DataFrame, constraints: Sequence[Constraint] = (), accuracy: Mapping[str, Accuracy] | None = None
) -> Figure | None:
    """Draw WER against RTFx, one part a block, with the Pareto front and the recommended settings.

    Args:
        runs: Rows of the runs table; may hold several blocks.
        constraints: What a setting has to keep to be recommended; those that break one are crossed.
        accuracy: What the errors tell of each block, by its title: adds intervals, and marks what is tied.

    Returns:
        The figure; null where no block has two settings with both a WER and a speed.
    """
    drawn = [block for block in blocks(runs, constraints) if len(_points(block)) > 1]
    if not drawn:
        return None
    figure, parts = stack([f"Accuracy against speed: {block.title}" for block in drawn], [4.9] * len(drawn))
    known = accuracy or {}
    annotated = [
        _draw(part, block, known.get(block.title, Accuracy())) for part, block in zip(parts, drawn, strict=True)
    ]
    # Whether names fit is known only once everything has its place.
    figure.draw_without_rendering()
    for axis, names in annotated:
        _keep_legible(axis, names)
    return figure


def _points(block: Block) -> pd.DataFrame:
    return block.table.dropna(subset=[WER.column, RTFX.column])


def _draw(part: SubFigure, block: Block, found: Accuracy) -> tuple[Axes, list[Annotation]]:
    axis = part.subplots()
    points = _points(block)
    recommendation = recommend(block)
    comparable = points[~points.index.isin(recommendation.excluded)]
    front = comparable[pareto_front(comparable)].sort_values(RTFX.column)
    breaking = points[points.index.isin(recommendation.broken)]
    others = points[~points.index.isin([*front.index, *breaking.index])]
    axis.scatter(*_place(others), s=34, facecolors="white", edgecolors=MUTED, linewidths=1.2, zorder=2)
    axis.scatter(*_place(breaking), s=34, marker="x", color=MUTED, linewidths=1.4, zorder=2)
    picked = _roles(recommendation.picks) if recommendation.picks else {}
    axis.plot(*_place(front), color=BLUE, linewidth=1.4, zorder=3)
    axis.plot(*_place(front.drop(index=list(picked), errors="ignore")), color=BLUE, marker="o", linestyle="none")
    handles = []
    if len(front) > 1:
        told = "Pareto front: no other setting is at least as good in both and better in one"
        handles.append(_key(told, "o", BLUE, "-", 6))
    if not others.empty:
        handles.append(_key("other settings", "o", MUTED, "none", 6, markerfacecolor="white"))
    handles += _draw_certainty(axis, points, [*picked, *front.index], found)
    if not breaking.empty:
        handles.append(_key("breaks a constraint", "x", MUTED, "none", 6))
    for trial, roles in picked.items():
        _, marker, colour = _ROLES[roles[0]]
        size = 15 if marker == "*" else 9
        told = ", ".join(_ROLES[role][0] for role in roles)
        handles.append(_key(wrap(f"{told}: {points['label'][trial]}", 105), marker, colour, "none", size))
        axis.plot(
            *_place(points.loc[[trial]]), marker=marker, color=colour, markersize=size, markeredgecolor="white",
            linestyle="none", zorder=4,
        )  # fmt: skip
    axis.set_xlabel(RTFX.axis + " (seconds of audio per second of inference)")
    axis.set_ylabel(WER.axis)
    axis.grid(True)
    axis.margins(x=0.08, y=0.12)
    low, high = axis.get_xlim()
    axis.set_xlim(low, high + 0.22 * (high - low))
    legend_below(part, handles, columns=1)
    named = points.loc[[*picked, *(trial for trial in front.index if trial not in picked)][:_MOST_NAMED]]
    return axis, [_name(axis, x, y, label) for x, y, label in zip(*_place(named), named["label"], strict=True)]


def _draw_certainty(axis: Axes, points: pd.DataFrame, named: Sequence[str], found: Accuracy) -> list[Line2D]:
    """Ring the settings that cannot be told from the best, and draw the intervals of these and of those named."""
    handles = []
    tied = points[points.index.isin(found.tied)]
    if len(tied) > 1:
        axis.plot(*_place(tied), marker="o", color=VERMILION, markersize=14, fillstyle="none", linestyle="none")
        handles.append(_key("WER cannot be told from the best's", "o", VERMILION, "none", 11, fillstyle="none"))
    shown = [trial for trial in dict.fromkeys([*named, *tied.index]) if trial in found.precisions][:_MOST_INTERVALS]
    for trial in shown:
        ends = [WER.scale * end for end in found.precisions[trial].ends]
        axis.plot([points[RTFX.column][trial]] * 2, ends, color=MUTED, linewidth=1.0, marker="_", zorder=1.5)
    if shown:
        handles.append(_key("95 % interval of the WER", "|", MUTED, "none", 10))
    return handles


def _place(points: pd.DataFrame) -> tuple[list[float], list[float]]:
    return (points[RTFX.column] * RTFX.scale).tolist(), (points[WER.column] * WER.scale).tolist()


def _roles(picks: Picks) -> dict[str, list[str]]:
    """Map each picked trial to the roles it was picked for."""
    roles: dict[str, list[str]] = {}
    for role in _ROLES:
        if (trial := getattr(picks, role)) is not None:
            roles.setdefault(trial, []).append(role)
    for told in roles.values():
        if "fastest" in told and "fastest_within" in told:
            told.remove("fastest_within")
    return roles


def _key(label: str, marker: str, colour: str, line: str, size: float, **options: Any) -> Line2D:
    shape: Any = {"marker": marker, "color": colour, "linestyle": line, "markersize": min(size, 11)}
    return Line2D([], [], label=label, **shape, **options)


def _name(axis: Axes, x: float, y: float, label: str) -> Annotation:
    note = axis.annotate(wrap(label, 28), (x, y), (0, 0), textcoords="offset points", fontsize=8, color=INK, zorder=5)
    note.set_in_layout(False)
    return note


def _keep_legible(axis: Axes, names: Sequence[Annotation]) -> None:
    """Move each name beside its point to where it covers no point and no earlier name; drop it where nothing is free.

    A dropped name is no loss of information where the point is a pick (the legend names it), and little elsewhere.
    """
    inside = axis.get_window_extent()
    marks = [mark for item in (*axis.collections, *axis.lines) for mark in _marks(axis, item)]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in marks]
    for name in names:
        for right, below in ((True, True), (True, False), (False, False), (False, True)):
            name.set(ha="left" if right else "right", va="top" if below else "bottom")
            name.set_position((7 if right else -7, -5 if below else 5))
            box = name.get_window_extent()
            if inside.containsx(box.x0) and inside.containsx(box.x1) and inside.containsy(box.y0) \
                    and inside.containsy(box.y1) and not box.count_overlaps(taken):  # fmt: skip
                taken.append(box)
                break
        else:
            name.remove()


def _marks(axis: Axes, item: Any) -> NDArray[np.float64]:
    """List the places an artist covers, shape ``(n, 2)`` in pixels: its points, and every few pixels along its line."""
    data = item.get_offsets() if hasattr(item, "get_offsets") else item.get_xydata()
    places: NDArray[np.float64] = axis.transData.transform(np.asarray(data, dtype=float).reshape(-1, 2))
    if len(places) < 2 or not hasattr(item, "get_linestyle") or item.get_linestyle() != "-":
        return places
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(places, axis=0).T))])
    along = np.arange(0.0, lengths[-1], 8.0)
    return np.column_stack([np.interp(along, lengths, column) for column in places.T])
