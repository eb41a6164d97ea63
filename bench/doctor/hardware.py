"""What the hardware means for a timing: pure functions of readings, each of which gives a line with its faults."""

from collections.abc import Iterator

from bench.doctor.check import Check, Fault, gib
from bench.doctor.facts import Memory, Rapl, Torch
from bench.measure.environment import THREAD_VARIABLES
from bench.readings import Environment

LEAST_AVAILABLE_MIB = 2 * 1024
"""Memory below which torch, a small model and a batch of windows leave little room."""

_SWAP_MIB = 64  # a system may have put away a few pages long ago that nobody misses
_COUNTS = tuple(name for name in THREAD_VARIABLES if name.endswith("_NUM_THREADS"))


def processor(environment: Environment) -> Check:
    """Name the processor and what it can do; nothing of it can be mended."""
    return Check("processor", environment.cpu_model or "unknown")


def instructions(environment: Environment) -> Check:
    """Name the instruction sets that speed up matrix products."""
    return Check("instructions", environment.cpu_flags or "unknown")


def threads(environment: Environment, torch: Torch) -> Check:
    """Compare the threads that libraries would start with the processors they may use."""
    usable = min(environment.cpu_usable or 1, environment.cpu_quota or float("inf"))
    fitting = f"threads={max(1, int(usable))}"
    settings = dict(part.split("=", 1) for part in (environment.thread_settings or "").split() if "=" in part)
    faults = [
        Fault(f"{name}={settings[name]} is more than the {usable:g} usable processors", f"unset {name}, or {fitting}")
        for name in _COUNTS
        if settings.get(name, "").isdecimal() and int(settings[name]) > max(1, usable)
    ]
    if not faults and torch.threads is not None and torch.threads > max(1, usable):
        faults = [Fault(f"torch would start {torch.threads} threads on {usable:g} usable processors", fitting)]
    quota = "no quota" if environment.cpu_quota is None else f"quota {environment.cpu_quota:g}"
    value = f"{environment.cpu_usable} of {environment.cpu_cores} processors usable, {quota}"
    if torch.threads is not None:
        value += f"; torch would use {torch.threads}"
    if set_here := ", ".join(f"{name}={settings[name]}" for name in _COUNTS if name in settings):
        value += f" ({set_here})"
    return Check("threads", value, tuple(faults))


def clock(environment: Environment) -> Check:
    """Look at what sets the processors' clock."""
    governor = environment.cpu_governor
    if governor is None:
        return Check("clock", "set by the system, which does not tell how")
    fault = Fault(
        f"the governor {governor} changes the processors' clock as it sees fit",
        "sudo cpupower frequency-set -g performance",
    )
    return Check("clock", f"governor {governor}", () if governor == "performance" else (fault,))


def memory(environment: Environment, now: Memory) -> Check:
    """Look for room, and for swap, which takes pages out of the resident memory that is measured."""
    limit = environment.memory_limit_mib
    parts = [
        "RAM unknown" if environment.ram_mib is None else f"{gib(environment.ram_mib)} RAM",
        f"{gib(now.available_mib)} available",
        "no container limit" if limit is None else f"container limit {gib(limit)}",
        f"{gib(now.swap_used_mib)} of {gib(environment.swap_mib)} swap in use" if environment.swap_mib else "no swap",
    ]
    return Check("memory", ", ".join(parts), tuple(_memory_faults(now)))


def _memory_faults(now: Memory) -> Iterator[Fault]:
    if now.available_mib < LEAST_AVAILABLE_MIB:
        yield Fault(
            f"only {gib(now.available_mib)} of memory are available",
            "close other programs, or use decode.batch_size=1 model.dtype=bfloat16",
        )
    if now.swap_used_mib > _SWAP_MIB:
        fits = now.swap_used_mib < now.available_mib / 2  # what is swapped must find room
        yield Fault(
            f"{gib(now.swap_used_mib)} lie in swap, which slows runs and hides their memory",
            "sudo swapoff -a" if fits else "close other programs, then run: sudo swapoff -a",
        )


def memory_peak(now: Memory) -> Check:
    """Say which peak of memory a run can have."""
    if now.peak_resets:
        return Check("memory peak", "the kernel's own, after loading (peak_rss_source=vmhwm)")
    fault = Fault(
        "the kernel does not let a process reset its peak, so peak_rss_mib may be that of loading",
        "run on Linux, and outside the container",
    )
    return Check("memory peak", "includes loading (peak_rss_source=vmhwm_since_start)", (fault,))


def energy(rapl: Rapl) -> Check:
    """Say whether the energy of processors is measured."""
    if rapl is Rapl.refused:
        fault = Fault(
            "the processor's energy counters may not be read",
            "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj",
        )
        return Check("energy", "not measured: RAPL may not be read", (fault,))
    absent = "not measured for processors: no RAPL here, as in most virtual machines"
    return Check("energy", "measured by RAPL" if rapl is Rapl.readable else absent)
