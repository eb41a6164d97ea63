"""How a search went: the best so far over its trials, and how much of the final front was reached when."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench.metrics import Metric
from bench.report.frontier import pareto_front
from bench.report.searching import trials_of
from bench.report.style import BLUE, INK, MUTED, ORANGE, PURPLE, VERMILION, legend_below, stack, styled
from bench.report.tables import blocks
from bench.search.objectives import Goal
from bench.search.trials import Outcome, Trial

_KEPT, _BROKEN = "kept", "broken"
# What became of a trial: its name, marker and colour; shapes differ so that colour is not needed.
_LOOKS: dict[str, tuple[str, str, str]] = {
    _KEPT: ("ran to its end", "o", BLUE),
    _BROKEN: ("breaks a constraint", "D", ORANGE),
    Outcome.pruned: ("ended early by racing: as it stood then, or above where that is far off", "v", PURPLE),
    Outcome.oom: ("ran out of memory", "X", VERMILION),
    Outcome.failed: ("failed, or lacks a value", "+", MUTED),
}
_NUMBER = "Trial, by the order in which they began"
# Where marks without a value stand, as a share of the axes' height.
_ABOVE = 1.05
# What was ended early stands in place where it lies no further outside the others' range than this share of it.
_ROOM = 0.5
# How far beyond the worst value the reference point of the hypervolume lies, as a share of the range.
_BEYOND = 0.1


@dataclass(frozen=True)
class _Course:
    """A block's trials, by number, and what became of each."""

    trials: list[Trial]
    kinds: list[str]

    def of(self, *kinds: str) -> list[Trial]:
        return [trial for trial, kind in zip(self.trials, self.kinds, strict=True) if kind in kinds]


@styled
def progress(runs: pd.DataFrame, goal: Goal) -> Figure | None:
    """Draw a search trial by trial, one part a block.

    Of two objectives, the share of the final hypervolume that was reached, beside the trials by both; else each
    objective over the trials, with the best so far as a line. What broke a constraint, or was ended early, is no best.

    Args:
        runs: Rows of the runs table; may hold several blocks.
        goal: What the search was after.

    Returns:
        The figure; null where no block has two trials that ran to their end.
    """
    courses = [(block, _course(trials_of(block, goal), goal)) for block in blocks(runs)]
    drawn = [(block, course) for block, course in courses if len(course.of(_KEPT, _BROKEN)) > 1]
    if not drawn:
        return None
    height = 4.4 if len(goal.objectives) == 2 else 1.3 + 2.3 * len(goal.objectives)
    figure, parts = stack([f"The search: {block.title}" for block, _ in drawn], [height] * len(drawn))
    for part, (_, course) in zip(parts, drawn, strict=True):
        if len(goal.objectives) == 2:
            handles = _draw_pair(part, course, (goal.objectives[0], goal.objectives[1]))
        else:
            handles = _draw_each(part, course, goal.objectives)
        legend_below(part, [*handles, *_keys(course)], columns=2)
    return figure


