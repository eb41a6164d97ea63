"""The one loop of the harness: propose, skip what is done, execute, persist, tell."""

import dataclasses
import signal
import threading
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from bench import store
from bench.agenda import Agenda
from bench.config import Config, FoldMethod, Task, flatten
from bench.data.holdout import Part
from bench.errors import StoreError
from bench.execute.local import LocalExecutor
from bench.forecast.precision import precision_lines
from bench.jobs import JobMaker
from bench.ledger import Ledger
from bench.measure.counters import usable_cpus
from bench.measure.environment import describe
from bench.readings import Environment
from bench.records import Job, RunResult, Status
from bench.schema import SCHEMA_VERSION
from bench.search.compose import Composed
from bench.search.journal import FILE_NAME, write_journal
from bench.search.objectives import parse_goal
from bench.training_plan import plan_lines

# No part of a trial's identity, but numbers found in different ways do not compare; a study holds to one.
_PROTOCOL = (
    *("score.normalizer", "measure.warmup", "measure.repeats", "search.racing", "search.holdout", "task"),
    *("finetune.folds.method", "finetune.folds.count", "finetune.folds.repeats", "finetune.folds.seed"),
    "finetune.folds.keep_speakers",
)


@dataclass(frozen=True)
class StudyResult:
    """What a start of a study did.

    Attributes:
        study_dir: The study's folder.
        planned: Runs the study consists of.
        executed: Runs executed by this start, repeated attempts included.
        unfinished: Runs without a result, by failure or because this start ended before them.
        exhausted: Those of them that have used up their attempts.
        skipped: Impossible points of the grid.
        interrupted: Whether Ctrl-C ended this start.
        out_of_budget: Which budget ended this start, as a sentence; null where none did.
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
    out_of_budget: str | None
    invalid: int
    reruns: int


class Listener(Protocol):
    """Is told how a study goes."""

    def planned(self, total: int, done: int, skipped: int) -> None:
        """Told once, before anything runs: the study's runs, those already done, and points set aside."""
        ...

    def noted(self, message: str) -> None:
        """Told of what is good to know before anything runs."""
        ...

    def warned(self, message: str) -> None:
        """Told of what may be a mistake and is run all the same."""
        ...

    def progressed(self, note: str) -> None:
        """Told now and then how far the run is that goes on, where it takes long."""
        ...

    def finished(self, result: RunResult, will_retry: bool) -> None:
        """Told after each run, once it is on disk, and whether it is going to be tried again."""
        ...


def run_study(study: Composed, command: str, listener: Listener) -> StudyResult:
    """Run what is missing of a study, and persist every run as it ends.

    A run that ends in an error or a timeout goes to the end of the queue and is tried again, up to
    ``executor.max_attempts``; an error the harness raised on purpose waits for the next start, since it would only
    repeat itself. A run whose timing is not valid goes there too, up to ``measure.rerun_invalid`` times.

    Args:
        study: The points, or where to look for them.
        command: The command line that asked for them, stored so that the study can be repeated.
        listener: Told how it goes.

    Raises:
        StoreError: Another process runs the study, or it holds results that do not go together with this request.
        DataError: A manifest cannot be used.
        ModelError: A model's files cannot be had.
        AssetError: A packaged model or recording cannot be had.
        ConfigError: A point to be tried first cannot be, or an objective cannot be measured here.
    """
    config = study.config
    # Whatever is wrong with the request shows here, before anything of it is on disk.
    maker = JobMaker(_sources(study))
    study_dir = Path(config.results.root) / config.study
    study_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(study_dir / ".lock", timeout=0):
            return _run_locked(study, maker, study_dir, command, listener)
    except Timeout:
        raise StoreError(
            f"another process is running the study in {study_dir}; wait for it, or choose another name with study=NAME"
        ) from None


