"""What a recording sounds like, as bits that survive another encoding: an audio fingerprint.

After Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): frames of 0.4 s begin every
12.8 ms, so that clips cut at other instants still have nearly the same frames; each gives 32 bits, the signs of how the
energy differences between 33 neighbouring bands from 300 to 2,000 Hz change to the next frame. Levels and slow filters
cancel out, and the band is what every telephone transmits. Beyond the paper, each frame says whether it tells anything:
silence, hum and steady tones change too little for the signs to mean more than rounding.

:mod:`bench.data.same_sound` compares fingerprints.
"""

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.fft import rfft

from bench.records import Samples

INPUT_HZ = 16_000
"""Sampling rate of the samples that :func:`fingerprint` takes."""

HOP_S = 64 / 5_000
"""Seconds from one frame to the next."""

BITS = 32
"""Bits of a frame."""

WEAK = 3
"""How many of a frame's bits are named as those most likely to turn out otherwise in another encoding."""

_RATE_HZ = 5_000
_FRAME = 2_048
_HOP = 64
_BLOCK = 512  # frames whose spectra are computed together: 4 MiB
_LOWEST_HZ, _HIGHEST_HZ = 300.0, 2_000.0
_SILENCE_DBFS = -90.0  # rounding to 16 bits leaves some -105 dB in the band
_SILENCE_BELOW_LOUDEST_DB = 40.0  # what lossy encoders no longer care about
_LEAST_CHANGE = 1e-3  # of a frame's energy; that of speech and of noise is above 1e-2

_WINDOW = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
_EDGES = np.round(np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, BITS + 2) * _FRAME / _RATE_HZ).astype(np.intp)
_SHIFTS = np.arange(BITS, dtype=np.uint32)
_FULL_SCALE = float(_WINDOW.sum() / 2) ** 2  # energy of a sine of amplitude 1, in its strongest bin


@dataclass(frozen=True)
class Fingerprint:
    """What a recording sounds like.

    Attributes:
        bits: A number of 32 bits for each frame, shape ``(frames,)``, :data:`HOP_S` apart; none for less than 0.43 s.
        weak: The :data:`WEAK` bits of each frame whose energies were closest to the other sign, shape
            ``(frames, WEAK)``.
        telling: Whether a frame is neither silent nor steady, shape ``(frames,)``.
    """

    bits: NDArray[np.uint32]
    weak: NDArray[np.uint8]
    telling: NDArray[np.bool_]


def fingerprint(samples: Samples) -> Fingerprint:
    """Compute a recording's fingerprint.

    Args:
        samples: Mono samples of shape ``(samples,)`` at :data:`INPUT_HZ`.
    """
    energy = _band_energies(soxr.resample(samples, INPUT_HZ, _RATE_HZ, quality="HQ"))
    # The first frame has nothing to be compared with, and so no bits.
    change = np.diff(np.diff(energy, axis=1), axis=0)
    size = np.abs(change)
    bits = np.bitwise_or.reduce((change > 0).astype(np.uint32) << _SHIFTS, axis=1)
    weak = (
        np.argpartition(size, WEAK, axis=1)[:, :WEAK].astype(np.uint8) if len(size) else np.empty((0, WEAK), np.uint8)
    )
    whole = energy[1:].sum(axis=1)
    audible = whole > max(
        _FULL_SCALE * 10 ** (_SILENCE_DBFS / 10), whole.max(initial=0.0) * 10 ** (-_SILENCE_BELOW_LOUDEST_DB / 10)
    )
    return Fingerprint(bits, weak, audible & (size.sum(axis=1) > _LEAST_CHANGE * whole))


def _band_energies(samples: Samples) -> NDArray[np.float32]:
    """Energy of each frame in each band, shape ``(frames, 33)``."""
    count = max(0, (len(samples) - _FRAME) // _HOP + 1)
    energy = np.empty((count, BITS + 1), np.float32)
    if not count:
        return energy
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        spectrum = rfft(frames[block] * _WINDOW, axis=1)[:, _EDGES[0] : _EDGES[-1]]
        power = spectrum.real**2 + spectrum.imag**2
        energy[block] = np.add.reduceat(power, _EDGES[:-1] - _EDGES[0], axis=1)
    return energy
