"""The core with engines that hold no model: which windows come together, and where their emissions go."""

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config import DecodeConfig, Strategy
from bench.errors import ImpossiblePoint
from bench.inference.fake import FakeEngine
from bench.inference.transcribe import decode_once, plan, transcribe
from bench.inference.windows import cut
from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window, Word

RATE_HZ = 100
WAIT_S = 30.0

Heard = tuple[int, int]
"""First and last sample of a window; samples are numbered through all recordings, so it names the window."""


@dataclass
class Recorder:
    """An engine that says which samples it was given, and keeps what it was asked.

    ``behind`` holds each batch back until the features of the next one were computed.
    """

    mixes_lengths: bool = True
    footprint: Footprint = field(default_factory=Footprint)
    max_window_s: float | None = None
    behind: bool = False
    batches: list[list[int]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    computed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    remaining: int = 0

    rate_hz = RATE_HZ
    align = 1

    def features(self, batch: Sequence[Samples]) -> list[Samples]:
        self.asked.append("features")
        self.threads.add(threading.get_ident())
        self.computed.release()
        return list(batch)

    def decode(self, inputs: list[Samples], clock: PhaseClock) -> list[Heard]:
        self.remaining -= 1
        if self.behind:
            assert self.computed.acquire(timeout=WAIT_S)
            if self.remaining > 0:
                assert self.computed.acquire(timeout=WAIT_S), "the next batch's features are not computed ahead"
                self.computed.release()
        self.asked.append("decode")
        self.batches.append([len(samples) for samples in inputs])
        return [(int(samples[0]), int(samples[-1])) for samples in inputs]

    def join(self, emissions: Sequence[Heard], windows: Sequence[Window]) -> Transcript:
        words = [Word(f"{first}-{last}", number) for number, (first, last) in enumerate(emissions)]
        return Transcript(" ".join(word.text for word in words), tuple(words), tuple(windows))


def _numbered(lengths: Sequence[int]) -> list[Samples]:
    ends = np.cumsum([0, *lengths])
    return [np.arange(first, stop, dtype=np.float32) for first, stop in itertools.pairwise(ends)]


def _expected(recordings: Sequence[Samples], spec: DecodeConfig) -> list[tuple[str, ...]]:
    """Every window of each recording, in order, cut one recording at a time."""
    return [
        tuple(
            f"{int(samples[window.start])}-{int(samples[window.stop - 1])}"
            for window in cut(len(samples), RATE_HZ, spec)
        )
        for samples in recordings
    ]


def _texts(transcripts: Sequence[Transcript]) -> list[tuple[str, ...]]:
    return [tuple(word.text for word in transcript.words) for transcript in transcripts]


lengths = st.lists(st.integers(1, 1_500), min_size=1, max_size=8)
batch_sizes = st.integers(1, 12)
specs = st.tuples(st.integers(1, 8), st.sampled_from([0.0, 0.1, 0.4])).map(
    lambda drawn: DecodeConfig(chunk_length_s=float(drawn[0]), stride_length_s=drawn[0] * drawn[1])
)


@given(lengths, batch_sizes, specs, st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_each_emission_comes_back_to_its_own_place(
    lengths: list[int], batch_size: int, spec: DecodeConfig, mixes: bool, prefetch: bool
) -> None:
    recordings = _numbered(lengths)
    engine = Recorder(mixes_lengths=mixes)
    transcripts = transcribe(engine, recordings, spec, batch_size, PhaseClock(), prefetch)

    assert _texts(transcripts) == _expected(recordings, spec)
    assert [list(transcript.windows) for transcript in transcripts] == [
        cut(length, RATE_HZ, spec) for length in lengths
    ]
    decoded = [length for batch in engine.batches for length in batch]
    assert decoded == sorted(decoded, reverse=True)
    windows = [window for length in lengths for window in cut(length, RATE_HZ, spec)]
    assert Counter(decoded) == Counter(window.stop - window.start for window in windows)


@given(lengths, batch_sizes, specs)
@settings(max_examples=300, deadline=None)
def test_batches_are_as_full_as_they_may_be(lengths: list[int], batch_size: int, spec: DecodeConfig) -> None:
    recordings = _numbered(lengths)
    mixing, same = Recorder(mixes_lengths=True), Recorder(mixes_lengths=False)
    for engine in (mixing, same):
        transcribe(engine, recordings, spec, batch_size, PhaseClock())

    assert all(len(batch) == batch_size for batch in mixing.batches[:-1])
    assert 1 <= len(mixing.batches[-1]) <= batch_size

    assert all(len(set(batch)) == 1 for batch in same.batches)
    by_length = Counter(length for batch in same.batches for length in batch)
    full_and_rest = Counter({length: -(-count // batch_size) for length, count in by_length.items()})
    assert Counter(batch[0] for batch in same.batches) == full_and_rest
    assert max(map(len, same.batches)) <= batch_size


def test_worked_by_hand() -> None:
    """Recordings of 7 and 3 s in windows of 4 s: those of 4, 3 and 3 s, whose order among equals is that given."""
    spec = DecodeConfig(chunk_length_s=4, stride_length_s=0)
    engine = Recorder()
    transcripts = transcribe(engine, _numbered([700, 300]), spec, 2, PhaseClock())
    assert engine.batches == [[400, 300], [300]]
    assert [transcript.text for transcript in transcripts] == ["0-399 400-699", "700-999"]


def test_features_are_computed_ahead_on_another_thread() -> None:
    """An engine that waits, within decode, for the next batch's features would otherwise wait in vain."""
    spec = DecodeConfig(chunk_length_s=1, stride_length_s=0)
    recordings = _numbered([450, 320])
    ahead, plain = Recorder(behind=True, remaining=5), Recorder()
    clock = PhaseClock()
    found = transcribe(ahead, recordings, spec, 2, clock, prefetch=True)
    assert found == transcribe(plain, recordings, spec, 2, PhaseClock(), prefetch=False)
    assert len(ahead.batches) == 5
    assert ahead.batches == plain.batches
    assert threading.get_ident() not in ahead.threads
    assert len(ahead.threads) == 1
    assert plain.threads == {threading.get_ident()}
    assert plain.asked == ["features", "decode"] * 5
    assert Counter(ahead.asked) == Counter(plain.asked)


def test_errors_of_the_other_thread_come_through() -> None:
    class Broken(Recorder):
        def features(self, batch: Sequence[Samples]) -> list[Samples]:
            if self.batches:
                raise MemoryError("no room for features")
            return super().features(batch)

    spec = DecodeConfig(chunk_length_s=1, stride_length_s=0)
    with pytest.raises(MemoryError, match="no room"):
        transcribe(Broken(), _numbered([500]), spec, 1, PhaseClock(), prefetch=True)


@pytest.mark.parametrize("prefetch", [False, True])
def test_no_speech_gives_an_empty_transcript(prefetch: bool) -> None:
    """Three seconds of silence: the detector finds nothing, and the engine is never asked."""
    silence: Samples = np.zeros(3 * FakeEngine.rate_hz, np.float32)
    spec = DecodeConfig(strategy=Strategy.vad, chunk_length_s=10, stride_length_s=0)
    engine = FakeEngine("fake/error")  # raises whatever it is asked to decode
    assert transcribe(engine, [silence, silence], spec, 4, PhaseClock(), prefetch) == [Transcript("", (), ())] * 2


def test_sequential_gives_one_window_a_recording() -> None:
    engine = Recorder(max_window_s=1.0)  # the walk through the recording is the model's own: no bound applies
    spec = DecodeConfig(strategy=Strategy.sequential, chunk_length_s=30, stride_length_s=0)
    lengths = [4_500, 70, 3_000]
    transcripts = transcribe(engine, _numbered(lengths), spec, 2, PhaseClock())
    assert [transcript.windows for transcript in transcripts] == [(Window(0, length, 0, 0),) for length in lengths]
    assert engine.batches == [[4_500, 3_000], [70]]


@pytest.mark.parametrize("strategy", [Strategy.chunked, Strategy.vad])
def test_windows_longer_than_the_model_can_see_are_refused(strategy: Strategy) -> None:
    engine = Recorder(max_window_s=30.0)
    spec = DecodeConfig(strategy=strategy, chunk_length_s=30.5, stride_length_s=0)
    with pytest.raises(ImpossiblePoint, match=r"longer than the 30 s this model can see"):
        plan(engine, _numbered([100]), spec)


@given(lengths, batch_sizes)
@settings(deadline=None)
def test_the_trial_batch_is_the_first_one(lengths: list[int], batch_size: int) -> None:
    spec = DecodeConfig(chunk_length_s=4, stride_length_s=1)
    recordings = _numbered(lengths)
    once, whole = Recorder(), Recorder()
    decode_once(once, recordings, plan(once, recordings, spec), batch_size, PhaseClock())
    transcribe(whole, recordings, spec, batch_size, PhaseClock())
    assert once.batches == whole.batches[:1]


@given(st.lists(st.floats(0.1, 40), min_size=1, max_size=6), batch_sizes, st.booleans())
@settings(deadline=None)
def test_the_fake_engine_hears_two_words_a_second(seconds: list[float], batch_size: int, prefetch: bool) -> None:
    recordings: list[Any] = [np.zeros(round(length * FakeEngine.rate_hz), np.float32) for length in seconds]
    spec = DecodeConfig(chunk_length_s=10, stride_length_s=2)
    transcripts = transcribe(FakeEngine("fake/ok"), recordings, spec, batch_size, PhaseClock(), prefetch)
    for length, transcript in zip(seconds, transcripts, strict=True):
        # Rounded window by window, so off by half a word for each.
        assert abs(len(transcript.words) - 2 * length) <= 0.5 * len(transcript.windows) + 0.01
