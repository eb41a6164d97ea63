"""How a model is trained, and what its outcome is judged on."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from bench.config.trial import AUTO


class Schedule(StrEnum):
    """How the learning rate goes on after the warm-up."""

    linear = "linear"
    cosine = "cosine"
    constant = "constant"


class Optimizer(StrEnum):
    """What makes gradients into steps; those of 8 bits need bitsandbytes, and a GPU."""

    adamw = "adamw"
    adafactor = "adafactor"
    adamw_8bit = "adamw_8bit"
    paged_adamw_8bit = "paged_adamw_8bit"


class Precision(StrEnum):
    """Numeric type of the products while training; the weights themselves are float32.

    ``auto`` is bfloat16 where the device computes in it, then float16 on a GPU, else float32.
    """

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Checkpointing(StrEnum):
    """Whether activations are computed anew in the backward pass; ``auto`` does so where nothing fits otherwise."""

    auto = "auto"
    on = "on"
    off = "off"


class FoldMethod(StrEnum):
    """How the data is divided; ``none`` trains on all of it and scores on the test data."""

    kfold = "kfold"
    leave_one_speaker_out = "leave_one_speaker_out"
    none = "none"


@dataclass(frozen=True)
class FoldsConfig:
    """How the training data is divided for cross-validation.

    Attributes:
        method: How.
        count: Folds of ``kfold``.
        repeats: How often it is divided anew.
        keep_speakers: Keep what a speaker said in one fold; null does where there are speakers enough.
        seed: Seeds the division, the same for all trials.
    """

    method: FoldMethod = FoldMethod.kfold
    count: int = 3
    repeats: int = 1
    keep_speakers: bool | None = None
    seed: int = 0


@dataclass(frozen=True)
class FinetuneTestConfig:
    """What the base and the fine-tuned model are compared on, once, at the end.

    Attributes:
        split: Another split of the same source (see ``data.split``).
        limit: Number of its utterances to use; null is all.
        voices: Voices that speak it, where it is synthesised; empty is those of the training data.
        share: Without a split, the share of the data that is kept aside for it.
    """

    split: str | None = None
    limit: int | None = None
    voices: list[str] = field(default_factory=list, hash=False)
    share: float = 0.0


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adaptation: small matrices are trained beside the frozen weights, and added to them at the end.

    Attributes:
        rank: Rank of the matrices; 0 trains the weights themselves.
        alpha: Scale of what they add, over the rank.
        dropout: Share of their inputs that is left out at random.
        targets: Names of the linear layers that get them.
    """

    rank: int = 0
    alpha: int = 16
    dropout: float = 0.0
    targets: list[str] = field(default_factory=lambda: ["q_proj", "v_proj"], hash=False)


@dataclass(frozen=True)
class AugmentConfig:
    """How training audio is changed at random, each time anew; 0 changes nothing.

    Attributes:
        time_masking: Share of the time that SpecAugment masks.
        feature_masking: Share of the features that it masks.
        speed: Largest change of speed and pitch, as a share.
        noise: Probability of added noise.
        room: Probability of a room's echo.
        microphone: Probability of another microphone: some frequencies louder, others weaker.
    """

    time_masking: float = 0.0
    feature_masking: float = 0.0
    speed: float = 0.0
    noise: float = 0.0
    room: float = 0.0
    microphone: float = 0.0


@dataclass(frozen=True)
class OptimizerConfig:
    """How gradients become steps.

    Attributes:
        name: The algorithm.
        weight_decay: Decoupled from the gradients (Loshchilov and Hutter 2019).
        max_grad_norm: Gradients are scaled down to this norm.
        warmup: Share of the steps over which the learning rate rises from 0.
        schedule: How it goes on from there.
    """

    name: Optimizer = Optimizer.adamw
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    warmup: float = 0.1
    schedule: Schedule = Schedule.linear


@dataclass(frozen=True)
class MemoryConfig:
    """What saves memory while training, and changes the outcome little or not at all.

    Attributes:
        device_batch_size: Utterances that go through the model together, with gradients added up to
            ``finetune.batch_size``; ``auto`` finds the largest number that fits.
        precision: Numeric type of the products.
        checkpointing: Whether memory is saved at the cost of time.
    """

    device_batch_size: int | str = AUTO
    precision: Precision = Precision.auto
    checkpointing: Checkpointing = Checkpointing.auto


@dataclass(frozen=True)
class FreezeConfig:
    """What keeps its weights.

    Attributes:
        frontend: All below the encoder's first layer.
        encoder_layers: How many of the encoder's lower layers, and all below them.
    """

    frontend: bool = False
    encoder_layers: int = 0


@dataclass(frozen=True)
class FinetuneConfig:
    """How a model is trained, where ``task`` is ``finetune``.

    Attributes:
        learning_rate: Highest learning rate, reached at the end of the warm-up.
        epochs: Passes over the training data.
        max_steps: Steps instead of epochs; null goes by epochs.
        batch_size: Utterances that make a step.
        optimizer: How gradients become steps.
        memory: What saves memory.
        freeze: What keeps its weights.
        lora: Low-rank adaptation.
        augment: Changes to the training audio.
        evaluations: How often the validation data is transcribed while training, the end included.
        folds: How the training data is divided.
        test: What the outcome is judged on.
        save: Keep each run's model under ``results/<study>/models``.
    """

    learning_rate: float = 1e-5
    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 8
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    freeze: FreezeConfig = field(default_factory=FreezeConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    evaluations: int = 3
    folds: FoldsConfig = field(default_factory=FoldsConfig)
    test: FinetuneTestConfig = field(default_factory=FinetuneTestConfig)
    save: bool = False

    def steps(self, utterances: int) -> int:
        """Count the updates of the weights that a training on so many utterances makes."""
        if self.max_steps is not None:
            return self.max_steps
        return max(1, math.ceil(self.epochs * math.ceil(utterances / self.batch_size)))
