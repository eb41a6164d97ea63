"""What happened on the machine meanwhile, from counters of the kernel that only grow.

They are read by the run's own process at the edges of what is timed, so that the difference belongs to exactly that.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.measure import cgroup
from bench.readings import Counters

_TASKS = Path("/proc/self/task")
_CPUS = Path("/sys/devices/system/cpu")
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Reading:
    """The counters at one instant; units as in :class:`bench.readings.Counters`."""

    at_s: float
    process_cpu_s: float
    waiting_s: float | None
    machine_busy_s: float | None
    stolen_s: float | None
    quota_throttled_s: float | None
    swapped_mib: float | None
    major_faults: int | None
    thermal_events: int | None


def read() -> Reading:
    """Read all counters now; takes about a millisecond, more with hundreds of processors."""
    busy_s, stolen_s = machine_cpu_s()
    return Reading(
        at_s=time.perf_counter(),
        process_cpu_s=time.process_time(),
        waiting_s=_waiting_s(),
        machine_busy_s=busy_s,
        stolen_s=stolen_s,
        quota_throttled_s=cgroup.throttled_s(),
        swapped_mib=_swapped_mib(),
        major_faults=_major_faults(),
        thermal_events=_thermal_events(),
    )


def between(first: Reading, last: Reading) -> Counters:
    """Tell what happened between two readings."""
    return Counters(
        wall_s=last.at_s - first.at_s,
        cpus=len(affinity()),
        quota_cpus=cgroup.cpu_quota(),
        process_cpu_s=last.process_cpu_s - first.process_cpu_s,
        waiting_s=_difference(first.waiting_s, last.waiting_s),
        machine_busy_s=_difference(first.machine_busy_s, last.machine_busy_s),
        stolen_s=_difference(first.stolen_s, last.stolen_s),
        quota_throttled_s=_difference(first.quota_throttled_s, last.quota_throttled_s),
        swapped_mib=_difference(first.swapped_mib, last.swapped_mib),
        major_faults=_count(first.major_faults, last.major_faults),
        thermal_events=_count(first.thermal_events, last.thermal_events),
    )


def affinity() -> tuple[int, ...]:
    """Numbers of the logical processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(psutil.cpu_count() or 1))


def usable_cpus() -> float:
    """Processors this process may use: those it may run on, or fewer where its container's share is less."""
    return min(float(len(affinity())), cgroup.cpu_quota() or float("inf"))


def machine_cpu_s() -> tuple[float | None, float | None]:
    """CPU seconds that everything has used on this process's processors since boot, and those that were stolen."""
    try:
        times = psutil.cpu_times(percpu=True)
    except (OSError, RuntimeError):  # a container may hide them
        return None, None
    usable = affinity()
    # Processors that are switched off, or not the container's, are left out of the list; where it holds as many as may
    # be used it holds those, and their places are not their numbers.
    mine = times if len(times) == len(usable) else [times[number] for number in usable if number < len(times)]
    if not mine:
        return None, None
    # user holds guest's time already, and nice guest_nice's; see proc(5).
    kinds = ("user", "nice", "system", "irq", "softirq")
    busy_s = sum(getattr(one, kind, 0.0) for one in mine for kind in kinds)
    stolen = [one.steal for one in mine if hasattr(one, "steal")]
    return busy_s, sum(stolen) if stolen else None


def _waiting_s() -> float | None:
    """Seconds the threads alive now have stood ready without a processor; Linux with schedstats."""
    waited_ns = 0
    if not _TASKS.exists():
        return None
    for task in _TASKS.iterdir():
        with suppress(OSError):  # a thread that has just ended
            told = (task / "schedstat").read_text(encoding="utf-8").split()
            if len(told) != 3:
                return None
            waited_ns += int(told[1])
    return waited_ns / 1e9


def _swapped_mib() -> float | None:
    try:
        swap = psutil.swap_memory()
    except (OSError, RuntimeError):
        return None
    return float(swap.sin + swap.sout) / _MIB


def _major_faults() -> int | None:
    if os.name != "posix":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def _thermal_events() -> int | None:
    counts = []
    for number in affinity():
        with suppress(OSError, ValueError):
            counts.append(
                int((_CPUS / f"cpu{number}" / "thermal_throttle" / "core_throttle_count").read_text(encoding="utf-8"))
            )
    return sum(counts) if counts else None


def _difference(first: float | None, last: float | None) -> float | None:
    # A thread that ended takes its waiting with it.
    return None if first is None or last is None else max(0.0, last - first)


def _count(first: int | None, last: int | None) -> int | None:
    return None if first is None or last is None else last - first
