import math
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.errors import AudioError, ConfigError
from bench.features.span import Span, percent, read_span

WriteWav = Callable[..., Path]


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000])
def test_a_span_has_the_samples_of_the_file_and_those_the_model_gets(
    tmp_path: Path, write_wav: WriteWav, rate_hz: int
) -> None:
    path = write_wav(tmp_path / "tone.wav", 3, rate_hz)
    with wave.open(str(path)) as file:
        stored = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32_768
    span = read_span(path, 16_000, start_s=0.5, duration_s=1.5)
    np.testing.assert_allclose(span.native, stored[rate_hz // 2 : 2 * rate_hz], atol=1e-4)
    assert (span.native_hz, len(span.heard), span.heard_hz) == (rate_hz, 24_000, 16_000)
    assert (span.start_s, span.end_s, span.duration_s) == (0.5, 2.0, 1.5)


def test_without_a_duration_it_is_all_there_is_up_to_what_the_model_sees(tmp_path: Path, write_wav: WriteWav) -> None:
    path = write_wav(tmp_path / "tone.wav", 40, 8_000)
    assert read_span(path, 16_000, window_s=30).duration_s == 30
    assert read_span(path, 16_000, window_s=20).duration_s == 20
    assert read_span(path, 16_000, start_s=35, window_s=30).duration_s == 5
    assert read_span(path, 16_000, duration_s=40).duration_s == 40


@pytest.mark.parametrize(
    ("start_s", "duration_s", "said"),
    [
        (-1, None, "--start -1 is no place in a recording; give seconds from 0 up"),
        (math.nan, None, "--start nan is no place"),
        (0, 0, "--duration 0 is not between 0.1 and 30 seconds, all that the model sees at once"),
        (0, 31, "--duration 31 is not between 0.1 and 30 seconds"),
        (0, math.nan, "--duration nan is not between"),
    ],
)
def test_a_span_that_is_none_is_refused(
    tmp_path: Path, write_wav: WriteWav, start_s: float, duration_s: float | None, said: str
) -> None:
    path = write_wav(tmp_path / "tone.wav", 1)
    with pytest.raises(ConfigError) as caught:
        read_span(path, 16_000, start_s, duration_s, window_s=30)
    assert said in str(caught.value)


@pytest.mark.parametrize("start_s", [0.95, 1, 1e12])
def test_beyond_the_end_there_is_nothing_to_see(tmp_path: Path, write_wav: WriteWav, start_s: float) -> None:
    path = write_wav(tmp_path / "tone.wav", 1)
    with pytest.raises(AudioError, match=r"holds less than 0\.1 s from --start .* on; give a lower --start"):
        read_span(path, 16_000, start_s)


def test_what_is_no_recording_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"absent\.wav is no file; give the path of a recording"):
        read_span(tmp_path / "absent.wav", 16_000)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF of nothing")
    with pytest.raises(AudioError, match=r"broken\.wav cannot be decoded .*; check that it is a complete audio file"):
        read_span(broken, 16_000)


def tones(rate_hz: int, *tones_hz: float) -> Span:
    """One second of tones of equal amplitude."""
    times_s = np.arange(rate_hz) / rate_hz
    samples = sum(np.sin(2 * np.pi * hz * times_s) for hz in tones_hz) * np.ones(rate_hz)
    return Span(Path("tones.wav"), 0.0, samples.astype(np.float32), rate_hz, np.zeros(16_000, np.float32), 16_000)


def test_the_bands_follow_from_the_rates() -> None:
    studio, telephone, own = (tones(rate_hz, 440) for rate_hz in (48_000, 8_000, 16_000))
    assert (studio.lost_hz, studio.empty_hz) == ((8_000, 24_000), None)
    assert (telephone.lost_hz, telephone.empty_hz) == (None, (4_000, 8_000))
    assert (own.lost_hz, own.empty_hz) == (None, None)


def test_the_share_of_the_energy_that_is_lost() -> None:
    assert tones(48_000, 1_000, 12_000).lost_share == pytest.approx(0.5)
    assert tones(48_000, 1_000, 2_000, 3_000, 12_000).lost_share == pytest.approx(0.25)
    assert tones(48_000, 7_000).lost_share == pytest.approx(0, abs=1e-9)
    assert tones(8_000, 3_000).lost_share == 0
    assert tones(48_000).lost_share == 0  # silence


def test_next_to_nothing_is_not_written_as_nothing() -> None:
    assert [percent(share) for share in (0, 1e-9, 0.0001, 0.5)] == ["0.00%", "less than 0.01%", "0.01%", "50.00%"]
