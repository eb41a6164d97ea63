"""The loop with the fake engine: what runs, in which order, how it ends, and what the next start makes of it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch

import bench
from bench import store
from bench.errors import BenchError, ConfigError, StoreError
from bench.jobs import trial_id
from bench.search.compose import compose


@pytest.fixture
def study(tmp_path: Path, tone_manifest: Callable[..., Path]) -> list[str]:
    """Overrides of a study named "s" with the fake engine over two short recordings of 3 s and 5 s."""
    return [
        "study=s",
        f"results.root={tmp_path / 'results'}",
        "engine=fake",
        "model=fake",
        "data=manifest",
        f"data.path={tone_manifest(3, 5)}",
        "measure.warmup=0",
        "decode.stride_length_s=0",
    ]


@pytest.fixture
def study_dir(tmp_path: Path) -> Path:
    return tmp_path / "results" / "s"


def _identities(runs: pd.DataFrame) -> set[tuple[float, float]]:
    return set(zip(runs["decode.chunk_length_s"], runs["decode.stride_length_s"], strict=True))


def test_grid_runs_once_and_is_scored(study: list[str], study_dir: Path) -> None:
    runs = bench.run("-m", *study, "decode.chunk_length_s=2,4", "decode.stride_length_s=0,1")
    # 2/1 is impossible: its stride is half of the chunk.
    assert _identities(runs) == {(2, 0), (4, 0), (4, 1)}
    assert set(runs["status"]) == {"ok"}
    # 8 s of audio at two words a second, and a grid whose borders all fall on half seconds: nothing is lost.
    assert list(runs["reference_words"]) == [16] * 3
    assert list(runs["wer"]) == [0.0] * 3
    assert list(runs["audio_s"]) == [8.0] * 3
    description = store.read_study(study_dir)
    assert description is not None
    (skipped,) = description["skipped"]
    assert skipped["settings"] == {"decode.chunk_length_s": 2, "decode.stride_length_s": 1}
    assert "half" in skipped["reason"]
    assert description["space"] == {"decode.chunk_length_s": [2, 4], "decode.stride_length_s": [0, 1]}


def test_every_strategy_runs_with_a_batch_size_of_its_own_finding(study: list[str], study_dir: Path) -> None:
    runs = bench.run(
        "-m", *study, "decode.strategy=chunked,vad,sequential", "decode.chunk_length_s=2", "decode.batch_size=auto"
    )
    assert set(runs["status"]) == {"ok"}
    assert runs["decode.batch_size"].isna().all()
    strategies = runs.set_index("run_id")["decode.strategy"]
    utterances = bench.load_utterances(study_dir)
    windows = utterances.groupby(utterances["run_id"].map(strategies))["windows"].agg(sorted).to_dict()
    # Recordings of 3 s and 5 s; nobody speaks in a tone.
    assert windows == {"chunked": [2, 3], "sequential": [1, 1], "vad": [0, 0]}
    assert dict(zip(runs["decode.strategy"], runs["wer"], strict=True)) == {"chunked": 0, "sequential": 0, "vad": 1}
    # All windows fit at once; without any, one would have.
    assert dict(zip(runs["decode.strategy"], runs["batch_size"], strict=True)) == {
        "chunked": 5, "sequential": 2, "vad": 1,
    }  # fmt: skip


def test_second_start_executes_nothing(study: list[str], study_dir: Path) -> None:
    first = bench.run(*study)
    stamps = {path: path.stat().st_mtime_ns for path in (study_dir / "runs").iterdir()}
    second = bench.run(*study)
    pd.testing.assert_frame_equal(first, second)
    assert {path: path.stat().st_mtime_ns for path in (study_dir / "runs").iterdir()} == stamps


def test_widening_a_space_runs_only_what_is_new(study: list[str]) -> None:
    first = bench.run("-m", *study, "decode.chunk_length_s=10,20")
    wider = bench.run("-m", *study, "decode.chunk_length_s=10,20,30")
    assert len(wider) == 3
    kept = wider[wider["run_id"].isin(first["run_id"])]
    assert set(kept["started_at"]) == set(first["started_at"])


def test_replicates_are_interleaved(study: list[str]) -> None:
    runs = bench.run("-m", *study, "decode.chunk_length_s=5,10,20", "measure.replicates=3")
    assert list(runs.sort_values("started_at")["replicate"]) == [0] * 3 + [1] * 3 + [2] * 3
    assert set(Counter(runs["trial_id"]).values()) == {3}
    assert runs["run_id"].is_unique
    orders = [tuple(group["decode.chunk_length_s"]) for _, group in runs.groupby("replicate")]
    assert all(sorted(order) == [5, 10, 20] for order in orders)


@pytest.mark.slow
def test_points_of_a_grid_to_try_first(study: list[str]) -> None:
    named = [(7, 2), (3, 1), (7, 2)]  # twice is as good as once
    points = [f"{{decode.batch_size: {size}, decode.chunk_length_s: {chunk_s}}}" for size, chunk_s in named]
    first = f"search.enqueue=[{','.join(points)}]"
    runs = bench.run(
        "-m", *study, "decode.batch_size=range(1,9)", "decode.chunk_length_s=1,2", first, "measure.replicates=2"
    )
    order = runs.sort_values("started_at")[["replicate", "decode.batch_size", "decode.chunk_length_s"]].values.tolist()
    assert [order[0], order[1], order[16], order[17]] == [[0, 7, 2], [0, 3, 1], [1, 7, 2], [1, 3, 1]]
    assert order[2:16] != sorted(order[2:16])


@pytest.mark.slow
def test_order_is_seeded(study: list[str], tmp_path: Path) -> None:
    def order(folder: str, seed: int) -> list[float]:
        sweep = [*study, f"results.root={tmp_path / folder}", "decode.chunk_length_s=4,6,8,10,12,14"]
        return list(bench.run("-m", *sweep, f"seed={seed}")["decode.chunk_length_s"])

    assert order("a", 0) == order("b", 0)
    assert order("a", 0) != order("c", 1)


@pytest.mark.parametrize(
    ("model", "status", "attempts", "said"),
    [
        ("fake/error", "error", 2, "RuntimeError: the fake engine was told to fail"),
        ("fake/exit", "error", 2, "ended by itself with exit code 3"),
        ("fake/oom", "oom", 1, "MemoryError"),  # information, not a failure: it would only happen again
        ("fake/nonsense", "error", 1, "unknown to engine=fake"),  # raised on purpose: it would only repeat itself
    ],
)
def test_faults_become_rows(
    study: list[str], study_dir: Path, model: str, status: str, attempts: int, said: str
) -> None:
    runs = bench.run("-m", *study, f"model.name={model},fake/ok", "executor.max_attempts=2")
    rows = {row["model.name"]: row for row in runs.to_dict("records")}
    assert rows["fake/ok"]["status"] == "ok"
    failed = rows[model]
    assert failed["status"] == status
    assert said in failed["status_reason"]
    assert failed["attempt"] == attempts
    assert pd.isna(failed["wer"])
    assert failed["inference_s"] is None
    assert len(list((study_dir / "runs").iterdir())) == attempts + 1  # every attempt is kept


def test_failed_runs_are_tried_again_by_the_next_start_up_to_the_limit(study: list[str], study_dir: Path) -> None:
    failing = [*study, "model.name=fake/nonsense"]
    for expected in (1, 2, 2):
        runs = bench.run(*failing, "executor.max_attempts=2")
        assert list(runs["attempt"]) == [expected]
    assert len(list((study_dir / "runs").iterdir())) == 2


def test_timeout(study: list[str]) -> None:
    runs = bench.run(*study, "model.name=fake/hang", "executor.timeout_s=1", "executor.max_attempts=1")
    (row,) = runs.to_dict("records")
    assert row["status"] == "timeout"
    assert "executor.timeout_s=1" in row["status_reason"]
    assert "'inference'" in row["status_reason"]
    assert row["peak_rss_source"] == "sampled"
    assert row["peak_rss_mib"] > 0


def test_unusable_recordings_are_reported_and_not_scored(study: list[str], tmp_path: Path, study_dir: Path) -> None:
    with (tmp_path / "manifest.csv").open("a") as file:
        file.write("missing.wav,word word\n")
    (row,) = bench.run(*study).to_dict("records")
    assert (row["status"], row["utterances"], row["utterances_failed"]) == ("ok", 3, 1)
    assert row["reference_words"] == 16  # the words of the missing recording count for nothing
    utterances = {item["utterance_id"]: item for item in bench.load_utterances(study_dir).to_dict("records")}
    bad = utterances["missing.wav"]
    assert "missing.wav" in bad["error"]
    assert pd.isna(bad["hypothesis"])
    assert pd.isna(bad["wer"])


def test_trial_identity(study: list[str]) -> None:
    def identity(*overrides: str, model: str = "m", data: str = "d") -> str:
        composed = compose([*study, *overrides])
        assert composed is not None
        return trial_id(composed.config, model, data)

    base = identity()
    for same in ("measure.repeats=2", "executor.timeout_s=9", "results.root=x", "score.normalizer=none", "study=x"):
        assert identity(same) == base, same
    for other in ("decode.batch_size=2", "device=cuda", "threads=1", "seed=1", "model.dtype=float16"):
        assert identity(other) != base, other
    assert identity(data="e") != base
    assert identity(model="n") != base
    assert identity("model.name=elsewhere") == base  # the content counts, not the place
    assert identity("decode.chunk_length_s=30") == identity("decode.chunk_length_s=30.0")


@pytest.mark.parametrize(
    ("setting", "was", "now"),
    [
        ("score.normalizer", "whisper_english", "none"),
        ("measure.repeats", "1", "2"),
        ("measure.warmup", "0", "3"),
    ],
)
def test_runs_found_in_another_way_are_not_mixed(
    study: list[str], study_dir: Path, setting: str, was: str, now: str
) -> None:
    bench.run(*study)
    with pytest.raises(StoreError, match=f"{re.escape(setting)}={was}.*{now}"):
        bench.run(*study, f"{setting}={now}")
    (study_dir / "study.yaml").unlink()  # the runs themselves say how they were made
    with pytest.raises(StoreError, match=f"{re.escape(setting)}={was}.*{now}"):
        bench.run(*study, f"{setting}={now}")


def test_replicates_may_be_added_later(study: list[str]) -> None:
    first = bench.run(*study)
    both = bench.run(*study, "measure.replicates=2")
    assert list(both["replicate"]) == [0, 1]
    assert both["started_at"][0] == first["started_at"][0]


def test_an_edited_recording_is_another_trial(study: list[str], tmp_path: Path) -> None:
    first = bench.run(*study)
    wav = tmp_path / "tones" / "1.wav"
    content = bytearray(wav.read_bytes())
    content[60_000:60_100] = bytes(100)  # muted in place: the same length, the same head and tail
    wav.write_bytes(content)
    runs = bench.run(*study)
    assert len(runs) == 2
    assert runs["trial_id"].is_unique
    assert set(first["trial_id"]) < set(runs["trial_id"])


def test_a_study_remembers_every_start(study: list[str], study_dir: Path) -> None:
    bench.run("-m", *study, "decode.chunk_length_s=2,4", "decode.stride_length_s=1")
    bench.run(*study)
    bench.run(*study)
    description = store.read_study(study_dir)
    assert description is not None
    first, second = description["commands"]
    assert "decode.chunk_length_s=2,4" in first
    assert second == description["command"]
    assert [point["settings"] for point in description["skipped"]] == [{"decode.chunk_length_s": 2}]


def test_a_missing_device_is_said_once_with_the_cure(study: list[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the device that should be missing")
    (row,) = bench.run(*study, "device=cuda").to_dict("records")
    assert (row["status"], row["attempt"]) == ("error", 1)
    assert row["status_reason"].startswith("device=cuda is not there")
    assert row["status_reason"].endswith("use device=cpu")


def test_spent_attempts_are_told_with_the_cure(
    study: list[str], cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    failing = ["run", *study, "model.name=fake/nonsense", "executor.max_attempts=1"]
    for _ in range(2):
        done = cli(*failing)
        assert done.returncode == 1
        assert "executor.max_attempts=2" in done.stdout.splitlines()[-1]
    assert cli(*failing, "executor.max_attempts=2").stdout.count("unknown to engine=fake") == 1


def test_wrong_requests_leave_no_study(study: list[str], study_dir: Path) -> None:
    for wrong in (
        ["decode.stride_length_s=15"],
        ["data.path=absent.csv"],
        ["engine=transformers", "model.name=./absent"],
    ):
        with pytest.raises(BenchError):
            bench.run(*study, *wrong)
        assert not study_dir.exists(), wrong
    with pytest.raises(ConfigError):
        bench.run(*study, "--cfg", "job")


# What a driver that is killed or interrupted leaves behind.

_SLOW_SWEEP = [
    "-m",
    "model.name=fake/slow",
    "decode.chunk_length_s=1,2,3",
    "decode.batch_size=1",
    "measure.repeats=4",
]


@pytest.fixture
def driver(study: list[str], tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts drivers of a sweep of four runs that take a second or so each."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bench", "run", *study, *_SLOW_SWEEP]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Tests that a shell runs in the background inherit from it that Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _wait_for_runs(study_dir: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list((study_dir / "runs").glob("*.parquet"))) < count:
        assert time.monotonic() < deadline, "no run finished in time"
        time.sleep(0.05)


def _assert_complete(study_dir: Path) -> pd.DataFrame:
    runs = bench.load_runs(study_dir)
    assert sorted(runs["decode.chunk_length_s"]) == [1, 2, 3]
    assert set(runs["status"]) == {"ok"}
    every = pd.read_parquet(study_dir / "runs")
    assert not every.duplicated(["run_id", "attempt"]).any()
    utterances = pd.read_parquet(study_dir / "utterances")
    assert not utterances.duplicated(["run_id", "attempt", "utterance_id"]).any()
    return runs


def test_killed_driver_goes_on_where_it_was(
    study: list[str], study_dir: Path, driver: Callable[[], subprocess.Popen[str]]
) -> None:
    process = driver()
    _wait_for_runs(study_dir, 1)
    time.sleep(0.3)  # into the next run
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    finished = {path.name for path in (study_dir / "runs").glob("*.parquet")}
    assert 1 <= len(finished) < 4
    (study_dir / "runs" / ".writing-half").write_bytes(b"PAR1")  # as a kill in the middle of a write leaves it
    _, orphans = psutil.wait_procs(family, timeout=10)
    assert not orphans, "a killed driver leaves no process behind"

    bench.run(*study, *_SLOW_SWEEP)
    _assert_complete(study_dir)
    left = {path.name for path in (study_dir / "runs").iterdir()}
    assert finished <= left
    assert ".writing-half" not in left


def test_killed_run_is_tried_again(study_dir: Path, driver: Callable[[], subprocess.Popen[str]]) -> None:
    process = driver()
    _wait_for_runs(study_dir, 1)
    victim = _run_process(process.pid)
    time.sleep(0.5)  # into its inference
    victim.kill()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    _assert_complete(study_dir)
    attempts = pd.read_parquet(study_dir / "runs")
    (killed,) = attempts[attempts["status"] == "error"].to_dict("records")
    assert "SIGKILL" in killed["status_reason"]
    assert killed["peak_rss_source"] == "sampled"
    assert ((attempts["run_id"] == killed["run_id"]) & (attempts["status"] == "ok")).sum() == 1


def _run_process(driver_pid: int) -> psutil.Process:
    """The process that executes a run: the only grandchild, forked by the process server."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for server in psutil.Process(driver_pid).children():
            for run in server.children():
                return run
        time.sleep(0.02)
    raise AssertionError("no run was executing")


def test_ctrl_c_keeps_what_is_done(
    study: list[str], study_dir: Path, driver: Callable[[], subprocess.Popen[str]]
) -> None:
    process = driver()
    _wait_for_runs(study_dir, 1)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to go on: asr-sweep run" in out
    assert "Traceback" not in out + err
    left = bench.load_runs(study_dir)
    assert set(left["status"]) == {"ok"}
    bench.run(*study, *_SLOW_SWEEP)
    _assert_complete(study_dir)


def test_two_drivers_of_one_study(
    study: list[str], study_dir: Path, driver: Callable[[], subprocess.Popen[str]]
) -> None:
    driver()
    _wait_for_runs(study_dir, 1)
    with pytest.raises(StoreError, match="another process"):
        bench.run(*study)


def test_script_without_main_guard(study: list[str], tmp_path: Path) -> None:
    """Children must not import the user's script again: it would start the study anew, for ever."""
    script = tmp_path / "script.py"
    script.write_text(f"import bench\nprint('ran', len(bench.run(*{study!r})))\n")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ran 1") == 1
