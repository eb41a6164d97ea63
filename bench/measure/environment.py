"""Where a run takes place: hardware, operating system, versions."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

from bench.records import Environment

_CPUINFO = Path("/proc/cpuinfo")


def describe() -> Environment:
    """Describe this machine and installation, without importing torch; GPU and threads are a run's own to add."""
    return Environment(
        cpu_model=_cpu_model(),
        cpu_cores=psutil.cpu_count(),
        cpu_usable=_usable_cpus(),
        ram_mib=psutil.virtual_memory().total / 2**20,
        gpu=None,
        gpu_driver=None,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=_version("torch"),
        transformers=_version("transformers"),
        harness=_version("asr-sweep"),
        commit=_commit(),
    )


def _cpu_model() -> str | None:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or None


def _usable_cpus() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


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
