"""Shared by all tests: recordings made on the spot, a manifest of them, and the command line as a process."""

import csv
import math
import os
import subprocess
import sys
import wave
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from bench.assets.cache import CACHE_VARIABLE, cache_root

AMPLITUDE = 9_000
BASE_HZ = 440


@pytest.fixture(scope="session", autouse=True)
def own_audio_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the audio that tests decode out of the user's cache; models and recordings, slow to make, stay shared."""
    folder = tmp_path_factory.mktemp("cache")
    for shared in ("architectures", "models", "onnx", "recordings"):
        users = cache_root() / shared
        users.mkdir(parents=True, exist_ok=True)
        (folder / shared).symlink_to(users, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        yield


@pytest.fixture(scope="session")
def speech_dir() -> Path:
    """Recordings of people, for tests that need real speech; they are not part of the repository."""
    named = os.environ.get("ASR_SWEEP_SPEECH")
    if not named:
        pytest.skip("set ASR_SWEEP_SPEECH to a folder that holds longform/ and librispeech_other/")
    folder = Path(named)
    lacking = [name for name in ("longform", "librispeech_other") if not (folder / name).is_dir()]
    if lacking:
        pytest.skip(f"set ASR_SWEEP_SPEECH to a folder that holds {' and '.join(lacking)}/; {folder} does not")
    return folder


@pytest.fixture(scope="session")
def write_wav() -> Callable[..., Path]:
    """Make `write_wav(path, seconds, rate_hz=16000, channels=1)`: a 16-bit tone, an octave higher in each channel."""

    def write(path: Path, seconds: float, rate_hz: int = 16_000, channels: int = 1) -> Path:
        second = array(
            "h",
            (
                round(AMPLITUDE * math.sin(2 * math.pi * BASE_HZ * 2**channel * frame / rate_hz))
                for frame in range(rate_hz)
                for channel in range(channels)
            ),
        )
        if sys.byteorder == "big":
            second.byteswap()
        frames = round(seconds * rate_hz)
        content = second.tobytes() * math.ceil(seconds)
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(content[: frames * channels * 2])
        return path

    return write


CODECS = {
    ".wav": "pcm_s16le",
    ".flac": "flac",
    ".mp3": "libmp3lame",
    ".m4a": "aac",
    ".mp4": "aac",
    ".webm": "libopus",
    ".ogg": "libopus",
    ".mkv": "flac",
}


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """Make `encode(path, samples, rate_hz, to_hz=rate_hz, channels=1, bit_rate=None)`: a file of the ending's codec.

    The samples are 16-bit integers of one channel, shape `(samples,)`; with two channels both hold them.
    """

    def write(
        path: Path,
        samples: NDArray[np.int16],
        rate_hz: int,
        to_hz: int | None = None,
        channels: int = 1,
        bit_rate: int | None = None,
    ) -> Path:
        codec = CODECS[path.suffix]
        to_hz = 48_000 if codec == "libopus" else to_hz or rate_hz
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=to_hz, layout="mono" if channels == 1 else "stereo")
            assert isinstance(stream, av.AudioStream)
            if bit_rate is not None:
                stream.bit_rate = bit_rate
            interleaved = np.repeat(samples, channels)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=stream.layout.name)
            frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), 0
            resampler = av.AudioResampler(
                format=stream.format, layout=stream.layout, rate=to_hz, frame_size=stream.frame_size or None
            )
            for part in [*resampler.resample(frame), *resampler.resample(None), None]:
                container.mux(stream.encode(part))
        return path

    return write


@pytest.fixture
def tone_manifest(tmp_path: Path, write_wav: Callable[..., Path]) -> Callable[..., Path]:
    """Make `tone_manifest(*seconds)`: a manifest.csv of tones with two words a second, as engine=fake hears."""

    def write(*seconds: float) -> Path:
        manifest = tmp_path / "manifest.csv"
        with manifest.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "text"])
            for number, length in enumerate(seconds, 1):
                wav = write_wav(tmp_path / "tones" / f"{number}.wav", length)
                rows.writerow([wav.relative_to(tmp_path).as_posix(), " ".join(["word"] * round(2 * length))])
        return manifest

    return write


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[Counter[str]], None]:
    """Make `tell(counts)`: print what a test counted, whether it passes or not."""

    def write(counts: Counter[str]) -> None:
        with capsys.disabled():
            sys.stdout.write("\n" + ", ".join(f"{what} {number}" for what, number in counts.items()) + "\n")

    return write


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Make `cli(*arguments, cwd=tmp_path, timeout_s=120)`: run the command line as users do."""

    def run(*arguments: str | Path, cwd: Path = tmp_path, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bench", *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout_s,
            check=False,
        )

    return run
