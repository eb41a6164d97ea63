import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.inference.seams import nearest, seams_s
from bench.records import Window


def test_seams_lie_where_the_right_stride_begins() -> None:
    windows = [Window(0, 80, 0, 10), Window(60, 140, 10, 10), Window(120, 150, 10, 0)]
    assert seams_s(windows, rate_hz=10) == [7.0, 13.0]


def test_one_window_has_no_seam() -> None:
    assert seams_s([Window(0, 80, 0, 0)], rate_hz=10) == []
    assert nearest(3.0, []) is None


@given(st.floats(-10, 100), st.lists(st.floats(0, 90), min_size=1))
def test_nearest_is_the_least_of_all_distances(instant_s: float, seams: list[float]) -> None:
    assert nearest(instant_s, sorted(seams)) == pytest.approx(min(abs(seam - instant_s) for seam in seams))
