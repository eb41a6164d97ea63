"""The arithmetic of a forecast, on cases worked by hand and on batches that keep its law."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.forecast.model import Line, Speed, Timed, Work, fit_line, fit_speed

SHARES = st.floats(0, 10)


def test_two_batches_give_both_shares() -> None:
    # 10 windows of 5 s: 10 a + 50 b = 4.5; 2 windows of 30 s: 2 a + 60 b = 3.4; so a = 0.2 and b = 0.05.
    speed = fit_speed([Timed(Work(10, 50), 4.5), Timed(Work(2, 60), 3.4)])
    assert (speed.window_s, speed.windowed_s, speed.first_s) == pytest.approx((0.2, 0.05, 0.0))
    assert speed.seconds(Work(5, 40)) == pytest.approx(5 * 0.2 + 40 * 0.05)


def test_what_the_first_batch_sets_up_is_told_from_a_second_one() -> None:
    speed = fit_speed([Timed(Work(4, 20), 5.0, first=True), Timed(Work(4, 20), 2.0)])
    assert speed.first_s == pytest.approx(3.0)
    assert speed.seconds(Work(8, 40)) == pytest.approx(4.0)


def test_without_a_second_batch_nothing_is_ascribed_to_the_first() -> None:
    speed = fit_speed([Timed(Work(4, 20), 5.0, first=True), Timed(Work(2, 60), 9.0, first=True)])
    assert speed.first_s == 0.0
    assert speed.seconds(Work(4, 20)) == pytest.approx(5.0)


def test_no_share_is_negative() -> None:
    # More windows took less time: what windows cost cannot be below nothing, so seconds alone explain it.
    speed = fit_speed([Timed(Work(10, 10), 1.0), Timed(Work(1, 10), 2.0)])
    assert speed.window_s == 0.0
    assert speed.windowed_s == pytest.approx(0.15)


def test_batches_without_length_take_nothing() -> None:
    assert fit_speed([Timed(Work(0, 0), 0.0)]).seconds(Work(100, 100)) == 0.0


@given(SHARES, SHARES, SHARES, st.integers(1, 64))
def test_batches_that_keep_the_law_are_met_exactly(window_s: float, windowed_s: float, first_s: float, n: int) -> None:
    law = Speed(window_s, windowed_s, first_s)
    works = [Work(n, 5 * n), Work(n, 5 * n), Work(n, 30 * n)]
    batches = [Timed(work, law.seconds(work) + first_s * (at != 1), first=at != 1) for at, work in enumerate(works)]
    found = fit_speed(batches)
    for work in (Work(7, 100), Work(1, 1), Work(1000, 12_345)):
        assert found.seconds(work) == pytest.approx(law.seconds(work), rel=1e-6, abs=1e-6)
    assert found.first_s == pytest.approx(first_s, rel=1e-6, abs=1e-6)


def test_a_line_goes_through_two_points() -> None:
    line = fit_line([(10, 200), (30, 300)])
    assert (line.base, line.slope) == pytest.approx((150, 5))
    assert line.at(20) == pytest.approx(250)


def test_a_line_never_falls() -> None:
    assert fit_line([(10, 300), (30, 200)]) == Line(300, 0)
    assert fit_line([(10, 300)]).at(1000) == 300
