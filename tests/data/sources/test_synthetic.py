import wave
from pathlib import Path

import numpy as np
import pytest

from bench.assets.voices import synthesize
from bench.config import DataConfig, DataSource, SyntheticConfig
from bench.data.dataset import DataSet, load_dataset
from bench.errors import AssetError, DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_SWEEP_CACHE", str(tmp_path / "cache"))


def load(path: Path, *voices: str, rate_wpm: int = 160) -> DataSet:
    return load_dataset(
        DataConfig(source=DataSource.synthetic, path=str(path), synthetic=SyntheticConfig(list(voices), rate_wpm))
    )


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "said.txt"
    path.write_text("\ufeffBore da.\n\n  It was   the best.\nNos da.\n", encoding="utf-8")
    return path


def test_voices_take_turns_and_say_what_the_file_says(sentences: Path) -> None:
    data = load(sentences, "cy", "en-us+f3")
    assert [(item.text, item.speaker) for item in data.utterances] == [
        ("Bore da.", "cy"),
        ("It was the best.", "en-us+f3"),
        ("Nos da.", "cy"),
    ]
    for item in data.utterances:
        samples, rate_hz = synthesize(item.text, str(item.speaker), 160)
        with wave.open(str(item.path)) as file:
            assert file.getframerate() == rate_hz
            assert np.frombuffer(file.readframes(-1), "<i2").tolist() == samples.tolist()


def test_other_voices_speeds_and_texts_are_other_data(sentences: Path) -> None:
    one = load(sentences, "cy")
    assert load(sentences, "cy") == one
    other = {load(sentences, "cy", rate_wpm=170).fingerprint, load(sentences, "cy+f2").fingerprint}
    sentences.write_text("Bore da.\n")
    assert len({one.fingerprint, load(sentences, "cy").fingerprint} | other) == 4


def test_what_cannot_be_spoken_is_refused(sentences: Path, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="no voice 'xx'"):
        load(sentences, "xx")
    with pytest.raises(DataError, match="no sentences at"):
        load(tmp_path / "no.txt", "cy")
    sentences.write_text("\n \n")
    with pytest.raises(DataError, match="holds no sentence"):
        load(sentences, "cy")