def hypervolume(points: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Measure the area that points dominate, both coordinates the smaller the better.

    Args:
        points: Shape ``(n, 2)``.
        reference: Worse than every point in both, shape ``(2,)``.
    """
    area, lowest = 0.0, float(reference[1])
    for x, y in sorted(points.tolist()):
        if y < lowest:
            area, lowest = area + (float(reference[0]) - x) * (lowest - y), y
    return area


def reached(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say which share of the final hypervolume the first points reach, one after the other; the last reaches all.

    The reference point is the worst value of each coordinate, and a tenth of the range beyond, so that the ends of the
    front count too.

    Args:
        points: Both coordinates the smaller the better, shape ``(n, 2)``, at least one.
    """
    worst, span = points.max(axis=0), np.ptp(points, axis=0)
    reference = worst + _BEYOND * np.where(span > 0, span, np.abs(worst) + 1.0)
    volumes = np.array([hypervolume(points[: count + 1], reference) for count in range(len(points))])
    shares: NDArray[np.float64] = volumes / volumes[-1]
    return shares


def _course(trials: list[Trial], goal: Goal) -> _Course:
    return _Course(trials, [_kind(trial, goal) for trial in trials])


def _kind(trial: Trial, goal: Goal) -> str:
    if trial.outcome is Outcome.ok:
        return _KEPT if goal.keeps(trial.values) else _BROKEN
    return trial.outcome


def _values(trials: Sequence[Trial], metric: Metric) -> NDArray[np.float64]:
    return np.array([trial.values.get(metric.column, np.nan) * metric.scale for trial in trials], dtype=float)


def _numbers(trials: Sequence[Trial]) -> list[int]:
    return [trial.number for trial in trials]


def _draw_each(part: SubFigure, course: _Course, objectives: Sequence[Metric]) -> list[Line2D]:
    """Draw each objective over the trials."""
    rows = part.subplots(len(objectives), 1, squeeze=False, sharex=True)[:, 0]
    kept = course.of(_KEPT)
    for axis, metric in zip(rows, objectives, strict=True):
        near, far = _near(course, metric)
        for kind, some in ((_BROKEN, course.of(_BROKEN)), (Outcome.pruned, near), (_KEPT, kept)):
            axis.plot(_numbers(some), _values(some, metric), **_look(kind))
        _rug(axis, far, Outcome.pruned)
        if kept:
            best = (np.minimum if metric.smaller_is_better else np.maximum).accumulate(_values(kept, metric))
            _steps(axis, course, kept, best)
        axis.set_ylabel(metric.axis.replace(", ", ",\n"))
        axis.grid(True)
        axis.margins(y=0.12)
    for kind in (Outcome.oom, Outcome.failed):
        _rug(rows[0], course.of(kind), kind)
    _number_axis(rows[-1])
    return [Line2D([], [], color=INK, linewidth=1.2, label="best so far")] if kept else []


def _draw_pair(part: SubFigure, course: _Course, objectives: tuple[Metric, Metric]) -> list[Line2D]:
    """Draw how much of the final front was reached when, and the trials by both objectives."""
    left, right = part.subplots(1, 2)
    upright, along = objectives  # as WER stands over speed elsewhere
    for kind in (_BROKEN, Outcome.pruned, _KEPT):
        some = course.of(kind)
        right.plot(_values(some, along), _values(some, upright), **_look(kind))
    right.set_xlabel(along.axis)
    right.set_ylabel(upright.axis)
    right.grid(True)
    right.margins(0.08)
    kept = course.of(_KEPT)
    if not kept:
        left.set_axis_off()
        return []
    signs = [1.0 if metric.smaller_is_better else -1.0 for metric in objectives]
    values = np.column_stack([_values(kept, metric) for metric in objectives])
    _steps(left, course, kept, 100 * reached(values * signs))
    left.set_ylim(-3, 105)
    left.set_ylabel("Share of the final hypervolume [%]")
    left.grid(True)
    _number_axis(left)
    for kind in (_BROKEN, Outcome.pruned, Outcome.oom, Outcome.failed):
        _rug(left, course.of(kind), kind)
    front = pareto_front(pd.DataFrame(values, columns=[metric.column for metric in objectives]), objectives)
    line = values[front.to_numpy()]
    line = line[np.argsort(line[:, 1], kind="stable")]
    right.plot(line[:, 1], line[:, 0], color=INK, linewidth=1.2, zorder=2)
    return [Line2D([], [], color=INK, linewidth=1.2, label="share reached (left), final front (right)")]


def _steps(axis: Axes, course: _Course, kept: Sequence[Trial], values: NDArray[np.float64]) -> None:
    """Draw a line that holds until the next trial, up to the last of all."""
    numbers = [*_numbers(kept), course.trials[-1].number]
    axis.step(numbers, [*values, values[-1]], where="post", color=INK, linewidth=1.2, zorder=2)


def _near(course: _Course, metric: Metric) -> tuple[list[Trial], list[Trial]]:
    """Part the trials that were ended early by whether they lie where the others do.

    What was ended after a fifth of the data may have any value, and the best so far would be a flat line below it.
    """
    ended = course.of(Outcome.pruned)
    finished = _values(course.of(_KEPT, _BROKEN), metric)
    low, high = float(finished.min()), float(finished.max())
    room = _ROOM * (high - low) if high > low else np.inf
    near = [low - room <= value <= high + room for value in _values(ended, metric)]
    return (
        [trial for trial, is_near in zip(ended, near, strict=True) if is_near],
        [trial for trial, is_near in zip(ended, near, strict=True) if not is_near],
    )


def _rug(axis: Axes, trials: Sequence[Trial], kind: str) -> None:
    """Mark trials above the axes, which have no value to stand at there."""
    if trials:  # a line without points would take room below the axes
        above: Any = {"transform": axis.get_xaxis_transform(), "clip_on": False}
        axis.plot(_numbers(trials), [_ABOVE] * len(trials), **_look(kind), **above)


def _number_axis(axis: Axes) -> None:
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel(_NUMBER)


def _look(kind: str) -> dict[str, Any]:
    _, marker, colour = _LOOKS[kind]
    face = "white" if kind == _BROKEN else colour
    return {"marker": marker, "color": colour, "markerfacecolor": face, "markersize": 5.5, "linestyle": "none",
            "markeredgewidth": 1.2, "zorder": 3}  # fmt: skip


def _keys(course: _Course) -> list[Line2D]:
    return [
        Line2D([], [], label=f"{_LOOKS[kind][0]} ({count})", **_look(kind))
        for kind in _LOOKS
        if (count := course.kinds.count(kind))
    ]
