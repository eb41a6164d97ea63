from collections.abc import Callable
from pathlib import Path

import pytest

from bench.config import DataConfig, DataSource
from bench.data.dataset import DataSet, load_dataset
from bench.errors import DataError

CHAPTERS = {
    ("test-clean", "61", "70968"): ["HE BEGAN A CONFUSED COMPLAINT", "GIVE NOT SO EARNEST A MIND"],
    ("test-other", "1688", "142285"): ["THERE'S IRON THEY SAY", "MAN THINKS"],
    ("test-other", "367", "130732"): ["LOBSTERS AND LOBSTERS"],
}


@pytest.fixture
def corpus(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    for (split, speaker, chapter), texts in CHAPTERS.items():
        folder = tmp_path / "LibriSpeech" / split / speaker / chapter
        lines = []
        for number, text in enumerate(texts):
            name = f"{speaker}-{chapter}-{number:04}"
            write_wav(folder / f"{name}.flac", 0.5)  # the content tells FFmpeg what it is
            lines.append(f"{name} {text}")
        (folder / f"{speaker}-{chapter}.trans.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "LibriSpeech"


def load(folder: Path, split: str | None = None) -> DataSet:
    return load_dataset(DataConfig(source=DataSource.librispeech, path=str(folder), split=split))


def test_a_split_is_read_chapter_by_chapter(corpus: Path) -> None:
    data = load(corpus, "test-other")
    assert data.name == "LibriSpeech/test-other"
    assert [(item.utterance_id, item.speaker, item.text) for item in data.utterances] == [
        ("1688/142285/1688-142285-0000.flac", "1688", "THERE'S IRON THEY SAY"),
        ("1688/142285/1688-142285-0001.flac", "1688", "MAN THINKS"),
        ("367/130732/367-130732-0000.flac", "367", "LOBSTERS AND LOBSTERS"),
    ]
    assert all(item.path.is_file() for item in data.utterances)


def test_without_a_split_everything_below_is_read(corpus: Path) -> None:
    assert len(load(corpus).utterances) == 5
    assert [item.speaker for item in load(corpus / "test-clean" / "61").utterances] == ["61", "61"]


def test_mirrors_with_another_format(corpus: Path) -> None:
    path = corpus / "test-other" / "367" / "130732" / "367-130732-0000.flac"
    path.rename(path.with_suffix(".wav"))
    assert load(corpus, "test-other").utterances[-1].path.suffix == ".wav"


def test_a_line_without_text_is_an_unusable_utterance(corpus: Path) -> None:
    table = next((corpus / "test-clean").rglob("*.trans.txt"))
    table.write_text("61-70968-0000\n\n61-70968-0001 GIVE\n")
    wrong, good = load(corpus, "test-clean").utterances
    assert "line 1 has no text" in str(wrong.error)
    assert (good.text, good.error) == ("GIVE", None)


def test_what_is_missing_is_named_with_what_there_is(corpus: Path) -> None:
    with pytest.raises(DataError, match=r"dev-clean \(.*LibriSpeech holds test-clean, test-other\)"):
        load(corpus, "dev-clean")
    (corpus / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \*\.trans\.txt"):
        load(corpus, "empty")
