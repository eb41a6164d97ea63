"""One driver a study: a lock on this machine, a lease in an object store.

On this machine it is a file lock, which the system frees when its holder ends, however that ends. An object store has
no locks. There, whoever wants the study writes a lease of its own and then looks for others; where there are others it
takes its own back. Of two that come at once each sees the other's, since what was put is listed from then on (as S3,
GCS and Azure promise), so both may withdraw and never do both go on. A holder renews its lease; one that was not
renewed for a while is taken for a killed holder's. So a holder that stood still for longer than that, as a suspended
machine does, may have lost its lease to another: :meth:`Claim.require` tells it so before it writes its next run.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from bench.errors import StoreError
from bench.storage import Place, Remote, remove, sizes, write_atomically

Told = Callable[[str], None]
"""Takes a line for the user."""

LOCK = ".lock"
"""Name of the claim of whoever runs or scores a study."""

_RECORDS = ("runs", "utterances", "timeline", "curves", "scores", "damaged", "logs")

_LEASE = ".json"

RENEWED_EVERY_S = 10.0
EXPIRES_AFTER_S = 60.0


class Claim:
    """What the holder of a study has."""

    def require(self) -> None:
        """Make sure that the claim still holds.

        Raises:
            StoreError: It was lost.
        """


class _Lock(Claim):
    """A locked file: whoever deletes the study's folder takes it away, and not the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locked = path.stat()

    def require(self) -> None:
        """As :meth:`Claim.require`."""
        try:
            kept = os.path.samestat(self._path.stat(), self._locked)
        except (FileNotFoundError, NotADirectoryError):
            kept = False
        if not kept:
            raise StoreError(
                f"{self._path.parent} was deleted or moved while this process worked on it; run the same command again"
            )


@contextmanager
def claimed(
    folder: Place, cure: str, name: str = LOCK, doing: str = "running the study", told: Told = lambda _: None
) -> Iterator[Claim]:
    """Keep other processes from the same work on a study's folder, which is made where it is not there.

    Args:
        folder: The study's folder.
        cure: What to do where another process is at it.
        name: Name of the work.
        doing: The work in words.
        told: Told what is waited for.

    Raises:
        StoreError: Another process is at it, or a link in the folder would have it write elsewhere.
    """
    if isinstance(folder, Remote):
        lease = _Lease(folder / name, told)
        if (holder := lease.take()) is not None:
            raise StoreError(f"another process is {doing} in {folder} ({holder}); {cure}")
        try:
            yield lease
        finally:
            lease.give_back()
        return
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_links(folder)
    try:
        with FileLock(folder / name, timeout=0):
            yield _Lock(folder / name)
    except Timeout:
        raise StoreError(f"another process is {doing} in {folder}; {cure}") from None


def _refuse_links(folder: Path) -> None:
    """Refuse a study in which a link stands for a folder of its records: files elsewhere would be moved or removed.

    Nobody who keeps results on another disk needs one: there, the study's folder or the one above is the link.
    """
    for name in _RECORDS:
        if (folder / name).is_symlink():
            raise StoreError(
                f"{folder / name} is a link, through which files outside the study would be changed; put the folder it"
                " leads to in its place"
            )


class _Lease(Claim):
    """A file that its holder writes anew again and again, in a folder where each has one of its own."""

    def __init__(self, folder: Remote, told: Told) -> None:
        self._folder = folder
        self._own = folder / f"{uuid4().hex}{_LEASE}"
        self._told = told
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._who = f"on {platform.node()}, process {os.getpid()}, since {now}"
        self._renewals = 0
        self._lost = False
        self._ended = threading.Event()
        self._renewer = threading.Thread(target=self._keep, name="renew-lease", daemon=True)

    def take(self) -> str | None:
        """Take the lease, after that of a killed holder has expired where there is one; returns who has it instead."""
        for _ in range(2):
            self._renew()
            others = [name for name in sizes(self._folder) if name.endswith(_LEASE) and name != self._own.name]
            if not others:
                self._renewer.start()
                return None
            remove([self._own])
            for name in others:
                if (holder := self._living(self._folder / name)) is not None:
                    return holder
        return "it began at the same moment as this one"

    def give_back(self) -> None:
        """Let others have it."""
        self._ended.set()
        self._renewer.join()
        with suppress(StoreError):  # it expires anyhow
            remove([self._own])

    def require(self) -> None:
        """As :meth:`Claim.require`."""
        if self._lost:
            raise StoreError(
                f"{self._folder.parent}: this process stood still for so long that another one may have taken over; run"
                " the same command again once that has ended"
            )

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED_EVERY_S):
            with suppress(StoreError, OSError):  # a store that cannot be reached for a moment
                if not self._own.exists():
                    self._lost = True
                    return
                self._renew()

    def _renew(self) -> None:
        self._renewals += 1
        write_atomically(self._own, json.dumps({"who": self._who, "renewals": self._renewals}).encode())

    def _living(self, lease: Remote) -> str | None:
        """Say who holds another lease; null once it is gone. One that is not renewed for long enough is removed."""
        first = _content(lease)
        if first is not None:
            study = lease.parent.parent
            self._told(f"{study} is claimed; waiting up to {EXPIRES_AFTER_S:.0f} s to see whether it still is")
        until_s = time.monotonic() + EXPIRES_AFTER_S
        while time.monotonic() < until_s:
            now = _content(lease)
            if now is None:
                return None
            if now != first:
                return _holder(now)
            time.sleep(RENEWED_EVERY_S / 10)
        remove([lease])
        return None


def _holder(content: bytes) -> str:
    try:
        return str(json.loads(content)["who"])
    except (ValueError, KeyError, TypeError):
        return "which does not tell its name"


def _content(lease: Remote) -> bytes | None:
    try:
        return lease.read_bytes()
    except FileNotFoundError:
        return None
