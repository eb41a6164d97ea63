"""What is handed on as a study's choice is what its report says first."""

import dataclasses
from pathlib import Path

import pytest

from bench.config import Config, DecodeConfig, flatten
from bench.errors import StoreError
from bench.records import Status
from bench.report import build
from bench.report.choice import chosen
from tests.report.builder import config, run, study


def test_the_choice_is_the_first_line_of_the_report(grid: Path, tmp_path: Path) -> None:
    choice = chosen(grid)
    first = (build(grid, tmp_path) / "summary.md").read_text().splitlines()[0]
    assert first.replace("\\", "") == f"# {choice.sentence}"
    assert f"chunk {choice.settings['decode.chunk_length_s']} s" in choice.sentence
    assert choice.apart == ()


def test_all_settings_of_the_most_accurate_are_handed_on(tmp_path: Path) -> None:
    decode = DecodeConfig(chunk_length_s=17.5, stride_length_s=2.0, batch_size="auto", num_beams=3, timestamps=True)
    best = Config(study="hand", decode=decode, threads=3, seed=7)
    folder = study(tmp_path / "hand", [run("t1", errors=20), run("t2", best, errors=1)])
    choice = chosen(folder)
    assert choice.model_fingerprint == "weights"
    wanted = {name: value for name, value in flatten(best) if name.startswith(("model.", "decode.", "threads", "seed"))}
    assert {name: choice.settings[name] for name in wanted} == wanted


def test_of_several_blocks_the_latest_is_meant_and_the_others_are_named(tmp_path: Path) -> None:
    here = run("t1", started_at="2026-01-02T00:00:00+00:00")
    there = run("t2", config(device="cuda"), errors=0, started_at="2026-01-01T00:00:00+00:00")
    choice = chosen(study(tmp_path / "hand", [here, there]))
    assert choice.settings["device"] == "cpu"
    assert choice.apart == ("demo on cuda",)


def test_a_study_without_a_choice_says_why(tmp_path: Path) -> None:
    failed = dataclasses.replace(run("t1", status=Status.error, reason="no"), outcome=None)
    with pytest.raises(StoreError, match="study hand: no setting can be recommended: 1 ended in error; mend what"):
        chosen(study(tmp_path / "hand", [failed]))
    with pytest.raises(StoreError, match="study empty has no finished run"):
        chosen(study(tmp_path / "empty", []))
