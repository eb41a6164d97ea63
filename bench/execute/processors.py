"""Processors for one run each: runs on the same machine, of whatever study, are bound to disjoint ones.

Ray counts processors and binds nobody to any. Who takes one here holds a lock on a file that stands for it, which the
kernel gives back when the holder is gone, however it went: nothing is left to be tidied up.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.measure.counters import affinity

_TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Held:
    """Processors that are held.

    Attributes:
        cpus: Their numbers; null where too few were free, or the system binds nobody.
        others: How many processors others held at the beginning.
        number: How many holders there had been before, since the folder was made.
        folder: Where the locks are; null where nobody can be bound.
    """

    cpus: tuple[int, ...] | None
    others: int = 0
    number: int = 0
    folder: Path | None = None

    def company(self) -> bool:
        """Tell whether anybody else has held processors since these were taken, or does so now."""
        return self.others > 0 or (self.folder is not None and _arrivals(self.folder) > self.number + 1)


@contextmanager
def held(count: int, folder: Path | None = None) -> Iterator[Held]:
    """Hold so many processors of those that this process may use.

    Those that share a core with another come last, so that runs meet in a core only when the machine is full.

    Args:
        count: How many.
        folder: Where the locks are; null is a folder of this machine that belongs to the user.
    """
    folder = folder or _folder()
    if folder is None or not hasattr(os, "sched_setaffinity"):
        yield Held(None)
        return
    with ExitStack() as stack:
        taken: list[int] = []
        with FileLock(folder / "lock"):
            others = 0
            for cpu in sorted(affinity(), key=lambda cpu: (_rank(cpu), cpu)):
                lock = FileLock(folder / f"{cpu}.lock")
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    others += 1
                    continue
                if len(taken) < count:
                    stack.callback(lock.release)
                    taken.append(cpu)
                else:
                    lock.release()
            number = _arrivals(folder)
            (folder / "arrivals").write_text(str(number + 1), encoding="utf-8")
        enough = len(taken) == count
        yield Held(tuple(sorted(taken)) if enough else None, others, number, folder)


def _arrivals(folder: Path) -> int:
    try:
        return int((folder / "arrivals").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # nobody yet, or a machine that went down in the middle of writing it
        return 0


def _folder() -> Path | None:
    """Make a folder of this user, on this machine and not on a disk that it shares; null where none can be.

    Whoever else may write to the folder for temporary files could have put something in its place.
    """
    if not hasattr(os, "getuid"):
        return None
    folder = Path(tempfile.gettempdir()) / f"asr-sweep-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        seen = folder.lstat()
    except OSError:
        return None
    return folder if seen.st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink() else None


def _rank(cpu: int) -> int:
    """Tell how many processors of a lower number share a core with this one; 0 where the system does not tell."""
    try:
        told = (_TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="utf-8")
        siblings = [number for part in told.split(",") for number in _span(part)]
    except (OSError, ValueError):
        return 0
    return sum(number < cpu for number in siblings)


def _span(part: str) -> range:
    first, _, last = part.strip().partition("-")
    return range(int(first), int(last or first) + 1)
