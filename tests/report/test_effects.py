from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.records import Status
from bench.report.effects import effect, main_effects
from bench.report.frontier import recommend
from bench.report.tables import Block
from tests.report.builder import config, run

PAIRS = st.lists(st.tuples(st.floats(0.5, 50.0), st.floats(0.5, 50.0)), min_size=3, max_size=20)


@given(PAIRS, st.booleans())
def test_an_effect_is_that_of_the_paired_t_test(pairs: list[tuple[float, float]], ratio: bool) -> None:
    before, after = np.array(pairs).T
    found = effect(before, after, ratio=ratio)
    change = np.log if ratio else np.asarray
    if np.ptp(change(after) - change(before)) < 1e-9:  # scipy has no interval without variance
        return
    expected = stats.ttest_rel(change(after), change(before)).confidence_interval(0.95)
    back = np.exp if ratio else np.asarray
    assert found is not None
    assert (found.low, found.high) == pytest.approx((float(back(expected.low)), float(back(expected.high))))
    assert found.pairs == len(pairs)


def test_two_pairs_have_no_interval_and_a_missing_value_is_no_pair() -> None:
    found = effect(np.array([1.0, 2.0, np.nan]), np.array([3.0, 3.0, 9.0]), ratio=False)
    assert found is not None
    assert (found.mean, found.low, found.high, found.pairs, found.higher, found.lower) == (1.5, None, None, 2, 2, 0)
    assert effect(np.array([np.nan]), np.array([1.0]), ratio=False) is None


def test_settings_are_compared_in_the_same_company(blocks_of: Callable[..., list[Block]]) -> None:
    # 200 words a run; a longer stride mends 4 errors, halves the speed and takes 30, 20 and 10 MiB. Chunk 40 s was
    # tried with the longer stride alone, so it counts for nothing.
    runs = [
        run(f"{chunk}-{stride}", config(chunk, stride), errors=20 - 4 * stride, inference_s=5.0 + 5.0 * stride,
            peak_mib=800.0 + stride * (40 - chunk))
        for chunk in (10, 20, 30) for stride in (0, 1)
    ]  # fmt: skip
    (block,) = blocks_of(*runs, run("alone", config(40, 1), errors=0, inference_s=0.1, peak_mib=5000.0))
    found = main_effects(block, recommend(block))
    (stride,) = [row for row in found["rows"] if row[0].startswith("Stride")]
    assert stride[1:4] == ["1 s against 0 s", "3", "\N{MINUS SIGN}2.0 points (\N{MINUS SIGN}2.0 to \N{MINUS SIGN}2.0)"]
    assert stride[4] == "\N{MULTIPLICATION SIGN} 0.50 (0.50 to 0.50)"
    # Student's t of 2 degrees of freedom is 4.303; the standard error is 10 / sqrt(3).
    assert stride[5] == "+20 MiB (\N{MINUS SIGN}5 to +45)"
    assert (
        "WER lower in all 3 pairs (\N{MINUS SIGN}2.0 points); RTFx lower in all 3 pairs"
        " (\N{MULTIPLICATION SIGN} 0.50); Peak RAM higher in all 3 pairs (+20 MiB)." in found["told"][-1]
    )


@pytest.mark.parametrize("runs", [[run("a")], [run("a", config(10, 0)), run("b", config(20, 1))], [
    run("a"), run("b", config(20), status=Status.error, reason="broken")
]])  # fmt: skip
def test_nothing_is_told_where_nothing_can_be_paired(blocks_of: Callable[..., list[Block]], runs: list[Any]) -> None:
    (block,) = blocks_of(*runs)
    found = main_effects(block, recommend(block))
    assert (found["rows"], found["told"]) == ([], [])
