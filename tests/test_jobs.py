"""What stands before a run: a trial's name, and the refusal of what each run would fail of by itself."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.config import Config, ModelConfig
from bench.jobs import trial_id


def test_the_models_own_hop_length_makes_no_other_trial() -> None:
    named = {
        trial_id(Config(model=ModelConfig(hop_length=hop_length)), "model", "data") for hop_length in (None, 160, 80)
    }
    assert len(named) == 1
    other = dataclasses.replace(Config(), seed=1)
    assert trial_id(other, "model", "data") not in named


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model=random_whisper_tiny", "model.hop_length=80"], "was trained on frames 160 samples apart"),
        (["-m", "model=random_whisper_tiny", "model.hop_length=160,80"], "use model.hop_length=null"),
        (
            ["-m", "search=random", "model=random_whisper_tiny", "model.hop_length=160,80", "search.trials=1"],
            "asr-sweep features AUDIO --model architecture/whisper-tiny --hop-length 80",
        ),
        (["model=random_wav2vec2_base", "model.hop_length=160"], "name no hop length"),
        (["engine=fake", "model=fake", "model.hop_length=160"], "leave model.hop_length=null"),
        (["engine=fake", "model=fake", "model.hop_length=0"], "model.hop_length=0 is too small; give at least 1"),
    ],
)
def test_another_hop_length_is_refused_before_anything_runs(
    arguments: list[str],
    said: str,
    tone_manifest: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = tone_manifest(1)
    assert main(["run", *arguments, "data=manifest", f"data.path={manifest}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "results").exists()


def test_the_models_own_hop_length_may_be_said(
    tone_manifest: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.store import load_runs

    monkeypatch.chdir(tmp_path)
    manifest = tone_manifest(1)
    assert (
        main(["run", "model=random_whisper_tiny", "model.hop_length=160", "data=manifest", f"data.path={manifest}"])
        == 0
    )
    (row,) = load_runs(tmp_path / "results" / "default").to_dict("records")
    assert (row["status"], row["model.hop_length"]) == ("ok", 160)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("null", "is multilingual, and must be told what it is trained on; add decode.language=CODE"),
        ("cy", "fewer than finetune.folds.count=3"),  # the same sound a few times; its language is no longer the fault
    ],
)
def test_training_a_multilingual_model_takes_a_language(
    language: str,
    said: str,
    tone_manifest: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    data = ["data=manifest", f"data.path={tone_manifest(2)}", f"decode.language={language}"]
    assert main(["run", "task=finetune", "model=random_whisper_tiny", "search.objectives=[wer]", *data]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "results").exists()
