import dataclasses
from collections.abc import Callable

import pytest

from bench.config import (
    AUTO,
    DataConfig,
    DecodeConfig,
    MeasureConfig,
    Merge,
    NormalizerName,
    ScoreConfig,
    Strategy,
)
from bench.records import Status
from bench.report.tables import Block, differences
from tests.report.builder import MACHINE, config, run, utterance_result

Split = Callable[..., list[Block]]


def test_replicates_of_a_trial_become_one_row_of_medians_and_summed_counts(blocks_of: Split) -> None:
    (block,) = blocks_of(
        run("a", errors=10, inference_s=10.0, peak_mib=800, replicate=0),
        run("a", errors=14, inference_s=20.0, peak_mib=900, replicate=1),
        run("a", errors=12, inference_s=12.5, peak_mib=1300, replicate=2),
    )
    row = block.row("a")
    assert (row["runs"], row["runs_ok"], row["status"]) == (3, 3, "ok")
    assert (row["substitutions"], row["reference_words"]) == (36, 600)
    assert row["wer"] == pytest.approx(0.06)
    assert row["rtfx"] == pytest.approx(8.0)  # of 10, 5 and 8
    assert row["inference_s"] == pytest.approx(12.5)
    assert row["peak_rss_mib"] == 900
    assert row["words_scored"] == 200
    assert row["typical_run"] == "a-2"
    assert row["decode_s"] == pytest.approx(6.25)  # of the same run, so that its phases add up


def test_a_trial_with_a_failed_replicate_is_not_ok_and_keeps_its_reason(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a"), run("a", replicate=1, status=Status.oom, reason="out of memory"))
    row = block.row("a")
    assert (row["runs"], row["runs_ok"], row["status"], row["reason"]) == (2, 1, "oom", "out of memory")
    assert row["wer"] == pytest.approx(0.05)


def test_only_settings_that_change_results_are_varied(blocks_of: Split) -> None:
    (block,) = blocks_of(
        run("a", config(10, 1), errors=5),
        run("b", config(20, 2, measure=MeasureConfig(sample_hz=5)), errors=9),
    )
    assert block.varied == ("decode.chunk_length_s", "decode.stride_length_s")
    assert list(block.table["label"]) == ["chunk 10 s, stride 1 s", "chunk 20 s, stride 2 s"]


def test_a_batch_size_the_run_found_is_called_auto(blocks_of: Split) -> None:
    sizes = {size: dataclasses.replace(config().decode, batch_size=size) for size in (4, AUTO)}
    (block,) = blocks_of(*(run(str(size), config(decode=decode)) for size, decode in sizes.items()))
    assert dict(block.table["label"]) == {"4": "batch 4", "auto": "batch auto"}


CHUNKED, VAD = DecodeConfig(), DecodeConfig(strategy=Strategy.vad, stride_length_s=0.0)
SEQUENTIAL = dataclasses.replace(VAD, strategy=Strategy.sequential)


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        (
            [dataclasses.replace(CHUNKED, chunk_length_s=20.0, merge=Merge.pipeline), VAD, SEQUENTIAL],
            ["chunk 20 s, stride 5 s, pipeline merge", "vad, chunk 30 s", "sequential"],
        ),
        ([CHUNKED, VAD], ["chunked, stride 5 s", "vad"]),
        ([VAD], ["model packaged/whisper-tiny.en, vad, chunk 30 s, batch 8"]),
        ([CHUNKED], ["model packaged/whisper-tiny.en, chunk 30 s, stride 5 s, batch 8"]),
    ],
)
def test_a_label_leaves_out_what_the_strategy_settles(
    blocks_of: Split, settings: list[DecodeConfig], labels: list[str]
) -> None:
    (block,) = blocks_of(*(run(str(number), config(decode=decode)) for number, decode in enumerate(settings)))
    assert list(block.table.sort_index()["label"]) == labels


def test_trials_that_differ_in_nothing_shown_keep_different_names(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a", errors=1), run("b", errors=2))
    assert block.table["label"].is_unique


@pytest.mark.parametrize(
    ("other", "name", "values"),
    [
        (run("b", config(device="cuda")), "device", ("cpu", "cuda")),
        (run("b", data=("demo", "beef")), "data fingerprint", ("f00d", "beef")),
        (run("b", config(measure=MeasureConfig(warmup=0))), "warm-up passes", ("1", "0")),
        (run("b", config(measure=MeasureConfig(repeats=3))), "timed passes", ("1", "3")),
        (run("b", config(score=ScoreConfig(NormalizerName.none))), "normalizer", ("whisper_english", "none")),
        (run("b", machine=dataclasses.replace(MACHINE, cpu_model="Other")), "CPU", ("Test CPU 9000", "Other")),
        (run("b", machine=dataclasses.replace(MACHINE, torch="2.6.0")), "torch", ("2.5.0", "2.6.0")),
        (run("b", threads=8), "torch threads", ("4", "8")),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_another_block_and_both_values_are_told(
    blocks_of: Split, other: object, name: str, values: tuple[str, str]
) -> None:
    found = blocks_of(run("a"), other)
    assert [list(block.table.index) for block in found] == [["a"], ["b"]]
    assert differences(found) == {name: values}
    assert found[0].title != found[1].title


def test_a_limit_that_leaves_the_same_recordings_separates_nothing(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a"), run("b", config(20, data=DataConfig(limit=2))))
    assert block.varied == ("decode.chunk_length_s",)


def test_the_block_that_ran_last_comes_first(blocks_of: Split) -> None:
    found = blocks_of(
        run("a", data=("demo", "old"), started_at="2025-01-01T10:00:00.000+00:00"),
        run("b", data=("demo", "mended"), started_at="2025-01-01T11:00:00.000+00:00"),
        run("c", data=("demo", "between"), started_at="2025-01-01T10:30:00.000+00:00"),
        run("d", config(20), data=("demo", "old"), started_at="2025-01-01T10:15:00.000+00:00"),
        run("e", data=("demo", "as late"), started_at="2025-01-01T11:00:00.000+00:00"),
    )
    assert [sorted(block.table.index) for block in found] == [["b"], ["e"], ["c"], ["a", "d"]]
    assert differences(found) == {"data fingerprint": ("mended", "as late", "between", "old")}


def test_thread_counts_of_torch_separate_no_blocks_where_the_study_varies_threads(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a", config(threads=2), threads=2), run("b", config(threads=4), threads=4))
    assert block.varied == ("threads",)


def test_a_run_that_died_before_telling_its_threads_stays_with_its_machine(blocks_of: Split) -> None:
    other = dataclasses.replace(MACHINE, cpu_model="Other")
    found = blocks_of(
        run("a"),
        run("b", config(20), status=Status.oom, reason="killed"),
        run("c", config(30), machine=other),
        run("d", config(40), machine=other, status=Status.error, reason="broke"),
    )
    assert [sorted(block.table.index) for block in found] == [["a", "b"], ["c", "d"]]


def test_failed_trials_come_last_with_their_reasons(blocks_of: Split) -> None:
    (block,) = blocks_of(
        run("a", config(5), status=Status.timeout, reason="ran past 60 s"),
        run("b", config(10), errors=30),
        run("c", config(20), errors=3),
    )
    assert list(block.table.index) == ["c", "b", "a"]
    assert block.row("a")["reason"] == "ran past 60 s"


def test_a_wer_over_no_words_is_null(blocks_of: Split) -> None:
    (block,) = blocks_of(run("a", utterances=[utterance_result(1, words=0)]))
    assert block.table["wer"].isna().all()