def _run_locked(study: Composed, maker: JobMaker, study_dir: Path, command: str, listener: Listener) -> StudyResult:
    store.remove_leftovers(study_dir)
    ledger = Ledger(study_dir)
    _refuse_other_protocol(study_dir, ledger, study.config)
    agenda = Agenda(study, ledger, maker)
    environment = describe()
    store.write_study(study_dir, _description(study, command, environment, store.read_study(study_dir) or {}))
    if study.config.task is Task.finetune:
        store.write_folds(study_dir, _division(study, maker))
    _announce(study, maker, agenda, listener)
    _mirror(study, study_dir, ledger)
    executed, out_of_budget = 0, None
    with _interruptible() as interrupt:
        executor: LocalExecutor | None = None
        while not interrupt.is_set():
            # A search that its budget has ended is still to be judged.
            job = (None if out_of_budget else agenda.next()) or agenda.verdict_job()
            if job is None:
                break
            if (over := _over_budget(ledger, job)) is not None:
                out_of_budget = over
                if job.part == Part.holdout:
                    break
                continue
            if executor is None:  # a study that is done needs none
                executor = _ready(study_dir, environment, agenda.remaining(job), listener)
            result = agenda.ended(job, environment) or executor.execute(job, listener.progressed)
            row = ledger.write(result)
            _mirror(study, study_dir, ledger)
            agenda.refuse_unmeasured(row)
            executed += 1
            # What fails on purpose would only fail again.
            may_differ = result.retryable or result.status is Status.ok
            will_retry = may_differ and ledger.wants(job.run_id, job.config)
            if will_retry:
                agenda.again(job)
            listener.finished(result, will_retry)
    if agenda.exhausted:
        asked = study.config.search.trials
        listener.warned(f"every possible point of the space has been tried; search.trials={asked} asks for more")
    unfinished = [job for job in agenda.jobs if ledger.lacks_result(job.run_id)]
    stopped = interrupt.is_set() or out_of_budget is not None
    doubted = [job for job in agenda.jobs if not ledger.is_valid(job.run_id)]
    return StudyResult(
        study_dir=study_dir,
        planned=agenda.planned,
        executed=executed,
        unfinished=len(unfinished) + (agenda.planned - len(agenda.jobs) if stopped else 0),
        exhausted=sum(not ledger.wants(job.run_id, job.config) for job in unfinished),
        skipped=len(study.grid.skipped),
        interrupted=interrupt.is_set(),
        out_of_budget=out_of_budget,
        invalid=len(doubted),
        reruns=max((ledger.reruns(job.run_id) for job in doubted), default=0),
    )


def _ready(study_dir: Path, environment: Environment, jobs: Sequence[Job], listener: Listener) -> LocalExecutor:
    """Start what executes runs, and say what trainings will take before the first."""
    trains = bool(jobs[0].training)
    executor = LocalExecutor(study_dir / "logs", environment, trains)
    executor.warm_up()
    for line in plan_lines(jobs, executor) if trains else ():
        listener.noted(line)
    return executor


def _announce(study: Composed, maker: JobMaker, agenda: Agenda, listener: Listener) -> None:
    """Tell what is going to happen, and what is good to know before it does."""
    listener.planned(agenda.planned, agenda.done, len(study.grid.skipped))
    if agenda.done < agenda.planned:
        for line in precision_lines(_sources(study), maker) if study.config.task is Task.transcribe else ():
            listener.noted(line)
        for line in _of_the_data(study, maker):
            listener.noted(line)
    if warning := _oversubscription(agenda.jobs):
        listener.warned(warning)


def _of_the_data(study: Composed, maker: JobMaker) -> list[str]:
    """Say what there is to know of the data of a fine-tuning study."""
    told: dict[str, None] = {}
    for config in _sources(study):
        if config.task is Task.finetune:
            told |= dict.fromkeys(maker.sets(config).told)
            if config.finetune.folds.method is not FoldMethod.none:
                told |= dict.fromkeys(maker.folds(config).told)
    return list(told)


def _division(study: Composed, maker: JobMaker) -> list[dict[str, Any]]:
    """Describe how the training data of a study is divided, a row an utterance and repeat."""
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    for config in _sources(study):
        if config.finetune.folds.method is FoldMethod.none:
            continue
        data, folds = maker.sets(config).training, maker.folds(config)
        for fold in folds.folds:
            for place in fold.validation:
                name = data.utterances[place].utterance_id
                rows[data.fingerprint, name, fold.repeat] = {
                    "data.fingerprint": data.fingerprint,
                    "utterance_id": name,
                    "group": folds.groups[place],
                    "repeat": fold.repeat,
                    "fold": fold.number,
                }
    return list(rows.values())


