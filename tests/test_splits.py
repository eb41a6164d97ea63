"""``asr-sweep splits``: the table, the clashes, the verdict and the exit status."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.__main__ import main
from bench.records import Samples
from tests.data.distort import RATE_HZ, write

Lists = Callable[..., None]


def noise(seed: int, seconds: float = 2.0) -> Samples:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE_HZ)).astype(np.float32)


@pytest.fixture(autouse=True)
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six different recordings of two seconds, 1.wav to 6.wav, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for number in range(1, 7):
        write(tmp_path / f"{number}.wav", "pcm_s16le", noise(number))


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    """Make `lists(train="1 2", dev="3")`: manifests whose texts and speakers are all different."""

    def make(**splits: str) -> None:
        for name, numbers in splits.items():
            with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["path", "text", "speaker"])
                rows.writerows([f"{n}.wav", f"number {n} of {name}", f"{name} {n}"] for n in numbers.split())

    return make


MANIFEST = ["splits", "data=manifest", "data.path=SPLIT.csv"]


def test_clean_splits_pass(lists: Lists, capsys: pytest.CaptureFixture[str]) -> None:
    lists(train="1 2 3", dev="4", test="5 6")
    assert main(MANIFEST) == 0
    captured = capsys.readouterr()
    said = captured.out.splitlines()
    assert [line.split() for line in said[1:4]] == [
        ["train", "train", "3", "0", "0.00", "3", "3", "12"],
        ["dev", "validation", "1", "0", "0.00", "1", "1", "4"],
        ["test", "test", "2", "0", "0.00", "2", "2", "8"],
    ]
    assert said[4:] == [
        "recording: none",
        "audio: none",
        "sentence: none",
        "speaker: none",
        "train, dev and test share nothing",
    ]
    assert captured.err == ""


def test_clashes_are_listed_and_fail(lists: Lists, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists(train="1 2 3", test="4 2")
    assert main([*MANIFEST, "--output", "found/clashes.csv"]) == 1
    out = capsys.readouterr().out
    assert "recording: 1" in out
    assert "2.wav: train (2.wav) and test (2.wav)" in out
    assert "audio: 1" in out
    assert "sentence: none" in out
    assert "no split for validation (looked for validation, dev, valid)" in out
    assert "train and test clash by recording and audio" in out.splitlines()[-1]
    assert "data.allow_leaks=[recording,audio]" in out.splitlines()[-1]
    with (tmp_path / "found" / "clashes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["clash"], row["kind"], row["split"], row["utterance_id"], row["path"]) for row in rows] == [
        (number, kind, split, "2.wav", str(tmp_path / "2.wav"))
        for number, kind in (("1", "recording"), ("2", "audio"))
        for split in ("train", "test")
    ]


def test_allowed_clashes_are_listed_and_pass(lists: Lists, capsys: pytest.CaptureFixture[str]) -> None:
    lists(train="1 2", test="2 3")
    assert main([*MANIFEST, "data.allow_leaks=[recording]"]) == 1
    assert "data.allow_leaks=[recording,audio]" in capsys.readouterr().out
    assert main([*MANIFEST, "data.allow_leaks=[recording,audio]"]) == 0
    out = capsys.readouterr().out
    assert "recording: 1 (allowed)" in out
    assert out.splitlines()[-1] == "train and test share nothing but what is allowed"


def test_splits_of_other_names_are_named(lists: Lists, capsys: pytest.CaptureFixture[str]) -> None:
    lists(train="1", dev="2", mine="3 4", test="5")
    assert main(["splits", "--train", "dev", "data=manifest", "--test", "mine", "data.path=SPLIT.csv"]) == 0
    said = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert said[1:3] == [["dev", "train", "1"], ["mine", "test", "2"]]  # dev is not validation as well


def test_unusable_recordings_are_told_and_stop_nothing(
    lists: Lists, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists(train="1 2", test="3 4")
    (tmp_path / "4.wav").write_bytes(b"RIFF")
    assert main(MANIFEST) == 0
    *_, unchecked, _, verdict = capsys.readouterr().out.splitlines()
    assert unchecked.startswith("not checked by sound: 1 of 4 utterances; the first: test (4.wav): ")
    assert verdict == "train and test share nothing, as far as could be checked"


def test_common_voice_has_its_splits_where_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cy" / "clips").mkdir(parents=True)
    for name, numbers in {"train": "123", "dev": "4", "test": "51"}.items():
        rows = [f"{name}{n}\t{n}.wav\tsentence {n}\n" for n in numbers]
        (tmp_path / "cy" / f"{name}.tsv").write_text("client_id\tpath\tsentence\n" + "".join(rows))
    for number in range(1, 6):
        shutil.copy(f"{number}.wav", tmp_path / "cy" / "clips")
    assert main(["splits", "data=common_voice", "data.path=cy"]) == 1
    out = capsys.readouterr().out
    assert "sentence: 1" in out
    assert "'sentence 1': train (" in out
    assert [line.split()[:3] for line in out.splitlines()[1:4]] == [
        ["train", "train", "3"],
        ["dev", "validation", "1"],
        ["test", "test", "2"],
    ]


WRONG = [
    ([], "data=demo has no splits", "data=manifest data.path=lists/SPLIT.csv"),
    (["data=manifest", "data.path=train.csv"], "data.path=train.csv is one list", "write SPLIT"),
    (["data=manifest", "data.path=no/SPLIT.csv"], "has 0 of the 2 splits", "name it with --train NAME"),
    (["data=manifest", "data.path=SPLIT.csv"], "has 1 of the 2 splits", "name it with --test NAME"),
    (["data=manifest", "data.path=SPLIT.csv", "--test", "nope"], "no manifest at nope.csv", "give data.path=FILE"),
    (["data=manifest", "data.path=SPLIT.csv", "--test", "train"], "the split for train already", "name another"),
    (["data=manifest", "data.path=SPLIT.csv", "--test", "../x"], "data.split='../x' names no part", "data.split=test"),
    (["data=manifest", "data.path=SPLIT.csv", "data.allow_leaks=[all]"], "allow_leaks=all is unknown", "recording,"),
    (["data=common_voice"], "data=common_voice needs", "data.path="),
    (["data=manifst"], "data=manifst is unknown", "manifest"),
]


@pytest.mark.parametrize(("arguments", "fault", "cure"), WRONG, ids=[" ".join(case[0]) for case in WRONG])
def test_a_wrong_request_gets_one_line_and_status_2(
    arguments: list[str], fault: str, cure: str, lists: Lists, capsys: pytest.CaptureFixture[str]
) -> None:
    lists(train="1 2")
    assert main(["splits", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert fault in line
    assert cure in line


def test_a_split_that_is_there_and_broken_is_not_passed_over(
    lists: Lists, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists(train="1", dev="2", test="3")
    (tmp_path / "train.csv").write_text("file\n1.wav\n")
    assert main(MANIFEST) == 2
    assert "train.csv lacks the column" in capsys.readouterr().err
