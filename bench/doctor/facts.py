"""What the doctor reads off a machine, beside :class:`bench.readings.Environment`. Null is what cannot be found out."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bench.readings import Counters


@dataclass(frozen=True)
class Torch:
    """The installed torch, as a process of its own told.

    Attributes:
        threads: Threads it uses within an operation unless told otherwise.
        cuda: CUDA version it was built for.
        gpus: NVIDIA GPUs it can use here.
        mps: Whether it can use Apple's GPU here.
        failure: Why it could not be asked.
    """

    threads: int | None = None
    cuda: str | None = None
    gpus: int = 0
    mps: bool = False
    failure: str | None = None


@dataclass(frozen=True)
class Gpu:
    """One GPU, as NVML tells; units as in :class:`bench.readings.Sample`."""

    name: str | None = None
    driver: str | None = None
    cuda: str | None = None
    memory_total_mib: float | None = None
    memory_mib: float | None = None
    util_pct: float | None = None
    processes: int | None = None
    slowdown: str | None = None


@dataclass(frozen=True)
class Memory:
    """Memory now.

    Attributes:
        available_mib: What a run could still take, within the container's limit.
        swap_used_mib: What lies in swap.
        peak_resets: Whether the kernel lets a process count its peak anew.
    """

    available_mib: float
    swap_used_mib: float = 0.0
    peak_resets: bool = True


class Rapl(StrEnum):
    """The processor's energy counters."""

    readable = "readable"
    refused = "refused"
    absent = "absent"


@dataclass(frozen=True)
class Folder:
    """A folder to be written to; where it does not exist yet, the one it would be made in is looked at."""

    path: Path
    free_mib: float
    writable: bool = True


@dataclass(frozen=True)
class Asset:
    """Something that ordinary packages bring along.

    Attributes:
        name: What it is called.
        extra: The extra of this project that installs it.
        cached: Whether it was built already.
        lacking: Packages to build it from that are not installed.
    """

    name: str
    extra: str
    cached: bool = False
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hub:
    """The model hub.

    Attributes:
        endpoint: Its address.
        offline: Whether the user has forbidden to ask it.
        failure: Why it did not answer.
    """

    endpoint: str
    offline: bool = False
    failure: str | None = None


@dataclass(frozen=True)
class Busy:
    """CPU time that another process used during the probe, as a share of one processor."""

    name: str
    pid: int
    share: float


@dataclass(frozen=True)
class Probe:
    """The same work, again and again.

    Attributes:
        passes_s: Seconds of each pass, in order.
        counters: What happened on the machine meanwhile.
        busiest: The other processes that ran meanwhile, the busiest first; those of other containers are not seen.
    """

    passes_s: tuple[float, ...]
    counters: Counters
    busiest: tuple[Busy, ...] = ()


@dataclass(frozen=True)
class Machine:
    """All that is read before the probe."""

    torch: Torch
    gpus: tuple[Gpu, ...]
    memory: Memory
    rapl: Rapl
    cache: Folder
    results: Folder
    model: Asset
    recordings: Asset
    hub: Hub
