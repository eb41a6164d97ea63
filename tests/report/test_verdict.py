"""What the report says in sentences, of runs of 200 words and 100 s of audio: 8 errors are 4.0 %, 10 s are RTFx 10."""

import pytest

from bench.config import MeasureConfig, ModelConfig, Weights
from bench.records import RunResult, UtteranceResult
from bench.report.frontier import recommend
from bench.report.verdict import caveats, costs, headline
from tests.report.builder import config, run, unscored, utterance_result
from tests.report.test_tables import Split


def runs_of(*shown: tuple[int, float, float]) -> list[RunResult]:
    """Make a run for each triple of errors, seconds of inference and peak in MiB, named chunk 10 s, 20 s and so on."""
    return [
        run(f"t{at}", config(10.0 * at), errors=errors, inference_s=time, peak_mib=peak)
        for at, (errors, time, peak) in enumerate(shown, 1)
    ]


@pytest.mark.parametrize(
    ("shown", "verdict", "other"),
    [
        pytest.param(
            [(8, 10.0, 800), (8, 20.0, 800), (10, 5.0, 800)],
            "the fastest of 2 settings that share the lowest WER (3 were compared)",
            [
                "The fastest setting of all, chunk 30 s, is 2.00 times as fast (RTFx 20.0), at 1.00 points more WER"
                " (5.0 % against 4.0 %)."
            ],
            id="some share the lowest WER",
        ),
        pytest.param(
            [(8, 10.0, 800), (8, 12.5, 801), (8, 20.0, 802)],
            "the fastest of 3 settings that share the lowest WER",
            ["It is 1.25 times as fast as the next."],
            id="all share one WER",
        ),
        pytest.param(
            [(8, 10.0, 800.4), (8, 10.1, 800.2), (8, 10.15, 800.0)],
            "one of 3 settings that share the lowest WER; their speeds are within 2 % of each other",
            [],
            id="all alike in everything",
        ),
        pytest.param(
            [(8, 10.0, 800), (8, 10.1, 800), (8, 12.0, 800)],
            "one of the 2 fastest (within 2 % of each other) of 3 settings that share the lowest WER",
            [],
            id="some alike in speed",
        ),
        pytest.param(
            [(8, 10.0, 800), (10, 10.1, 800), (12, 20.0, 800)],
            "the most accurate of 3 settings",
            ["It is also one of the 2 fastest settings, whose speeds are within 2 % of each other."],
            id="one of the fastest",
        ),
        pytest.param(
            [(8, 10.2, 800), (10, 10.0, 800)],
            "the most accurate of 2 settings",
            ["The speeds of both settings are within 2 % of each other."],
            id="exactly 2 % slower than the fastest",
        ),
        pytest.param(
            [(8, 10.0, 800), (10, 10.3, 800)],
            "the most accurate of 2 settings",
            ["It is also the fastest setting of all, 1.03 times as fast as the next."],
            id="fastest by 3 %",
        ),
        pytest.param(
            [(8, 10.0, 800), (20, 5.0, 800), (22, 5.05, 800), (9, 9.9, 800)],
            "the most accurate of 4 settings",
            [
                "One of the 2 fastest settings (within 2 % of each other), chunk 20 s, is 2.00 times as fast"
                " (RTFx 20.0), at 6.00 points more WER (10.0 % against 4.0 %)."
            ],
            id="no gain of 1 % is told",
        ),
    ],
)
def test_the_verdict_says_fastest_only_of_what_is(
    blocks_of: Split, shown: list[tuple[int, float, float]], verdict: str, other: list[str]
) -> None:
    (block,) = blocks_of(*runs_of(*shown))
    recommendation = recommend(block)
    told = headline(block, recommendation)
    assert told.startswith("Recommended: chunk 10 s (WER 4.0 %, RTFx ")
    assert told.endswith(f" peak RAM 800 MiB), {verdict}.")
    assert costs(block, recommendation) == other


@pytest.mark.parametrize(
    ("peaks", "told"),
    [
        ((301.2, 300.9), []),
        ((306.0, 300.0), []),  # 2 %
        (
            (309.0, 300.0),
            ["Least memory: chunk 20 s, 300 MiB against 309 MiB, at 1.00 points more WER (5.0 % against 4.0 %)."],
        ),
        ((300.0, 900.0), ["It also needs the least memory."]),
        ((301.0, 300.0, 900.0), ["It is also one of the 2 settings that need the least memory."]),
    ],
)
def test_memory_is_told_only_where_it_differs_by_more_than_noise(
    blocks_of: Split, peaks: tuple[float, ...], told: list[str]
) -> None:
    (block,) = blocks_of(*runs_of(*((8 + 2 * at, 10.0 + 5 * at, peak) for at, peak in enumerate(peaks))))
    assert costs(block, recommend(block)) == [
        "It is also the fastest setting of all, 1.50 times as fast as the next.",
        *told,
    ]


