"""A study in an object store: the same runs, readers and reports as in a folder, against moto's server of S3."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest

import bench
from bench import claim, storage, store
from bench.__main__ import main
from bench.compaction import compact
from bench.errors import StoreError
from bench.report import build
from bench.storage import Place, Remote, place

pytest.importorskip("moto.server", reason="S3 is moto's server's here")

BUCKET = "asr-sweep-tests"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start a server of S3 with an empty bucket, and let the environment point to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process, pytest.MonkeyPatch.context() as patch:
        try:
            for name, value in {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }.items():
                patch.setenv(name, value)
            until_s = time.monotonic() + 60
            while True:
                try:
                    bucket = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
                    urllib.request.urlopen(bucket, timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < until_s
                    time.sleep(0.1)
            yield
        finally:
            process.kill()


@pytest.fixture
def root(server: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """A place in the bucket that no other test uses; the working folder is a new one."""
    monkeypatch.chdir(tmp_path)
    return place(f"s3://{BUCKET}/{request.node.originalname}-{uuid4().hex[:6]}")


@pytest.fixture
def study(root: Place, tone_manifest: Callable[..., Path]) -> list[str]:
    """Overrides of a study named "mine" in the bucket."""
    recordings = ["data=manifest", f"data.path={tone_manifest(2, 3)}", "decode.stride_length_s=0"]
    return ["study=mine", "engine=fake", "model=fake", *recordings, f"results.root={root}", "measure.repeats=1"]


def objects(folder: Place) -> dict[str, int]:
    """All objects under a place, with their bytes."""
    assert isinstance(folder, Remote)
    return {one.path: one.size for one in storage._under(folder)}


def download(folder: Place, target: Path) -> Path:
    """Copy a study into a folder of this machine, byte for byte."""
    assert isinstance(folder, Remote)
    for name in objects(folder):
        path = target / Path(name).relative_to(folder.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Remote("s3", name, folder.filesystem).read_bytes())
    return target


def test_a_study_runs_resumes_reports_and_is_merged_there(
    root: Place, study: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = bench.run("-m", *study, "decode.chunk_length_s=10,20,30", "measure.replicates=2")
    assert Counter(runs["status"]) == {"ok": 6}
    assert len(store.load_utterances(root / "mine")) == 6 * 2

    # Nothing is run twice, and a further value adds its runs only.
    before = objects(root)
    again = bench.run("-m", *study, "decode.chunk_length_s=10,20,30", "measure.replicates=2")
    pd.testing.assert_frame_equal(again, runs)
    more = bench.run("-m", *study, "decode.chunk_length_s=10,20,30,25", "measure.replicates=2")
    assert len(more) == 8
    assert set(more["run_id"]) > set(runs["run_id"])
    added = {name for name in set(objects(root)) - set(before) if "/runs/" in name}
    assert len(added) == 2

    # What a machine keeps of it has a documented place.
    assert (tmp_path / "results/s3" / BUCKET / root.name / "mine/journal.log").exists()
    assert not [name for name in objects(root) if "logs" in name or "journal" in name or ".lock" in name]

    # Readers see there what they see in a copy on this machine, before and after merging.
    def read(name: str, results: Place) -> tuple[bytes, dict[str, str]]:
        page = build(results / "mine", tmp_path / "reports" / name) / "index.html"
        said = {}
        for arguments in (["list"], ["show", "mine"], ["show", "mine", "best"], ["export", "mine", "utterances"]):
            capsys.readouterr()
            assert main([*arguments, "--results", str(results)]) == 0
            said[arguments[0]] = capsys.readouterr().out
        return page.read_bytes(), said

    there = read("there", root)
    copied = read("copied", download(root / "mine", tmp_path / "copy/mine").parent)
    assert there == copied
    capsys.readouterr()
    assert main(["compact", f"{root}/mine"]) == 0
    assert capsys.readouterr().out == f"{root}/mine: of 24 files 3 are left\n"
    assert [name.rpartition("/")[2][:7] for name in objects(root / "mine" / "runs")] == ["merged-"]
    page, said = read("merged", root)
    assert page == there[0]
    assert said["export"] == there[1]["export"]
    assert said["show"] == there[1]["show"]

    # A merged study goes on, and its texts are scored anew.
    assert main(["rescore", "mine", "score.normalizer=none", "--results", str(root)]) == 0
    assert len(store.load_scores(root / "mine")) == 16
    pd.testing.assert_frame_equal(
        bench.run("-m", *study, "decode.chunk_length_s=10,20,30,25", "measure.replicates=2"), more
    )


def test_one_driver_at_a_time(root: Place, study: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "RENEWED_EVERY_S", 0.1)
    told = rf"another process is running the study in {root}/mine \(on .*wait for it"
    with claim.claimed(root / "mine", "wait"), pytest.raises(StoreError, match=told):
        bench.run(*study)
    assert not objects(root)


KILLED = """
import sys
from bench import storage
from bench.storage import place

target = place(sys.argv[1]) / "runs" / "aaaa-0.1.ok.parquet"
if sys.argv[2] == "between":
    stream = target.filesystem.open_output_stream(target.path)
    stream.write(b"x" * (24 << 20))
    stream.flush()
    print("ready", flush=True)
    sys.stdin.read()
print("ready", flush=True)
while True:
    storage.write_atomically(target, b"x" * (24 << 20))
"""


@pytest.mark.parametrize("where", ["between", "anywhere"])
def test_a_writer_that_is_killed_leaves_the_whole_of_a_file_or_nothing(root: Place, where: str) -> None:
    command = [sys.executable, "-c", KILLED, str(root), where]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        if where == "anywhere":
            time.sleep(0.3)
        os.kill(writer.pid, signal.SIGKILL)
    sizes = set(objects(root).values())
    assert sizes <= ({24 << 20} if where == "anywhere" else set())


@pytest.mark.slow
def test_a_killed_driver_loses_no_row_and_doubles_none(
    root: Place, study: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = ["-m", *study, "decode.chunk_length_s=10,20,30,25", "model.name=fake/slow"]
    code = f"import sys; from bench.__main__ import main; sys.exit(main({['run', *grid]!r}))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as driver:
        until_s = time.monotonic() + 120
        while not storage.sizes(root / "mine" / "runs"):
            assert driver.poll() is None
            assert time.monotonic() < until_s
            time.sleep(0.05)
        driver.kill()
    left = store.load_runs(root / "mine")
    assert storage.sizes(root / "mine" / claim.LOCK)  # it could not take its claim back
    monkeypatch.setattr(claim, "EXPIRES_AFTER_S", 2.0)
    runs = bench.run(*grid)
    assert len(runs) == 4
    assert runs["run_id"].is_unique
    assert runs["status"].eq("ok").all()
    finished = runs.merge(left, on=["run_id", "started_at"])
    assert len(finished) == len(left)
    compact(root / "mine")
    pd.testing.assert_frame_equal(store.load_runs(root / "mine"), runs)
