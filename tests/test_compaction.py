"""Merging a study's files changes nothing of what is read, and the loop does it by itself."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import bench
from bench import compaction, layout, store, sweep
from bench.__main__ import main
from bench.claim import claimed
from bench.compaction import TABLES, compact
from bench.config import NormalizerName
from bench.ledger import Ledger
from bench.parquet import read_footer
from bench.records import RunResult, Status
from bench.rescoring import rescore_study
from bench.trainings import CurvePoint, Training
from tests.test_store import DOUBTED, OUTCOME, failed, run

LOADS: list[Callable[[Path], pd.DataFrame]] = [
    store.load_runs,
    store.load_utterances,
    store.load_timeline,
    store.load_curves,
]

TRAINING = Training(
    *(8, 0, None, 12.5, 4, 2, 1, False, "float32", 100, 100, 1.0, 0.5, 9.0, 2.0, 300.0, None, None),
    curve=(CurvePoint(1, 0.25, 2.0, 3.5), CurvePoint(4, 1.0, 9.0, 1.25, wer=0.5)),
)


def trained(trial: str) -> RunResult:
    return run(trial=trial, outcome=dataclasses.replace(OUTCOME, training=TRAINING))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with runs of every kind, written in no order."""
    folder = tmp_path / "results" / "mine"
    store.write_study(folder, {"study": "mine"})
    for result in [
        run(trial="cccc", started_at="2026-01-02T03:04:09+00:00"),
        failed(trial="aaaa", attempt=1),
        trained("dddd"),
        run(trial="aaaa", attempt=2, certificate=DOUBTED),
        run(trial="aaaa", attempt=10),
        run(trial="aaaa", attempt=9),
        failed(Status.oom, trial="bbbb", timeline=()),
        failed(trial="cccc", attempt=2),
        trained("abcd"),
        run(trial="aaaa", replicate=1),
    ]:
        store.write_run(folder, result)
    return folder


def read(study: Path) -> list[pd.DataFrame]:
    return [load(study) for load in LOADS]


def assert_same(found: list[pd.DataFrame], expected: list[pd.DataFrame]) -> None:
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_all_is_read_as_before(study: Path) -> None:
    before, histories, rows = read(study), store.histories(study), store.read_rows(study)
    assert [len(frame) for frame in before] == [6, 5 * 3, 5 * 3, 4]  # of standing attempts; one run has no timeline
    done = compact(study)
    # Ten runs, two of which trained.
    assert (done.files_before, done.files_after, done.left) == (3 * 10 + 2, 4, ())
    assert all(not layout.look(study / table).own for table in TABLES)
    assert_same(read(study), before)
    assert store.histories(study) == histories
    assert sorted(store.read_rows(study), key=str) == sorted(rows, key=str)
    wanted = {"aaaa-0", "dddd-0"}
    expected = before[1][before[1]["run_id"].isin(wanted)].reset_index(drop=True)
    pd.testing.assert_frame_equal(store.load_utterances(study, wanted), expected)
    assert "words" not in store.load_utterances(study, without=["words"]).columns


def test_a_merged_study_goes_on(study: Path) -> None:
    whole = study.parent / "whole"
    shutil.copytree(study, whole)
    compact(study)
    for folder in (study, whole):
        store.write_run(folder, run(trial="aaaa", attempt=11))
        store.write_run(folder, run(trial="0000"))
    assert Ledger(study).next_attempt("aaaa-0") == 12
    assert (Ledger(study).unmerged, Ledger(whole).unmerged) == (2, 12)
    assert_same(read(study), read(whole))
    compact(study)
    assert_same(read(study), read(whole))
    assert len(list((study / "runs").glob("merged-*.parquet"))) == 2


def test_texts_of_merged_runs_are_scored_anew(study: Path) -> None:
    whole = study.parent / "whole"
    shutil.copytree(study, whole)
    compact(study)
    for folder in (study, whole):
        done = rescore_study(folder, NormalizerName.none)
        assert (done.scored, done.had) == (5, 0)
        assert rescore_study(folder, NormalizerName.none).had == 5
    pd.testing.assert_frame_equal(store.load_scores(study), store.load_scores(whole))


def test_other_tools_read_merged_files_as_they_are(study: Path) -> None:
    query = f"select run_id, attempt, wer from '{study / 'runs' / '*.parquet'}' order by all"
    before = duckdb.execute(query).fetchall()
    compact(study)
    assert duckdb.execute(query).fetchall() == before
    assert len(pd.read_parquet(study / "utterances")) == sum(3 for _ in range(7))  # seven attempts ended well


