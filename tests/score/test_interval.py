"""The interval of a measured WER: by hand, against scipy's jackknife relative, and by how often it holds the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.score.interval import Interval, difference, measured, rate, standard_error, unit_numbers
from benchmarks.statistics import covered


def test_leaving_out_one_at_a_time_by_brute_force() -> None:
    chance = np.random.default_rng(1)
    words = chance.integers(5, 60, 17).astype(float)
    errors = chance.binomial(words.astype(int), 0.2).astype(float)
    without = np.array([np.delete(errors, at).sum() / np.delete(words, at).sum() for at in range(17)])
    whole = errors.sum() / words.sum()
    assert standard_error(errors, words) == pytest.approx(math.sqrt(16 / 17 * ((without - whole) ** 2).sum()))


def test_of_equal_units_it_is_the_t_interval_of_scipy_on_a_logarithmic_scale() -> None:
    errors, words = np.array([3.0, 1, 4, 1, 5, 9, 2, 6]), np.full(8, 40.0)
    theirs = stats.ttest_1samp(errors / 40, 0).confidence_interval(0.95)
    mean = errors.mean() / 40
    ratio = math.exp((theirs.high - mean) / mean)
    found = rate(errors, words)
    assert found.value == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx((mean / ratio, mean * ratio), rel=1e-3)


def test_a_difference_is_the_paired_t_interval_of_scipy() -> None:
    ours, theirs = np.array([3.0, 1, 4, 1, 5, 9, 2, 6]), np.array([2.0, 7, 1, 8, 2, 8, 1, 8])
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    found = difference(ours, theirs, np.full(8, 40.0))
    assert (found.low, found.high) == pytest.approx((expected.low / 40, expected.high / 40), rel=1e-3)
    assert found.value == pytest.approx((ours - theirs).mean() / 40)


def test_errors_in_too_few_units_have_no_interval() -> None:
    assert rate([1, 1, 1, 1, 0, 0], [9] * 6) == Interval(4 / 54, None, None)
    assert not rate([1, 1, 1, 1, 0, 0], [9] * 6).excludes_zero
    assert rate([1, 1, 1, 1, 1, 0], [9] * 6).low is not None
    assert difference([1, 2, 3, 4], [0, 0, 0, 0], [9] * 4).low is None


def test_a_unit_that_is_all_of_the_data_has_no_finite_error() -> None:
    assert standard_error(np.array([3.0, 1.0]), np.array([10.0, 0.0])) == math.inf


def test_units_are_clusters_where_there_are_five_and_parts_otherwise() -> None:
    words = np.full(10, 8.0)
    five = np.arange(10) // 2
    assert unit_numbers(words, five).tolist() == five.tolist()
    assert unit_numbers(words, five % 4).tolist() == list(range(10))
    # The fifth has no words, so that it is none.
    words[five == 4] = 0
    assert unit_numbers(words, five).tolist() == list(range(10))


def test_no_end_is_below_zero_and_all_hold_the_rate() -> None:
    found = measured(np.array([1.0, 0, 0, 9, 1, 1, 1, 0]), np.full(8, 30.0), np.arange(8))
    assert found is not None
    low, high = found.ends
    assert 0 < low < found.wer < high


@pytest.mark.parametrize(("clusters", "spread", "wer"), [(30, 0.5, 0.1), (60, 0.0, 0.3)])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(clusters: int, spread: float, wer: float) -> None:
    # 500 simulations tell 95 % to 2 points (twice the standard error); make bench has 2,000 of more cases.
    assert 0.92 <= covered(clusters, spread, wer, 500, seed=1) <= 0.98
