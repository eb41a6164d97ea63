"""The typed rows that cross module borders. All are immutable; every field states its unit."""

import statistics
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.config import Config

Samples: TypeAlias = NDArray[np.float32]
"""Mono audio, shape ``(samples,)``, values in [-1, 1]."""


class Status(StrEnum):
    """How a run ended."""

    ok = "ok"
    oom = "oom"
    error = "error"
    timeout = "timeout"
    pruned = "pruned"


@dataclass(frozen=True)
class Utterance:
    """One transcribed span of a recording.

    Attributes:
        utterance_id: Unique within a data set, stable between runs.
        path: The recording.
        text: Reference transcript, as the manifest has it.
        speaker: Speaker label, if known.
        start_s: Start of the span within the recording, in seconds.
        duration_s: Length of the span in seconds; null reaches to the end of the recording.
    """

    utterance_id: str
    path: Path
    text: str
    speaker: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None


@dataclass(frozen=True)
class Window:
    """One model input within a recording, in samples: ``[start, stop)`` of which ``left`` and ``right`` are context."""

    start: int
    stop: int
    left: int
    right: int


@dataclass(frozen=True)
class Word:
    """One word of a hypothesis, and where it comes from.

    Attributes:
        text: As the model wrote it, without the blanks around it.
        window: Which of the recording's windows it was read in, from 0.
        start_s: Start within the recording in seconds; null where the model tells no times.
        end_s: End, likewise.
        seam_s: Seconds from the middle of the word to the nearest seam between windows; null without times or seams.
    """

    text: str
    window: int
    start_s: float | None = None
    end_s: float | None = None
    seam_s: float | None = None


@dataclass(frozen=True)
class Transcript:
    """The text of one recording, its words, and the windows it was joined from.

    The words, joined by blanks where the language has any, are the text.
    """

    text: str
    words: tuple[Word, ...]
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Job:
    """One run to execute.

    Attributes:
        replicate: Which of the trial's runs, from 0.
        attempt: Which try at this run, from 1.
        model_path: Folder of the model's files; empty for an engine without any.
        model_fingerprint: Equal for equal files.
        data_name: Short name of the data set, for people.
        data_fingerprint: Equal for equal transcripts, spans and audio.
    """

    study: str
    trial_id: str
    replicate: int
    attempt: int
    config: Config
    model_path: str
    utterances: tuple[Utterance, ...]
    model_fingerprint: str | None
    data_name: str
    data_fingerprint: str

    @property
    def run_id(self) -> str:
        """Unique name of the run: the trial and the replicate."""
        return f"{self.trial_id}-{self.replicate}"


@dataclass(frozen=True)
class PhaseTimes:
    """Where the time of one pass over all recordings went, in seconds.

    ``inference_s`` is the wall time of the whole pass; the phases are parts of it, and what they leave is the harness's
    own bookkeeping within the pass.

    Attributes:
        segment_s: Cutting recordings into windows; with ``decode.strategy=vad`` that is listening for silences.
        features_s: The model's inputs; where they are made while the model runs, what was waited for them.
        encode_s: The encoder.
        decode_s: The token loop, or picking each frame's class.
        align_s: Finding out when each word was said.
        merge_s: Joining windows, and token ids to text.
    """

    inference_s: float
    segment_s: float
    features_s: float
    encode_s: float
    decode_s: float
    align_s: float
    merge_s: float


PHASES = tuple(field.name for field in fields(PhaseTimes) if field.name != "inference_s")
"""Names of the phases within ``inference_s``, in their order."""


