import importlib
import itertools
import tracemalloc
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.data.audio import decode_audio
from bench.errors import AssetError, ImpossiblePoint
from bench.inference import vad
from bench.inference.vad import cut_at_silences, divide, hysteresis, pack, probabilities, speech_spans
from bench.records import Samples, Window

RATE_HZ = 16_000
FRAME = 512
Spans = list[tuple[int, int]]


@pytest.fixture(scope="module")
def silero() -> Iterator[ModuleType]:
    """Silero's own package; importing it sets torch to one thread, for everybody."""
    threads = torch.get_num_threads()
    yield importlib.import_module("silero_vad")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def silero_model(silero: ModuleType) -> Any:
    """Silero's own model, in a format that torch calls deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return silero.load_silero_vad()


@pytest.fixture(scope="module")
def reader(speech_dir: Path) -> Samples:
    """233 s of one reader."""
    return decode_audio(speech_dir / "longform" / "lj001_0001_0032.flac", RATE_HZ)


@pytest.fixture
def unloaded() -> Iterator[None]:
    """The detector's weights have not been read yet."""
    vad._model.cache_clear()
    yield
    vad._model.cache_clear()


@st.composite
def _spans(draw: st.DrawFn) -> Spans:
    pairs = draw(st.lists(st.tuples(st.integers(1, 5 * RATE_HZ), st.integers(1, 70 * RATE_HZ)), max_size=12))
    edges = itertools.accumulate(itertools.chain.from_iterable(pairs))
    return list(zip(edges, edges, strict=True))


_LONGEST = st.integers(FRAME, 30 * RATE_HZ)