def test_a_run_that_is_being_written_is_left_alone(study: Path) -> None:
    store.write_run(study, run(trial="eeee"))
    (study / "runs" / "eeee-0.1.ok.parquet").unlink()  # it comes last, so it is not there yet
    compact(study)
    for table in ("utterances", "timeline"):
        assert [one.run_id for one in layout.look(study / table).own] == ["eeee-0"]
    store.write_run(study, run(trial="eeee"))
    assert len(store.load_utterances(study, {"eeee-0"})) == 3


def test_files_of_a_later_version_stay_as_they_are(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.rows.SCHEMA_VERSION", 99)
    store.write_run(study, run(trial="eeee"))
    monkeypatch.undo()
    left = compact(study).left
    assert len(left) == 3
    assert all("schema version 99" in line and "upgrade asr-sweep" in line for line in left)
    assert [one.run_id for one in layout.look(study / "runs").own] == ["eeee-0"]


def test_large_files_are_merged_with_fewer(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(study)
    largest = max(layout.look(study / "runs").own.values())
    monkeypatch.setattr(compaction, "_MOST_BYTES", 3 * largest)
    compact(study)
    assert all(2 <= len(members) <= 4 for members in layout.look(study / "runs").files.values())
    assert len(layout.look(study / "runs").files) >= 3
    assert_same(read(study), before)


def test_row_groups_are_small_enough_to_read_one_run(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(study)
    monkeypatch.setattr(compaction, "_READ_AT_ONCE", 2)
    monkeypatch.setattr(compaction, "_ROW_GROUP_BYTES", 1)
    compact(study)
    ((name, members),) = layout.look(study / "utterances").files.items()
    assert read_footer(study / "utterances" / name).num_row_groups == len(members) / 2
    assert_same(read(study), before)


def test_the_command_tells_what_it_did(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compact", "mine", "--results", str(study.parent)]) == 0
    assert capsys.readouterr().out == f"{study}: of 32 files 4 are left\n"
    (study / "runs" / "ffff-0.1.ok.parquet").write_bytes(b"no parquet")
    (study / "runs" / "eeee-0.1.ok.parquet").write_bytes(b"no parquet")
    assert main(["compact", str(study)]) == 1
    assert "not merged: " in capsys.readouterr().out
    assert main(["compact", "yours", "--results", str(study.parent)]) == 2
    assert "no study at" in capsys.readouterr().err


def test_a_study_is_merged_while_it_runs(
    tmp_path: Path, tone_manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    merged: list[int] = []

    def counted(study_dir: Path, told: Callable[[str], None]) -> compaction.Compacted:
        merged.append(store.unmerged(study_dir))
        return compact(study_dir, told)

    monkeypatch.setattr(sweep, "ROLL_AT", 3)
    monkeypatch.setattr(sweep, "compact", counted)
    study = ["study=s", f"results.root={tmp_path}", "engine=fake", "model=fake", "data=manifest"]
    study += [f"data.path={tone_manifest(1)}", "measure.warmup=0", "decode.stride_length_s=0"]
    grid = "decode.chunk_length_s=2,3,4,5,6,7,8"
    runs = bench.run("-m", *study, grid)
    assert merged == [3, 3]
    assert len(runs) == 7
    assert runs["run_id"].is_unique
    assert len(list((tmp_path / "s" / "runs").glob("*.parquet"))) == 3
    # The next start finds all of it done, and its own runs are counted with the one that was left.
    assert len(bench.run("-m", *study, f"{grid},9,10")) == 9
    assert merged == [3, 3, 3]


def test_a_study_goes_on_where_its_files_cannot_be_merged(
    tmp_path: Path,
    tone_manifest: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sweep, "ROLL_AT", 1)
    study = ["study=s", f"results.root={tmp_path}", "engine=fake", "model=fake", "data=manifest"]
    study += [f"data.path={tone_manifest(1)}", "measure.warmup=0", "decode.stride_length_s=0"]
    with claimed(tmp_path / "s", "wait", ".compact.lock"):
        runs = bench.run("-m", *study, "decode.chunk_length_s=2,3")
    assert len(runs) == 2
    assert "not merged: another process is merging the files of the study in" in capsys.readouterr().out
