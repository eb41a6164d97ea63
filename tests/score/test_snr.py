"""The signal-to-noise ratio told from a recording."""

import numpy as np
import pytest

from bench.records import Samples
from bench.score.snr import snr_db

RATE_HZ = 16_000


def speech(seconds: float = 6.0) -> Samples:
    """Make what rises and falls as speech does: half a second of a hum, and a quarter of silence."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    hum: Samples = (0.3 * np.sin(2 * np.pi * 150 * t) * (t % 0.75 < 0.5)).astype(np.float32)
    return hum


@pytest.mark.parametrize("truth_db", [0, 5, 10, 15, 20, 25])
def test_white_noise_added_to_speech(truth_db: int) -> None:
    clean = speech()
    noise = np.random.default_rng(truth_db).standard_normal(len(clean)).astype(np.float32)
    noise *= np.sqrt((clean**2).mean() / (noise**2).mean() / 10 ** (truth_db / 10))
    assert snr_db(clean + noise, RATE_HZ) == pytest.approx(truth_db, abs=1)
    # Neither loudness nor a constant of the microphone's matters.
    louder = 0.5 * (clean + noise) + np.float32(0.1)
    assert snr_db(louder, RATE_HZ) == pytest.approx(snr_db(clean + noise, RATE_HZ), abs=0.1)


def test_digital_silence_between_words_has_no_end() -> None:
    assert snr_db(speech(), RATE_HZ) == 80


def test_nothing_to_tell() -> None:
    assert snr_db(np.zeros(2 * RATE_HZ, dtype=np.float32), RATE_HZ) is None
    assert snr_db(speech(0.9), RATE_HZ) is None
    assert snr_db(np.zeros(0, dtype=np.float32), RATE_HZ) is None
