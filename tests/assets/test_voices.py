"""Speech from text."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.assets.voices import synthesize
from bench.errors import AssetError

SENTENCE = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(autouse=True)
def espeak(request: pytest.FixtureRequest, needs: Any) -> None:
    if "absent" not in request.node.name:
        needs("espeakng_loader")


def test_an_absent_package_is_an_error_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.assets.packages.find_spec", lambda name: None)
    with pytest.raises(AssetError, match=r"espeakng-loader==.*pip install 'asr-sweep\[demo\]'"):
        synthesize(SENTENCE)


def test_a_sentence_is_speech_of_a_plausible_length() -> None:
    samples, rate_hz = synthesize(SENTENCE, rate_wpm=160)
    assert (samples.dtype.name, samples.ndim, rate_hz) == ("int16", 1, 22_050)
    # Nine words at 160 a minute last 3.4 s; words differ in length.
    assert len(samples) / rate_hz == pytest.approx(9 / 160 * 60, rel=0.4)
    assert np.abs(samples.astype(int)).max() > 2**12
    assert "espeakng_loader" not in sys.modules


def test_the_same_call_gives_the_same_samples_whatever_came_before() -> None:
    first, _ = synthesize(SENTENCE)
    other, _ = synthesize("Something else altogether.", "en-gb-x-rp", 200)
    again, _ = synthesize(SENTENCE)
    np.testing.assert_array_equal(first, again)
    assert len(other) != len(first)


def test_many_calls_leave_nothing_behind() -> None:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no list of open files on this system")
    synthesize("one")
    before = len(list(folder.iterdir()))
    for _ in range(40):
        synthesize("one")
    assert len(list(folder.iterdir())) == before


def test_rate_and_variant_are_heard() -> None:
    slow, _ = synthesize(SENTENCE, rate_wpm=100)
    fast, _ = synthesize(SENTENCE, rate_wpm=200)
    assert 1.5 < len(slow) / len(fast) < 2.5
    woman, _ = synthesize(SENTENCE, "en-us+f3", 200)
    assert fast.tobytes() != woman.tobytes()


@pytest.mark.parametrize(
    ("text", "voice", "rate_wpm", "message"),
    [
        (SENTENCE, "zz", 160, "no voice 'zz'"),
        (SENTENCE, "en-us+nobody", 160, "no variant 'nobody'"),
        (SENTENCE, "en-us", 20, "20 words a minute"),
        ("", "en-us", 160, "nothing to say"),
    ],
)
def test_what_cannot_be_spoken_is_refused(text: str, voice: str, rate_wpm: int, message: str) -> None:
    with pytest.raises(AssetError, match=message):
        synthesize(text, voice, rate_wpm)


def test_a_library_that_does_not_load_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise OSError("wrong ELF class")

    monkeypatch.setattr(ctypes, "CDLL", fail)
    with pytest.raises(AssetError, match="wrong ELF class"):
        synthesize(SENTENCE)
