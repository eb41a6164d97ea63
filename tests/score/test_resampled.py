"""The comparison of cross-validated settings: worked by hand, against the published formulas, and by its rates."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bench.score.holm import holm
from bench.score.resampled import LEVEL, against_best, compare, estimate

Values = NDArray[np.float64]
Numbers = NDArray[np.intp]

SIMULATIONS = 10_000
AT_ONCE = 1_000
WER = 0.2
WORSE = 1.3


@dataclass(frozen=True)
class Study:
    """Cross-validated utterances, one entry a score: all utterances in a repeat, then all again in the next."""

    words: Values
    groups: Numbers
    folds: Numbers
    repeats: Numbers

    @staticmethod
    def of(utterances: int, groups: int, folds: int, repeats: int = 1, seed: int = 0) -> "Study":
        """Ten words an utterance on average; groups go to the fold with the fewest words so far."""
        rng = np.random.default_rng(seed)
        words = 1.0 + rng.poisson(9, utterances)
        group = np.arange(utterances) % groups
        of_group = np.bincount(group, words)
        fold = np.empty((repeats, groups), dtype=int)
        for repeat in range(repeats):
            full = np.zeros(folds)
            for number in rng.permutation(groups):
                fold[repeat, number] = full.argmin()
                full[full.argmin()] += of_group[number]
        return Study(
            np.tile(words, repeats),
            np.tile(group, repeats),
            (fold + folds * np.arange(repeats)[:, np.newaxis])[:, group].ravel(),
            np.repeat(np.arange(repeats), utterances),
        )

    @property
    def place(self) -> tuple[Values, Numbers, Numbers, Numbers]:
        return self.words, self.groups, self.folds, self.repeats


def simulated(
    study: Study,
    rng: np.random.Generator,
    simulations: int,
    noise: float,
    shared_luck: float = 0.0,
    rates: tuple[float, ...] = (WER, WER),
) -> Values:
    """Errors of several settings, shape ``(settings, simulations, scores)``.

    Utterances are hard or easy for all settings (by a factor of 2.2, one deviation), so are groups (1.3) and folds
    (1.05); each setting also has utterances (1.6) and groups (1.1) that suit it. Half of the errors are made under all
    settings.

    Args:
        noise: Deviation of a training's luck, as a share of its WER.
        shared_luck: Correlation of the luck of two folds of one setting.
        rates: WER of each setting.
    """
    repeats = int(study.repeats[-1]) + 1
    once = study.words[: len(study.words) // repeats]
    group = study.groups[: len(once)]
    folds = int(study.folds.max()) + 1

    def factors(deviation: float, count: int) -> Values:
        return np.exp(deviation * rng.standard_normal((simulations, count)) - deviation**2 / 2)

    hard = once * factors(0.8, len(once)) * factors(0.25, group.max() + 1)[:, group]
    of_all = rng.poisson(0.5 * min(rates) * hard)
    fold_effect = factors(0.05, folds)
    errors = []
    for rate in rates:
        suits = factors(0.5, len(once)) * factors(0.1, group.max() + 1)[:, group]
        luck = 1 + noise * (
            math.sqrt(1 - shared_luck) * rng.standard_normal((simulations, folds))
            + math.sqrt(shared_luck) * rng.standard_normal((simulations, 1))
        )
        expected = rate * np.tile(hard * suits, repeats) * (fold_effect * luck)[:, study.folds]
        own = np.maximum(0.0, expected - 0.5 * min(rates) * np.tile(hard * suits, repeats))
        errors.append(np.tile(of_all, repeats) + rng.poisson(own))
    return np.array(errors, dtype=float)


def share_different(
    study: Study, noise: float, shared_luck: float = 0.0, theirs: float = WER, simulations: int = SIMULATIONS
) -> float:
    """Share of simulations in which a setting is called different from one with a WER of 20 %."""
    rng = np.random.default_rng(20)
    different = 0
    for _ in range(simulations // AT_ONCE):
        first, second = simulated(study, rng, AT_ONCE, noise, shared_luck, (WER, theirs))
        different += int((estimate(second - first, *study.place).p_values <= LEVEL).sum())
    return different / simulations


def test_four_groups_in_two_folds_worked_by_hand() -> None:
    # 40 words; 8 errors against 4, so 0.1 more a word. Differences by group are 2, 0, 1, 1 where 1 is expected of each.
    found = compare([3, 1, 2, 2], [1, 1, 1, 1], [10, 10, 10, 10], [0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 0, 0])
    assert found.difference == pytest.approx(0.1)
    # By groups: residuals 1, -1, 0, 0, so P = 4/3 * 2 / 1600 = 1/600, times 1 + 2/1. By folds: residuals 0 and 0.
    error = math.sqrt(3 / 600)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.1 / error, df=3))
    assert (found.low, found.high) == (None, None)  # four groups cannot be told apart at 5 %
    loose = compare([3, 1, 2, 2], [1, 1, 1, 1], [10, 10, 10, 10], [0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 0, 0], level=0.2)
    assert loose.low == pytest.approx(0.1 - stats.t.ppf(0.9, df=3) * error)
    assert loose.high == pytest.approx(0.1 + stats.t.ppf(0.9, df=3) * error)


def test_what_no_group_explains_is_judged_by_the_folds() -> None:
    # 24 groups of one word each, in three folds with 6, 8 and 16 more errors; within a fold all groups are alike.
    more, folds = np.repeat([6, 8, 16], 8) / 8, np.repeat([0, 1, 2], 8)
    found = estimate(more, np.ones(24), np.arange(24), folds, np.zeros(24))
    scores = np.array([6, 8, 16]) / 8
    assert found.difference == pytest.approx(scores.mean())
    # Nadeau and Bengio's, by the scores alone: 1/3 for as many scores, and as much test as half of the training data.
    assert found.variance == pytest.approx(scores.var(ddof=1) * (1 / 3 + 1 / 2))
    residuals = 8 * (scores - scores.mean()) ** 2
    by_groups = 24 / 23 * residuals.sum() / 24**2 * (1 + 3 / 2)
    share = by_groups / found.variance
    assert 0 < share < 1
    assert found.freedom == pytest.approx(1 / (share / 23 + (1 - share) / 2))


def test_by_folds_it_is_the_corrected_repeated_test_of_bouckaert_and_frank() -> None:
    # Training luck alone, and so many groups that they add nothing: 3 repeats of 4 folds, equal words in each.
    rng = np.random.default_rng(1)
    scores = rng.normal(0.1, 0.2, 12)
    folds = np.repeat(np.arange(12), 1_000)
    found = estimate(
        scores[folds], np.ones(12_000), np.tile(np.arange(4_000), 3), folds, np.repeat(np.arange(3), 4_000)
    )
    corrected = scores.mean() / math.sqrt((1 / 12 + 1 / 3) * scores.var(ddof=1))
    assert found.difference / np.sqrt(found.variance) == pytest.approx(corrected)
    assert found.freedom == pytest.approx(11, rel=0.01)
    # Without the correction it is Student's test, of which the published one is a fraction.
    student = stats.ttest_1samp(scores, 0).statistic
    assert corrected == pytest.approx(student * math.sqrt((1 / 12) / (1 / 12 + 1 / 3)))


@given(
    more=st.lists(st.integers(-5, 9), min_size=4, max_size=12),
    words=st.lists(st.integers(1, 20), min_size=12, max_size=12),
)
def test_with_each_fold_one_group_both_variances_are_the_same(more: list[int], words: list[int]) -> None:
    count = len(more)
    place = (words[:count], np.arange(count), np.arange(count), np.zeros(count))
    found = estimate(more, *place)
    rate = sum(more) / sum(words[:count])
    residuals = sum((d - rate * w) ** 2 for d, w in zip(more, words, strict=False))
    expected = residuals / sum(words[:count]) ** 2 * count / (count - 1) * (1 + count / (count - 1))
    assert found.variance == pytest.approx(expected)
    assert found.freedom == pytest.approx(count - 1)


def test_to_score_the_same_errors_again_proves_nothing() -> None:
    study, again = Study.of(60, 60, 3), Study.of(60, 60, 3, repeats=5)
    first, second = simulated(study, np.random.default_rng(3), 50, noise=0.0)
    once = estimate(second - first, *study.place)
    five_times = estimate(np.tile(second - first, 5), *again.place)
    assert five_times.difference == pytest.approx(once.difference)
    by_groups = once.freedom > 58.9  # where the folds decide, other divisions are other folds
    assert by_groups.sum() >= 10
    assert np.all(five_times.variance[by_groups] >= once.variance[by_groups] * (1 - 1e-9))


def test_leading_axes_are_comparisons_of_their_own() -> None:
    study = Study.of(40, 15, 3, repeats=2)
    first, second = simulated(study, np.random.default_rng(0), 6, noise=0.05)
    together = estimate((second - first).reshape(2, 3, -1), *study.place)
    for number, (theirs, ours) in enumerate(zip(first, second, strict=True)):
        alone = compare(ours, theirs, *study.place)
        assert together.difference.ravel()[number] == pytest.approx(alone.difference)
        assert together.p_values.ravel()[number] == pytest.approx(alone.p_value)
        assert alone.low is not None
        assert alone.high is not None
        assert alone.low < alone.difference < alone.high
        assert (alone.p_value <= LEVEL) == (alone.low > 0 or alone.high < 0)


def test_labels_and_order_mean_nothing_and_sides_only_the_sign() -> None:
    study = Study.of(40, 15, 3)
    first, second = (
        errors[0] for errors in simulated(study, np.random.default_rng(4), 1, noise=0.05, rates=(0.2, 0.3))
    )
    found = compare(first, second, *study.place)
    back = compare(second, first, *study.place)
    assert back.difference == pytest.approx(-found.difference)
    assert back.p_value == pytest.approx(found.p_value)
    order = np.random.default_rng(5).permutation(40)
    other = compare(
        first[order],
        second[order],
        study.words[order],
        [f"group {number}" for number in study.groups[order]],
        study.folds[order] * 7 + 3,
        study.repeats[order] + 1,
    )
    assert other.p_value == pytest.approx(found.p_value)
    assert other.low == pytest.approx(found.low)


def test_equal_errors_are_no_difference() -> None:
    same = compare([1, 2, 0, 4] * 3, [1, 2, 0, 4] * 3, [9] * 12, range(12), [0, 1, 2] * 4, [0] * 12)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    # Different utterances, as many errors.
    assert compare([1, 0, 0, 1], [0, 1, 1, 0], [5] * 4, range(4), [0, 0, 1, 1], [0] * 4).p_value == 1


def test_a_difference_that_never_varies_is_as_sure_as_its_groups_are_many() -> None:
    def one_more_each(groups: int) -> float:
        count = np.arange(groups)
        return compare(count + 1, count, np.full(groups, 3), count, count % 2, np.zeros(groups)).p_value

    # Chance that all of so many coins show the side of the first.
    assert [one_more_each(groups) for groups in (2, 5, 6, 11)] == [1 / 2, 1 / 16, 1 / 32, 1 / 1024]


def test_a_single_group_tells_nothing() -> None:
    found = compare([9, 8, 7], [0, 1, 0], [10, 10, 10], [4, 4, 4], [0, 1, 2], [0, 0, 0])
    assert (found.low, found.high, found.p_value) == (None, None, 1)
    assert found.difference == pytest.approx(23 / 30)


@pytest.mark.parametrize(("words", "folds"), [([0, 0], [0, 1]), ([5, 5], [0, 0])])
def test_what_cannot_be_judged_is_refused(words: list[int], folds: list[int]) -> None:
    with pytest.raises(ValueError, match="reference words and two folds"):
        compare([1, 2], [2, 1], words, [0, 1], folds, [0, 0])


def test_holm_steps_down_and_never_falls() -> None:
    # By hand: 4 * 0.01, 3 * 0.02 = 0.06, 2 * 0.03 = 0.06, then 1 * 0.9.
    assert holm([0.9, 0.01, 0.03, 0.02]) == pytest.approx([0.9, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_the_best_is_tied_with_itself_and_with_what_cannot_be_told_from_it() -> None:
    study = Study.of(300, 300, 5)
    errors = simulated(study, np.random.default_rng(8), 1, noise=0.0, rates=(0.21, 0.4, 0.2, 0.6))[:, 0]
    found = against_best(errors, *study.place)
    assert [one.tied for one in found] == [True, False, True, False]
    assert found[2].comparison.difference == 0
    assert found[2].p_adjusted == 1
    others = [found[number] for number in (0, 1, 3)]
    assert [one.p_adjusted for one in others] == pytest.approx(holm([one.comparison.p_value for one in others]))
    for number in (0, 1, 3):
        alone = compare(errors[number], errors[2], *study.place)
        assert found[number].comparison.difference == pytest.approx(alone.difference)
        assert found[number].comparison.p_value >= alone.p_value * (1 - 1e-9)
    # The next best has no other setting to learn from.
    assert found[0].comparison.p_value == pytest.approx(compare(errors[0], errors[2], *study.place).p_value)
    assert all(one.comparison.difference >= 0 for one in found)
    (single,) = against_best(errors[:1], *study.place)
    assert single.tied


# Utterances, groups, folds, repeats, noise, correlation of the noise.
EQUAL = [
    (60, 60, 3, 1, 0.0, 0.0),
    (60, 12, 3, 1, 0.1, 0.0),
    (150, 150, 3, 1, 0.05, 1 / 3),
    (300, 300, 3, 1, 0.0, 0.0),
    (300, 300, 3, 1, 0.05, 0.0),
    (300, 300, 3, 1, 0.1, 0.0),
    (1_000, 1_000, 3, 1, 0.1, 0.0),
    (300, 300, 5, 1, 0.0, 0.0),
    (300, 300, 5, 1, 0.05, 0.2),
    (300, 30, 5, 1, 0.1, 0.0),
    (1_000, 1_000, 5, 1, 0.1, 0.0),
    (300, 10, 10, 1, 0.05, 0.0),
    (150, 150, 2, 5, 0.0, 0.0),
    (150, 150, 2, 5, 0.05, 0.0),
    (150, 30, 2, 5, 0.1, 0.5),
]


@pytest.mark.parametrize(("utterances", "groups", "folds", "repeats", "noise", "shared_luck"), EQUAL)
def test_equal_settings_are_called_different_no_more_often_than_the_level_says(
    utterances: int, groups: int, folds: int, repeats: int, noise: float, shared_luck: float
) -> None:
    assert share_different(Study.of(utterances, groups, folds, repeats), noise, shared_luck) <= LEVEL


@pytest.mark.parametrize(
    ("utterances", "folds", "repeats", "noise"),
    [(600, 3, 1, 0.0), (600, 5, 1, 0.05), (300, 10, 1, 0.05), (600, 2, 5, 0.05)],
)
def test_a_setting_that_is_worse_by_three_tenths_is_called_different(
    utterances: int, folds: int, repeats: int, noise: float
) -> None:
    study = Study.of(utterances, utterances, folds, repeats)
    assert share_different(study, noise, theirs=WORSE * WER, simulations=2_000) >= 0.8


@pytest.mark.parametrize(("utterances", "noise"), [(150, 0.05), (600, 0.1)])
def test_of_ten_equal_settings_none_is_told_from_the_best_more_often_than_the_level_says(
    utterances: int, noise: float
) -> None:
    study, rng = Study.of(utterances, utterances, 3), np.random.default_rng(2)
    told = 0
    for _ in range(2_000 // 250):
        errors = simulated(study, rng, 250, noise, rates=(WER,) * 10)
        told += sum(not all(one.tied for one in against_best(errors[:, at], *study.place)) for at in range(250))
    assert told / 2_000 <= LEVEL


def test_settings_that_went_astray_hide_no_others() -> None:
    # Two good settings, and four much worse ones whose folds differ wildly.
    study, rng = Study.of(600, 600, 5), np.random.default_rng(6)
    good = simulated(study, rng, 1, 0.02, rates=(0.2, 0.28))[:, 0]
    astray = simulated(study, rng, 1, 0.5, rates=(0.8,) * 4)[:, 0]
    assert [one.tied for one in against_best(np.concatenate([astray, good]), *study.place)][4:] == [True, False]
