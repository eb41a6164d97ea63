"""The report of a study that fine-tunes, over records that the real store wrote."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bench.config import Config, FinetuneConfig, FoldMethod, FoldsConfig, LoraConfig, Task
from bench.records import RunResult, Status
from bench.report import build
from bench.report.alignment import Place, aligned
from bench.report.crossvalidation import cross_validated
from bench.report.finetuning_figures import curves, gains, validation
from bench.report.judged import judged
from bench.report.labels import setting_label
from bench.store import load_curves, write_folds, write_run, write_study
from bench.trainings import CurvePoint, Training
from tests.report.builder import config, run, study, utterance_result
from tests.report.conftest import text_of

FOLDS = 3
DIVERGED = "the training diverged: its loss is no number at step 2; use a learning rate below 0.001"
HOSTILE = "<script>alert('a|b')</script>"


def tuned(rate: float = 1e-5, method: FoldMethod = FoldMethod.kfold, **changes: Any) -> Config:
    settings = FinetuneConfig(learning_rate=rate, folds=FoldsConfig(method, count=FOLDS))
    return config(30.0, 0.0, task=Task.finetune, finetune=dataclasses.replace(settings, **changes))


def training(steps: int = 4, train_s: float = 12.34) -> Training:
    looks = [
        CurvePoint(step, step / 2, 3.0 * step, loss=4.0 / step, learning_rate=1e-5 * step, rss_mib=1000.0 + step)
        for step in range(1, steps + 1)
    ]
    seen = [CurvePoint(step, step / 2, 3.0 * step, wer=0.5 / step) for step in (2, steps)]
    return Training(
        utterances=8, skipped=0, skipped_reason=None, audio_s=80.0, steps=steps, device_batch_size=4, accumulation=2,
        checkpointing=False, precision="bfloat16", parameters=100, trained_parameters=100, load_s=1.0, search_s=2.0,
        train_s=train_s, validate_s=5.67, peak_rss_mib=2345.0, peak_gpu_allocated_mib=None,
        peak_gpu_reserved_mib=None, curve=tuple(sorted(looks + seen, key=lambda look: look.step)),
    )  # fmt: skip


def trained(
    trial: str, settings: Config, fold: int | None, errors: Sequence[int] = (), point: Mapping[str, Any] | None = None,
    **more: Any,
) -> RunResult:  # fmt: skip
    """Make the run of a fold: utterances of 10 words each, with so many errors."""
    first = 10 * (fold or 0)
    items = [utterance_result(first + at, count, 10) for at, count in enumerate(errors or (0,))]
    made = run(trial, settings, utterances=items, replicate=fold or 0, **more)
    told = json.dumps(point if point is not None else {"finetune.learning_rate": settings.finetune.learning_rate})
    job = dataclasses.replace(made.job, fold=fold, repeat=None if fold is None else 0, point=told)
    outcome = None if made.outcome is None else dataclasses.replace(made.outcome, training=training())
    return dataclasses.replace(made, job=job, outcome=outcome)


def setting(trial: str, rate: float, errors: Sequence[Sequence[int]], **more: Any) -> list[RunResult]:
    return [trained(trial, tuned(rate), fold, some, **more) for fold, some in enumerate(errors)]


def finetuning_study(folder: Path, runs: Sequence[RunResult], **told: Any) -> Path:
    """Write a study whose every utterance is a group of its own."""
    described: dict[str, Any] = {"config": {"task": "finetune", "finetune.test.split": "test"}, "space": {}}
    study(folder, runs, **(described | told))
    names = {item.utterance_id: one.job.fold for one in runs if one.job.fold is not None for item in one.job.utterances}
    rows = [
        {"data.fingerprint": "f00d", "utterance_id": name, "group": at, "repeat": 0, "fold": fold}
        for at, (name, fold) in enumerate(names.items())
    ]
    if rows:
        write_folds(folder, rows)
    return folder


class Heard(NamedTuple):
    """What was said, and heard of it before the training and after, each with its errors."""

    said: str
    before: str
    after: str
    errors_before: int
    errors_after: int


def judge(folder: Path, texts: Sequence[Heard], rate: float = 1e-5) -> None:
    """Write the model before and after."""
    final = folder / "final"
    told = {"label": f"learning rate {rate:g}", "point": {"finetune.learning_rate": rate}}
    write_study(final, told | {"config": {"score.normalizer": "whisper_english"}})
    before = [(one.said, one.before, one.errors_before) for one in texts]
    after = [(one.said, one.after, one.errors_after) for one in texts]
    for trial, settings, heard, how in (
        ("base", config(30.0, 0.0), before, None),
        ("tuned", tuned(rate), after, training()),
    ):
        items = [
            utterance_result(at, errors, len(said.split()), reference=said, hypothesis=text)
            for at, (said, text, errors) in enumerate(heard)
        ]
        made = run(trial, settings, utterances=items, data=("the test set", "beef"))
        assert made.outcome is not None
        write_run(final, dataclasses.replace(made, outcome=dataclasses.replace(made.outcome, training=how)))


def texts_of(report: Path) -> list[str]:
    return [text_of((report / "index.html").read_text()), (report / "summary.md").read_text().replace("\\", "")]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rates: the best, one as good, one far worse, and one that diverged in two of three folds."""
    good = [[1, 0, 1, 0, 1, 1, 0, 1], [0, 1, 2, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 0, 1, 1]]
    even = [[1, 0, 1, 1, 1, 0, 1, 1], [0, 1, 2, 1, 1, 0, 0, 1], [1, 1, 1, 0, 0, 1, 1, 1]]
    poor = [[count + 5 for count in fold] for fold in good]
    gone = [
        trained("gone", tuned(1e-3), 0, [9] * 8),
        *(trained("gone", tuned(1e-3), fold, status=Status.error, reason=DIVERGED) for fold in (1, 2)),
    ]
    runs = [*setting("good", 1e-5, good), *setting("even", 1e-4, even), *setting("poor", 1e-6, poor), *gone]
    return finetuning_study(tmp_path_factory.mktemp("results") / "swept", runs)


