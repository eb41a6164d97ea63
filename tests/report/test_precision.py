"""What a report says of how surely a WER is known."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.records import Utterance, UtteranceResult, WordCounts
from bench.report import build
from bench.report.accuracy import accuracy
from bench.report.frontier import recommend
from bench.report.precision import Certainty, certainty
from bench.report.tables import Block
from bench.store import load_utterances
from tests.report.builder import config, run, study, unscored, utterance_result
from tests.report.conftest import text_of

Split = Callable[..., list[Block]]

# 10 utterances of 10 words, two by each of 5 speakers; errors by speaker 2, 4, 6, 4, 4 of 20 words: a WER of 20 %, and
# deviations -2, 0, 2, 0, 0, so that the standard error is sqrt(5/4 x 8) / 100 = 3.162 points.
ERRORS = [1, 1, 1, 3, 3, 3, 2, 2, 0, 4]


def spoken(errors: list[int], speakers: int = 5, words: int = 10) -> list[UtteranceResult]:
    """Make utterances of so many words, in turn two by each speaker, whose name is markup."""
    results = [utterance_result(at, count, words) for at, count in enumerate(errors)]
    return [
        dataclasses.replace(one, utterance=dataclasses.replace(one.utterance, speaker=f"<b>{at // 2 % speakers}"))
        for at, one in enumerate(results)
    ]


@pytest.fixture
def certain_of(blocks_of: Split, tmp_path: Path) -> Callable[..., Certainty]:
    """Say how surely the WER of the setting recommended of some runs is known."""

    def say(*runs: object) -> Certainty:
        (block,) = blocks_of(*runs)
        recommendation = recommend(block)
        return certainty(block, recommendation, accuracy(block, recommendation, load_utterances(tmp_path / "hand")))

    return say


TOLD = (
    "The WER of 20.0 % (10 utterances by 5 speakers) has a 95 % interval from 12.9 to 31.0 %; ±1 point would take"
    " about 390 such utterances by 200 speakers; fewer than 10 speakers make even that doubtful."
)


def test_the_interval_and_what_a_point_takes(certain_of: Callable[..., Certainty]) -> None:
    # exp(2.776 x 3.162 / 20) = 1.551; 10 x (1.96 x 3.162)^2 = 384.1, and 192.07 speakers.
    assert certain_of(run("a", utterances=spoken(ERRORS))) == Certainty([TOLD])


def test_of_several_settings_it_is_said_what_the_interval_is_not_for(certain_of: Callable[..., Certainty]) -> None:
    worse = run("b", config(20), utterances=spoken([count + 1 for count in ERRORS]))
    told = certain_of(run("a", utterances=spoken(ERRORS)), worse)
    assert told.told == [TOLD]
    overlap, chosen = told.caveats
    assert "may overlap though the settings differ" in overlap
    assert "chosen of 2" in chosen


def test_replicates_are_no_further_data(certain_of: Callable[..., Certainty]) -> None:
    twice = [run("a", replicate=at, utterances=spoken(ERRORS)) for at in range(2)]
    assert certain_of(*twice) == Certainty([TOLD])


def test_few_speakers_are_told_apart_from_everybody(certain_of: Callable[..., Certainty]) -> None:
    (told,) = certain_of(run("a", utterances=spoken(ERRORS, speakers=3))).told
    # Deviations -1, -1, -1, 1, 1, 1, 0, 0, -2, 2: sqrt(10/9 x 14) / 100 = 3.944 points.
    # exp(2.262 x 3.944 / 20) = 1.562.
    assert told.startswith(
        "The WER of 20.0 % (10 utterances by 3 speakers) has a 95 % interval from 12.8 to 31.2 % for these 3 speakers"
        " alone; ±1 point would take about 600 such utterances."
    )


def test_too_few_errors_have_no_interval(certain_of: Callable[..., Certainty]) -> None:
    (told,) = certain_of(run("a", utterances=spoken([0, 0, 0, 0, 1, 1, 0, 0, 0, 0]))).told
    assert told.startswith("The WER of 2.0 % (10 utterances by 5 speakers) has no interval: errors in fewer than 5")


def test_a_long_recording_is_looked_at_in_blocks(certain_of: Callable[..., Certainty]) -> None:
    # Six blocks of 75 words, of which the last 3, 2, 1, 3, 2, 1 are misheard: 12 of 450.
    letters = "abcdefghijklmnopqrstuvwxyz"
    spoken = [f"q{one}{two}" for one in letters for two in letters][:450]
    heard = list(spoken)
    for block, errors in enumerate([3, 2, 1, 3, 2, 1]):
        for at in range(errors):
            heard[75 * block + 74 - at] = "misheard"
    long = UtteranceResult(
        Utterance("long", Path("long.wav"), " ".join(spoken)), 180.0, 6, " ".join(heard), WordCounts(12, 0, 0, 438)
    )
    (told,) = certain_of(run("a", utterances=[long])).told
    # Deviations 1, 0, -1, 1, 0, -1: sqrt(6/5 x 4) / 450 = 0.4869 points; exp(2.571 x 0.4869 / 2.667) = 1.599.
    assert told == (
        "The WER of 2.7 % (1 utterance from 1 recording) has a 95 % interval from 1.7 to 4.3 % for this recording"
        " alone."
    )


def test_what_has_no_wer_has_nothing_to_say(certain_of: Callable[..., Certainty]) -> None:
    assert certain_of(run("a", utterances=[unscored(1), unscored(2)])) == Certainty()


def test_what_failed_is_no_part_of_it(certain_of: Callable[..., Certainty]) -> None:
    broken = dataclasses.replace(utterance_result(99, failed=True))
    broken = dataclasses.replace(broken, utterance=dataclasses.replace(broken.utterance, speaker="another"))
    assert certain_of(run("a", utterances=[*spoken(ERRORS), broken])) == Certainty([TOLD])


def test_page_and_summary_say_it_after_the_verdict(tmp_path: Path) -> None:
    runs = [run("a", utterances=spoken(ERRORS)), run("b", config(20), utterances=spoken([4] * 10))]
    report = build(study(tmp_path / "results" / "s", runs), tmp_path / "reports")
    page, summary = (report / "index.html").read_text(), (report / "summary.md").read_text()
    verdict, _, rest = text_of(page).partition(TOLD)
    assert verdict.startswith("Recommended: ")
    assert "How far to trust this" not in verdict
    assert "The intervals of two settings may overlap" in rest.partition("How far to trust this")[2]
    assert "<b>" not in page
    assert TOLD in summary.partition("Study:")[0]
    assert "The intervals of two settings may overlap" in summary
    assert "carries no interval" not in page + summary
