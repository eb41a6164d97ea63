"""Which settings a report calls tied with the best, and how surely it knows each WER."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.config import NormalizerName
from bench.metrics import RTFX, WER
from bench.records import RunResult, Utterance, UtteranceResult, WordCounts
from bench.report import build, figures
from bench.report.accuracy import Accuracy, accuracies, accuracy, segments_against
from bench.report.frontier import recommend
from bench.report.parts import MOST_ALIGNED, block_counts, parts_of
from bench.report.standing import p_of, standing
from bench.report.tables import Block, blocks
from bench.report.verdict import costs, ties
from bench.score.normalize import normalizer
from bench.store import load_runs, load_utterances
from tests.report.builder import config, run, study, unscored, utterance_result
from tests.report.conftest import text_of

Split = Callable[..., list[Block]]
HOSTILE = "<script>alert(1)</script>"


def heard(errors: list[int], words: int = 20) -> list[UtteranceResult]:
    """Make utterances, each a recording of its own, with so many errors."""
    return [utterance_result(at, count, words) for at, count in enumerate(errors)]


# Of 12 recordings: alike makes one error more in one of them, worse two more in each.
BEST = [2, 1, 3, 2, 1, 2, 3, 1, 2, 2, 1, 3]
ALIKE = [2, 1, 3, 2, 1, 2, 3, 1, 2, 2, 1, 4]
WORSE = [count + 2 for count in BEST]


@pytest.fixture
def three() -> list[RunResult]:
    return [
        run("best", config(10), utterances=heard(BEST), inference_s=20.0),
        run("alike", config(20), utterances=heard(ALIKE), inference_s=10.0),
        run("worse", config(30), utterances=heard(WORSE), inference_s=5.0),
    ]


@pytest.fixture
def judge(blocks_of: Split, tmp_path: Path) -> Callable[..., tuple[Block, Accuracy]]:
    def judged(*runs: RunResult) -> tuple[Block, Accuracy]:
        (block,) = blocks_of(*runs)
        return block, accuracy(block, recommend(block), load_utterances(tmp_path / "hand"))

    return judged


def test_what_differs_by_one_error_is_tied_and_what_is_worse_everywhere_is_not(
    judge: Callable[..., tuple[Block, Accuracy]], three: list[RunResult]
) -> None:
    block, found = judge(*three)
    assert found.best == "best"
    assert found.tied == {"best", "alike"}
    assert [found.standing(trial) for trial in ("best", "alike", "worse")] == ["best", "tied", "different"]
    assert found.against["worse"].difference.value == pytest.approx(24 / 240)
    assert found.against["worse"].p_value < 0.01
    assert found.against["alike"].p_value == 1  # an exchange in one unit changes no absolute value
    assert found.units == "12 recordings"
    assert found.fastest_tied(block) == "alike"


def test_the_verdict_says_how_many_are_tied_and_what_the_faster_costs(
    judge: Callable[..., tuple[Block, Accuracy]], three: list[RunResult]
) -> None:
    block, found = judge(*three)
    recommendation = recommend(block)
    assert ties(block, recommendation, found) == [
        "1 of the 2 others cannot be told from it by their WER (at the 5 % level, over all together; 12 recordings)."
    ]
    _, near = costs(block, recommendation, found.tied)[:2]
    assert near.startswith(
        "Within 1 point of its WER, chunk 20 s, stride 1 s" if block.varied[1:] else "Within 1 point"
    )
    assert near.endswith("at 0.42 points more WER (10.0 % against 9.6 %), which cannot be told from the best's.")


def test_tied_is_not_called_equal_where_it_seems_much_worse(judge: Callable[..., tuple[Block, Accuracy]]) -> None:
    # One recording lost: ten points, all of them in one unit.
    lost = [*BEST[:-1], 20]
    block, found = judge(
        run("best", utterances=heard(BEST), inference_s=20.0),
        run("lost", config(20), utterances=heard(lost), inference_s=10.0),
        run("worse", config(30), utterances=heard(WORSE), inference_s=5.0),
    )
    told = ties(block, recommend(block), found)
    assert "lost" in found.tied
    assert found.fastest_tied(block) == "best"
    assert told[-1].startswith("That is no proof that they are as good: their WER is up to 7.1 points higher")


def test_too_few_recordings_for_so_many_settings_are_named(judge: Callable[..., tuple[Block, Accuracy]]) -> None:
    # Two settings take 6 units, 24 take 14 (24 * 23 / 2 ** 14 < 5 %).
    lost = [*BEST[:-1], 20]
    others = [run(f"alike-{at}", config(20 + at), utterances=heard(BEST)) for at in range(22)]
    block, found = judge(run("best", utterances=heard(BEST)), *others, run("lost", config(60), utterances=heard(lost)))
    assert found.too_few_units == 14
    assert ties(block, recommend(block), found)[-1].endswith(
        "12 recordings are too few to tell 24 settings apart, which takes 14 or more."
    )


def test_too_few_parts_are_not_tested(judge: Callable[..., tuple[Block, Accuracy]]) -> None:
    block, found = judge(run("a", utterances=heard([1] * 5)), run("b", config(20), utterances=heard([9] * 5)))
    assert found.against == {}
    assert found.tied == frozenset()
    assert ties(block, recommend(block), found) == []
    assert found.standing("b") == "\N{EN DASH}"
    assert found.interval("a") != "\N{EN DASH}"


def test_what_cannot_be_compared_is_not_tied(judge: Callable[..., tuple[Block, Accuracy]]) -> None:
    part = [*heard(BEST)[:-1], utterance_result(11, failed=True)]
    _, found = judge(run("best", utterances=heard(BEST)), run("part", config(20), utterances=part))
    assert "part" not in found.against
    assert found.interval("part") != "\N{EN DASH}"


def test_replicates_are_averaged_and_no_further_data(judge: Callable[..., tuple[Block, Accuracy]]) -> None:
    once = judge(run("a", utterances=heard(BEST)), run("b", config(20), utterances=heard(WORSE)))[1]
    runs = [run("a", utterances=heard(BEST), replicate=at) for at in range(3)]
    thrice = judge(*runs, run("b", config(20), utterances=heard(WORSE)))[1]
    assert thrice.against["b"] == once.against["b"]
    assert thrice.precisions["a"].ends == pytest.approx(once.precisions["a"].ends)


def test_nothing_is_said_of_what_has_no_wer(judge: Callable[..., tuple[Block, Accuracy]]) -> None:
    block, found = judge(run("a", utterances=[unscored(1)]), run("b", config(20), utterances=[unscored(1)]))
    assert found.best is None
    assert found.units == ""
    assert ties(block, recommend(block), found) == []
    assert standing(block, recommend(block), found, pd.DataFrame())["rows"] == []


def long(errors: list[int]) -> UtteranceResult:
    """Make one recording with so many words misheard in each block of 75."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    # Words that no normaliser changes.
    spoken = [f"q{one}{two}" for one in letters for two in letters][: 75 * len(errors)]
    said = list(spoken)
    for block, count in enumerate(errors):
        for at in range(count):
            said[75 * block + 30 + 6 * at] = "misheard"
    counts = WordCounts(sum(errors), 0, 0, len(spoken) - sum(errors))
    return UtteranceResult(Utterance("long", Path("long.wav"), " ".join(spoken)), 60.0, 4, " ".join(said), counts)


