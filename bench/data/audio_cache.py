"""Decoded recordings on disk: written once, mapped by every run, removed when long unused.

An entry is a file of little-endian float32 samples that ends in their number, 8 bytes, little-endian. Mapped, its pages
belong to the page cache: runs share them, and the kernel takes them back when memory is short.
"""

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import torch

from bench.assets.cache import CACHE_VARIABLE, cache_root
from bench.errors import AssetError
from bench.records import Samples

LIMIT_BYTES = 20 * 2**30
"""Size of all entries together beyond which the least recently used go; 20 GiB are 93 hours at 16 kHz."""

_TRAILER_BYTES = 8
_SAMPLE_BYTES = 4
_PARTIAL = ".partial"
_ABANDONED_S = 3600.0  # a live writer touches its file every few milliseconds


def find(name: str) -> Samples | None:
    """Map an entry, and count it as used.

    Only its length is checked: entries appear under their name whole and on disk, and a checksum would read hours of
    audio at every run.

    Args:
        name: The entry's file name.

    Returns:
        Read-only samples of shape ``(samples,)``; they outlive the entry's removal. Nothing where there is no entry,
        or one that is damaged.
    """
    entry = _folder() / name
    try:
        with entry.open("rb") as file:
            count = _count(file)
            samples = None if count is None else _mapped(file, count)
    except OSError:
        return None
    with suppress(OSError):  # a read-only cache serves all the same
        os.utime(entry)
    return samples


def add(name: str, decode: Callable[[], Iterable[Samples]]) -> Samples:
    """Write an entry, in place of any other of that name.

    Where the cache cannot be written, the samples go to a temporary file that nobody else can find.

    Args:
        name: The entry's file name. It should change with whatever the samples are derived from.
        decode: Gives the blocks of samples in order, each of shape ``(n,)``, at least one sample in all; called again
            for the temporary file. What it raises is passed on, and leaves no entry; it must not be an `OSError`.

    Returns:
        All samples, read-only, of shape ``(samples,)``.

    Raises:
        AssetError: No file can be written, neither in the cache nor in the folder for temporary files.
    """
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _publish(folder / name, decode())
    except OSError as unwritable:
        try:
            with tempfile.TemporaryFile() as file:
                return _mapped(file, _write(file, decode()))
        except OSError as error:
            raise AssetError(
                f"decoded audio fits neither in {folder} ({unwritable}) nor in a temporary file ({error}); make room,"
                f" or set {CACHE_VARIABLE} to a folder that has it"
            ) from error


def trim(keep: Collection[str]) -> None:
    """Remove the least recently used entries until all together hold :data:`LIMIT_BYTES`, and what dead writers left.

    Args:
        keep: Names of entries to keep even if they alone exceed the limit.
    """
    entries: list[tuple[int, int, Path]] = []
    with suppress(OSError), os.scandir(_folder()) as files:
        for file in files:
            with suppress(FileNotFoundError):  # another process may be at the same
                status = file.stat()
                if not file.name.endswith(_PARTIAL):
                    entries.append((status.st_mtime_ns, status.st_size, Path(file.path)))
                elif time.time() - status.st_mtime > _ABANDONED_S:
                    Path(file.path).unlink()
    excess = sum(size for _, size, _ in entries) - LIMIT_BYTES
    for _, size, entry in sorted(entries):
        if excess <= 0:
            return
        if entry.name not in keep:
            with suppress(OSError):
                entry.unlink()
                excess -= size


def _folder() -> Path:
    return cache_root() / "audio"


def _publish(entry: Path, blocks: Iterable[Samples]) -> Samples:
    # Every writer has a name of its own: two that want the same entry write it twice, and either result will do.
    partial = entry.with_name(f".{uuid.uuid4().hex}{_PARTIAL}")
    try:
        with partial.open("x+b") as file:
            count = _write(file, blocks)
            os.fsync(file.fileno())
            samples = _mapped(file, count)
        partial.replace(entry)
    finally:
        partial.unlink(missing_ok=True)
    return samples


def _write(file: BinaryIO, blocks: Iterable[Samples]) -> int:
    """Write all of an entry's bytes; returns its number of samples."""
    count = 0
    for block in blocks:
        file.write(block.astype("<f4", copy=False).data)
        count += len(block)
    file.write(count.to_bytes(_TRAILER_BYTES, "little"))
    file.flush()
    return count


def _count(file: BinaryIO) -> int | None:
    """Number of samples an entry holds; null where its size is not the one that its end promises."""
    size = file.seek(0, os.SEEK_END)
    if size <= _TRAILER_BYTES:
        return None
    file.seek(-_TRAILER_BYTES, os.SEEK_END)
    count = int.from_bytes(file.read(), "little")
    return count if size == count * _SAMPLE_BYTES + _TRAILER_BYTES else None


def _mapped(file: BinaryIO, count: int) -> Samples:
    """Map the samples of an open file; raises :class:`OSError` where the system has no mapping left."""
    if hasattr(os, "posix_fadvise"):
        # Reading ahead now keeps the disk out of the time that inference takes.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    try:
        # numpy.memmap would hold a file descriptor for each recording, and a process has 1024; torch closes its own.
        # Named by descriptor, the file is found even where another process has just removed or replaced it.
        samples: Samples = torch.from_file(
            f"/dev/fd/{file.fileno()}", shared=False, size=count, dtype=torch.float32
        ).numpy()
    except RuntimeError as error:
        raise OSError(str(error)) from error
    samples.flags.writeable = False
    return samples
