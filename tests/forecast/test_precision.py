"""What is said before a run of how surely its data will tell a WER."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.forecast.precision import precision_line
from bench.records import Utterance

TEN = "one two three four five six seven eight nine ten"


def said(count: int, speakers: int | None = None, text: str = TEN) -> str:
    """Say it of so many utterances, each a file, by so many speakers."""
    line = precision_line(
        [
            Utterance(str(at), Path(f"{at}.wav"), text, None if speakers is None else f"s{at % speakers}")
            for at in range(count)
        ]
    )
    assert line is not None
    return line


def test_what_is_there_and_what_it_will_tell() -> None:
    # 50 x 10 words by 10 speakers: effect 1 + 0.1 x 9 + 0.04 x 40 = 3.5; 0.16 x 3.5 / 500 is 0.0335^2, Student's t for
    # 9 degrees 2.262; (1.96 x 3.35)^2 = 43.03 times as much.
    assert said(50, 10) == (
        "50 utterances, 500 words by 10 speakers: expect a 95 % interval of about ±7.6 points at a WER of 20 % (±9.5 at"
        " 50 %); ±1 point would take about 2,200 such utterances by 440 speakers"
    )


def test_few_speakers_and_unnamed_ones_are_told() -> None:
    assert said(50, 5).endswith("fewer than 10 speakers make even that doubtful")
    assert "at 50 %) for these 4 speakers alone; ±1 point" in said(50, 4)
    assert said(50).startswith("50 utterances, 500 words from 50 recordings: expect")
    assert said(50).endswith("it is wider if some speakers, whom the data do not name, speak often")


def test_what_is_enough_asks_for_no_more() -> None:
    assert "±1 point" not in said(100_000, 5_000)


def test_too_little_says_so() -> None:
    assert said(4, 4) == (
        "4 utterances, 40 words by 4 speakers: too little for an interval of the WER, which takes 5 utterances"
    )


def test_without_words_there_is_nothing_to_say() -> None:
    silent = [Utterance("a", Path("a.wav"), " "), Utterance("b", Path(), TEN, error="too long")]
    assert precision_line(silent) is None


def test_a_large_corpus_takes_no_time() -> None:
    began = time.perf_counter()
    said(100_000, 1_000, text=f"{TEN} {TEN}")
    assert time.perf_counter() - began < 10


@pytest.fixture
def study(tmp_path: Path, tone_manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides of a study named "s" with the fake engine over 6 recordings of 20 to 30 words."""
    monkeypatch.chdir(tmp_path)
    path = tone_manifest(*range(10, 16))
    return ["study=s", "engine=fake", "model=fake", "data=manifest", f"data.path={path}", "measure.warmup=0"]


LINE = "6 utterances, 150 words from 6 recordings: expect a 95 % interval of about ±"


def test_a_study_says_it_once_before_it_runs(study: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *study]) == 0
    planned, noted, *runs = capsys.readouterr().out.splitlines()
    assert planned.startswith("1 runs")
    assert noted.startswith(LINE)
    assert not any("interval" in line for line in runs)
    assert main(["run", *study]) == 0
    assert LINE not in capsys.readouterr().out  # nothing is left to run


def test_every_data_set_of_a_study_has_its_line(study: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-m", *study, "data.limit=5,6"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "interval" in line]
    assert [line.partition(": ")[2].partition(" from")[0] for line in told] == [
        "5 utterances, 120 words",
        "6 utterances, 150 words",
    ]


def test_what_has_no_wer_has_no_line(study: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *study, "model.weights=random"]) == 0
    assert "interval" not in capsys.readouterr().out


def test_a_search_and_its_data_kept_aside_have_a_line_each(
    study: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    searching = ["search=random", "search.trials=1", "search.holdout=0.3", "decode.chunk_length_s=range(20,30)"]
    assert main(["run", "-m", *study, *searching]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "too little" in line]
    assert len(told) == 2
    assert "(search): 4 utterances, " in told[0]
    assert "(holdout): 2 utterances, " in told[1]


def test_a_dry_run_says_it_and_keeps_it(study: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *study, "search.dry_run=true"]) == 0
    assert sum(line.startswith(LINE) for line in capsys.readouterr().out.splitlines()) == 1
    kept = json.loads((tmp_path / "results" / "s" / "forecast.json").read_text())
    assert sum(note.startswith(LINE) for note in kept["notes"]) == 1
