"""What NVML says of one NVIDIA GPU, from outside the process that uses it.

The driver asks NVML only, never torch: initialising CUDA in the driver or in the process server would break the
processes forked from it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

_MIB = 1024 * 1024
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class GpuSample:
    """One look at the GPU; what the driver does not support is null.

    Attributes:
        util_pct: Share of the last sampling period in which a kernel ran, all processes.
        memory_mib: Memory in use on the device, all processes.
        process_mib: Memory ascribed to the watched process; null in a container that hides process ids.
        power_w: Power draw of the board.
    """

    util_pct: float | None
    memory_mib: float | None
    process_mib: float | None
    power_w: float | None


class GpuProbe:
    """Watches the GPU behind a CUDA device name.

    Use :func:`open_probe` to make one.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @property
    def name(self) -> str | None:
        """Name of the GPU."""
        return _asked(lambda: str(pynvml.nvmlDeviceGetName(self._handle)))

    @property
    def driver(self) -> str | None:
        """Version of the GPU's driver."""
        return _asked(lambda: str(pynvml.nvmlSystemGetDriverVersion()))

    def sample(self, pid: int) -> GpuSample:
        """Look at the GPU now; ``pid`` is the process whose share of the memory is wanted."""
        return GpuSample(
            util_pct=_asked(lambda: float(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)),
            memory_mib=_asked(lambda: pynvml.nvmlDeviceGetMemoryInfo(self._handle).used / _MIB),
            process_mib=_asked(lambda: self._process_mib(pid)),
            power_w=_asked(lambda: pynvml.nvmlDeviceGetPowerUsage(self._handle) / 1000),
        )

    def _process_mib(self, pid: int) -> float | None:
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle):
            if process.pid == pid and process.usedGpuMemory is not None:
                return float(process.usedGpuMemory / _MIB)
        return None


def open_probe(device: str) -> GpuProbe | None:
    """Open the GPU that a run's ``device`` setting means; null for other devices and where NVML is absent."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return None
    return _asked(lambda: GpuProbe(_handle(int(index or 0))))


def _handle(index: int) -> Any:
    pynvml.nvmlInit()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return pynvml.nvmlDeviceGetHandleByIndex(index)
    # CUDA numbers the listed devices from 0, by their place in the list; NVML numbers all of them. An entry may also be
    # a name such as GPU-8932f937-d72c-4106-c12f-20bd9faed9f6.
    chosen = [part.strip() for part in listed.split(",") if part.strip()][index]
    if chosen.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(chosen))
    return pynvml.nvmlDeviceGetHandleByUUID(chosen)


def _asked(question: Callable[[], _Answer]) -> _Answer | None:
    """Answer null where NVML is missing or refuses: a value that cannot be had is no reason to lose a run."""
    try:
        return question()
    except (pynvml.NVMLError, IndexError):
        return None
