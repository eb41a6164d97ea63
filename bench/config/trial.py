"""What one trial is: its model, its data, how it is decoded, measured and scored."""

from dataclasses import dataclass, field
from enum import StrEnum


class Engine(StrEnum):
    """Engines that come with the harness; other packages may offer more (see :mod:`bench.config.engines`)."""

    transformers = "transformers"
    faster_whisper = "faster_whisper"
    onnxruntime = "onnxruntime"
    fake = "fake"


class DType(StrEnum):
    """Numeric type of the weights and activations.

    With ``int8`` the weights of matrix products are whole numbers, scaled by row or by matrix, activations are rounded
    to such numbers at each product, and all else is float32.
    """

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    int8 = "int8"


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


class Parity(StrEnum):
    """Whether engines decode alike.

    ``locked`` gives every engine the same windows, features and settings, and refuses what it cannot honour (see
    :mod:`bench.inference.parity`). ``native`` runs each on whole recordings, by defaults of its own, as its users do.
    """

    locked = "locked"
    native = "native"


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
        parity: Whether engines decode alike, or each by its own defaults, which then replace all settings here but
            ``language`` and ``task``.
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
    parity: Parity = Parity.locked


TAKEN_NATIVELY = ("language", "task", "parity")
"""The settings under ``decode`` that ``decode.parity=native`` does not leave to the engine."""


def left_to_engine(decode: DecodeConfig, name: str) -> bool:
    """Tell whether a setting has no effect since the engine decodes by its own defaults (``decode.parity=native``).

    Args:
        decode: How audio becomes text.
        name: The setting's dotted name.
    """
    group, _, field_name = name.partition(".")
    return decode.parity is Parity.native and group == "decode" and field_name not in TAKEN_NATIVELY


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
