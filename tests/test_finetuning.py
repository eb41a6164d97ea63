"""Fine-tuning through the command line: folds, going on after a kill, ending what has lost, and judging once."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModelForCTC

from bench import store
from bench.__main__ import main
from bench.config import Config, DataConfig, DataSource, FoldsConfig, SearchConfig, Weights
from bench.finetune.model import Learner
from bench.folds_race import FoldsRace
from bench.jobs import JobMaker, trial_id
from bench.ledger import Ledger
from bench.records import Job, RunResult, Status, WordCounts
from bench.report.crossvalidation import cross_validated
from bench.search.points import Candidate
from tests.finetune import tiny
from tests.report import builder

Study = tuple[Path, list[str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CTC model with weights, that writes nothing yet."""
    shape, folder = tmp_path_factory.mktemp("shape"), tmp_path_factory.mktemp("model")
    Learner(tiny.settings(), str(tiny.save_architecture(shape))).save(folder)
    return folder


@pytest.fixture(scope="module")
def settings(model: Path) -> list[str]:
    """Overrides of a study named "s": nine made-up sentences in three folds, and three more to judge on."""
    return [
        *("study=s", "task=finetune", "model=wav2vec2", f"model.name={model}", "data=synthetic", "threads=1"),
        *("data.synthetic.sentences=9", "data.allow_leaks=[speaker]", "decode.stride_length_s=0", "measure.warmup=0"),
        *("finetune.max_steps=2", "finetune.batch_size=4", "finetune.evaluations=1", "search.objectives=[wer]"),
        *("finetune.memory.device_batch_size=4", "finetune.memory.precision=float32", "measure.sample_hz=1"),
        *("finetune.test.split=test", "finetune.test.limit=3"),
    ]


RATES = "finetune.learning_rate=1e-3,1e-4,1e30"


