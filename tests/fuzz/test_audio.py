"""Recordings that were damaged in ways that chance makes up: decoded, or refused in a line that names the file."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from bench.assets.cache import CACHE_VARIABLE
from bench.data.audio import load_recordings
from bench.data.lengths import file_s
from bench.errors import AudioError
from bench.records import Utterance
from tests.conftest import CODECS
from tests.fuzz.conftest import in_time

pytestmark = pytest.mark.faults

_RATE_HZ = 16_000


def _samples(path: Path) -> NDArray[np.int16]:
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(parts).astype(np.int16)[: 4 * _RATE_HZ]


def _harmed(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Damage a file in one to three ways, near its head as often as elsewhere."""
    harmed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(min(len(harmed), 300) if chance.random() < 0.5 else len(harmed)) if harmed else 0
        length = chance.choice((1, 2, 4, 64, 1_000))
        match chance.randrange(7):
            case 0:
                harmed[at : at + length] = chance.randbytes(min(length, len(harmed) - at))
            case 1:
                del harmed[at:]
            case 2:
                del harmed[at : at + length]
            case 3:
                harmed[at:at] = chance.randbytes(length)
            case 4:
                harmed[at : at + length] = bytes(min(length, len(harmed) - at))
            case 5:
                harmed[at : at + length] = b"\xff" * min(length, len(harmed) - at)
            case _:
                other = chance.choice(others)
                harmed[at : at + length] = other[at : at + length]
    return bytes(harmed)


@pytest.mark.parametrize("files", [80, pytest.param(2_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_every_recording_is_decoded_or_refused(
    speech_dir: Path, encode: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int,
    tell: Callable[[Counter[str]], None],
) -> None:  # fmt: skip
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    spoken = sorted(speech_dir.rglob("*.flac"))[:3]
    sources = [
        *spoken[:1],
        *(encode(tmp_path / f"speech{ending}", _samples(spoken[-1]), _RATE_HZ) for ending in CODECS),
    ]
    contents = [path.read_bytes() for path in sources]
    chance, counts = random.Random(files), Counter[str]()
    for number in range(files):
        source = sources[number % len(sources)]
        path = tmp_path / f"harmed{source.suffix}"
        path.write_bytes(_harmed(contents[number % len(sources)], contents, chance))
        with in_time():
            file_s(path)
            (found,) = load_recordings([Utterance("harmed", path, "word")], _RATE_HZ).recordings
        if isinstance(found, AudioError):
            counts["refused"] += 1
            assert str(path) in str(found)
            assert len(str(found).splitlines()) == 1
        else:
            counts["decoded"] += 1
            assert found.ndim == 1
            assert np.isfinite(found).all()
    # Both happen, or what was done to the files did nothing, or everything.
    assert min(counts["decoded"], counts["refused"]) > files / 20
    tell(counts)
