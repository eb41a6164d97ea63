"""A mirror of a study for optuna-dashboard: an Optuna journal, written whole from the study's rows, never read back.

It is for people, unlike what samplers are told (:mod:`bench.search.adaptive`): settings have their own names and
values, and nothing is made up. A trial out of memory has no value, so it is shown as failed, with its outcome beside
it; one that racing ended is shown as pruned, so that values from a part of the data stay off the Pareto front.

The records are those of Optuna's ``JournalStorage``, a line of JSON each. They are written without Optuna: it takes a
second to import, which a grid need not pay, and several times as long to write them.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from bench import metrics
from bench.records import Status
from bench.search import points
from bench.search.objectives import Goal
from bench.search.space import Domain, Interval, Point, Space
from bench.search.trials import Outcome, Trial, trial_of
from bench.storage import write_atomically

FILE_NAME = "journal.log"
"""Name of the journal in a study's folder."""

Row: TypeAlias = Mapping[str, Any]
Record: TypeAlias = dict[str, Any]

_NOTICE = "written by asr-sweep from its parquet files; what is changed here is lost and changes nothing there"

# Codes of operations, directions and states in Optuna's journals (optuna.storages.journal.JournalOperation,
# optuna.study.StudyDirection, optuna.trial.TrialState).
_CREATE_STUDY, _SET_STUDY_USER_ATTR, _SET_STUDY_SYSTEM_ATTR, _CREATE_TRIAL = 0, 2, 3, 4
_MINIMIZE, _MAXIMIZE = 1, 2
_COMPLETE, _PRUNED, _FAIL = 1, 2, 3
_STATES = {Outcome.ok: _COMPLETE, Outcome.pruned: _PRUNED, Outcome.oom: _FAIL, Outcome.failed: _FAIL}

_SHARE = 0.02  # of a study's time that may go into its journal

# Bytes of a line; records of usual spaces take one or two thousand.
_WIDTH = 4096


