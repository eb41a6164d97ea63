"""Several runs at a time on one machine: what they share, what they do not, and what is refused."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest

import bench
from bench.errors import ConfigError, StoreError
from bench.inference.fake import SMALL_S
from bench.report import build
from bench.report.comparison import compare_study
from bench.search.compose import compose

TOGETHER = "executor.workers=3"
SLOW = ["model.name=fake/slow", "decode.batch_size=1"]


@pytest.fixture
def study(tmp_path: Path, tone_manifest: Callable[..., Path]) -> list[str]:
    """Overrides of a sweep with the fake engine over two short recordings of 3 s and 5 s."""
    return ["-m", "study=s", f"results.root={tmp_path / 'results'}", "engine=fake", "model=fake", "data=manifest",
            f"data.path={tone_manifest(3, 5)}", "measure.warmup=0", "decode.stride_length_s=0"]  # fmt: skip


@pytest.fixture
def study_dir(tmp_path: Path) -> Path:
    return tmp_path / "results" / "s"


def _most_at_once(runs: pd.DataFrame) -> int:
    """Count how many runs went on at the same instant, at most."""
    began = pd.to_datetime(runs["started_at"])
    ended = began + pd.to_timedelta(runs["wall_s"], unit="s")
    return max(int(((began <= instant) & (instant < ended)).sum()) for instant in began)


def _names(doubts: list[dict[str, str]]) -> set[str]:
    return {one["doubt"] for one in doubts}


def _assert_equal(one: pd.DataFrame, other: pd.DataFrame, columns: list[str]) -> None:
    """Compare columns of two tables, whatever the order of their rows."""
    first, second = (each[columns].sort_values(columns[:2], ignore_index=True) for each in (one, other))
    pd.testing.assert_frame_equal(first, second)


def test_runs_share_the_machine_and_their_timing_says_so(study: list[str], study_dir: Path, tmp_path: Path) -> None:
    sweep = [*study, *SLOW, "decode.chunk_length_s=1,2,3,4"]
    runs = bench.run(*sweep, TOGETHER)
    assert _most_at_once(runs) == 3
    assert set(runs["status"]) == {"ok"}
    assert not runs["valid"].any()
    assert all("shared" in _names(doubts) for doubts in runs["doubts"])
    assert all("executor.workers=3" in doubts[-1]["detail"] for doubts in runs["doubts"])
    assert runs["cgroup_peak_mib"].isna().all()  # a peak of all of them is nobody's
    assert (runs["rtfx"] > 0).all()  # what was measured is kept

    alone = bench.run(*sweep, f"results.root={tmp_path / 'alone'}")
    assert _most_at_once(alone) == 1
    assert not any("shared" in _names(doubts) for doubts in alone["doubts"])
    same = ["run_id", "trial_id", "decode.chunk_length_s", "wer", "hits", "substitutions", "deletions", "insertions"]
    _assert_equal(runs, alone, same)
    here, there = bench.load_utterances(study_dir), bench.load_utterances(tmp_path / "alone" / "s")
    _assert_equal(here, there, ["run_id", "utterance_id", "hypothesis", "wer"])

    # No report compares their speed; once they were timed alone, it does.
    summary = (build(study_dir, tmp_path / "reports") / "summary.md").read_text()
    assert "4 ran beside others, and their timings are left out" in summary
    assert not any(f"{value:.1f}" in line for value in runs["rtfx"] for line in summary.splitlines() if "chunk" in line)
    with pytest.raises(StoreError, match="shared their machine"):
        compare_study(study_dir, "decode.chunk_length_s")
    again = bench.run(*sweep, "measure.rerun_invalid=1")
    assert set(again["attempt"]) == {2}
    assert not any("shared" in _names(doubts) for doubts in again["doubts"])
    assert compare_study(study_dir, "decode.chunk_length_s").pairs


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["search=tpe", "search.trials=3"], "rtfx decides how this study goes on"),
        (["search.racing=true"], "rtfx decides how this study goes on"),
        (["search.holdout=0.3"], "rtfx decides how this study goes on"),
        (["search=tpe", "search.objectives=[wer]", 'search.constraints=["load_s<=1"]'], "load_s decides"),
        (["measure.rerun_invalid=1"], "none is valid; use executor.workers=1"),
        (["executor.workers=0"], "at least 1"),
        (["executor.workers=null"], "or executor=ray"),
        (["executor.address=here:1"], "is for a Ray cluster; add executor=ray"),
        (["executor.memory_gib=1"], "is for a Ray cluster; add executor=ray"),
        (["executor=ray", "executor.memory_gib=0"], "above 0"),
        (["executor=ray", "device=cuda:1"], "Ray chooses which GPU"),
        (["executor=ray", "device=mps"], "use executor=local"),
        (["executor=local,ray"], "holds for a study as a whole"),
        (["executor=slurm"], "use one of: local ray"),
    ],
)
def test_what_cannot_be_is_refused(study: list[str], study_dir: Path, settings: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose([*study, "decode.batch_size=1,2", TOGETHER, *settings])
    assert not study_dir.exists()


@pytest.mark.slow
def test_faults_of_one_run_are_its_own(study: list[str], study_dir: Path) -> None:
    faults = ["fake/ok", "fake/error", "fake/exit", "fake/oom", "fake/hang"]
    runs = bench.run(
        *study, f"model.name={','.join(faults)}", "executor.max_attempts=2", "executor.timeout_s=10", TOGETHER,
    )  # fmt: skip
    ended = {name: set(each["status"]) for name, each in runs.groupby("model.name")}
    assert ended == {"fake/ok": {"ok"}, "fake/error": {"error"}, "fake/exit": {"error"}, "fake/oom": {"oom"},
                     "fake/hang": {"timeout"}}  # fmt: skip
    attempts = Counter(pd.read_parquet(study_dir / "runs")["run_id"])
    names = dict(zip(runs["run_id"], runs["model.name"], strict=True))
    assert all(count == (1 if names[run] in ("fake/ok", "fake/oom") else 2) for run, count in attempts.items())


def test_the_largest_batch_that_fits_is_found_without_trying_any_twice(
    tmp_path: Path, tone_manifest: Callable[..., Path]
) -> None:
    # 40 windows of 5 s; the engine holds 100 s of audio.
    runs = bench.run(
        "-m", "study=s", f"results.root={tmp_path}", "engine=fake", "model=fake", "data=manifest",
        f"data.path={tone_manifest(200)}", "measure.warmup=0", "decode.stride_length_s=0", "model.name=fake/small",
        "decode.chunk_length_s=5", "decode.batch_size=4,40", "search.oom=bisect", TOGETHER,
    )  # fmt: skip
    sizes = {int(size): status for size, status in zip(runs["decode.batch_size"], runs["status"], strict=True)}
    assert len(sizes) == len(runs)
    assert (sizes[SMALL_S // 5], sizes[SMALL_S // 5 + 1]) == ("ok", "oom")


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_search_tries_as_many_trials_as_asked_and_none_twice(study: list[str], study_dir: Path, sampler: str) -> None:
    search = [*study, f"search={sampler}", "search.objectives=[wer]", "decode.batch_size=interval(1,500)", TOGETHER]
    runs = bench.run(*search, "search.trials=13")
    assert sorted(runs["trial_number"]) == list(range(13))
    assert runs["decode.batch_size"].nunique() == 13
    assert _most_at_once(runs) > 1
    more = bench.run(*search, "search.trials=15")
    assert sorted(more["trial_number"]) == list(range(15))


def test_a_space_that_is_used_up_while_runs_go_on(study: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    search = [*study, *SLOW, "search=tpe", "search.objectives=[wer]", "decode.num_beams=1,2,3", TOGETHER]
    assert len(bench.run(*search, "search.trials=9")) == 3
    assert "every possible point of the space has been tried" in capsys.readouterr().out


def test_a_race_for_accuracy_ends_what_is_worse(tmp_path: Path, tone_manifest: Callable[..., Path]) -> None:
    lengths = [3 + number % 4 for number in range(30)]
    runs = bench.run(
        "-m", "study=s", f"results.root={tmp_path}", "engine=fake", "model=fake", "data=manifest",
        f"data.path={tone_manifest(*lengths)}", "measure.warmup=0", "decode.stride_length_s=0", "decode.batch_size=2",
        "search.racing=true", "search.objectives=[wer]", "model.name=fake/ok,fake/half",
        "decode.chunk_length_s=3,4,6", "measure.replicates=2", "executor.workers=2",
    )  # fmt: skip
    good, bad = runs[runs["model.name"] == "fake/ok"], runs[runs["model.name"] == "fake/half"]
    assert (len(good), set(good["status"])) == (6, {"ok"})
    assert "pruned" in set(bad["status"])


@pytest.mark.slow
def test_a_budget_counts_what_is_under_way(study: list[str]) -> None:
    grid = [*study, *SLOW, "decode.chunk_length_s=2", "decode.num_beams=range(1,13)", "measure.repeats=2"]
    first = bench.run(*grid, "decode.num_beams=1")
    typical_s = float(first["wall_s"].iloc[0])
    budget_s = 4.5 * typical_s
    runs = bench.run(*grid, TOGETHER, f"search.budget_s={budget_s}")
    # Whatever was under way when the budget was reached had been counted as usual; none was started beyond it.
    assert 1 < len(runs) <= 5
    assert len(bench.run(*grid, TOGETHER)) == 12


@pytest.mark.slow
def test_ctrl_c_ends_all_of_them(study: list[str], study_dir: Path, tmp_path: Path) -> None:
    sweep = [*study, *SLOW, "decode.chunk_length_s=1,2,3,4", "measure.repeats=4", "executor.workers=2"]
    driver = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *sweep], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
        # Tests that a shell runs in the background inherit from it that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not list((study_dir / "runs").glob("*.parquet")):
            assert time.monotonic() < deadline, "no run finished in time"
            time.sleep(0.05)
        family = psutil.Process(driver.pid).children(recursive=True)
        os.killpg(driver.pid, signal.SIGINT)
        out, err = driver.communicate(timeout=60)
    finally:
        driver.kill()
        driver.communicate()
    assert driver.returncode == 130, out + err
    assert "Traceback" not in out + err
    _, orphans = psutil.wait_procs(family, timeout=10)
    assert not orphans
    left = bench.load_runs(study_dir)
    assert 1 <= len(left) < 4
    runs = bench.run(*sweep)
    assert len(runs) == 4
    assert set(left["started_at"]) <= set(runs["started_at"])
