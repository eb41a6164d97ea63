"""Places: a folder of this machine and one of a remote file system behave alike."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import bench
from bench import storage
from bench.errors import ConfigError, StoreError
from bench.storage import Place, Remote, place, write_atomically


@pytest.fixture(params=["path", "file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty folder: of this machine, by its path or URL, and of a file system that fsspec has."""
    match request.param:
        case "path":
            yield tmp_path / "root"
        case "file":
            yield place(f"file://{tmp_path}/a%20root")
        case _:
            root = place(f"memory://{uuid4().hex}/root")
            yield root
            storage.remove_all(root)


def test_a_url_of_this_machine_is_a_path(tmp_path: Path) -> None:
    assert place(f"file://{tmp_path}/with%20space") == tmp_path / "with space"
    assert place("results") == Path("results")
    assert place(tmp_path) is tmp_path


@pytest.mark.parametrize("nowhere", [None, 5, b"results"])
def test_what_is_no_path_is_refused(nowhere: Any) -> None:
    with pytest.raises(ConfigError, match=r"is no folder; give a path or URL$"):
        place(nowhere)


def test_recordings_that_are_no_paths_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^5 is no recording; give its path, or a list of paths$"):
        bench.transcribe(5)  # type: ignore[arg-type]


def test_a_place_is_named_as_a_path_is() -> None:
    root = place("memory://bucket/asr/")
    assert str(root / "mine" / "runs") == "memory://bucket/asr/mine/runs"
    assert (root / "mine" / "runs").name == "runs"
    assert (root / "mine").parent == root
    assert root.resolve() == root
    assert storage.workspace(root / "mine") == Path("results/memory/bucket/asr/mine")


def test_what_is_written_is_read_and_listed(folder: Place) -> None:
    assert storage.sizes(folder) == {}
    assert storage.folders(folder) == []
    assert not (folder / "a.txt").exists()
    write_atomically(folder / "a.txt", b"four")
    write_atomically(folder / "a.txt", b"eleven byte")
    write_atomically(folder / "sub" / "b.txt", "dŵr".encode())
    assert storage.sizes(folder) == {"a.txt": 11}
    assert [one.name for one in storage.folders(folder)] == ["sub"]
    assert (folder / "a.txt").read_bytes() == b"eleven byte"
    assert (folder / "sub" / "b.txt").read_bytes().decode() == "dŵr"
    assert (folder / "a.txt").exists()
    assert storage.size_of(folder) == 11 + 4  # the circumflex takes two bytes


def test_files_are_removed_where_they_are(folder: Place) -> None:
    for name in ("a", "b", "c"):
        write_atomically(folder / name, b"x")
    storage.remove([folder / "a", folder / "c", folder / "never"])
    assert list(storage.sizes(folder)) == ["b"]
    with pytest.raises(FileNotFoundError):
        (folder / "never").unlink()
    storage.remove_all(folder)
    assert storage.sizes(folder) == {}
    storage.remove_all(folder)


def test_a_writer_that_fails_leaves_nothing(folder: Place) -> None:
    write_atomically(folder / "a", b"before")
    with pytest.raises(TypeError):
        write_atomically(folder / "a", 42)
    assert (folder / "a").read_bytes() == b"before"
    storage.remove_unfinished(folder)
    assert list(storage.sizes(folder)) == ["a"]


def test_what_killed_writers_left_is_removed_and_nothing_else(folder: Place) -> None:
    for name in (f"{storage.TEMPORARY}1", "kept", ".merging-1"):
        write_atomically(folder / "runs" / name, b"x")
    storage.remove_unfinished(folder)
    assert sorted(storage.sizes(folder / "runs")) == [".merging-1", "kept"]
    storage.remove_unfinished(folder, ".merging-")
    assert sorted(storage.sizes(folder / "runs")) == ["kept"]


def test_what_was_begun_is_put_even_when_the_writer_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a stream makes an object of what it holds: Ctrl-C between the two would leave half of one."""
    threads: list[threading.Thread] = []
    put = storage._put

    def noted(target: Remote, content: bytes) -> None:
        threads.append(threading.current_thread())
        put(target, content)

    monkeypatch.setattr(storage, "_put", noted)
    root = place(f"memory://{uuid4().hex}")
    write_atomically(root / "a", b"whole")
    # Python raises KeyboardInterrupt in the main thread only (documentation of the module signal).
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nowhere://x/y", "nowhere://x/y cannot be used for results.*such as s3://bucket/folder"),
        ("s3://", "names no bucket"),
        ("s3://bucket/x?color=red", "color"),
        ("s3://key:secret@bucket/x", "holds a password.*AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_cure(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        place(url)
    assert "secret" not in str(caught.value).replace("AWS_SECRET_ACCESS_KEY", "")


def test_a_store_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    root = place(f"memory://{uuid4().hex}")
    assert isinstance(root, Remote)

    class Broken:
        def get_file_info(self, selector: object) -> None:
            raise OSError("no\n  route to host")

    broken = Remote("s3", "bucket/asr", Broken())
    with pytest.raises(StoreError, match=r"^s3://bucket/asr: no route to host; check the address.*credentials"):
        storage.sizes(broken)
    with pytest.raises(StoreError, match="credentials"):
        broken.exists()


@pytest.mark.skipif(os.name != "posix", reason="needs modes of POSIX")
def test_a_local_file_may_be_read_by_others_and_leaves_no_temporary_name(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "a", b"x")
    assert (tmp_path / "new" / "a").stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path / "new") == ["a"]  # noqa: PTH208 - hidden ones too
