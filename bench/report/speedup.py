"""How many times as fast each setting is as the baseline, as points with their intervals."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from bench.report.comparison import comparable_settings, compare_setting
from bench.report.labels import describe
from bench.report.pairs import Pair
from bench.report.style import BLUE, INK, MUTED, legend_below, row_height, stack, styled, wrap

_MOST_PAIRS = 40
_LOG_FROM = 8.0


@styled
def speedup(runs: pd.DataFrame, setting: str, baseline: str | None = None) -> Figure | None:
    """Draw how many times as fast each value of a setting is as one of them, all else being equal.

    Args:
        runs: Rows of the runs table.
        setting: The setting, dotted as in the configuration; ``device``, say.
        baseline: The value to compare with; null takes ``cpu``, ``transformers``, ``float32`` or the least.

    Returns:
        The figure; null where the setting does not vary, or no two of its runs can be compared.

    Raises:
        ConfigError: There is no such baseline.
    """
    if setting not in comparable_settings(runs):
        return None
    chosen, found = compare_setting(runs, setting, baseline)
    drawn = [pair for pair in found if pair.comparison is not None]
    if not drawn:
        return None
    shown = drawn[:_MOST_PAIRS]
    labels = [describe({**pair.changed, **pair.shared}) for pair in shown]
    title = f"Speed against {describe(chosen)}, all else being equal"
    title += f", the first {len(shown)} of {len(drawn)}" if len(shown) < len(drawn) else ""
    figure, (part,) = stack([title], [1.7 + row_height(labels) * len(shown)])
    axis = part.subplots()
    axis.axvline(1.0, color=INK, linewidth=1.0)
    highest = 1.0
    for place, pair in enumerate(shown):
        seen = pair.comparison
        assert seen is not None
        colour = BLUE if pair.different else MUTED
        if seen.low is not None and seen.high is not None:
            axis.plot([seen.low, seen.high], [place, place], color=colour, linewidth=2.0, marker="|", markersize=12)
        axis.plot([seen.ratio], [place], **_point(colour, pair), markersize=5)
        highest = max(highest, seen.ratio, 1 / seen.ratio, seen.high or 0.0)
        interval = f" ({pair.interval})" if pair.interval else ""
        told = f"{seen.ratio:.2f}{interval}" + ("" if pair.different else f", {_unsure(pair)}")
        at = (max(seen.ratio, seen.high or 0.0), float(place))
        axis.annotate(told, at, (8, 0), textcoords="offset points", va="center", fontsize=8)
    if highest > _LOG_FROM:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        low, high = axis.get_xlim()
        axis.set_xlim(low, high * (high / low) ** 0.35)
    else:
        axis.set_xlim(0, 1.5 * highest)
    axis.set_xlabel(f"Times as fast as {describe(chosen)}, higher is better")
    axis.set_yticks(range(len(shown)), [wrap(label) for label in labels])
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0, pad=6)
    axis.grid(axis="x")
    legend_below(part, _legend(shown), columns=1)
    return figure


def _unsure(pair: Pair) -> str:
    return "not told apart" if pair.decidable else "too few runs to tell"


def _point(colour: str, pair: Pair) -> Any:
    face = colour if pair.different else "white"
    return {"marker": "o", "color": colour, "markerfacecolor": face, "linestyle": "none"}


def _legend(shown: list[Pair]) -> list[Line2D]:
    blank: Any = {"linestyle": "none", "marker": "o", "markersize": 7}
    entries = []
    if any(pair.different for pair in shown):
        entries.append(Line2D([], [], color=BLUE, **blank, label="different from the baseline, at the 5 % level"))
    if not all(pair.different for pair in shown):
        entries.append(Line2D([], [], color=MUTED, markerfacecolor="white", **blank, label="cannot be told apart"))
    if any(pair.interval for pair in shown):
        entries.append(Line2D([], [], color=INK, marker="|", linewidth=2.0, label="95 % interval of the pair"))
    return entries
