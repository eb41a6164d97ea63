"""The width of a WER's interval against simulations, a bootstrap, and sums done by hand."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bench.score.interval import measured
from bench.score.precision import (
    BLOCK_WORDS,
    WITHIN_CLUSTER,
    WITHIN_UTTERANCE,
    Precision,
    expected,
    freedom_of,
    student_quantile,
    word_variance,
)

# Words and errors of the first 10 utterances each of 5 speakers of LibriSpeech test-other, speaker by speaker, by
# whisper-tiny.en and by whisper-base, greedy in windows of 30 s, under whisper_english.
WORDS = np.array([
    *(33, 34, 10, 13, 16, 11, 25, 21, 6, 8), *(43, 17, 23, 17, 21, 24, 19, 9, 8, 18),
    *(19, 11, 17, 13, 10, 8, 36, 8, 39, 17), *(5, 15, 36, 5, 17, 25, 8, 15, 4, 4),
    *(11, 9, 24, 6, 43, 12, 24, 39, 13, 8),
])  # fmt: skip
TINY = np.array([
    *(2, 3, 0, 1, 0, 2, 0, 3, 0, 0), *(17, 2, 2, 1, 1, 0, 2, 3, 2, 4), *(1, 4, 3, 2, 1, 6, 3, 2, 9, 2),
    *(2, 4, 11, 2, 2, 2, 0, 2, 2, 3), *(1, 0, 12, 0, 16, 2, 6, 9, 6, 4),
])  # fmt: skip
BASE = np.array([
    *(2, 3, 0, 1, 3, 2, 0, 0, 0, 0), *(6, 1, 0, 3, 1, 4, 0, 1, 2, 1), *(1, 4, 3, 1, 0, 4, 7, 2, 7, 3),
    *(2, 0, 7, 1, 0, 2, 2, 1, 4, 2), *(1, 1, 8, 0, 9, 1, 5, 11, 5, 2),
])  # fmt: skip
SPEAKERS = np.repeat(np.arange(5), 10)
APART = np.arange(50)
# Errors in the 8 blocks of 75 words of four minutes of LJ Speech by whisper-tiny.en; the last block has 29 words.
LONG_ERRORS, LONG_WORDS = np.array([3, 1, 1, 2, 2, 18, 3, 2]), np.array([75] * 7 + [29])


def found(errors: NDArray[np.int64], words: NDArray[np.int64], clusters: NDArray[np.int64]) -> Precision:
    """Measure, where there is enough to do so."""
    precision = measured(errors.astype(np.float64), words.astype(np.float64), clusters)
    assert precision is not None
    return precision


def foretold(words: NDArray[np.int64], clusters: NDArray[np.int64], wer: float) -> Precision:
    """Foretell, where there is enough to do so."""
    precision = expected(words, clusters, wer)
    assert precision is not None
    return precision


def draw(words: NDArray[np.int64], clusters: NDArray[np.int64], wer: float, times: int, seed: int) -> NDArray[np.int64]:
    """Draw errors, shape (times, utterances): each speaker has a WER of his own, each utterance one around that."""
    chance = np.random.default_rng(seed)
    spread = 1 / WITHIN_CLUSTER - 1
    of_speaker = chance.beta(wer * spread, (1 - wer) * spread, (times, int(clusters.max()) + 1))
    mean = np.clip(of_speaker[:, clusters], 1e-6, 1 - 1e-6)
    # What two words of an utterance share beyond their speaker.
    spread = (1 - WITHIN_CLUSTER) / (WITHIN_UTTERANCE - WITHIN_CLUSTER) - 1
    return chance.binomial(words, chance.beta(mean * spread, (1 - mean) * spread))


@pytest.mark.parametrize("per_speaker", [1, 10])
@pytest.mark.parametrize("wer", [0.05, 0.2, 0.5])
def test_what_is_foretold_is_the_spread_of_simulated_rates(per_speaker: int, wer: float) -> None:
    words = np.random.default_rng(3).integers(1, 40, 200)
    clusters = np.repeat(np.arange(200 // per_speaker), per_speaker)
    rates = draw(words, clusters, wer, 4000, seed=4).sum(axis=1) / words.sum()
    assert rates.mean() == pytest.approx(wer, rel=0.02)
    # 4,000 draws tell a standard deviation to 1.1 %.
    assert foretold(words, clusters, wer).standard_error == pytest.approx(rates.std(), rel=0.05)


@pytest.mark.parametrize(
    ("per_speaker", "speakers", "least"), [(1, 200, 0.93), (10, 40, 0.92), (10, 10, 0.90)], ids=str
)
def test_the_interval_holds_the_true_rate_about_as_often_as_it_says(
    per_speaker: int, speakers: int, least: float
) -> None:
    words = np.random.default_rng(5).integers(1, 40, per_speaker * speakers)
    clusters = np.repeat(np.arange(speakers), per_speaker)
    intervals = [found(errors, words, clusters) for errors in draw(words, clusters, 0.2, 2000, seed=6)]
    assert all(each.by_cluster and each.units == speakers for each in intervals)
    held = np.mean([abs(each.wer - 0.2) <= each.half_width for each in intervals])
    assert least <= held <= 0.965


def test_utterances_taken_as_independent_would_promise_too_much() -> None:
    words = np.random.default_rng(5).integers(1, 40, 400)
    by_speaker = np.repeat(np.arange(40), 10)
    drawn = draw(words, by_speaker, 0.2, 1000, seed=7)
    intervals = [found(errors, words, np.arange(400)) for errors in drawn]
    assert np.mean([abs(each.wer - 0.2) <= each.half_width for each in intervals]) < 0.8


@pytest.mark.parametrize("errors", [TINY, BASE], ids=["tiny", "base"])
def test_real_errors_have_the_interval_that_a_bootstrap_gives_them(errors: NDArray[np.int64]) -> None:
    resampled = stats.bootstrap(
        (errors, WORDS),
        lambda some, of, axis: some.sum(axis=axis) / of.sum(axis=axis),
        paired=True,
        n_resamples=9999,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    precision = found(errors, WORDS, APART)
    assert precision.wer == errors.sum() / 877
    assert precision.half_width == pytest.approx((resampled.high - resampled.low) / 2, rel=0.06)


@pytest.mark.parametrize(
    ("errors", "words", "clusters"),
    [
        pytest.param(TINY, WORDS, APART, id="tiny"),
        pytest.param(BASE, WORDS, APART, id="base"),
        pytest.param(TINY, WORDS, SPEAKERS, id="tiny, by speaker"),
        pytest.param(BASE, WORDS, SPEAKERS, id="base, by speaker"),
    ],
)
def test_what_is_foretold_comes_near_real_errors(
    errors: NDArray[np.int64], words: NDArray[np.int64], clusters: NDArray[np.int64]
) -> None:
    precision = found(errors, words, clusters)
    ratio = foretold(words, clusters, precision.wer).half_width / precision.half_width
    assert 0.75 < ratio < 1.35


def test_what_is_foretold_of_one_long_recording_comes_near_its_real_blocks() -> None:
    real = found(LONG_ERRORS, LONG_WORDS, np.zeros(8, dtype=np.int64))
    told = foretold(np.array([554]), np.array([0]), real.wer)
    assert (real.units, real.by_cluster) == (told.units, told.by_cluster) == (8, False)
    assert 0.75 < told.half_width / real.half_width < 1.35


def test_the_correlations_lie_where_two_models_have_them() -> None:
    def moments(errors: NDArray[np.int64]) -> tuple[float, float]:
        """Estimate both from their definition: mean products of two words' deviations, over their variance."""
        rate = errors.sum() / 877
        one, two = [], []
        rest = errors - rate * WORDS
        for at in range(50):
            one.append(rest[at] ** 2 * 50 / 49 - WORDS[at] * rate * (1 - rate))
            two += [rest[at] * rest[to] for to in range(50) if to != at and SPEAKERS[to] == SPEAKERS[at]]
        pairs = [WORDS[at] * WORDS[to] for at in range(50) for to in range(50) if to != at and at // 10 == to // 10]
        variance = rate * (1 - rate)
        return sum(one) / variance / (WORDS * (WORDS - 1)).sum(), sum(two) / variance / sum(pairs)

    (tiny, tiny_speaker), (base, base_speaker) = moments(TINY), moments(BASE)
    assert base < WITHIN_UTTERANCE <= tiny
    # The mean of 5 speakers is taken from themselves, which takes out a fifth of their variance and more.
    assert max(tiny_speaker, base_speaker) < WITHIN_CLUSTER < 2 * min(tiny_speaker, base_speaker)


def test_by_hand() -> None:
    # Rates of 10 words: 1, 2, 3, 2, 2 errors are 20 %, the deviations -1, 0, 1, 0, 0: variance 5/4 x 2 / 50^2 = 0.001.
    errors, words = np.array([1, 2, 3, 2, 2]), np.full(5, 10)
    precision = found(errors, words, np.arange(5))
    assert precision.wer == 0.2
    assert precision.standard_error == pytest.approx(math.sqrt(0.001))  # of equal units the jackknife's is the same
    assert precision.half_width == pytest.approx(2.776 * math.sqrt(0.001), rel=1e-3)  # Student's t, 4 degrees
    # On the logarithm the error is 0.03162 / 0.2, and exp(2.776 x 0.1581) = 1.551.
    assert precision.ends == pytest.approx((0.2 / 1.551, 0.2 * 1.551), rel=1e-3)
    assert precision.needed(5) == 200  # 5 x (1.96 x 3.162)^2 = 192.07
    # 5 utterances of 10 words at 20 %: effect 1 + 0.1 x 9 = 1.9, variance 0.16 x 1.9 / 50.
    assert foretold(words, np.arange(5), 0.2).standard_error == pytest.approx(math.sqrt(0.16 * 1.9 / 50))
    # 5 speakers of 2 such utterances: 10 other words each, 1 + 0.1 x 9 + 0.04 x 10 = 2.3.
    twice = foretold(np.full(10, 10), np.repeat(np.arange(5), 2), 0.2)
    assert twice.standard_error == pytest.approx(math.sqrt(0.16 * 2.3 / 100))
    # One recording of 400 words: 5 blocks of 75 and one of 25; 1 + 0.1 x ((5 x 5625 + 625) / 400 - 1) = 8.0875.
    long = foretold(np.array([400]), np.array([0]), 0.2)
    assert (long.units, long.by_cluster) == (6, False)
    assert long.standard_error == pytest.approx(math.sqrt(0.16 * 8.0875 / 400))


def test_fifteen_utterances_do_not_tell_86_from_75_percent() -> None:
    precision = foretold(np.full(15, 10), np.arange(15), 0.86)
    # Not even if every word were an independent toss: 1.96 x sqrt(0.86 x 0.14 / 150) is 5.55 points.
    assert precision.half_width > 1.96 * math.sqrt(0.86 * 0.14 / 150) > 0.055
    assert precision.wer - precision.half_width < 0.75


def test_four_times_the_data_halve_the_error() -> None:
    words, errors = np.tile(WORDS, 4), np.tile(TINY, 4)
    for clusters, more in ((APART, np.arange(200)), (SPEAKERS, np.concatenate([SPEAKERS + 5 * at for at in range(4)]))):
        once, four = foretold(WORDS, clusters, 0.2), foretold(words, more, 0.2)
        assert four.standard_error == pytest.approx(once.standard_error / 2)
        few, many = found(TINY, WORDS, clusters), found(errors, words, more)
        # But for the one unit that the mean takes up, and that leaving out one of fewer moves the rate a little more.
        assert many.standard_error * math.sqrt(1 - 1 / many.units) == pytest.approx(
            few.standard_error * math.sqrt(1 - 1 / few.units) / 2, rel=0.03
        )


def test_more_from_the_same_speakers_helps_less() -> None:
    words = np.tile(WORDS, 4)
    same = foretold(words, np.tile(SPEAKERS, 4), 0.2)
    others = foretold(words, np.concatenate([SPEAKERS + 5 * at for at in range(4)]), 0.2)
    assert same.standard_error > 1.5 * others.standard_error


def test_order_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(50)
    names = np.array([3, 1, 4, 0, 2])[SPEAKERS]
    one, other = found(TINY, WORDS, SPEAKERS), found(TINY[order], WORDS[order], names[order])
    assert other.half_width == pytest.approx(one.half_width)
    assert foretold(WORDS[order], names[order], 0.2).half_width == pytest.approx(
        foretold(WORDS, SPEAKERS, 0.2).half_width
    )


def test_a_long_utterance_counts_as_its_blocks() -> None:
    whole = foretold(np.array([8 * BLOCK_WORDS]), np.zeros(1, dtype=np.int64), 0.2)
    cut = foretold(np.full(8, BLOCK_WORDS), np.zeros(8, dtype=np.int64), 0.2)
    assert whole == cut


def test_four_speakers_speak_for_themselves_alone() -> None:
    four, five = SPEAKERS % 4, SPEAKERS
    assert not found(TINY, WORDS, four).by_cluster
    assert found(TINY, WORDS, four) == found(TINY, WORDS, np.zeros(50, dtype=np.int64))
    assert found(TINY, WORDS, five).by_cluster


def test_too_little_has_no_interval() -> None:
    apart = np.arange(4)
    assert expected(np.full(4, 10), apart, 0.2) is None
    assert measured(np.ones(4), np.full(4, 10.0), apart) is None
    # Errors in 4 of 50 utterances.
    assert measured(np.repeat([1.0, 0.0], [4, 46]), np.full(50, 10.0), np.arange(50)) is None
    assert measured(np.ones(6), np.zeros(6), np.arange(6)) is None


def test_unequal_units_count_for_fewer() -> None:
    assert freedom_of(np.full(12, 30)) == pytest.approx(11)
    assert freedom_of(np.array([60] * 6 + [10] * 12)) == pytest.approx(480**2 / (6 * 3600 + 12 * 100) - 1)
    assert freedom_of(np.array([1000, 1, 1, 1, 1, 1])) == 4  # no fewer than five are counted


def test_many_long_utterances_are_not_cut() -> None:
    one = np.zeros(40, dtype=np.int64)
    whole = expected(np.full(40, 150), one, 0.2)
    assert whole is not None
    assert whole.units == 40
    few = expected(np.full(10, 150), one[:10], 0.2)
    assert few is not None
    assert few.units == 20


def test_insertions_beyond_every_word_have_an_interval_too() -> None:
    # Welsh commands as whisper-tiny.en hears them: 49 errors in 41 words.
    words = np.array([4, 4, 5, 4, 2, 3, 2, 3, 2, 2, 6, 2, 1, 1])
    errors = np.array([4, 4, 6, 3, 4, 6, 2, 3, 4, 4, 6, 2, 1, 2])
    precision = found(errors, words, np.arange(14))
    assert precision.wer > 1
    resampled = stats.bootstrap(
        (errors, words),
        lambda some, of, axis: some.sum(axis=axis) / of.sum(axis=axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    # Student's quantile for 13 degrees, and 14 over 13, which a bootstrap leaves out.
    wider = 2.160 / 1.960 * math.sqrt(14 / 13)
    assert precision.half_width == pytest.approx(wider * (resampled.high - resampled.low) / 2, rel=0.1)
    # Half as wide as this would be to promise too much.
    assert foretold(words, np.arange(14), precision.wer).half_width > 0.5 * precision.half_width


def test_a_word_varies_most_where_half_are_wrong_and_no_less_beyond() -> None:
    assert word_variance(0.1) == pytest.approx(0.09)
    assert word_variance(0.5) == word_variance(0.86) == word_variance(2.3) == 0.25


@pytest.mark.parametrize("freedom", [4, 5, 9, 32, 1000])
def test_students_quantile(freedom: int) -> None:
    assert student_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=5e-4)


@pytest.mark.parametrize(
    ("standard_error", "count", "needed"),
    # (1.96 x standard error in points)^2 x count
    [(0.01, 100, 390), (0.02, 110, 1700), (0.1, 1, 390), (0.001, 60, 3), (0.0245, 2939, 68000)],
)
def test_what_a_point_takes_is_rounded_up(standard_error: float, count: int, needed: int) -> None:
    assert Precision(0.2, standard_error, 100, by_cluster=True, freedom=99).needed(count) == needed
