"""Looking at a process from outside, so that looking costs the process nothing."""

import psutil

from bench.measure.gpu import GpuProbe
from bench.records import Sample

_MIB = 1024 * 1024


class ProcessSampler:
    """Samples CPU, memory and GPU of one process.

    Args:
        pid: The process.
        gpu: The GPU to look at as well, if any.
    """

    def __init__(self, pid: int, gpu: GpuProbe | None) -> None:
        self._pid = pid
        self._gpu = gpu
        self._last: tuple[float, float] | None = None
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
        cpu_s = times.user + times.system
        cpu_pct = None
        if self._last is not None and t_s > self._last[0]:
            cpu_pct = 100 * (cpu_s - self._last[1]) / (t_s - self._last[0])
        self._last = (t_s, cpu_s)
        if self._gpu is None:
            return Sample(t_s, phase, cpu_pct, rss_mib)
        gpu = self._gpu.sample(self._pid)
        return Sample(
            t_s, phase, cpu_pct, rss_mib, gpu.util_pct, gpu.memory_mib, gpu.process_mib, gpu.power_w
        )  # fmt: skip
