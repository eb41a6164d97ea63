import dataclasses
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics import PEAK_GPU, PEAK_RSS, RTFX, WER
from bench.records import Status, UtteranceResult
from bench.report.frontier import Picks, pareto_front, recommend
from bench.report.tables import Block
from tests.report.builder import MACHINE, config, run, unscored, utterance_result

Split = Callable[..., list[Block]]

# Few distinct values, so that ties are common.
values = st.one_of(st.integers(0, 4).map(float), st.just(float("nan")))
metrics = (WER, RTFX, PEAK_RSS)


@given(st.lists(st.tuples(values, values, values), max_size=12))
def test_pareto_front_is_what_comparing_every_pair_gives(rows: list[tuple[float, float, float]]) -> None:
    table = pd.DataFrame(rows, columns=[metric.column for metric in metrics], dtype=float)

    def beats(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
        if any(value != value for value in (*one, *other)):
            return False
        no_worse = one[0] <= other[0] and one[1] >= other[1] and one[2] <= other[2]
        return no_worse and one != other

    expected = [all(value == value for value in row) and not any(beats(one, row) for one in rows) for row in rows]
    assert list(pareto_front(table, metrics)) == expected


def test_recommendation_in_a_block_worked_out_by_hand(blocks_of: Split) -> None:
    # Of 200 words: WER 4.0, 5.0, 5.5 and 9.0 %; 100 s of audio: RTFx 4, 10, 20 and 25.
    (block,) = blocks_of(
        run("accurate", config(30), errors=8, inference_s=25.0, peak_mib=1000),
        run("on_the_limit", config(20), errors=10, inference_s=10.0, peak_mib=900),
        run("beyond", config(10), errors=11, inference_s=5.0, peak_mib=700),
        run("fastest", config(5), errors=18, inference_s=4.0, peak_mib=750),
    )
    recommendation = recommend(block)
    assert recommendation.picks == Picks("accurate", "on_the_limit", "beyond", "fastest", PEAK_RSS)
    assert (recommendation.compared, recommendation.excluded) == (4, {})


def test_of_equal_wer_the_faster_is_the_most_accurate(blocks_of: Split) -> None:
    (block,) = blocks_of(
        run("slow", config(10), errors=8, inference_s=20.0), run("fast", config(20), errors=8, inference_s=19.0)
    )
    picks = recommend(block).picks
    assert picks is not None
    assert picks.most_accurate == "fast"


def test_settings_never_win_on_an_easier_corpus_or_a_faster_machine(blocks_of: Split) -> None:
    faster = dataclasses.replace(MACHINE, cpu_model="Faster CPU")
    found = blocks_of(
        run("here", config(10), errors=20, inference_s=20.0),
        run("here_too", config(20), errors=30, inference_s=30.0),
        run("easier", config(10), errors=0, inference_s=20.0, data=("easy", "beef")),
        run("faster", config(10), errors=20, inference_s=1.0, machine=faster),
    )
    picks = [recommend(block).picks for block in found]
    chosen = {pick and (pick.most_accurate, pick.fastest) for pick in picks}
    assert chosen == {("here", "here"), ("easier", "easier"), ("faster", "faster")}


def test_a_trial_that_scored_fewer_words_is_excluded_and_named(blocks_of: Split) -> None:
    (block,) = blocks_of(
        run("whole", config(10), errors=20),
        run("part", config(20), utterances=[utterance_result(1, 0), utterance_result(2, failed=True)]),
    )
    recommendation = recommend(block)
    assert recommendation.picks is not None
    assert recommendation.picks.most_accurate == "whole"
    assert recommendation.excluded == {"part": "scored 100 of the 200 reference words other settings scored"}


def test_an_utterance_lost_by_every_trial_excludes_none(blocks_of: Split) -> None:
    lost = utterance_result(2, failed=True)
    (block,) = blocks_of(
        run("a", config(10), utterances=[utterance_result(1, 7), lost]),
        run("b", config(20), utterances=[utterance_result(1, 5), lost]),
    )
    recommendation = recommend(block)
    assert recommendation.picks is not None
    assert (recommendation.picks.most_accurate, recommendation.excluded) == ("b", {})


def test_a_trial_with_one_failed_replicate_is_not_recommended(blocks_of: Split) -> None:
    (block,) = blocks_of(
        run("sure", config(10), errors=20),
        run("shaky", config(20), errors=1),
        run("shaky", config(20), replicate=1, status=Status.oom, reason="killed"),
    )
    recommendation = recommend(block)
    assert recommendation.picks is not None
    assert recommendation.picks.most_accurate == "sure"
    assert recommendation.excluded == {"shaky": "ended in oom in 1 of 2 runs"}


def test_on_a_gpu_its_memory_decides(blocks_of: Split) -> None:
    gpu = dataclasses.replace(MACHINE, gpu="Test GPU", gpu_driver="1")
    (block,) = blocks_of(
        run("big_ram", config(10, device="cuda"), peak_mib=3000, gpu_mib=500, machine=gpu),
        run("big_gpu", config(20, device="cuda"), peak_mib=1000, gpu_mib=900, machine=gpu),
    )
    picks = recommend(block).picks
    assert picks is not None
    assert (picks.least_memory, picks.memory) == ("big_ram", PEAK_GPU)


def test_nothing_is_recommended_where_nothing_can_be_compared(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a", status=Status.oom, reason="killed"))
    recommendation = recommend(block)
    assert recommendation.picks is None
    assert "1 ended in oom" in str(recommendation.reason)


def test_a_trial_without_a_wer_is_not_compared_with_those_that_have_one(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a", errors=20), run("b", config(20), inference_s=1.0, utterances=[unscored(1)]))
    recommendation = recommend(block)
    assert recommendation.picks is not None
    assert (recommendation.picks.recommended, recommendation.picks.fastest) == ("a", "a")
    assert list(recommendation.excluded) == ["b"]
    assert "has no WER" in recommendation.excluded["b"]


@pytest.mark.parametrize("utterances", [[unscored(1), unscored(2)], [utterance_result(1, words=0)]])
def test_where_no_trial_has_a_wer_speed_and_memory_decide(blocks_of: Split, utterances: list[UtteranceResult]) -> None:
    (block,) = blocks_of(
        run("slow", config(10), inference_s=20.0, peak_mib=500, utterances=utterances),
        run("fast", config(20), inference_s=10.0, peak_mib=900, utterances=utterances),
        run("dead", config(30), status=Status.oom, reason="killed", utterances=utterances),
    )
    recommendation = recommend(block)
    assert recommendation.picks == Picks(None, None, "slow", "fast", PEAK_RSS)
    assert recommendation.picks.recommended == "fast"
    assert recommendation.excluded == {"dead": "ended in oom"}
