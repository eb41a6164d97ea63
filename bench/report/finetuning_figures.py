"""The figures of a study that fine-tunes: its settings by cross-validation, how training went, and what it gained."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bench.metrics import WER
from bench.records import Status
from bench.report.crossvalidation import CrossValidation, Setting
from bench.report.judged import Judged
from bench.report.labels import axis_of, plain, value_of
from bench.report.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    PURPLE,
    SKY,
    VERMILION,
    legend_below,
    row_height,
    stack,
    styled,
    wrap,
)

_DECADE = 10.0
_ROUNDING = 1e-9  # 0.01 is not quite ten times 0.001
_MOST_TICKS = 8
# Where marks without a value stand, as a share of the axes.
_EDGE = 1.04
_JOINING = "#C9C9C9"
_FEW = 3  # points of a curve that a line alone would hide

_BEST, _TIED, _WORSE, _FAILED, _ENDED, _FOLD = "best", "tied", "worse", "failed", "ended", "fold"
# Name, marker, colour and size; shapes and filling differ so that colour is not needed.
_LOOKS: dict[str, tuple[str, str, str, float]] = {
    _BEST: ("mean of the best", "*", VERMILION, 14),
    _TIED: ("mean, not to be told from the best", "o", BLUE, 8),
    _WORSE: ("mean, worse than the best", "s", MUTED, 7),
    _FOLD: ("one fold", "o", MUTED, 4),
    _FAILED: ("failed in a fold, so without a mean", "X", VERMILION, 8),
    _ENDED: ("ended early, so without a mean", "v", PURPLE, 7),
}
_HOLLOW = (_WORSE, _FOLD)


# What is drawn of a training: column, label and height in inches.
_TRACKS = (
    ("loss", "Training loss,\nlower is better", 1.5),
    ("learning_rate", "Learning\nrate", 0.8),
    ("wer", "Validation " + WER.axis.replace(", ", ",\n"), 1.5),
    ("rss_mib", "RAM [MiB]", 1.1),
    ("gpu_allocated_mib", "GPU memory\n[MiB]", 1.1),
)


@styled
def validation(found: CrossValidation) -> Figure | None:
    """Draw every setting's WER in every fold, with the means; along the varied number where just one varies.

    Args:
        found: The settings.

    Returns:
        The figure; null where no fold has a WER.
    """
    if not any(_rates(one) for one in found.settings):
        return None
    numbers = _numbers(found.settings)
    height = 4.2 if numbers else 1.7 + row_height(one.label for one in found.settings) * len(found.settings)
    figure, (part,) = stack([f"Cross-validation: {found.data_name}, {found.folds} folds"], [height])
    axis = part.subplots()
    kinds = {one.trial_id: _kind(one, found) for one in found.settings}
    if numbers:
        name, at = numbers
        _draw_along(axis, found, kinds, at)
        axis.set_xlabel(axis_of(name))
        values = sorted(at.values())
        _scale(axis, "x", values)
        if len(values) <= _MOST_TICKS:
            axis.set_xticks(values, [value_of(value, name) for value in values])
            axis.set_xticks([], minor=True)
        axis.margins(x=0.08)
        axis.set_ylabel(WER.axis)
    else:
        _draw_rows(axis, found, kinds)
        axis.set_xlabel(WER.axis)
    _scale(axis, "y" if numbers else "x", [rate for one in found.settings for rate in _rates(one)])
    axis.grid(True)
    present = [kind for kind in _LOOKS if kind == _FOLD or kind in kinds.values()]
    legend_below(part, [Line2D([], [], label=_LOOKS[kind][0], **_look(kind)) for kind in present], columns=2)
    return figure


@styled
def curves(points: pd.DataFrame, shown: Mapping[str, str]) -> Figure | None:
    """Draw how trainings went by step: loss, learning rate, WER of the validation data, and memory; a line a run.

    Args:
        points: Rows of the curves table.
        shown: The trials to draw, side by side: of each what it is, and its ``trial_id``.

    Returns:
        The figure; null where none of them has a curve.
    """
    runs = {what: points[points["trial_id"].eq(trial)] for what, trial in shown.items()}
    runs = {what: rows for what, rows in runs.items() if not rows.empty}
    if not runs:
        return None
    every = pd.concat(list(runs.values()))
    tracks = [track for track in _TRACKS if every[track[0]].notna().any()]
    if not tracks:
        return None
    heights = [height for *_, height in tracks]
    figure, (part,) = stack(["How the training went"], [1.3 + sum(heights)])
    grid = part.subplots(len(tracks), len(runs), squeeze=False, sharex="col", gridspec_kw={"height_ratios": heights})
    for at, (what, rows) in enumerate(runs.items()):
        for axis, (column, *_) in zip(grid[:, at], tracks, strict=True):
            _draw_curve(axis, rows, column)
        grid[0, at].set_title(wrap(what, 92 // len(runs)))
        grid[-1, at].set_xlabel("Step")
        grid[-1, at].xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        grid[-1, at].margins(x=0.05)
    for row, (column, label, _) in zip(grid, tracks, strict=True):
        row[0].set_ylabel(label, fontsize=8)
        _share(row, column, every[column].dropna().tolist())
    part.align_ylabels(list(grid[:, 0]))
    return figure


@styled
def gains(outcome: Judged) -> Figure:
    """Draw the word error rates before and after with their intervals, and the errors utterance by utterance."""
    title = f"Before and after: {outcome.data_name}, {outcome.utterances} utterances"
    figure, (part,) = stack([title], [3.7])
    left, right = part.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.15]})
    rates = (outcome.gain.before, outcome.gain.after)
    for at, (rate, colour, hatch) in enumerate(zip(rates, ("#BDBDBD", SKY), ("////", ""), strict=True)):
        value = WER.scale * rate.value
        left.bar(at, value, width=0.6, color=colour, edgecolor="white", hatch=hatch)
        if rate.low is not None and rate.high is not None:
            reach = [[value - WER.scale * rate.low], [WER.scale * rate.high - value]]
            left.errorbar(at, value, yerr=reach, color=INK, capsize=5, linewidth=1.3)
        left.annotate(WER.show(rate.value), (at + 0.06, value), (0, 3), textcoords="offset points", fontsize=8.5)
    left.set_xticks([0, 1], ["as it was", "fine-tuned"])
    left.set_xlim(-0.6, 1.7)
    left.set_ylim(0, None)
    left.set_ylabel(WER.axis)
    left.set_title("Bars: 95 % intervals", fontweight="normal", fontsize=9)
    left.grid(axis="y")
    counts = Counter((one.errors_before, one.errors_after) for one in outcome.changes)
    most = max((number for pair in counts for number in pair), default=0) + 1
    right.plot([0, most], [0, most], color=MUTED, linewidth=1, linestyle="--", zorder=1)
    for better, marker, face in ((True, "o", BLUE), (None, "D", "white"), (False, "^", VERMILION)):
        some = {pair: count for pair, count in counts.items() if _is_better(pair) is better}
        look: Any = {"marker": marker, "facecolors": face, "edgecolors": INK if face == "white" else "white"}
        sizes = [40.0 * count for count in some.values()]
        right.scatter([one for one, _ in some], [other for _, other in some], s=sizes, linewidths=0.9, zorder=2, **look)
    right.set_xlim(-0.6, most)
    right.set_ylim(-0.6, most)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlabel("Word errors of an utterance as it was")
    right.set_ylabel("Fine-tuned, lower is better")
    right.set_title("Area: number of utterances", fontweight="normal", fontsize=9)
    right.grid(True)
    same = outcome.utterances - outcome.better - outcome.worse
    keys = (
        ("fewer errors", outcome.better, "o", BLUE, BLUE),
        ("as many", same, "D", INK, "white"),
        ("more errors", outcome.worse, "^", VERMILION, VERMILION),
    )
    handles = [
        Line2D([], [], label=f"{what} ({count})", marker=marker, color=edge, markerfacecolor=face, linestyle="none")
        for what, count, marker, edge, face in keys
    ]
    legend_below(part, handles, columns=3)
    return figure


def _is_better(errors: tuple[int, int]) -> bool | None:
    before, after = errors
    return None if before == after else after < before


def _rates(setting: Setting) -> list[float]:
    return [WER.scale * one.wer for one in setting.folds if one.wer is not None]


def _numbers(settings: Sequence[Setting]) -> tuple[str, dict[str, float]] | None:
    """Find the one number that tells the settings apart: its name, and its value for each trial; else null."""
    names = {name for one in settings for name in one.point}
    if len(names) != 1 or len(settings) < 2:
        return None
    (name,) = names
    values = {one.trial_id: plain(one.point.get(name)) for one in settings}
    at = {
        trial: float(value)
        for trial, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return (name, at) if len(set(at.values())) == len(settings) else None


def _kind(setting: Setting, found: CrossValidation) -> str:
    if setting is found.best:
        return _BEST
    if setting.is_complete:
        return _TIED if setting.is_tied else _WORSE
    ends = {one.status for one in setting.folds} - {Status.ok.value}
    return _FOLD if not ends else _ENDED if ends == {Status.pruned.value} else _FAILED


def _draw_along(axis: Axes, found: CrossValidation, kinds: Mapping[str, str], at: Mapping[str, float]) -> None:
    """Draw the settings along a number: a pale line joins a fold's scores, a strong one the means."""
    settings = sorted(found.settings, key=lambda one: at[one.trial_id])
    for fold in sorted({(score.repeat, score.fold) for one in settings for score in one.folds}):
        scores = [
            (at[one.trial_id], WER.scale * score.wer)
            for one in settings
            for score in one.folds
            if (score.repeat, score.fold) == fold and score.wer is not None
        ]
        axis.plot(*_columns(scores), color=_JOINING, linewidth=0.8, zorder=1)
    means = [(at[one.trial_id], WER.scale * one.mean) for one in settings if one.mean is not None]
    axis.plot(*_columns(means), color=INK, linewidth=1.4, zorder=2)
    for one in settings:
        place = at[one.trial_id]
        axis.plot([place] * len(_rates(one)), _rates(one), **_look(_FOLD), zorder=3)
        if one.mean is not None:
            axis.plot(place, WER.scale * one.mean, **_look(kinds[one.trial_id]), zorder=4)
        elif kinds[one.trial_id] in (_FAILED, _ENDED):
            above: Any = {"transform": axis.get_xaxis_transform(), "clip_on": False}
            axis.plot(place, _EDGE, **_look(kinds[one.trial_id]), **above)


