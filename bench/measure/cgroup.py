"""What a container allows and counts: Linux control groups, version 2 and version 1.

A group's limits bind all groups below it, so the least of a process's own group and those above it counts. Within a
container the path that ``/proc/self/cgroup`` tells often lies outside what is mounted; the mount's root is then the
container's own group.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_SELF = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
_MIB = 1024 * 1024
_NO_LIMIT_MIB = 2**40  # version 1 writes "no limit" as the largest multiple of a page, 8 EiB


def memory_limit_mib() -> float | None:
    """Memory the container may use in MiB; null without a limit."""
    limits = [*_numbers("memory", "memory.max"), *_numbers("memory", "memory.limit_in_bytes")]
    return min((limit / _MIB for limit in limits if limit / _MIB < _NO_LIMIT_MIB), default=None)


def memory_in_use_mib() -> float | None:
    """Memory that counts against the limit now, page cache too, in MiB; null where the kernel does not tell."""
    found = [*_numbers("memory", "memory.current"), *_numbers("memory", "memory.usage_in_bytes")]
    return found[0] / _MIB if found else None


def memory_peak_mib() -> float | None:
    """Highest memory of the process's group since it was made, in MiB; null where the kernel does not tell."""
    found = [*_numbers("memory", "memory.peak"), *_numbers("memory", "memory.max_usage_in_bytes")]
    return found[0] / _MIB if found else None


def cpu_quota() -> float | None:
    """Processors' worth of time the container may use; null without a limit."""
    quotas = []
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError):  # version 2; "max" is no limit
            share, period = (folder / "cpu.max").read_text().split()
            quotas.append(float(share) / float(period))
        with suppress(OSError, ValueError):  # version 1; -1 is no limit
            share, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            quotas.append(float(share) / float(period))
    return min((quota for quota in quotas if quota > 0), default=None)


def throttled_s() -> float | None:
    """Seconds the group has been held back for having used up its share of CPU; null where the kernel does not tell."""
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError):
            told = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
            if "throttled_usec" in told:
                return float(told["throttled_usec"]) / 1e6
            if "throttled_time" in told:  # version 1, in nanoseconds
                return float(told["throttled_time"]) / 1e9
    return None


def _numbers(controller: str, name: str) -> Iterator[float]:
    """Read a file of the process's group and of those above it, where it is there and holds a number."""
    for folder in _groups(controller):
        with suppress(OSError, ValueError):
            yield float((folder / name).read_text())


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the process's group and of those above it."""
    with suppress(OSError):
        for line in _SELF.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                mount = _MOUNT
            elif controller in controllers.split(","):
                mount = _MOUNT / controllers if (_MOUNT / controllers).is_dir() else _MOUNT / controller
            else:
                continue
            own = mount / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(mount) and folder.is_dir())
