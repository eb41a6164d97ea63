"""The one loop of the harness: propose, skip what is done, execute, persist, tell."""

import dataclasses
import hashlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from bench import store
from bench.assets.models import locate
from bench.attempts import UNFINISHED, Attempt, History
from bench.config import Config, DataConfig, Engine, flatten
from bench.data.dataset import DataSet, load_dataset
from bench.errors import StoreError
from bench.execute.local import LocalExecutor
from bench.measure.counters import usable_cpus
from bench.measure.environment import describe
from bench.readings import Environment
from bench.records import Job, RunResult, Status
from bench.schema import SCHEMA_VERSION
from bench.search.compose import Composed

# Data and models are identified by what they hold, not by where they lie; max_window_s only guards impossible points.
_IDENTITY_PREFIXES = ("model.", "decode.")
_IDENTITY_NAMES = ("device", "engine", "threads", "seed")
_NOT_IDENTITY = {"model.name", "model.max_window_s"}

# No part of a trial's identity, but numbers found in different ways do not compare; a study holds to one.
_PROTOCOL = ("score.normalizer", "measure.warmup", "measure.repeats")


@dataclass(frozen=True)
class StudyResult:
    """What a start of a study did.

    Attributes:
        study_dir: The study's folder.
        planned: Runs the study consists of.
        executed: Runs executed by this start, repeated attempts included.
        unfinished: Runs without a result, by failure or because this start was interrupted.
        exhausted: Those of them that have used up their attempts.
        skipped: Impossible points of the grid.
        interrupted: Whether Ctrl-C ended this start.
        invalid: Runs with a result whose timing is not valid.
        reruns: How often any of those has been run again for that, over all starts.
    """

    study_dir: Path
    planned: int
    executed: int
    unfinished: int
    exhausted: int
    skipped: int
    interrupted: bool
    invalid: int
    reruns: int


class Listener(Protocol):
    """Is told how a study goes."""

    def planned(self, total: int, done: int, skipped: int) -> None:
        """Told once, before anything runs: the study's runs, those already done, and points set aside."""
        ...

    def warned(self, message: str) -> None:
        """Told of what may be a mistake and is run all the same."""
        ...

    def finished(self, result: RunResult, will_retry: bool) -> None:
        """Told after each run, once it is on disk, and whether it is going to be tried again."""
        ...