def _draw_rows(axis: Axes, found: CrossValidation, kinds: Mapping[str, str]) -> None:
    """Draw a row a setting, the best on top."""
    for row, one in enumerate(found.settings):
        rates = _rates(one)
        axis.plot(rates, [row] * len(rates), color=_JOINING, linewidth=0.8, zorder=1)
        axis.plot(rates, [row] * len(rates), **_look(_FOLD), zorder=3)
        if one.mean is not None:
            axis.plot(WER.scale * one.mean, row, **_look(kinds[one.trial_id]), zorder=4)
        elif kinds[one.trial_id] in (_FAILED, _ENDED):
            beside: Any = {"transform": axis.get_yaxis_transform(), "clip_on": False}
            axis.plot(_EDGE, row, **_look(kinds[one.trial_id]), **beside)
    axis.set_yticks(range(len(found.settings)), [wrap(one.label) for one in found.settings])
    axis.set_ylim(len(found.settings) - 0.4, -0.6)
    axis.margins(x=0.08)


def _draw_curve(axis: Axes, rows: pd.DataFrame, column: str) -> None:
    colour = {"loss": BLUE, "wer": VERMILION, "rss_mib": PURPLE, "gpu_allocated_mib": GREEN}.get(column, INK)
    scale = WER.scale if column == "wer" else 1.0
    for _, run in rows.groupby("run_id", sort=True):
        seen = run.dropna(subset=[column]).sort_values("step")
        marker = "o" if column == "wer" or len(seen) <= _FEW else ""
        look: Any = {"color": colour, "linewidth": 0.8, "alpha": 0.85, "marker": marker, "markersize": 4}
        axis.plot(seen["step"], scale * seen[column], **look)
    axis.grid(True)


