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
_THROTTLED = {"throttled_usec": 1e-6, "throttled_time": 1e-9}  # version 2, version 1
_NO_LIMIT_MIB = 2**40  # version 1 writes "no limit" as the largest multiple of a page, 8 EiB


def memory_limit_mib() -> float | None:
    """Memory the container may use in MiB; null without a limit."""
    limits = [*_numbers("memory", "memory.max"), *_numbers("memory", "memory.limit_in_bytes")]
    return min((limit / _MIB for limit in limits if limit / _MIB < _NO_LIMIT_MIB), default=None)


def memory_left_mib() -> float | None:
    """Memory the container may still take in MiB, with page cache counted as taken; null without a limit."""
    left = []
    for folder in _groups("memory"):
        for limit, in_use in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            with suppress(OSError, ValueError):  # a group above holds other groups' memory too
                left.append(
                    (
                        float((folder / limit).read_text(encoding="utf-8"))
                        - float((folder / in_use).read_text(encoding="utf-8"))
                    )
                    / _MIB
                )
    return min((mib for mib in left if mib < _NO_LIMIT_MIB), default=None)


def memory_peak_mib() -> float | None:
    """Highest memory of the process's group since it was made, in MiB; null where the kernel does not tell."""
    found = [*_numbers("memory", "memory.peak"), *_numbers("memory", "memory.max_usage_in_bytes")]
    return found[0] / _MIB if found else None


def cpu_quota() -> float | None:
    """Processors' worth of time the container may use; null without a limit."""
    quotas = []
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError):  # version 2; "max" is no limit
            share, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
            quotas.append(float(share) / float(period))
        with suppress(OSError, ValueError):  # version 1; -1 is no limit
            share, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period")
            )
            quotas.append(float(share) / float(period))
    return min((quota for quota in quotas if quota > 0), default=None)


def throttled_s() -> float | None:
    """Seconds the process's groups have been held back for having used up their share of CPU, summed over processors.

    A group counts what its own quota held back and not what that of a group above it did, so all of them are added up.
    Null where the kernel does not tell.
    """
    held_back = []
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError):
            told = dict(line.split() for line in (folder / "cpu.stat").read_text(encoding="utf-8").splitlines())
            held_back += [float(told[name]) * unit_s for name, unit_s in _THROTTLED.items() if name in told]
    return sum(held_back) if held_back else None


def _numbers(controller: str, name: str) -> Iterator[float]:
    """Read a file of the process's group and of those above it, where it is there and holds a number."""
    for folder in _groups(controller):
        with suppress(OSError, ValueError):
            yield float((folder / name).read_text(encoding="utf-8"))


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the process's group and of those above it."""
    with suppress(OSError):
        for line in _SELF.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                mount = _MOUNT
            elif controller in controllers.split(","):
                mount = _MOUNT / controllers if (_MOUNT / controllers).is_dir() else _MOUNT / controller
            else:
                continue
            own = mount / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(mount) and folder.is_dir())
