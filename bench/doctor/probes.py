"""Looking at the machine. Nothing here judges, downloads, converts, or initialises CUDA in this process."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from bench.assets import recordings, voices
from bench.assets.cache import cache_root
from bench.assets.packages import package_folder
from bench.assets.weights import PACKAGED_MODELS, weights_entry
from bench.config import ModelConfig
from bench.doctor.facts import Asset, Folder, Gpu, Hub, Machine, Memory, Rapl, Torch
from bench.errors import AssetError
from bench.measure import memory
from bench.measure.energy import EnergyMeter
from bench.measure.gpu import list_gpus

POWERCAP = Path("/sys/class/powercap")
HUB_TIMEOUT_S = 3.0
_TORCH_TIMEOUT_S = 90.0  # a first import from a slow disk
_ASKED_FILE = ("openai/whisper-tiny", "config.json")  # two kilobytes, of which the headers alone are asked for
_MIB = 1024 * 1024

_ASK_TORCH = """
import json, torch
print(json.dumps({
    "threads": torch.get_num_threads(),
    "cuda": torch.version.cuda,
    "gpus": torch.cuda.device_count() if torch.cuda.is_available() else 0,
    "mps": torch.backends.mps.is_available(),
}))
"""


def machine(results: Path) -> Machine:
    """Read all that can be read without waiting for it; torch takes a few seconds.

    Args:
        results: The folder that holds the studies; it need not exist yet.
    """
    return Machine(
        torch=torch_build(),
        gpus=gpus(),
        memory=Memory(memory.available_mib(), _swap_used_mib(), peak_resets=memory.reset_peak()),
        rapl=rapl(),
        cache=folder(cache_root()),
        results=folder(results),
        model=packaged_model(),
        recordings=demo_recordings(),
        hub=hub(),
    )


def torch_build() -> Torch:
    """Ask the installed torch, in a process of its own: it must not initialise CUDA in this one."""
    try:
        told = subprocess.run(  # noqa: S603 - this interpreter and the text above
            [sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=_TORCH_TIMEOUT_S, check=True
        )
        return Torch(**json.loads(told.stdout.splitlines()[-1]))
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines()
        return Torch(failure=said[-1] if said else f"exit status {error.returncode}")
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, TypeError) as error:
        return Torch(failure=" ".join(str(error).split()) or type(error).__name__)


def gpus() -> tuple[Gpu, ...]:
    """Look at every NVIDIA GPU."""
    found = []
    for gpu in list_gpus():
        now = gpu.sample(os.getpid())
        found.append(
            Gpu(
                name=gpu.name,
                driver=gpu.driver,
                cuda=gpu.cuda,
                memory_total_mib=gpu.memory_total_mib,
                memory_mib=now.memory_mib,
                util_pct=now.util_pct,
                processes=now.processes,
                slowdown=now.slowdown,
            )
        )
    return tuple(found)


def rapl(powercap: Path = POWERCAP) -> Rapl:
    """Tell whether the processor's energy can be read."""
    if EnergyMeter(None, powercap).cpu_j() is not None:
        return Rapl.readable
    return Rapl.refused if any(powercap.glob("intel-rapl:[0-9]*")) else Rapl.absent


def folder(path: Path) -> Folder:
    """Look at a folder, or at the nearest one above it that is there."""
    path = path.absolute()
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Folder(path, shutil.disk_usage(there).free / _MIB, writable)


def packaged_model(name: str = ModelConfig.name) -> Asset:
    """Tell whether a packaged model is in the cache, or could be put there; its bytes are not read."""
    model = PACKAGED_MODELS[name]
    needed = {package.module: package.requirement for package in model.packages}
    return Asset(name, model.extra, weights_entry(name).is_dir(), _lacking(needed, model.extra))


def demo_recordings() -> Asset:
    """Tell the same of the demonstration's recordings."""
    needed = {"moonshine_voice": recordings.REQUIREMENT, "espeakng_loader": voices.REQUIREMENT}
    return Asset(
        "demo recordings", recordings.EXTRA, recordings.demo_entry().is_dir(), _lacking(needed, recordings.EXTRA)
    )


def hub() -> Hub:
    """Ask the model hub for the headers of one small file."""
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Hub(constants.ENDPOINT, offline=True)
    failures: list[str] = []

    def ask() -> None:
        try:
            address = huggingface_hub.hf_hub_url(*_ASKED_FILE)
            huggingface_hub.get_hf_file_metadata(address, token=False, timeout=HUB_TIMEOUT_S)
            failures.append("")
        except Exception as error:  # the HTTP library's own, which changes with huggingface_hub's versions
            failures.append(" ".join(str(error).split()) or type(error).__name__)

    # Looking up a host's name knows no time limit, so the asking is left behind where it takes too long.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HUB_TIMEOUT_S + 1)
    failure = failures[0] if failures else f"no answer within {HUB_TIMEOUT_S:g} s"
    return Hub(constants.ENDPOINT, failure=failure or None)


def _lacking(needed: dict[str, str], extra: str) -> tuple[str, ...]:
    lacking = []
    for module, requirement in needed.items():
        try:
            package_folder(module, requirement, extra)
        except AssetError:
            lacking.append(requirement)
    return tuple(lacking)


def _swap_used_mib() -> float:
    try:
        return float(psutil.swap_memory().used) / _MIB
    except (OSError, RuntimeError):
        return 0.0
