"""Common Voice's layout, built here: tables a split, MP3 clips, Welsh and English sentences spoken by espeak-ng."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

import bench
from bench.assets.voices import synthesize
from bench.config import DataConfig, DataSource
from bench.data.audio import load_recordings
from bench.data.dataset import load_dataset
from bench.errors import DataError

# As released: no quoting, further columns, and sentences with quotation marks of all kinds.
HEADER = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tlocale"
CLIPS: dict[str, list[tuple[str, str, str]]] = {
    "train": [
        ("ann", "Mae'r tŷ ar y bryn", "cy"),
        ("ann", "Dw i'n hoffi te", "cy"),
        ("ben", "It's five o'clock", "en-us"),
    ],
    "dev": [("cat", 'Dywedodd "helo', "cy")],
    "test": [("dai", "Ble mae\u2019r dŵr?", "cy+f2"), ("eve", "Sŵn y môr", "cy+m3")],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "cv-corpus-22.0" / "cy"
    (folder / "clips").mkdir(parents=True)
    durations = ["clip\tduration[ms]"]
    for split, clips in CLIPS.items():
        rows = [HEADER]
        for number, (client, sentence, voice) in enumerate(clips):
            name = f"common_voice_cy_{split}{number}.mp3"
            samples, rate_hz = synthesize(sentence, voice)
            encode(folder / "clips" / name, samples, rate_hz)
            rows.append(f"{client}\t{name}\tf00\t{sentence}\t\t2\t0\t\t\t\tcy")
            durations.append(f"{name}\t{round(1000 * len(samples) / rate_hz)}")
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "clip_durations.tsv").write_text("\n".join(durations) + "\n", encoding="utf-8")
    return folder


def config(folder: Path, split: str) -> DataConfig:
    return DataConfig(source=DataSource.common_voice, path=str(folder), split=split)


@pytest.mark.parametrize("split", CLIPS)
def test_a_split_is_its_table(corpus: Path, split: str) -> None:
    data = load_dataset(config(corpus, split))
    assert data.name == f"cy/{split}"
    assert [(item.speaker, item.text) for item in data.utterances] == [(who, text) for who, text, _ in CLIPS[split]]
    assert [item.error for item in data.utterances] == [None] * len(CLIPS[split])
    assert all(item.path.parent == (corpus / "clips").resolve() for item in data.utterances)
    loaded = load_recordings(data.utterances, 16_000)
    assert all(len(samples) > 8_000 for samples in loaded.recordings if not isinstance(samples, Exception))
    assert not [samples for samples in loaded.recordings if isinstance(samples, Exception)]


def test_what_the_durations_say_is_heeded(corpus: Path) -> None:
    lengths = [item.error is None for item in load_dataset(config(corpus, "train")).utterances]
    assert lengths == [True] * 3
    (shortest, *_) = sorted(
        float(line.split("\t")[1]) for line in (corpus / "clip_durations.tsv").read_text().splitlines()[1:4]
    )
    few = dataclasses.replace(config(corpus, "train"), max_duration_s=shortest / 1000)
    errors = [item.error for item in load_dataset(few).utterances]
    assert sum(error is None for error in errors) == 1
    assert all("longer than data.max_duration_s" in error for error in errors if error)


def test_clips_may_lie_on_another_disk(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "cy").mkdir()
    for table in corpus.glob("*.tsv"):
        (tmp_path / "cy" / table.name).write_bytes(table.read_bytes())
    (tmp_path / "cy" / "clips").symlink_to(corpus / "clips", target_is_directory=True)
    found, plain = load_dataset(config(tmp_path / "cy", "test")), load_dataset(config(corpus, "test"))
    assert found == plain


def test_a_table_that_is_none_is_refused(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "test.tsv").write_bytes(b"client_id\tpath\tsentence\n\xff\xfe\ta.mp3\tb\n")
    with pytest.raises(DataError, match="is no table of Common Voice"):
        load_dataset(config(tmp_path, "test"))


def test_what_is_missing_is_named_with_what_there_is(corpus: Path) -> None:
    with pytest.raises(DataError, match=r"no split validated .* data\.split=one of dev, test, train$"):
        load_dataset(config(corpus, "validated"))
    with pytest.raises(DataError, match=r"data\.path=.*cy \(found: cy\)"):
        load_dataset(config(corpus.parent, "test"))
    with pytest.raises(DataError, match="no such folder"):
        load_dataset(config(corpus / "no", "test"))
    other = corpus.parent / "xx"
    (other / "clips").mkdir(parents=True)
    (other / "test.tsv").write_text("path\ttext\n")
    with pytest.raises(DataError, match="lacks the column client_id and sentence"):
        load_dataset(config(other, "test"))


def test_welsh_keeps_its_accents_and_apostrophes_through_scoring(corpus: Path, tmp_path: Path) -> None:
    """What is stored is what the table has; scored, a lost accent or apostrophe is an error and another case none."""
    runs = bench.run(
        "data=common_voice", f"data.path={corpus}", "data.split=test", "score.normalizer=multilingual",
        "model.name=packaged/whisper-base", "decode.language=cy",
        "decode.chunk_length_s=10", "decode.stride_length_s=0",
        "study=welsh", f"results.root={tmp_path}", "measure.warmup=0", "threads=1",
    )  # fmt: skip
    assert runs["status"].tolist() == ["ok"]
    assert runs["data.name"].tolist() == ["cy/test"]
    utterances = bench.load_utterances(tmp_path / "welsh")
    assert utterances["reference"].tolist() == ["Ble mae\u2019r dŵr?", "Sŵn y môr"]
    assert utterances["speaker"].tolist() == ["dai", "eve"]
    counted = utterances["substitutions"] + utterances["deletions"] + utterances["hits"]
    assert counted.tolist() == [3, 3]  # "mae'r" is one word
