"""Looking at a process from outside, so that looking costs the process nothing."""

import math
from contextlib import suppress
from typing import Any

import psutil

from bench.measure.counters import machine_cpu_s
from bench.measure.energy import EnergyMeter
from bench.measure.gpu import GpuProbe
from bench.readings import Sample

_MIB = 1024 * 1024
_SHORTEST_SHARE_S = 0.05  # CPU time comes in ticks of 10 ms, which make nonsense of shares of shorter times
_SLOW_PERIOD_S = 1.0  # for what takes milliseconds to find out on a machine with many processors or processes


class ProcessSampler:
    """Samples one process, what it started, the machine and the GPU.

    Args:
        pid: The process.
        gpu: The GPU to look at as well, if any.
        energy: Counts the energy of the run.
    """

    def __init__(self, pid: int, gpu: GpuProbe | None, energy: EnergyMeter) -> None:
        self._pid = pid
        self._gpu = gpu
        self._energy = energy
        self._last: tuple[float, float, float | None, float | None] | None = None
        self._next_slow_s = -math.inf
        try:
            self._process: psutil.Process | None = psutil.Process(pid)
        except psutil.NoSuchProcess:
            self._process = None

    def sample(self, t_s: float, phase: str) -> Sample | None:
        """Look at the process now; null once it is gone.

        Args:
            t_s: Now, in seconds on the run's clock.
            phase: What the process says it is doing.
        """
        if self._process is None:
            return None
        try:
            with self._process.oneshot():
                rss_mib = self._process.memory_info().rss / _MIB
                times = self._process.cpu_times()
                if self._process.status() == psutil.STATUS_ZOMBIE:  # over, but not yet waited for
                    return None
        except psutil.Error:
            return None
        cpu_pct, machine_cpu_pct, stolen_pct = self._shares(t_s, times.user + times.system)
        slow: dict[str, Any] = {}
        if t_s >= self._next_slow_s:
            self._next_slow_s = t_s + _SLOW_PERIOD_S
            slow = {**self._descendants(), "cpu_mhz": _cpu_mhz()}
        return Sample(
            t_s=t_s,
            phase=phase,
            cpu_pct=cpu_pct,
            rss_mib=rss_mib,
            machine_cpu_pct=machine_cpu_pct,
            stolen_pct=stolen_pct,
            cpu_energy_j=self._energy.cpu_j(),
            **slow,
            **({} if self._gpu is None else self._gpu_fields(self._gpu)),
        )

    def _shares(self, t_s: float, cpu_s: float) -> tuple[float | None, float | None, float | None]:
        """Percentages since they were last told, of the process, the machine, and what was stolen."""
        last = self._last
        if last is not None and t_s - last[0] < _SHORTEST_SHARE_S:
            return None, None, None
        now = self._last = (t_s, cpu_s, *machine_cpu_s())
        if last is None:
            return None, None, None
        passed_s = t_s - last[0]
        process, machine, stolen = (
            None if new is None or old is None else 100 * (new - old) / passed_s
            for new, old in zip(now[1:], last[1:], strict=True)
        )
        return process, machine, stolen

    def _descendants(self) -> dict[str, Any]:
        """Count the processes it started, and add up their memory."""
        assert self._process is not None
        try:
            children = self._process.children(recursive=True)
        except psutil.Error:
            return {}
        resident_mib = []
        for child in children:
            with suppress(psutil.Error):  # it has just ended
                resident_mib.append(child.memory_info().rss / _MIB)
        return {"descendants": len(resident_mib), "descendants_rss_mib": sum(resident_mib)}

    def _gpu_fields(self, gpu: GpuProbe) -> dict[str, Any]:
        seen = gpu.sample(self._pid)
        return {
            "gpu_util_pct": seen.util_pct,
            "gpu_memory_mib": seen.memory_mib,
            "gpu_process_mib": seen.process_mib,
            "gpu_processes": seen.processes,
            "gpu_power_w": seen.power_w,
            "gpu_energy_j": self._energy.gpu_j(),
            "gpu_temperature_c": seen.temperature_c,
            "gpu_clock_mhz": seen.clock_mhz,
            "gpu_memory_clock_mhz": seen.memory_clock_mhz,
            "gpu_slowdown": seen.slowdown,
        }


def _cpu_mhz() -> float | None:
    try:
        frequency = psutil.cpu_freq()
    except (OSError, RuntimeError, NotImplementedError):  # not on every system, and containers hide it
        return None
    return float(frequency.current) if frequency is not None and frequency.current else None
