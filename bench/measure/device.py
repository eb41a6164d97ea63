"""The compute device as seen from the run's own process: whether it is there, waiting for it, peaks of its memory."""

import importlib.util
import platform
import re
from collections.abc import Callable
from pathlib import Path

from bench.errors import ConfigError
from bench.measure.gpu import open_probe
from bench.readings import Runtime

_MIB = 1024 * 1024


def require(device: str) -> None:
    """Check that torch can use a device.

    Raises:
        ConfigError: This machine, or this build of torch, has no such device.
    """
    import torch

    kind, _, index = device.partition(":")
    match kind:
        case "cuda":
            present = int(index or 0) < torch.cuda.device_count()
        case "mps":
            present = torch.backends.mps.is_available()
        case _:
            present = kind == "cpu"
    if not present:
        raise ConfigError(f"device={device} is not there for torch {torch.__version__} on this machine; use device=cpu")


def why_absent(device: str) -> str | None:
    """Say why this machine or installation has no such device, without importing torch; null where it seems to."""
    kind = device.partition(":")[0]
    if kind == "cuda" and open_probe(device) is None:
        return "no NVIDIA GPU of that number answers"
    if kind == "cuda" and not _torch_is_built_for_cuda():
        return "this build of torch is for CPUs only; install one for CUDA (https://pytorch.org/get-started/locally)"
    if kind == "mps" and (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        return "only Macs with Apple's processors have it"
    return None


def _torch_is_built_for_cuda() -> bool:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    told = re.search(
        r"^cuda\b.*=\s*(.+)$", (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    return told is not None and told[1].strip() != "None"


def synchronizer(device: str) -> Callable[[], None]:
    """Return a function that waits until the device has done all it was asked; on the CPU it does nothing."""
    kind = device.partition(":")[0]
    if kind == "cpu":
        return lambda: None
    import torch

    if kind == "mps":
        return torch.mps.synchronize
    return lambda: torch.cuda.synchronize(device)


def runtime() -> Runtime:
    """Describe torch as it is set up in this process."""
    import torch

    cudnn: int | None = torch.backends.cudnn.version() if torch.cuda.is_available() else None  # type: ignore[no-untyped-call]
    return Runtime(torch.get_num_threads(), torch.version.cuda, None if cudnn is None else str(cudnn))


def empty_cache(device: str) -> None:
    """Let torch give back the GPU's memory that it holds and does not use; nothing on other devices."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()


def reset_gpu_peaks(device: str) -> None:
    """Let torch count the peaks of a CUDA device anew; nothing on other devices."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def gpu_peaks_mib(device: str) -> tuple[float, float] | tuple[None, None]:
    """Return torch's peaks of live tensors and of memory held, in MiB; nulls unless the device is a CUDA one."""
    if not device.startswith("cuda"):
        return None, None
    import torch

    return torch.cuda.max_memory_allocated(device) / _MIB, torch.cuda.max_memory_reserved(device) / _MIB
