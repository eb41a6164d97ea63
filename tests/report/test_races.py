"""What is said of runs that a race has ended; a run here has 100 s of audio."""

from pathlib import Path

import pytest

from bench.metrics import WER
from bench.records import Status
from bench.report import build, figures
from bench.report.frontier import recommend
from bench.report.races import raced, races
from bench.report.searching import goal_of
from bench.report.tables import blocks
from bench.store import load_runs
from tests.report.builder import completed, config, pruned, run, searched_study, study
from tests.report.conftest import text_of
from tests.report.test_figures import words

RACE = [
    run("first", config(30), errors=8, number=0, standing=completed(wer=0.04)),
    pruned("early", config(5), 0.2, 0.5, "first-0", number=1),
    pruned("late", config(10), 0.6, 0.1, "first-0", number=2),
    run("second", config(20), errors=12, number=3, standing=completed(wer=0.06)),
]


def test_what_was_saved_and_who_beat_whom(tmp_path: Path) -> None:
    found = blocks(load_runs(study(tmp_path / "s", RACE)))
    assert raced(found)
    told = races(found, goal_of({"search.objectives": ["wer"]}), {"search.racing_level": 0.1})
    assert told["told"] == [
        "Racing ended 2 of 4 runs early: 70 % of the audio was processed.",  # 1 + 0.2 + 0.6 + 1 of 4
        "A run that is no worse than its rival is ended with a probability of at most 10 % (search.racing_level=0.1).",
    ]
    with_margin = races(found, goal_of({}), {"search.racing_level": 0.1, "search.racing_margin": 0.25})
    assert with_margin["told"][1] == (
        "A run that is at least 25 % better than its rival is ended with a probability of at most 10 %"
        " (search.racing_level=0.1, search.racing_margin=0.25)."
    )
    assert [head for head, _ in told["heads"]] == [
        "Setting", "Beaten by", "Share of the audio", "WER so far", "Rival's WER"
    ]  # fmt: skip
    assert told["rows"] == [
        ["chunk 5 s", "chunk 30 s", "20 %", "50.0 %", "4.0 %"],
        ["chunk 10 s", "chunk 30 s", "60 %", "10.0 %", "4.0 %"],
    ]
    assert "in stages" in " ".join(told["notes"])


@pytest.mark.parametrize(("objective", "cells"), [("rtfx", ["10.0", "10.0"]), ("rtf", ["0.1000", "0.1000"])])
def test_a_race_for_speed_shows_it(tmp_path: Path, objective: str, cells: list[str]) -> None:
    found = blocks(load_runs(study(tmp_path / "s", RACE)))
    told = races(found, goal_of({"search.objectives": ["wer", objective]}), {})
    assert told["rows"][0][5:] == cells
    assert len(told["told"]) == 1


def test_data_weigh_by_their_length_and_a_race_that_ended_nothing_says_so(tmp_path: Path) -> None:
    short = [run("other", config(30), data=("short", "beef"), standing=completed(), utterances=RACE[0].outcome.utterances[:1])]  # type: ignore[union-attr]  # noqa: E501  # fmt: skip
    found = blocks(load_runs(study(tmp_path / "s", [*RACE, *short])))
    # 280 s of 400 s, and 50 s of 50 s.
    assert "2 of 5 runs early: 73 % of the audio" in races(found, goal_of({}), {})["told"][0]
    calm = blocks(load_runs(study(tmp_path / "calm", [RACE[0], RACE[3]])))
    assert races(calm, goal_of({}), {})["told"] == ["Racing ended none of 2 runs early."]


def test_what_was_ended_is_no_failure_and_not_recommended(tmp_path: Path) -> None:
    report = build(searched_study(tmp_path / "results" / "s", RACE, racing=True), tmp_path / "reports")
    page, summary = (report / "index.html").read_text(), (report / "summary.md").read_text()
    assert "Failures" not in text_of(page)
    assert "fail" not in summary.split("## Figures")[0].replace("failed, or lacks", "")
    assert "ended early by racing, at 20\N{NO-BREAK SPACE}%" in page
    assert "chunk 5 s: ended early by racing" in summary
    assert 'class="bad"' not in page
    told = words(figures.heatmap(load_runs(tmp_path / "results" / "s"), WER))
    assert told.count("ended early by racing") == 2
    assert not any("no result" in text for text in told)


def test_a_failure_beside_a_run_that_was_ended_is_told(tmp_path: Path) -> None:
    runs = [*RACE, run("early", config(5), replicate=1, number=1, status=Status.error, reason="broke <down>")]
    folder = searched_study(tmp_path / "results" / "s", runs, racing=True)
    (block,) = blocks(load_runs(folder))
    assert recommend(block).excluded["early"] == "ended in error in 1 of 2 runs"
    summary = (build(folder, tmp_path / "reports") / "summary.md").read_text()
    assert "| chunk 5 s | 1 of 2 | error | broke &lt;down&gt; |" in summary.partition("## Failures")[2]
    assert "broke" not in summary.partition("## Failures")[0]


def test_of_replicates_some_of_which_were_ended_the_setting_is_not_recommended(tmp_path: Path) -> None:
    again = run("early", config(5), errors=0, replicate=1, number=1)
    (block,) = blocks(load_runs(study(tmp_path / "s", [*RACE, again])))
    assert recommend(block).excluded["early"] == "ended early by racing in 1 of 2 runs"


def test_an_unknown_rival_is_named_by_its_run(tmp_path: Path) -> None:
    lone = [RACE[0], pruned("early", config(5), 0.2, 0.5, "<gone>-0", number=1)]
    folder = searched_study(tmp_path / "results" / "s", lone, racing=True)
    page = (build(folder, tmp_path / "reports") / "index.html").read_text()
    assert "&lt;gone&gt;-0" in page
    assert "<gone>" not in page
