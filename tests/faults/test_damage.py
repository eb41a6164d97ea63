"""Damaged files among the results: named, set aside, their runs made again, and the study goes on."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bench
from bench.compaction import compact
from bench.damage import FOLDER, set_aside
from bench.errors import StoreError
from tests.faults.drivers import Study

pytestmark = pytest.mark.faults


def _assert_as_before(study: Study, before: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """All is as it was, but for the number of a trial: it says which came when, and what is made again comes last."""
    for mine, others in zip(study.rows(), before, strict=True):
        same = [name for name in others if name != "trial_number"]
        pd.testing.assert_frame_equal(mine[same], others[same])


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip(content: bytes) -> bytes:
    """Change what lies within the first pages, and leave both ends as they are."""
    return content[:200] + bytes(255 - byte for byte in content[200:260]) + content[260:]


def _zero(content: bytes) -> bytes:
    return bytes(len(content))


@pytest.fixture
def sweep(study: Study) -> Callable[[], None]:
    """Make `sweep()`: start the study, or go on with it, with runs that take no time."""
    quick = [one for one in study.settings if one != "model.name=fake/slow"]

    def run() -> None:
        bench.run("-m", *quick, f"results.root={study.home / 'results'}", "decode.chunk_length_s=2,3,4,5")

    return run


def test_damaged_files_are_set_aside_and_their_runs_made_again(
    study: Study, sweep: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep()
    before = study.rows()
    *names, kept = sorted(path.name for path in (study.folder / "runs").iterdir())
    stamp = (study.folder / "runs" / kept).stat().st_mtime_ns
    harmed = {}
    for table, name, harm in zip(("runs", "utterances", "timeline"), names, (_cut, _flip, _zero), strict=True):
        path = study.folder / table / name
        harmed[path] = harm(path.read_bytes())
        path.write_bytes(harmed[path])
    capsys.readouterr()
    sweep()
    said = capsys.readouterr().out
    for path, content in harmed.items():
        assert f"warning: {path} " in said
        # Nothing is deleted.
        assert (study.folder / FOLDER / f"{path.parent.name}.{path.name}").read_bytes() == content
    _assert_as_before(study, before)
    assert (study.folder / "runs" / kept).stat().st_mtime_ns == stamp
    # Another start finds nothing to tell of, and nothing to do.
    sweep()
    assert "warning" not in capsys.readouterr().out
    # A file, and that of its run, without which a run was never made.
    expected = {f"{path.parent.name}.{path.name}" for path in harmed} | {f"runs.{name}" for name in names}
    assert {path.name for path in (study.folder / FOLDER).iterdir()} == expected
    study.assert_whole()


@pytest.mark.parametrize("table", ["runs", "utterances", "timeline"])
@pytest.mark.parametrize("harm", [_cut, _zero])
def test_damaged_merged_files_are_set_aside_and_all_their_runs_made_again(
    study: Study,
    sweep: Callable[[], None],
    table: str,
    harm: Callable[[bytes], bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep()
    before = study.rows()
    compact(study.folder)
    (path,) = (study.folder / table).glob("*.parquet")
    harmed = harm(path.read_bytes())
    path.write_bytes(harmed)
    capsys.readouterr()
    sweep()
    assert f"warning: {path} " in capsys.readouterr().out
    assert (study.folder / FOLDER / f"{table}.{path.name}").read_bytes() == harmed
    _assert_as_before(study, before)
    compact(study.folder)
    _assert_as_before(study, before)
    sweep()
    assert "warning" not in capsys.readouterr().out
    study.assert_whole()


@pytest.mark.parametrize("merged", [False, True])
def test_what_a_reader_says_of_a_damaged_file_mends_it(
    study: Study, sweep: Callable[[], None], tmp_path: Path, merged: bool
) -> None:
    """Damage in the middle, as a failing disk does it, which no start of the study looks for."""
    sweep()
    before = study.rows()
    if merged:
        compact(study.folder)
    path = next((study.folder / "utterances").glob("*.parquet"))
    times = path.stat()
    path.write_bytes(_flip(path.read_bytes()))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(StoreError, match=re.escape(str(path)) + ".*move it out of the study's folder and start"):
        bench.load_utterances(study.folder)
    path.rename(tmp_path / "moved.parquet")
    with pytest.raises(StoreError, match=r"it is missing.*start the study again"):
        bench.load_utterances(study.folder)
    sweep()
    _assert_as_before(study, before)


@pytest.mark.slow
def test_a_file_of_a_run_that_is_missing_has_it_made_again(study: Study, sweep: Callable[[], None]) -> None:
    sweep()
    before = study.rows()
    next((study.folder / "utterances").iterdir()).unlink()
    sweep()
    _assert_as_before(study, before)


@pytest.mark.slow
def test_a_file_that_is_damaged_twice_is_kept_twice(study: Study, sweep: Callable[[], None]) -> None:
    sweep()
    (path, *_) = sorted((study.folder / "runs").iterdir())
    for harm in (b"once", b"twice"):
        path.write_bytes(harm)
        assert len(set_aside(study.folder)) == 1
        sweep()
    kept = {one.read_bytes() for one in (study.folder / FOLDER).glob("runs.*")}
    assert kept == {b"once", b"twice"}


@pytest.mark.parametrize("examples", [50, pytest.param(2_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_whatever_is_done_to_a_file_it_is_found_or_reads_as_before(
    study: Study, sweep: Callable[[], None], examples: int
) -> None:
    """A byte changed anywhere, or a file cut anywhere: never a crash, and never another value."""
    sweep()
    path = next((study.folder / "utterances").iterdir())
    content, whole = path.read_bytes(), pq.read_table(path)

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True)
    @given(place=st.integers(0, len(content) - 1), change=st.integers(1, 255), cut=st.booleans())
    def check(place: int, change: int, cut: bool) -> None:
        harmed = content[:place] + (b"" if cut else bytes([content[place] ^ change]) + content[place + 1 :])
        path.write_bytes(harmed)
        told = set_aside(study.folder, thorough=True)
        if told:
            assert str(path) in told[0]
            for one in (study.folder / FOLDER).iterdir():  # back, for the next example
                table, _, name = one.name.partition(".")
                one.rename(study.folder / table / name)
        else:
            assert pq.read_table(path).equals(whole)
        path.write_bytes(content)

    check()
