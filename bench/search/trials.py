"""What came of the trials so far, as a search needs to know it."""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bench.metrics import Metric
from bench.records import Status
from bench.search.space import Point


class Outcome(StrEnum):
    """What a trial tells a search."""

    ok = "ok"
    oom = "oom"
    pruned = "pruned"
    failed = "failed"


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes:
        number: Which of the study's trials, in the order they began.
        point: What it tried.
        values: Its metrics by column, the median over its runs, or the mean over its folds, which are no repetitions;
            of a run that racing ended, what it had by then.
        trial_id: Its name (:func:`bench.jobs.trial_id`).
    """

    number: int
    point: Point
    outcome: Outcome
    values: Mapping[str, float]
    trial_id: str = ""


def trial_of(number: int, rows: Iterable[Mapping[str, Any]], metrics: Iterable[Metric]) -> Trial:
    """Sum a trial's runs up.

    Args:
        number: The trial's number.
        rows: Rows of the runs table, at least one, the standing attempt of each of the trial's runs.
        metrics: What the search looks at.
    """
    rows = list(rows)
    statuses = [row["status"] for row in rows]
    good = [row for row in rows if row["status"] in (Status.ok, Status.pruned)]
    typical = statistics.median if rows[0].get("fold") is None else statistics.fmean
    values = {
        metric.column: typical(found)
        for metric in metrics
        if (found := [value for row in good if (value := _value(row, metric)) is not None])
    }
    if Status.oom in statuses:
        outcome = Outcome.oom
    elif len(values) < len(set(metrics)):
        outcome = Outcome.failed
    else:
        outcome = Outcome.pruned if Status.pruned in statuses else Outcome.ok
    return Trial(number, json.loads(rows[0]["point"]), outcome, values, rows[0]["trial_id"])


def _value(row: Mapping[str, Any], metric: Metric) -> float | None:
    value = row.get(metric.column)
    if row["status"] == Status.pruned:
        rtfx = row.get("race_rtfx")
        so_far = {"wer": row.get("race_wer"), "rtfx": rtfx, "rtf": 1 / rtfx if rtfx else None}
        value = so_far.get(metric.column, value)
    return None if value is None or value != value else float(value)
