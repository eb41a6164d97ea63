"""How many errors there are because of seams, on recordings made so that it is known."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.score.alignment import align
from bench.score.locations import Located, Span, locate
from bench.score.seam_share import LEAST_NEAR_S, NEAR_S, near_s, rings, seam_share

STEP_S = 0.4  # 150 words a minute
WORD_S = 0.3


def recording(wrong: NDArray[np.bool_], lost: NDArray[np.bool_], seams_s: list[float]) -> Located:
    """Make a recording that says a word every 0.4 s, some of them heard wrongly and some of them lost."""
    said = [f"w{number}" for number in range(len(wrong))]
    heard = [f"x{number}" if wrong[number] else word for number, word in enumerate(said) if not lost[number]]
    times: list[Span | None] = [
        (STEP_S * number, STEP_S * number + WORD_S) for number in range(len(said)) if not lost[number]
    ]
    return locate(align(said, heard), times, STEP_S * len(said), seams_s)


def every(seconds: float, words: int, first_s: float = 0.0) -> list[float]:
    return [float(seam) for seam in np.arange(first_s or seconds, STEP_S * words, seconds)]


NOTHING = np.zeros(600, dtype=bool)


def near_seams(within_s: float, seams_s: list[float]) -> NDArray[np.bool_]:
    middles = STEP_S * np.arange(600) + WORD_S / 2
    found: NDArray[np.bool_] = np.abs(middles[:, None] - np.array(seams_s)).min(axis=1) <= within_s
    return found


@pytest.mark.parametrize("within_s", [0.3, 0.8])
def test_errors_only_at_seams(within_s: float) -> None:
    seams_s = every(10, 600)
    found = seam_share([recording(near_seams(within_s, seams_s), NOTHING, seams_s)], NEAR_S)
    assert found is not None
    assert found.share > 0.95
    assert found.low > 0.95
    assert found.near == found.errors == near_seams(within_s, seams_s).sum()
    assert found.by_chance == pytest.approx(found.errors * near_seams(NEAR_S, seams_s).mean())


@pytest.mark.parametrize("within_s", [0.8, 3.0])
def test_text_lost_at_seams_counts_however_much_it_is(within_s: float) -> None:
    seams_s = every(20, 600)
    found = seam_share([recording(NOTHING, near_seams(within_s, seams_s), seams_s)], NEAR_S)
    assert found is not None
    assert found.share > 0.95
    assert found.low > 0.95


def test_half_of_the_errors_at_seams() -> None:
    # By hand: of 600 words the 30 nearest to the 11 seams and some 11 chosen evenly from the others.
    seams_s = every(20, 600)
    at_seams = near_seams(0.5, seams_s)
    away = ~near_seams(NEAR_S, seams_s)
    some = np.zeros(600, dtype=bool)
    some[np.flatnonzero(away)[:: away.sum() // at_seams.sum()][: at_seams.sum()]] = True
    found = seam_share([recording(at_seams | some, NOTHING, seams_s)], NEAR_S)
    assert found is not None
    # X near of T errors where a share p of words is: (X - T p) / (T - T p).
    share = near_seams(NEAR_S, seams_s).mean()
    assert found.share == pytest.approx((0.5 - share) / (1 - share))
    assert found.low < found.share < found.high


def simulated(seed: int, *, bursts: bool, recordings: int, words: int, seam_s: float) -> Iterator[Located]:
    """Make recordings whose errors know nothing of seams: of speakers and stretches that are harder than others."""
    rng = np.random.default_rng(seed)
    for _ in range(recordings):
        level = 0.15 * rng.gamma(4, 1 / 4) * np.repeat(rng.gamma(2, 0.5, words // 30 + 1), 30)[:words]
        if bursts:
            lost = np.zeros(words, dtype=bool)
            for start in np.flatnonzero(rng.random(words) < level / 4):
                lost[start : start + rng.geometric(1 / 4)] = True
            yield recording(np.zeros(words, dtype=bool), lost, every(seam_s, words, rng.uniform(1, seam_s)))
        else:
            yield recording(rng.random(words) < level, np.zeros(words, dtype=bool),
                            every(seam_s, words, rng.uniform(1, seam_s)))  # fmt: skip


def held(count: int, **case: object) -> tuple[float, float]:
    """Simulate; returns how often the interval held no effect, and the mean share."""
    found = [seam_share(list(simulated(seed, **case)), NEAR_S) for seed in range(count)]  # type: ignore[arg-type]
    known = [one for one in found if one is not None]
    assert len(known) > 0.98 * count
    return float(np.mean([one.low <= 0 <= one.high for one in known])), float(np.mean([one.share for one in known]))


CASES = [
    {"bursts": bursts, "recordings": recordings, "words": words, "seam_s": seam_s}
    for bursts in (False, True)
    for recordings, words, seam_s in ((8, 300, 12.0), (40, 60, 6.0))
]


@pytest.mark.parametrize("case", CASES)
def test_errors_that_know_nothing_of_seams(case: dict[str, object]) -> None:
    """Of 60 intervals of 95 %, fewer than 50 hold the truth once in 2,500 times (binomial)."""
    held_share, mean = held(60, **case)
    assert held_share >= 50 / 60
    assert abs(mean) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_interval_holds_the_truth_as_often_as_it_says(case: dict[str, object]) -> None:
    """Of 500; the standard error is 1 %."""
    held_share, mean = held(500, **case)
    assert 0.92 <= held_share <= 0.98
    assert abs(mean) < 0.04  # a burst at an end of a short recording is farther from seams than most


def test_near_is_half_of_the_words_at_most() -> None:
    assert near_s([recording(NOTHING, NOTHING, every(30, 600))]) == NEAR_S
    close = near_s([recording(NOTHING, NOTHING, every(2, 600))])
    assert close is not None
    assert 0.4 < close < 0.6  # seams 2 s apart: words are up to 1 s away, half of them up to half of that
    assert near_s([recording(NOTHING, NOTHING, every(3 * LEAST_NEAR_S, 600))]) is None
    assert near_s([]) is None


def test_too_few_errors_tell_nothing() -> None:
    few = NOTHING.copy()
    few[:300:75] = True
    assert seam_share([recording(few, NOTHING, every(10, 600))], NEAR_S) is None
    assert seam_share([], NEAR_S) is None


def test_an_empty_reference_is_left_out() -> None:
    seams_s = every(10, 600)
    empty = locate(align([], ["x"]), [(1.0, 1.2)], 10.0, [5.0])
    some = recording(near_seams(0.3, seams_s), NOTHING, seams_s)
    assert seam_share([some, empty], NEAR_S) == seam_share([some], NEAR_S)
    assert rings([empty]) == []


def test_rates_by_distance() -> None:
    seams_s = every(10, 600)
    wrong = near_seams(0.3, seams_s)
    found = rings([recording(wrong, NOTHING, seams_s)])
    assert sum(ring.words for ring in found) == 600
    assert sum(ring.rate.value * ring.words for ring in found) == pytest.approx(wrong.sum())
    assert found[0].start_s == 0
    assert all(ring.words >= 30 for ring in found)
    assert [ring.rate.value for ring in found if ring.start_s > 0.3] == [0] * sum(r.start_s > 0.3 for r in found)
