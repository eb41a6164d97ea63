import wave
from pathlib import Path

import numpy as np
import pytest

from bench.assets.phrases import phrase
from bench.assets.voices import synthesize
from bench.config import Config, DataConfig, DataSource, SyntheticConfig
from bench.data.dataset import DataSet, load_dataset
from bench.data.sources.synthetic import Recording, recordings_of
from bench.errors import AssetError, ConfigError, DataError
from bench.validation import validate


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


def made_up(**settings: object) -> DataSet:
    return load_dataset(DataConfig(source=DataSource.synthetic, synthetic=SyntheticConfig(**settings)))  # type: ignore[arg-type]


def test_without_a_file_sentences_are_made_up() -> None:
    data = made_up(voices=["en-us", "en-gb-x-rp+f2"], sentences=3, first=20)
    assert data.name == "synthetic"
    assert [item.text for item in data.utterances] == [phrase(20), phrase(21), phrase(22)]
    assert [item.speaker for item in data.utterances] == ["en-us", "en-gb-x-rp+f2", "en-us"]


def test_recordings_of_several_sentences_say_them_all() -> None:
    data = made_up(sentences=5, per_recording=2)
    assert [item.text for item in data.utterances] == [
        f"{phrase(0)} {phrase(1)}",
        f"{phrase(2)} {phrase(3)}",
        phrase(4),
    ]
    for start, item in zip([0, 2], data.utterances, strict=False):
        samples, rate_hz = synthesize(f"{phrase(start)}.\n{phrase(start + 1)}", "en-us", 150)
        with wave.open(str(item.path)) as file:
            assert file.readframes(-1) == samples.astype("<i2").tobytes()
        unbroken, _ = synthesize(item.text, "en-us", 150)
        assert len(samples) > len(unbroken) + 0.1 * rate_hz, "no pause between the sentences"


def test_a_files_lines_are_joined_too(sentences: Path) -> None:
    first, second = recordings_of(sentences, SyntheticConfig(per_recording=2))
    assert (first.text, first.place) == ("Bore da. It was the best.", f"{sentences} sentence 1")
    assert first.script == "Bore da.\nIt was the best."
    assert (second.text, second.place) == ("Nos da.", f"{sentences} sentence 3")


def test_speeds_are_spread_as_far_as_asked_and_stay_the_same() -> None:
    def rates(sentences: int, spread: float) -> list[int]:
        config = SyntheticConfig(rate_wpm=200, rate_spread=spread, sentences=sentences)
        return [item.rate_wpm for item in recordings_of(None, config)]

    assert rates(3, 0.0) == [200, 200, 200]
    spread = rates(1000, 0.25)
    assert spread[:50] == rates(50, 0.25)
    # Uniform from 150 to 250: of 1,000, the extremes lie within 3 of the ends, and the mean within 4 of the middle.
    assert 150 <= min(spread) <= 153
    assert 247 <= max(spread) <= 250
    assert np.mean(spread) == pytest.approx(200, abs=4)


def test_a_recordings_own_speed_is_heard() -> None:
    config = SyntheticConfig(rate_spread=0.4, sentences=4)
    data = load_dataset(DataConfig(source=DataSource.synthetic, synthetic=config))
    planned: list[Recording] = recordings_of(None, config)
    assert len({item.rate_wpm for item in planned}) > 1
    for number, item in enumerate(data.utterances):
        samples, _ = synthesize(phrase(number), "en-us", planned[number].rate_wpm)
        with wave.open(str(item.path)) as file:
            assert file.getnframes() == len(samples)


def test_equal_requests_share_a_folder_and_others_do_not() -> None:
    requests: list[dict[str, object]] = [
        {"sentences": 4},
        {"sentences": 3},
        {"sentences": 4, "first": 1},
        {"sentences": 4, "per_recording": 2},
        {"sentences": 4, "rate_spread": 0.3},
        {"sentences": 4, "voices": ["en-us", "en-us+f3"]},
    ]
    folders = [made_up(**request).utterances[0].path.parent for request in requests]
    assert len(set(folders)) == len(requests)
    assert made_up(**requests[0]).utterances[0].path.parent == folders[0]


@pytest.mark.parametrize(
    ("synthetic", "wrong"),
    [
        (SyntheticConfig(voices=[]), "voices is empty"),
        (SyntheticConfig(rate_spread=-0.1), "rate_spread=-0.1 is no share"),
        (SyntheticConfig(rate_spread=0.51), "from 0 to 0.5"),
        (SyntheticConfig(rate_spread=float("nan")), "rate_spread=nan"),
        (SyntheticConfig(sentences=0), "sentences=0 is too small"),
        (SyntheticConfig(per_recording=0), "per_recording=0 is too small"),
        (SyntheticConfig(first=-1), "first=-1 is too small"),
    ],
)
def test_settings_that_make_no_sense_are_refused(synthetic: SyntheticConfig, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        validate(Config(data=DataConfig(source=DataSource.synthetic, synthetic=synthetic)))


def test_no_file_is_needed() -> None:
    validate(Config(data=DataConfig(source=DataSource.synthetic, synthetic=SyntheticConfig(rate_spread=0.5))))
