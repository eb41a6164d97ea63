"""Dry runs end to end, with the fake engine: what they say, what they leave on disk, and how near they come."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

import bench
from bench.__main__ import main
from bench.errors import ConfigError
from bench.forecast.record import Forecast, compared, read_forecast

DRY = "search.dry_run=true"


@pytest.fixture
def study(tmp_path: Path, tone_manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides of a study named "s" with the fake engine over a recording of 100 s and some short ones."""
    monkeypatch.chdir(tmp_path)
    return [
        "study=s",
        "engine=fake",
        "model=fake",
        "data=manifest",
        f"data.path={tone_manifest(100, 7, 4, 12)}",
        "measure.warmup=0",
        "decode.stride_length_s=0",
        "decode.batch_size=2",
    ]


@pytest.fixture
def study_dir(tmp_path: Path) -> Path:
    return tmp_path / "results" / "s"


def _forecast(study_dir: Path) -> Forecast:
    forecast = read_forecast(study_dir)
    assert forecast is not None
    return forecast


def test_a_dry_run_foretells_the_runs_and_executes_none(
    study: list[str], study_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["run", "-m", *study, "model.name=fake/slow", "decode.chunk_length_s=4,10,25"]
    assert main([*sweep, DRY]) == 0
    said = capsys.readouterr().out
    assert not (study_dir / "runs").exists()
    assert not (study_dir / "study.yaml").exists()
    assert not list((study_dir / "logs").glob("*"))
    assert main(["list"]) == 0
    assert "no studies under results" in capsys.readouterr().out

    assert "3 of 3 runs to go, 0 done before" in said
    assert said.splitlines()[-1].startswith("to run it: asr-sweep run -m study=s")
    assert DRY not in said.splitlines()[-1]
    table = [line.split() for line in said.splitlines() if re.match(r" *(4|10|25) +1 of 1 ", line)]
    assert [row[0] for row in table] == ["4", "10", "25"]

    forecast = _forecast(study_dir)
    assert [probe.status for probe in forecast.probes] == ["ok", "ok"]
    assert forecast.command.endswith(DRY)
    assert (forecast.totals.runs, forecast.totals.to_go, forecast.totals.unknown) == (3, 3, 0)

    assert main(sweep) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("predicted ")]
    assert re.match(r"predicted .* took .* \(\d+\.\d\d\)", line)
    # A batch sleeps 0.2 s and does nothing else: 16, 8 and 4 batches, a second a run for its process.
    found = compared(forecast, bench.load_runs(study_dir))
    assert found is not None
    assert found.runs == 3
    assert 0.4 < found.ratio < 2.5
    assert found.frame["ratio"].between(0.3, 3).all()
    seconds = {trial.settings["decode.chunk_length_s"]: trial.predicted_s for trial in forecast.trials}
    assert seconds[4] is not None
    assert seconds[25] is not None
    assert 1.0 < seconds[4] - seconds[25] < 5.0


