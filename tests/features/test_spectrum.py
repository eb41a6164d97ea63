import numpy as np
import pytest

from bench.features.spectrum import spectrogram


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000])
@pytest.mark.parametrize("tone_hz", [500, 3_000])
def test_a_tone_is_seen_where_and_when_it_sounds_and_as_loud_as_it_is(rate_hz: int, tone_hz: int) -> None:
    times_s = np.arange(2 * rate_hz) / rate_hz
    samples = 0.5 * np.sin(2 * np.pi * tone_hz * times_s) * ((times_s > 0.6) & (times_s < 1.2))
    found = spectrogram(samples.astype(np.float32), rate_hz)
    frequencies, frames = found.levels_db.shape
    frequency, frame = np.unravel_index(found.levels_db.argmax(), found.levels_db.shape)
    assert found.top_hz == rate_hz / 2
    bin_hz = found.top_hz / (frequencies - 1)
    assert frequency * bin_hz == pytest.approx(tone_hz, abs=bin_hz / 2)
    assert found.levels_db[frequency].max() == pytest.approx(20 * np.log10(0.5), abs=0.4)
    # Half of the tone's energy is in a frame when its middle is at the tone's beginning or end.
    heard = np.flatnonzero(found.levels_db[frequency] > 20 * np.log10(0.5) - 6.02)
    assert heard[0] * found.step_s == pytest.approx(0.6, abs=1.5 * found.step_s)
    assert heard[-1] * found.step_s == pytest.approx(1.2, abs=1.5 * found.step_s)
    assert (frames - 1) * found.step_s == pytest.approx(2, abs=found.step_s)
    assert frame in heard


def test_of_a_long_span_every_sample_is_in_a_frame() -> None:
    rate_hz = 16_000
    for click in (480_000, 480_111, 480_222):
        samples = np.zeros(60 * rate_hz, np.float32)
        samples[click] = 1.0
        found = spectrogram(samples, rate_hz)
        assert found.levels_db.shape[1] <= 4_001
        assert found.levels_db.max() > -60
        assert found.levels_db.max(axis=0).argmax() * found.step_s == pytest.approx(click / rate_hz, abs=found.step_s)


def test_silence_has_a_floor() -> None:
    assert spectrogram(np.zeros(8_000, np.float32), 8_000).levels_db == pytest.approx(-120)
