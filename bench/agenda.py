"""What is still to be run, in which order: the runs of a grid, or trial by trial what a search proposes."""

import dataclasses
import hashlib
import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from omegaconf.errors import OmegaConfBaseException

from bench.config import AUTO, FoldMethod, OnOom, Task, flatten
from bench.data.holdout import Part
from bench.errors import ConfigError, StoreError
from bench.folds_race import FoldsRace
from bench.jobs import JobMaker
from bench.ledger import Ledger
from bench.metrics import RTFX, Metric
from bench.readings import Doubt, Environment
from bench.records import Job, RunResult, Status
from bench.rivals import Rivals
from bench.schema import SETTINGS
from bench.search.bisect import next_size
from bench.search.compose import Composed
from bench.search.objectives import deciding_time, parse_goal
from bench.search.points import Candidate, name_of
from bench.search.space import Point
from bench.search.trials import Outcome, Trial

if TYPE_CHECKING:
    from bench.search.adaptive import Proposer


class Agenda:
    """Hands out runs until nothing is left to run.

    A grid's replicates are interleaved: every trial has run once before any runs a second time, so that a drift of the
    machine favours no setting. The folds of a training follow each other, since what is sought is no time, and the
    first setting that has all of them is what the others are raced against. A search chooses its next point by all that
    has ended so far, and by which points are on their way.

    Args:
        study: What was asked for.
        ledger: What the study has on disk; whoever executes the runs keeps it up to date.
        maker: Makes candidates into runs.

    Attributes:
        exhausted: Whether a search has tried every point there is before its trials were used up.

    Raises:
        StoreError: The study holds a trial that would mean something else now.
        DataError: A manifest cannot be used.
        ModelError: A model's files cannot be had.
        AssetError: A packaged model or recording cannot be had.
    """

    def __init__(self, study: Composed, ledger: Ledger, maker: JobMaker) -> None:
        self._study = study
        self._search = study.config.search
        self._ledger = ledger
        self._maker = maker
        self._goal = parse_goal(self._search.objectives, self._search.constraints)
        self._proposer = self._make_proposer() if study.searches else None
        self._rivals = Rivals(self._goal, ledger)
        self._folds_race = FoldsRace(ledger, maker)
        self._jobs: dict[str, Job] = {}
        self._under_way: dict[str, Job] = {}
        self._ids: dict[str, str | None] = {}
        self.exhausted = False
        if self._proposer is None:
            runs = [job for candidate in study.grid.candidates for job in maker.jobs(candidate)]
            first = {job.run_id: job for job in reversed(runs)}
            ahead = {name: place for place, name in enumerate(dict.fromkeys(map(name_of, study.enqueued)))}
            self._queue = self._wanted(sorted(first.values(), key=lambda job: _order(job, ahead)))
        else:
            self._queue = self._wanted(self._begun())

    @property
    def planned(self) -> int:
        """Runs the study consists of, as far as that is known: that which judges the chosen setting comes last."""
        trials = 0 if self._proposer is None else self._search.trials * self._runs_of_a_trial
        searching = sum(job.part == Part.search for job in self._jobs.values())
        return max(searching, trials) + bool(self._search.holdout)

    @property
    def _runs_of_a_trial(self) -> int:
        config = self._study.config
        if config.task is not Task.finetune:
            return config.measure.replicates
        return 1 if config.finetune.folds.method is FoldMethod.none else len(self._maker.folds(config).folds)

    @property
    def jobs(self) -> list[Job]:
        """All runs so far, done or not."""
        return list(self._jobs.values())

    @property
    def done(self) -> int:
        """Those of them that need not be run."""
        verdict = self._verdict()
        runs = [*self._jobs.values(), *([] if verdict is None else [verdict])]
        return sum(not self._ledger.wants(job.run_id, job.config) for job in runs)

    def next(self) -> Job | None:
        """Take the next run, with its trial's number and its attempt.

        Returns:
            The run; null where nothing is left, or nothing more as long as no run that is under way has ended.

        Raises:
            ConfigError: No point of a search's space can be run.
        """
        while True:
            if self._queue and not (self._search.racing and self._ledger.is_pruned(self._queue[0].trial_id)):
                break
            if self._queue:  # a replicate of what has lost
                del self._jobs[self._queue.popleft().run_id]
                continue
            following = self._next_trial()
            if following is None:
                return None
            self._queue.extend(self._wanted(self._maker.jobs(following)))
        job = self._queue.popleft()
        self._under_way[job.run_id] = job
        return dataclasses.replace(
            job,
            number=self._ledger.number(job.trial_id),
            attempt=self._ledger.next_attempt(job.run_id),
            race=self._rivals.race(job) if self._races_within_runs and job.part == Part.search else None,
        )

    @property
    def _races_within_runs(self) -> bool:
        return self._search.racing and self._study.config.task is Task.transcribe

    def ended(self, job: Job, environment: Environment) -> RunResult | None:
        """End the next run before it begins, where its setting has lost already; null where it is to be run."""
        if not self._search.racing or job.config.task is not Task.finetune:
            return None
        return self._folds_race.ended(job, self.jobs, environment)

    def remaining(self, job: Job) -> list[Job]:
        """List a run, and those that are known to follow it."""
        return [job, *self._queue]

    def again(self, job: Job) -> None:
        """Put a run at the end, to be tried once more."""
        self._queue.append(job)

    def take_note(self, result: RunResult, row: Mapping[str, Any]) -> None:
        """Take note that a run has ended, and end a search for what is not measured, rather than let it wander.

        Args:
            result: The run.
            row: Its row, which is on disk.

        Raises:
            ConfigError: A run ended well and has no value for an objective or constraint, or one that means nothing.
        """
        self._under_way.pop(result.job.run_id, None)
        doubts = {finding.doubt for finding in result.certificate.findings} if result.certificate else set()
        if Doubt.shared in doubts and (timed := deciding_time(self._search)):
            raise ConfigError(
                f"{timed} decides how this study goes on, and of runs that share a node no timing is valid; give each"
                " all of a node's processors by threads, or use executor.workers=1, or 'search.objectives=[wer]'"
            )
        if self._proposer is None or row["status"] != Status.ok:
            return
        for metric in self._goal.metrics:
            if row.get(metric.column) is None:
                why = row.get("energy_missing") if metric.column.startswith("energy") else None
                raise ConfigError(
                    f"runs here have no {metric.column}{f' ({why})' if why else ''}, which search.objectives or"
                    " search.constraints name; choose other metrics"
                )

    def verdict_job(self) -> Job | None:
        """Make the run that judges the chosen setting on the data kept aside; null where none is, or it has been."""
        job = self._verdict()
        if job is None:
            return None
        self._jobs[job.run_id] = job
        if not self._ledger.wants(job.run_id, job.config):
            return None
        return dataclasses.replace(job, attempt=self._ledger.next_attempt(job.run_id))

    def _verdict(self) -> Job | None:
        chosen = self._chosen() if self._search.holdout else None
        if chosen is None:
            return None
        return dataclasses.replace(
            self._maker.jobs(self._candidate(chosen.point), Part.holdout)[0], number=chosen.number
        )

    def _make_proposer(self) -> "Proposer":
        from bench.search.adaptive import Proposer  # Optuna takes a second to import, which a grid need not pay

        study = self._study
        assert study.points is not None
        return Proposer(study.space, study.points, self._goal, self._search.sampler, study.config.seed, study.enqueued)

    def _wanted(self, jobs: Iterable[Job]) -> deque[Job]:
        jobs = list(jobs)
        self._jobs.update((job.run_id, job) for job in jobs)
        return deque(job for job in jobs if self._ledger.wants(job.run_id, job.config))

    def _next_trial(self) -> Candidate | None:
        """Choose what follows once the queue is empty: what a run out of memory asks for, then a search."""
        points = self._study.points
        if points is None or (self._proposer is None and self._search.oom is not OnOom.bisect):
            return None  # summing trials up takes milliseconds each
        trials = self._trials()
        ended = {trial.trial_id for trial in trials}
        running = {job.trial_id: job.point for job in self._under_way.values() if job.trial_id not in ended}
        smaller = next_size(trials, points) if self._search.oom is OnOom.bisect else None
        if smaller is not None and name_of(smaller.point) not in running.values():
            return smaller
        if self._proposer is None or len(trials) + len(running) >= self._search.trials:
            return None
        proposed = self._proposer.propose(trials, self._is_known, [json.loads(point) for point in running.values()])
        self.exhausted = proposed is None
        if proposed is None and not running and not self._ledger.rows(Part.search):
            raise ConfigError("no point of this space can run; widen it, or mend what contradicts itself")
        return proposed

    def _trials(self, metrics: Iterable[Metric] | None = None) -> list[Trial]:
        """Sum up the trials that mean at this start what they meant when they ran."""
        return [trial for trial in self._placed(metrics) if self._id_of(trial.point) == trial.trial_id]

    def _placed(self, metrics: Iterable[Metric] | None = None) -> list[Trial]:
        """Sum up the trials whose points can be read in this space; what varies only now is filled in."""
        trials = self._ledger.trials(Part.search, metrics or self._goal.metrics)
        points = self._study.points
        if points is None:
            return trials
        return [self._completed(trial) for trial in trials if points.knows(trial.point)]

    def _completed(self, trial: Trial) -> Trial:
        missing = [name for name in self._study.space.names if name not in trial.point and name in SETTINGS]
        if not missing or self._study.points is None:
            return trial
        row = self._ledger.settings(trial.trial_id)
        further = {name: row[name] for name in missing if row[name] is not None}
        return dataclasses.replace(trial, point=self._study.points.active({**trial.point, **further}))

    def _is_known(self, candidate: Candidate) -> bool:
        trial_id = self._maker.jobs(candidate)[0].trial_id
        return self._ledger.knows(trial_id) or any(job.trial_id == trial_id for job in self._under_way.values())

    def _id_of(self, point: Point) -> str | None:
        """Name the trial that a point stands for now; null where none can be."""
        name = name_of(point)
        if name not in self._ids:
            try:
                self._ids[name] = self._maker.jobs(self._candidate(point))[0].trial_id
            except (ConfigError, OmegaConfBaseException):  # a value that no longer suits its setting
                self._ids[name] = None
        return self._ids[name]

    def _begun(self) -> list[Job]:
        """List the runs of the trials on disk, and make sure that each still means what it did.

        Raises:
            StoreError: One would not; the message shows what has changed.
        """
        begun: list[Job] = []
        for trial in self._placed():
            jobs = self._maker.jobs(self._candidate(trial.point))
            if jobs[0].trial_id != trial.trial_id:
                changed = _difference(self._ledger.settings(trial.trial_id), jobs[0])
                raise StoreError(
                    f"study={self._study.config.study} holds trials made with {changed}; a search goes on from its"
                    " trials, so choose another name with study=NAME, or ask for the same"
                )
            begun += jobs
        return begun

    def _candidate(self, point: Point) -> Candidate:
        points = self._study.points
        return self._study.grid.candidates[0] if points is None else points.candidate(point)

    def _chosen(self) -> Trial | None:
        """Choose the setting that is best by the first objective, of those that keep the constraints.

        Of equals the next objective decides, and at last speed, as in the report.
        """
        trials = self._trials([*self._goal.metrics, RTFX])
        good = [trial for trial in trials if trial.outcome is Outcome.ok and self._goal.keeps(trial.values)]
        order = [(1 if metric.smaller_is_better else -1, metric.column) for metric in (*self._goal.objectives, RTFX)]
        return min(good, key=lambda trial: [sign * trial.values[column] for sign, column in order], default=None)


def _order(job: Job, ahead: Mapping[str, int]) -> tuple[int, int, str, int]:
    """Shuffle the trials anew for each replicate, those to try first ahead; other trials change no trial's place."""
    trains = job.config.task is Task.finetune
    first = 0 if trains else job.replicate
    shuffled = hashlib.sha256(f"{job.config.seed}:{first}:{job.trial_id}".encode()).hexdigest()
    return first, ahead.get(job.point, len(ahead)), shuffled, job.replicate


def _difference(row: Mapping[str, Any], job: Job) -> str:
    """Say which settings, data or model of a stored run differ from those of a new one at the same point."""
    now = dict(flatten(job.config)) | {
        "data.fingerprint": job.data_fingerprint,
        "model.fingerprint": job.model_fingerprint,
    }
    names = [
        name
        for name in (*SETTINGS, "data.fingerprint", "model.fingerprint")
        if name.startswith(("model.", "decode.", "finetune.", "data.fingerprint"))
        or name in ("device", "engine", "threads", "seed")
    ]
    # A batch size that runs find by themselves is stored as null.
    changed = [name for name in names if row[name] != (None if now[name] == AUTO else now[name])]
    return "; ".join(f"{name}={row[name]}, now {now[name]}" for name in changed) or "other data or another model"
