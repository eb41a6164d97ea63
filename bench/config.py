"""The typed configuration: what every setting is called, its type and its default.

Hydra composes the YAML files of ``conf/`` into these dataclasses, which :mod:`bench.search.compose` registers as a
schema, so an unknown key or a wrong type is refused before anything runs. Which values make sense is in
:mod:`bench.validation`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any


class Engine(StrEnum):
    """What executes a model."""

    transformers = "transformers"
    fake = "fake"


class Task(StrEnum):
    """What a trial is: transcribing with given weights, or training them first, by cross-validation."""

    transcribe = "transcribe"
    finetune = "finetune"


class DType(StrEnum):
    """Numeric type of the weights and activations."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Weights(StrEnum):
    """Where a model's numbers come from; ``random`` measures an architecture's time and memory without a download."""

    pretrained = "pretrained"
    random = "random"


class Attention(StrEnum):
    """Attention implementation, as transformers names it."""

    sdpa = "sdpa"
    eager = "eager"


class DataSource(StrEnum):
    """Where utterances come from; the readers are in :mod:`bench.data.sources`."""

    demo = "demo"
    manifest = "manifest"
    folder = "folder"
    common_voice = "common_voice"
    librispeech = "librispeech"
    hub = "hub"
    synthetic = "synthetic"


class Choice(StrEnum):
    """Which utterances ``data.limit`` leaves.

    ``first`` takes them in their order; ``random`` draws them by ``data.seed``; ``speakers`` draws the same number of
    every speaker, as far as each has so many.
    """

    first = "first"
    random = "random"
    speakers = "speakers"


class OnError(StrEnum):
    """What follows an utterance that cannot be used: it is left out and counted, or nothing runs."""

    skip = "skip"
    fail = "fail"


class Strategy(StrEnum):
    """How a recording is cut into windows.

    ``chunked`` cuts at fixed intervals, with a stride on each side; ``vad`` cuts at silences; ``sequential`` leaves the
    walk through the recording to the model's own long-form algorithm.
    """

    chunked = "chunked"
    vad = "vad"
    sequential = "sequential"


class Merge(StrEnum):
    """How the texts of neighbouring windows are joined.

    ``aligned`` joins them by what both say in the time they share; ``pipeline`` as transformers' pipeline does.
    """

    aligned = "aligned"
    pipeline = "pipeline"


SPLIT = "SPLIT"
"""What stands for ``data.split`` in the path of a manifest, a folder or a file of sentences."""

AUTO = "auto"
"""Value of ``decode.batch_size`` that lets a run find the largest batch that fits."""


class NormalizerName(StrEnum):
    """Text normalisation applied to reference and hypothesis before words are compared."""

    whisper_english = "whisper_english"
    whisper_basic = "whisper_basic"
    multilingual = "multilingual"
    none = "none"


@dataclass(frozen=True)
class ModelConfig:
    """Which weights run, and in which form.

    Attributes:
        name: Model-hub id, local folder, or ``packaged/...`` for weights that come from a Python package.
        weights: Trained weights, or random ones, whose text means nothing and gets no WER.
        dtype: Numeric type of weights and activations.
        attention: Attention implementation.
        compile: Compile the model with ``torch.compile``; the first windows then take minutes, the rest less time.
        max_window_s: Longest window the model can take, in seconds, where that is known; null leaves the check to
            the model itself. Whisper sees 30 s.
        hop_length: Samples between the feature frames; null is the model's own. Another one is refused, since the
            weights know no other; ``asr-sweep features`` shows what it would look like.
    """

    name: str = "packaged/whisper-tiny.en"
    weights: Weights = Weights.pretrained
    dtype: DType = DType.float32
    attention: Attention = Attention.sdpa
    compile: bool = False
    max_window_s: float | None = None
    hop_length: int | None = None


@dataclass(frozen=True)
class HubConfig:
    """What of a data set of the ``datasets`` library is used.

    Attributes:
        subset: Its configuration, such as a language; null where it has one only.
        revision: Branch, tag or commit; null is the newest.
        streaming: Fetch only the utterances that are used, from the first on.
        audio: Column of the audio.
        text: Column of the transcripts.
        speaker: Column of the speakers; null where none is.
    """

    subset: str | None = None
    revision: str | None = None
    streaming: bool = False
    audio: str = "audio"
    text: str = "text"
    speaker: str | None = None