@dataclass(frozen=True)
class WordCounts:
    """Addable counts of a word alignment: substitutions, deletions, insertions and hits."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    hits: int = 0

    def __add__(self, other: "WordCounts") -> "WordCounts":
        return WordCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.hits + other.hits,
        )

    @property
    def reference_words(self) -> int:
        """Words of the reference; each is hit, substituted or deleted."""
        return self.substitutions + self.deletions + self.hits

    @property
    def wer(self) -> float | None:
        """Word error rate (S + D + I) / N; null where the reference has no words, for then no rate exists."""
        errors = self.substitutions + self.deletions + self.insertions
        return errors / self.reference_words if self.reference_words else None


@dataclass(frozen=True)
class Degeneracy:
    """How far a hypothesis is no misheard speech but something else; see :mod:`bench.score.degenerate`.

    Attributes:
        compression_ratio: How many times shorter zlib makes its most repetitive span; null without text.
        looped_words: Words that only repeat what was just said, beyond those of the reference.
        looping: Whether it repeats itself so much that it counts as a loop.
        silent_words: Words where nothing was said: against a reference without words, or read in silent windows.
        hypothesis_language: ISO 639-1 code; null where it cannot be told with confidence.
        reference_language: Likewise.
        wrong_language: Whether the two differ; null where either is null.
    """

    compression_ratio: float | None
    looped_words: int
    looping: bool
    silent_words: int
    hypothesis_language: str | None
    reference_language: str | None
    wrong_language: bool | None


@dataclass(frozen=True)
class UtteranceResult:
    """What a run made of one utterance.

    Attributes:
        windows: Number of windows it was cut into.
        hypothesis: Null where ``error`` says why, or where the model's weights are random and its text means nothing;
            so are ``counts`` and ``degeneracy``.
        words: The hypothesis's words, and where each comes from.
    """

    utterance: Utterance
    audio_s: float | None
    windows: int | None
    hypothesis: str | None
    counts: WordCounts | None
    error: str | None = None
    words: tuple[Word, ...] = ()
    degeneracy: Degeneracy | None = None


@dataclass(frozen=True)
class MemoryUse:
    """Memory of the run's process in MiB; GPU values are null without a GPU.

    Attributes:
        rss_at_start_mib: Resident set before the model was loaded: pages shared with the process server.
        load_peak_rss_mib: Kernel's peak (VmHWM) up to the end of loading.
        rss_after_load_mib: Resident set once the model was loaded.
        peak_rss_mib: Kernel's peak from then on: audio, warm-up and inference.
        peak_rss_source: ``vmhwm`` where that is so; ``vmhwm_since_start`` where the peak could not be reset, and the
            one of loading may stand for it.
        peak_gpu_allocated_mib: Peak of torch's live tensors after loading.
        peak_gpu_reserved_mib: Peak of what torch's allocator held from the device after loading.
    """

    rss_at_start_mib: float | None = None
    load_peak_rss_mib: float | None = None
    rss_after_load_mib: float | None = None
    peak_rss_mib: float | None = None
    peak_rss_source: str | None = None
    peak_gpu_allocated_mib: float | None = None
    peak_gpu_reserved_mib: float | None = None


@dataclass(frozen=True)
class TrialOutcome:
    """What the run's own process reports at its end.

    Attributes:
        load_s: Seconds from the start of loading to a model ready on its device.
        audio_decode_s: Seconds to decode and resample all recordings.
        warmup_s: Seconds of each warm-up pass.
        passes: One entry a timed repeat.
        cpu_s: CPU seconds the process used in each timed repeat, all threads together.
        batch_size: Windows that were decoded together, at most.
        audio_files_decoded: Recordings that this run decoded; the others' samples were in the cache.
    """

    load_s: float
    audio_decode_s: float
    warmup_s: tuple[float, ...]
    passes: tuple[PhaseTimes, ...]
    cpu_s: tuple[float, ...]
    memory: MemoryUse
    utterances: tuple[UtteranceResult, ...]
    batch_size: int = 1
    audio_files_decoded: int = 0
    torch_threads: int | None = None

    @property
    def audio_s(self) -> float:
        """Seconds of audio that were transcribed."""
        return sum(item.audio_s for item in self.utterances if item.audio_s is not None)

    @property
    def counts(self) -> WordCounts:
        """Word counts of all scored utterances together."""
        return sum((item.counts for item in self.utterances if item.counts is not None), WordCounts())

    @property
    def inference_s(self) -> float:
        """Median seconds of a pass over all recordings."""
        return statistics.median(one.inference_s for one in self.passes)

    @property
    def rtfx(self) -> float:
        """Inverse real-time factor: seconds of audio for each second of inference."""
        return self.audio_s / self.inference_s


@dataclass(frozen=True)
class Sample:
    """One look at the run's process from outside.

    Attributes:
        t_s: Seconds since the process was asked for.
        phase: What the process was doing.
        cpu_pct: CPU use since the sample before; 100 is one core.
        rss_mib: Resident set.
        gpu_util_pct: Share of time in which the GPU executed anything, all processes.
        gpu_memory_mib: Memory in use on the device, all processes.
        gpu_process_mib: Memory the driver ascribes to this process.
        gpu_power_w: Power draw of the board.
    """

    t_s: float
    phase: str
    cpu_pct: float | None
    rss_mib: float | None
    gpu_util_pct: float | None = None
    gpu_memory_mib: float | None = None
    gpu_process_mib: float | None = None
    gpu_power_w: float | None = None


@dataclass(frozen=True)
class Environment:
    """Where a run took place. What is null could not be found out.

    Attributes:
        cpu_model: Name of the processor.
        cpu_cores: Logical processors of the machine.
        cpu_usable: Logical processors this process may use.
        ram_mib: Memory of the machine.
        gpu: Name of the GPU, if the run used one.
        gpu_driver: Version of its driver.
        os: System and release.
        python: Version of the interpreter.
        torch_threads: Threads torch used within an operation.
        harness: Version of asr-sweep.
        commit: Commit of the harness where it runs from a checkout, with ``-dirty`` if files were changed.
    """

    cpu_model: str | None
    cpu_cores: int | None
    cpu_usable: int | None
    ram_mib: float | None
    gpu: str | None
    gpu_driver: str | None
    os: str | None
    python: str | None
    torch: str | None
    transformers: str | None
    harness: str | None
    commit: str | None
    torch_threads: int | None = None


@dataclass(frozen=True)
class RunResult:
    """One finished run, whatever its end; ``outcome`` is null unless the process reached it.

    Attributes:
        wall_s: Seconds from asking for the process until it was gone.
        started_at: UTC time in ISO 8601.
    """

    job: Job
    status: Status
    status_reason: str | None
    retryable: bool
    started_at: str
    wall_s: float
    outcome: TrialOutcome | None
    timeline: tuple[Sample, ...]
    environment: Environment
    traceback: str | None = None
