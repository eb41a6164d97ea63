"""Cache entries appear once, whole, and stay that way."""

import hashlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import bench.assets
from bench.assets.cache import cache_root, is_intact, publish
from bench.errors import AssetError

ROOT = Path(next(iter(bench.assets.__path__))).parents[1]


def write_two(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "a.bin").write_bytes(b"alpha")
    (folder / "b.txt").write_bytes(b"beta")


def never(folder: Path) -> None:
    pytest.fail(f"{folder} was built again")


def start(script: str, *arguments: str) -> "subprocess.Popen[bytes]":
    code = f"import os, sys, time\nfrom pathlib import Path\nfrom bench.assets.cache import publish\n{script}"
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT)


def test_the_root_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_SWEEP_CACHE", str(tmp_path / "here"))
    assert cache_root() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ASR_SWEEP_CACHE", "~/there")
    assert cache_root() == tmp_path / "there"
    monkeypatch.setenv("ASR_SWEEP_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root().name == "asr-sweep"
    assert cache_root().is_absolute()


def test_an_entry_is_built_once_and_lists_its_files(tmp_path: Path) -> None:
    entry = publish(tmp_path / "cache" / "entry", write_two)
    assert (entry / "deep" / "a.bin").read_bytes() == b"alpha"
    expected = [
        f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in (("b.txt", b"beta"), ("deep/a.bin", b"alpha"))
    ]
    assert (entry / "SHA256SUMS").read_text().splitlines() == expected
    assert publish(entry, never) == entry


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "b.txt").write_bytes(b"bet4"),
        lambda entry: (entry / "b.txt").write_bytes(b""),
        lambda entry: (entry / "b.txt").unlink(),
        lambda entry: (entry / "extra.txt").write_bytes(b"?"),
        lambda entry: (entry / "SHA256SUMS").write_bytes(b"\xff"),
        lambda entry: (entry / "SHA256SUMS").unlink(),
    ],
)
def test_a_damaged_entry_is_built_again(tmp_path: Path, damage: object) -> None:
    entry = publish(tmp_path / "entry", write_two)
    damage(entry)  # type: ignore[operator]
    assert not is_intact(entry)
    publish(entry, write_two)
    assert is_intact(entry)
    assert (entry / "b.txt").read_bytes() == b"beta"
    assert not (entry / "extra.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["entry"]


def test_a_build_that_fails_leaves_nothing_and_keeps_its_error(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write_two(folder)
        raise AssetError("no such weights")

    with pytest.raises(AssetError, match="no such weights"):
        publish(tmp_path / "entry", fail)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert is_intact(publish(tmp_path / "entry", write_two))


def test_a_process_killed_midway_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        def build(folder):
            (folder / "half.bin").write_bytes(b"half")
            os._exit(9)

        publish(Path(sys.argv[1]), build)
        """
    )
    entry = tmp_path / "entry"
    assert start(script, str(entry)).wait(30) == 9
    assert not entry.exists()
    publish(entry, write_two)
    assert sorted(path.name for path in entry.rglob("*")) == ["SHA256SUMS", "a.bin", "b.txt", "deep"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["entry"]


def test_processes_that_want_the_same_entry_build_it_once(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        def build(folder):
            with open(sys.argv[2], "a") as log:
                log.write("built\\n")
            time.sleep(0.5)
            (folder / "a.txt").write_text("a")

        while not Path(sys.argv[3]).exists():
            time.sleep(0.005)
        publish(Path(sys.argv[1]), build)
        """
    )
    entry, log, go = tmp_path / "cache" / "entry", tmp_path / "log", tmp_path / "go"
    processes = [start(script, str(entry), str(log), str(go)) for _ in range(3)]
    go.touch()
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert log.read_text() == "built\n"
    assert is_intact(entry)


def test_a_cache_that_cannot_be_written_is_an_error_with_the_cure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(AssetError, match="set ASR_SWEEP_CACHE to another folder"):
        publish(blocked / "entry", write_two)
