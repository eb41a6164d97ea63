"""The spectrum of sound over time, at whatever rate it was recorded."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bench.records import Samples

_FRAME_S = 0.025  # as speech models have it, so that the picture resolves what they do
_OVERLAP = 5
_FINER = 2  # a tone halfway between two bins would otherwise look 1.4 dB weaker than it is
_MOST_FRAMES = 4_000  # more than a picture has columns, and of a minute each sample is still in a frame
_FLOOR = 1e-6  # -120 dB, below what 16 bits hold


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """Levels over frequency and time.

    Attributes:
        levels_db: Shape ``(frequencies, frames)``; 0 dB is a sine of full scale.
        step_s: Seconds between frames; the first is centred on the first sample.
        top_hz: The highest frequency, half the rate; the lowest is 0, and they are evenly spaced.
    """

    levels_db: NDArray[np.float32]
    step_s: float
    top_hz: float


def spectrogram(samples: Samples, rate_hz: int) -> Spectrogram:
    """Compute a linear spectrogram with Hann windows of 25 ms.

    Args:
        samples: Mono samples, shape ``(samples,)``.
        rate_hz: Their rate.
    """
    length = 2 * round(_FRAME_S * rate_hz / 2)
    hop = max(length // _OVERLAP, -(-len(samples) // _MOST_FRAMES))
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    frames = sliding_window_view(np.pad(samples, length // 2), length)[::hop]
    amplitudes = 2 / window.sum() * np.abs(np.fft.rfft(frames * window, _FINER * length))
    levels_db = 20 * np.log10(np.maximum(amplitudes, _FLOOR))
    return Spectrogram(levels_db.T.astype(np.float32), hop / rate_hz, rate_hz / 2)
