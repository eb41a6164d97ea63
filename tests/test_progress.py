"""What a study's progress looks like, on a terminal and off it."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.config import (
    Config,
    DecodeConfig,
    FinetuneConfig,
    FoldMethod,
    FoldsConfig,
    Merge,
    ModelConfig,
    Strategy,
    Task,
)
from bench.progress import Progress
from bench.readings import Environment, MemoryUse, PhaseTimes
from bench.records import Job, RunResult, Status, TrialOutcome, Utterance, UtteranceResult, WordCounts
from bench.trainings import Training

NOWHERE = Environment(*[None] * 12)


def _result(
    name: str,
    counts: WordCounts | None,
    status: Status = Status.ok,
    reason: str | None = None,
    decode: DecodeConfig = DecodeConfig(),  # noqa: B008 - frozen
) -> RunResult:
    utterance = Utterance("a", Path("a.wav"), "text")
    outcome = None
    if counts is not None:
        outcome = TrialOutcome(
            load_s=1.0,
            audio_decode_s=0.1,
            warmup_s=(),
            passes=(PhaseTimes(2.0, 0.0, 0.1, 0.9, 0.9, 0.0, 0.1),),
            cpu_s=(2.0,),
            memory=MemoryUse(),
            utterances=(UtteranceResult(utterance, 10.0, 1, "text", counts),),
        )
    config = Config(model=ModelConfig(name=f"[b]{name}"), decode=decode)
    return RunResult(
        job=Job("s", name, 0, 1, config, "", (utterance,), None, "d", "f"),
        status=status,
        status_reason=reason,
        retryable=False,
        started_at="",
        wall_s=3.0,
        outcome=outcome,
        timeline=(),
        environment=NOWHERE,
    )


def _shown(terminal: bool) -> str:
    text = io.StringIO()
    with Progress(Console(file=text, force_terminal=terminal, width=400, color_system=None)) as progress:
        progress.planned(total=5, done=1, skipped=2)
        progress.finished(_result("worse", WordCounts(substitutions=3, hits=7)), will_retry=False)
        progress.finished(_result("crash", None, Status.error, "it [bold]broke"), will_retry=True)
        progress.finished(_result("crash", None, Status.error, "it [bold]broke"), will_retry=False)
        progress.finished(_result("better", WordCounts(substitutions=1, hits=9)), will_retry=False)
    return text.getvalue()


def test_a_line_a_run_where_there_is_no_terminal() -> None:
    planned, worse, retried, crashed, better = _shown(terminal=False).splitlines()
    assert planned == "5 runs, 1 done before, 2 impossible points skipped"
    assert worse.startswith("[2/5] worse-0 [b]worse on cpu")  # markup in a name stays text
    assert worse.endswith("WER 30.0 %, RTFx 5.0")  # 10 s of audio in 2 s
    assert retried.startswith("[2/5] crash-0")
    assert retried.endswith("error: it [bold]broke; will be tried again")
    assert crashed.startswith("[3/5] crash-0")
    assert better.startswith("[4/5] better-0")


def test_what_is_good_to_know_is_shown_as_it_is() -> None:
    text = io.StringIO()
    with Progress(Console(file=text, width=40)) as progress:
        progress.noted("[b]data[/b].csv: 50 utterances, expect a 95 % interval")
    assert text.getvalue() == "[b]data[/b].csv: 50 utterances, expect a 95 % interval\n"


def test_names_and_reasons_move_no_cursor() -> None:
    text = io.StringIO()
    with Progress(Console(file=text, width=400)) as progress:
        progress.noted("a\x1b[2J")
        progress.warned("b\x1b[2J")
        progress.finished(_result("c\x1b[2J", None, Status.error, "d\x1b]0;e\x07"), will_retry=False)
    first, second, third = text.getvalue().splitlines()
    assert (first, second) == ("a\ufffd[2J", "warning: b\ufffd[2J")
    assert third.isprintable()
    assert third.endswith("error: d\ufffd]0;e\ufffd")


@pytest.mark.parametrize("part", ["3/4", "1 failed", "best 10.0 % ([b]better on cpu, chunk 30 s, stride 5 s)"])
def test_a_terminal_shows_the_state_of_the_study(part: str) -> None:
    assert part in _shown(terminal=True)


@pytest.mark.parametrize(
    ("point", "folds", "fold", "repeat", "said"),
    [
        ({"finetune.learning_rate": 5e-5}, FoldsConfig(), 1, 0, "learning rate 5e-05, fold 2 of 3"),
        (
            {"finetune.lora.rank": 8, "finetune.optimizer.name": "adafactor"},
            FoldsConfig(count=2, repeats=5),
            0,
            4,
            "lora rank 8, optimizer name adafactor, fold 1 of 2 of division 5",
        ),
        ({"seed": 1}, FoldsConfig(FoldMethod.leave_one_speaker_out), 3, 0, "seed 1, fold 4"),
        ({}, FoldsConfig(FoldMethod.none), None, None, "[b]m on cpu"),
    ],
)
def test_a_training_is_told_by_what_varies_and_its_fold(
    point: dict[str, object], folds: FoldsConfig, fold: int | None, repeat: int | None, said: str
) -> None:
    made = _result("m", WordCounts(substitutions=1, hits=3))
    assert made.outcome is not None
    tuned = dataclasses.replace(made.job.config, task=Task.finetune, finetune=FinetuneConfig(folds=folds))
    job = dataclasses.replace(made.job, config=tuned, point=json.dumps(point), fold=fold, repeat=repeat)
    training = Training(8, 0, None, 80.0, 40, 4, 2, False, "float32", 9, 9, 1.0, 2.0, 18.4, 0.0, None, None, None)
    outcome = dataclasses.replace(made.outcome, training=training)
    text = io.StringIO()
    with Progress(Console(file=text, width=400, force_terminal=True, color_system=None)) as progress:
        progress.finished(dataclasses.replace(made, job=job, outcome=outcome), will_retry=False)
    assert f"[1/1] m-0 {said}: WER 25.0 % (40 steps in 18 s)\n" in text.getvalue()
    # The lowest of folds would be that of the easiest, not of the best setting.
    assert ("best" in text.getvalue()) is (fold is None)


def test_every_point_of_a_study_of_strategies_gets_a_line_of_its_own() -> None:
    cut = {
        "chunk 20 s, stride 1 s": DecodeConfig(chunk_length_s=20.0, stride_length_s=1.0),
        "chunk 20 s, stride 1 s, pipeline merge": DecodeConfig(
            chunk_length_s=20.0, stride_length_s=1.0, merge=Merge.pipeline
        ),
        "vad, chunk 20 s": DecodeConfig(strategy=Strategy.vad, chunk_length_s=20.0, stride_length_s=0.0),
        "sequential": DecodeConfig(strategy=Strategy.sequential, stride_length_s=0.0),
    }
    text = io.StringIO()
    with Progress(Console(file=text, width=400)) as progress:
        for decode in cut.values():
            progress.finished(_result("m", WordCounts(hits=1), decode=decode), will_retry=False)
    assert [line.partition("on cpu, ")[2].partition(": ")[0] for line in text.getvalue().splitlines()] == list(cut)


def test_how_far_a_run_is_stands_in_a_log_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("bench.progress.time.monotonic", lambda: now_s)
    console = Console(file=io.StringIO(), width=200)
    with Progress(console) as progress:
        for now_s in (1001.0, 1059.0, 1060.0, 1100.0, 1121.0):
            progress.progressed(f"step {now_s:g} of [b]9")
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.splitlines() == ["... step 1060 of [b]9", "... step 1121 of [b]9"]
