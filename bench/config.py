"""The typed configuration: what every setting is called, its type, its default, and which values make sense.

Hydra composes the YAML files of ``conf/`` into these dataclasses, which :mod:`bench.search.compose` registers as a
schema, so an unknown key or a wrong type is refused before anything runs. Nothing here has an effect beyond raising.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any

from bench.errors import ConfigError, ImpossiblePoint


class Engine(StrEnum):
    """What executes a model."""

    transformers = "transformers"
    fake = "fake"


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
    """Where utterances come from."""

    demo = "demo"
    manifest = "manifest"


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


AUTO = "auto"
"""Value of ``decode.batch_size`` that lets a run find the largest batch that fits."""


class NormalizerName(StrEnum):
    """Text normalisation applied to reference and hypothesis before words are compared."""

    whisper_english = "whisper_english"
    whisper_basic = "whisper_basic"
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
    """

    name: str = "packaged/whisper-tiny.en"
    weights: Weights = Weights.pretrained
    dtype: DType = DType.float32
    attention: Attention = Attention.sdpa
    compile: bool = False
    max_window_s: float | None = None


@dataclass(frozen=True)
class DataConfig:
    """Which recordings and transcripts are used.

    Attributes:
        source: Kind of source.
        path: The manifest (CSV or JSONL); must be null for the demo recordings.
        root: Folder that relative audio paths start from and must stay under; null is the manifest's own folder.
        allow_outside_root: Accept audio paths that leave ``root``.
        limit: Use only the first ``limit`` utterances.
    """

    source: DataSource = DataSource.demo
    path: str | None = None
    root: str | None = None
    allow_outside_root: bool = False
    limit: int | None = None


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


