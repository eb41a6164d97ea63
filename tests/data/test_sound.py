"""Fingerprints: what they take for sound, and what changes them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.audio import decode_audio
from bench.data.sound import HOP_S, INPUT_HZ, Fingerprint, fingerprint
from bench.records import Samples
from tests.data.distort import delayed

SECONDS = 3


def noise(seed: int, seconds: float = SECONDS, amplitude: float = 0.1) -> Samples:
    return np.random.default_rng(seed).standard_normal(round(seconds * INPUT_HZ), np.float32) * np.float32(amplitude)


def tone(*frequencies_hz: float) -> Samples:
    times = np.arange(SECONDS * INPUT_HZ) / INPUT_HZ
    summed: Samples = np.sum(
        [0.2 * np.sin(2 * np.pi * each * times) for each in frequencies_hz], axis=0, dtype=np.float32
    )
    return summed


def different(one: Fingerprint, other: Fingerprint) -> float:
    """Share of the bits that differ in what both have."""
    count = min(len(one.bits), len(other.bits))
    return float(np.bitwise_count(one.bits[:count] ^ other.bits[:count]).mean()) / 32


@given(seed=st.integers(0, 2**32 - 1), louder=st.sampled_from([2.0**-6, 0.5, 4.0]))
@settings(max_examples=20, deadline=None)
def test_the_level_does_not_matter(seed: int, louder: float) -> None:
    # Powers of two scale floating-point numbers without rounding, so that every bit must be the same.
    one, other = fingerprint(noise(seed)), fingerprint(noise(seed) * np.float32(louder))
    assert np.array_equal(one.bits, other.bits)
    assert np.array_equal(one.telling, other.telling)
    assert one.telling.all()


@given(seed=st.integers(0, 2**32 - 1), hops=st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_whole_frames_cut_off_move_the_bits(seed: int, hops: int) -> None:
    # Five frames are 1,024 samples; the resampler's edge reaches no further than the first few hundredths of a second.
    whole = fingerprint(noise(seed))
    cut = fingerprint(noise(seed)[1_024 * hops :])
    assert different(cut, Fingerprint(whole.bits[5 * hops :], whole.weak, whole.telling)) < 0.01


def test_half_a_frame_cut_off_changes_few_bits() -> None:
    # The worst case between two frames: 6.4 ms of a frame of 410 ms are others.
    assert 0 < different(fingerprint(noise(1)[round(HOP_S / 2 * INPUT_HZ) :]), fingerprint(noise(1))) < 0.06


def test_other_noise_has_other_bits() -> None:
    assert different(fingerprint(noise(1)), fingerprint(noise(2))) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(SECONDS * INPUT_HZ, np.float32),
        np.random.default_rng(0).integers(-1, 2, SECONDS * INPUT_HZ).astype(np.float32) / 32_768,  # dither
        tone(440),
        tone(*range(100, 2_000, 100)),  # hum and its overtones
        delayed(np.zeros(INPUT_HZ, np.float32), 100),
    ],
    ids=["digital silence", "dither", "tone", "hum", "short silence"],
)
def test_silence_and_what_is_steady_tell_nothing(samples: Samples) -> None:
    found = fingerprint(samples)
    assert len(found.bits)
    assert not found.telling.any()


def test_pauses_tell_nothing_and_speech_does(speech_dir: Path) -> None:
    speech = decode_audio(speech_dir / "librispeech_other" / "1688-142285-0003.flac", INPUT_HZ)
    found = fingerprint(np.concatenate([np.zeros(2 * INPUT_HZ, np.float32), speech]))
    silent = round((2 - 0.41) / HOP_S)  # frames that end before the speech begins
    assert not found.telling[: silent - 1].any()
    assert found.telling[round(2 / HOP_S) :].mean() > 0.8


@pytest.mark.parametrize("count", [0, 1, 1_000, 6_500])
def test_what_is_shorter_than_two_frames_has_no_bits(count: int) -> None:
    found = fingerprint(noise(1)[:count])
    assert found.bits.shape == found.telling.shape == (0,)


def test_the_weak_bits_are_those_that_noise_turns() -> None:
    # Of 32 bits three are weak: turned by chance, they would be 3 in 32 of those that turn.
    one = fingerprint(noise(1))
    other = fingerprint(noise(1) + noise(2, amplitude=0.005))
    turned = one.bits ^ other.bits
    weak = np.bitwise_or.reduce(np.uint32(1) << one.weak.astype(np.uint32), axis=1)
    assert np.bitwise_count(turned & weak).sum() > 0.5 * np.bitwise_count(turned).sum() > 0