def trial_id(config: Config, model: str, data: str) -> str:
    """Name a trial by what determines its result.

    Args:
        config: The settings.
        model: Fingerprint of the model's files; its name where it has none.
        data: Fingerprint of the data.
    """
    identity = {
        name: value
        for name, value in flatten(config)
        if (name in _IDENTITY_NAMES or name.startswith(_IDENTITY_PREFIXES)) and name not in _NOT_IDENTITY
    }
    canonical = json.dumps({**identity, "model": model, "data": data}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def run_study(study: Composed, command: str, listener: Listener) -> StudyResult:
    """Run what is missing of a study, in a seeded random order, and persist every run as it ends.

    Replicates are interleaved: every trial has run once before any runs a second time, so that a drift of the machine
    favours no setting. A run that ends in an error or a timeout goes to the end of the queue and is tried again, up to
    ``executor.max_attempts``; an error the harness raised on purpose waits for the next start, since it would only
    repeat itself. A run whose timing is not valid goes there too, up to ``measure.rerun_invalid`` times.

    Args:
        study: The points.
        command: The command line that asked for them, stored so that the study can be repeated.
        listener: Told how it goes.

    Raises:
        StoreError: Another process runs the study, or it holds results that do not go together with this request.
        DataError: A manifest cannot be used.
        ModelError: A model's files cannot be had.
        AssetError: A packaged model or recording cannot be had.
    """
    config = study.config
    # Whatever is wrong with the request shows here, before anything of it is on disk.
    jobs = _plan(study)
    study_dir = Path(config.results.root) / config.study
    study_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(study_dir / ".lock", timeout=0):
            return _run_locked(study, jobs, study_dir, command, listener)
    except Timeout:
        raise StoreError(
            f"another process is running the study in {study_dir}; wait for it, or choose another name with study=NAME"
        ) from None


def _run_locked(study: Composed, jobs: Sequence[Job], study_dir: Path, command: str, listener: Listener) -> StudyResult:
    config = study.config
    store.remove_leftovers(study_dir)
    _refuse_other_protocol(study_dir, config)
    histories = store.histories(study_dir)
    invalid = store.invalid_runs(study_dir)
    queue = deque(job for job in jobs if _is_wanted(histories.get(job.run_id), job.run_id in invalid, config))
    environment = describe()
    store.write_study(study_dir, _description(study, command, environment, store.read_study(study_dir) or {}))
    listener.planned(len(jobs), len(jobs) - len(queue), len(study.grid.skipped))
    if warning := _oversubscription(jobs):
        listener.warned(warning)

    executed, interrupted = 0, False
    if queue:
        executor = LocalExecutor(study_dir / "logs", environment)
        try:
            executor.warm_up()
            while queue:
                job = queue.popleft()
                job = dataclasses.replace(job, attempt=_next_attempt(histories.get(job.run_id)))
                result = executor.execute(job)
                store.write_run(study_dir, result)
                executed += 1
                history = _extended(histories.get(job.run_id), Attempt(job.run_id, job.attempt, result.status))
                histories[job.run_id] = history
                if result.certificate is not None:
                    (invalid.discard if result.certificate.valid else invalid.add)(job.run_id)
                # What fails on purpose would only fail again.
                may_differ = result.retryable or result.status is Status.ok
                will_retry = may_differ and _is_wanted(history, job.run_id in invalid, config)
                if will_retry:
                    queue.append(job)
                listener.finished(result, will_retry)
        except KeyboardInterrupt:
            interrupted = True
    unfinished = [job for job in jobs if _lacks_result(histories.get(job.run_id))]
    exhausted = [job for job in unfinished if not _is_wanted(histories.get(job.run_id), False, config)]
    return StudyResult(
        study_dir=study_dir,
        planned=len(jobs),
        executed=executed,
        unfinished=len(unfinished),
        exhausted=len(exhausted),
        skipped=len(study.grid.skipped),
        interrupted=interrupted,
        invalid=len(doubted := [job for job in jobs if job.run_id in invalid]),
        reruns=max((histories[job.run_id].reruns for job in doubted), default=0),
    )


def _plan(study: Composed) -> list[Job]:
    """List every run of the study once, in the order they are to run, with data and model at hand."""
    datasets: dict[DataConfig, DataSet] = {}
    models = {
        (name, weights): locate(name, weights)
        for name, weights in {
            (config.model.name, config.model.weights)
            for config in study.grid.points
            if config.engine is not Engine.fake
        }
    }
    jobs: dict[str, Job] = {}
    for config in study.grid.points:
        if config.data not in datasets:
            datasets[config.data] = load_dataset(config.data)
        data, model = datasets[config.data], models.get((config.model.name, config.model.weights))
        for replicate in range(config.measure.replicates):
            job = Job(
                study=config.study,
                trial_id=trial_id(config, model.fingerprint if model else config.model.name, data.fingerprint),
                replicate=replicate,
                attempt=0,
                config=config,
                model_path=str(model.folder) if model else "",
                model_fingerprint=model.fingerprint if model else None,
                utterances=data.utterances,
                data_name=data.name,
                data_fingerprint=data.fingerprint,
            )
            jobs.setdefault(job.run_id, job)
    return sorted(jobs.values(), key=_order)


def _oversubscription(jobs: Sequence[Job]) -> str | None:
    most = max((job.config.threads or 0 for job in jobs if job.config.device == "cpu"), default=0)
    usable = usable_cpus()
    if most <= usable:
        return None
    return f"threads={most} is more than the {usable:g} processors this process may use; they will wait for each other"


def _order(job: Job) -> tuple[int, str]:
    """Shuffle the trials anew for each replicate; a trial's place depends on no other trial's presence."""
    shuffled = hashlib.sha256(f"{job.config.seed}:{job.replicate}:{job.trial_id}".encode()).hexdigest()
    return job.replicate, shuffled


def _is_wanted(history: History | None, invalid: bool, config: Config) -> bool:
    """Tell whether a run is to be executed: it lacks a result, or a valid timing, and has attempts left."""
    if history is None:
        return True
    if history.standing.status in UNFINISHED:
        return history.last < config.executor.max_attempts
    return invalid and history.reruns < config.measure.rerun_invalid


def _lacks_result(history: History | None) -> bool:
    return history is None or history.standing.status in UNFINISHED


def _next_attempt(history: History | None) -> int:
    return 1 if history is None else history.last + 1


def _extended(history: History | None, attempt: Attempt) -> History:
    return History((attempt,)) if history is None else history.then(attempt)


def _refuse_other_protocol(study_dir: Path, config: Config) -> None:
    """Refuse to mix rows that were measured or scored in different ways.

    Raises:
        StoreError: The study's runs and this start differ; the message shows both values.
    """
    before = store.any_run(study_dir)
    if before is None:
        return
    settings = dict(flatten(config))
    for name in _PROTOCOL:
        if before[name] != settings[name]:
            raise StoreError(
                f"{study_dir} holds runs made with {name}={before[name]}, this start asks for {settings[name]};"
                " choose another name with study=NAME, or ask for the same"
            )


def _description(study: Composed, command: str, environment: Environment, before: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the latest start; the commands and the impossible points are those of all starts so far."""
    commands = [*(one for one in before.get("commands", []) if one != command), command]
    skipped = [dataclasses.asdict(point) for point in study.grid.skipped]
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.config.study,
        "command": command,
        "commands": commands,
        "space": dict(study.space),
        "points": len(study.grid.points),
        "skipped": [*(one for one in before.get("skipped", []) if one not in skipped), *skipped],
        "config": {name: value for name, value in flatten(study.config) if name not in study.space},
        "environment": dataclasses.asdict(environment),
    }
