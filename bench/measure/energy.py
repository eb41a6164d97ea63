"""Energy, from counters that the hardware keeps: RAPL of the processor packages, NVML of the GPU.

They count everything that runs on the device, idle power included, so they tell what the run cost the machine and not
what it alone caused.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.measure.gpu import GpuProbe
from bench.readings import EnergyUse, Sample

_POWERCAP = Path("/sys/class/powercap")
_PACKAGES = "intel-rapl:[0-9]*"  # AMD's processors have the same names; intel-rapl:0:0 and so on are parts of a package


class EnergyMeter:
    """Reads how much energy was used since it was made.

    Args:
        gpu: The run's GPU, if it has one.
        powercap: Folder of the kernel's counters.
    """

    def __init__(self, gpu: GpuProbe | None, powercap: Path = _POWERCAP) -> None:
        self._gpu = gpu
        self._powercap = powercap
        self._packages = [_Package(folder) for folder in sorted(powercap.glob(_PACKAGES)) if _is_package(folder)]
        self._refused = [package.folder for package in self._packages if package.read_j() is None]
        self._gpu_start_j = self._gpu_counter_j()

    def cpu_j(self) -> float | None:
        """Joules of the processor packages; it must be read more often than the counters wrap, which is minutes."""
        if not self._packages or self._refused:
            return None
        read = [package.read_j() for package in self._packages]
        return None if None in read else sum(joules for joules in read if joules is not None)

    def gpu_j(self) -> float | None:
        """Joules of the GPU's board."""
        now = self._gpu_counter_j()
        return None if now is None or self._gpu_start_j is None else now - self._gpu_start_j

    def used(self, samples: Sequence[Sample], start_s: float, stop_s: float) -> EnergyUse:
        """Tell what was used between two instants of the timeline."""
        cpu_j = _between(samples, lambda sample: sample.cpu_energy_j, start_s, stop_s)
        gpu_j = _between(samples, lambda sample: sample.gpu_energy_j, start_s, stop_s)
        missing = [self._why_no_cpu()] if cpu_j is None else []
        if self._gpu is not None and gpu_j is None:
            missing.append(
                "the GPU's driver keeps no energy counter (it does from Volta on)"
                if self._gpu_start_j is None
                else "the timed passes were too short for a sample of the GPU on either side; raise measure.sample_hz"
            )
        return EnergyUse(cpu_j, gpu_j, "; ".join(missing) or None)

    def _why_no_cpu(self) -> str:
        if not self._packages:
            return f"the processor's energy counters (RAPL) are not in {self._powercap}, as in most virtual machines"
        if self._refused:
            return (
                f"{self._refused[0]}/energy_uj may not be read; sudo chmod a+r {self._powercap}/intel-rapl:*/energy_uj"
            )
        return "the timed passes were too short for a sample on either side; raise measure.sample_hz"

    def _gpu_counter_j(self) -> float | None:
        return None if self._gpu is None else self._gpu.energy_j()


def _is_package(folder: Path) -> bool:
    """Tell a package from a part of one, and from ``psys``, which some laptops count the whole board with."""
    try:
        name = (folder / "name").read_text(encoding="utf-8").strip()
    except OSError:
        name = ""
    return folder.name.count(":") == 1 and name != "psys"


class _Package:
    """One package's counter, made to go on where it wraps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._total_uj = 0
        self._last_uj: int | None = None

    def read_j(self) -> float | None:
        """Joules since the first reading; null where the counter may not be read."""
        try:
            now_uj = int((self.folder / "energy_uj").read_text(encoding="utf-8"))
            if self._last_uj is not None and now_uj < self._last_uj:
                self._total_uj += int((self.folder / "max_energy_range_uj").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        self._total_uj += now_uj - (now_uj if self._last_uj is None else self._last_uj)
        self._last_uj = now_uj
        return self._total_uj / 1e6


def _between(
    samples: Sequence[Sample], counter: Callable[[Sample], float | None], start_s: float, stop_s: float
) -> float | None:
    """Difference of a growing counter between two instants, read off the straight lines between samples."""
    known = [(sample.t_s, value) for sample in samples if (value := counter(sample)) is not None]
    if not known or known[0][0] > start_s or known[-1][0] < stop_s:
        return None
    times, values = zip(*known, strict=True)
    start, stop = np.interp([start_s, stop_s], times, values)
    return float(stop - start)
