import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.config import DataConfig, DataSource, OnError
from bench.data.audio import load_recordings
from bench.data.dataset import DataSet, load_dataset
from bench.errors import AudioError, DataError

HEADER = "path,text,speaker,start_s,duration_s"
ROWS = ("1.wav,hello there,,,", "1.wav,there,,0.5,0.5", "2.wav,good bye,,,")


def config(path: Path) -> DataConfig:
    return DataConfig(source=DataSource.manifest, path=str(path))


@pytest.fixture
def folder(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """A data set of two recordings, the second of more than three times 64 KiB."""
    data = tmp_path / "speech"
    write_wav(data / "1.wav", 1)
    write_wav(data / "2.wav", 8)
    return data


def load(folder: Path, *rows: str, name: str = "m.csv") -> DataSet:
    path = folder / name
    path.write_text("\n".join([HEADER, *(rows or ROWS)]), encoding="utf-8")
    return load_dataset(config(path))


def test_a_manifest_becomes_a_data_set(folder: Path) -> None:
    data = load(folder)
    assert data.name == "speech/m.csv"
    assert [item.text for item in data.utterances] == ["hello there", "there", "good bye"]
    assert [item.path.name for item in data.utterances] == ["1.wav", "1.wav", "2.wav"]


def test_the_limit_and_the_root_are_passed_on(folder: Path) -> None:
    load(folder)
    (folder / "lists").mkdir()
    shutil.move(folder / "m.csv", folder / "lists" / "m.csv")
    limited = dataclasses.replace(config(folder / "lists" / "m.csv"), root=str(folder), limit=2)
    data = load_dataset(limited)
    assert [item.path for item in data.utterances] == [folder.resolve() / "1.wav"] * 2


def test_paths_outside_the_root_need_permission(folder: Path) -> None:
    (folder / "m.csv").write_text(f"{HEADER}\n../elsewhere.wav,x,,,\n", encoding="utf-8")
    with pytest.raises(DataError, match="leaves the data root"):
        load_dataset(config(folder / "m.csv"))
    allowed = dataclasses.replace(config(folder / "m.csv"), allow_outside_root=True)
    assert load_dataset(allowed).utterances[0].path == folder.parent.resolve() / "elsewhere.wav"


def test_fail_refuses_what_a_limit_would_pass_over(folder: Path) -> None:
    (folder / "m.csv").write_text(f"{HEADER}\n../elsewhere.wav,x,,,\n1.wav,hello,,,\n", encoding="utf-8")
    limited = dataclasses.replace(config(folder / "m.csv"), limit=1)
    assert [item.utterance_id for item in load_dataset(limited).utterances] == ["1.wav"]
    with pytest.raises(DataError, match="1 of the 2 utterances"):
        load_dataset(dataclasses.replace(limited, on_error=OnError.fail))


def test_a_missing_manifest_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no manifest at"):
        load_dataset(config(tmp_path / "no.csv"))


def test_the_fingerprint_stays_when_the_folder_moves_or_the_manifest_is_written_differently(folder: Path) -> None:
    before = load(folder).fingerprint
    shutil.copytree(folder, folder.parent / "moved")
    assert load(folder.parent / "moved").fingerprint == before
    (folder / "2.wav").rename(folder / "renamed.wav")
    renamed = [row.replace("2.wav", "renamed.wav") for row in ROWS]
    assert load(folder, *renamed, name="other.csv").fingerprint == before


@pytest.mark.parametrize(
    "rows",
    [
        ("1.wav,hello THERE,,,", *ROWS[1:]),
        (ROWS[0], "1.wav,there,,0.25,0.5", ROWS[2]),
        (ROWS[0], "1.wav,there,,0.5,0.25", ROWS[2]),
        (ROWS[0], "1.wav,there,,0.5,", ROWS[2]),
        ROWS[:2],
        (*ROWS, ROWS[0]),
        ("2.wav,hello there,,,", *ROWS[1:]),
    ],
    ids=["text", "start", "duration", "open end", "a row less", "a row more", "another file"],
)
def test_the_fingerprint_tells_other_transcripts_and_spans(folder: Path, rows: tuple[str, ...]) -> None:
    assert load(folder).fingerprint != load(folder, *rows).fingerprint


@pytest.mark.parametrize("place", ["start", "middle", "end", "length"])
def test_the_fingerprint_tells_other_audio(folder: Path, place: str) -> None:
    before = load(folder).fingerprint
    content = bytearray((folder / "2.wav").read_bytes())
    assert len(content) > 3 * 65_536
    if place == "length":
        content += b"\0\0"
    else:
        content[{"start": 50, "middle": len(content) // 2, "end": -1}[place]] ^= 1
    (folder / "2.wav").write_bytes(content)
    assert load(folder).fingerprint != before


def test_a_recording_that_is_missing_or_unreadable_is_told_apart(folder: Path) -> None:
    whole = load(folder).fingerprint
    (folder / "2.wav").unlink()
    missing = load(folder).fingerprint
    (folder / "2.wav").mkdir()
    assert len({whole, missing, load(folder).fingerprint}) == 3


def test_a_short_file_and_its_beginning_differ(folder: Path) -> None:
    (folder / "1.wav").write_bytes(b"a" * 100)
    short = load(folder).fingerprint
    (folder / "1.wav").write_bytes(b"a" * 99)
    assert load(folder).fingerprint != short


def test_audio_is_loaded_as_long_as_it_is_what_the_data_set_was_read_with(folder: Path, tmp_path: Path) -> None:
    data = load(folder)
    assert data.utterances[2].path.name == "2.wav"
    kept = (folder / "2.wav").read_bytes()
    assert len(load_recordings(data.utterances, 16_000).recordings) == len(data.utterances)
    (folder / "2.wav").write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(DataError, match=r"2\.wav was changed since the study began; start it again"):
        load_recordings(data.utterances, 16_000)
    assert load_recordings(data.utterances[:2], 16_000).recordings
    (folder / "2.wav").unlink()
    with pytest.raises(DataError, match=r"2\.wav.*; the study could read it when it began: bring it back"):
        load_recordings(data.utterances, 16_000)
    # What could not be read from the beginning is an utterance without a result, until it can be read.
    without = load(folder)
    assert isinstance(load_recordings(without.utterances, 16_000).recordings[2], AudioError)
    (folder / "2.wav").write_bytes(kept)
    with pytest.raises(DataError, match=r"2\.wav was changed"):
        load_recordings(without.utterances, 16_000)
    assert len(load_recordings(data.utterances, 16_000).recordings) == len(data.utterances)
