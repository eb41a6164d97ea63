"""What real processes report of themselves, against witnesses from outside."""

import multiprocessing
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import bench
from bench import store
from bench.inference.fake import BALLAST_MIB, CHILD_MIB
from bench.jobs import JobMaker
from bench.search.compose import compose

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's own counters")


@pytest.fixture
def study(tmp_path: Path, tone_manifest: Callable[..., Path]) -> list[str]:
    """Overrides of a study named "s" with the fake engine over 60 s."""
    return [
        *("study=s", f"results.root={tmp_path / 'results'}", "engine=fake", "model=fake", "decode.stride_length_s=0"),
        *("data=manifest", f"data.path={tone_manifest(30, 30)}", "measure.warmup=0"),
    ]


@contextmanager
def busy_everywhere() -> Iterator[None]:
    """Keep every processor busy with somebody else's work."""
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=spin, args=(cpu,)) for cpu in sorted(os.sched_getaffinity(0))]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.join()


def spin(cpu: int) -> None:
    os.sched_setaffinity(0, [cpu])
    while True:
        pass


def doubts(row: "pd.Series[Any]") -> list[str]:
    return [str(one["doubt"]) for one in row["doubts"]]


WORK = ["model.name=fake/work", "measure.repeats=4"]


def test_a_run_beside_busy_loops_is_not_valid_and_says_why(study: list[str]) -> None:
    with busy_everywhere():
        runs = bench.run(*study, *WORK)
    row = runs.iloc[0]
    assert row["status"] == "ok"
    assert not row["valid"]
    assert "contention" in doubts(row)
    assert row["during.machine_busy_s"] > 1.2 * row["during.process_cpu_s"]


def test_a_run_that_was_not_valid_is_run_again_and_no_more_often_than_asked(study: list[str], tmp_path: Path) -> None:
    with busy_everywhere():
        runs = bench.run(*study, *WORK, "measure.rerun_invalid=2")
    assert runs["attempt"].tolist() == [3]
    files = sorted(path.name.split(".")[1] for path in (tmp_path / "results/s/runs").iterdir())
    assert files == ["1", "2", "3"]  # nothing measured is lost
    # Two more were asked for and used up: another start has nothing to do, unless it asks for more.
    assert bench.run(*study, *WORK, "measure.rerun_invalid=2")["attempt"].tolist() == [3]
    assert bench.run(*study, *WORK)["attempt"].tolist() == [3]
    assert bench.run(*study, *WORK, "measure.rerun_invalid=3")["attempt"].tolist() == [4]


def test_memory_of_a_known_size_is_reported_as_that(study: list[str]) -> None:
    runs = bench.run("-m", *study, "model.name=fake/ok,fake/ballast").set_index("model.name")
    assert set(runs["peak_rss_source"]) == {"vmhwm"}
    # Audio and a run's own work take some memory too, the same in both.
    risen = runs["peak_rss_mib"] - runs["rss_at_start_mib"]
    assert risen["fake/ballast"] - risen["fake/ok"] == pytest.approx(BALLAST_MIB, rel=0.01)
    row = runs.loc["fake/ballast"]
    # It was given back before the end, so only the peak tells.
    assert row["anonymous_mib"] + row["mapped_mib"] < row["peak_rss_mib"] - 0.9 * BALLAST_MIB


def test_processes_that_a_run_starts_are_sampled_and_told_apart(study: list[str], tmp_path: Path) -> None:
    row = bench.run(*study, "model.name=fake/child", "data.limit=1").iloc[0]
    assert row["peak_descendants_rss_mib"] == pytest.approx(CHILD_MIB, abs=30)  # and an interpreter
    assert row["peak_rss_mib"] - row["rss_at_start_mib"] < 0.5 * CHILD_MIB  # not the run's own
    timeline = store.load_timeline(tmp_path / "results/s")
    assert timeline["descendants"].max() == 1


@pytest.mark.parametrize(
    "settings", [["engine=fake", "model=fake", "model.name=fake/ballast"], ["model=whisper_tiny_en"]]
)
def test_the_peak_is_the_one_that_time_reports(settings: list[str], study: list[str], tmp_path: Path) -> None:
    time = shutil.which("time")
    if time is None:
        pytest.skip("needs GNU time: apt-get install time")
    composed = compose([*study[:2], "decode.stride_length_s=0", *study[5:], *settings])
    assert composed is not None
    (job,) = JobMaker([]).jobs(composed.grid.candidates[0])
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    program = (
        "import pickle, sys; from pathlib import Path; from bench.trial import run;"
        " used = run(pickle.loads(Path(sys.argv[1]).read_bytes()), lambda _: None).memory;"
        " print(max(used.load_peak_rss_mib, used.peak_rss_mib))"
    )
    command = [time, "-v", sys.executable, "-c", program, str(tmp_path / "job")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = re.search(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr)
    assert told is not None
    assert float(done.stdout.splitlines()[-1]) == pytest.approx(int(told[1]) / 1024, rel=0.02)


def test_the_parts_of_a_run_are_its_wall_time_and_phases_stand_in_order(study: list[str]) -> None:
    row = bench.run(*study, *WORK, "measure.warmup=2", "measure.single_stream=2").iloc[0]
    parts = [row[f"{name}_s"] for name in ("files", "load", "audio_decode", "single_stream", "overhead")]
    assert sum(parts) + sum(row["warmup_s"]) + sum(row["inference_s"]) == pytest.approx(row["wall_s"])
    assert row["cold_s"] == row["warmup_s"][0]
    assert 0 < row["overhead_s"] < row["wall_s"] - sum(row["inference_s"])
    marks = {mark["phase"]: mark["t_s"] for mark in row["marks"]}
    assert " ".join(marks) == "start files load audio warm-up inference memory single stream score"
    assert list(marks.values()) == sorted(marks.values())
    assert marks["memory"] - marks["inference"] == pytest.approx(sum(row["inference_s"]), rel=0.1, abs=0.02)
    assert row["window_latency_p50_s"] <= row["window_latency_p90_s"] <= row["window_latency_p99_s"]
    assert row["window_latency_p99_s"] <= max(row["inference_s"])
    assert row["utterance_latency_p50_s"] > 0
    assert row["during.wall_s"] == pytest.approx(sum(row["inference_s"]), rel=0.1, abs=0.02)


@pytest.mark.slow
def test_more_threads_than_processors_are_warned_of_and_run_all_the_same(
    study: list[str], cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    threads = 4 * (psutil.cpu_count() or 1)
    done = cli("run", "-m", *study, f"threads=1,{threads}")
    assert done.returncode == 0
    assert f"warning: threads={threads} is more than the" in done.stdout
    assert "warning" not in cli("run", *study, "threads=1").stdout


def test_a_study_over_devices_runs_on_those_there_are_and_names_the_others(study: list[str], tmp_path: Path) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has the device that should be missing")
    runs = bench.run("-m", *study, "device=cpu,cuda:7")
    assert runs["device"].tolist() == ["cpu"]
    description = store.read_study(tmp_path / "results/s")
    assert description is not None
    (skipped,) = description["skipped"]
    assert skipped["settings"] == {"device": "cuda:7"}
    assert skipped["reason"].startswith("device=cuda:7 is not there: ")
