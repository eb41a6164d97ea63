"""What a report says of where errors come from."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.config import NormalizerName, ScoreConfig
from bench.records import UtteranceResult, Word, WordCounts
from bench.report import build
from bench.report.errors import error_sections
from bench.report.tables import blocks
from bench.score.wer import count_words
from bench.store import load_runs, load_utterances
from tests.report.builder import config, run, study, unscored, utterance_result
from tests.report.conftest import text_of

PLAIN = ScoreConfig(normalizer=NormalizerName.none)
STEP_S = 0.4
WORDS = 400
SEAM_S = 20.0


def heard(
    number: int,
    said: str,
    text: str | None,
    times: Sequence[tuple[float, float]] = (),
    seams_s: Sequence[float] = (),
    speaker: str | None = None,
) -> UtteranceResult:
    """Make an utterance with its real counts, and words with these times."""
    one = utterance_result(number, reference=said, hypothesis=text or "")
    words = tuple(Word(word, 0, *span) for word, span in zip((text or "").split(), times, strict=False))
    utterance = dataclasses.replace(one.utterance, speaker=speaker)
    counts = None if text is None else count_words(said, text)
    return dataclasses.replace(
        one, utterance=utterance, hypothesis=text, counts=counts, words=words, seams_s=tuple(seams_s), audio_s=160.0
    )


def sections(folder: Path, *runs: Any) -> list[dict[str, Any]]:
    made = study(folder / "hand", runs)
    return error_sections(blocks(load_runs(made)), functools.partial(load_utterances, made))


def settings(chunk_s: float = 10.0) -> Any:
    return config(chunk_s, score=PLAIN)


def long(wrong: set[int]) -> UtteranceResult:
    """Make an utterance of 160 s with a word every 0.4 s, some of them wrong, and seams 20 s apart."""
    said = [f"w{number}" for number in range(WORDS)]
    told = [f"x{number}" if number in wrong else word for number, word in enumerate(said)]
    times = [(STEP_S * number, STEP_S * number + 0.3) for number in range(WORDS)]
    return heard(1, " ".join(said), " ".join(told), times, [SEAM_S * number for number in range(1, 8)])


def test_the_settings_that_cure_a_confusion(tmp_path: Path) -> None:
    said = "he asked for a loan today"
    (told,) = sections(
        tmp_path,
        run("a", settings(10), utterances=[heard(1, said, "he asked for alone today"), heard(2, "yes", "yes")]),
        run("b", settings(20), utterances=[heard(1, said, "she asks for a loan"), heard(2, "yes", "no")]),
        run("c", settings(30), utterances=[heard(1, said, "he asked for alone to day"), heard(2, "yes", "yes")]),
    )
    assert told["label"] == "chunk 10 s"
    (table,) = told["confused"]
    assert table["title"] == "Substitutions"
    assert table["rows"] == [
        {
            "said": "a loan",
            "heard": "alone",
            "count": 1,
            "example": ["he asked for", ["a loan", "alone"], "today"],
            "where": "rec1",
            "right": 1,
            "partly": 0,
            "of": 2,
            "settings": ["chunk 20 s"],
        }
    ]
    assert told["seams"] is None  # nothing has times


def test_lost_and_added_words_are_found_where_they_were(tmp_path: Path) -> None:
    times = [(0.0, 1.0), (61.0, 62.0), (62.0, 63.0), (63.0, 64.0), (64.0, 65.0)]
    one = heard(1, "a b c d e", "a c d so e", times)
    (told,) = sections(tmp_path, run("a", settings(), utterances=[one]))
    deletions, insertions = told["confused"]
    assert [(row["said"], row["heard"], row["where"]) for row in deletions["rows"]] == [("b", "", "rec1, 0:00")]
    assert [(row["said"], row["heard"], row["where"]) for row in insertions["rows"]] == [("", "so", "rec1, 1:03")]
    assert deletions["rows"][0]["of"] == 0  # there is no other setting


def test_errors_at_seams_are_told_of_in_a_sentence(tmp_path: Path) -> None:
    at_seams = {round(SEAM_S * number / STEP_S) + shift for number in range(1, 8) for shift in (-1, 0, 1)}
    spread = set(range(3, WORDS, 19))
    (told,) = sections(
        tmp_path,
        run("a", settings(10), utterances=[long(at_seams)]),
        run("b", settings(20), utterances=[long(spread | {0, 1})]),
    )
    first, _ = told["seams"]["told"]
    assert first.startswith(
        "About 100 % of the 21 errors (100 % to 100 %) lie within 1 s of a seam beyond what is usual elsewhere:"
        " a longer stride"
    )
    assert first.endswith("may mend these.")
    mine, other = told["seams"]["table"]["rows"]
    assert mine[:3] == ["chunk 10 s", "21", "100 %"]
    assert other[0] == "chunk 20 s"
    assert sum(ring.words for ring in told["seams"]["rings"]) == WORDS


def test_what_has_no_text_is_passed_over(tmp_path: Path) -> None:
    assert sections(tmp_path / "random", run("a", utterances=[unscored(1), unscored(2)])) == []
    failed = utterance_result(3, failed=True)
    empty = heard(1, "a b", "")
    (told,) = sections(tmp_path / "empty", run("a", settings(), utterances=[empty, failed, heard(2, "c", "c")]))
    assert [row["said"] for row in told["confused"][0]["rows"]] == ["a", "b"]


def test_texts_scored_by_another_normaliser_are_left_out_and_counted(tmp_path: Path) -> None:
    other = dataclasses.replace(heard(1, "a b", "a c"), counts=WordCounts(hits=2))
    (told,) = sections(tmp_path, run("a", settings(), utterances=[other, heard(2, "c", "d")]))
    assert [row["said"] for row in told["confused"][0]["rows"]] == ["c"]
    assert told["notes"][0].startswith("1 utterances are left out")


def test_kinds_of_utterances(tmp_path: Path) -> None:
    # 20 utterances of one to 20 s, the longer half wrong; half of them by each of two speakers.
    spoken = [
        dataclasses.replace(
            heard(number, "a b c d", "a b c d" if number <= 10 else "a b x y", speaker=("<b>", "B")[number % 2]),
            audio_s=float(number),
            snr_db=30.0,
        )
        for number in range(1, 21)
    ]
    (told,) = sections(tmp_path, run("a", settings(), utterances=spoken))
    found = told["kinds"]["found"]
    assert [kind.factor for kind in found] == [*["Duration"] * 3, *["Speaking rate"] * 3, *["Speaker"] * 2]
    # By hand, from the edges at a third and two thirds of 1 to 20: 7, 6 and 7 utterances with 0, 3 and 7 of them wrong.
    assert [(kind.utterances, kind.rate.value) for kind in found[:3]] == [(7, 0.0), (6, 0.25), (7, 0.5)]
    assert [(kind.words, kind.rate.value) for kind in found[-2:]] == [(40, 0.25), (40, 0.25)]


def test_the_page_shows_it_and_escapes_what_was_said(tmp_path: Path) -> None:
    at_seams = {round(SEAM_S * number / STEP_S) + shift for number in range(1, 8) for shift in (-1, 0, 1)}
    evil = heard(2, "<script>alert(1)</script>", "|`<i>`")
    made = study(tmp_path / "hand", [run("a", settings(), utterances=[long(at_seams), evil])])
    folder = build(made, tmp_path / "reports")
    page, summary = ((folder / name).read_text() for name in ("index.html", "summary.md"))
    assert "Where the errors come from" in text_of(page)
    assert "<script>alert(1)" not in page
    assert "<script>alert(1)" not in summary
    assert "lie within 1 s of a seam" in text_of(page)
    assert "lie within 1 s of a seam" in summary
    assert (folder / "figures" / "seams_1.svg").exists()


@pytest.mark.parametrize("count", [1, 26])
def test_large_studies_are_aligned_in_part_and_it_is_said(tmp_path: Path, count: int) -> None:
    runs = [
        run(f"t{number}", settings(5 + number), utterances=[heard(1, "a b", "a c")], inference_s=10.0 + number)
        for number in range(count)
    ]
    (told,) = sections(tmp_path, *runs)
    assert told["confused"][0]["rows"][0]["of"] == min(count - 1, 23)
    notes = ["Of 25 other settings 23 were aligned, evenly from the best to the worst."] if count == 26 else []
    assert told["notes"] == notes
