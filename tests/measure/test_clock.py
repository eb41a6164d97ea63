import time
from collections import defaultdict
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.measure.clock import PhaseClock

ROUNDING_S = 1e-9
Program: TypeAlias = "list[tuple[str, Program]]"

PROGRAMS: st.SearchStrategy[Program] = st.recursive(
    st.just([]), lambda inner: st.lists(st.tuples(st.sampled_from("abc"), inner), max_size=3), max_leaves=12
)


def work() -> None:
    """Pass a little time, much more than it takes to read a clock."""
    until = time.perf_counter() + 50e-6
    while time.perf_counter() < until:
        pass


class Witness:
    """Runs a program of nested phases and notes, around every change of phase, what time it was.

    The clock under test reads the time somewhere between the two notes. So the seconds of a stretch between two changes
    lie between the inner and the outer distance of their notes, however busy the machine is.
    """

    def __init__(self, clock: PhaseClock) -> None:
        self.clock = clock
        self.least: dict[str, float] = defaultdict(float)
        self.most: dict[str, float] = defaultdict(float)
        self.running: list[str] = []
        self.before = self.after = time.perf_counter()

    def change(self, name: str | None) -> None:
        before = time.perf_counter()
        if name is None:
            self.clock.leave()
        else:
            self.clock.enter(name)
        after = time.perf_counter()
        if self.running:
            self.least[self.running[-1]] += before - self.after
            self.most[self.running[-1]] += after - self.before
        self.before, self.after = before, after
        if name is None:
            self.running.pop()
        else:
            self.running.append(name)

    def run(self, program: Program) -> None:
        for name, inner in program:
            self.change(name)
            work()
            self.run(inner)
            work()
            self.change(None)
            work()


@given(program=PROGRAMS)
@settings(deadline=None, max_examples=50)
def test_every_instant_belongs_to_the_innermost_phase(program: Program) -> None:
    clock = PhaseClock()
    witness = Witness(clock)
    started = time.perf_counter()
    witness.run(program)
    elapsed = time.perf_counter() - started
    for name in "abc":
        assert witness.least[name] - ROUNDING_S <= clock.seconds(name) <= witness.most[name] + ROUNDING_S
        assert (clock.seconds(name) > 0) is (witness.most[name] > 0)
    assert sum(clock.seconds(name) for name in "abc") <= elapsed + ROUNDING_S


def test_a_phase_within_a_phase_pauses_the_outer_one() -> None:
    clock = PhaseClock()
    started = time.perf_counter()
    with clock.phase("outer"):
        with clock.phase("inner"):
            time.sleep(0.2)
        time.sleep(0.05)
    elapsed = time.perf_counter() - started
    assert clock.seconds("inner") >= 0.2
    assert 0.05 <= clock.seconds("outer") <= elapsed - 0.2
    assert clock.seconds("inner") + clock.seconds("outer") <= elapsed


def test_a_phase_that_never_ran_took_no_time() -> None:
    assert PhaseClock().seconds("anything") == 0.0


def failing() -> None:
    time.sleep(0.01)
    raise KeyError


def test_a_phase_that_fails_is_booked_and_left() -> None:
    clock = PhaseClock()
    with pytest.raises(KeyError), clock.phase("outer"), clock.phase("inner"):
        failing()
    booked = clock.seconds("inner"), clock.seconds("outer")
    time.sleep(0.02)
    with clock.phase("later"):
        pass
    assert (clock.seconds("inner"), clock.seconds("outer")) == booked
    assert booked[0] >= 0.01


def test_time_spent_waiting_for_the_device_is_booked_where_it_was_caused() -> None:
    waits: list[float] = []

    def device() -> None:
        """Stand for a device that still has 0.1 s to go when the first phase ends."""
        waits.append(time.perf_counter())
        if len(waits) == 2:
            time.sleep(0.1)

    clock = PhaseClock(device)
    with clock.phase("cause"):
        pass
    with clock.phase("next"):
        pass
    assert len(waits) == 4  # at each start and each end
    assert clock.seconds("cause") >= 0.1
    assert clock.seconds("next") <= time.perf_counter() - waits[2]
    assert clock.now() >= waits[-1]
    assert len(waits) == 5


def test_now_is_in_seconds_and_never_runs_backwards() -> None:
    clock = PhaseClock()
    before, wall = clock.now(), time.monotonic()
    time.sleep(0.05)
    elapsed, wall = clock.now() - before, time.monotonic() - wall
    assert elapsed == pytest.approx(wall, abs=0.02)