@pytest.fixture(scope="module")
def report(swept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(swept, tmp_path_factory.mktemp("reports"))


def test_the_verdict_is_of_the_folds_and_comes_first(report: Path) -> None:
    # Errors in 80 words each: 5, 6, 5, so 6.25, 7.5 and 6.25 %: mean 6.67, deviation 0.72. Even: 6, 6, 6.
    verdict = (
        "Recommended: learning rate 1e-05 (WER 6.7 % ± 0.7, mean and standard deviation of 3 folds),"
        " the most accurate of 3 settings."
    )
    page, summary = texts_of(report)
    assert page.startswith(verdict)
    assert summary.startswith(f"# {verdict}")
    for text in (page, summary):
        assert "Cannot be told from it: learning rate 0.0001 (WER 7.5 % ± 0.0)." in text
        assert "Worse, at the 5 % level over all comparisons: learning rate 1e-06 (WER 56.7 % ± 0.7)." in text
        assert f"Learning rate 0.001 failed in 2 of 3 folds (error): {DIVERGED}." in text
        assert "asr-sweep finetune-final swept" in text


def test_every_fold_of_every_setting_is_in_the_table(report: Path) -> None:
    standings = ("best", "tied", "different", "incomplete")
    rows = {
        cells[1]: cells[2:-1]
        for line in (report / "summary.md").read_text().splitlines()
        if len(cells := [cell.strip() for cell in line.split("|")]) == 12 and cells[2] in standings
    }
    assert list(rows) == ["learning rate 1e-05", "learning rate 0.0001", "learning rate 1e-06", "learning rate 0.001"]
    best, tied, worse, failed = rows.values()
    assert best == ["best", "6.7 % ± 0.7", "6.2 %", "7.5 %", "6.2 %", "6.7 %", "–", "–", "–"]
    assert tied[:6] == ["tied", "7.5 % ± 0.0", "7.5 %", "7.5 %", "7.5 %", "7.5 %"]
    assert tied[6] == "+0.8 points"  # 18 errors against 16, in 240 words
    assert worse[0] == "different"
    assert worse[6] == "+50.0 points"  # five more errors in each ten words
    assert failed == ["incomplete", "–", "90.0 %", "error", "error", *["–"] * 4]


def test_what_is_made_for_transcription_is_left_out(report: Path) -> None:
    drawn = {path.name for path in (report / "figures").iterdir()}
    assert drawn == {f"{name}.{kind}" for name in ("validation", "curves") for kind in ("png", "svg")}
    for text in texts_of(report):
        for unwanted in ("Pareto", "RTFx", "Which to pick", "Each setting had", "timings valid", "replicates", "nan"):
            assert unwanted not in text
        assert "Environment" in text
        assert "Test CPU 9000" in text
        assert "Failures" in text
        assert "Repeat it" in text


def test_what_the_training_took_is_told_of_each_run(report: Path) -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (report / "summary.md").read_text().splitlines()
        if "| all but fold" in line
    ]
    assert len(rows) == 12
    took = ["8", "4", "12.3", "5.7", "4 x 2", "bfloat16", "2345 MiB"]
    assert rows[0] == ["learning rate 1e-05", "all but fold 1", "ok", *took]
    assert rows[-1] == ["learning rate 0.001", "all but fold 3", "error", *["–"] * 7]


