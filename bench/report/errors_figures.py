"""Figures of where errors come from: the error rate by distance to a seam, and by kind of utterance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.kinds import Kind
from bench.report.style import BLUE, INK, MUTED, PALE, VERMILION, legend_below, row_height, stack, styled, wrap
from bench.score.interval import Interval
from bench.score.seam_share import Ring

_PANEL_IN = 3.4
_AXES_IN = 0.8


@styled
def by_distance(label: str, rings: Sequence[Ring], near_s: float) -> Figure:
    """Draw the error rate of a setting by distance to the nearest seam, and the rate away from seams.

    Args:
        label: The setting's name.
        rings: Its error rates, from the seams outwards.
        near_s: Distance that counts as near a seam, in seconds.
    """
    figure, (part,) = stack([label], [_PANEL_IN])
    axes = part.subplots()
    middles = [(ring.start_s + ring.stop_s) / 2 for ring in rings]
    axes.axvspan(0, near_s, color=PALE, lw=0)
    for ring, middle in zip(rings, middles, strict=True):
        axes.plot([ring.start_s, ring.stop_s], [100 * ring.rate.value] * 2, color=BLUE, lw=2)
        _whisker(axes, ring.rate, middle, upright=True)
    far = [ring for ring in rings if ring.start_s >= near_s - 1e-9]
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=BLUE, lw=2, marker="o", label="WER of words so far from a seam, with 95 % interval"),
        Patch(color=PALE, label=f"near: within {near_s:.2g} s of a seam"),
    ]
    if far:
        words = sum(ring.words for ring in far)
        usual = 100 * sum(ring.rate.value * ring.words for ring in far) / words
        axes.axhline(usual, color=VERMILION, ls="--", lw=1.2)
        handles.append(Line2D([], [], color=VERMILION, ls="--", label=f"WER of all that is farther: {usual:.1f} %"))
    axes.set_xlim(0, max(ring.stop_s for ring in rings) * 1.02)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Distance to the nearest seam [s]")
    axes.set_ylabel("WER [%], lower is better")
    legend_below(part, handles, 2)
    return figure


@styled
def by_kind(label: str, found: Sequence[Kind]) -> Figure:
    """Draw the error rate of a setting by kind of utterance, with intervals.

    Args:
        label: The setting's name.
        found: The kinds, those of a factor one after the other.
    """
    factors = list(dict.fromkeys(kind.factor for kind in found))
    groups = [[kind for kind in found if kind.factor == factor] for factor in factors]
    heights = [_AXES_IN + len(group) * row_height([kind.name for kind in group]) for group in groups]
    figure, parts = stack([f"{factor}: {label}" for factor in factors], heights)
    highest = max(100 * (kind.rate.value if kind.rate.high is None else min(kind.rate.high, 2.0)) for kind in found)
    for part, group in zip(parts, groups, strict=True):
        axes = part.subplots()
        for at, kind in enumerate(group):
            _whisker(axes, kind.rate, at, upright=False)
        axes.set_yticks(np.arange(len(group)), [wrap(f"{kind.name} ({kind.words:,} words)") for kind in group])
        axes.set_ylim(len(group) - 0.5, -0.5)
        axes.set_xlim(0, max(1.0, 1.05 * highest))
        axes.grid(axis="x")
        axes.set_xlabel("WER [%] with 95 % interval, lower is better")
    return figure


def _whisker(axes: Axes, rate: Interval, at: float, *, upright: bool) -> None:
    """Draw a rate, and its interval where it has one."""
    value = 100 * rate.value
    if rate.low is not None and rate.high is not None:
        draw = axes.vlines if upright else axes.hlines
        draw(at, 100 * rate.low, 100 * rate.high, color=MUTED, lw=1.2)
    axes.plot(*((at, value) if upright else (value, at)), marker="o", ms=5, color=BLUE, mec=INK, mew=0.5)
