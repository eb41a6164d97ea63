"""The bound of errors in excess: against Poisson's exact interval, by hand, and by how often it is wrong."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.score.noninferiority import LEVEL, excess

ERRORS = st.lists(st.integers(0, 20), min_size=2, max_size=40)


def test_where_nothing_differs_the_bound_is_a_few_errors() -> None:
    found = excess([3.0] * 200, [3.0] * 200, [20.0] * 200)
    assert found.value == 0
    quantile = stats.t.ppf(0.95, 199)
    assert found.high * 4000 == pytest.approx(quantile**2)
    assert 2.6 < found.high * 4000 < 3.0  # the exact rule of three: -ln(0.05) = 3.0
    assert found.low == -found.high


@pytest.mark.parametrize("count", [1, 2, 5, 10, 30])
def test_errors_that_come_one_by_one_have_nearly_the_exact_bound_of_poisson(count: int) -> None:
    units = 2000
    found = excess([0.0] * units, [1.0] * count + [0.0] * (units - count), [10.0] * units)
    exact = stats.chi2.ppf(0.95, 2 * (count + 1)) / 2
    assert found.high * 10 * units == pytest.approx(exact, rel=0.07)


def test_many_units_have_the_usual_bound() -> None:
    generator = np.random.default_rng(3)
    before, after = generator.binomial(500, 0.1, 400), generator.binomial(500, 0.11, 400)
    words = np.full(400, 500.0)
    usual = stats.ttest_rel(after, before).confidence_interval(0.9)
    found = excess(before, after, words)
    assert found.low == pytest.approx(usual.low / 500, rel=0.03)
    assert found.high == pytest.approx(usual.high / 500, rel=0.03)


def test_a_share_of_the_first_is_subtracted_where_it_varies() -> None:
    before, after = np.array([10.0, 20, 30, 40, 50, 60]), np.array([11.0, 22, 33, 44, 55, 66])
    found = excess(before, after, np.full(6, 200.0), factor=1.1)
    assert found.value == pytest.approx(0)  # exactly 10 % more everywhere, whatever the WER
    assert found.variance == pytest.approx(0)


@given(ERRORS, st.integers(0, 50))
def test_the_ends_lie_on_both_sides_and_turn_with_the_sides(before: list[int], shift: int) -> None:
    after = [(one * 7 + shift) % 23 for one in before]
    words = [30.0] * len(before)
    there, back = excess(before, after, words), excess(after, before, words)
    assert there.low < there.value < there.high
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


def test_so_much_data_would_show_it() -> None:
    found = excess([0.0] * 100, [1.0, *[0.0] * 99], [10.0] * 100)
    assert found.needed(found.value) is None
    times = found.needed(0.005)
    assert times is not None
    # Julious's formula without the errors not seen, and with them at most a little more.
    room = (0.005 - found.value) * 1000
    usual = ((1.645 + 0.842) / room) ** 2 * found.variance
    assert usual < times < usual + 2.71 / room + 2 * math.sqrt(usual * 2.71 / room)


@pytest.mark.parametrize(
    ("units", "words", "rate", "correlation"),
    [(5, 75, 0.03, 0.05), (20, 15, 0.10, 0.1), (50, 18, 0.01, 0.1), (200, 18, 0.01, 0.0), (200, 18, 0.03, 0.05)],
)
def test_a_setting_worse_by_the_margin_is_rarely_passed(
    units: int, words: int, rate: float, correlation: float
) -> None:
    """Both make errors, the second by the margin more; passed is whatever has a bound below the margin."""
    margin, simulations = 0.005, 2000
    generator = np.random.default_rng(7)

    def drawn(mean: float) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
        scale = 1 / correlation - 1 if correlation else 1e9
        return generator.binomial(words, generator.beta(mean * scale, (1 - mean) * scale, (simulations, units)))

    before, after = drawn(rate), drawn(rate + margin)
    sizes = np.full(units, float(words))
    passed = np.mean([excess(one, other, sizes).high < margin for one, other in zip(before, after, strict=True)])
    assert passed <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / simulations)
