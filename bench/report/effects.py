"""Main effects: what changing one setting did to WER, speed and memory, with all other settings held the same.

Trials are paired that differ in the one setting alone, as in a factorial design (Box, Hunter and Hunter 2005,
Statistics for Experimenters, chapter 5), so that no value looks better for the company it was tried in. The mean of the
pairs' differences is the effect; its interval is Student's, over pairs, of logarithms where the effect is a ratio.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.metrics import RTFX, WER, Metric
from bench.report.frontier import Recommendation, memory_metric
from bench.report.labels import axis_of, plain, value_of
from bench.report.sheet import sheet
from bench.report.tables import Block, levels

# A setting with more values than this was drawn from a range; hardly two trials differ in it alone.
_MOST_LEVELS = 12
_FEWEST_PAIRS = 3
_DASH = "\N{EN DASH}"
_TIMES = "\N{MULTIPLICATION SIGN} "


@dataclass(frozen=True)
class Effect:
    """What a change of one setting did to a metric.

    Attributes:
        mean: Mean of the pairs' differences, or the geometric mean of their ratios.
        low: Lower end of the 95 % interval of the mean; null for fewer than three pairs.
        high: Its upper end, likewise.
        pairs: How many pairs there are.
        higher: In how many of them the metric rose.
        lower: In how many it fell.
    """

    mean: float
    low: float | None
    high: float | None
    pairs: int
    higher: int
    lower: int


def effect(before: NDArray[np.float64], after: NDArray[np.float64], *, ratio: bool) -> Effect | None:
    """Measure an effect over pairs.

    Args:
        before: The metric at one value of the setting, shape ``(pairs,)``.
        after: At the other, likewise; a pair with a NaN counts for nothing.
        ratio: Whether the effect is ``after / before`` instead of the difference; then both are positive.

    Returns:
        The effect; null without a pair.
    """
    known = ~(np.isnan(before) | np.isnan(after))
    before, after = before[known], after[known]
    if not len(before):
        return None
    changes = np.log(after / before) if ratio else after - before
    mean, half = float(changes.mean()), math.nan
    if len(changes) >= _FEWEST_PAIRS:
        half = float(stats.t.ppf(0.975, len(changes) - 1) * changes.std(ddof=1) / math.sqrt(len(changes)))
    low, high = (None if math.isnan(half) else _back(mean + sign * half, ratio) for sign in (-1, 1))
    return Effect(_back(mean, ratio), low, high, len(changes), int((changes > 0).sum()), int((changes < 0).sum()))


def main_effects(block: Block, recommendation: Recommendation) -> dict[str, Any]:
    """Tell what each setting of a block does, as a table for the templates, and in sentences (``told``).

    Args:
        block: The settings.
        recommendation: What is recommended of them; trials it excludes are in no pair.

    Returns:
        The table, without rows where nothing varies or no two trials differ in one setting alone.
    """
    table = block.table.drop(index=list(recommendation.excluded))
    metrics = [metric for metric in (WER, RTFX, memory_metric(block)) if table[metric.column].notna().any()]
    rows, told = [], []
    for setting in block.varied:
        found = list(_changes(table, setting, block.varied, metrics))
        name = axis_of(setting).partition(" [")[0]
        for value, base, effects in found:
            pairs = max((one.pairs for one in effects if one), default=0)
            cells = [_cell(one, metric) for one, metric in zip(effects, metrics, strict=True)]
            rows.append([name, f"{value_of(value, setting)} against {value_of(base, setting)}", str(pairs), *cells])
        if found:
            value, base, effects = found[-1]
            parts = [_said(one, metric) for one, metric in zip(effects, metrics, strict=True) if one]
            told.append(f"{name}, {value_of(value, setting)} against {value_of(base, setting)}: {'; '.join(parts)}.")
    heads = ["Setting", "Change", "Pairs", *(metric.label for metric in metrics)]
    return sheet(heads, rows, words=2, told=told)


def _changes(
    table: pd.DataFrame, setting: str, varied: Sequence[str], metrics: Sequence[Metric]
) -> Iterator[tuple[object, object, list[Effect | None]]]:
    """Yield the effect of each value against the first, in every metric."""
    values = levels(table[setting])
    if not 2 <= len(values) <= _MOST_LEVELS:
        return
    others = [name for name in varied if name != setting]
    by_value: dict[object, dict[Hashable, int]] = {value: {} for value in values}
    for at, row in enumerate(table[[setting, *others]].itertuples(index=False, name=None)):
        value, *rest = map(plain, row)
        by_value[value][tuple(rest)] = at
    measured = {metric: table[metric.column].to_numpy(dtype=float, na_value=np.nan) for metric in metrics}
    base, *changed = values
    for value in changed:
        shared = [rest for rest in by_value[value] if rest in by_value[base]]
        before, after = ([by_value[one][rest] for rest in shared] for one in (base, value))
        effects = [effect(column[before], column[after], ratio=metric is RTFX) for metric, column in measured.items()]
        if any(effects):
            yield value, base, effects


def _back(value: float, ratio: bool) -> float:
    return math.exp(value) if ratio else value


def _cell(found: Effect | None, metric: Metric) -> str:
    if found is None:
        return _DASH
    mean = _amount(found.mean, metric)
    if found.low is None or found.high is None:
        return mean
    return f"{mean} ({_number(found.low, metric)} to {_number(found.high, metric)})"


def _said(found: Effect, metric: Metric) -> str:
    """Say in words what a change did; a direction is told only where all pairs agree."""
    if found.pairs in (found.higher, found.lower):
        way = "higher" if found.higher else "lower"
        which = {1: "in the one pair there is", 2: "in both pairs"}.get(found.pairs, f"in all {found.pairs} pairs")
        return f"{metric.label} {way} {which} ({_amount(found.mean, metric)})"
    if not found.higher and not found.lower:
        return f"{metric.label} the same"
    return (
        f"{metric.label} in no clear direction (higher in {found.higher} and lower in {found.lower} of {found.pairs}"
        f" pairs, {_amount(found.mean, metric)} in the mean)"
    )


def _amount(value: float, metric: Metric) -> str:
    unit = "" if metric is RTFX else " points" if metric is WER else f" {metric.unit}"
    return f"{_TIMES if metric is RTFX else ''}{_number(value, metric)}{unit}"


def _number(value: float, metric: Metric) -> str:
    return f"{value:.2f}" if metric is RTFX else f"{value * metric.scale:+.{metric.decimals}f}".replace("-", "\u2212")
