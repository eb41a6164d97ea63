"""The largest batch that can be trained on, found by trying, before any step is taken."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bench.config import Checkpointing, Config, Optimizer, Precision
from bench.finetune.examples import Batches, Example
from bench.finetune.model import Learner
from bench.inference.batch_size import largest
from bench.measure import device, memory

_BYTES_OF_STATE = {
    # Two moments of every trained number, in float32 or in 8 bits; Adafactor keeps rows and columns only. The gradient
    # itself is in what a trial takes.
    Optimizer.adamw: 8.0,
    Optimizer.adamw_8bit: 2.0,
    Optimizer.paged_adamw_8bit: 0.0,
    Optimizer.adafactor: 0.1,
}

_ON_CPU = "DefaultCPUAllocator: can't allocate memory"  # torch has no exception of its own for it


@dataclass(frozen=True)
class Fit:
    """How a step goes through the model.

    Attributes:
        size: Utterances at once.
        accumulation: Such batches that make a step of ``finetune.batch_size``.
        checkpointing: Whether activations are computed anew in the backward pass.
    """

    size: int
    accumulation: int
    checkpointing: bool


def fit(learner: Learner, longest: list[Example], batches: Batches, config: Config) -> Fit:
    """Find how a step fits into memory: the largest batch that does and divides ``finetune.batch_size``.

    Args:
        learner: What is trained.
        longest: The longest examples, ``finetune.batch_size`` of them at most: what fits them fits all.
        batches: Makes them into tensors.
        config: The trial's configuration.

    Raises:
        MemoryError: Not even one utterance fits; the message says what would help.
    """
    asked, step = config.finetune.memory, config.finetune.batch_size
    checkpointing = asked.checkpointing is Checkpointing.on
    if not isinstance(asked.device_batch_size, str):
        size = _divisor(step, asked.device_batch_size)
        return Fit(size, step // size, checkpointing)
    try:
        size = _largest(learner, longest, batches, config, checkpointing)
    except MemoryError:
        if asked.checkpointing is not Checkpointing.auto:
            raise MemoryError(_what_helps(learner, longest, config)) from None
        checkpointing = True
        try:
            size = _largest(learner, longest, batches, config, checkpointing)
        except MemoryError:
            raise MemoryError(_what_helps(learner, longest, config)) from None
    size = _divisor(step, size if size < len(longest) else step)
    return Fit(size, step // size, checkpointing)


def autocast(on: str, precision: Precision) -> torch.autocast:
    """Products in a type of 16 bits, or as they are for float32."""
    dtype = getattr(torch, precision.value)
    kind = on.partition(":")[0]
    return torch.autocast(kind, dtype=None if dtype is torch.float32 else dtype, enabled=dtype is not torch.float32)


def settled(precision: Precision, on: str) -> Precision:
    """Decide ``finetune.memory.precision=auto`` for a device."""
    if precision is not Precision.auto:
        return precision
    if on.startswith("cuda"):
        return Precision.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else Precision.float16
    if on == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return Precision.bfloat16
    return Precision.float32


def _largest(learner: Learner, longest: list[Example], batches: Batches, config: Config, checkpointing: bool) -> int:
    on = config.device
    states_mib = learner.trained_parameters * _BYTES_OF_STATE[config.finetune.optimizer.name] / 2**20
    # On a GPU what the optimizer will need is held meanwhile; in main memory it is counted.
    held = torch.empty(round(states_mib * 2**20) if on != "cpu" else 0, dtype=torch.uint8, device=on)
    precision = settled(config.finetune.memory.precision, on)
    model = learner.model

    def attempt(size: int) -> None:
        try:
            made = {name: value.to(on) for name, value in batches(longest[:size]).items()}
            with autocast(on, precision):
                loss = model(**made).loss
            loss.backward()
            device.synchronizer(on)()
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or _ON_CPU in str(error):
                raise MemoryError from error
            raise
        finally:
            model.zero_grad(set_to_none=True)
            if on.startswith("cuda"):
                torch.cuda.empty_cache()  # what the failed batch left would be in the way of the next one

    free_mib: Callable[[], float] = lambda: memory.available_mib() - states_mib  # noqa: E731
    _checkpoint(model, checkpointing)
    try:
        return largest(
            attempt,
            most=len(longest),
            free_mib=free_mib if on == "cpu" else lambda: math.inf,
            used_mib=lambda: memory.peak_resident_mib() or 0.0,
        )
    finally:
        del held
        _checkpoint(model, False)


def _checkpoint(model: torch.nn.Module, wanted: bool) -> None:
    if wanted:
        model.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    elif getattr(model, "is_activation_checkpointing", False):
        model.activation_checkpointing_disable()  # type: ignore[operator]


def _divisor(number: int, most: int) -> int:
    """Largest divisor of a number that is at most another."""
    return next(size for size in range(min(number, most), 0, -1) if number % size == 0)


def _what_helps(learner: Learner, longest: list[Example], config: Config) -> str:
    seconds = len(longest[0].samples) / learner.extractor.sampling_rate
    tips = [
        "finetune.memory.checkpointing=on" if config.finetune.memory.checkpointing is Checkpointing.off else "",
        "finetune.lora.rank=8" if not config.finetune.lora.rank else "",
        "finetune.optimizer.name=adafactor" if config.finetune.optimizer.name is Optimizer.adamw else "",
        f"data.max_duration_s={max(1, int(seconds / 2))}",
        "a smaller model",
    ]
    return (
        f"not even one utterance of {seconds:.1f} s fits into memory while training {config.model.name}; try"
        f" {', '.join(tip for tip in tips[:-1] if tip)} or {tips[-1]}"
    )
