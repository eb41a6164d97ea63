from collections.abc import Callable
from pathlib import Path

import pytest

from bench.config import DataConfig, DataSource
from bench.data.dataset import load_dataset
from bench.errors import DataError
from bench.records import Utterance


def read(folder: Path, split: str | None = None) -> tuple[Utterance, ...]:
    return load_dataset(DataConfig(source=DataSource.folder, path=str(folder), split=split)).utterances


@pytest.fixture
def folder(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    for name, text in (("b.wav", "two\n"), ("a.WAV", "\ufeffun dŵr"), ("sub/c.wav", "three")):
        write_wav(tmp_path / "talks" / name, 0.5)
        (tmp_path / "talks" / name).with_suffix(".txt").write_text(text, encoding="utf-8")
    return tmp_path / "talks"


def test_every_file_has_its_text_beside_it(folder: Path) -> None:
    found = read(folder)
    assert [(item.utterance_id, item.text, item.error) for item in found] == [
        ("a.WAV", "un dŵr", None),
        ("b.wav", "two", None),
        ("sub/c.wav", "three", None),
    ]
    assert [item.path for item in found] == [folder.resolve() / item.utterance_id for item in found]


def test_what_is_no_audio_or_hidden_is_no_utterance(folder: Path, write_wav: Callable[..., Path]) -> None:
    before = read(folder)
    (folder / "notes.md").write_text("x")
    (folder / "._a.wav").write_bytes(b"x")
    write_wav(folder / ".trash" / "d.wav", 0.1)
    assert read(folder) == before


def test_a_file_without_its_text_cannot_be_used(folder: Path) -> None:
    (folder / "b.txt").unlink()
    (folder / "sub" / "c.txt").write_bytes(b"caf\xe9")
    good, lost, garbled = read(folder)
    assert good.error is None
    assert "b.wav has no b.txt beside it" in str(lost.error)
    assert "c.wav has a c.txt that is not UTF-8" in str(garbled.error)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_table_names_the_files(folder: Path, name: str) -> None:
    content = {
        "metadata.csv": "file_name,transcription,speaker_id\nsub/c.wav,hello there,Ann\n../x.wav,no,Bob\n",
        "metadata.jsonl": '{"file_name": "sub/c.wav", "transcription": "hello there", "speaker_id": "Ann"}\n'
        '{"file_name": "../x.wav", "transcription": "no", "speaker_id": "Bob"}\n',
    }
    (folder / name).write_text(content[name], encoding="utf-8")
    one, outside = read(folder)
    assert (one.path, one.text, one.speaker) == (folder.resolve() / "sub" / "c.wav", "hello there", "Ann")
    assert "leaves the data root" in str(outside.error)


def test_a_split_stands_in_the_path(folder: Path) -> None:
    (item,) = read(folder.parent / "talks" / "SPLIT", "sub")
    assert item.utterance_id == "c.wav"


def test_a_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"x")
    (folder / "z.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "z.txt").write_text("x")
    errors = {item.utterance_id: str(item.error) for item in read(folder)}
    assert "leaves the data root" in errors["z.wav"]


def test_linked_folders_are_followed_once_where_that_is_allowed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (folder / "sub").rename(tmp_path / "disk" / "sub")
    (folder / "sub").symlink_to(tmp_path / "disk" / "sub", target_is_directory=True)
    (tmp_path / "disk" / "sub" / "round").symlink_to(folder, target_is_directory=True)
    assert "leaves the data root" in str(read(folder)[-1].error)
    allowed = DataConfig(source=DataSource.folder, path=str(folder), allow_outside_root=True)
    assert [item.error for item in load_dataset(allowed).utterances] == [None] * 3


def test_a_folder_that_is_none_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder at"):
        read(tmp_path / "no")
    with pytest.raises(DataError, match="holds no audio"):
        read(tmp_path)
