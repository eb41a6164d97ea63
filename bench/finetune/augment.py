"""Training audio changed at random: played at another speed, in a room, with noise, heard by another microphone.

Speed: Ko, Peddinti, Povey and Khudanpur, "Audio augmentation for speech recognition", Interspeech 2015, who play
recordings at 0.9 to 1.1 times their speed, by resampling. Rooms and noise: Ko, Peddinti, Povey, Seltzer and Khudanpur,
"A study on data augmentation of reverberant speech for robust speech recognition", ICASSP 2017, who convolve with
simulated rooms and add noise. The rooms here are simpler: noise that decays exponentially after the direct sound
(Polack's statistical model of 1988), which has a room's length of echo but not its single reflections. Microphones:
Nam, Kim and Park, "FilterAugment: an acoustic environmental data augmentation method", ICASSP 2022, the linear kind,
who draw gains at some frequencies of the features and join them by straight lines; here of the samples, and over the
logarithm of frequency.

Masking in time and frequency (SpecAugment) is done by the models, on their features.
"""

import numpy as np
import scipy.fft
import scipy.signal
import soxr
from numpy.typing import NDArray

from bench.config import AugmentConfig

_Samples = NDArray[np.float32]

SNR_DB = (5.0, 35.0)
"""Speech over noise: a busy street, to a quiet room."""

REVERBERATION_S = (0.1, 0.6)
"""Time in which an echo falls by 60 dB: a furnished living room, to a bare office."""

DIRECT_DB = (0.0, 15.0)
"""Direct sound over echo: a speaker at some metres from the microphone, to one close to it."""

NOISE_SLOPE = (0.0, 1.5)
"""Power of the noise falls as frequency to this: 0 is white, 1 is pink, as speech and rooms about are."""

GAIN_DB = 10.0
"""Largest change of level at a frequency; the authors of FilterAugment take 6, a telephone takes more away."""

GAINS = (3, 6)
"""Frequencies at which a gain is drawn, as they have it."""

LOWEST_HZ = 80.0
"""Below it speech has nothing, and the gains stay as they are there."""


def augment(samples: _Samples, rate_hz: int, config: AugmentConfig, generator: np.random.Generator) -> _Samples:
    """Change a recording at random, as far as the configuration says.

    Args:
        samples: One channel, shape (samples,); it is left as it is.
        rate_hz: Samples a second.
        config: What may be changed, and how likely that is.
        generator: Equal states make equal changes.

    Returns:
        The changed recording, shape (other samples,), where the speed changes; `samples` itself where nothing does.
    """
    if config.speed:
        samples = at_speed(samples, generator.uniform(1 - config.speed, 1 + config.speed))
    if config.room and generator.random() < config.room:
        samples = in_room(
            samples, rate_hz, generator.uniform(*REVERBERATION_S), generator.uniform(*DIRECT_DB), generator
        )
    if config.noise and generator.random() < config.noise:
        samples = with_noise(samples, generator.uniform(*SNR_DB), generator.uniform(*NOISE_SLOPE), generator)
    if config.microphone and generator.random() < config.microphone:
        samples = by_microphone(samples, rate_hz, generator)
    return samples


def at_speed(samples: _Samples, factor: float) -> _Samples:
    """Play a recording faster, and higher, by a factor; below 1 slower, and lower."""
    length = max(1, round(len(samples) / factor)) if len(samples) else 0
    played = np.asarray(soxr.resample(samples, factor, 1.0), np.float32)[:length]
    return np.pad(played, (0, length - len(played)))  # the resampler may end a sample early


def in_room(
    samples: _Samples, rate_hz: int, reverberation_s: float, direct_db: float, generator: np.random.Generator
) -> _Samples:
    """Let a recording echo, with its length and energy kept.

    Args:
        samples: One channel, shape (samples,).
        rate_hz: Samples a second.
        reverberation_s: Time in which the echo falls by 60 dB.
        direct_db: Energy of the direct sound over that of the whole echo.
        generator: Draws the echo.
    """
    response = np.ones(1 + max(1, round(reverberation_s * rate_hz)), np.float32)
    time = np.arange(1, len(response)) / (len(response) - 1)
    tail = generator.standard_normal(len(time)) * 10.0 ** (-3 * time)  # 60 dB is a factor of 1,000
    response[1:] = tail * np.sqrt(10 ** (-direct_db / 10) / np.sum(tail**2))
    return _with_power_of(samples, scipy.signal.fftconvolve(samples, response)[: len(samples)])


def with_noise(samples: _Samples, snr_db: float, slope: float, generator: np.random.Generator) -> _Samples:
    """Add noise.

    Args:
        samples: One channel, shape (samples,).
        snr_db: Power of the recording over that of the noise; a silent one stays silent.
        slope: Power of the noise falls as frequency to this.
        generator: Draws the noise.
    """
    length = scipy.fft.next_fast_len(max(2, len(samples)), real=True)
    spectrum = scipy.fft.rfft(generator.standard_normal(length, np.float32))
    spectrum[1:] *= np.arange(1, len(spectrum), dtype=np.float32) ** (-slope / 2)
    spectrum[0] = 0  # microphones hear no constant pressure
    noise = _with_power_of(samples, scipy.fft.irfft(spectrum, length)[: len(samples)])
    return samples + noise * np.float32(10 ** (-snr_db / 20))


def by_microphone(samples: _Samples, rate_hz: int, generator: np.random.Generator) -> _Samples:
    """Raise and lower frequencies, with the recording's energy kept.

    Args:
        samples: One channel, shape (samples,).
        rate_hz: Samples a second.
        generator: Draws the gains, and the frequencies they are at.
    """
    count = generator.integers(*GAINS, endpoint=True)
    lowest, highest = np.log(LOWEST_HZ), np.log(rate_hz / 2)
    at = np.sort([lowest, highest, *generator.uniform(lowest, highest, count - 2)])
    gains_db = generator.uniform(-GAIN_DB, GAIN_DB, count)
    length = scipy.fft.next_fast_len(max(2, len(samples)), real=True)
    frequencies = scipy.fft.rfftfreq(length, 1 / rate_hz)
    response = np.interp(np.log(np.maximum(frequencies, LOWEST_HZ)), at, gains_db)
    heard = scipy.fft.irfft(scipy.fft.rfft(samples, length) * np.float32(10) ** (response / 20), length)[: len(samples)]
    return _with_power_of(samples, heard)


def _with_power_of(model: _Samples, samples: _Samples) -> _Samples:
    wanted, own = (float(np.sum(np.square(item, dtype=np.float64))) for item in (model, samples))
    return (samples * np.float32(np.sqrt(wanted / own) if own else 0.0)).astype(np.float32, copy=False)
