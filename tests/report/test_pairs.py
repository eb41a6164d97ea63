"""Speeds against each other: seconds from 10 to 13 over half of them are 16 ratios, from 10 / 6.5 to 13 / 5 about 2."""

import dataclasses
from collections.abc import Sequence

import pytest

from bench.config import DType, ModelConfig
from bench.readings import Environment
from bench.records import RunResult, Status
from bench.report.comparison import notes
from bench.report.pairs import Pair, pairs, sides
from tests.report.builder import MACHINE, config, run, utterance_result
from tests.report.test_tables import Split

SLOW = (10.0, 11.0, 12.0, 13.0)
FAST = (5.0, 5.5, 6.0, 6.5)
LIKE_SLOW = (9.5, 10.5, 11.5, 12.5)
GPU = dataclasses.replace(MACHINE, gpu="Test GPU", gpu_driver="570")


def runs_of(
    trial: str, seconds: Sequence[float], chunk: float = 10, device: str = "cpu", machine: Environment | None = None
) -> list[RunResult]:
    """Make a run for each time, on the machine that the device is found in."""
    where = machine or (GPU if device == "cuda" else MACHINE)
    settings = config(chunk, device=device)
    return [run(trial, settings, inference_s=time, replicate=at, machine=where) for at, time in enumerate(seconds)]


@pytest.mark.parametrize(
    ("base", "other", "verdict", "cell"),
    [
        (SLOW, FAST, "2.00 times as fast (1.54 to 2.60)", "2.00 (1.54 to 2.60)"),
        (FAST, SLOW, "0.50 times as fast (0.38 to 0.65)", "0.50 (0.38 to 0.65)"),
        (SLOW, LIKE_SLOW, "cannot be told apart (0.80 to 1.37)", None),
        (
            SLOW[:1],
            FAST[:1],
            "2.00 times as fast in the runs there are, but too few to tell: give measure.replicates=4",
            "2.00, too few runs",
        ),
    ],
)
def test_a_pair_says_how_much_faster_or_why_that_cannot_be_told(
    blocks_of: Split, base: Sequence[float], other: Sequence[float], verdict: str, cell: str | None
) -> None:
    found = blocks_of(*runs_of("a", base), *runs_of("b", other, device="cuda"))
    (pair,) = pairs(found, {"device": "cpu"})
    assert pair.verdict == verdict
    assert cell is None or pair.cell == cell
    assert pair.changed == {"device": "cuda"}
    assert pair.warnings == ()  # the GPU follows from the device


def two_pairs(blocks_of: Split, count: int) -> list[Pair]:
    """Two chunks on two devices: the one twice as fast on the second, the other no faster."""
    slow = [10.0 + step for step in range(count)]
    found = blocks_of(
        *runs_of("a", slow),
        *runs_of("b", [time / 2 for time in slow], device="cuda"),
        *runs_of("c", slow, chunk=20),
        *runs_of("d", [time - 0.5 for time in slow], chunk=20, device="cuda"),
    )
    return pairs(found, {"device": "cpu"})


def test_several_pairs_are_judged_together(blocks_of: Split) -> None:
    first, second = two_pairs(blocks_of, 5)
    assert first.shared == {"decode.chunk_length_s": 10}
    # Ranks that do not overlap have 2 of the 252 orders of 5 and 5; Holm doubles the least of two p-values.
    assert first.comparison is not None
    assert first.comparison.p_value == pytest.approx(2 / 252)
    assert first.p_adjusted == pytest.approx(4 / 252)
    assert (first.different, second.different, second.decidable) == (True, False, True)
    assert second.verdict.startswith("cannot be told apart")
    assert notes([first, second]) == [
        "2 pairs are judged together: which of them differ is told after Holm's correction, at the 5 % level; each 95 %"
        " interval is of its pair alone."
    ]


def test_runs_that_were_enough_for_one_pair_may_be_too_few_for_two(blocks_of: Split) -> None:
    first, _ = two_pairs(blocks_of, 4)
    assert first.p_adjusted == pytest.approx(2 * 2 / 70)  # 5.7 %
    told = "too few to tell 2 pairs apart: give measure.replicates=5"  # 2 of 252 is below 2.5 %
    assert first.verdict == f"2.00 times as fast in the runs there are, but {told}"