@dataclass(frozen=True)
class SyntheticConfig:
    """How sentences are spoken.

    Attributes:
        voices: espeak-ng's voices, a language with or without a variant (``en-us``, ``cy+f2``), which take turns.
        rate_wpm: Speed in words a minute.
        rate_spread: Largest difference from that speed, as a share; each recording has a speed of its own.
        sentences: Without ``data.path``, how many English sentences are made up.
        per_recording: How many of them make a recording.
        first: Number of the first of them; the same numbers are the same sentences.
    """

    voices: list[str] = field(default_factory=lambda: ["en-us"], hash=False)
    rate_wpm: int = 150
    rate_spread: float = 0.0
    sentences: int = 200
    per_recording: int = 1
    first: int = 0


@dataclass(frozen=True)
class DataConfig:
    """Which recordings and transcripts are used.

    Attributes:
        source: Kind of source.
        path: The manifest, the corpus's folder, the data set's name, or the file of sentences; null for the demo.
        split: Which part of a corpus (``train``, ``test-other``); in the path of a manifest, a folder or a file of
            sentences, ``SPLIT`` stands for it.
        root: Folder that a manifest's relative audio paths start from and must stay under; null is its own folder.
        allow_outside_root: Accept audio paths that leave ``root``.
        limit: Number of utterances to use, of those that can be; null is all.
        choice: Which ones that leaves.
        seed: Seeds the choice, the same on every machine.
        max_duration_s: Seconds beyond which an utterance is not used; null is no limit.
        on_error: What follows an utterance that cannot be used.
        allow_leaks: Kinds of clashes between splits that are accepted; see :mod:`bench.data.leaks`.
        hub: More about a data set of the ``datasets`` library.
        synthetic: More about synthesised speech.
    """

    source: DataSource = DataSource.demo
    path: str | None = None
    split: str | None = None
    root: str | None = None
    allow_outside_root: bool = False
    limit: int | None = None
    choice: Choice = Choice.first
    seed: int = 0
    max_duration_s: float | None = 14_400.0
    on_error: OnError = OnError.skip
    allow_leaks: list[str] = field(default_factory=list, hash=False)
    hub: HubConfig = field(default_factory=HubConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)


@dataclass(frozen=True)
class DecodeConfig:
    """How audio becomes text.

    Attributes:
        strategy: How recordings are cut.
        chunk_length_s: Length of a window including its strides, in seconds; with ``vad`` the longest window.
        stride_length_s: Context kept on each side of a window, in seconds; must be less than half the chunk, and 0
            unless ``strategy`` is ``chunked``.
        merge: How neighbouring windows are joined; ``pipeline`` is defined for ``chunked`` alone.
        batch_size: Windows decoded together, across recordings; ``auto`` finds the largest number that fits.
        num_beams: Beam width; 1 is greedy.
        temperature_fallback: Decode a window anew, sampling at rising temperatures, where its text looks degenerate.
        timestamps: Let the model predict segment times, and use them at the seams.
        language: Language code for multilingual models; null lets the model decide.
        task: ``transcribe`` or ``translate`` for multilingual models; null leaves the model's default.
    """

    strategy: Strategy = Strategy.chunked
    chunk_length_s: float = 30.0
    stride_length_s: float = 5.0
    merge: Merge = Merge.aligned
    batch_size: int | str = 8
    num_beams: int = 1
    temperature_fallback: bool = False
    timestamps: bool = False
    language: str | None = None
    task: str | None = None


@dataclass(frozen=True)
class PriceConfig:
    """What an hour of each kind of device costs, in any currency; null where that is not asked."""

    cpu: float | None = None
    cuda: float | None = None
    mps: float | None = None


@dataclass(frozen=True)
class MeasureConfig:
    """How a run is measured.

    Attributes:
        warmup: Passes over the first batch before measuring; their times are stored apart.
        repeats: Timed passes over all recordings within a run.
        replicates: Runs (processes) of each trial, interleaved with those of the other trials.
        single_stream: Utterances that are, after the timed passes, also transcribed one at a time, for the latency of
            each; the first ones, and 0 is none.
        sample_hz: Samples a second of CPU, RAM and GPU, taken from outside the run's process.
        rerun_invalid: How often a run whose timing is not valid is run again.
        price_per_hour: Prices of devices, for the cost of an hour of audio.
    """

    warmup: int = 1
    repeats: int = 1
    replicates: int = 1
    single_stream: int = 0
    sample_hz: float = 10.0
    rerun_invalid: int = 0
    price_per_hour: PriceConfig = field(default_factory=PriceConfig)


