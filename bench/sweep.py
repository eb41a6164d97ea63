"""The one loop of the harness: propose, skip what is done, execute, persist, tell."""

import dataclasses
import signal
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench import store
from bench.agenda import Agenda
from bench.claim import Claim, claimed
from bench.compaction import ROLL_AT, compact
from bench.config import Config, FoldMethod, Task, flatten
from bench.damage import set_aside
from bench.data.holdout import Part
from bench.errors import StoreError
from bench.execute.executor import Executor, expect_runs, make_executor
from bench.execute.local import ENDING
from bench.jobs import JobMaker
from bench.ledger import Ledger
from bench.measure.environment import describe
from bench.notices import announce
from bench.readings import Environment
from bench.records import Job, RunResult, Status
from bench.rivals import goal_of_races
from bench.schema import SCHEMA_VERSION
from bench.search.compose import Composed
from bench.search.journal import FILE_NAME, Mirror
from bench.search.objectives import parse_goal
from bench.storage import Place, place, workspace
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
        interrupted: Whether Ctrl-C or another signal ended this start.
        out_of_budget: Which budget ended this start, as a sentence; null where none did.
        invalid: Runs with a result whose timing is not valid.
        reruns: How often any of those has been run again for that, over all starts.
    """

    study_dir: Place
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
    maker = JobMaker(study.sources())
    study_dir = place(config.results.root) / config.study
    with claimed(study_dir, "wait for it, or choose another name with study=NAME", told=listener.noted) as claim:
        return _run_claimed(study, maker, study_dir, claim, command, listener)


def _run_claimed(
    study: Composed, maker: JobMaker, study_dir: Place, claim: Claim, command: str, listener: Listener
) -> StudyResult:
    store.remove_leftovers(study_dir)
    ledger = _readable(study, study_dir, listener)
    _refuse_other_protocol(study_dir, ledger, study.config)
    agenda = Agenda(study, ledger, maker)
    environment = describe()
    store.write_study(study_dir, _description(study, command, environment, store.read_study(study_dir) or {}))
    if study.config.task is Task.finetune:
        store.write_folds(study_dir, _division(study, maker))
    listener.planned(agenda.planned, agenda.done, len(study.grid.skipped))
    announce(study, maker, agenda, listener)
    goal = parse_goal(study.config.search.objectives, study.config.search.constraints)
    journal = workspace(study_dir) / FILE_NAME
    mirror = Mirror(journal, study.config.study, lambda: ledger.rows(Part.search), goal, study.space)
    executed, out_of_budget = 0, None
    with _interruptible() as interrupt, ExitStack() as stack:
        crew = _Crew(workspace(study_dir) / "logs", environment, listener, stack)
        while not interrupt.is_set():
            job = _next_job(agenda, crew, out_of_budget)
            if job is not None and (over := _over_budget(ledger, job, crew.under_way)) is not None:
                out_of_budget = over
                if job.part == Part.holdout:
                    break
                continue
            if job is None and not crew.under_way:
                break
            result = crew.next() if job is None else agenda.ended(job, environment)
            if result is None:
                assert job is not None
                crew.start(job, agenda)
                continue
            claim.require()
            row = ledger.write(result)
            mirror.follow()
            agenda.take_note(result, row)
            executed += 1
            listener.finished(result, _is_tried_again(result, ledger, agenda))
            if ledger.unmerged >= ROLL_AT:  # between runs, so that where one runs at a time it disturbs none
                _compact(study_dir, ledger, listener)
    mirror.write()
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


def _readable(study: Composed, study_dir: Place, listener: Listener) -> Ledger:
    """Read what a study has on disk, and set aside what cannot be read; where runs may be lacking, expect them.

    Raises:
        StoreError: Something else is wrong with it.
    """
    for line in set_aside(study_dir):
        listener.warned(line)
    with suppress(StoreError):  # which reading will tell, or mend
        if study.searches or len(store.histories(study_dir)) < len(study.grid.candidates):
            expect_runs(study.config)
    try:
        return Ledger(study_dir)
    except StoreError:
        found = set_aside(study_dir, thorough=True)
        if not found:
            raise
        for line in found:
            listener.warned(line)
        return Ledger(study_dir)


class _Crew:
    """What executes the runs, from the first of them on: a study that is done needs none.

    Attributes:
        under_way: Runs that have been started and not ended.
    """

    def __init__(self, log_dir: Path, environment: Environment, listener: Listener, stack: ExitStack) -> None:
        self._log_dir = log_dir
        self._environment = environment
        self._listener = listener
        self._stack = stack
        self._executor: Executor | None = None
        self.under_way = 0

    @property
    def has_room(self) -> bool:
        """Whether another run may be started now."""
        return self._executor is None or self._executor.has_room

    def start(self, job: Job, agenda: Agenda) -> None:
        """Start a run; before the first that trains, say what all of them will take."""
        if self._executor is None:
            trains = bool(job.training)
            told = self._listener.progressed
            self._executor = make_executor(job.config, self._log_dir, self._environment, trains, told)
            self._stack.callback(self._executor.close)
            self._executor.warm_up()
            for line in plan_lines(agenda.remaining(job), self._executor) if trains else ():
                self._listener.noted(line)
        self._executor.start(job)
        self.under_way += 1

    def next(self) -> RunResult:
        """Wait for the next run that ends."""
        assert self._executor is not None
        result = self._executor.next()
        self.under_way -= 1
        return result


def _next_job(agenda: Agenda, crew: _Crew, out_of_budget: str | None) -> Job | None:
    """Choose the run to start now; null where there is none, or no room for it.

    A search that its budget has ended is still to be judged, once all of it has ended.
    """
    if not crew.has_room:
        return None
    job = None if out_of_budget else agenda.next()
    return job or (None if crew.under_way else agenda.verdict_job())


def _is_tried_again(result: RunResult, ledger: Ledger, agenda: Agenda) -> bool:
    """Put a run on the agenda once more where it is wanted; tells whether it is. What fails on purpose would again."""
    may_differ = result.retryable or result.status is Status.ok
    again = may_differ and ledger.wants(result.job.run_id, result.job.config)
    if again:
        agenda.again(result.job)
    return again


def _compact(study_dir: Place, ledger: Ledger, listener: Listener) -> None:
    """Merge the files of the runs so far; what cannot be merged keeps its file, and the study goes on."""
    try:
        left = compact(study_dir, listener.progressed).left
    except (StoreError, OSError) as error:
        left = (str(error),)
    for line in left:
        listener.warned(f"not merged: {line}")
    ledger.unmerged = 0


def _division(study: Composed, maker: JobMaker) -> list[dict[str, Any]]:
    """Describe how the training data of a study is divided, a row an utterance and repeat."""
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    for config in study.sources():
        if config.finetune.folds.method is FoldMethod.none:
            continue
        data, folds = maker.sets(config).training, maker.folds(config)
        for fold in folds.folds:
            for index in fold.validation:
                name = data.utterances[index].utterance_id
                rows[data.fingerprint, name, fold.repeat] = {
                    "data.fingerprint": data.fingerprint,
                    "utterance_id": name,
                    "group": folds.groups[index],
                    "repeat": fold.repeat,
                    "fold": fold.number,
                }
    return list(rows.values())


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """End the body at Ctrl-C, SIGTERM or SIGHUP, and remember it; a second of them kills the driver at once.

    The exception alone is not enough: raised inside a destructor or a callback of some library, it is printed and lost.
    A driver that is killed loses no more than one that is interrupted: every file is written whole or not at all, and a
    run's process leaves when its driver is gone.
    """
    seen = threading.Event()
    before: dict[int, Any] = {}

    def handle(number: int, frame: types.FrameType | None) -> None:
        seen.set()
        for one in before:
            signal.signal(one, signal.SIG_DFL)
        signal.default_int_handler(number, frame)

    # Whoever handles a signal in another way, ignores it, or runs studies in a thread, keeps to that.
    if threading.current_thread() is threading.main_thread():
        usual = (signal.default_int_handler, signal.SIG_DFL)
        before = {one: handler for one in ENDING if (handler := signal.getsignal(one)) in usual}
    for one in before:
        signal.signal(one, handle)
    try:
        yield seen
    except KeyboardInterrupt:
        seen.set()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _over_budget(ledger: Ledger, job: Job, under_way: int) -> str | None:
    """Say which budget another run of the usual length would break; null where none would.

    Where data is kept aside, the time to judge on it is held back. Runs that are under way are taken to be usual, too.
    """
    config, search = job.config, job.config.search
    if search.budget_s is None and search.budget_cost is None:
        return None
    prices = dict(flatten(config.measure.price_per_hour))
    spent_s, next_s = ledger.spent_s(), ledger.typical_s() * (1 + under_way)
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


def _refuse_other_protocol(study_dir: Place, ledger: Ledger, config: Config) -> None:
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
    goal = goal_of_races(config.search)
    for row in ledger.rows(Part.search):
        if row["status"] == Status.pruned and row["race_goal"] not in (None, goal):
            raise StoreError(
                f"{study_dir} holds runs that a race for {row['race_goal']} ended early, which one for {goal} might not"
                " have; choose another name with study=NAME, or give the same search.objectives, search.constraints and"
                " search.racing_margin"
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