def _speech(spans: Spans, seed: int) -> NDArray[np.float32]:
    frames = -(-spans[-1][1] // FRAME) if spans else 0
    return np.random.default_rng(seed).random(frames, dtype=np.float32)


@given(spans=_spans(), longest=_LONGEST, seed=st.integers(0, 99))
def test_windows_hold_all_speech_once_and_are_never_too_long(spans: Spans, longest: int, seed: int) -> None:
    windows = pack(divide(spans, longest, _speech(spans, seed), FRAME), longest)

    assert all(0 < window.stop - window.start <= longest for window in windows)
    assert all(window.left == window.right == 0 for window in windows)
    assert all(before.stop <= after.start for before, after in itertools.pairwise(windows))
    for start, stop in spans:
        held = sum(max(0, min(stop, window.stop) - max(start, window.start)) for window in windows)
        assert held == stop - start
    for window in windows:  # no silence at the edges
        assert any(start <= window.start < stop for start, stop in spans)
        assert any(start < window.stop <= stop for start, stop in spans)


@given(spans=_spans(), longest=_LONGEST, seed=st.integers(0, 99))
def test_a_window_ends_only_where_the_next_span_does_not_fit(spans: Spans, longest: int, seed: int) -> None:
    parts = list(divide(spans, longest, _speech(spans, seed), FRAME))
    ends = dict(parts)

    for before, after in itertools.pairwise(pack(parts, longest)):
        assert ends[after.start] - before.start > longest


@given(spans=_spans(), longest=_LONGEST, seed=st.integers(0, 99))
def test_only_the_last_part_of_a_span_may_be_short(spans: Spans, longest: int, seed: int) -> None:
    stops = {stop for _, stop in spans}

    for start, stop in divide(spans, longest, _speech(spans, seed), FRAME):
        assert stop in stops or 2 * (stop - start) >= longest


def test_long_speech_is_cut_in_the_middle_of_its_least_probable_frame() -> None:
    """Ten of twenty frames fit. Frame 2 is the least probable, but lies in the first half of what fits."""
    speech = np.ones(20, dtype=np.float32)
    speech[[2, 7, 15]] = 0.0, 0.2, 0.1

    parts = list(divide([(0, 20 * FRAME)], 10 * FRAME, speech, FRAME))

    cuts = [7 * FRAME + FRAME // 2, 15 * FRAME + FRAME // 2]
    assert parts == [(0, cuts[0]), (cuts[0], cuts[1]), (cuts[1], 20 * FRAME)]


def test_neighbours_share_a_window_as_long_as_they_fit() -> None:
    """With 100 samples a window, the third span ends at 101 from the first one's start."""
    windows = pack([(10, 40), (50, 80), (90, 111), (120, 190), (400, 410)], 100)

    assert windows == [Window(10, 80, 0, 0), Window(90, 190, 0, 0), Window(400, 410, 0, 0)]


@settings(deadline=None)
@given(
    runs=st.lists(st.tuples(st.sampled_from([0.0, 0.34, 0.36, 0.49, 0.51, 1.0]), st.integers(1, 12)), max_size=30),
    missing=st.integers(0, FRAME - 1),
)
def test_spans_are_those_of_silero(silero: ModuleType, runs: list[tuple[float, int]], missing: int) -> None:
    """The probabilities dwell at values on either side of both thresholds; the last frame may be incomplete."""
    speech = np.array([value for value, count in runs for _ in range(count)], dtype=np.float32)
    length = max(len(speech) * FRAME - missing, 0)

    expected = silero.get_speech_timestamps_from_probs(speech.tolist(), audio_length_samples=length)

    assert hysteresis(speech, length) == [(span["start"], span["end"]) for span in expected]


def test_probabilities_are_those_of_silero(silero_model: Any) -> None:
    """Bursts of noise over 40.01 s: three blocks, the last frame incomplete."""
    noise = np.random.default_rng(0).standard_normal(round(40.01 * RATE_HZ)).astype(np.float32)
    samples = 0.2 * noise * (np.sin(np.arange(len(noise)) * 2 * np.pi * 3 / RATE_HZ) > 0).astype(np.float32)

    expected = silero_model.audio_forward(torch.from_numpy(samples)[None], RATE_HZ)[0].numpy()

    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(probabilities(samples, RATE_HZ), expected, atol=1e-4)


def test_speech_is_where_silero_hears_it(silero: ModuleType, silero_model: Any, reader: Samples) -> None:
    minute = reader[: 60 * RATE_HZ].copy()

    expected = silero.get_speech_timestamps(torch.from_numpy(minute), silero_model)

    assert len(expected) > 10
    assert speech_spans(minute, RATE_HZ) == [(span["start"], span["end"]) for span in expected]


@pytest.mark.parametrize("longest_s", [10, 20, 30])
def test_windows_of_a_reading_hold_its_speech(reader: Samples, longest_s: float) -> None:
    windows = cut_at_silences(reader, RATE_HZ, longest_s)

    assert len(reader) / RATE_HZ / longest_s < len(windows) < 2 * len(reader) / RATE_HZ / longest_s
    assert max(window.stop - window.start for window in windows) <= longest_s * RATE_HZ
    assert all(before.stop <= after.start for before, after in itertools.pairwise(windows))
    for start, stop in speech_spans(reader, RATE_HZ):
        assert sum(max(0, min(stop, window.stop) - max(start, window.start)) for window in windows) == stop - start


def test_what_is_left_out_of_a_reading_is_quiet(reader: Samples) -> None:
    """Energy knows nothing of the detector: the pauses hold under 3 % of it, at least 12 dB below the speech."""
    inside = np.zeros(len(reader), dtype=bool)
    for start, stop in speech_spans(reader, RATE_HZ):
        inside[start:stop] = True
    power = np.square(reader, dtype=np.float64)

    assert power[inside].sum() > 0.97 * power.sum()
    assert 10 * np.log10(power[inside].mean() / power[~inside].mean()) > 12


@pytest.mark.parametrize(("first", "second"), [(0, 1), (2, 3), (4, 5)])
def test_a_pause_is_found_where_it_is(speech_dir: Path, first: int, second: int) -> None:
    """Two utterances of a quiet room with 2 s of zeros in between, cut where their own energy starts and ends."""
    folder = speech_dir / "librispeech_other"
    before, after = (
        _trimmed(decode_audio(folder / f"2033-164914-{number:04}.flac", RATE_HZ)) for number in (first, second)
    )
    samples = np.concatenate([before, np.zeros(2 * RATE_HZ, dtype=np.float32), after])

    spans = speech_spans(samples, RATE_HZ)

    silences = [(stop, start) for (_, stop), (start, _) in itertools.pairwise(spans)]
    stop, start = max(silences, key=lambda silence: silence[1] - silence[0])
    assert stop == pytest.approx(len(before), abs=0.2 * RATE_HZ)
    assert start == pytest.approx(len(before) + 2 * RATE_HZ, abs=0.2 * RATE_HZ)


def _trimmed(samples: Samples) -> Samples:
    """From the first to the last hundredth of a second within 20 dB of the loudest."""
    step = RATE_HZ // 100
    power = np.square(samples[: len(samples) // step * step].reshape(-1, step)).mean(axis=1)
    loud = np.flatnonzero(power > power.max() / 100)
    return samples[loud[0] * step : (loud[-1] + 1) * step]


@pytest.mark.parametrize("seconds", [0.001, 1, 40])
def test_silence_and_faint_noise_give_no_windows(seconds: float) -> None:
    noise = np.random.default_rng(1).standard_normal(round(seconds * RATE_HZ)).astype(np.float32)

    assert cut_at_silences(np.zeros_like(noise), RATE_HZ, 30) == []
    assert cut_at_silences(noise * np.float32(10 ** (-60 / 20)), RATE_HZ, 30) == []


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000])
def test_another_rate_finds_the_same_speech(speech_dir: Path, reader: Samples, rate_hz: int) -> None:
    samples = decode_audio(speech_dir / "longform" / "lj001_0001_0032.flac", rate_hz)

    found, expected = _voiced(speech_spans(samples, rate_hz), rate_hz), _voiced(speech_spans(reader, RATE_HZ), RATE_HZ)

    assert (found != expected).mean() < 0.01
    windows = cut_at_silences(samples, rate_hz, 10)
    assert windows[-1].stop <= len(samples)
    assert max(window.stop - window.start for window in windows) <= 10 * rate_hz


def _voiced(spans: Spans, rate_hz: int) -> NDArray[np.bool_]:
    """Whether there is speech in each hundredth of a second of 233 s."""
    middles = (np.arange(23_300) + 0.5) / 100 * rate_hz
    voiced = np.zeros(len(middles), dtype=np.bool_)
    for start, stop in spans:
        voiced |= (start <= middles) & (middles < stop)
    return voiced


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_a_recording_in_a_file_is_not_read_at_once(tmp_path: Path, rate_hz: int) -> None:
    length = 100 * rate_hz
    np.memmap(tmp_path / "samples", np.float32, "w+", shape=(length,)).flush()
    samples = np.memmap(tmp_path / "samples", np.float32, "r", shape=(length,))
    speech_spans(samples[:rate_hz], rate_hz)

    tracemalloc.start()
    assert speech_spans(samples, rate_hz) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 5 * 16.4 * RATE_HZ * 4  # some blocks, where the whole at 16 kHz alone is 6.1


def test_windows_shorter_than_a_frame_are_refused() -> None:
    with pytest.raises(ImpossiblePoint, match=r"chunk_length_s=0.03 is shorter than the 0.032 s"):
        cut_at_silences(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ, 0.03)


@pytest.mark.usefixtures("unloaded")
def test_loading_leaves_the_random_generator_alone() -> None:
    before = torch.get_rng_state()

    speech_spans(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ)

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("unloaded")
def test_a_missing_detector_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(vad, "distribution", missing)

    with pytest.raises(AssetError, match="pip install 'silero-vad=="):
        speech_spans(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ)


@pytest.mark.usefixtures("unloaded")
def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "silero_vad" / "data").mkdir(parents=True)
    (tmp_path / "silero_vad" / "data" / "silero_vad.jit").write_bytes(b"another model")
    package = SimpleNamespace(locate_file=tmp_path.joinpath)
    monkeypatch.setattr(vad, "distribution", lambda name: package)

    with pytest.raises(AssetError, match="SHA-256"):
        speech_spans(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ)