@dataclass(frozen=True)
class ExecutorConfig:
    """How runs are executed.

    Attributes:
        timeout_s: Wall-clock limit of one run in seconds; null is no limit.
        max_attempts: Attempts at a run that ends in ``error`` or ``timeout``, over all starts of the study.
    """

    timeout_s: float | None = None
    max_attempts: int = 3


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
    """

    study: str = "default"
    device: str = "cpu"
    engine: Engine = Engine.transformers
    threads: int | None = None
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
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


def validate(config: Config) -> None:
    """Check what types alone cannot.

    Raises:
        ImpossiblePoint: Values that a grid may well produce but no run can honour (a stride of half the chunk).
        ConfigError: Values that are wrong in any combination (a negative batch size).
    """
    _validate_study_name(config.study)
    _validate_device(config.device)
    _validate_counts(config)
    _validate_prices(config.measure.price_per_hour)
    _validate_data(config.data)
    _validate_windows(config)
    _validate_strategy(config.decode)


_MOST = 2**31 - 1
_SHORTEST_CHUNK_S = 0.1
_LONGEST_NAME = 200  # file systems allow 255 bytes, and temporary names need some of them


def _validate_study_name(study: str) -> None:
    if not study or study in {".", ".."} or any(mark in study for mark in "/\\:\0") or study != study.strip():
        raise ConfigError(f"study={study!r} cannot name a folder; use a plain name such as study=my_sweep")
    if len(study.encode()) > _LONGEST_NAME:
        raise ConfigError(f"study={study:.40}... is too long for a folder's name; use at most {_LONGEST_NAME} bytes")


def _validate_device(device: str) -> None:
    kind, _, index = device.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (
        ":" in device and not (kind == "cuda" and index.isdecimal() and len(index) <= 3)
    ):
        raise ConfigError(f"device={device!r} is unknown; use cpu, cuda, cuda:1 or mps")


def _validate_counts(config: Config) -> None:
    batch_size = config.decode.batch_size
    if isinstance(batch_size, str) and batch_size != AUTO:
        raise ConfigError(f"decode.batch_size={batch_size} is no number; give one, or {AUTO}")
    bounds: list[tuple[str, int | None, int, int]] = [
        ("decode.batch_size", None if isinstance(batch_size, str) else batch_size, 1, _MOST),
        ("decode.num_beams", config.decode.num_beams, 1, _MOST),
        ("data.limit", config.data.limit, 1, _MOST),
        ("threads", config.threads, 1, 1024),
        ("seed", config.seed, 0, 2**32 - 1),
        ("measure.warmup", config.measure.warmup, 0, _MOST),
        ("measure.repeats", config.measure.repeats, 1, _MOST),
        ("measure.replicates", config.measure.replicates, 1, _MOST),
        ("measure.single_stream", config.measure.single_stream, 0, _MOST),
        ("measure.rerun_invalid", config.measure.rerun_invalid, 0, _MOST),
        ("executor.max_attempts", config.executor.max_attempts, 1, _MOST),
    ]
    for name, value, least, most in bounds:
        if value is not None and value < least:
            raise ConfigError(f"{name}={value} is too small; give at least {least}")
        if value is not None and value > most:
            raise ConfigError(f"{name}={value} is too large; give at most {most}")
    if not 0.01 <= config.measure.sample_hz <= 1000:
        raise ConfigError(f"measure.sample_hz={config.measure.sample_hz:g} must be between 0.01 and 1000")
    for name, limit in [
        ("executor.timeout_s", config.executor.timeout_s),
        ("model.max_window_s", config.model.max_window_s),
    ]:
        if limit is not None and not 0 < limit < math.inf:
            raise ConfigError(f"{name}={limit:g} must be a number of seconds above 0, or null for no limit")
    if config.decode.task not in (None, "transcribe", "translate"):
        raise ConfigError(f"decode.task={config.decode.task} is unknown; use transcribe, translate or null")


def _validate_prices(prices: PriceConfig) -> None:
    for device, price in flatten(prices):
        if price is not None and not 0 <= price < math.inf:
            raise ConfigError(
                f"measure.price_per_hour.{device}={price:g} is no price; give a number from 0 up, or null"
            )


def _validate_data(data: DataConfig) -> None:
    if data.source is DataSource.manifest and not data.path:
        raise ConfigError("data=manifest needs a file; add data.path=FILE.csv (columns path,text) or FILE.jsonl")
    if data.source is DataSource.demo and data.path is not None:
        raise ConfigError(f"data.path={data.path} is not used by the demo recordings; add data=manifest")


def _validate_strategy(decode: DecodeConfig) -> None:
    if decode.strategy is Strategy.chunked:
        return
    if decode.stride_length_s:
        raise ImpossiblePoint(
            f"decode.strategy={decode.strategy} has no strides, but decode.stride_length_s={decode.stride_length_s:g};"
            f" use decode={decode.strategy}, or decode.stride_length_s=0"
        )
    if decode.merge is Merge.pipeline:
        raise ImpossiblePoint(
            f"decode.merge=pipeline searches overlapping windows, and decode.strategy={decode.strategy} has none;"
            " use decode.merge=aligned"
        )


def _validate_windows(config: Config) -> None:
    chunk, stride = config.decode.chunk_length_s, config.decode.stride_length_s
    if not _SHORTEST_CHUNK_S <= chunk < math.inf:
        raise ConfigError(f"decode.chunk_length_s={chunk:g} must be a number of seconds from {_SHORTEST_CHUNK_S:g} up")
    if not (math.isfinite(stride) and stride >= 0):
        raise ConfigError(f"decode.stride_length_s={stride:g} must be zero or a positive number of seconds")
    if 2 * stride >= chunk:
        raise ImpossiblePoint(
            f"decode.stride_length_s={stride:g} (each side) is not smaller than half of"
            f" decode.chunk_length_s={chunk:g}; use a stride below {chunk / 2:g} or a longer chunk"
        )
    longest = config.model.max_window_s
    if longest is not None and chunk > longest:
        raise ImpossiblePoint(
            f"decode.chunk_length_s={chunk:g} is longer than model.max_window_s={longest:g}, all that"
            f" {config.model.name} can see; use at most {longest:g}"
        )
    if longest is not None and config.decode.strategy is Strategy.sequential and chunk != longest:
        raise ImpossiblePoint(
            f"decode.strategy=sequential walks in windows of model.max_window_s={longest:g}, but"
            f" decode.chunk_length_s={chunk:g}; use decode.chunk_length_s={longest:g}"
        )
