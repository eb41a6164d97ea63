"""What a training tells of itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CurvePoint:
    """A look at a training.

    Attributes:
        step: Steps taken so far.
        epoch: Passes over the training data so far.
        train_s: Seconds of training so far, without those of transcribing the validation data.
        loss: Mean loss since the look before; null where only the validation data was transcribed.
        learning_rate: Of the latest step.
        grad_norm: Norm of the latest step's gradients, before it was bounded.
        wer: Of the validation data; null where it was not transcribed.
        rss_mib: Resident memory of the process.
        gpu_allocated_mib: Memory of the tensors on a GPU.
    """

    step: int
    epoch: float
    train_s: float
    loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    wer: float | None = None
    rss_mib: float | None = None
    gpu_allocated_mib: float | None = None


@dataclass(frozen=True)
class Training:
    """How a model was trained within a run.

    Attributes:
        utterances: Utterances it was trained on.
        skipped: Further ones that could not be used.
        skipped_reason: Why the first of them could not be.
        audio_s: Seconds of their audio.
        steps: Updates of the weights.
        device_batch_size: Utterances that went through the model together.
        accumulation: Such batches that made a step.
        checkpointing: Whether activations were computed anew in the backward pass.
        precision: Numeric type of the products.
        parameters: Numbers in the model.
        trained_parameters: Those of them that were trained, or were added to be.
        load_s: Seconds to load the model and its audio.
        search_s: Seconds to find the largest batch that fits.
        train_s: Seconds of the steps.
        validate_s: Seconds of transcribing the validation data on the way.
        peak_rss_mib: Peak resident memory of the steps.
        peak_gpu_allocated_mib: Peak memory of the tensors on a GPU.
        peak_gpu_reserved_mib: Peak memory that torch held on a GPU.
        curve: Looks at it on the way.
    """

    utterances: int
    skipped: int
    skipped_reason: str | None
    audio_s: float
    steps: int
    device_batch_size: int
    accumulation: int
    checkpointing: bool
    precision: str
    parameters: int
    trained_parameters: int
    load_s: float
    search_s: float
    train_s: float
    validate_s: float
    peak_rss_mib: float | None
    peak_gpu_allocated_mib: float | None
    peak_gpu_reserved_mib: float | None
    curve: tuple[CurvePoint, ...] = ()
