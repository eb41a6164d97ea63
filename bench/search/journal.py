"""A mirror of a study for optuna-dashboard: an Optuna journal, written whole from the study's rows, never read back.

It is for people, unlike what samplers are told (:mod:`bench.search.adaptive`): settings have their own names and
values, and nothing is made up. A trial out of memory has no value, so it is shown as failed, with its outcome beside
it; one that racing ended is shown as pruned, so that values from a part of the data stay off the Pareto front.
"""

import json
import statistics
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from bench import metrics, store
from bench.search import points
from bench.search.objectives import Goal
from bench.search.space import Domain, Interval, Point, Space
from bench.search.trials import Outcome, Trial, trial_of

FILE_NAME = "journal.log"
"""Name of the journal in a study's folder."""

_STATES = {
    Outcome.ok: TrialState.COMPLETE,
    Outcome.pruned: TrialState.PRUNED,
    Outcome.oom: TrialState.FAIL,
    Outcome.failed: TrialState.FAIL,
}
_NOTICE = "written by asr-sweep from its parquet files; what is changed here is lost and changes nothing there"
# Bytes; records of usual spaces take one or two thousand.
_WIDTH = 4096

Row = Mapping[str, Any]


def write_journal(path: Path, study: str, rows: Iterable[Row], goal: Goal, space: Space) -> None:
    """Write the trials of a study as an Optuna journal, in place of an earlier one.

    Equal rows make equal files. An objective or constraint that no run has a value for is left out, so that a grid of
    models with random weights, which have no WER, is shown by its speed.

    Args:
        path: The journal's file.
        study: The study's name.
        rows: Rows of the runs table, the standing attempt of each run; those of older versions, without a point, are
            passed over. They need ``trial_id``, ``trial_number``, ``started_at`` and ``wall_s``, besides what
            :func:`bench.search.trials.trial_of` reads.
        goal: The objectives and constraints.
        space: What varies now. Points that do not lie in it, tried before it changed or below a batch that did not fit,
            are shown like the others.
    """
    by_number: dict[int, list[Row]] = {}
    for row in rows:
        if row["point"] is not None:
            by_number.setdefault(row["trial_number"], []).append(row)
    measured = _measured(goal, [row for group in by_number.values() for row in group])
    trials = [(trial_of(number, group, measured.metrics), group) for number, group in sorted(by_number.items())]
    varied = [_varied(trial.point, group[0], space) for trial, group in trials]
    distributions = _distributions(varied, space)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    records = _Records()
    mirror = optuna.create_study(
        storage=JournalStorage(records),
        study_name=study,
        directions=["minimize" if metric.smaller_is_better else "maximize" for metric in measured.objectives],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        mirror.set_metric_names([metric.column for metric in measured.objectives])
    mirror.set_user_attr("mirror", _NOTICE)
    for (trial, group), point in zip(trials, varied, strict=True):
        mirror.add_trial(_frozen(trial, point, {key: distributions[key] for key in point}, group, measured))
    store._write_atomically(path, records.encoded())


class _Records(BaseJournalBackend):
    """A journal's records, kept in memory so that the file can be written at once."""

    def __init__(self) -> None:
        self._records: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self._records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._records += logs

    def encoded(self) -> bytes:
        """Write the records as lines of one length.

        An open dashboard goes on reading at the byte where it stopped, though the file is another one by then. With
        lines of one length that is the start of a line, whatever has changed in those before it.
        """
        # Optuna names the writer at random.
        lines = [json.dumps({**one, "worker_id": ""}, separators=(",", ":")) for one in self._records]
        longest = max(len(line) for line in lines) + 1
        width = _WIDTH
        while width < longest:
            width *= 2
        return "".join(f"{line:<{width - 1}}\n" for line in lines).encode("ascii")


def _measured(goal: Goal, rows: Sequence[Row]) -> Goal:
    """Leave out what no run has a value for; with all objectives missing, there is nothing to tell them apart by."""
    known = {metric.column for metric in goal.metrics if any(row.get(metric.column) is not None for row in rows)}
    objectives = tuple(metric for metric in goal.objectives if metric.column in known)
    constraints = tuple(one for one in goal.constraints if one.metric.column in known)
    return Goal(objectives or goal.objectives, constraints)


def _varied(point: Point, row: Row, space: Space) -> Point:
    """Return what was chosen at a point, without the settings that a condition settled."""
    known = {**row, **point}
    return {
        key: value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)
        for key, value in point.items()
        if (condition := space.conditions.get(key)) is None or points._meets(known.get(condition.setting), condition)
    }


def _distributions(varied: Iterable[Point], space: Space) -> dict[str, BaseDistribution]:
    """Describe each setting once for all trials; the dashboard compares only trials that agree in it."""
    seen: dict[str, list[Any]] = {}
    for point in varied:
        for key, value in point.items():
            seen.setdefault(key, []).append(value)
    together = {key: tuple(one[key] for one in space.combinations) for one in space.combinations for key in one}
    domains: dict[str, Domain] = {**space.groups, **together, **space.values}
    return {key: _distribution(domains.get(key, ()), values) for key, values in seen.items()}


def _distribution(domain: Domain, seen: Sequence[Any]) -> BaseDistribution:
    """Describe a setting by the values it may take now and those it had."""
    interval = domain if isinstance(domain, Interval) else None
    listed = () if isinstance(domain, Interval) else domain
    bounds = [] if interval is None else [interval.low, interval.high]
    values = tuple(dict.fromkeys([*listed, *seen]))
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return CategoricalDistribution(values)
    low, high = min([*bounds, *values]), max([*bounds, *values])
    log = interval is not None and interval.log and low > 0
    if (interval is None or interval.whole) and all(float(value).is_integer() for value in values):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _frozen(
    trial: Trial, point: Point, distributions: dict[str, BaseDistribution], rows: Sequence[Row], goal: Goal
) -> FrozenTrial:
    """Write a trial as Optuna's."""
    state = _STATES[trial.outcome]
    has_values = state is not TrialState.FAIL
    excesses = {str(one): one.excess(trial.values[one.metric.column]) for one in goal.constraints} if has_values else {}
    frozen = optuna.trial.create_trial(
        state=state,
        params=point,
        distributions=distributions,
        values=[trial.values[metric.column] for metric in goal.objectives] if has_values else None,
        constraints=excesses or None,
        # The dashboard (0.21) knows constraints only as Optuna wrote them before version 5.
        system_attrs={"constraints": list(excesses.values())} if excesses else None,
        user_attrs=_attributes(trial, rows, goal),
    )
    frozen.datetime_start = min(datetime.fromisoformat(row["started_at"]) for row in rows)
    # Replicates are apart in time; what counts is how long they took.
    frozen.datetime_complete = frozen.datetime_start + timedelta(seconds=sum(row["wall_s"] for row in rows))
    return frozen


def _attributes(trial: Trial, rows: Sequence[Row], goal: Goal) -> dict[str, Any]:
    """Say which trial it was, how it ended, and what it measured besides the objectives: medians over its runs."""
    further = dict.fromkeys([*goal.metrics, *metrics.METRICS, *metrics.COSTS])
    values = {
        metric.column: [float(row[metric.column]) for row in rows if row.get(metric.column) is not None]
        for metric in further
        if metric not in goal.objectives
    }
    medians = {column: statistics.median(found) for column, found in values.items() if found}
    return {
        "trial": trial.number,
        "trial_id": rows[0]["trial_id"],
        "outcome": trial.outcome.value,
        "runs": len(rows),
        **medians,
    }
