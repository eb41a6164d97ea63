"""Training with the chosen setting on all data, and judging what came of it: the command ``finetune-final``."""

import dataclasses
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import store
from bench.claim import claimed
from bench.config import FoldMethod, Task, Weights, flatten
from bench.errors import ConfigError, StoreError
from bench.execute.local import LocalExecutor
from bench.final.card import write_card
from bench.finetune.sets import require_test
from bench.jobs import JobMaker
from bench.ledger import Ledger
from bench.measure.environment import describe
from bench.records import Job, Status
from bench.report.crossvalidation import CrossValidation, Setting, cross_validated
from bench.report.judged import FOLDER, MODEL, Judged, judged
from bench.schema import SCHEMA_VERSION
from bench.search.compose import Composed, compose
from bench.search.points import Candidate
from bench.storage import Place, place, remove_all, workspace

Say = Callable[[str], None]
"""Takes a line for the user."""


@dataclass(frozen=True)
class Final:
    """What came of it.

    Attributes:
        setting: The setting that was chosen.
        outcome: The model as it was against the trained one.
    """

    setting: Setting
    outcome: Judged


def finetune_final(study_dir: Place, say: Say, again: bool = False) -> Final:
    """Train with the best setting of a study on all of its training data, and compare with the model as it was.

    The test data is used once: what was judged before is told again, and another setting is refused unless ``again``,
    since choosing by the test data would make it part of the training.

    Args:
        study_dir: The study's folder.
        say: Told what happens.
        again: Judge anew, with what is the best setting by now.

    Raises:
        StoreError: There is no such study, it has no setting with all folds, or was judged with another one.
        ConfigError: Nothing says what to judge on.
        BenchError: The data or the model cannot be had.
    """
    validation = cross_validated(study_dir)
    if validation is None or validation.best is None:
        raise StoreError(
            f"study {study_dir.name} has no setting that was trained in all of its folds, so none can be chosen; run"
            " it to its end first (with task=finetune)"
        )
    best, final_dir = validation.best, study_dir / FOLDER
    for line in chosen_lines(validation):
        say(line)
    study = _composed(study_dir)
    require_test(study.config)
    with claimed(study_dir, "wait for it"):
        _judge(study, best, final_dir, say, again)
    outcome = judged(study_dir)
    if outcome is None:
        raise StoreError(f"{final_dir} lacks a run that ended well; the reasons are in its runs, column status_reason")
    write_card(outcome, validation, study)
    for line in outcome.sentences:
        say(line)
    say(f"the model: {outcome.folder} (use it with model.name={outcome.folder})")
    return Final(best, outcome)


def chosen_lines(validation: CrossValidation) -> list[str]:
    """Say which setting is chosen, and which are as good as far as can be told."""
    best = validation.best
    assert best is not None
    assert best.mean is not None
    spread = f" ± {100 * best.spread:.1f}" if best.spread is not None else ""
    lines = [f"chosen: {best.label}, {100 * best.mean:.1f}{spread} % WER over {validation.folds} folds"]
    if validation.tied:
        lines.append(f"cannot be told from it: {'; '.join(one.label for one in validation.tied)}")
    return lines


def _composed(study_dir: Place) -> Composed:
    """Compose the study anew from its latest command."""
    description = store.read_study(study_dir) or {}
    try:
        arguments = shlex.split(str(description.get("command", "")))[2:]
    except ValueError as error:
        raise StoreError(
            f"the command in {study_dir / 'study.yaml'} cannot be read ({error}); start the study again"
        ) from None
    study = compose(arguments)
    if study is None or study.config.task is not Task.finetune:
        raise StoreError(f"study {study_dir.name} trains nothing; finetune-final is for studies with task=finetune")
    if study.config.model.weights is Weights.random:
        raise ConfigError(
            f"study {study_dir.name} begins with random weights, whose text means nothing, so there is nothing to"
            " compare with; train and judge in one run with finetune.folds.method=none and finetune.save=true"
        )
    if study.config.finetune.folds.method is FoldMethod.none:
        raise ConfigError(
            f"study {study_dir.name} has no folds: its runs are judged on the test data already; see its report"
        )
    if (place(study.config.results.root) / study.config.study).resolve() != study_dir.resolve():
        raise StoreError(
            f"study {study_dir.name} was run from another folder ({description['command']}); run finetune-final there"
        )
    return study


def _candidate(study: Composed, best: Setting) -> Candidate:
    if study.points is None:
        return study.grid.candidates[0]
    return study.points.candidate(dict(best.point))


def _judge(study: Composed, best: Setting, final_dir: Place, say: Say, again: bool) -> None:
    candidate = _candidate(study, best)
    maker = JobMaker([candidate.config])
    if maker.jobs(candidate)[0].trial_id != best.trial_id:
        raise StoreError(
            f"the data, the model or the settings of {study.config.study} have changed since {best.label} was trained;"
            " run the study again"
        )
    before, after = maker.test_jobs(candidate, workspace(final_dir).resolve() / MODEL)
    if again:  # nothing stands in the way of judging anew
        for folder in (final_dir, workspace(final_dir)):
            remove_all(folder)
    store.remove_leftovers(final_dir)
    ledger = Ledger(final_dir)
    _refuse_other_setting(final_dir, after)
    environment = describe()
    store.write_study(final_dir, _description(study, best, after))
    executor: LocalExecutor | None = None
    for job, what in ((before, "the model as it was"), (after, f"trained on {len(after.training)} utterances")):
        has_model = not job.training or Path(job.trained_model).is_dir()
        if not ledger.lacks_result(job.run_id) and has_model:
            continue
        say(f"judging {what} on {len(job.utterances)} utterances")
        if executor is None:
            executor = LocalExecutor(workspace(final_dir) / "logs", environment, trains=True)
            executor.warm_up()
        result = executor.execute(dataclasses.replace(job, attempt=ledger.next_attempt(job.run_id)))
        ledger.write(result)
        if result.status is not Status.ok:
            raise StoreError(f"{what}: {result.status}, {result.status_reason}; to try again: the same command")


def _refuse_other_setting(final_dir: Place, after: Job) -> None:
    known = store.read_study(final_dir)
    if known is None or known.get("chosen") == after.trial_id:
        return
    raise StoreError(
        f"{final_dir} holds the outcome of another setting ({known.get('label')}); judging one after the other on the"
        " same test data is choosing by it. To do so all the same, add --again, which deletes what is there"
    )


def _description(study: Composed, best: Setting, after: Job) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.config.study,
        "command": shlex.join(["asr-sweep", "finetune-final", study.config.study]),
        "chosen": after.trial_id,
        "label": best.label,
        "point": json.loads(after.point),
        "config": dict(flatten(after.config)),
    }
