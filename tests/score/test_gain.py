"""Differences between two scores of the same utterances, against scipy's bootstrap and by counting."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.score.gain import LEVEL, Gain, gain

Rows = tuple[list[int], list[int], list[int]]


def drawn(utterances: int, seed: int) -> Rows:
    """Errors before and after, and words; after the change there are fewer errors."""
    random = np.random.default_rng(seed)
    words = random.integers(3, 15, utterances)
    return random.binomial(words, 0.3).tolist(), random.binomial(words, 0.2).tolist(), words.tolist()


def test_rates_are_pooled_over_all_words() -> None:
    found = gain([3, 0], [1, 1], [4, 6], [0, 1])
    assert (found.before.value, found.after.value) == (0.3, 0.2)
    assert found.difference.value == pytest.approx(-0.1)
    assert found.clusters == 2


@pytest.mark.parametrize("size", [1, 4])
def test_intervals_are_those_of_scipy(size: int) -> None:
    before, after, words = (np.array(each) for each in drawn(120, 3))
    clusters = np.arange(120) // size
    found = gain(before, after, words, clusters)
    totals = [
        np.array([column[clusters == one].sum() for one in np.unique(clusters)]) for column in (before, after, words)
    ]
    statistics: dict[str, Any] = {
        "before": lambda b, a, w, axis: b.sum(axis) / w.sum(axis),
        "after": lambda b, a, w, axis: a.sum(axis) / w.sum(axis),
        "difference": lambda b, a, w, axis: (a.sum(axis) - b.sum(axis)) / w.sum(axis),
    }
    units = 120 // size
    reach = stats.t.ppf(1 - LEVEL / 2, totals[2].sum() ** 2 / (totals[2] ** 2).sum() - 1) * np.sqrt(units / (units - 1))
    for name, statistic in statistics.items():
        theirs = stats.bootstrap(
            totals, statistic, paired=True, vectorized=True, n_resamples=20_000, method="percentile",
            confidence_level=1 - LEVEL, rng=np.random.default_rng(1),
        )  # fmt: skip
        ours = getattr(found, name)
        assert ours.low is not None
        assert ours.high is not None
        # Rates have theirs on a logarithmic scale; leaving large units out, not drawing them, adds some percent.
        error = (ours.high - ours.low) / 2 if name == "difference" else ours.value * np.log(ours.high / ours.low) / 2
        assert error == pytest.approx(reach * theirs.standard_error, rel=0.05), name
        assert ours.low < ours.value < ours.high


def test_utterances_of_a_cluster_are_drawn_together() -> None:
    # Ten recordings of ten utterances that are all alike: a hundred utterances tell no more than ten.
    before, after, words = drawn(10, 5)
    alone = gain(before, after, words, range(10))
    ten_before, ten_after, ten_words = (np.repeat(each, 10) for each in (before, after, words))
    tenfold = gain(ten_before, ten_after, ten_words, np.repeat(range(10), 10))
    assert tenfold == alone
    independent = gain(ten_before, ten_after, ten_words, range(100))
    # Ten units take up one for the mean, and have a larger quantile of Student's.
    assert 1 < width(alone) / (np.sqrt(10) * width(independent)) < 1.5


def width(found: Gain) -> float:
    low, high = found.difference.low, found.difference.high
    assert low is not None
    assert high is not None
    return high - low


@pytest.mark.parametrize("seed", range(4))
def test_the_p_value_counts_all_exchanges(seed: int) -> None:
    before, after, words = drawn(9, seed)
    differences = np.subtract(after, before)
    sums = np.array([np.dot(signs, differences) for signs in product((-1, 1), repeat=9)])
    exact = np.mean(np.abs(sums) >= abs(differences.sum()))
    found = gain(before, after, words, range(9)).p_value
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 10_000) + 1e-3)


def test_what_all_clusters_agree_on_is_as_rare_as_the_exchanges_say() -> None:
    # All the same sign: of 2^8 exchanges two are as far from 0.
    found = gain([2] * 8, [1] * 8, [5] * 8, range(8))
    assert found.p_value == pytest.approx(2 / 2**8, abs=0.004)
    assert found.difference.excludes_zero
    assert (found.difference.low, found.difference.high) == pytest.approx((-0.2, -0.2))


@given(rows=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=6))
def test_where_nothing_changed_nothing_is_certain(rows: list[tuple[int, int]]) -> None:
    errors, words = zip(*rows, strict=True)
    found = gain(errors, errors, words, range(len(rows)))
    assert found.p_value == 1
    assert found.difference.value == 0
    assert {found.difference.low, found.difference.high} == ({0.0} if len(rows) >= 5 else {None})
    assert not found.difference.excludes_zero


def test_p_is_never_zero_and_seeds_make_it_repeatable() -> None:
    many = gain([5] * 60, [0] * 60, [10] * 60, range(60))
    assert many.p_value == 1 / 10_001
    before, after, words = drawn(30, 9)
    one, same, other = (gain(before, after, words, range(30), seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_names_of_clusters_may_be_anything() -> None:
    before, after, words = drawn(4, 2)
    assert gain(before, after, words, ["b", "a", "b", "c"]) == gain(before, after, words, [1, 0, 1, 2])


def test_without_words_there_is_no_rate() -> None:
    with pytest.raises(ValueError, match="no words"):
        gain([0], [1], [0], [0])
    found = gain([1, 0], [0, 2], [4, 0], [0, 1])  # some without words are another matter: errors count all the same
    assert found.after.value == 0.5
    assert (found.after.low, found.difference.high) == (None, None)  # two units have no interval
