"""Studies of every schema version there was load for ever: two runs each, made by the code of that version."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.__main__ import main
from bench.schema import SCHEMA_VERSION
from bench.store import load_curves

pytestmark = pytest.mark.faults

FOLDER = Path(__file__).parent / "versions"
VERSIONS = sorted(int(path.name.removeprefix("v")) for path in FOLDER.iterdir())
_ONE_OF_ALL = [VERSIONS[0], *(pytest.param(version, marks=pytest.mark.slow) for version in VERSIONS[1:])]


def test_there_is_one_of_every_version_before_this() -> None:
    """Whoever raises the version adds a study that the code before made, two runs over recordings of 3 s and 5 s."""
    assert set(range(1, SCHEMA_VERSION)) <= set(VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_its_tables_load_and_say_what_they_said(version: int) -> None:
    folder = FOLDER / f"v{version}"
    runs = bench.load_runs(folder).set_index("decode.chunk_length_s").sort_index()
    assert list(runs.index) == [2, 4]
    assert set(runs["schema_version"]) == {version}
    assert set(runs["status"]) == {"ok"}
    # The fake engine says a word every half second, which is what the manifest has.
    for name, value in {"wer": 0, "hits": 16, "reference_words": 16, "audio_s": 8, "utterances": 2}.items():
        assert list(runs[name]) == [value] * 2, name
    assert (runs["inference_s"].map(min) > 0).all()
    utterances = bench.load_utterances(folder)
    assert sorted(utterances["hypothesis"]) == sorted(["word " * 5 + "word", "word " * 9 + "word"] * 2)
    assert set(utterances["run_id"]) == set(runs["run_id"])
    timeline = bench.load_timeline(folder)
    assert set(timeline["run_id"]) == set(runs["run_id"])
    assert (timeline["rss_mib"] > 0).all()
    assert load_curves(folder).empty
    for table in ("runs", "utterances", "timeline"):  # nothing that was stored is lost on the way
        stored = pd.read_parquet(folder / table)
        loaded = {"runs": bench.load_runs, "utterances": bench.load_utterances, "timeline": bench.load_timeline}[table](
            folder
        )
        assert len(stored) == len(loaded)
        assert set(stored.columns) <= set(loaded.columns)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_commands_read_it(version: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(FOLDER / f"v{version}")
    assert main(["show", folder]) == 0
    assert "0.0 %" in capsys.readouterr().out
    assert main(["list", "--results", str(FOLDER)]) == 0
    assert f"v{version}" in capsys.readouterr().out
    assert main(["export", folder, "runs", "--output", str(tmp_path / "runs.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_report_is_written_of_it(version: int, tmp_path: Path) -> None:
    page = (bench.write_report(FOLDER / f"v{version}", tmp_path) / "index.html").read_text(encoding="utf-8")
    assert f"v{version}" in page


@pytest.mark.parametrize("version", _ONE_OF_ALL)
def test_it_goes_on(version: int, tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    shutil.copytree(FOLDER / f"v{version}", tmp_path / "results" / "old")
    before = bench.load_runs(tmp_path / "results" / "old")
    runs = bench.run(
        "study=old", "engine=fake", "model=fake", "data=manifest", f"data.path={tone_manifest(3, 5)}",
        "measure.warmup=0", "decode.stride_length_s=0", "decode.chunk_length_s=3",
        f"results.root={tmp_path / 'results'}",
    )  # fmt: skip
    assert len(runs) == 3
    assert set(before["run_id"]) < set(runs["run_id"])
    assert set(runs["schema_version"]) == {version, SCHEMA_VERSION}