def write_journal(path: Path, study: str, rows: Iterable[Row], goal: Goal, space: Space) -> None:
    """Write the trials of a study as an Optuna journal, in place of an earlier one.

    Equal rows make equal files. An objective or constraint that no run has a value for is left out, so that a grid of
    models with random weights, which have no WER, is shown by its speed.

    Args:
        path: The journal's file.
        study: The study's name.
        rows: Rows of the runs table, the standing attempt of each run; those of older versions, without a point, are
            passed over.
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
    parameters = _parameters(varied, space)

    directions = [_MINIMIZE if metric.smaller_is_better else _MAXIMIZE for metric in measured.objectives]
    names = [metric.column for metric in measured.objectives]
    records: list[Record] = [
        {"op_code": _CREATE_STUDY, "study_name": study, "directions": directions},
        {"op_code": _SET_STUDY_SYSTEM_ATTR, "study_id": 0, "system_attr": {"study:metric_names": names}},
        {"op_code": _SET_STUDY_USER_ATTR, "study_id": 0, "user_attr": {"mirror": _NOTICE}},
    ]
    for (trial, group), point in zip(trials, varied, strict=True):
        records.append(_trial_record(trial, point, parameters, group, measured))
    write_atomically(path, _encoded(records))


class Mirror:
    """Keeps the journal of a study that runs.

    It is written whole, which takes the longer the more runs there are, so it is done only as often as to take little
    of the study's time.

    Args:
        path: The journal's file.
        study: The study's name.
        rows: Tells the rows of the runs table by now.
        goal: The objectives and constraints.
        space: What varies now.
    """

    def __init__(self, path: Path, study: str, rows: Callable[[], Iterable[Row]], goal: Goal, space: Space) -> None:
        self._path = path
        self._study = study
        self._rows = rows
        self._goal = goal
        self._space = space
        self._due_s = 0.0

    def follow(self) -> None:
        """Write the journal, unless that was done a moment ago."""
        if time.monotonic() >= self._due_s:
            self.write()

    def write(self) -> None:
        """Write the journal."""
        began_s = time.monotonic()
        write_journal(self._path, self._study, self._rows(), self._goal, self._space)
        ended_s = time.monotonic()
        self._due_s = ended_s + (ended_s - began_s) / _SHARE


def _encoded(records: Sequence[Record]) -> bytes:
    """Write records as lines of one length.

    An open dashboard goes on reading at the byte where it stopped, though the file is another one by then. With lines
    of one length that is the start of a line, whatever has changed in those before it.
    """
    lines = [json.dumps({**one, "worker_id": ""}, separators=(",", ":")) for one in records]
    longest = max(len(line) for line in lines) + 1
    width = _WIDTH
    while width < longest:
        width *= 2
    return "".join(f"{line:<{width - 1}}\n" for line in lines).encode("ascii")


def _measured(goal: Goal, rows: Sequence[Row]) -> Goal:
    """Leave out what no run has a value for; with all objectives missing, there is nothing to tell them apart by."""
    known = {
        metric.column
        for metric in goal.metrics
        if any(row.get(name) is not None for row in rows for name in (metric.column, f"race_{metric.column}"))
    }
    objectives = tuple(metric for metric in goal.objectives if metric.column in known)
    constraints = tuple(one for one in goal.constraints if one.metric.column in known)
    return Goal(objectives or goal.objectives, constraints)


def _varied(point: Point, row: Row, space: Space) -> Point:
    """Return what was chosen at a point, without the settings that a condition settled."""
    known = {**row, **point}
    return {
        key: value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)
        for key, value in point.items()
        if (condition := space.conditions.get(key)) is None or points.meets(known.get(condition.setting), condition)
    }


@dataclass(frozen=True)
class _Parameter:
    """A setting as Optuna describes it.

    Attributes:
        distribution: The kind of its distribution, with its attributes.
        choices: The values of a category, stored by their place; none for a number, stored as it is.
    """

    distribution: str
    choices: tuple[Any, ...] = ()

    def stored(self, value: Any) -> float:
        """Write a value as a journal has it."""
        return self.choices.index(value) if self.choices else value


def _parameters(varied: Iterable[Point], space: Space) -> dict[str, _Parameter]:
    """Describe each setting once for all trials; the dashboard compares only trials that agree in it."""
    seen: dict[str, list[Any]] = {}
    for point in varied:
        for key, value in point.items():
            seen.setdefault(key, []).append(value)
    together = {key: tuple(one[key] for one in space.combinations) for one in space.combinations[:1] for key in one}
    domains: dict[str, Domain] = {**space.groups, **together, **space.values}
    return {key: _parameter(domains.get(key, ()), values) for key, values in seen.items()}


def _parameter(domain: Domain, seen: Sequence[Any]) -> _Parameter:
    """Describe a setting by the values it may take now and those it had."""
    interval = domain if isinstance(domain, Interval) else None
    listed = () if isinstance(domain, Interval) else domain
    bounds = [] if interval is None else [interval.low, interval.high]
    values = tuple(dict.fromkeys([*listed, *seen]))
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _Parameter(_distribution("Categorical", choices=values), values)
    low, high = min([*bounds, *values]), max([*bounds, *values])
    log = interval is not None and interval.log and low > 0
    if (interval is None or interval.whole) and all(float(value).is_integer() for value in values):
        return _Parameter(_distribution("Int", log=log, step=1, low=int(low), high=int(high)))
    return _Parameter(_distribution("Float", step=None, low=float(low), high=float(high), log=log))


def _distribution(kind: str, **attributes: Any) -> str:
    return json.dumps({"name": f"{kind}Distribution", "attributes": attributes})


def _trial_record(
    trial: Trial, point: Point, parameters: Mapping[str, _Parameter], rows: Sequence[Row], goal: Goal
) -> Record:
    state = _STATES[trial.outcome]
    values: list[float] | None = None
    system_attributes: dict[str, Any] = {}
    if state != _FAIL:
        values = [trial.values[metric.column] for metric in goal.objectives]
        excesses = {str(one): one.excess(trial.values[one.metric.column]) for one in goal.constraints}
        system_attributes = {f"constraints:{name}": excess for name, excess in excesses.items()}
        if excesses:  # the dashboard (0.21) knows constraints only as Optuna wrote them before version 5
            system_attributes["constraints"] = list(excesses.values())
    alone = values[0] if values is not None and len(values) == 1 else None
    started = min(datetime.fromisoformat(row["started_at"]) for row in rows)
    # Replicates are apart in time; what counts is how long they took.
    ended = started + timedelta(seconds=sum(row["wall_s"] for row in rows))
    return {
        "op_code": _CREATE_TRIAL,
        "study_id": 0,
        "state": state,
        "value": alone,
        "values": values if alone is None else None,
        "datetime_start": started.isoformat(timespec="microseconds"),
        "datetime_complete": ended.isoformat(timespec="microseconds"),
        "distributions": {key: parameters[key].distribution for key in point},
        "params": {key: parameters[key].stored(value) for key, value in point.items()},
        "user_attrs": _attributes(trial, rows, goal),
        "system_attrs": system_attributes,
        "intermediate_values": {},
    }


def _attributes(trial: Trial, rows: Sequence[Row], goal: Goal) -> dict[str, Any]:
    """Say which trial it was, how it ended, and what it measured besides the objectives: medians over its runs."""
    further = dict.fromkeys([*goal.metrics, *metrics.METRICS, *metrics.COSTS])
    measured: dict[str, float] = {}
    for column in (metric.column for metric in further if metric not in goal.objectives):
        found = [float(row[column]) for row in rows if row.get(column) is not None]
        if column in trial.values:
            measured[column] = trial.values[column]
        elif found:
            measured[column] = statistics.median(found)
    # How much of the data a run had read when racing ended it.
    shares = [row["race_share"] for row in rows if row["status"] == Status.pruned]
    return {
        "trial": trial.number,
        "trial_id": rows[0]["trial_id"],
        "outcome": trial.outcome.value,
        "runs": len(rows),
        **({"race_share": min(shares)} if shares else {}),
        **measured,
    }
