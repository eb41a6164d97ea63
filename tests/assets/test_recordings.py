"""The demonstration's recordings."""

import csv
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.assets.cache import is_intact
from bench.assets.recordings import ensure_demo_recordings, lecture_text
from bench.errors import AssetError


@pytest.fixture(scope="module")
def demo(demo_cache: Path, needs: Any) -> Path:
    needs("moonshine_voice")
    needs("espeakng_loader")
    return ensure_demo_recordings()


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == ["path", "text", "speaker", "duration_s"]
        return {row["path"]: row for row in reader}


def test_the_manifest_names_every_recording_with_its_length(demo: Path) -> None:
    rows = rows_of(demo)
    assert rows.keys() == {path.name for path in demo.glob("*.wav")} == {"two_cities.wav", "beckett.wav", "lecture.wav"}
    for name, row in rows.items():
        with wave.open(str(demo / name)) as wav:
            assert (wav.getnchannels(), wav.getsampwidth()) == (1, 2)
            assert float(row["duration_s"]) == pytest.approx(wav.getnframes() / wav.getframerate(), abs=0.001)
    assert float(rows["two_cities.wav"]["duration_s"]) == pytest.approx(44.4, abs=0.1)
    assert 300 <= float(rows["lecture.wav"]["duration_s"]) <= 330
    assert len({row["speaker"] for row in rows.values()}) == 3


def test_the_words_are_those_spoken(demo: Path) -> None:
    rows = rows_of(demo)
    words = rows["two_cities.wav"]["text"].split()
    assert len(words) == 118  # "way--in" counts as one
    assert words[:6] == ["It", "was", "the", "best", "of", "times,"]
    assert rows["two_cities.wav"]["text"].endswith("in the superlative degree of comparison only.")
    assert len(rows["beckett.wav"]["text"].split()) == 12
    assert rows["lecture.wav"]["text"].split() == lecture_text().split()


def test_the_lecture_is_plain_enough_for_any_normaliser() -> None:
    text = lecture_text()
    assert 800 <= len(text.split()) <= 900
    assert not set(text) & set("0123456789'-%$&/")
    assert text.isascii()


def test_the_lecture_is_heard_from_end_to_end(demo: Path) -> None:
    with wave.open(str(demo / "lecture.wav")) as wav:
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(float)
        rate_hz = wav.getframerate()
    seconds = samples[: len(samples) // rate_hz * rate_hz].reshape(-1, rate_hz)
    loudness = np.sqrt((seconds**2).mean(axis=1))
    silent = loudness < 0.02 * np.median(loudness)
    assert silent.sum() <= 2  # a pause may fill a second, no passage is missing


def test_a_damaged_recording_is_made_again_as_it_was(cache: Path, needs: Any) -> None:
    needs("moonshine_voice")
    needs("espeakng_loader")
    folder = ensure_demo_recordings()
    original = (folder / "lecture.wav").read_bytes()
    (folder / "lecture.wav").write_bytes(original[:100])
    assert ensure_demo_recordings() == folder
    assert (folder / "lecture.wav").read_bytes() == original
    assert is_intact(folder)
    assert not {"moonshine_voice", "espeakng_loader"} & sys.modules.keys()


def test_a_missing_package_is_an_error_with_the_cure(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.assets.packages.find_spec", lambda name: None)
    with pytest.raises(AssetError, match=r"moonshine-voice==0\.1\.5 .*pip install 'asr-sweep\[demo\]'"):
        ensure_demo_recordings()
