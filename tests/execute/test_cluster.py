"""Runs on a Ray cluster of two nodes, which Ray's own test utility puts on this machine, one of which is lost."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bench
from bench.attempts import Attempt
from bench.config import Config, ExecutorConfig
from bench.errors import ExecutorError
from bench.execute.cluster import RayExecutor, needs_of
from bench.execute.node import Errand, execute
from bench.records import Job, Status

ray = pytest.importorskip("ray", reason="needs the extra ray: pip install 'asr-sweep[ray]'")


class TwoNodes:
    """A cluster of two nodes with a processor each; the driver's node has none, so that either may be lost."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self._nodes = [self._cluster.add_node(num_cpus=1) for _ in range(2)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def lose(self) -> None:
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    # The nodes import what the tests do, wherever they are started.
    monkeypatch.setenv("PYTHONPATH", str(Path(bench.__file__).parents[1]))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    nodes = TwoNodes()
    yield nodes
    nodes.close()


@pytest.fixture
def study(tmp_path: Path, tone_manifest: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return ["-m", "engine=fake", "model=fake", "threads=1", "data=manifest", f"data.path={tone_manifest(3, 5)}",
            "measure.warmup=0", "decode.stride_length_s=0"]  # fmt: skip


def _files(study_dir: Path) -> list[Attempt]:
    return [Attempt.of(path) for path in (study_dir / "runs").glob("*.parquet")]


def _losing(nodes: TwoNodes, study_dir: Path, after: int) -> threading.Thread:
    """Lose a node once so many runs have ended."""

    def watch() -> None:
        deadline = time.monotonic() + 240
        while len(_files(study_dir)) < after and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)  # into the next runs, where they take longer
        nodes.lose()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def _assert_each_once(study_dir: Path, runs: pd.DataFrame, planned: int) -> pd.DataFrame:
    """Check that every run ended well, once; returns all attempts at them."""
    assert len(runs) == runs["run_id"].nunique() == planned
    assert set(runs["status"]) == {"ok"}
    every = pd.read_parquet(study_dir / "runs")
    assert not every.duplicated(["run_id", "attempt"]).any()
    assert (every["status"] == "ok").sum() == planned
    utterances = bench.load_utterances(study_dir)
    assert not utterances.duplicated(["run_id", "utterance_id"]).any()
    assert utterances.groupby("run_id").size().to_dict() == dict.fromkeys(runs["run_id"], 2)
    return every


def _run_and_lose(nodes: TwoNodes, study: list[str], study_dir: Path, planned: int) -> pd.DataFrame:
    losing = _losing(nodes, study_dir, after=planned // 3)
    runs = bench.run(*study, "study=far", "executor=ray", f"executor.address={nodes.address}")
    losing.join()
    every = _assert_each_once(study_dir, runs, planned)
    lost = every[every["status"] != "ok"]
    assert set(lost["status"]) <= {"error"}
    assert lost["retryable"].all()
    assert all("Ray lost the run" in str(reason) for reason in lost["status_reason"])
    return runs


def _assert_same_as_here(study: list[str], far: pd.DataFrame, tmp_path: Path) -> None:
    """Compare with the same study without Ray: settings, counts and texts."""
    here = bench.run(*study, "study=here")
    key = ["run_id"]
    settings = [
        name
        for name in map(str, here)
        if name.startswith(("model.", "decode.", "data.")) or name in ("threads", "seed")
    ]
    same = [*settings, "trial_id", "wer", "substitutions", "deletions", "insertions", "hits", "status"]
    pd.testing.assert_frame_equal(
        here.sort_values(key, ignore_index=True)[same], far.sort_values(key, ignore_index=True)[same]
    )
    columns = ["run_id", "utterance_id", "hypothesis", "reference", "path", "wer"]
    first, second = (
        bench.load_utterances(tmp_path / "results" / name)[columns].sort_values(columns[:2], ignore_index=True)
        for name in ("here", "far")
    )
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.slow
def test_no_run_is_lost_with_a_node(two_nodes: TwoNodes, study: list[str], tmp_path: Path) -> None:
    study = [*study, "model.name=fake/slow", "decode.batch_size=1", f"decode.chunk_length_s={','.join('123456')}"]
    far = _run_and_lose(two_nodes, study, tmp_path / "results" / "far", planned=6)
    assert set(far["env.cpu_usable"]) == {1}  # each bound to one processor
    assert len(list((tmp_path / "results" / "far" / "runs").glob("*.error.parquet"))) == 1  # what the node took with it
    _assert_same_as_here(study, far, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sixty_runs_survive_a_node(two_nodes: TwoNodes, study: list[str], tmp_path: Path) -> None:
    study = [*study, "decode.batch_size=range(1,11)", "decode.chunk_length_s=1,2,3,4,5,6"]
    far = _run_and_lose(two_nodes, study, tmp_path / "results" / "far", planned=60)
    _assert_same_as_here(study, far, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_runs_survive_a_node(two_nodes: TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = ["-m", "data=demo", "data.limit=2", "threads=1", "decode.batch_size=4", "measure.warmup=0",
             "decode.chunk_length_s=10,20,30", "decode.stride_length_s=0,2"]  # fmt: skip
    far = _run_and_lose(two_nodes, study, tmp_path / "results" / "far", planned=6)
    _assert_same_as_here(study, far, tmp_path)


@pytest.mark.parametrize(
    ("config", "needs"),
    [
        (Config(), {"CPU": 1}),
        (Config(threads=4, executor=ExecutorConfig(memory_gib=2)), {"CPU": 4, "memory": 2 * 2**30}),
        (Config(threads=2, device="cuda"), {"CPU": 2, "GPU": 1}),
    ],
)
def test_what_a_run_asks_for(config: Config, needs: dict[str, Any]) -> None:
    assert needs_of(config) == needs


def test_a_run_is_as_urgent_as_the_driver(tmp_path: Path) -> None:
    executor = RayExecutor(ExecutorConfig(), tmp_path, trains=False)
    try:
        assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)
    finally:
        executor.close()


def test_without_ray_the_extra_is_named(study: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExecutorError, match=r"pip install 'asr-sweep\[ray\]'"):
        bench.run(*study, "executor=ray")


def test_a_node_that_lacks_the_driver_s_folders_says_so(tmp_path: Path) -> None:
    job = Job(study="s", trial_id="t", replicate=0, attempt=1, config=Config(engine="fake"), model_path="absent/model",
              utterances=(), model_fingerprint=None, data_name="d", data_fingerprint="f")  # fmt: skip
    for folder, lacking in ((tmp_path / "absent", "working folder"), (tmp_path, "model")):
        result = execute(job, (), Errand(folder, tmp_path / "logs", trains=False, processors=1))
        assert (result.status, result.retryable) == (Status.error, False)
        assert f"the driver's {lacking}" in str(result.status_reason)
        assert "absent" in str(result.status_reason)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nobody_answers(study: list[str], address: str) -> None:
    with pytest.raises(ExecutorError, match=f"no Ray cluster answers at executor.address={address}"):
        bench.run(*study, "executor=ray", f"executor.address={address}")
    assert not ray.is_initialized()


@pytest.mark.slow
def test_more_processors_than_there_are(study: list[str]) -> None:
    with pytest.raises(ExecutorError, match="a run asks for 512 processors, and this machine has"):
        bench.run(*study, "executor=ray", "threads=512")
    assert not ray.is_initialized()
