"""The comparison against scipy's exact test, against hand-worked cases, and by the rates it promises."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from bench.measure.comparison import compare

TIMES = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=9, unique=True)


@settings(deadline=None)
@given(first=TIMES, second=TIMES)
def test_the_p_value_is_that_of_scipys_exact_test(first: list[float], second: list[float]) -> None:
    if set(first) & set(second):
        return  # scipy's exact test knows no ties
    expected = mannwhitneyu(first, second, method="exact").pvalue
    assert compare(first, second).p_value == pytest.approx(expected)


@settings(deadline=None)
@given(first=TIMES, second=TIMES)
def test_the_interval_leaves_out_one_exactly_when_the_test_rejects(first: list[float], second: list[float]) -> None:
    found = compare(first, second)
    if found.low is None or found.high is None:
        assert not found.decidable
        assert not found.different
    elif len({*first, *second}) == len(first) + len(second):
        assert found.low <= found.ratio <= found.high
        assert (not found.low <= 1 <= found.high) is found.different


@given(first=TIMES, second=TIMES, factor=st.floats(0.1, 10.0))
def test_a_unit_changes_nothing_and_a_factor_on_one_side_changes_the_ratio_by_it(
    first: list[float], second: list[float], factor: float
) -> None:
    plain, scaled = compare(first, second), compare([factor * one for one in first], [factor * one for one in second])
    assert scaled.ratio == pytest.approx(plain.ratio)
    assert compare(first, [factor * one for one in second]).ratio == pytest.approx(factor * plain.ratio)
    assert compare(second, first).ratio == pytest.approx(1 / plain.ratio)


def test_four_runs_of_each_decide_and_three_do_not() -> None:
    # Of the 70 orders of four and four values, two are fully apart: p = 2/70; of 20 orders of three, p = 2/20.
    four = compare([1.0, 1.01, 1.02, 1.03], [2.0, 2.01, 2.02, 2.03])
    assert four.p_value == pytest.approx(2 / 70)
    assert four.different
    # With p = 2/70 for the outermost ratio and 4/70 > 5 % for the next, the interval is all of the ratios.
    assert four.low == pytest.approx(2.0 / 1.03)
    assert four.high == pytest.approx(2.03 / 1.0)
    three = compare([1.0, 1.01, 1.02], [2.0, 2.01, 2.02])
    assert three.p_value == pytest.approx(2 / 20)
    assert (three.different, three.decidable, three.low, three.high) == (False, False, None, None)


def test_the_ratio_is_the_median_of_all_pairs() -> None:
    assert compare([1.0, 2.0], [3.0]).ratio == pytest.approx(math.sqrt(3.0 * 1.5))
    assert compare([2.0], [1.0, 3.0, 8.0]).ratio == 1.5


def test_a_tie_speaks_against_a_difference() -> None:
    # Of the 70 orders, by midranks, 4 are as far apart: p = 4/70.
    found = compare([1.0, 2.0, 3.0, 4.0], [4.0, 5.0, 6.0, 7.0])
    assert found.p_value == pytest.approx(4 / 70)
    assert not found.different


def test_equal_values_are_no_difference() -> None:
    found = compare([1.0] * 6, [1.0] * 6)
    assert (found.ratio, found.different) == (1.0, False)
    assert found.p_value == 1.0


@pytest.mark.parametrize(("first", "second"), [([], [1.0]), ([1.0], []), ([0.0], [1.0]), ([1.0], [-1.0])])
def test_nothing_and_what_is_no_duration_are_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        compare(first, second)


@pytest.mark.parametrize("runs", [5, 8])
def test_it_errs_as_rarely_as_it_promises_with_long_tails(runs: int) -> None:
    # Binomially, 400 pairs at 5 % give more than 34 calls once in a thousand times.
    noise = np.random.default_rng(1)

    def times(factor: float) -> list[float]:
        slow = noise.random(runs) < 0.1  # now and then something takes a third longer
        return list(factor * np.exp(noise.normal(0, 0.02, runs)) * np.where(slow, 1.3, 1.0))

    pairs = 400
    same = [compare(times(1.0), times(1.0)) for _ in range(pairs)]
    slower = [compare(times(1.0), times(1.1)) for _ in range(pairs)]
    assert sum(found.different for found in same) <= 34
    covered = sum(
        found.low is not None and found.high is not None and found.low <= 1.1 <= found.high for found in slower
    )
    assert covered >= pairs - 34
    assert sum(found.different for found in slower) >= (0.6 if runs == 5 else 0.8) * pairs


def test_every_order_of_small_samples_is_counted() -> None:
    # By hand, without any formula: the share of all orders at least as extreme.
    values = [1.0, 2.0, 4.0, 8.0, 16.0]

    def wins(chosen: tuple[float, ...]) -> int:
        others = [value for value in values if value not in chosen]
        return sum(other > one for one in chosen for other in others)

    every = [wins(chosen) for chosen in itertools.combinations(values, 2)]
    for chosen in itertools.combinations(values, 2):
        extreme = min(wins(chosen), 6 - wins(chosen))
        expected = min(1.0, 2 * sum(one <= extreme for one in every) / len(every))
        assert compare(chosen, [value for value in values if value not in chosen]).p_value == pytest.approx(expected)