def _share(row: Sequence[Axes], column: str, values: Sequence[float]) -> None:
    """Give trainings side by side one axis, so that they can be compared; but not for the learning rate.

    That may differ by orders of magnitude, and is looked at for its course alone.
    """
    if column == "learning_rate":
        for axis in row:
            axis.yaxis.set_major_locator(MaxNLocator(2))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        return
    for axis in row[1:]:
        axis.sharey(row[0])
        axis.tick_params(labelleft=False)
    if column.endswith("_mib"):
        row[0].set_ylim(0, 1.1 * max(values))
        return
    row[0].autoscale(axis="y")  # over what is in all of them
    _scale(row[0], "y", [value * (WER.scale if column == "wer" else 1.0) for value in values])


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [one for one, _ in pairs], [other for _, other in pairs]


def _scale(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Make an axis logarithmic where its values span a decade or more, with numbers that need no power of ten."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite or min(finite) <= 0 or max(finite) < _DECADE * min(finite) * (1 - _ROUNDING):
        return
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _look(kind: str) -> dict[str, Any]:
    _, marker, colour, size = _LOOKS[kind]
    face = "white" if kind in _HOLLOW else colour
    edge = colour if kind in _HOLLOW else "white"
    return {"marker": marker, "color": colour, "markerfacecolor": face, "markeredgecolor": edge, "markersize": size,
            "markeredgewidth": 1.1 if kind in _HOLLOW else 0.8, "linestyle": "none"}  # fmt: skip