def test_a_difference_that_only_stands_alone_is_told_as_such(blocks_of: Split) -> None:
    # 11.5 s is more than two of the others, and 4 of the 252 orders have so few or fewer; Holm doubles twice that.
    slow = [10.0, 11.0, 12.0, 13.0, 14.0]
    faster = [7.0, 7.5, 8.0, 9.0, 11.5]
    found = blocks_of(
        *runs_of("a", slow),
        *runs_of("b", faster, device="cuda"),
        *runs_of("c", slow, chunk=20),
        *runs_of("d", slow, chunk=20, device="cuda"),
    )
    first, second = pairs(found, {"device": "cpu"})
    assert first.comparison is not None
    assert first.comparison.p_value == pytest.approx(8 / 252)
    assert first.p_adjusted == pytest.approx(16 / 252)
    assert first.verdict.startswith("cannot be told apart among 2 pairs (")
    assert second.verdict.startswith("cannot be told apart (")


def test_other_environments_are_compared_with_a_warning_that_shows_both_values(blocks_of: Split) -> None:
    newer = dataclasses.replace(GPU, torch="2.6.0")
    found = blocks_of(*runs_of("a", SLOW), *runs_of("b", FAST, device="cuda", machine=newer))
    (pair,) = pairs(found, {"device": "cpu"})
    assert pair.warnings == ("torch differs: 2.6.0 against 2.5.0",)
    assert notes([pair]) == ["Warning: device cuda: torch differs: 2.6.0 against 2.5.0."]


def test_the_baseline_of_the_same_environment_is_chosen_where_there_is_one(blocks_of: Split) -> None:
    newer = dataclasses.replace(MACHINE, torch="2.6.0")
    found = blocks_of(
        *runs_of("a", SLOW),
        *runs_of("a", [2 * time for time in SLOW], machine=newer),
        *runs_of("b", FAST, chunk=20, machine=newer),
    )
    (pair,) = pairs(found, {"decode.chunk_length_s": 10})
    assert pair.warnings == ()
    assert pair.comparison is not None
    assert pair.comparison.ratio == pytest.approx(4.0)


def test_other_data_are_never_paired(blocks_of: Split) -> None:
    found = blocks_of(run("a"), run("b", config(device="cuda"), machine=GPU, data=("other", "beef")))
    (pair,) = pairs(found, {"device": "cpu"})
    assert (pair.base, pair.comparison, pair.cell) == (None, None, "–")
    assert pair.verdict == "nothing to compare it with: the baseline was not run with the same other settings"


def test_audio_that_failed_on_one_side_is_warned_of(blocks_of: Split) -> None:
    lost = [utterance_result(1), utterance_result(2, failed=True)]
    found = blocks_of(run("a"), run("b", config(device="cuda"), machine=GPU, utterances=lost))
    (pair,) = pairs(found, {"device": "cpu"})
    assert pair.warnings == ("audio differs: 50 s against 100 s",)


def test_a_side_that_failed_has_no_verdict(blocks_of: Split) -> None:
    found = blocks_of(run("a"), run("b", config(device="cuda"), machine=GPU, status=Status.oom, reason="full"))
    (pair,) = pairs(found, {"device": "cpu"})
    assert pair.verdict == "no timing on one side: its runs failed or were ended early, or their timings are left out"
    assert sides(found)[1].rtfx is None


def test_a_baseline_may_fix_several_settings(blocks_of: Split) -> None:
    half, full = (ModelConfig(dtype=dtype) for dtype in (DType.bfloat16, DType.float32))
    found = blocks_of(
        run("a", config(model=full), inference_s=10.0),
        run("b", config(model=half), inference_s=20.0),
        run("c", config(model=half, device="cuda"), inference_s=2.0, machine=GPU),
    )
    told = {
        (pair.changed["device"], pair.changed["model.dtype"]): pair.cell
        for pair in pairs(found, {"device": "cpu", "model.dtype": "float32"})
    }
    assert told == {("cpu", "bfloat16"): "0.50, too few runs", ("cuda", "bfloat16"): "5.00, too few runs"}
    (same,) = pairs(found, {"device": "cpu"})
    assert same.cell == "10.00, too few runs"
