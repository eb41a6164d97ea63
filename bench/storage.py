"""Where results lie: a folder of this machine, or a place in an object store, by its URL.

A folder of this machine is a :class:`pathlib.Path`. Anything else is a :class:`Remote`, which has the part of
``Path`` that results need, so that what reads and writes them need not tell the two apart. Amazon S3 and whatever
speaks its protocol (``s3://``), Google Cloud Storage (``gs://``) and Azure (``abfss://``) are Arrow's own file systems;
all other schemes are fsspec's.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from pyarrow import fs

from bench.errors import ConfigError, StoreError

TEMPORARY = ".writing-"
"""How the names of files begin that are not complete; hidden, so that tools which read whole folders pass them over."""

WORKSPACE = Path("results")
"""Folder of this machine for what runs of a remote study leave: logs, models, the journal."""

# A put is seen whole or not at all there, so it needs no temporary name; nor are there folders to be made.
_OBJECT_STORES = ("s3", "gs", "gcs", "abfs", "abfss")
_Result = TypeVar("_Result")
_AT_ONCE = 16  # requests under way; what a request takes is mostly waiting


@dataclass(frozen=True)
class Remote:
    """A folder or file of a remote file system; the part of :class:`pathlib.Path` that results need.

    Attributes:
        scheme: The URL's, which decides how a file comes to be there at once.
        path: The path within the file system, which begins with the bucket where there are such.
        filesystem: Arrow's.
    """

    scheme: str
    path: str
    filesystem: fs.FileSystem = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path.lstrip('/')}"

    def __truediv__(self, name: str | Path) -> "Remote":
        return Remote(self.scheme, f"{self.path}/{name}", self.filesystem)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> "Remote":
        """What it lies in."""
        return Remote(self.scheme, self.path.rpartition("/")[0], self.filesystem)

    def resolve(self) -> "Remote":
        """Return itself: a URL is absolute."""
        return self

    def exists(self) -> bool:
        """Tell whether there is such a file or folder."""
        with _named(self):
            return bool(self.filesystem.get_file_info(self.path).type != fs.FileType.NotFound)

    def read_bytes(self) -> bytes:
        """Read a file."""
        with _named(self), self.filesystem.open_input_stream(self.path) as stream:
            return bytes(stream.read())

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove a file."""
        try:
            with _named(self):
                self.filesystem.delete_file(self.path)
        except FileNotFoundError:
            if not missing_ok:
                raise


Place: TypeAlias = Path | Remote
"""A folder or file, wherever it lies."""


