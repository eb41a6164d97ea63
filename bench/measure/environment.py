"""Where a run takes place: hardware, operating system, limits, versions."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil

from bench.measure import cgroup
from bench.measure.counters import affinity
from bench.readings import Environment

_CPUINFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_MIB = 2**20

# What matrix products are several times faster with, on x86 and on Arm.
_FLAGS = (
    *("avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2", "sme"),
)

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "KMP_AFFINITY", "OMP_PROC_BIND")
"""Environment variables that set how many threads libraries use, and where."""


def describe() -> Environment:
    """Describe this machine and installation, without importing torch; a run adds its GPU and what torch is set to."""
    return Environment(
        cpu_model=_cpuinfo("model name") or platform.processor() or None,
        cpu_flags=_flags(),
        cpu_cores=psutil.cpu_count(),
        cpu_usable=len(affinity()),
        cpu_affinity=ranges(affinity()),
        cpu_quota=cgroup.cpu_quota(),
        cpu_governor=governor(),
        ram_mib=psutil.virtual_memory().total / _MIB,
        memory_limit_mib=cgroup.memory_limit_mib(),
        swap_mib=psutil.swap_memory().total / _MIB,
        thread_settings=" ".join(f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ)
        or None,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=version("torch"),
        transformers=version("transformers"),
        harness=version("asr-sweep"),
        commit=_commit(),
    )


def governor() -> str | None:
    """What sets the processors' clock (``performance``, ``powersave``, ...); null where the kernel does not tell."""
    try:
        return _GOVERNOR.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def version(distribution: str) -> str | None:
    """Version of an installed package; null where it is not there."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpuinfo(*keys: str) -> str | None:
    """Read a field of the first processor; the first of several names that is there."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return None


def _flags() -> str | None:
    told = _cpuinfo("flags", "Features")  # x86, Arm
    if told is None:
        return None
    present = set(told.split())
    return " ".join(flag for flag in _FLAGS if flag in present)


def ranges(numbers: Sequence[int]) -> str:
    """Write numbers as the kernel writes lists of processors: ``0-3,8``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _commit() -> str | None:
    """Commit of the checkout the harness runs from; null for an installed package."""
    source = Path(__file__).parents[2]
    if not (source / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],  # noqa: S607 - the user's own git
            cwd=source, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
