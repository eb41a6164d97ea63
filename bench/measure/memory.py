"""Memory of this process, from the kernel's own counters."""

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_VMSTAT = Path("/proc/vmstat")


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
        _CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def oom_kills() -> int | None:
    """How often this kernel has killed a process for want of memory since it booted; null where it does not tell.

    The counter of proc(5)'s ``/proc/vmstat`` covers kills within a container's memory limit too.
    """
    if not _VMSTAT.exists():
        return None
    found = re.search(r"^oom_kill (\d+)$", _VMSTAT.read_text(), re.MULTILINE)
    return int(found[1]) if found else None


def _status_mib(field: str) -> float | None:
    if not _STATUS.exists():
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else None
