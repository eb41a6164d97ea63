"""``asr-sweep transcribe`` end to end: speech to text, subtitles and JSON, by hand-made settings and a study's."""

import json
import math
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bench
from bench.__main__ import _parser, main
from bench.errors import ConfigError
from bench.search.compose import compose
from bench.transcription import run
from bench.transcription.command import told_apart
from bench.transcription.settings import settle
from tests.transcription.test_subtitles import read_back

FAKE = ("engine=fake", "model=fake")
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def speech(speech_dir: Path, tiny_en: Path) -> list[Path]:
    """Two short recordings of people."""
    return sorted((speech_dir / "librispeech_other").glob("1688*.flac"))[:2]


def test_a_study_and_its_recommendation_transcribe_alike(
    speech: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{path},{path.stem}" for path in speech]
    (tmp_path / "two.csv").write_text("\n".join(["path,text", *rows]))
    data = ("data=manifest", "data.path=two.csv", "data.allow_outside_root=true", "measure.warmup=0")
    bench.run("-m", *data, "study=two", "decode=pipeline", "decode.chunk_length_s=8,30", "decode.stride_length_s=1")
    capsys.readouterr()

    assert main(["transcribe", *map(str, speech), "--from-study", "two"]) == 0
    out, err = capsys.readouterr()
    told, _, chunk_s = err.strip().partition(" chunk ")
    assert told.startswith("asr-sweep: study two: Recommended:")
    runs, texts = bench.load_runs("results/two"), bench.load_utterances("results/two")
    (run_id,) = runs.loc[runs["decode.chunk_length_s"] == float(chunk_s.split()[0]), "run_id"]
    stored = texts[texts["run_id"] == run_id].set_index("path")["hypothesis"]
    expected = [f"==> {path} <==\n{stored[str(path)]}\n" for path in speech]
    assert out == "\n".join(expected)

    done = bench.transcribe(speech, from_study="results/two")
    assert [one.transcript.text for one in done if one.transcript] == [stored[str(path)] for path in speech]
    # The pipeline's merge leaves words without times, which subtitles need.
    settled = settle((), tmp_path / "results" / "two", with_times=True)
    assert "decode.merge=aligned instead of decode.merge=pipeline" in settled.told[1]
    assert settled.config.decode.merge == "aligned"


def test_all_formats_of_real_speech_tell_the_same(
    speech: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = [f"--format={name}" for name in ("txt", "srt", "vtt", "json")]
    assert main(["transcribe", str(speech[0]), "nosuch.wav", "--output", "texts", *formats, "decode.batch_size=2"]) == 1
    out, err = capsys.readouterr()
    assert err == "asr-sweep: nosuch.wav does not exist; check its name\n"
    stem = speech[0].stem
    assert out.splitlines() == [f"texts/{stem}.{ending}" for ending in ("txt", "srt", "vtt", "json")]
    text = Path(f"texts/{stem}.txt").read_text().strip()
    assert "iron" in text
    told = json.loads(Path(f"texts/{stem}.json").read_bytes(), parse_constant=lambda name: pytest.fail(name))
    assert told["text"] == text == " ".join(word["text"] for word in told["words"])
    assert (told["version"], told["file"], told["language"]) == (1, str(speech[0]), "en")
    assert told["times"] == "told"
    assert told["settings"]["decode.batch_size"] == 2
    assert told["windows"] == [{"start_s": 0.0, "end_s": told["duration_s"], "left_s": 0.0, "right_s": 0.0}]
    words = told["words"]
    assert all(0 <= word["start_s"] <= word["end_s"] <= told["duration_s"] + 0.02 for word in words)
    for ending in ("srt", "vtt"):
        read = read_back(Path(f"texts/{stem}.{ending}"))
        assert " ".join(line for _, _, line in read) == text
        assert all(start_ms < end_ms for start_ms, end_ms, _ in read)
        # Each cue begins with its first word, as the model heard it.
        starts = {round(1000 * word["start_s"]): word["text"] for word in words}
        assert all(starts[start_ms] == line.split()[0] for start_ms, _, line in read)


def test_a_bad_file_among_good_ones_costs_only_itself(
    tmp_path: Path, write_wav: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "a.wav", 1.0)
    (tmp_path / "bad.wav").write_bytes(b"RIFF no sound")
    (tmp_path / "folder").mkdir()
    write_wav(tmp_path / "b.wav", 2.0)
    assert main(["transcribe", "a.wav", "bad.wav", *FAKE, "folder", "b.wav", "a.wav"]) == 1
    out, err = capsys.readouterr()
    assert out == "==> a.wav <==\nword word\n\n==> b.wav <==\nword word word word\n"
    first, second = err.splitlines()
    assert first.startswith("asr-sweep: bad.wav cannot be decoded")
    assert second == "asr-sweep: folder is a folder; name the recordings in it"
    assert main(["transcribe", "bad.wav", *FAKE]) == 1
    assert main(["transcribe", "nosuch.wav", *FAKE]) == 1
    assert capsys.readouterr().out == ""


def test_the_name_of_a_recording_moves_no_cursor(
    tmp_path: Path, write_wav: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "a\x1b[2J.wav", 1.0)
    (tmp_path / "b\x1b[2J.wav").write_bytes(b"RIFF no sound")
    assert main(["transcribe", "a\x1b[2J.wav", "b\x1b[2J.wav", *FAKE]) == 1
    out, err = capsys.readouterr()
    assert out == "==> a\ufffd[2J.wav <==\nword word\n"
    assert err.startswith("asr-sweep: b\ufffd[2J.wav cannot be decoded")


def test_json_on_standard_output_is_a_line_a_recording(
    tmp_path: Path, write_wav: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(write_wav(tmp_path / name, 1.0)) for name in ("ä.wav", "b.wav")]
    assert main(["transcribe", *files, *FAKE, "--format", "json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["file"] for one in told] == files
    assert [one["times"] for one in told] == ["estimated"] * 2
    assert [(word["start_s"], word["end_s"], word["seam_s"]) for word in told[0]["words"]] == [
        (0.0, 0.5, None),
        (0.5, 1.0, None),
    ]


def test_recordings_named_alike_keep_their_texts_apart(
    tmp_path: Path, write_wav: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a.wav", "other/a.wav", "a-2.wav", "third/A.wav"]
    for seconds, name in enumerate(names, 1):
        write_wav(tmp_path / name, seconds)
    command = ["transcribe", *names, *FAKE, "--output", "texts"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["texts/a.txt", "texts/a-3.txt", "texts/a-2.txt", "texts/A-4.txt"]
    assert [len(Path(line).read_text().split()) for line in out.splitlines()] == [2, 4, 6, 8]
    assert err.splitlines() == [
        "asr-sweep: other/a.wav goes to a-3.*, since another recording is named a, too",
        "asr-sweep: third/A.wav goes to A-4.*, since another recording is named A, too",
    ]
    Path("texts/a.txt").write_text("corrected by hand")
    assert main(command) == 2
    assert "texts/a.txt and 3 more exist already; add --overwrite" in capsys.readouterr().err
    assert Path("texts/a.txt").read_text() == "corrected by hand"
    assert main([*command, "--overwrite"]) == 0
    assert Path("texts/a.txt").read_text() == "word word\n"


def test_a_long_name_leaves_room_for_a_number_and_an_ending(
    tmp_path: Path, write_wav: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{'ä' * 120}{end}.wav" for end in ("äää", "ööö")]  # 250 bytes
    for seconds, name in enumerate([*names, "b.wav"], 1):
        write_wav(tmp_path / name, seconds)
    assert main(["transcribe", *names, "b.wav", *FAKE, "--output", "texts", "--format", "json"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"texts/{'ä' * 120}.json", f"texts/{'ä' * 120}-2.json", "texts/b.json",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_only_a_plain_file_is_replaced(
    kind: str, tmp_path: Path, write_wav: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "a.wav", 1.0)
    target = tmp_path / "texts" / "a.txt"
    target.parent.mkdir()
    match kind:
        case "link":
            target.symlink_to(tmp_path / "a.wav")
        case "folder":
            target.mkdir()
        case "pipe":
            os.mkfifo(target)
    before = target.lstat().st_mode
    assert main(["transcribe", "a.wav", *FAKE, "--output", "texts", "--overwrite"]) == 2
    assert "texts/a.txt is no plain file, so nothing replaces it" in capsys.readouterr().err
    assert target.lstat().st_mode == before


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["decode.num_beams=1"], "transcribe needs a recording"),
        (["a.wav", "b.wav", "--format", "srt"], "srt of several recordings needs a file for each; add --output FOLDER"),
        (["a.wav", "--format", "srt", "--format", "txt"], "srt and txt need files of their own; add --output FOLDER"),
        (["a.wav", "--format", "doc"], "invalid choice"),
        (["a.wav", "--from-study", "nosuch"], "no study at results/nosuch"),
        (["a.wav", "--frob"], "unrecognized arguments: --frob"),
        (["a.wav", "decode.num_bems=1"], "did you mean decode.num_beams?"),
        (["https://a.org/b.wav?c=1", *FAKE], "https://a.org/b.wav?c=1 is a URL, and transcribe reads files; download"),
        (["a.wav", *FAKE, "--output", __file__], f"--output {__file__} is no folder; name one to write files to"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", *arguments]) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""
    assert fault in line


def test_settings_are_told_from_files_and_a_file_that_exists_wins(tmp_path: Path) -> None:
    (tmp_path / "take=2.wav").touch()
    inputs = ["a.wav", "take=2.wav", "decode.num_beams=2", "+model.x=1", "b/c d.wav", "a.wav"]
    files, overrides = told_apart(inputs)
    assert files == [Path("a.wav"), Path("take=2.wav"), Path("b/c d.wav")]
    assert overrides == ["decode.num_beams=2", "+model.x=1"]
    with pytest.raises(ConfigError, match="needs a recording"):
        told_apart(["take=3.wav"])


def test_recordings_may_stand_behind_flags() -> None:
    options = _parser().parse_args(["transcribe", "a.wav", "--format", "srt", "device=cpu", "--output", "x", "b.wav"])
    assert options.inputs == ["a.wav", "device=cpu", "b.wav"]
    assert options.format == ["srt"]
    assert options.output == Path("x")


def test_long_work_is_done_and_told_in_groups(
    tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "GROUP_S", 3.0)
    paths = [write_wav(tmp_path / f"{seconds}.wav", seconds) for seconds in (2, 1, 5, 1)]
    settled = settle([*FAKE, "decode.chunk_length_s=2", "decode.stride_length_s=0", "decode.batch_size=auto"])
    told: list[Any] = []
    watch = SimpleNamespace(
        begin=lambda what, windows: told.append((what, windows)), advance=told.append, end=lambda: told.append("end")
    )
    done = list(run.transcripts(paths, settled, watch))
    assert [len(one.transcript.words) for one in done if one.transcript] == [4, 2, 10, 2]
    assert [one.duration_s for one in done] == [2.0, 1.0, 5.0, 1.0]
    # The largest batch is looked for once: two windows, all there are in the first group.
    assert told == [
        *[("loading fake/ok", None), "end", ("looking for the largest batch", None), "end"],
        *[("2 recordings", 2), 2, "end", ("5.wav", 3), 2, 1, "end", ("1.wav", 1), 1, "end"],
    ]


def test_running_out_of_memory_says_what_to_change(
    write_wav: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(Path("a.wav"), 1.0)
    assert main(["transcribe", "a.wav", *FAKE, "model.name=fake/oom"]) == 2
    assert "memory on cpu does not suffice for decode.batch_size=8; use a smaller batch" in capsys.readouterr().err


def test_in_a_pipe_nothing_but_text_comes_out(cli: Cli, speech: list[Path]) -> None:
    done = cli("transcribe", speech[0], "--format", "srt")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("1\n00:00:0")  # subprocess reads line ends of any kind


def test_silence_has_no_text_and_valid_files(tmp_path: Path, tiny_en: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import wave

    with wave.open(str(tmp_path / "silent.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.zeros(3 * 16_000, np.int16).tobytes())
    formats = [f"--format={name}" for name in ("txt", "srt", "vtt", "json")]
    assert main(["transcribe", "silent.wav", "decode=vad", "--output", ".", *formats]) == 0
    assert Path("silent.txt").read_text() == "\n"
    assert Path("silent.srt").read_text() == ""
    assert Path("silent.vtt").read_text() == "WEBVTT\n"
    told = json.loads(Path("silent.json").read_text())
    assert (told["text"], told["words"], told["windows"], told["language"]) == ("", [], [], None)
    assert math.isclose(told["duration_s"], 3.0)


def test_the_commands_of_the_document_are_understood() -> None:
    text = (Path(__file__).parents[2] / "docs" / "transcribe.md").read_text(encoding="utf-8")
    commands = re.findall(r"^asr-sweep (.+)$", text, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        options = _parser().parse_args(shlex.split(command))
        _, overrides = told_apart(options.inputs)
        assert compose(overrides) is not None