def test_settings_ended_early_or_not_yet_run_are_told_apart(tmp_path: Path) -> None:
    reason = "worse than trial 0 beyond doubt after 1 of 3 folds (search.racing)"
    runs = setting("best", 1e-5, [[1, 2], [2, 1], [1, 1]])
    runs.append(trained("slow", tuned(1e-6), 0, [9, 9]))
    runs += [trained("slow", tuned(1e-6), fold, status=Status.pruned, reason=reason) for fold in (1, 2)]
    runs.append(trained("late", tuned(1e-4), 0, [3, 3]))
    for text in texts_of(build(finetuning_study(tmp_path / "s", runs), tmp_path / "reports")):
        # 3, 3 and 2 errors in 20 words.
        assert "Only one setting can be judged: learning rate 1e-05 (WER 13.3 % ± 2.9, mean" in text
        assert f"Learning rate 1e-06 was ended early, with 1 of 3 folds: {reason}." in text
        assert "Learning rate 0.0001 has 1 of 3 folds so far." in text


@pytest.mark.parametrize(("groups", "is_said"), [(5, True), (6, False)])
def test_too_few_groups_to_tell_anything_by_are_named(tmp_path: Path, groups: int, is_said: bool) -> None:
    low, high = ([[errors] * size for size in (2, 2, groups - 4)] for errors in (1, 9))
    report = build(finetuning_study(tmp_path / "s", [*setting("a", 1e-4, low), *setting("b", 1e-5, high)]), tmp_path)
    for text in texts_of(report):
        assert ("fewer than six groups" in text) == is_said
        assert ("Cannot be told from it: learning rate 1e-05" in text) == is_said


def test_a_study_in_which_all_diverged_recommends_nothing(tmp_path: Path) -> None:
    runs = [trained("a", tuned(), fold, status=Status.error, reason=DIVERGED) for fold in range(FOLDS)]
    report = build(finetuning_study(tmp_path / "s", runs), tmp_path / "reports")
    for text in texts_of(report):
        assert "No setting can be recommended: none has been trained in all of its 3 folds." in text
        assert f"The only setting failed in 3 of 3 folds (error): {DIVERGED}." in text
        assert "finetune-final" not in text
    assert not list((report / "figures").iterdir())


def test_a_study_that_has_not_run_yet(tmp_path: Path) -> None:
    for text in texts_of(build(finetuning_study(tmp_path / "s", []), tmp_path / "reports")):
        assert "Nothing has run yet in this study." in text


SAID = [
    Heard("the cat sat on the mat", "a cat sat the mat today", "the cat sat on the mat", 3, 0),
    Heard("go home now please", "go home now", "go house now please", 1, 1),
    Heard("one two three", "one two three", f"one two {HOSTILE}", 0, 4),
]


def test_before_and_after_are_compared_word_by_word(tmp_path: Path) -> None:
    folder = finetuning_study(tmp_path / "s", setting("a", 1e-5, [[1, 2], [2, 1], [1, 1]]))
    judge(folder, SAID)
    report = build(folder, tmp_path / "reports")
    page, summary = texts_of(report)
    for text in (page, summary):
        assert "30.8 % (no interval, errors in too few parts)" in text  # 4 of 13 words
        assert "38.5 % (no interval, errors in too few parts)" in text  # 5 of 13
        assert "Of 3 utterances 1 got better, 1 worse." in text
        assert "not been judged" not in text
        assert "no longer" not in text
    assert "rec0, 3 to 0 word errors" in summary
    assert "as it was: **a** cat sat **–** the mat **today** " in summary
    assert "fine-tuned: the cat sat on the mat " in summary
    assert "rec1" not in summary  # as many errors as before
    assert "rec2, 0 to 4 word errors" in summary
    assert re.search(r"\| learning rate 1e-05 \| all folds, at the end \| ok \| 8 \| 4 \|", summary)
    assert {path.stem for path in (report / "figures").iterdir()} == {"validation", "curves", "gains"}
    assert "<script>alert" not in (report / "index.html").read_text()
    assert "<script" not in (report / "summary.md").read_text()