def test_runs_done_before_are_counted_and_left_alone(
    study: list[str], study_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-m", *study, "decode.chunk_length_s=5", "measure.replicates=2"]) == 0
    stamps = {path: path.stat().st_mtime_ns for path in (study_dir / "runs").iterdir()}
    described = (study_dir / "study.yaml").read_bytes()
    capsys.readouterr()
    assert main(["run", "-m", *study, "decode.chunk_length_s=5,20", "measure.replicates=2", DRY]) == 0
    assert "2 of 4 runs to go, 2 done before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (study_dir / "runs").iterdir()} == stamps
    assert (study_dir / "study.yaml").read_bytes() == described
    totals = _forecast(study_dir).totals
    assert totals.predicted_s < totals.predicted_all_s
    assert [(trial.runs, trial.to_go) for trial in _forecast(study_dir).trials] == [(2, 0), (2, 2)]


def test_prices_and_budgets(study: list[str], study_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["run", "-m", *study, "decode.chunk_length_s=5,20", "measure.price_per_hour.cpu=3600", DRY]
    # At a unit a second both budgets say the same; no run takes less than a hundredth of a second.
    assert main([*sweep, "search.budget_s=0.01"]) == 0
    assert "0 of 2 runs fit into search.budget_s=0.01" in capsys.readouterr().out
    assert main([*sweep, "search.budget_s=1000", "search.budget_cost=1000"]) == 0
    assert "2 of 2 runs fit into search.budget_s=1000 and search.budget_cost=1000" in capsys.readouterr().out
    forecast = _forecast(study_dir)
    assert forecast.totals.predicted_cost == pytest.approx(forecast.totals.predicted_s)
    assert [trial.predicted_cost for trial in forecast.trials] == pytest.approx(
        [trial.predicted_s for trial in forecast.trials]
    )


def test_what_cannot_be_tried_is_said_and_unknown(
    study: list[str], study_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-m", *study, "model.name=fake/ok,fake/error", DRY]) == 0
    said = capsys.readouterr().out
    assert "unknown for 1 runs" in said
    assert "the fake engine was told to fail" in said
    known = {trial.settings["model.name"]: trial.predicted_s is not None for trial in _forecast(study_dir).trials}
    assert known == {"fake/ok": True, "fake/error": False}
    assert _forecast(study_dir).totals.unknown == 1


def test_every_strategy_and_an_unknown_batch_size_are_foretold(study: list[str], study_dir: Path) -> None:
    sweep = ["-m", *study, "decode.strategy=chunked,vad,sequential", "decode.batch_size=auto", "measure.warmup=1"]
    assert main(["run", *sweep, "measure.single_stream=2", "measure.repeats=2", DRY]) == 0
    forecast = _forecast(study_dir)
    assert all(trial.predicted_s is not None for trial in forecast.trials)
    assert any("decode.batch_size=auto" in note for note in forecast.notes)
    assert any("vad" in note and "sequential" in note for note in forecast.notes)


def test_a_single_trial_and_recordings_that_cannot_be_read(study: list[str], study_dir: Path, tmp_path: Path) -> None:
    with (tmp_path / "manifest.csv").open("a") as file:
        file.write("missing.wav,word word\n")
    assert main(["run", *study, DRY]) == 0
    forecast = _forecast(study_dir)
    assert len(forecast.trials) == len(forecast.probes) == 1
    assert forecast.probes[0].audio_s <= 123


def test_a_study_without_any_recording_is_refused(
    study: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.csv").write_text("path,text\nmissing.wav,word\n")
    assert main(["run", *study, DRY]) == 2
    assert "none of the 1 recordings" in capsys.readouterr().err


def test_a_study_that_is_running_is_not_disturbed(
    study: list[str], study_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study_dir.mkdir(parents=True)
    with FileLock(study_dir / ".lock"):
        assert main(["run", *study, DRY]) == 2
    assert "another process is running the study" in capsys.readouterr().err
    assert not (study_dir / "forecast.json").exists()


def test_a_damaged_forecast_takes_nothing_from_a_study(
    study: list[str], study_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study_dir.mkdir(parents=True)
    (study_dir / "forecast.json").write_text("{")
    assert main(["run", *study]) == 0
    assert "forecast.json is not what a dry run writes" in capsys.readouterr().out


def test_from_python_a_dry_run_is_not_taken_for_a_study(study: list[str], study_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"search\.dry_run"):
        bench.run(*study, DRY)
    assert not study_dir.exists()


def test_a_file_of_plain_json_holds_what_a_report_needs(study: list[str], study_dir: Path) -> None:
    assert main(["run", "-m", *study, "decode.chunk_length_s=5,20", DRY]) == 0
    stored = json.loads((study_dir / "forecast.json").read_text())
    assert {"made_at", "command", "trials", "totals", "probes"} <= stored.keys()
    assert {"trial_id", "predicted_s", "predicted_peak_rss_mib", "predicted_cost"} <= stored["trials"][0].keys()
    # Resident memory is hardly less than the interpreter with torch, and no probe holds a gibibyte.
    if sys.platform == "linux":
        assert all(50 < trial["predicted_peak_rss_mib"] < 4000 for trial in stored["trials"])
