"""What a study has on disk, kept up to date as its runs end."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench import store
from bench.attempts import UNFINISHED, Attempt, History
from bench.config import Config
from bench.metrics import Metric
from bench.records import RunResult, Status
from bench.schema import LEDGER_SCHEMA
from bench.search.trials import Trial, trial_of
from bench.storage import Place


class Ledger:
    """The runs of a study: their attempts, and the row that counts of each.

    Args:
        study_dir: The study's folder.

    Attributes:
        unmerged: Attempts with a file of their own, as long as whoever merges them says so.

    Raises:
        StoreError: A file in it cannot be read.
    """

    def __init__(self, study_dir: Place) -> None:
        self._study_dir = study_dir
        self._histories: dict[str, History] = store.histories(study_dir)
        self.unmerged = store.unmerged(study_dir)
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._walls: list[tuple[float, str]] = []
        for row in store.read_rows(study_dir):
            self._walls.append((row["wall_s"], row["device"]))
            if row["attempt"] == self._histories[row["run_id"]].standing.attempt:
                self._rows[row["run_id"]] = row
        known = [row["trial_number"] for row in self._rows.values() if row["trial_number"] is not None]
        self._numbers = {
            row["trial_id"]: row["trial_number"] for row in self._rows.values() if row["trial_number"] is not None
        }
        self._next_number = max(known, default=-1) + 1

    def write(self, result: RunResult) -> Mapping[str, Any]:
        """Persist a run, and remember it; returns its row."""
        written = store.write_run(self._study_dir, result)
        row = {name: written.get(name) for name in LEDGER_SCHEMA.names}  # the rest would fill the memory of a driver
        self.unmerged += 1
        job = result.job
        attempt = Attempt(job.run_id, job.attempt, result.status)
        history = self._histories.get(job.run_id)
        history = History((attempt,)) if history is None else history.then(attempt)
        self._histories[job.run_id] = history
        self._walls.append((result.wall_s, job.config.device))
        # What judges a chosen setting has another name and that setting's number.
        self._numbers.setdefault(job.trial_id, job.number)
        if history.standing == attempt:
            self._rows[job.run_id] = row
        return row

    def number(self, trial_id: str) -> int:
        """Number of a trial: the one it has, else the next."""
        if trial_id not in self._numbers:
            self._numbers[trial_id] = self._next_number
            self._next_number += 1
        return int(self._numbers[trial_id])

    def next_attempt(self, run_id: str) -> int:
        """Number of the attempt that would be the next at a run, from 1."""
        history = self._histories.get(run_id)
        return 1 if history is None else history.last + 1

    def wants(self, run_id: str, config: Config) -> bool:
        """Tell whether a run is to be executed: it lacks a result, or a valid timing, and has attempts left."""
        history = self._histories.get(run_id)
        if history is None:
            return True
        if history.standing.status in UNFINISHED:
            return history.last < config.executor.max_attempts
        return not self.is_valid(run_id) and history.reruns < config.measure.rerun_invalid

    def lacks_result(self, run_id: str) -> bool:
        """Tell whether a run has not ended, or not well."""
        history = self._histories.get(run_id)
        return history is None or history.standing.status in UNFINISHED

    def is_valid(self, run_id: str) -> bool:
        """Tell whether a run's timing is not known to be invalid."""
        row = self._rows.get(run_id)
        return row is None or row["status"] != Status.ok or row["valid"] is not False

    def reruns(self, run_id: str) -> int:
        """Count how often a run was run again for the sake of a valid timing."""
        return self._histories[run_id].reruns

    def texts(self, run_id: str) -> list[dict[str, Any]]:
        """Read the utterances of a run: ``utterance_id``, ``reference``, ``hypothesis`` and ``error`` of each."""
        return store.read_texts(self._study_dir, [self._histories[run_id].standing])

    def is_pruned(self, trial_id: str) -> bool:
        """Tell whether a run of a trial was ended early; its others need not be made."""
        return any(row["status"] == Status.pruned for row in self._rows.values() if row["trial_id"] == trial_id)

    def values(self, column: str) -> set[Any]:
        """Return the distinct values of a column, to see how the study's runs are made."""
        return {row[column] for row in self._rows.values()}

    def knows(self, trial_id: str) -> bool:
        """Tell whether a trial has run, under whatever point."""
        return any(row["trial_id"] == trial_id for row in self._rows.values())

    def settings(self, trial_id: str) -> Mapping[str, Any]:
        """Return a row of a trial, which holds all of its settings."""
        return next(row for row in self._rows.values() if row["trial_id"] == trial_id)

    def rows(self, part: str) -> list[Mapping[str, Any]]:
        """Return the rows that count, of one part of the data, by trial number and replicate."""
        rows = [row for row in self._rows.values() if (row["part"] or "search") == part]
        return sorted(rows, key=lambda row: (self._numbers.get(row["trial_id"], -1), row["replicate"]))

    def trials(self, part: str, metrics: Iterable[Metric]) -> list[Trial]:
        """Sum up the trials of one part of the data, by number; those of older versions tell no point."""
        by_trial: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.rows(part):
            if row["point"] is not None:
                by_trial.setdefault(row["trial_id"], []).append(row)
        metrics = tuple(metrics)
        return [trial_of(self._numbers[trial_id], rows, metrics) for trial_id, rows in by_trial.items()]

    def spent_s(self) -> float:
        """Seconds that all attempts took, from asking for their process until it was gone."""
        return sum(seconds for seconds, _ in self._walls)

    def spent_cost(self, prices: Mapping[str, float | None]) -> float:
        """What all attempts cost, at prices an hour by kind of device; what has no price counts nothing."""
        return sum(seconds / 3600 * (prices.get(device.partition(":")[0]) or 0.0) for seconds, device in self._walls)

    def typical_s(self) -> float:
        """Median seconds of an attempt; 0 before the first."""
        seconds = sorted(seconds for seconds, _ in self._walls)
        return seconds[len(seconds) // 2] if seconds else 0.0
