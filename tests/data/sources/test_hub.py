"""Data sets of the library `datasets`, from local folders: what it does beyond fetching is the same for the hub."""

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.config import Choice, DataConfig, DataSource, HubConfig
from bench.data.audio import load_recordings
from bench.data.dataset import load_dataset
from bench.errors import DataError

datasets = pytest.importorskip("datasets")

TEXTS = ["one", "two words", "", "four"]


@pytest.fixture
def folder(tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two splits as Parquet, with the bytes of the audio within."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)  # no waiting for a network that may not be there
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    for split, count in (("train", 2), ("test", 4)):
        rows: dict[str, list[Any]] = {"sound": [], "said": [], "who": []}
        for number in range(count):
            path = write_wav(tmp_path / split / f"{number}.wav", 0.5 + number / 4)
            rows["sound"].append({"bytes": path.read_bytes(), "path": path.name})
            rows["said"].append(TEXTS[number])
            rows["who"].append(number // 2)
        features = datasets.Features(
            {"sound": datasets.Audio(decode=False), "said": datasets.Value("string"), "who": datasets.Value("int64")}
        )
        (tmp_path / "set" / "data").mkdir(parents=True, exist_ok=True)
        # Not by `datasets`, which needs torchcodec to write audio; the schema has its metadata, as files of the hub do.
        table = pa.table(rows, schema=features.arrow_schema)
        pq.write_table(table, tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet")
    return tmp_path / "set"


COLUMNS = HubConfig(audio="sound", text="said", speaker="who")


def config(folder: Path, **more: Any) -> DataConfig:
    return DataConfig(source=DataSource.hub, path=str(folder), **{"split": "test", "hub": COLUMNS, **more})


def test_a_split_becomes_utterances_whose_audio_is_in_the_cache(folder: Path, tmp_path: Path) -> None:
    data = load_dataset(config(folder))
    assert [(item.utterance_id, item.text, item.speaker) for item in data.utterances] == [
        ("test/0", "one", "0"), ("test/1", "two words", "0"), ("test/2", "", "1"), ("test/3", "four", "1"),
    ]  # fmt: skip
    for number, item in enumerate(data.utterances):
        with wave.open(str(item.path)) as stored, wave.open(str(tmp_path / "test" / f"{number}.wav")) as source:
            assert stored.readframes(-1) == source.readframes(-1)
    loaded = load_recordings(data.utterances, 16_000)
    assert [len(samples) for samples in loaded.recordings if not isinstance(samples, Exception)] == [
        8_000, 12_000, 16_000, 20_000,
    ]  # fmt: skip
    assert load_dataset(config(folder, split="train")).fingerprint != data.fingerprint
    assert load_dataset(config(folder)) == data


def test_streaming_reads_the_same(folder: Path) -> None:
    streaming = HubConfig(audio="sound", text="said", speaker="who", streaming=True)
    some = load_dataset(config(folder, hub=streaming, limit=3))
    assert some.utterances == load_dataset(config(folder, limit=3)).utterances
    for wrong in ({"limit": None}, {"limit": 2, "choice": Choice.random}):
        with pytest.raises(DataError, match=r"give data\.limit=N and leave data\.choice=first"):
            load_dataset(config(folder, hub=streaming, **wrong))


def test_only_the_chosen_are_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_SWEEP_CACHE", str(tmp_path / "own"))
    (one,) = load_dataset(config(folder, limit=1, choice=Choice.random, seed=3)).utterances
    assert [path.name for path in (tmp_path / "own" / "hub").iterdir()] == [one.path.name]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"split": "dev"}, r"cannot be loaded: .*dev"),
        (
            {"hub": HubConfig(audio="audio", text="said")},
            r"no column audio \(found: sound, said, who\).*data\.hub\.audio",
        ),
        ({"hub": HubConfig(audio="sound", text="text")}, r"no column text .*data\.hub\.text=COLUMN"),
        ({"hub": HubConfig(audio="said", text="said")}, r"none of the 4 utterances"),
        ({"path": "no/such"}, r"no/such cannot be loaded"),
    ],
)
def test_what_cannot_be_had_is_one_line_with_the_cure(folder: Path, more: dict[str, Any], fault: str) -> None:
    with pytest.raises(DataError, match=fault) as caught:
        load_dataset(config(folder, **more) if "path" not in more else DataConfig(DataSource.hub, more["path"], "test"))
    assert len(str(caught.value).splitlines()) == 1


def test_audio_without_content_is_an_unusable_utterance(folder: Path) -> None:
    file = folder / "data" / "test-00000-of-00001.parquet"
    table = pq.read_table(file)
    rows = table.to_pylist()
    rows[1]["sound"] = {"bytes": None, "path": "lost.wav"}
    rows[3]["said"] = None
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    errors = [item.error for item in load_dataset(config(folder)).utterances]
    assert [error is None for error in errors] == [True, False, True, False]
    assert "test/1 has no audio" in str(errors[1])
    assert "has no text" in str(errors[3])
