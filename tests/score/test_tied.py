"""Which settings cannot be told from the best: by counting all exchanges, against scipy, and in simulations."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bench.score import tied
from bench.score.tied import LEVEL, MOST_PAIRED, exchange_p_value, fewest_units, flipped_sums, tied_with_best
from benchmarks.statistics import any_called_different, worse_called_different
from tests.score.test_precision import BASE, SPEAKERS, TINY


def exact(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """p-values against the best in one step, by all exchanges of the units."""
    settings, units = counts.shape
    pairs = [(one, other) for one in range(settings) for other in range(settings) if one != other]
    scale = {pair: np.sqrt(((counts[pair[0]] - counts[pair[1]]) ** 2).sum()) or 1.0 for pair in pairs}
    largest = [
        max(float(np.dot(signs, counts[one] - counts[other])) / scale[one, other] for one, other in pairs)
        for signs in product((-1, 1), repeat=units)
    ]
    best = int(counts.sum(axis=1).argmin())
    against = [(counts[at] - counts[best]).sum() / scale.get((at, best), 1.0) for at in range(settings)]
    return np.array([np.mean([one >= value - 1e-9 for one in largest]) for value in against])


@pytest.mark.parametrize("seed", range(3))
def test_the_first_step_counts_all_exchanges(seed: int) -> None:
    counts = np.random.default_rng(seed).poisson(3, (4, 9))
    found = tied_with_best(counts)
    expected = exact(counts)
    expected[found.best] = 1
    assert expected.min() > 0.05  # nobody is set aside, so there is one step
    assert found.p_values == pytest.approx(expected, abs=0.02)
    assert found.tied.all()


@pytest.mark.parametrize("labels", [np.arange(50), SPEAKERS], ids=["utterances", "speakers"])
def test_two_real_models_have_the_p_value_of_scipys_permutation_test(labels: NDArray[np.int64]) -> None:
    # The errors of whisper-tiny.en and whisper-base in 50 utterances of LibriSpeech.
    ours, theirs = (np.bincount(labels, each) for each in (TINY, BASE))
    options: dict[str, Any] = {"permutation_type": "samples", "n_resamples": 20_000, "rng": np.random.default_rng(3)}
    expected = stats.permutation_test((ours, theirs), lambda x, y, axis: (x - y).sum(axis), vectorized=True, **options)
    assert exchange_p_value(ours - theirs) == pytest.approx(expected.pvalue, abs=0.015)
    both = tied_with_best(np.stack([ours, theirs]))
    assert both.p_values[0] == pytest.approx(expected.pvalue, abs=0.015)
    assert both.best == 1


@pytest.mark.parametrize(("settings", "units"), [(2, 6), (24, 14), (500, 31)])
def test_from_so_many_units_on_the_same_loss_in_every_unit_is_told(settings: int, units: int) -> None:
    # 2 * 2 ** -6 and 24 * 23 * 2 ** -14 are below 5 %; 500 * 499 * exp(-31 / 2) is.
    assert fewest_units(settings) == units
    alike = np.random.default_rng(settings).poisson(4, (settings - 1, units))
    best = int(alike.sum(axis=1).argmin())
    found = tied_with_best(np.vstack([alike, alike[best] + 9]))
    assert not found.tied[-1]
    assert (
        settings * (settings - 1) * (np.exp(-(units - 1) / 2) if settings > MOST_PAIRED else 2.0 ** (1 - units)) > LEVEL
    )


def test_one_that_is_worse_everywhere_is_set_aside_and_the_rest_judged_without_it() -> None:
    chance = np.random.default_rng(4)
    alike = chance.poisson(4, (3, 40))
    found = tied_with_best(np.vstack([alike, alike[0] + 3]))
    assert found.tied.tolist() == [True, True, True, False]
    assert found.p_values[3] < 0.001
    alone = tied_with_best(alike)
    # The largest p-value up to the step that judged them, which may be one of the step before.
    assert (found.p_values[:3] >= alone.p_values - 0.03).all()


def test_few_units_tell_nothing_apart() -> None:
    # Of 2^5 exchanges two are as extreme: 6 %.
    found = tied_with_best(np.array([[0] * 5, [9] * 5]))
    assert found.tied.all()
    assert found.p_values[1] == pytest.approx(2 / 32, abs=0.01)
    assert not tied_with_best(np.array([[0] * 6, [9] * 6])).tied.all()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(1, 5))
def test_equal_settings_are_tied_with_a_p_value_of_one(errors: list[int], settings: int) -> None:
    found = tied_with_best(np.tile(errors, (settings, 1)), resamples=200)
    assert found.tied.all()
    assert (found.p_values == 1).all()
    assert found.best == 0


@given(st.lists(st.lists(st.integers(0, 6), min_size=6, max_size=6), min_size=2, max_size=5))
def test_errors_that_all_settings_make_change_nothing(rows: list[list[int]]) -> None:
    counts = np.array(rows)
    more = np.add(counts, [0, 7, 1, 0, 4, 2])
    found, shifted = (tied_with_best(one, resamples=500).p_values for one in (counts, more))
    assert shifted == pytest.approx(found, abs=1e-9)


def test_the_bound_for_many_settings_is_no_less_than_what_resamples_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(5)
    counts = chance.poisson(2, (30, 120)) + np.linspace(0, 2, 30)[:, np.newaxis].round()
    resampled = tied_with_best(counts)
    monkeypatch.setattr(tied, "MOST_PAIRED", 3)
    bounded = tied_with_best(counts)
    assert 1 < resampled.tied.sum() < 30
    assert (bounded.p_values >= resampled.p_values - 0.01).all()
    assert set(np.flatnonzero(resampled.tied)) <= set(np.flatnonzero(bounded.tied))
    assert not bounded.tied.all()


def test_ten_thousand_settings_are_judged_within_bounded_memory() -> None:
    chance = np.random.default_rng(6)
    counts = chance.poisson(2, (10_000, 60)).astype(np.float32)
    counts[100:] += 6
    found = tied_with_best(counts, resamples=500)
    assert len(counts) > MOST_PAIRED
    assert set(np.flatnonzero(found.tied)) <= set(range(100))
    assert found.tied.sum() > 80


def test_signs_are_fair_and_the_same_for_all_settings() -> None:
    sums = flipped_sums(np.array([[1.0, 2, 4], [1, 2, 4], [10, 20, 40]]), 8000, np.random.default_rng(7))
    assert (sums[:, 0] == sums[:, 1]).all()
    assert (sums[:, 2] == 10 * sums[:, 0]).all()
    values, counts = np.unique(sums[:, 0], return_counts=True)
    assert values.tolist() == [-7, -5, -3, -1, 1, 3, 5, 7]
    assert counts / 8000 == pytest.approx(1 / 8, abs=0.016)


def test_the_level_holds_over_24_settings() -> None:
    # 300 simulations tell 5 % to 2.5 points (twice the standard error); make bench has 2,000, and more clusters.
    assert any_called_different(30, 24, 0.1, 300, seed=2, resamples=500) <= 0.075


def test_a_setting_that_is_30_percent_worse_is_called_different() -> None:
    worse, others = worse_called_different(60, 24, 0.1, 60, seed=3, resamples=500)
    assert worse >= 0.8
    assert others <= 0.12