def _sources(study: Composed) -> list[Config]:
    """List configurations with every model and data set that the study may run."""
    return [*study.grid.points, *(study.points.sources() if study.searches and study.points else ())]


def _mirror(study: Composed, study_dir: Path, ledger: Ledger) -> None:
    """Let people look at the study in optuna-dashboard."""
    search = study.config.search
    goal = parse_goal(search.objectives, search.constraints)
    write_journal(study_dir / FILE_NAME, study.config.study, ledger.rows(Part.search), goal, study.space)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """End the body at Ctrl-C, and remember it.

    The exception alone is not enough: raised inside a destructor or a callback of some library, it is printed and lost.
    """
    seen = threading.Event()

    def handle(number: int, frame: types.FrameType | None) -> None:
        seen.set()
        signal.default_int_handler(number, frame)

    # Whoever handles the signal in another way, or runs studies in a thread, keeps to that.
    ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, handle)
    try:
        yield seen
    except KeyboardInterrupt:
        seen.set()
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _over_budget(ledger: Ledger, job: Job) -> str | None:
    """Say which budget another run of the usual length would break; null where none would.

    Where data is kept aside, the time to judge on it is held back.
    """
    config, search = job.config, job.config.search
    prices = dict(flatten(config.measure.price_per_hour))
    spent_s, next_s = ledger.spent_s(), ledger.typical_s()
    if search.holdout and job.part == Part.search:
        next_s *= 2
    if search.budget_s is not None and spent_s + next_s > search.budget_s:
        return f"{spent_s:.0f} s of search.budget_s={search.budget_s:g} are spent, and {next_s:.0f} s come next"
    if search.budget_cost is not None:
        spent = ledger.spent_cost(prices)
        price = prices[config.device.partition(":")[0]] or 0.0
        if spent + next_s / 3600 * price > search.budget_cost:
            return f"{spent:.4g} of search.budget_cost={search.budget_cost:g} are spent, and {next_s:.0f} s come next"
    return None


def _oversubscription(jobs: Iterable[Job]) -> str | None:
    most = max((job.config.threads or 0 for job in jobs if job.config.device == "cpu"), default=0)
    usable = usable_cpus()
    if most <= usable:
        return None
    return f"threads={most} is more than the {usable:g} processors this process may use; they will wait for each other"


def _refuse_other_protocol(study_dir: Path, ledger: Ledger, config: Config) -> None:
    """Refuse to mix rows that were measured or scored in different ways.

    Raises:
        StoreError: The study's runs and this start differ; the message shows both values.
    """
    settings, defaults = dict(flatten(config)), dict(flatten(Config()))
    for name in _PROTOCOL:
        # Rows of older versions lack settings that came later, and were made as the defaults have it.
        before = {defaults[name] if value is None else value for value in ledger.values(name)}
        for value in before - {settings[name]}:
            raise StoreError(
                f"{study_dir} holds runs made with {name}={value}, this start asks for {settings[name]};"
                " choose another name with study=NAME, or ask for the same"
            )
    goal = str(parse_goal(config.search.objectives, config.search.constraints))
    for row in ledger.rows(Part.search):
        if row["status"] == Status.pruned and row["race_goal"] not in (None, goal):
            raise StoreError(
                f"{study_dir} holds runs that a race for {row['race_goal']} ended early, which one for {goal} might not"
                " have; choose another name with study=NAME, or give the same search.objectives and search.constraints"
            )


def _description(study: Composed, command: str, environment: Environment, before: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the latest start; the commands and the impossible points are those of all starts so far."""
    commands = [*(one for one in before.get("commands", []) if one != command), command]
    skipped = [dataclasses.asdict(point) for point in study.grid.skipped]
    space = study.space.described()
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.config.study,
        "command": command,
        "commands": commands,
        "space": space,
        "points": len(study.grid.points),
        "skipped": [*(one for one in before.get("skipped", []) if one not in skipped), *skipped],
        "config": {name: value for name, value in flatten(study.config) if name not in space},
        "environment": dataclasses.asdict(environment),
    }
