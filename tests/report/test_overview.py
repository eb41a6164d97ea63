"""`show` and `list`: what they say in a pipe, of good and of broken studies, and that no control character gets out."""

from pathlib import Path

import pytest

from bench.__main__ import main
from bench.records import Status
from bench.terminal import print_alignment, print_lines
from tests.report.builder import config, run, study, unscored, utterance_result

EVIL = "red \x1b[31m text\x07 <script>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = [
        utterance_result(1, 0, 4, reference="one two three four", hypothesis="one two three four"),
        utterance_result(2, 2, 4, reference="a loan for me", hypothesis=f"alone for me {EVIL}"),
    ]
    return study(
        tmp_path / "results" / "s",
        [
            run("aaaa", config(10), utterances=texts),
            run("bbbb", config(20), utterances=[utterance_result(n, 2, 4) for n in (1, 2)], inference_s=5.0),
            run("cccc", config(30), status=Status.oom, reason="killed \x1b[2J at 7613 MiB"),
        ],
    )


def out(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr().out
    assert not [mark for mark in told if not mark.isprintable() and mark != "\n"]
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" not in told
    return told


def test_a_study_is_shown_best_setting_first_with_its_failures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(folder)]) == 0
    told = out(capsys)
    assert "runs: 2 ok, 1 oom" in told
    assert "Recommended: chunk 10 s (WER 25.0 %" in told
    places = [told.index(f"\n {trial} ") for trial in ("aaaa", "bbbb", "cccc")]
    assert places == sorted(places)
    assert "Failures\nchunk 30 s (cccc): 1 of 1 runs, oom: killed \N{REPLACEMENT CHARACTER}[2J at 7613 MiB" in told


def test_a_setting_is_shown_with_its_worst_utterance_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder), "aa"]) == 0
    told = out(capsys)
    assert "decode.chunk_length_s" in told
    assert "WER" in told
    assert told.index("rec2: 2 errors in 4 words, WER 50.0 %") < told.index("rec1: 0 errors")
    assert "[-a loan-]{+alone+} for me {+red" in told or "[-a-] [-loan-]{+alone+}" in told or "{+alone+}" in told
    assert main(["show", f"{folder}:aaaa", "--utterances", "1"]) == 0
    assert "rec1" not in out(capsys)


def test_an_alignment_is_marked_without_colour(capsys: pytest.CaptureFixture[str]) -> None:
    print_alignment(["for", ["a loan", "alone"], 37, ["gone", ""], ["", "more"], "end"])
    assert out(capsys) == "for [-a loan-]{+alone+} [... 37 words ...] [-gone-] {+more+} end\n"


def test_lines_are_cleaned_and_take_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines([f"[bold]{EVIL}"])
    assert out(capsys) == "[bold]red \N{REPLACEMENT CHARACTER}[31m text\N{REPLACEMENT CHARACTER} <script>\n"


def test_a_study_without_a_wer_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study(tmp_path / "s", [run("aaaa", utterances=[unscored(1)])])
    assert main(["show", str(folder)]) == 0
    assert main(["show", str(folder), "best"]) == 0
    assert "rec1" not in out(capsys)


def test_a_study_without_runs_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(study(tmp_path / "s", []))]) == 0
    assert "No run has ended yet." in out(capsys)
    assert main(["show", str(tmp_path / "s"), "best"]) == 2
    assert main(["show", str(tmp_path / "nosuch")]) == 2


def test_the_list_tells_statuses_sizes_and_what_is_broken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder.parent
    study(root / "broken", [run("dddd")])
    next((root / "broken" / "runs").glob("*.parquet")).write_bytes(b"no parquet")
    study(root / "new", [])
    study(root / "tuned", [], config={"task": "finetune"})
    assert main(["list", "--results", str(root)]) == 0
    told = out(capsys)
    rows = {line.split()[0]: line for line in told.splitlines() if line.startswith(" ")}
    assert "2 ok, 1 oom" in rows["s"]
    assert "cannot be read" in rows["broken"]
    assert "none" in rows["new"]
    assert "fine-tune" in rows["tuned"]
    assert "broken: " in told
    assert "move it out" in told