def test_equal_looking_rates_are_not_set_against_each_other(blocks_of: Split) -> None:
    # 101 and 102 errors of 10,000 words: 1.01 and 1.02 %.
    words = [utterance_result(1, words=5000)]
    (block,) = blocks_of(
        run("a", config(10), inference_s=20.0, utterances=[utterance_result(2, 101, 5000), *words]),
        run("b", config(20), inference_s=10.0, utterances=[utterance_result(2, 102, 5000), *words]),
    )
    (told,) = costs(block, recommend(block))
    assert told.endswith("2.00 times as fast (RTFx 10.0), at 0.01 points more WER.")


@pytest.mark.parametrize(
    ("sources", "beginnings"),
    [
        (["vmhwm", "vmhwm"], ["Peak RAM is the kernel's peak of the run's process after the model was loaded"]),
        (["vmhwm_since_start"] * 2, ["Peak RAM is the kernel's peak since the run's process began"]),
        (["sampled", "sampled"], ["Peak RAM is the highest sample taken"]),
        (
            ["vmhwm", "sampled"],
            [
                "Peak RAM of 1 of 2 runs is the kernel's peak of the run's process after",
                "Peak RAM of 1 of 2 runs is the highest sample taken",
            ],
        ),
    ],
)
def test_the_caveat_on_memory_fits_where_the_peaks_come_from(
    blocks_of: Split, sources: list[str], beginnings: list[str]
) -> None:
    (block,) = blocks_of(*(run(f"t{at}", config(10 + at), peak_source=one) for at, one in enumerate(sources)))
    told = [line for line in caveats(block) if line.startswith("Peak RAM")]
    assert len(told) == len(beginnings)
    assert all(line.startswith(beginning) for line, beginning in zip(told, beginnings, strict=True))


def test_peaks_that_were_not_measured_need_no_caveat(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a", peak_mib=None), run("b", config(20), peak_mib=None))
    assert not any("Peak RAM" in line for line in caveats(block))


@pytest.mark.parametrize(
    ("warmup", "told"),
    [
        (0, "2 timed passes without a warm-up."),
        (1, "2 timed passes after 1 warm-up pass over the first batch."),
        (3, "2 timed passes after 3 warm-up passes over the first batch."),
    ],
)
def test_what_each_run_transcribed_leaves_out_what_failed(blocks_of: Split, warmup: int, told: str) -> None:
    measure = MeasureConfig(warmup=warmup, repeats=2)
    results = [utterance_result(1), utterance_result(2), utterance_result(3, failed=True)]
    (block,) = blocks_of(run("a", config(measure=measure), inference_s=(10.0, 11.0), utterances=results))
    assert caveats(block)[0] == (
        f"Each run transcribed 2 utterances with 200 reference words, 100 s of audio, in {told}"
    )


RANDOM = ModelConfig(weights=Weights.random)


@pytest.mark.parametrize(
    ("shown", "verdict", "other"),
    [
        pytest.param(
            [(10.0, 900), (20.0, 500)],
            "Recommended: chunk 10 s (RTFx 10.0, peak RAM 900 MiB), the fastest of 2 settings; no setting has a WER.",
            [
                "It is 2.00 times as fast as the next.",
                "Least memory: chunk 20 s, 500 MiB against 900 MiB, at RTFx 5.0 against 10.0.",
            ],
            id="speed against memory",
        ),
        pytest.param(
            [(10.0, 500), (10.1, 500)],
            "Recommended: chunk 10 s (RTFx 10.0, peak RAM 500 MiB), one of 2 settings; their speeds are within 2 %"
            " of each other; no setting has a WER.",
            [],
            id="all alike",
        ),
        pytest.param(
            [(10.0, 500)],
            "Only one setting can be judged: model packaged/whisper-tiny.en, chunk 10 s, stride 1 s, batch 8 (RTFx"
            " 10.0, peak RAM 500 MiB).",
            ["There is no other setting to compare it with."],
            id="a single one",
        ),
    ],
)
def test_without_any_wer_the_verdict_speaks_of_speed_and_memory(
    blocks_of: Split, shown: list[tuple[float, float]], verdict: str, other: list[str]
) -> None:
    (block,) = blocks_of(
        *(
            run(
                f"t{at}",
                config(10.0 * at, model=RANDOM),
                inference_s=time,
                peak_mib=peak,
                utterances=[unscored(1), unscored(2)],
            )
            for at, (time, peak) in enumerate(shown, 1)
        )
    )
    recommendation = recommend(block)
    assert headline(block, recommendation) == verdict
    assert costs(block, recommendation) == other
    told = " ".join(caveats(block))
    assert "The weights are random, so the text means nothing and has no WER" in told
    assert "One word more or less" not in told
    assert "nan" not in told


@pytest.mark.parametrize(
    ("utterances", "told"), [([utterance_result(1, words=0)], True), ([utterance_result(1)], False)]
)
def test_the_reason_for_no_wer_is_told(blocks_of: Split, utterances: list[UtteranceResult], told: bool) -> None:
    (block,) = blocks_of(run("a", utterances=utterances))
    assert ("Nothing with a reference transcript was transcribed" in " ".join(caveats(block))) is told