@pytest.fixture(scope="module")
def study(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The folder that a grid of three learning rates was run in, the last of which diverges, and its arguments."""
    folder, arguments = tmp_path_factory.mktemp("study"), ["run", "-m", *settings, RATES]
    with contextlib.chdir(folder):
        assert main(arguments) == 1  # three of nine have failed
    return folder, arguments


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_every_fold_is_a_run_of_its_own(study: Study) -> None:
    results = study[0] / "results" / "s"
    runs = store.load_runs(results)
    assert len(runs) == 9
    for rate, group in runs.groupby("finetune.learning_rate"):
        assert group["trial_id"].nunique() == 1
        assert sorted(zip(group["repeat"], group["fold"], group["replicate"], strict=True)) == [
            (0, 0, 0), (0, 1, 1), (0, 2, 2),
        ]  # fmt: skip
        assert set(group["status"]) == {"error" if rate == 1e30 else "ok"}
    good = runs[runs["status"] == "ok"]
    assert set(good["train.utterances"] + good["utterances"]) == {9}
    assert set(good["train.steps"]) == {2}
    assert list((results / "models").glob("*")) == []


def test_a_fold_that_diverges_says_so_and_the_others_go_on(study: Study) -> None:
    runs = store.load_runs(study[0] / "results" / "s")
    failed = runs[runs["status"] == "error"]
    assert set(failed["finetune.learning_rate"]) == {1e30}
    assert set(failed["attempt"]) == {1}, "it would only diverge again"
    assert all("use a" in reason and "learning rate" in reason for reason in failed["status_reason"])
    assert (runs["status"] == "ok").sum() == 6


def test_who_was_where_is_on_disk_and_nobody_is_on_both_sides(study: Study) -> None:
    results = study[0] / "results" / "s"
    folds, runs = store.load_folds(results), store.load_runs(results)
    assert len(folds) == 9
    assert folds["utterance_id"].is_unique
    assert sorted(folds["fold"].unique()) == [0, 1, 2]
    utterances = store.load_utterances(results).merge(runs[["run_id", "fold"]], on="run_id")
    fold_of = folds.set_index("utterance_id")["fold"]
    assert set(utterances["utterance_id"]) == set(folds["utterance_id"])
    # What a run transcribed is its own fold, and so none of what it was trained on.
    assert (utterances["utterance_id"].map(fold_of) == utterances["fold"]).all()
    sizes = fold_of.value_counts()
    for row in runs[runs["status"] == "ok"].to_dict("records"):
        assert row["utterances"] == sizes[row["fold"]]
        assert row["train.utterances"] == 9 - sizes[row["fold"]]


def test_curves_are_kept_by_fold(study: Study) -> None:
    results = study[0] / "results" / "s"
    curves, runs = store.load_curves(results), store.load_runs(results)
    good = runs[runs["status"] == "ok"].set_index("run_id")
    assert set(curves["run_id"]) == set(good.index)
    for run_id, curve in curves.groupby("run_id"):
        run = good[good.index == run_id].iloc[0]
        assert set(curve["fold"]) == {run["fold"]}
        losses = curve[curve["loss"].notna()]
        assert list(losses["step"]) == [1, 2]
        (last,) = curve[curve["wer"].notna()].to_dict("records")
        assert (last["step"], last["wer"]) == (2, run["wer"])


def test_a_second_start_trains_nothing(study: Study) -> None:
    results = study[0] / "results" / "s"
    before = files(results / "runs")
    # What failed on purpose has two attempts left; with one there is nothing to do.
    with contextlib.chdir(study[0]):
        main([*study[1], "executor.max_attempts=1"])
    assert files(results / "runs") == before


def test_a_setting_that_lacks_folds_is_not_chosen(study: Study) -> None:
    found = cross_validated(study[0] / "results" / "s")
    assert found is not None
    assert found.folds == 3
    assert [one.is_complete for one in found.settings] == [True, True, False]


def test_a_study_that_was_interrupted_has_no_complete_setting(study: Study, tmp_path: Path) -> None:
    results = tmp_path / "results" / "s"
    shutil.copytree(study[0] / "results" / "s", results)
    for path in (results / "runs").glob("*-2.*"):  # the last fold of each setting
        path.unlink()
    found = cross_validated(results)
    assert found is not None
    assert found.best is None
    assert found.folds == 3


@pytest.mark.slow
def test_after_a_kill_only_what_is_missing_is_trained(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "-m", *settings, "finetune.learning_rate=1e-3,3e-4,1e-4", "finetune.max_steps=1"]
    driver = subprocess.Popen([sys.executable, "-m", "bench", *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"})
    runs = tmp_path / "results" / "s" / "runs"
    try:
        until = time.monotonic() + 250
        while not runs.is_dir() or len(list(runs.glob("[!.]*.parquet"))) < 7:  # two settings, and a fold of the third
            assert driver.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    finished = files(runs)
    before = store.load_runs(tmp_path / "results" / "s")
    assert 7 <= len(before) < 9
    assert main(arguments) == 0
    after = store.load_runs(tmp_path / "results" / "s")
    assert len(after) == 9
    assert {name: stamp for name, stamp in files(runs).items() if name in finished} == finished
    kept = after[after["run_id"].isin(before["run_id"])]
    pd.testing.assert_frame_equal(
        kept[["run_id", "attempt", "started_at", "wer"]].reset_index(drop=True),
        before[["run_id", "attempt", "started_at", "wer"]],
    )
    assert list((tmp_path / "results" / "s" / "models").glob("*")) == []


def test_models_are_kept_where_that_is_asked_for(settings: list[str], tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        assert main(["run", *settings, "finetune.save=true", "finetune.max_steps=1"]) == 0
    runs = store.load_runs(tmp_path / "results" / "s")
    kept = {path.name for path in (tmp_path / "results" / "s" / "models").iterdir()}
    assert kept == set(runs["run_id"])
    assert len(kept) == 3


# Racing, with records written by hand, the real division of real files, and the real ledger.

Raced = Callable[..., RunResult | None]


@pytest.fixture
def raced(model: Path, encode: Callable[..., Path], tmp_path: Path) -> Raced:
    """Make `raced(good, bad, folds)`: what becomes of the next fold of a setting that has `bad` errors in each of 30.

    The other setting has all folds, with `good` errors in each utterance. `folds` are those that the worse one has.
    """
    rows, random = ["path,text"], np.random.default_rng(0)
    for number in range(30):
        encode(tmp_path / f"{number}.wav", random.integers(-9_000, 9_000, 8_000, np.int16), 8_000)
        rows.append(f"{number}.wav,{' '.join(f'w{number}x{word}' for word in range(10))}")
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    base = tiny.settings(Weights.pretrained, folds=FoldsConfig(count=5, keep_speakers=False))
    base = dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, name=str(model)),
        data=DataConfig(source=DataSource.manifest, path=str(tmp_path / "data.csv")),
        search=SearchConfig(racing=True, objectives=["wer"]),
    )

    def race(good: Sequence[int], bad: Sequence[int], folds: Sequence[int]) -> RunResult | None:
        other = dataclasses.replace(base, finetune=dataclasses.replace(base.finetune, learning_rate=1e-9))
        maker = JobMaker([base, other])
        best, worse = (maker.jobs(Candidate({}, config)) for config in (base, other))
        ledger = Ledger(tmp_path / "study")
        for job, errors in [*((job, good) for job in best), *((worse[fold], bad) for fold in folds)]:
            ledger.number(job.trial_id)
            ledger.write(result(job, errors))
        following = worse[len(folds)] if list(folds) == list(range(len(folds))) else worse[max(folds) + 1]
        return FoldsRace(ledger, maker).ended(following, [*best, *worse], builder.MACHINE)

    return race


def result(job: Job, errors: Sequence[int]) -> RunResult:
    """A run of a fold, with the errors of utterances in their order in the data, as substituted words."""
    scored = []
    for item in job.utterances:
        wrong = errors[int(Path(item.path).stem)]
        words = item.text.split()
        said = " ".join([*(["other"] * wrong), *words[wrong:]])
        counts = WordCounts(substitutions=wrong, hits=len(words) - wrong)
        scored.append(dataclasses.replace(builder.utterance_result(0), utterance=item, hypothesis=said, counts=counts))
    made = builder.run(job.trial_id, job.config, replicate=job.replicate, utterances=scored)
    return dataclasses.replace(made, job=dataclasses.replace(job, attempt=1))


def test_a_hopeless_setting_is_ended_after_some_folds(raced: Raced) -> None:
    ended = raced(good=[1] * 30, bad=[10] * 30, folds=[0])
    assert ended is not None
    assert ended.status is Status.pruned
    assert ended.status_reason == "worse than trial 0 beyond doubt after 1 of 5 folds (search.racing)"
    assert (ended.job.replicate, ended.outcome, ended.wall_s) == (1, None, 0.0)


@pytest.mark.parametrize("folds", [[0], [0, 1, 2, 3]])
def test_a_setting_that_is_as_good_or_better_never_is(raced: Raced, folds: list[int]) -> None:
    assert raced(good=[3] * 30, bad=[3] * 30, folds=folds) is None


def test_a_better_setting_goes_on(raced: Raced) -> None:
    assert raced(good=[5] * 30, bad=[1] * 30, folds=[0, 1]) is None


def test_nothing_is_ended_before_its_first_fold(raced: Raced) -> None:
    assert raced(good=[0] * 30, bad=[10] * 30, folds=[]) is None


def test_the_same_utterances_are_compared_where_a_fold_is_missing(raced: Raced) -> None:
    # Both settings have the same errors, which differ much from one utterance to the next. Compared with others than
    # its own, the second one, which lacks folds, would look much worse or better.
    uneven = [9 if number % 2 else 0 for number in range(30)]
    assert raced(good=uneven, bad=uneven, folds=[1, 3]) is None


# The end: the model as it was and as it became.


@pytest.fixture
def at_the_end(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the study, in the working folder; returns its results."""
    shutil.copytree(study[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results" / "s"


def test_the_chosen_setting_is_judged_once(
    at_the_end: Path, settings: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune-final", "s"]) == 0
    said = capfd.readouterr().out
    final = at_the_end / "final"
    runs, utterances = store.load_runs(final), store.load_utterances(final)
    assert sorted(zip(runs["task"], runs["status"], strict=True)) == [("finetune", "ok"), ("transcribe", "ok")]
    before, after = (set(utterances[utterances["run_id"] == run]["reference"]) for run in runs["run_id"])
    assert before == after
    assert len(after) == 3
    trained_on = set(store.load_utterances(at_the_end)["reference"])
    assert len(trained_on) == 9
    assert not trained_on & after
    assert set(runs[runs["task"] == "finetune"]["train.utterances"]) == {9}
    # The model is an ordinary one.
    AutoModelForCTC.from_pretrained(final / "model")
    wer = runs.set_index("task")["wer"]
    card = (final / "model" / "README.md").read_text()
    for rate in wer:
        assert f"{100 * rate:.1f} %" in card
        assert f"{100 * rate:.1f} %" in said
    assert "9 utterances of synthetic" in card
    chosen = runs[runs["task"] == "finetune"].iloc[0]
    assert f"learning_rate={chosen['finetune.learning_rate']}" in card
    # Once more: what was judged is told again.
    stamps = files(final / "runs")
    assert main(["finetune-final", "s"]) == 0
    assert files(final / "runs") == stamps
    # Used as any other, it says what it was judged to say.
    speech = ["data=synthetic", "data.synthetic.first=9", "data.synthetic.sentences=3"]
    use = ["model=wav2vec2", f"model.name={final / 'model'}", "decode.stride_length_s=0", "measure.warmup=0"]
    assert main(["run", "study=used", *use, *speech, "threads=1"]) == 0
    assert list(store.load_runs(Path("results/used"))["wer"]) == [wer["finetune"]]


def test_another_setting_is_not_judged_on_the_same_data_unless_that_is_asked_for(
    at_the_end: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune-final", "s"]) == 0
    description = store.read_study(at_the_end / "final")
    assert description is not None
    chosen = description["chosen"]
    # As if another setting had come out best by now: the one that was judged is another one's.
    store.write_study(at_the_end / "final", {**description, "chosen": "another", "label": "another rate"})
    stamps = files(at_the_end / "final" / "runs")
    capsys.readouterr()
    assert main(["finetune-final", "s"]) == 2
    assert "--again" in capsys.readouterr().err
    assert files(at_the_end / "final" / "runs") == stamps
    assert main(["finetune-final", "s", "--again"]) == 0
    anew = store.read_study(at_the_end / "final")
    assert anew is not None
    assert anew["chosen"] == chosen
    assert all(stamp > max(stamps.values()) for stamp in files(at_the_end / "final" / "runs").values())


def retold(results: Path, change: Callable[[str], str]) -> None:
    """Change the command that a study was run with."""
    description = store.read_study(results)
    assert description is not None
    store.write_study(results, {**description, "command": change(description["command"])})


@pytest.mark.parametrize(
    ("before", "after", "cure"),
    [
        (" finetune.test.split=test", "", "add finetune.test.split=test"),
        ("task=finetune", "task=transcribe", "finetune-final is for studies with task=finetune"),
        ("model=wav2vec2", "model=wav2vec2 model.weights=random", "finetune.folds.method=none"),
        ("asr-sweep run", "asr-sweep 'run", "study.yaml cannot be read (No closing quotation)"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_the_cure(
    at_the_end: Path, before: str, after: str, cure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    retold(at_the_end, lambda command: command.replace(before, after))
    assert main(["finetune-final", "s"]) == 2
    assert cure in capsys.readouterr().err
    assert not (at_the_end / "final" / "runs").exists()


def test_a_study_without_a_complete_setting_is_not_judged(at_the_end: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (at_the_end / "runs").glob("*-2.*"):
        path.unlink()
    assert main(["finetune-final", "s"]) == 2
    assert "run it to its end first" in capsys.readouterr().err


# What is refused before anything runs.

WRONG = [
    (["finetune.learning_rate=0"], "finetune.learning_rate=0 must be a number above 0"),
    (["finetune.learning_rate=nan"], "must be a number above 0"),
    (["finetune.epochs=-1"], "finetune.epochs=-1 must be"),
    (["finetune.max_steps=0"], "finetune.max_steps=0 is out of range"),
    (["finetune.batch_size=0"], "finetune.batch_size=0 is out of range"),
    (["finetune.memory.device_batch_size=some"], "give one, or auto"),
    (["finetune.folds.count=1"], "give a number from 2"),
    (["finetune.evaluations=0"], "give a number from 1"),
    (["finetune.augment.speed=0.6"], "give a number from 0 to 0.5"),
    (["finetune.augment.noise=1.5"], "give a number from 0 to 1"),
    (["finetune.test.share=0.3"], "give one"),
    (["finetune.test.split=null", "finetune.test.share=1"], "give a smaller share"),
    (["finetune.test.split=null", "finetune.folds.method=none"], "add finetune.test.split=test or"),
    (["finetune.folds.method=none", "search.racing=true"], "finetune.folds.method=none makes none"),
    (["search.holdout=0.2"], "finetune.test.share or finetune.test.split"),
    (["measure.replicates=2"], "use finetune.folds.repeats"),
    (["engine=fake"], "use engine=transformers"),
    (["-m", RATES, "search.racing=true", "search.objectives=[wer,rtfx]"], "use 'search.objectives=[wer]'"),
]


@pytest.mark.parametrize(("arguments", "cure"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_a_wrong_request_is_refused_with_the_cure(
    arguments: list[str], cure: str, settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    names = {argument.partition("=")[0] for argument in arguments}
    assert main(["run", *(one for one in settings if one.partition("=")[0] not in names), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert cure in line
    assert list(tmp_path.iterdir()) == []


def changed(name: str, value: Any, config: Any) -> Any:
    head, _, rest = name.partition(".")
    return dataclasses.replace(config, **{head: changed(rest, value, getattr(config, head)) if rest else value})


OF_TRAINING = {
    "finetune.learning_rate": 0.5,
    "finetune.batch_size": 3,
    "finetune.folds.seed": 4,
    "finetune.lora.rank": 2,
    "finetune.augment.noise": 0.5,
    "finetune.freeze.encoder_layers": 1,
}
OF_LOOKING = {
    "finetune.evaluations": 9,
    "finetune.save": True,
    "finetune.test.split": "another",
    "finetune.test.limit": 5,
    "finetune.test.share": 0.2,
    "finetune.memory.device_batch_size": 2,
}


@pytest.mark.parametrize(("name", "value"), [*OF_TRAINING.items(), *OF_LOOKING.items()])
def test_a_trial_is_named_by_what_determines_its_result(name: str, value: Any) -> None:
    training, transcribing = tiny.settings(), Config()
    other = changed(name, value, training)
    assert (trial_id(other, "m", "d") == trial_id(training, "m", "d")) == (name in OF_LOOKING)
    assert trial_id(changed(name, value, transcribing), "m", "d") == trial_id(transcribing, "m", "d")
    plain = dataclasses.replace(training, task=transcribing.task)
    assert trial_id(plain, "m", "d") != trial_id(training, "m", "d")
