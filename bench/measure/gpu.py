"""What NVML says of one NVIDIA GPU, from outside the process that uses it.

The driver asks NVML only, never torch: initialising CUDA in the driver or in the process server would break the
processes forked from it.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

_MIB = 1024 * 1024
_Answer = TypeVar("_Answer")


# Reasons of NVML for a clock below what was asked; idleness and set clocks are none of them.
_SLOWDOWNS = {
    "hw_slowdown": pynvml.nvmlClocksEventReasonHwSlowdown,
    "hw_thermal": pynvml.nvmlClocksEventReasonHwThermalSlowdown,
    "hw_power_brake": pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
    "sw_thermal": pynvml.nvmlClocksEventReasonSwThermalSlowdown,
    "power_cap": pynvml.nvmlClocksEventReasonSwPowerCap,
}


@dataclass(frozen=True)
class GpuSample:
    """One look at the GPU; what the driver does not support is null. Fields as in :class:`bench.readings.Sample`."""

    util_pct: float | None
    memory_mib: float | None
    process_mib: float | None
    processes: int | None
    power_w: float | None
    temperature_c: float | None
    clock_mhz: float | None
    memory_clock_mhz: float | None
    slowdown: str | None


class GpuProbe:
    """Watches one GPU.

    Use :func:`open_probe` to make one for a run, :func:`list_gpus` for all.
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

    @property
    def cuda(self) -> str | None:
        """Highest CUDA version the driver knows, such as ``12.4``."""
        version = _asked(lambda: int(pynvml.nvmlSystemGetCudaDriverVersion()))
        return None if version is None else f"{version // 1000}.{version % 1000 // 10}"

    @property
    def memory_total_mib(self) -> float | None:
        """Memory of the device."""
        return _asked(lambda: pynvml.nvmlDeviceGetMemoryInfo(self._handle).total / _MIB)

    def energy_j(self) -> float | None:
        """Energy of the board since the driver was loaded."""
        return _asked(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000)

    def sample(self, pid: int) -> GpuSample:
        """Look at the GPU now; ``pid`` is the process whose share of the memory is wanted."""
        processes = _asked(lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        return GpuSample(
            util_pct=_asked(lambda: float(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)),
            memory_mib=_asked(lambda: pynvml.nvmlDeviceGetMemoryInfo(self._handle).used / _MIB),
            process_mib=_process_mib(processes or [], pid),
            processes=None if processes is None else len(processes),
            power_w=_asked(lambda: pynvml.nvmlDeviceGetPowerUsage(self._handle) / 1000),
            temperature_c=_asked(
                lambda: float(pynvml.nvmlDeviceGetTemperature(self._handle, pynvml.NVML_TEMPERATURE_GPU))
            ),
            clock_mhz=_asked(lambda: float(pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_SM))),
            memory_clock_mhz=_asked(lambda: float(pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_MEM))),
            slowdown=_asked(self._slowdown),
        )

    def _slowdown(self) -> str:
        try:
            reasons = pynvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle)
        except pynvml.NVMLError_FunctionNotFound:  # its name in drivers before 535
            reasons = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle)
        return "+".join(name for name, bit in _SLOWDOWNS.items() if reasons & bit)


def open_probe(device: str) -> GpuProbe | None:
    """Open the GPU that a run's ``device`` setting means; null for other devices and where NVML is absent."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return None
    return _asked(lambda: GpuProbe(_handle(int(index or 0))))


def list_gpus() -> list[GpuProbe]:
    """Open every GPU of this machine; none where NVML is absent."""

    def found() -> list[GpuProbe]:
        pynvml.nvmlInit()
        return [GpuProbe(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(pynvml.nvmlDeviceGetCount())]

    return _asked(found) or []


def _process_mib(processes: Sequence[Any], pid: int) -> float | None:
    for process in processes:
        if process.pid == pid and process.usedGpuMemory is not None:
            return float(process.usedGpuMemory / _MIB)
    return None


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