def test_what_was_judged_before_a_better_setting_was_found_is_named(tmp_path: Path) -> None:
    runs = [*setting("a", 1e-5, [[1, 2], [2, 1], [1, 1]]), *setting("b", 1e-4, [[5, 5], [5, 5], [5, 5]])]
    folder = finetuning_study(tmp_path / "s", runs)
    judge(folder, SAID, rate=1e-4)
    for text in texts_of(build(folder, tmp_path / "reports")):
        assert "What was judged is learning rate 0.0001, which was the best setting then and is no longer." in text


def test_transcripts_and_names_from_outside_stay_text(tmp_path: Path) -> None:
    folder = finetuning_study(tmp_path / "s", setting("a", 1e-5, [[1, 2], [2, 1], [1, 1]]))
    judge(folder, [Heard(f"said {HOSTILE}", f"heard {HOSTILE}", "**bold** | said\x00", 1, 3)])
    told = (folder / "final" / "study.yaml").read_text()
    (folder / "final" / "study.yaml").write_text(told.replace("whisper_english", "none"))
    report = build(folder, tmp_path / "reports")
    page, summary = (report / "index.html").read_text(), (report / "summary.md").read_text()
    assert "<script>alert" not in page + summary
    assert "\x00" not in page + summary
    assert "&lt;script&gt;alert(&#39;a|b&#39;)&lt;/script&gt;" in page
    assert r"\*\*bold\*\*" in summary


def test_without_folds_the_wer_of_the_test_data_is_told_with_the_curve(tmp_path: Path) -> None:
    one = trained("demo", tuned(2e-3, FoldMethod.none), None, [1, 2, 0], point={})
    report = build(finetuning_study(tmp_path / "s", [one]), tmp_path / "reports")
    page, summary = texts_of(report)
    for text in (page, summary):
        assert "Trained on all of the data: WER 10.0 % on 3 utterances of test data (30 words)." in text
        assert "Cross-validation" not in text
        assert "finetune-final" not in text
        assert "all of the data" in text
    assert {path.stem for path in (report / "figures").iterdir()} == {"curves"}


def test_settings_without_folds_are_chosen_by_the_test_data_which_is_said(tmp_path: Path) -> None:
    runs = [
        trained("a", tuned(1e-3, FoldMethod.none), None, [1, 2, 0]),
        trained("b", tuned(1e-4, FoldMethod.none), None, [1, 0, 0]),
        trained("c", tuned(1e-2, FoldMethod.none), None, status=Status.error, reason=DIVERGED),
    ]
    for text in texts_of(build(finetuning_study(tmp_path / "s", runs), tmp_path / "reports")):
        assert "Lowest WER of 2 settings: learning rate 0.0001, WER 3.3 % on 3 utterances of test data" in text
        assert "judged on the same test data" in text
        assert f"Learning rate 0.01 ended in error: {DIVERGED}." in text


def test_the_figure_of_folds_shows_each_of_them_along_a_logarithmic_rate(swept: Path) -> None:
    found = cross_validated(swept)
    assert found is not None
    figure = validation(found)
    assert figure is not None
    (axis,) = figure.axes or figure.subfigs[0].axes
    assert axis.get_xscale() == axis.get_yscale() == "log"  # 1e-6 to 1e-3, and 6.25 to 90 %
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("Learning rate", "WER [%], lower is better")
    folds = [line for line in axis.lines if line.get_marker() == "o" and line.get_markersize() == 4]
    shown = sorted((x, round(y, 2)) for line in folds for x, y in np.asarray(line.get_xydata()).tolist())
    assert shown == [
        (1e-6, 56.25), (1e-6, 56.25), (1e-6, 57.5), (1e-5, 6.25), (1e-5, 6.25), (1e-5, 7.5),
        (1e-4, 7.5), (1e-4, 7.5), (1e-4, 7.5), (1e-3, 90.0),
    ]  # fmt: skip
    (best,) = [line for line in axis.lines if line.get_marker() == "*"]
    assert np.asarray(best.get_xydata()).tolist() == [[1e-5, pytest.approx(100 * 16 / 240)]]
    (failed,) = [line for line in axis.lines if line.get_marker() == "X"]
    assert np.asarray(failed.get_xdata()).tolist() == [1e-3]


