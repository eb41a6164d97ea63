"""Which settings are worth having, and which one to pick: pure functions of a settings table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics import PEAK_GPU, PEAK_RSS, RTFX, WER, Metric
from bench.records import Status
from bench.report.limits import breaches, nearest, said
from bench.report.tables import Block, failures_of

WITHIN_WER = 0.01
"""How much WER the second recommendation may give up for speed: one percentage point, as a fraction."""

# Sums such as 0.07 + 0.01 must not shut out a trial that lies exactly on the limit.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Picks:
    """The settings recommended within a block, each a ``trial_id``.

    Attributes:
        most_accurate: Lowest WER; of equal ones, the fastest. Null where no setting has a WER.
        fastest_within: Fastest of those within :data:`WITHIN_WER` of the lowest WER; null likewise.
        least_memory: Smallest peak of ``memory``; null where it was not measured.
        fastest: Fastest of all.
        memory: The metric ``least_memory`` was chosen by.
    """

    most_accurate: str | None
    fastest_within: str | None
    least_memory: str | None
    fastest: str
    memory: Metric

    @property
    def recommended(self) -> str:
        """The one to name first: the most accurate, or the fastest where nothing tells accuracy."""
        return self.most_accurate or self.fastest


@dataclass(frozen=True)
class Recommendation:
    """What a block's settings table supports.

    Attributes:
        picks: The recommended settings; null where none can be compared.
        reason: Why there are no picks; null where there are.
        compared: Number of trials the picks were chosen from.
        excluded: Trials that could not take part, ``trial_id`` to the reason.
        broken: Those of them that break a constraint, to which and with what.
    """

    picks: Picks | None
    reason: str | None
    compared: int
    excluded: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def pareto_front(table: pd.DataFrame, metrics: Sequence[Metric] = (WER, RTFX)) -> "pd.Series[bool]":
    """Mark the rows that no other row beats.

    A row beats another if it is at least as good in every metric and better in one, each in its own direction; so equal
    rows do not beat each other. A row in which a metric is null is never marked and beats nothing.
    """
    signs = np.array([1.0 if metric.smaller_is_better else -1.0 for metric in metrics])
    costs = table[[metric.column for metric in metrics]].to_numpy(dtype=float, na_value=np.nan) * signs
    known = ~np.isnan(costs).any(axis=1)
    distinct, at = np.unique(costs[known], axis=0, return_inverse=True)
    front = np.zeros(len(distinct), dtype=bool)
    # In ascending order no row can beat an earlier one, and who is beaten at all is beaten by one of the front.
    for place, row in enumerate(distinct):
        front[place] = not (distinct[front] <= row).all(axis=1).any()
    marked = np.zeros(len(table), dtype=bool)
    marked[known] = front[at]
    return pd.Series(marked, index=table.index, dtype=bool)


def recommend(block: Block) -> Recommendation:
    """Choose the settings to recommend within one block.

    Only trials all of whose runs ended well take part, and only those that scored as much as any: leaving out a hard
    recording lowers the WER without recognising anything better. What breaks a constraint, or has no value for it, is
    never recommended. Where no trial has a WER, as with random weights, they are compared by speed and memory alone.
    """
    table = block.table
    scored = bool(table["wer"].notna().any())
    excluded = {str(trial): why for trial, row in table.iterrows() if (why := _unfit(row, scored))}
    excluded |= _lesser(table.drop(index=list(excluded)))
    breaking = breaches(block)
    broken = {trial: said(each) for trial, each in breaking.items()}
    otherwise_fit = [trial for trial in broken if trial not in excluded]
    reasons = Counter(excluded.values())
    for trial, why in broken.items():
        excluded[trial] = f"{excluded[trial]}; {why}" if trial in excluded else why
    fit = table.drop(index=list(excluded))
    if not fit.empty:
        return Recommendation(_pick(fit, memory_metric(block)), None, len(fit), excluded, broken)
    counts = [f"{count} {reason}" for reason, count in sorted(reasons.items())]
    if not otherwise_fit:
        return Recommendation(None, f"no setting can be recommended: {'; '.join(counts)}", 0, excluded, broken)
    counts.insert(0, f"{len(otherwise_fit)} break{'s' if len(otherwise_fit) == 1 else ''} one or more")
    why = f"no setting keeps the constraints: {'; '.join(counts)}"
    if (closest := nearest(breaking, otherwise_fit)) is not None:
        why += f". The nearest miss is {table['label'][closest]}: it {broken[closest]}"
    return Recommendation(None, why, 0, excluded, broken)


def _lesser(fit: pd.DataFrame) -> dict[str, str]:
    """Say of which trials less was scored than of others."""
    lesser: dict[str, str] = {}
    most, fewest_failed = fit["words_scored"].max(), fit["utterances_failed"].min()
    for trial, words, failed in zip(fit.index, fit["words_scored"], fit["utterances_failed"], strict=True):
        if words < most:
            lesser[str(trial)] = f"scored {words:.0f} of the {most:.0f} reference words other settings scored"
        elif failed > fewest_failed:
            lesser[str(trial)] = f"failed on {failed:.0f} recordings, other settings on {fewest_failed:.0f}"
    return lesser


def memory_metric(block: Block) -> Metric:
    """Choose the memory that is scarce on the block's device: the GPU's where one was used and measured."""
    on_gpu = str(block.factors["device"]).startswith("cuda")
    return PEAK_GPU if on_gpu and block.table[PEAK_GPU.column].notna().any() else PEAK_RSS


def _unfit(row: "pd.Series[Any]", scored: bool) -> str | None:
    if row["status"] == Status.pruned.value:
        some = f" in {row['runs_pruned']} of {row['runs']} runs" if row["runs_ok"] else ""
        return f"ended early by racing{some}"
    if row["status"] != Status.ok.value:
        some = f" in {failures_of(row)} of {row['runs']} runs" if failures_of(row) < row["runs"] else ""
        return f"ended in {row['status']}{some}"
    if scored and pd.isna(row["wer"]):
        return "has no WER: its weights are random, or nothing with a reference was transcribed"
    if pd.isna(row["rtfx"]):
        return "has no valid timing" if row["runs_valid"] < row["runs_judged"] else "has no measured speed"
    return None


def _pick(fit: pd.DataFrame, memory: Metric) -> Picks:
    accurate_first = fit.sort_values(["wer", "rtfx"], ascending=[True, False], kind="stable")
    fast_first = fit.sort_values(["rtfx", "wer"], ascending=[False, True], kind="stable")
    # Empty where there is no WER: comparisons with null are false.
    near = fast_first[fast_first["wer"] <= fit["wer"].min() + WITHIN_WER + _ROUNDING]
    small_first = fit.dropna(subset=[memory.column]).sort_values([memory.column, "wer"], kind="stable")
    return Picks(
        most_accurate=None if near.empty else str(accurate_first.index[0]),
        fastest_within=None if near.empty else str(near.index[0]),
        least_memory=None if small_first.empty else str(small_first.index[0]),
        fastest=str(fast_first.index[0]),
        memory=memory,
    )
