import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.config import AugmentConfig
from bench.finetune.augment import GAIN_DB, NOISE_SLOPE, SNR_DB, at_speed, augment, by_microphone, in_room, with_noise

RATE_HZ = 16_000
ALL = AugmentConfig(speed=0.1, noise=1.0, room=1.0, microphone=1.0)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def tone() -> NDArray[np.float32]:
    """Two seconds of 440 Hz."""
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE_HZ) / RATE_HZ)).astype(np.float32)


def energy(samples: NDArray[np.float32]) -> float:
    return float(np.sum(samples.astype(float) ** 2))


def test_nothing_is_changed_unless_asked(tone: NDArray[np.float32]) -> None:
    assert augment(tone, RATE_HZ, AugmentConfig(time_masking=0.5, feature_masking=0.5), generator()) is tone


@pytest.mark.parametrize(
    "config",
    [ALL, AugmentConfig(speed=0.1), AugmentConfig(noise=1.0), AugmentConfig(room=1.0), AugmentConfig(microphone=1.0)],
    ids=str,
)
def test_equal_seeds_make_equal_changes_and_others_do_not(tone: NDArray[np.float32], config: AugmentConfig) -> None:
    before = tone.copy()
    one, same, other = (augment(tone, RATE_HZ, config, generator(seed)) for seed in (3, 3, 4))
    assert one.dtype == np.float32
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, tone)
    assert np.array_equal(tone, before), "the recording itself was changed"


def test_probabilities_are_kept(tone: NDArray[np.float32]) -> None:
    draws = generator()
    config = AugmentConfig(noise=0.3)
    short = tone[:100]
    changed = sum(augment(short, RATE_HZ, config, draws) is not short for _ in range(2000))
    assert changed / 2000 == pytest.approx(0.3, abs=0.04)  # four standard errors


@pytest.mark.parametrize("factor", [0.8, 0.93, 1.0, 1.1, 1.25])
def test_speed_changes_length_and_pitch(tone: NDArray[np.float32], factor: float) -> None:
    played = at_speed(tone, factor)
    assert len(played) == round(len(tone) / factor)
    spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played))))
    assert np.argmax(spectrum) * RATE_HZ / len(played) == pytest.approx(440 * factor, abs=1.0)
    assert energy(played) / len(played) == pytest.approx(energy(tone) / len(tone), rel=0.02)


def test_speeds_stay_in_their_range_and_fill_it(tone: NDArray[np.float32]) -> None:
    draws = generator()
    factors = [len(tone) / len(augment(tone, RATE_HZ, AugmentConfig(speed=0.1), draws)) for _ in range(200)]
    assert 0.9 <= min(factors) < 0.91
    assert 1.09 < max(factors) <= 1.1 + 1e-4


@given(snr_db=st.floats(*SNR_DB), slope=st.floats(*NOISE_SLOPE), length=st.integers(2, 5000))
def test_noise_has_the_power_that_was_drawn(snr_db: float, slope: float, length: int) -> None:
    samples = generator(1).standard_normal(length).astype(np.float32)
    noise = with_noise(samples, snr_db, slope, generator()) - samples
    assert 10 * np.log10(energy(samples) / energy(noise)) == pytest.approx(snr_db, abs=0.02)


@pytest.mark.parametrize("slope", [0.0, 1.0, 1.5])
def test_noise_falls_with_frequency_as_asked(slope: float) -> None:
    samples = np.ones(2**17, np.float32)
    noise = with_noise(samples, 0.0, slope, generator()) - samples
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = 2 ** np.arange(6, 16)
    mean = [power[start : 2 * start].mean() for start in octaves]
    measured, _ = np.polyfit(np.log2(octaves), np.log2(mean), 1)
    assert -measured == pytest.approx(slope, abs=0.1)


@pytest.mark.parametrize("reverberation_s", [0.1, 0.3, 0.6])
def test_echoes_fall_by_60_db_in_their_time(reverberation_s: float) -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[0] = 1.0
    echo = in_room(click, RATE_HZ, reverberation_s, 6.0, generator())[1:]
    # Energy that is still to come, in dB (Schroeder 1965), over the part that is neither start nor cut end.
    left_db = 10 * np.log10(np.cumsum(echo[::-1].astype(float) ** 2)[::-1] / energy(echo) + 1e-12)
    part = (left_db < -5) & (left_db > -35)
    slope, _ = np.polyfit(np.arange(len(echo))[part] / RATE_HZ, left_db[part], 1)
    assert -60 / slope == pytest.approx(reverberation_s, rel=0.1)


@given(direct_db=st.floats(0, 15))
def test_the_direct_sound_is_as_much_stronger_as_drawn(direct_db: float) -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[0] = 1.0
    heard = in_room(click, RATE_HZ, 0.3, direct_db, generator())
    assert 10 * np.log10(heard[0] ** 2 / energy(heard[1:])) == pytest.approx(direct_db, abs=0.01)


def test_a_room_keeps_length_and_energy(tone: NDArray[np.float32]) -> None:
    heard = in_room(tone, RATE_HZ, 0.4, 3.0, generator())
    assert len(heard) == len(tone)
    assert energy(heard) == pytest.approx(energy(tone), rel=1e-4)


@pytest.fixture
def noise() -> NDArray[np.float32]:
    """Eight seconds with all frequencies in them."""
    return generator(1).standard_normal(8 * RATE_HZ).astype(np.float32)


def gains_db(changed: NDArray[np.float32], samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Change of level at each frequency, up to a factor that all share."""
    before, after = (np.abs(np.fft.rfft(item.astype(float))) for item in (samples, changed))
    return 20 * np.log10(after[1:] / before[1:])


@pytest.mark.parametrize("seed", range(20))
def test_a_microphone_changes_levels_smoothly_within_bounds(noise: NDArray[np.float32], seed: int) -> None:
    found = gains_db(by_microphone(noise, RATE_HZ, generator(seed)), noise)
    assert 1 < np.ptp(found) <= 2 * GAIN_DB + 0.05
    steps = np.abs(np.diff(found))
    assert steps.max() < 0.2  # straight lines over the logarithm of frequency have no steps


def test_a_microphone_moves_nothing_in_time() -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[8000] = 1.0
    for seed in range(10):
        heard = by_microphone(click, RATE_HZ, generator(seed))
        assert np.argmax(np.abs(heard)) == 8000
        assert energy(heard) == pytest.approx(1.0, rel=1e-4)


def test_every_microphone_is_another(noise: NDArray[np.float32]) -> None:
    draws = generator()
    found = [gains_db(by_microphone(noise, RATE_HZ, draws), noise) for _ in range(40)]
    at_1_khz_over_4_khz = [each[8 * 1000] - each[8 * 4000] for each in found]
    assert min(at_1_khz_over_4_khz) < -3
    assert max(at_1_khz_over_4_khz) > 3


@given(length=st.integers(0, 300), level=st.sampled_from([0.0, 1e-30, 1e-4, 1.0]), seed=st.integers(0, 50))
def test_everything_stays_finite(length: int, level: float, seed: int) -> None:
    samples = np.full(length, level, np.float32)
    changed = augment(samples, RATE_HZ, ALL, generator(seed))
    assert np.isfinite(changed).all()
    assert (len(changed) > 0) == (length > 0)
    assert level > 0 or not changed.any()
