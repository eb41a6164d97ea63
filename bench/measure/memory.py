"""Memory of this process, from the kernel's own counters."""

import ctypes
import os
import re
from contextlib import suppress
from pathlib import Path

import psutil

from bench.measure import cgroup

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_LIBC = ctypes.CDLL(None) if os.name == "posix" else None
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 6 * 1024 * 1024  # above the activations of a layer, which would be slow to map anew each time
_VMSTAT = Path("/proc/vmstat")
_ROLLUP = Path("/proc/self/smaps_rollup")
_MIB = 1024 * 1024
_READ_BYTES = 8 * _MIB


def kinds() -> dict[str, float | None]:
    """Tell the resident memory of this process by kind: fields of :class:`bench.readings.MemoryUse`.

    The kernel walks all the process's pages for it, which must not happen while anything is timed.
    """
    told: dict[str, float] = {}
    with suppress(OSError):  # proc(5), since Linux 4.14; the first line is no field
        for line in _ROLLUP.read_text(encoding="utf-8").splitlines()[1:]:
            name, size, _ = line.split()
            told[name.removesuffix(":")] = float(size) / 1024
    files_mib, shared_mib = _status_mib("RssFile"), _status_mib("RssShmem")  # the latter are files too: those of tmpfs
    return {
        "pss_mib": told.get("Pss"),
        "uss_mib": told["Private_Clean"] + told["Private_Dirty"] if told else None,
        "anonymous_mib": _status_mib("RssAnon"),
        "mapped_mib": None if files_mib is None or shared_mib is None else files_mib + shared_mib,
    }


def read_through(folder: Path) -> int:
    """Read the files of a folder once, so that the system holds them in memory as far as they fit; returns bytes."""
    total = 0
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while block := file.read(_READ_BYTES):
                    total += len(block)
    return total


def resident_mib() -> float | None:
    """Resident set of this process (VmRSS) in MiB; null where the kernel does not tell."""
    return _status_mib("VmRSS")


def peak_resident_mib() -> float | None:
    """Highest resident set since the start or the last :func:`reset_peak` (VmHWM) in MiB; null without /proc.

    It counts pages shared with the process server that this process was forked from.
    """
    return _status_mib("VmHWM")


def reset_peak() -> bool:
    """Let the kernel count the peak anew from here, by writing 5 to clear_refs; see proc(5).

    Returns:
        Whether it does; a container may forbid it, and other systems have no such thing.
    """
    try:
        _CLEAR_REFS.write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def bound_heap() -> None:
    """Let glibc take large blocks from the system one by one, from now on, and so give them back when they are freed.

    By default it learns to keep ever larger ones (mallopt(3), M_MMAP_THRESHOLD), and a heap that holds them breaks up:
    a run then needs half as much memory again, and more with every batch of another shape.
    """
    if _LIBC is not None and hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back_freed() -> None:
    """Hand memory that was freed back to the system, where the C library (glibc) can."""
    if _LIBC is not None and hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


def available_mib() -> float:
    """Memory that this process could still take without swapping, within the limit of its container, in MiB."""
    free = psutil.virtual_memory().available / _MIB
    left = cgroup.memory_left_mib()
    return free if left is None else min(free, left)


def oom_kills() -> int | None:
    """How often this kernel has killed a process for want of memory since it booted; null where it does not tell.

    The counter of proc(5)'s ``/proc/vmstat`` covers kills within a container's memory limit too.
    """
    if not _VMSTAT.exists():
        return None
    found = re.search(r"^oom_kill (\d+)$", _VMSTAT.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) if found else None


def _status_mib(field: str) -> float | None:
    if not _STATUS.exists():
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) / 1024 if found else None
