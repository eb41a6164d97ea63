"""The compute device as seen from the run's own process: whether it is there, waiting for it, peaks of its memory."""

from collections.abc import Callable

from bench.errors import ConfigError
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