def test_settings_are_paired_in_blocks_of_one_long_recording(
    judge: Callable[..., tuple[Block, Accuracy]], tmp_path: Path
) -> None:
    ours, theirs = [0, 1, 0, 1, 0, 1, 0, 1], [3, 4, 2, 3, 4, 3, 2, 3]
    block, found = judge(run("a", utterances=[long(ours)]), run("b", config(20), utterances=[long(theirs)]))
    assert found.parts is not None
    assert found.parts.errors.tolist() == [ours, theirs]
    assert found.standing("b") == "different"
    pairs = segments_against(block, found, "b", load_utterances(tmp_path / "hand"))
    assert pairs is not None
    # Every error stands alone, six words from the next; in four places both err.
    assert pairs.segments == sum(max(one, other) for one, other in zip(ours, theirs, strict=True))
    assert pairs.mean == pytest.approx((sum(theirs) - sum(ours)) / pairs.segments)


def test_alignments_are_done_only_as_far_as_there_is_time() -> None:
    words = MOST_ALIGNED // 3
    rows = [
        {
            "trial_id": f"t{at}", "run_id": f"t{at}", "utterance_id": "u", "speaker": None, "path": "u.wav",
            "reference": "a", "hypothesis": "a", "reference_words": words, "substitutions": 0, "deletions": 0,
            "insertions": 1,
        }
        for at in range(5)
    ]  # fmt: skip
    found = parts_of([f"t{at}" for at in range(5)], pd.DataFrame(rows), str)
    assert found.trials == ("t0", "t1", "t2")
    # The text was scored by something else than what normalises it here, and is one block.
    assert found.errors.sum(axis=1).tolist() == [1, 1, 1]


