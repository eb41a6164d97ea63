"""Faults of what a study stands on: the disk, the memory, the clock, another driver, a run that hangs."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

import bench
from tests.faults.drivers import Driver, Study

pytestmark = pytest.mark.faults

Start = Callable[..., Driver]

_SWEEP = ("-m", "decode.chunk_length_s=2,3,4,5")
_FAILED, _WRONG = 1, 2


def _quick(study: Study) -> Study:
    return Study(study.home, tuple(one for one in study.settings if one != "model.name=fake/slow"))


def _goes_on_as_undisturbed(study: Study) -> None:
    twin = study.twin()
    for one in (study, twin):
        bench.run(*_SWEEP, *one.settings, f"results.root={one.home / 'results'}")
    study.assert_whole()
    study.assert_equals(twin)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB: room for a run or two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_a_study_with_what_is_done_and_it_goes_on(study: Study, start: Start, tiny_disk: Path) -> None:
    study = _quick(study)
    study.home.mkdir()
    (study.home / "results").symlink_to(tiny_disk, target_is_directory=True)
    code, out = start(study, *_SWEEP, "decode.batch_size=1,2,3").ended()
    assert code == _WRONG
    last = out.strip().splitlines()[-1]
    assert last.startswith("asr-sweep: ")
    assert "No space left on device" in last
    assert "disk is not full" in last
    study.assert_whole()
    done = study.finished()
    assert done
    subprocess.run(["mount", "-o", "remount,size=64m", tiny_disk], check=True)
    code, out = start(study, *_SWEEP, "decode.batch_size=1,2,3").ended()
    assert code == 0, out
    assert f"12 runs, {done} done before" in out
    study.assert_whole()
    assert len(bench.load_runs(study.folder)) == 12


@pytest.mark.parametrize(
    "most_bytes", [10_000, *(pytest.param(size, marks=pytest.mark.slow) for size in (0, 300, 3_000, 45_000))]
)
def test_wherever_writing_fails_nothing_is_half_written(
    study: Study, most_bytes: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file may grow beyond a size: one kind of file after the other fails to be written."""
    from bench.__main__ import main

    study = _quick(study)
    study.home.mkdir()
    monkeypatch.chdir(study.home)
    few = "executor.max_attempts=2"  # a run that cannot write what it decodes fails each time
    arguments = ["run", *_SWEEP, *study.settings, few]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        code = main(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert code == _WRONG, said.out
    assert "File too large" in said.err
    if study.folder.exists():
        study.assert_whole()
    _goes_on_as_undisturbed(study)


def test_results_that_may_not_be_written(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.__main__ import main

    if os.geteuid() == 0:
        place = Path("/proc/results")  # the superuser may write to any folder but those of the kernel
    else:
        place = tmp_path / "locked"
        place.mkdir(mode=0o500)
    assert main(["run", *_quick(study).settings, f"results.root={place}"]) == _WRONG
    (line,) = capsys.readouterr().err.splitlines()
    assert str(place) in line
    assert "may be written" in line


def test_a_run_over_its_memory_limit_is_out_of_memory_and_a_killed_one_is_not(study: Study, start: Start) -> None:
    driver = start(study, "-m", "model.name=fake/slow,fake/ballast", "measure.replicates=2", "measure.repeats=10")
    server = driver.wait_for(lambda: driver.run() and driver.server())
    limit = server.memory_info().vms + (700 << 20)  # fake/ballast takes 1 GiB
    server.rlimit(psutil.RLIMIT_AS, (limit, limit))
    run = driver.wait_for(driver.run)
    run.rlimit(psutil.RLIMIT_AS, (limit, limit))
    driver.wait_for(lambda: driver.run() not in (None, run))
    driver.wait_for(driver.run).kill()
    code, out = driver.ended()
    assert code == 0, out
    every = pd.concat(pd.read_parquet(path) for path in (study.folder / "runs").glob("*.parquet"))
    assert set(every.loc[every["model.name"] == "fake/ballast", "status"]) - {"error"} == {"oom"}
    assert set(every.loc[every["model.name"] == "fake/slow", "status"]) - {"error"} == {"ok"}
    (killed,) = every.loc[every["status"] == "error", "status_reason"]
    assert "SIGKILL" in killed


def test_a_gpu_out_of_memory_is_a_finding(study: Study) -> None:
    runs = bench.run(*_quick(study).settings, "model.name=fake/cuda_oom", f"results.root={study.home / 'results'}")
    (row,) = runs.to_dict("records")
    assert (row["status"], row["attempt"]) == ("oom", 1)
    assert "CUDA out of memory" in row["status_reason"]


@pytest.mark.slow
def test_a_run_that_hangs_is_ended_with_all_it_started(study: Study, start: Start) -> None:
    driver = start(study, "model.name=fake/child", "executor.timeout_s=20", "executor.max_attempts=1")
    child = driver.wait_for(driver.child_of_run)
    child.suspend()  # so that the run waits for ever
    code, out = driver.ended()
    assert code == 1
    assert "timeout: still in phase 'inference' after executor.timeout_s=20" in out
    driver.assert_nothing_left()
    assert set(bench.load_runs(study.folder)["status"]) == {"timeout"}


_BACKWARDS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

/* The time of day runs backwards, a minute a second; the clocks for durations go as ever. */
int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static struct timespec first;
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(which, now);
    if (which == CLOCK_REALTIME) {
        if (!first.tv_sec) first = *now;
        now->tv_sec = first.tv_sec - 60 * (now->tv_sec - first.tv_sec) - 86400;
    }
    return result;
}
"""


@pytest.mark.slow
def test_a_clock_that_runs_backwards_spoils_no_duration(study: Study, start: Start, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the clock is replaced in Linux's way")
    library = tmp_path / "backwards.so"
    (tmp_path / "backwards.c").write_text(_BACKWARDS)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "backwards.c", "-ldl"], check=True)
    except FileNotFoundError:
        pytest.skip("a C compiler is needed to replace the clock")
    before = time.time()
    driver = start(study, "-m", "decode.chunk_length_s=2,3", environment={"LD_PRELOAD": str(library)})
    code, out = driver.ended()
    assert code == 0, out
    runs = bench.load_runs(study.folder)
    assert (pd.to_datetime(runs["started_at"]).astype("int64") / 1e9 < before).all()  # the clock was indeed replaced
    assert set(runs["status"]) == {"ok"}
    for name in ("wall_s", "load_s", "audio_decode_s", "overhead_s", "rtfx"):
        assert (runs[name] >= 0).all(), name
    # Each pass waits 0.2 s.
    assert all(0.2 <= seconds < 60 for each in runs["inference_s"] for seconds in each)
    timeline = bench.load_timeline(study.folder)
    assert timeline.groupby("run_id")["t_s"].is_monotonic_increasing.all()
    done = bench.run("-m", *study.settings, f"results.root={study.home / 'results'}", "decode.chunk_length_s=2,3")
    assert list(done["started_at"]) == list(runs["started_at"])


@pytest.mark.slow
def test_a_second_driver_is_refused_and_a_killed_one_holds_no_lock(study: Study, start: Start) -> None:
    first = start(study, *_SWEEP)
    first.wait_for(study.finished)
    second = start(study, *_SWEEP)
    code, out = second.ended()
    assert code == _WRONG
    assert "another process is running the study" in out
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    third = start(study, *_SWEEP)
    code, out = third.ended()
    assert code == 0, out
    study.assert_whole()


@pytest.mark.parametrize("harm", ["missing", pytest.param("other", marks=pytest.mark.slow)])
def test_a_recording_that_changes_under_a_study_makes_no_scores(
    study: Study, start: Start, tmp_path: Path, harm: str
) -> None:
    driver = start(study, *_SWEEP, "measure.replicates=2")
    driver.wait_for(study.finished)
    tone = tmp_path / "tones" / "2.wav"
    kept = tone.read_bytes()
    if harm == "missing":
        tone.unlink()
    else:
        tone.write_bytes(kept[:-2] + b"\1\1")
    code, out = driver.ended()
    assert code == _FAILED
    assert str(tone) in out
    runs = bench.load_runs(study.folder)
    assert set(runs["status"]) == {"ok", "error"}
    assert set(runs.loc[runs["status"] == "ok", "audio_s"]) == {8.0}
    # The recording is back, and the same command makes what is missing.
    tone.write_bytes(kept)
    assert start(study, *_SWEEP, "measure.replicates=2").ended()[0] == 0
    twin = study.twin()
    bench.run(*_SWEEP, *twin.settings, "measure.replicates=2", f"results.root={twin.home / 'results'}")
    study.assert_equals(twin)