@dataclass(frozen=True)
class ScoreConfig:
    """How hypotheses are compared with references."""

    normalizer: NormalizerName = NormalizerName.whisper_english


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
    """

    time_masking: float = 0.0
    feature_masking: float = 0.0
    speed: float = 0.0
    noise: float = 0.0
    room: float = 0.0


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


@dataclass(frozen=True)
class ExecutorConfig:
    """How runs are executed.

    Attributes:
        timeout_s: Wall-clock limit of one run in seconds; null is no limit.
        max_attempts: Attempts at a run that ends in ``error`` or ``timeout``, over all starts of the study.
    """

    timeout_s: float | None = None
    max_attempts: int = 3


class Sampler(StrEnum):
    """What proposes the points of a study.

    ``grid`` tries every combination; the others are Optuna's, and see what came of the points before.
    """

    grid = "grid"
    random = "random"
    tpe = "tpe"
    nsga2 = "nsga2"
    gp = "gp"


class OnOom(StrEnum):
    """What follows a point that runs out of memory: nothing, or the search for the largest one that does not."""

    record = "record"
    bisect = "bisect"


@dataclass(frozen=True)
class SpaceConfig:
    """What the grammar of overrides cannot say of a space.

    Attributes:
        combine: Settings that vary together: a list of mappings from setting to value, one of which a point takes.
        when: Settings that vary under a condition only, each as ``SETTING if OTHER=VALUE|VALUE else VALUE``; without
            the last part such a setting keeps its default where the condition is not met.
    """

    combine: list[dict[str, Any]] = field(default_factory=list)
    when: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SearchConfig:
    """How a study chooses its points, and when it ends.

    Attributes:
        sampler: What proposes points.
        trials: Trials of a study that is no grid, those of earlier starts included.
        objectives: Metrics to make good, each in its own direction.
        constraints: Bounds such as ``peak_rss_mib<=8000``; what breaks one is never recommended.
        space: More about the space.
        enqueue: Points to try first, as mappings from setting to value.
        oom: What follows a point that runs out of memory.
        racing: End a run early that is worse than the best so far beyond doubt.
        racing_level: Greatest probability that racing ends a run that is no worse.
        budget_s: Seconds that all runs of the study may take; null is no limit.
        budget_cost: The same at ``measure.price_per_hour``.
        dry_run: Predict time, memory and cost of a grid from a few short runs, and run nothing else.
        holdout: Share of the data kept aside, by speaker or recording, to judge the chosen setting on.
    """

    sampler: Sampler = Sampler.grid
    trials: int = 40
    objectives: list[str] = field(default_factory=lambda: ["wer", "rtfx"])
    constraints: list[str] = field(default_factory=list)
    space: SpaceConfig = field(default_factory=SpaceConfig)
    enqueue: list[dict[str, Any]] = field(default_factory=list)
    oom: OnOom = OnOom.record
    racing: bool = False
    racing_level: float = 0.05
    budget_s: float | None = None
    budget_cost: float | None = None
    dry_run: bool = False
    holdout: float = 0.0


@dataclass(frozen=True)
class ResultsConfig:
    """Where outputs go: ``root/<study>`` holds the records, ``reports/<study>`` the report."""

    root: str = "results"
    reports: str = "reports"


@dataclass(frozen=True)
class Config:
    """One trial's complete configuration; a sweep varies any of its leaves.

    Attributes:
        study: Name of the study, a folder under ``results.root``.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        engine: What executes the model.
        threads: CPU threads of the run; null leaves the library's choice.
        seed: Seeds the order of the grid and every random generator of a run.
        task: What a trial is.
    """

    study: str = "default"
    task: Task = Task.transcribe
    device: str = "cpu"
    engine: Engine = Engine.transformers
    threads: int | None = None
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    search: SearchConfig = field(default_factory=SearchConfig, hash=False)  # the same in all points of a study
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    results: ResultsConfig = field(default_factory=ResultsConfig)


def flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``(dotted name, value)`` of every leaf, in declaration order; enums become their plain strings."""
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            yield from flatten(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, value.value if isinstance(value, StrEnum) else value