def test_a_block_has_the_errors_that_the_whole_has() -> None:
    row = long([2, 0, 5])
    assert row.counts is not None
    normalize = normalizer(NormalizerName.none)
    counts = {"reference": row.utterance.text, "hypothesis": row.hypothesis, "reference_words": 225}
    assert block_counts(counts, normalize).tolist() == [[2, 75], [0, 75], [5, 75]]


def test_page_and_summary_mark_what_is_tied(tmp_path: Path, three: list[RunResult]) -> None:
    hostile = [dataclasses.replace(three[0], job=dataclasses.replace(three[0].job, data_name=HOSTILE)), *three[1:]]
    report = build(study(tmp_path / "results" / "s", hostile), tmp_path / "reports")
    page, summary = (report / "index.html").read_text(), (report / "summary.md").read_text()
    assert HOSTILE not in page
    for text in (text_of(page), summary):
        head, _, rest = text.partition("All settings")
        assert "1 of the 2 others cannot be told from it by their WER" in head
        assert "How sure the differences from the most accurate are" in head
        assert "different" in rest
    rows = {
        line.split("|")[2].strip(): line
        for line in summary.partition("All settings")[2].splitlines()
        if "RTFx" not in line and line.startswith("|")
    }
    assert "| tied |" in rows["chunk 20 s"]
    assert "| best |" in rows["chunk 10 s"]


def test_figures_mark_what_is_tied(tmp_path: Path, three: list[RunResult]) -> None:
    folder = study(tmp_path / "s", three)
    runs = load_runs(folder)
    found = accuracies(blocks(runs), load_utterances(folder))
    tied = {title: one.tied for title, one in found.items()}
    dots = figures.heatmap(runs, WER, tied=tied)
    assert dots is not None
    notes = [text.get_text() for part in dots.subfigs for text in part.axes[0].texts]
    assert [note for note in notes if "tied with the best" in note] == [
        "9.6, tied with the best",
        "10.0, tied with the best",
    ]
    drawn = figures.tradeoff(runs, accuracy=found)
    assert drawn is not None
    legend = [text.get_text() for text in drawn.subfigs[0].legends[0].get_texts()]
    assert "WER cannot be told from the best's" in legend
    assert "95 % interval of the WER" in legend


def test_a_map_outlines_tied_cells_in_the_legend_too(tmp_path: Path) -> None:
    runs = [
        run(f"t{chunk}{stride}", config(chunk, stride), utterances=heard(errors))
        for chunk, stride, errors in ((10, 1, BEST), (10, 2, ALIKE), (20, 1, WORSE), (20, 2, WORSE))
    ]
    folder = study(tmp_path / "s", runs)
    loaded = load_runs(folder)
    tied = {title: one.tied for title, one in accuracies(blocks(loaded), load_utterances(folder)).items()}
    for metric in (WER, RTFX):
        figure = figures.heatmap(loaded, metric, tied=tied)
        assert figure is not None
        (part,) = figure.subfigs
        dashed = [patch for patch in part.axes[0].patches if patch.get_linestyle() not in ("-", "solid")]
        assert len(dashed) == 2
        assert "WER cannot be told from the best's" in [text.get_text() for text in part.legends[0].get_texts()]
    plain = figures.heatmap(loaded, WER)
    assert plain is not None
    assert "WER cannot be told from the best's" not in [
        text.get_text() for text in plain.subfigs[0].legends[0].get_texts()
    ]


def test_many_settings_are_judged_in_one_go(judge: Callable[..., tuple[Block, Accuracy]]) -> None:
    chance = np.random.default_rng(1)
    runs = [
        run(f"t{at}", config(5.0 + at), utterances=heard(chance.binomial(20, 0.1 + 0.01 * at, 30).tolist()))
        for at in range(30)
    ]
    _, found = judge(*runs)
    assert set(found.against) == {f"t{at}" for at in range(30)}
    assert 1 < len(found.tied) < 30
    assert len(found.precisions) == 30


@pytest.mark.parametrize(("value", "told"), [(0.0001, "< 0.001"), (0.0042, "0.004"), (0.0996, "0.10"), (1.0, "1.00")])
def test_p_values_are_written_with_as_many_digits_as_mean_anything(value: float, told: str) -> None:
    assert p_of(value) == told
