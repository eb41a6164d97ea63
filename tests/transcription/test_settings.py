"""Whose settings hold: the study's, then the user's; and what transcribing refuses."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import bench
from bench.config import Config, Engine, Merge, ModelConfig, Strategy
from bench.errors import ConfigError, ModelError, StoreError
from bench.transcription.settings import _written, deciding, settle
from tests.report.builder import config, run
from tests.report.builder import study as written_study

FAKE = ("engine=fake", "model=fake")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tone_manifest: Callable[..., Path]) -> Path:
    """A study without a model, whose setting of chunks of 20 s is as accurate as any."""
    monkeypatch.chdir(tmp_path)
    data = ("data=manifest", f"data.path={tone_manifest(3, 4)}")
    bench.run("-m", *FAKE, *data, "study=tones", "decode.chunk_length_s=20", "decode.batch_size=auto", "seed=3,4")
    return tmp_path / "results" / "tones"


def test_without_anything_said_the_defaults_hold() -> None:
    settled = settle(FAKE)
    assert settled.config.decode == Config().decode
    assert settled.config.engine == Engine.fake
    assert settled.told == ()


def test_a_study_gives_its_settings_and_the_user_the_rest(study: Path) -> None:
    settled = settle(["decode.num_beams=2", "threads=1"], study)
    decode = settled.config.decode
    assert (decode.chunk_length_s, decode.batch_size, decode.num_beams) == (20.0, "auto", 2)
    assert settled.config.threads == 1
    assert settled.config.model.name == "fake/ok"
    assert settled.config.seed in (3, 4)
    (line,) = settled.told
    assert line.startswith("study tones: Recommended: ")
    assert "WER 0.0 %" in line


def test_the_line_is_the_first_of_the_report(study: Path) -> None:
    from bench.report import build

    folder = build(study, study.parent / "reports")
    told = settle((), study).told[0].removeprefix("study tones: ")
    assert (folder / "summary.md").read_text().splitlines()[0].replace("\\", "") == f"# {told}"


def test_a_group_takes_the_place_of_all_that_the_study_says_under_it(study: Path) -> None:
    decode = settle(["decode=vad"], study).config.decode
    assert decode == dataclasses.replace(Config().decode, strategy=Strategy.vad, stride_length_s=0.0)


def test_results_cannot_read_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    asked = config(model=ModelConfig(name="/no/${oc.env:TOKEN}"), engine=Engine.transformers)
    folder = written_study(tmp_path / "sent", [run("aaaa", asked)])
    with pytest.raises(StoreError, match=r"model\.name=/no/\$\{oc\.env:TOKEN\} .*; give model\.name yourself"):
        settle((), folder)
    assert settle([*FAKE, "model.name=fake/ok"], folder).config.model.name == "fake/ok"


def test_a_value_keeps_its_quotes_and_backslashes() -> None:
    from bench.search.compose import compose

    for name in (
        "it's",
        "a b",
        "x,y",
        'say "so"',
        "back\\slash",
        "end'",
        "null",
        "Ünï",
        "a=b",
        "[1]",
        "3",
        "x\\'y",
        "z\\",
        "NaN",
        "~/a",
        "true",
    ):
        composed = compose([f"model.name={_written(name)}"])
        assert composed is not None
        assert composed.config.model.name == name


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("data.limit=1", "data.limit=1 is about studies"),
        ("measure.repeats=2", "measure.repeats=2 is about studies"),
        ("experiment=demo", "experiment=demo is about studies"),
        ("hydra.mode=MULTIRUN", "is about studies"),
        ("decode.num_beams=1,2", "lists several values"),
        ("decode.num_bems=1", "did you mean decode.num_beams?"),
        ("decode.chunk_length_s=6", "use a stride below 3"),
        ("model=random_whisper_tiny", "random weights, whose text means nothing"),
        ("model.hop_length=80", "was trained on frames 160 samples apart"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_reason(override: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault.replace("?", r"\?")):
        settle([override])


def test_a_study_that_came_to_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bench.run(*FAKE, "model.name=fake/error", "study=bad", "data.limit=1", "executor.max_attempts=1")
    with pytest.raises(
        StoreError, match=r"no setting can be recommended: 1 ended in error.*name the settings yourself"
    ):
        settle((), tmp_path / "results" / "bad")
    with pytest.raises(StoreError, match="no study at"):
        settle((), tmp_path / "results" / "none")


def test_a_device_that_is_not_here_is_refused_with_the_cure(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.transcription.settings.why_absent", lambda device: "it was sold")
    with pytest.raises(ConfigError, match="device=cpu, which is not there: it was sold; add device=cpu"):
        settle((), study)
    assert settle(["device=cpu"], study).config.device == "cpu"


def test_a_model_whose_files_have_changed_is_told(
    tmp_path: Path, tiny_en: Path, write_wav: Callable[..., Path]
) -> None:
    from bench.search.compose import compose
    from bench.sweep import run_study

    folder = tmp_path / "my model"
    shutil.copytree(tiny_en, folder)
    manifest = tmp_path / "one.csv"
    write_wav(tmp_path / "one.wav", 1.0)
    manifest.write_text("path,text\none.wav,word\n")
    said = ["study=own", f"model.name='{folder}'", "data=manifest", f"data.path={manifest}", "measure.warmup=0"]
    composed = compose([*said, f"results.root={tmp_path}"])
    assert composed is not None
    run_study(composed, "", _Silent())
    assert len(settle((), tmp_path / "own").told) == 1
    settings = (folder / "generation_config.json").read_text()
    (folder / "generation_config.json").write_text(settings + "\n")
    settled = settle((), tmp_path / "own")
    assert settled.told[1] == f"{folder} is not what the study measured: its files have changed since"
    assert settled.model_path == str(folder.resolve())
    assert len(settle(["model.name=packaged/whisper-tiny.en"], tmp_path / "own").told) == 1
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="is no folder"):
        settle((), tmp_path / "own")


class _Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *told, **more: None


def test_a_decoding_asked_for_is_kept_and_its_lack_of_times_told(tiny_en: Path) -> None:
    assert settle(["decode.stride_length_s=4"], with_times=True).told == ()
    pipeline = settle(["decode=pipeline"], with_times=True)
    assert pipeline.config.decode.merge is Merge.pipeline
    assert "estimated; for real ones: decode.merge=aligned" in pipeline.told[0]
    walk = settle(["decode=sequential"], with_times=True)
    assert walk.config.decode.strategy is Strategy.sequential
    assert "estimated; for real ones: decode.strategy=vad" in walk.told[0]


def test_an_engine_without_times_says_so() -> None:
    assert settle(FAKE, with_times=True).told == (
        "fake/ok tells no times of words, so the times of the subtitles are estimated",
    )


def test_only_what_decides_the_text_is_a_setting_of_it() -> None:
    names = set(deciding(Config()))
    assert {"device", "engine", "seed", "threads", "model.name", "decode.batch_size"} <= names
    assert {name.partition(".")[0] for name in names} == {"device", "engine", "seed", "threads", "model", "decode"}
