"""What settings have to keep to be recommended: which of them break a constraint, and with what."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.metrics import WER, Metric
from bench.records import Status
from bench.report.tables import Block
from bench.search.objectives import Constraint


@dataclass(frozen=True)
class Breach:
    """A constraint that a setting breaks, and its value there; null where it has none, which keeps no bound."""

    constraint: Constraint
    value: float | None

    def __str__(self) -> str:
        constraint = self.constraint
        if self.value is None:
            return f"has no value for {constraint}"
        metric = constraint.metric
        shown, bound = metric.show(self.value), metric.show(constraint.bound)
        if shown == bound:  # rounding must not hide the difference
            shown = f"{self.value * metric.scale:.8g} {metric.unit}".rstrip()
        said = f"{constraint} ({bound})" if metric.scale != 1 else str(constraint)
        return f"breaks {said} with {shown}"


def breaches(block: Block) -> dict[str, list[Breach]]:
    """List what each setting breaks: those all of whose runs ended well and that break anything, by trial.

    A setting's value is its WER in the settings table, and the median over its runs of all else.
    """
    finished = block.table[block.table["status"] == Status.ok.value]
    values = {one.metric.column: values_of(block, one.metric) for one in block.constraints}
    found: dict[str, list[Breach]] = {}
    for trial in map(str, finished.index):
        for one in block.constraints:
            value = values[one.metric.column].get(trial)
            if value is None or not one.holds(value):
                found.setdefault(trial, []).append(Breach(one, value))
    return found


def said(broken: Sequence[Breach]) -> str:
    """Write what a setting breaks as a phrase."""
    return "; ".join(map(str, broken))


def nearest(broken: Mapping[str, Sequence[Breach]], among: Collection[str]) -> str | None:
    """Name the trial that misses its bounds by the least share of them; null where none has a value for all."""
    known = {trial: [one for one in each if one.value is not None] for trial, each in broken.items() if trial in among}
    excess = {
        trial: max(one.constraint.excess(one.value) for one in each if one.value is not None)
        for trial, each in known.items()
        if len(each) == len(broken[trial])
    }
    return min(excess, key=lambda trial: excess[trial], default=None)


def values_of(block: Block, metric: Metric) -> dict[str, float]:
    """Map the trials of a block that have a value of a metric to it, over their runs that ended well."""
    if metric == WER:
        values = block.table[WER.column]
    else:
        good = block.runs[block.runs["status"] == Status.ok.value]
        values = good[metric.column].astype(float).groupby(good["trial_id"]).median()
    return {str(trial): float(value) for trial, value in values.items() if pd.notna(value)}
