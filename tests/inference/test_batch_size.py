import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.inference.batch_size import largest

SHARE = 0.8  # of what is free, as the documentation promises


class Memory:
    """A device on which a batch costs a fixed part and one for each window; the peak never falls."""

    def __init__(self, start_mib: float, total_mib: float, fixed_mib: float, window_mib: float, raises: bool) -> None:
        self.total_mib, self.raises = total_mib, raises
        self.start_mib, self.peak_mib = start_mib, start_mib
        self.fixed_mib, self.window_mib = fixed_mib, window_mib
        self.attempts: list[int] = []

    def needs_mib(self, size: int) -> float:
        return self.start_mib + self.fixed_mib + self.window_mib * size

    def attempt(self, size: int) -> None:
        self.attempts.append(size)
        if self.raises and self.needs_mib(size) > self.total_mib:
            raise MemoryError
        self.peak_mib = max(self.peak_mib, self.needs_mib(size))

    def free_mib(self) -> float:
        return float("inf") if self.raises else self.total_mib - self.peak_mib

    def used_mib(self) -> float:
        return self.peak_mib

    def search(self, most: int) -> int:
        return largest(self.attempt, most, self.free_mib, self.used_mib)


starts = st.floats(0, 5_000)
fixed = st.floats(0, 500)
per_window = st.floats(0.5, 400)
sizes = st.integers(1, 600)


@given(start_mib=starts, fixed_mib=fixed, window_mib=per_window, true_size=sizes, most=sizes)
@settings(max_examples=500, deadline=None)
def test_where_a_batch_that_does_not_fit_raises(
    start_mib: float, fixed_mib: float, window_mib: float, true_size: int, most: int
) -> None:
    total_mib = start_mib + fixed_mib + (true_size + 0.5) * window_mib
    memory = Memory(start_mib, total_mib, fixed_mib, window_mib, raises=True)
    found = memory.search(most)
    true = min(true_size, most)
    assert 1 <= found <= true
    assert true - found <= max(1, true / 4)
    assert found in memory.attempts  # nothing is taken on trust
    assert max(memory.attempts) <= most


@given(start_mib=starts, fixed_mib=fixed, window_mib=per_window, true_size=sizes, most=sizes)
@settings(max_examples=500, deadline=None)
def test_where_a_batch_that_does_not_fit_ends_the_process(
    start_mib: float, fixed_mib: float, window_mib: float, true_size: int, most: int
) -> None:
    """Main memory: nothing raises, so beyond two windows, which tell the growth, no size past the limit is tried."""
    free_mib = (fixed_mib + (true_size + 0.5) * window_mib) / SHARE
    memory = Memory(start_mib, start_mib + free_mib, fixed_mib, window_mib, raises=False)
    found = memory.search(most)
    true = min(true_size, most)
    assert all(memory.needs_mib(size) <= start_mib + SHARE * free_mib for size in memory.attempts if size > 2)
    assert found == max(memory.attempts)
    if true_size > 1:
        assert found <= true
        assert true - found <= max(1, true / 4)


def test_worked_by_hand() -> None:
    """100 MiB a window and 80 % of 2000 MiB: 16 fit. 1, 2, 4, 8 and 16 are tried; 32 would take 3200 MiB."""
    memory = Memory(start_mib=0, total_mib=2_000, fixed_mib=0, window_mib=100, raises=False)
    assert memory.search(most=1_000) == 16
    assert memory.attempts == [1, 2, 4, 8, 16]


def test_the_gap_is_halved_twice() -> None:
    """13 fit: 16 fails, 12 fits, 14 fails."""
    memory = Memory(start_mib=0, total_mib=1_350, fixed_mib=0, window_mib=100, raises=True)
    assert memory.search(most=1_000) == 12
    assert memory.attempts == [1, 2, 4, 8, 16, 12, 14]


@given(most=sizes)
@settings(deadline=None)
def test_ample_memory_takes_as_many_as_there_are(most: int) -> None:
    memory = Memory(0, 1e9, 0, 1, raises=False)
    assert memory.search(most) == most


def test_not_even_one_fits() -> None:
    memory = Memory(start_mib=0, total_mib=50, fixed_mib=0, window_mib=100, raises=True)
    with pytest.raises(MemoryError):
        memory.search(most=8)


def test_other_errors_come_through() -> None:
    def attempt(size: int) -> None:
        if size == 4:
            raise RuntimeError("not about memory")

    with pytest.raises(RuntimeError, match="not about memory"):
        largest(attempt, 8, lambda: 1e9, lambda: 0.0)