def test_settings_that_no_single_number_tells_apart_are_rows_by_their_names(tmp_path: Path) -> None:
    def of(rate: float, rank: int) -> list[RunResult]:
        settings = tuned(rate, lora=LoraConfig(rank=rank))
        point = {"finetune.learning_rate": rate, "finetune.lora.rank": rank}
        return [trained(f"t{rank}{round(1 / rate)}", settings, fold, [rank, 1], point=point) for fold in range(FOLDS)]

    runs = [one for rate in (1e-5, 1e-4) for rank in (2, 4) for one in of(rate, rank)]
    found = cross_validated(finetuning_study(tmp_path / "s", runs))
    assert found is not None
    figure = validation(found)
    assert figure is not None
    (axis,) = figure.axes or figure.subfigs[0].axes
    assert axis.get_xlabel() == "WER [%], lower is better"
    names = [label.get_text().replace("\n", " ") for label in axis.get_yticklabels()]
    assert sorted(names) == [
        f"learning rate {rate}, LoRA rank {rank}" for rate in ("0.0001", "1e-05") for rank in (2, 4)
    ]


def test_the_curves_are_of_the_best_and_the_worst_setting_a_line_a_fold(swept: Path) -> None:
    figure = curves(load_curves(swept), {"Best: good": "good", "Worst: poor": "poor"})
    assert figure is not None
    axes = figure.axes or figure.subfigs[0].axes
    assert [axis.get_title(loc="left") for axis in axes[:2]] == ["Best: good", "Worst: poor"]
    assert len(axes) == 8  # loss, learning rate, WER and RAM
    assert [len(axis.lines) for axis in axes] == [FOLDS] * 8
    assert np.asarray(axes[0].lines[0].get_ydata()).tolist() == [4.0, 2.0, pytest.approx(4 / 3), 1.0]
    assert np.asarray(axes[4].lines[0].get_xydata()).tolist() == [[2.0, 25.0], [4.0, 12.5]]
    assert curves(load_curves(swept), {"none": "unknown"}) is None


def test_the_figure_of_the_gain_counts_utterances(tmp_path: Path) -> None:
    folder = finetuning_study(tmp_path / "s", setting("a", 1e-5, [[1, 2], [2, 1], [1, 1]]))
    judge(folder, SAID)
    outcome = judged(folder)
    assert outcome is not None
    (part,) = gains(outcome).subfigs
    bars = [bar.get_height() for bar in part.axes[0].patches]  # type: ignore[attr-defined]
    assert bars == [pytest.approx(100 * 4 / 13), pytest.approx(100 * 5 / 13)]
    dots = [place for item in part.axes[1].collections for place in np.asarray(item.get_offsets()).tolist()]
    assert dots == [[3, 0], [1, 1], [0, 4]]
    assert [text.get_text() for text in part.legends[0].texts] == ["fewer errors (1)", "as many (1)", "more errors (1)"]


def test_an_alignment_has_a_place_for_every_word_and_every_addition() -> None:
    assert aligned("b c d", "a b x d e f", "b d") == [
        Place("", "a", ""),
        Place("b", "b", "b"),
        Place("c", "x", ""),
        Place("d", "d", "d"),
        Place("", "e f", ""),
    ]
    assert aligned("", "a b", "") == [Place("", "a b", "")]
    assert aligned("", "", "") == []


def test_settings_of_a_training_have_names_for_people() -> None:
    named = {
        "finetune.learning_rate": 5e-5,
        "finetune.optimizer.name": "adafactor",
        "finetune.memory.device_batch_size": None,
        "finetune.freeze.encoder_layers": 2,
        "finetune.lora.rank": 8,
        "finetune.augment.noise": 0.3,
    }
    assert setting_label(named) == (
        "learning rate 5e-05, optimizer adafactor, device batch auto, frozen encoder layers 2, LoRA rank 8,"
        " probability of noise 0.3"
    )