def place(location: str | Place) -> Place:
    """Read a path or URL as the user gives it.

    Args:
        location: A path; ``file://``; ``s3://bucket/folder``, whose query may hold what Arrow takes
            (``?region=...&endpoint_override=HOST:PORT&scheme=http``); or a URL of another scheme that Arrow or fsspec
            knows. Where no endpoint is given, that of the environment's ``AWS_ENDPOINT_URL`` holds.

    Raises:
        ConfigError: It is neither, no file system goes by that scheme, or the URL holds a password.
    """
    if isinstance(location, Path | Remote):
        return location
    if not isinstance(location, str):
        raise ConfigError(f"{location!r} is no folder; give a path or URL")
    if "://" not in location:
        return Path(location)
    parts = urlsplit(location)
    if parts.password is not None:
        raise ConfigError(
            f"the URL for {parts.scheme}://{parts.hostname or ''}{parts.path} holds a password, which would be stored"
            " with the results; leave it to the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    filesystem, path = _filesystem(location)
    return Remote(parts.scheme, path.rstrip("/"), filesystem)


def workspace(folder: Place) -> Path:
    """Return the folder of this machine for what runs leave beside their records; of a local study it is its own."""
    return folder if isinstance(folder, Path) else WORKSPACE / folder.scheme / folder.path.lstrip("/")


def sizes(folder: Place) -> dict[str, int]:
    """List the files in a folder, with their bytes; a folder that is not there has none.

    What is there all the while is listed; what comes or goes meanwhile may be.
    """
    if isinstance(folder, Remote):
        with _named(folder):
            found = folder.filesystem.get_file_info(fs.FileSelector(folder.path, allow_not_found=True))
        return {one.base_name: one.size or 0 for one in found if one.type == fs.FileType.File}
    listed: dict[str, int] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_file():  # whoever opened a named pipe would wait for ever
                        listed[entry.name] = entry.stat().st_size
                except FileNotFoundError:  # gone since
                    continue
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return listed


def require_file(path: Place) -> None:
    """Refuse what stands in a file's place and is none: whoever opened a named pipe would wait for ever.

    Raises:
        StoreError: It is there, and is no regular file.
    """
    if isinstance(path, Path) and path.exists() and not path.is_file():
        raise StoreError(f"{path} is no regular file; move it out of the study's folder")


def size_of(folder: Place) -> int:
    """Sum up the bytes of the files in and under a folder; what goes meanwhile is not counted."""
    if isinstance(folder, Remote):
        return sum(one.size or 0 for one in _under(folder))
    return sum(bytes_ for place, _, _ in os.walk(folder) for bytes_ in sizes(Path(place)).values())


def folders(folder: Place) -> list[Place]:
    """List the folders in a folder, by name."""
    if isinstance(folder, Path):
        return [*sorted(path for path in folder.glob("*/") if path.is_dir())]
    with _named(folder):
        found = folder.filesystem.get_file_info(fs.FileSelector(folder.path, allow_not_found=True))
    return [folder / name for name in sorted(one.base_name for one in found if one.type == fs.FileType.Directory)]


def remove(files: Iterable[Place]) -> None:
    """Remove files, those that are there; many at once where each takes a request."""
    listed = list(files)
    if all(isinstance(one, Path) for one in listed):
        for one in listed:
            one.unlink(missing_ok=True)
    else:
        together(lambda one: one.unlink(missing_ok=True), listed)


def together(call: Callable[[Place], _Result], places: Iterable[Place]) -> list[_Result]:
    """Call a function with each of some places, several at once; returns what it returned, in their order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(call, places))


def remove_all(folder: Place) -> None:
    """Remove a folder, if it is there, with all that is in and under it."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        remove(Remote(folder.scheme, one.path, folder.filesystem) for one in _under(folder))


def remove_unfinished(folder: Place, temporary: str = TEMPORARY) -> None:
    """Remove what killed writers left in and under a folder; call it only while no other process writes there."""
    if isinstance(folder, Path):
        for path in folder.rglob(f"{temporary}*"):
            path.unlink(missing_ok=True)
    elif folder.scheme not in _OBJECT_STORES:  # those show nothing of what was not completed
        for one in _under(folder):
            if one.base_name.startswith(temporary):
                folder.filesystem.delete_file(one.path)


def write_atomically(target: Place, content: Any, temporary: str = TEMPORARY) -> None:
    """Write a file so that a reader, or a crash, sees the whole of it or nothing.

    Args:
        target: The file.
        content: Bytes, or a buffer of them.
        temporary: How its name begins meanwhile, where it has another one.
    """
    if isinstance(target, Path):
        _write_local(target, content, temporary)
    else:
        # Closing a stream makes an object of what it holds, and an exception closes it; Ctrl-C is raised in the main
        # thread only, so in another one a put that has begun is always completed.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_write_remote, target, content, temporary).result()


def _write_local(path: Path, content: Any, temporary: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=temporary, dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.chmod(0o644)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush a rename to disk; only POSIX lets a folder be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_remote(target: Remote, content: Any, temporary: str) -> None:
    with _named(target):
        if target.scheme in _OBJECT_STORES:
            _put(target, content)
            return
        unfinished = target.parent / f"{temporary}{uuid4().hex}"
        target.filesystem.create_dir(target.parent.path, recursive=True)
        _put(unfinished, content)
        target.filesystem.move(unfinished.path, target.path)


def _put(target: Remote, content: Any) -> None:
    with target.filesystem.open_output_stream(target.path) as stream:
        stream.write(content)


def _under(folder: Remote) -> list[fs.FileInfo]:
    selector = fs.FileSelector(folder.path, allow_not_found=True, recursive=True)
    with _named(folder):
        return [one for one in folder.filesystem.get_file_info(selector) if one.type == fs.FileType.File]


@contextmanager
def _named(where: Remote) -> Iterator[None]:
    """Say where something went wrong, which messages of file systems leave out.

    Raises:
        StoreError: The file system cannot be reached, or refuses; a missing file stays a ``FileNotFoundError``.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"{where}: {reason}; check the address, that the bucket exists, and the credentials in the environment"
        ) from None


@lru_cache(maxsize=64)
def _filesystem(url: str) -> tuple[fs.FileSystem, str]:
    """Open a file system; returns it and the path within."""
    parts = urlsplit(url)
    try:
        if parts.scheme in _OBJECT_STORES:
            if not parts.netloc:
                raise ValueError("it names no bucket")
            if parts.scheme == "s3":  # one request a small file instead of three
                url = f"{url}{'&' if parts.query else '?'}allow_delayed_open=true"
            filesystem, path = fs.FileSystem.from_uri(url)
            return filesystem, str(path)
        import fsspec  # type: ignore[import-untyped]  # a quarter of a second that other schemes need not pay

        # What others wrote has to show.
        inner, path = fsspec.url_to_fs(url, use_listings_cache=False)
    except (ValueError, ImportError, OSError) as error:  # Arrow's errors of form are ValueErrors
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{parts.scheme}://{parts.netloc}{parts.path} cannot be used for results ({reason}); give a folder, or a"
            " URL such as s3://bucket/folder"
        ) from None
    return fs.PyFileSystem(fs.FSSpecHandler(inner)), str(path)
