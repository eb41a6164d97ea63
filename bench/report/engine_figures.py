"""The figure of engines side by side: accuracy, speed and memory of each, and how far their texts agree."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from bench.metrics import PEAK_RSS, RTFX, WER, Metric
from bench.report.accuracy import Accuracy
from bench.report.engines import Engines, Variant
from bench.report.style import BLUE, GREEN, INK, SKY, legend_below, row_height, stack, styled, wrap

_MOST_ROWS = 24
_LOOK = {WER.column: SKY, RTFX.column: BLUE, PEAK_RSS.column: GREEN}


@styled
def engine_sides(found: Engines, accuracy: Accuracy) -> Figure | None:
    """Draw the engines of a block as bars, one below the other, and a matrix of how far their texts agree.

    Args:
        found: The engines.
        accuracy: What the errors of the block's settings tell; it has the intervals.

    Returns:
        The figure; null where fewer than two settings have a result.
    """
    shown = [one for one in found.variants if one.ended_well][:_MOST_ROWS]
    if len(shown) < 2:
        return None
    labels = [", ".join(filter(None, (one.name, one.rest))) for one in shown]
    titles, heights = [f"Engines side by side: {found.block.title}"], [1.5 + row_height(labels) * len(shown)]
    if found.texts:
        names = [one.name for one in found.compared]
        titles.append(" ".join(filter(None, ("Words that agree [%]", found.compared[0].rest))))
        heights.append(1.2 + 0.36 * len(names))
    figure, parts = stack(titles, heights)
    _bars(parts[0], shown, labels, accuracy)
    if found.texts:
        _matrix(parts[1], found)
    return figure


def _bars(part: SubFigure, shown: Sequence[Variant], labels: Sequence[str], accuracy: Accuracy) -> None:
    metrics = [metric for metric in (WER, RTFX, PEAK_RSS) if any(one.row[metric.column] >= 0 for one in shown)]
    axes = part.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        _measured(axis, metric, shown, accuracy)
        axis.set_yticks(np.arange(len(shown)), [wrap(label) for label in labels])
        axis.set_ylim(len(shown) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0, pad=6)
    if any(one.native for one in shown):
        entry: Any = {"facecolor": "white", "edgecolor": INK, "hatch": "////"}
        legend_below(part, [Patch(**entry, label="native: by the engine's own defaults")], 1)


def _measured(axis: Axes, metric: Metric, shown: Sequence[Variant], accuracy: Accuracy) -> None:
    highest = 0.0
    for place, one in enumerate(shown):
        value = float(one.row[metric.column]) * metric.scale
        told = accuracy.precisions.get(one.trial_id) if metric is WER else None
        end = value if told is None else metric.scale * told.ends[1]
        hatch: Any = {"hatch": "////", "edgecolor": "white"} if one.native else {}
        axis.barh(place, np.nan_to_num(value), height=0.62, color=_LOOK[metric.column], **hatch)
        if told is not None:
            axis.hlines(place, metric.scale * told.ends[0], end, color=INK, lw=1.2)
        text = "not measured" if np.isnan(value) else metric.show(one.row[metric.column])
        axis.annotate(
            text, (np.nan_to_num(end), place), (4, 0), textcoords="offset points", va="center", fontsize=8
        )  # fmt: skip
        highest = max(highest, float(np.nan_to_num(end)))
    axis.set_xlim(0, 1.45 * highest or 1.0)
    better = "lower" if metric.smaller_is_better else "higher"
    unit = f" [{metric.unit}]" if metric.unit else ""
    axis.set_xlabel(f"{metric.label}{unit}\n{better} is better")


def _matrix(part: SubFigure, found: Engines) -> None:
    names = [one.name for one in found.compared]
    shares = np.full((len(names), len(names)), np.nan)
    assert found.texts is not None
    pairs = [(row, column) for row in range(len(names)) for column in range(row + 1, len(names))]
    for (row, column), between in zip(pairs, found.texts.between, strict=True):
        share = between.words.share
        shares[column, row] = np.nan if share is None else 100 * share
    axis = part.subplots()
    lowest = min(90.0, float(np.nanmin(shares))) if np.isfinite(shares).any() else 90.0
    axis.imshow(shares, cmap="Blues", vmin=lowest - 0.2 * (100 - lowest), vmax=100 + (100 - lowest), aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            axis.annotate(f"{share:.2f}", (column, row), ha="center", va="center", fontsize=8.5)
    axis.set_yticks(np.arange(1, len(names)), [wrap(name) for name in names[1:]])
    axis.set_xticks(np.arange(len(names) - 1), [wrap(name, 16) for name in names[:-1]])
    axis.set_xlim(-0.5, len(names) - 1.5)
    axis.set_ylim(len(names) - 0.5, 0.5)
    axis.tick_params(length=0)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
