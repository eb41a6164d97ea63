"""Timed work over the fake engine: what is booked where, and that nothing is counted twice or left out."""

import time
from collections.abc import Sequence

import numpy as np
import pytest

from bench.config import DecodeConfig
from bench.inference.fake import FakeEngine
from bench.inference.passes import Work
from bench.inference.transcribe import plan
from bench.measure.clock import PhaseClock
from bench.records import Samples

RATE_HZ = 16_000
SPEC = DecodeConfig(chunk_length_s=2.0, stride_length_s=0.0)
RECORDINGS = [np.zeros(seconds * RATE_HZ, np.float32) for seconds in (3, 5, 2)]


class Noted(FakeEngine):
    """The fake engine, which waits a moment a batch and notes what it was given."""

    def __init__(self) -> None:
        super().__init__("fake/ok")
        self.batches: list[int] = []

    def decode(self, inputs: list[int], clock: PhaseClock) -> list[int]:
        self.batches.append(sum(inputs) // RATE_HZ)
        time.sleep(0.02)
        return super().decode(inputs, clock)


def work(engine: FakeEngine, recordings: Sequence[Samples] = RECORDINGS, prefetch: bool = False) -> Work:
    return Work(engine, recordings, plan(engine, recordings, SPEC), SPEC, 4, lambda: None, prefetch)


@pytest.mark.parametrize("prefetch", [False, True])
def test_every_pass_does_all_of_the_work_and_every_window_is_in_one_lap(prefetch: bool) -> None:
    engine = Noted()
    timed = work(engine, prefetch=prefetch).timed(3)
    assert sum(engine.batches) == 3 * 10
    assert [transcript.text.split() for transcript in timed.transcripts] == [["word"] * n for n in (6, 10, 4)]
    # 3, 5 and 2 s in windows of 2 s are six windows, in batches of four and two.
    assert [lap.windows for lap in timed.laps] == [4, 2] * 3
    assert all(lap.seconds >= 0.02 for lap in timed.laps)
    assert sum(lap.seconds for lap in timed.laps) <= sum(one.inference_s for one in timed.passes)
    assert len(timed.passes) == len(timed.cpu_s) == 3


def test_the_counters_cover_the_passes_and_nothing_else() -> None:
    timed = work(Noted()).timed(2)
    passes_s = sum(one.inference_s for one in timed.passes)
    assert passes_s <= timed.counters.wall_s < passes_s + 0.1
    assert sum(timed.cpu_s) <= timed.counters.process_cpu_s


def test_a_warm_up_is_the_first_batch_alone() -> None:
    engine = Noted()
    assert work(engine).warm_up() >= 0.02
    assert engine.batches == [8]


def test_one_at_a_time_each_recording_is_by_itself_and_the_first_is_tried_before() -> None:
    engine = Noted()
    seconds = work(engine).one_at_a_time(2)
    assert engine.batches == [3, 3, 5]
    assert len(seconds) == 2
    assert all(one >= 0.02 for one in seconds)


@pytest.mark.parametrize("count", [0, 3, 99])
def test_no_more_than_there_are_are_served_one_at_a_time(count: int) -> None:
    assert len(work(Noted()).one_at_a_time(count)) == min(count, 3)
