"""What is trained on and what is judged on share nothing but what is allowed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config import Config, DataConfig, DataSource, FinetuneConfig, FinetuneTestConfig, SyntheticConfig, Task
from bench.data.dataset import DataSet
from bench.errors import ConfigError, DataError
from bench.finetune.sets import Sets, require_test, sets_of
from bench.finetune.sets import test_data as data_to_test

RATE_HZ = 8_000
Row = tuple[str, str, str]  # file, text, speaker


@pytest.fixture
def write(tmp_path: Path, encode: Callable[..., Path]) -> Callable[..., Path]:
    """Make `write(split, *rows)`: a manifest of a split; each file is noise of its own."""

    def manifest(split: str, *rows: Row) -> Path:
        for name, _, _ in rows:
            random = np.random.default_rng(int.from_bytes(name.encode(), "big"))
            encode(tmp_path / f"{name}.wav", random.integers(-9_000, 9_000, RATE_HZ, np.int16), RATE_HZ)
        lines = ["path,text,speaker", *(f"{name}.wav,{text},{speaker}" for name, text, speaker in rows)]
        path = tmp_path / f"{split}.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return manifest


def config(tmp_path: Path, allow: list[str] | None = None, split: str | None = "train", **test: Any) -> Config:
    return Config(
        task=Task.finetune,
        data=DataConfig(
            source=DataSource.manifest,
            path=str(tmp_path / ("SPLIT.csv" if split else "all.csv")),
            split=split,
            allow_leaks=allow or [],
        ),
        finetune=replace(FinetuneConfig(), test=FinetuneTestConfig(**test)),
    )


TRAIN: list[Row] = [("a", "one word", "ann"), ("b", "two words", "ann"), ("c", "three words", "bob")]


def texts(data: DataSet | None) -> list[str]:
    assert data is not None
    return [item.text for item in data.utterances]


def test_another_split_is_judged_on(tmp_path: Path, write: Callable[..., Path]) -> None:
    write("train", *TRAIN)
    write("test", ("d", "four words", "cid"), ("e", "five words", "cid"))
    found = sets_of(judged_by_split(tmp_path))
    assert texts(found.training) == ["one word", "two words", "three words"]
    assert texts(found.test) == ["four words", "five words"]
    assert found.told == ()
    fewer = sets_of(judged_by_split(tmp_path, limit=1))
    assert texts(fewer.test) == ["four words"]
    assert len(fewer.training.utterances) == 3


def judged_by_split(tmp_path: Path, allow: list[str] | None = None, limit: int | None = None) -> Config:
    made = config(tmp_path, allow)
    test = FinetuneTestConfig(split="test", limit=limit)
    return replace(made, finetune=replace(made.finetune, test=test))


LEAKS = {
    "sentence": ("d", "Two words!", "cid"),
    "speaker": ("d", "four words", "bob"),
    "recording": ("a", "four words", "cid"),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_what_both_have_is_refused_unless_it_is_allowed(tmp_path: Path, write: Callable[..., Path], kind: str) -> None:
    write("train", *TRAIN)
    write("test", LEAKS[kind], ("e", "five words", "dan"))
    with pytest.raises(DataError) as caught:
        sets_of(judged_by_split(tmp_path))
    message = str(caught.value)
    assert kind in message
    assert "training data" in message
    assert "test data" in message
    assert "data.allow_leaks" in message
    allowed = [kind, "audio"] if kind == "recording" else [kind]
    assert len(texts(sets_of(judged_by_split(tmp_path, allowed)).test)) == 2
    others = [one for one in ("sentence", "speaker", "recording", "audio") if one not in allowed]
    with pytest.raises(DataError):
        sets_of(judged_by_split(tmp_path, others))


def shared(tmp_path: Path, share: float) -> Sets:
    return sets_of(config(tmp_path, split=None, share=share))


def test_a_share_is_kept_aside_by_speaker(tmp_path: Path, write: Callable[..., Path]) -> None:
    rows = [(f"f{number}", f"text {number}", f"speaker {number // 2}") for number in range(20)]
    write("all", *rows)
    found = shared(tmp_path, 0.3)
    training, test = ({item.speaker for item in data.utterances} for data in (found.training, found.test) if data)
    assert not training & test
    assert (len(training), len(test)) == (7, 3)
    (told,) = found.told
    assert told == "6 of 20 utterances are kept aside for the test"
    assert sorted([*texts(found.training), *texts(found.test)]) == sorted(row[1] for row in rows)
    # The same are kept aside whatever the order they are listed in.
    write("all", *rows[::-1])
    again = shared(tmp_path, 0.3)
    assert sorted(texts(again.test)) == sorted(texts(found.test))
    # What comes on top moves nothing from the test to the training, but by the share.
    assert set(texts(shared(tmp_path, 0.2).test)) < set(texts(found.test))


def test_a_share_by_one_speaker_keeps_sentences_together(tmp_path: Path, write: Callable[..., Path]) -> None:
    rows = [(f"f{number}", f"text {number // 2}", "ann") for number in range(20)]  # each is said twice
    write("all", *rows)
    found = shared(tmp_path, 0.3)
    assert not set(texts(found.training)) & set(texts(found.test))
    assert len(texts(found.test)) == 6
    assert found.told[0].endswith("its speakers are those of the training data, so it says nothing of other speakers")


def test_what_cannot_be_divided_is_refused(tmp_path: Path, write: Callable[..., Path]) -> None:
    write("all", ("a", "same", "ann"), ("b", "same", "bob"))
    with pytest.raises(DataError, match=r"leaves nothing to train on: its 2 utterances are 1 groups .*test\.split"):
        shared(tmp_path, 0.3)


def test_what_to_judge_on_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"add finetune\.test\.split=test.* finetune\.test\.share=0\.3"):
        require_test(config(tmp_path))
    require_test(config(tmp_path, share=0.1))
    require_test(judged_by_split(tmp_path))


def made_up(**test: Any) -> Config:
    speech = SyntheticConfig(voices=["en-us", "en"], sentences=4, first=3)
    return Config(
        task=Task.finetune,
        data=DataConfig(source=DataSource.synthetic, synthetic=speech),
        finetune=replace(FinetuneConfig(), test=FinetuneTestConfig(split="test", **test)),
    )


def test_made_up_sentences_are_others_by_the_voices_asked_for() -> None:
    found = sets_of(made_up(limit=3, voices=["en+f2", "en+m2"]))
    assert len(set(texts(found.training))) == 4
    assert len(set(texts(found.test))) == 3
    assert not set(texts(found.training)) & set(texts(found.test))
    assert found.test is not None
    assert [item.speaker for item in found.test.utterances] == ["en+f2", "en+m2", "en+f2"]
    assert {item.speaker for item in found.training.utterances} == {"en-us", "en"}
    # The same voice is a leak like any other.
    with pytest.raises(DataError, match="speaker"):
        sets_of(made_up(limit=2))


def test_two_hundred_sentences_unless_a_number_is_given() -> None:
    for limit, sentences in ((None, 200), (7, 7)):
        data = data_to_test(made_up(limit=limit))
        assert (data.synthetic.first, data.synthetic.sentences, data.limit) == (3 + 4, sentences, None)


def test_without_test_data_there_is_none(tmp_path: Path, write: Callable[..., Path]) -> None:
    write("train", *TRAIN)
    found = sets_of(config(tmp_path))
    assert found.test is None
    assert len(found.training.utterances) == 3
