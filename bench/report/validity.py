"""Which timings are valid, what speaks against the others, and what could not be looked at."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.printable import clean
from bench.readings import Doubt
from bench.records import Status
from bench.report.frontier import Recommendation
from bench.report.tables import Block
from bench.report.timings import is_invalid, is_shared

_MOST_RUNS = 40
_PASSES = 5  # from so many on everything about passes can be judged, see bench.measure.validity

_NAMES: Mapping[str, str] = {
    Doubt.warm_up: "warm-up",
    Doubt.outlier: "outliers",
    Doubt.steal: "time stolen by the hypervisor",
    Doubt.quota: "CPU quota",
    Doubt.throttled: "throttling",
    Doubt.clock: "clock",
    Doubt.disk: "reading from disk",
    Doubt.gpu_shared: "others on the GPU",
    Doubt.shared: "other runs beside it",
}


def count_invalid(runs: pd.DataFrame) -> int:
    """Count the runs whose timing is known not to be valid, of those that have one: not of those beside others."""
    return int((is_invalid(runs) & ~is_shared(runs)).sum())


def validity(block: Block, valid_only: bool) -> dict[str, Any]:
    """Gather what a report says about a block's timings: a summary, doubts by run, and what was not checked.

    Args:
        block: The runs.
        valid_only: Whether :func:`bench.report.timings.without_invalid` has been applied to them.
    """
    runs = block.runs[block.runs["status"] == Status.ok.value]
    doubted = runs[is_invalid(runs)].sort_values("run_id")
    rows = [
        (str(block.row(run["trial_id"])["label"]), str(run["run_id"]), _doubts(run))
        for _, run in doubted.head(_MOST_RUNS).iterrows()
    ]
    return {
        "summary": _summary(runs, valid_only),
        "rows": rows,
        "left_out": len(doubted) - len(rows),
        "unchecked": list(_unchecked(runs)),
    }


def doubt_of(row: "pd.Series[Any]") -> str:
    """Mark a row of the settings table some of whose timings are not valid; empty for all others."""
    bad = int(row["runs_judged"] - row["runs_valid"])
    return f"{bad} of {row['runs_ok']} timing{'s' if row['runs_ok'] > 1 else ''} not valid" if bad else ""


def doubtful_pick(block: Block, recommendation: Recommendation, valid_only: bool) -> list[str]:
    """Say that the recommended setting's own timing is not valid, and what to do about it."""
    if recommendation.picks is None:
        return []
    trial = recommendation.picks.recommended
    row = block.row(trial)
    runs = block.runs[(block.runs["trial_id"] == trial) & (block.runs["status"] == Status.ok.value)]
    bad = runs[is_invalid(runs)]
    if bad.empty:
        return []
    kinds = dict.fromkeys(_name(one["doubt"]) for doubts in bad["doubts"] for one in _items(doubts))
    which = f"in {len(bad)} of {len(runs)} runs" if len(runs) > 1 else ""
    why = f" ({', '.join(kinds)})" if kinds else ""
    kept = "; its speed is that of the others" if valid_only else ""
    told = " ".join(f"The timing of the recommended setting, {row['label']}, is not valid {which}".split())
    return [f"{told}{why}{kept}. To measure it again where that happens: measure.rerun_invalid=2."]


def _summary(runs: pd.DataFrame, valid_only: bool) -> str:
    if runs.empty:
        return "No run ended well, so there is no timing to judge."
    judged, valid, bad = (int(mask.sum()) for mask in (runs["valid"].notna(), runs["valid"].eq(True), is_invalid(runs)))
    if not judged:
        return "Whether the timings are valid was not recorded: the runs are of an earlier version."
    told = f"{valid} of {judged} run{'s have' if judged > 1 else ' has'} a valid timing."
    if judged < len(runs):
        told += f" {len(runs) - judged} more of an earlier version were never judged."
    if valid_only:
        told += f" {bad or 'None'} {'was' if bad == 1 else 'were'} left out of everything about speed."
        if bad and bad == len(runs):
            told += (
                " Nothing remains to compare; run the study again with measure.rerun_invalid=2, or report it without"
                " --valid-only."
            )
        return told
    if shared := int(is_shared(runs).sum()):
        told += (
            f" {shared} ran beside others, and {'its' if shared == 1 else 'their'} timings are left out; to take them:"
            " executor.workers=1 measure.rerun_invalid=1."
        )
    if bad > shared:
        told += " To leave the others out of everything about speed: asr-sweep report --valid-only."
    return told


def _doubts(run: "pd.Series[Any]") -> list[str]:
    return [f"{_name(one['doubt'])}: {clean(str(one['detail']))}" for one in _items(run["doubts"])]


def _unchecked(runs: pd.DataFrame) -> Iterator[str]:
    """Name what was not checked, once, with the number of runs; by few passes, or by what the machine does not tell."""
    judged = runs[runs["valid"].notna()]
    counts: dict[str, int] = {}
    for doubts in judged["unchecked"]:
        for doubt in _items(doubts):
            counts[str(doubt)] = counts.get(str(doubt), 0) + 1
    passes = {Doubt.warm_up.value, Doubt.spread.value, Doubt.outlier.value} & counts.keys()
    for few, why in (
        (True, f"{{}} of {len(judged)} runs had too few passes for it; use measure.repeats={_PASSES}"),
        (False, f"the readings of {{}} of {len(judged)} runs do not tell"),
    ):
        by_count: dict[int, list[str]] = {}
        for doubt, count in counts.items():
            if (doubt in passes) is few:
                by_count.setdefault(count, []).append(_name(doubt))
        for count, names in sorted(by_count.items(), reverse=True):
            yield f"Not checked: {', '.join(names)}; {why.format(count)}."


def _name(doubt: object) -> str:
    return _NAMES.get(str(doubt), clean(str(doubt)).replace("_", " "))


def _items(values: Any) -> list[Any]:
    """List what a column of lists holds, which is null for old rows."""
    return [] if values is None or isinstance(values, float) else list(values)
