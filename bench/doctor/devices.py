"""Which devices a run may name, and whether they are free: pure functions of readings."""

from collections import Counter
from collections.abc import Iterator

from bench.doctor.check import Check, Fault, gib
from bench.doctor.facts import Gpu, Torch
from bench.measure import validity

_GPU_MIB = 1024  # a driver and a desktop hold less


def devices(gpus: tuple[Gpu, ...], torch: Torch) -> Check:
    """List what the setting ``device`` may name; a machine without a GPU is fine."""
    usable = ["cpu"]
    if torch.gpus:
        usable += ["cuda", *(f"cuda:{number}" for number in range(1, torch.gpus))]
    if torch.mps:
        usable.append("mps")
    listed = ", ".join(usable if len(usable) <= 5 else (*usable[:2], f"... {usable[-1]}"))
    kinds = Counter(_described(gpu) for gpu in gpus)
    seen = "; ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items())
    faults = (*_build_faults(gpus, torch), *_gpu_faults(gpus)) if gpus else ()
    return Check("devices", f"{listed}; {seen or 'no NVIDIA GPU'}", faults)


def _described(gpu: Gpu) -> str:
    parts = [
        gpu.name or "GPU",
        None if gpu.memory_total_mib is None else gib(gpu.memory_total_mib),
        None if gpu.driver is None else f"driver {gpu.driver}",
        None if gpu.cuda is None else f"CUDA {gpu.cuda}",
    ]
    return ", ".join(part for part in parts if part)


def _build_faults(gpus: tuple[Gpu, ...], torch: Torch) -> Iterator[Fault]:
    """Say why torch cannot use the GPUs."""
    if torch.failure is not None or torch.gpus:
        return
    if torch.cuda is None:
        yield Fault(
            f"the installed torch was built without CUDA and cannot use the {gpus[0].name or 'GPU'}",
            "install a CUDA build of torch; its command is told by https://pytorch.org/get-started/locally",
        )
    else:
        yield Fault(
            f"torch, built for CUDA {torch.cuda}, cannot use the GPU, whose driver knows CUDA {gpus[0].cuda}",
            "unset CUDA_VISIBLE_DEVICES, update the driver, or install a build for an older CUDA as told by"
            " https://pytorch.org/get-started/locally",
        )


def _gpu_faults(gpus: tuple[Gpu, ...]) -> Iterator[Fault]:
    taken = [(number, gpu) for number, gpu in enumerate(gpus) if _in_use(gpu)]
    if taken:
        number, gpu = taken[0]
        held = "" if gpu.memory_mib is None else f" and hold {gib(gpu.memory_mib)}"
        many = f"{gpu.processes} processes" if gpu.processes else "processes that cannot be seen from here"
        yield Fault(
            f"{many} compute on GPU {number}{held}"
            + (f", and {len(taken) - 1} more GPUs are in use" * (len(taken) > 1)),
            "stop them or wait for their end; they are listed by: nvidia-smi",
        )
    if slowed := [f"GPU {number} ({gpu.slowdown})" for number, gpu in enumerate(gpus) if gpu.slowdown]:
        yield Fault(f"clocks are held down on {', '.join(slowed[:2])}", "see why with: nvidia-smi -q -d PERFORMANCE")


def _in_use(gpu: Gpu) -> bool:
    """Whether others use a GPU; a container may hide them, but not what memory they hold."""
    return bool(gpu.processes) or (gpu.memory_mib or 0) > _GPU_MIB or (gpu.util_pct or 0) > 100 * validity.OTHERS
