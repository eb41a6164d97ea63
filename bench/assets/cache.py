"""The user's cache: folders that are built once, appear whole or not at all, and are checked at every use."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from bench.errors import AssetError

CACHE_VARIABLE = "ASR_SWEEP_CACHE"
"""Environment variable that names the cache folder, before the platform's own choice."""

CHECKSUMS = "SHA256SUMS"
"""File of an entry that lists every other one, in the format that `sha256sum --check` reads."""


def cache_root() -> Path:
    """Folder that holds every cache entry; it need not exist yet.

    Returns:
        `ASR_SWEEP_CACHE` where that is set, else the platform's cache folder for this project (on Linux
        `$XDG_CACHE_HOME/asr-sweep`).
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return user_cache_path("asr-sweep", appauthor=False)


def publish(entry: Path, build: Callable[[Path], None]) -> Path:
    """Build a folder once, so that whoever finds it finds it finished.

    The entry is written under another name in the same folder, flushed to disk, and renamed; a crash before the
    rename leaves nothing under the entry's own name. Processes that want the same entry at once wait for the one
    that builds it. An entry whose files no longer match its checksums is built again.

    Args:
        entry: The folder to provide. Its name should change with whatever its content is derived from.
        build: Fills the empty folder that it is given; whatever it raises is passed on.

    Returns:
        `entry`, whole and verified.

    Raises:
        AssetError: The cache cannot be written.
    """
    # Looking before locking lets a read-only cache serve, and spares readers from queueing behind each other.
    if is_intact(entry):
        return entry
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(entry.with_name(f".{entry.name}.lock")):
            if not is_intact(entry):
                _build_and_rename(entry, build)
    except OSError as error:
        raise AssetError(
            f"cannot write {entry}: {error}; make room or give the right to write there, or set {CACHE_VARIABLE} to "
            "another folder"
        ) from error
    return entry


def is_intact(entry: Path) -> bool:
    """Whether a folder holds exactly the files that its checksum list names, each with its checksum.

    Args:
        entry: The folder to check; it may be missing. All of its bytes are read.

    Returns:
        True when it is whole.
    """
    try:
        listed = (entry / CHECKSUMS).read_text(encoding="utf-8")
        return listed == _checksums(entry)
    except (OSError, UnicodeDecodeError):
        return False


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build_and_rename(entry: Path, build: Callable[[Path], None]) -> None:
    """Replace `entry` by a fresh build; call with the entry's lock held, which makes both scratch names ours."""
    partial = entry.with_name(f".{entry.name}.partial")
    damaged = entry.with_name(f".{entry.name}.damaged")
    for leftover in (partial, damaged):
        if leftover.exists():
            shutil.rmtree(leftover)
    try:
        partial.mkdir()
        build(partial)
        (partial / CHECKSUMS).write_text(_checksums(partial), encoding="utf-8", newline="\n")
        for path in [*partial.rglob("*"), partial]:
            _flush(path)
        # A folder that is not empty cannot be renamed over; between the two renames a reader finds no entry at all,
        # and comes to wait for the lock.
        if entry.exists():
            entry.rename(damaged)
        partial.rename(entry)
        _flush(entry.parent)
    finally:
        for leftover in (partial, damaged):
            shutil.rmtree(leftover, ignore_errors=True)


def _checksums(folder: Path) -> str:
    """One line a file, `<sha256>  <path>`, in the order of their paths, without the checksum list itself."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    files.pop(CHECKSUMS, None)
    return "".join(f"{sha256_of(files[name])}  {name}\n" for name in sorted(files))


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows offers no handle on a folder; its file system journals the names.
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
