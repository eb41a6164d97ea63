"""What happens to a recording between two corpora: other encodings, rates and levels, another beginning."""

from collections.abc import Callable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import soxr

from bench.data.audio import decode_audio
from bench.records import Samples

RATE_HZ = 16_000

Distort = Callable[[Samples, Path], Path]
"""Writes samples at 16 kHz to a file whose path lacks its suffix; returns the file."""


def delayed(samples: Samples, milliseconds: float) -> Samples:
    """Begin with silence, or for less than nothing without the first milliseconds."""
    count = round(milliseconds * RATE_HZ / 1000)
    return np.concatenate([np.zeros(max(0, count), np.float32), samples[max(0, -count) :]])


def write(path: Path, codec: str, samples: Samples, rate_hz: int = RATE_HZ, bit_rate: int | None = None) -> Path:
    """Encode samples at 16 kHz as a mono file at another rate."""
    at_rate = samples if rate_hz == RATE_HZ else soxr.resample(samples, RATE_HZ, rate_hz)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        if bit_rate:
            stream.bit_rate = bit_rate
        pcm = np.round(np.clip(at_rate, -1, 1) * 32_767).astype(np.int16)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), 0
        framed = av.AudioResampler(stream.format, "mono", rate_hz, stream.codec_context.frame_size)
        for part in chain(framed.resample(frame), framed.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def _noisy(samples: Samples) -> Samples:
    noise = np.random.default_rng(7).standard_normal(len(samples), np.float32)
    noisy: Samples = samples + noise * np.sqrt(np.mean(samples**2)) / 10
    return noisy


DISTORTIONS: dict[str, Distort] = {
    "mp3 at 32 kbit/s": lambda x, to: write(to.with_suffix(".mp3"), "libmp3lame", x, bit_rate=32_000),
    "mp3 at 32 kbit/s, 100 ms later": lambda x, to: write(
        to.with_suffix(".mp3"), "libmp3lame", delayed(x, 100), bit_rate=32_000
    ),
    "mp3 at 32 kbit/s and 48 kHz, 106.4 ms cut off": lambda x, to: write(
        to.with_suffix(".mp3"), "libmp3lame", delayed(x, -106.4), 48_000, 32_000
    ),
    "opus at 24 kbit/s, 77 ms later": lambda x, to: write(
        to.with_suffix(".ogg"), "libopus", delayed(x, 77), 48_000, 24_000
    ),
    "telephone: 8 kHz and mu-law, 33 ms later": lambda x, to: write(
        to.with_suffix(".wav"), "pcm_mulaw", delayed(x, 33), 8_000
    ),
    "26 dB softer": lambda x, to: write(to.with_suffix(".wav"), "pcm_s16le", x * 0.05),
    "noise 20 dB below": lambda x, to: write(to.with_suffix(".wav"), "pcm_s16le", _noisy(x)),
    "400 ms later": lambda x, to: write(to.with_suffix(".flac"), "flac", delayed(x, 400)),
}


def distorted(samples: Samples, how: str, folder: Path) -> Samples:
    """Distort samples, and decode what came of it."""
    return decode_audio(DISTORTIONS[how](samples, folder / "distorted"), RATE_HZ)
