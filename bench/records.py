"""The typed rows that cross module borders. All are immutable; every field states its unit."""

import statistics
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.config import Config
from bench.races import Race, Standing
from bench.readings import (
    Certificate,
    Counters,
    EnergyUse,
    Environment,
    Footprint,
    Lap,
    MemoryUse,
    PhaseMark,
    PhaseTimes,
    Runtime,
    Sample,
)
from bench.trainings import Training

Samples: TypeAlias = NDArray[np.float32]
"""Mono audio, shape ``(samples,)``, values in [-1, 1]."""


class Status(StrEnum):
    """How a run ended."""

    ok = "ok"
    oom = "oom"
    error = "error"
    timeout = "timeout"
    pruned = "pruned"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One transcribed span of a recording.

    Attributes:
        utterance_id: Unique within a data set, stable between runs.
        path: The recording; of no meaning where there is an error.
        text: Reference transcript, as the manifest has it.
        speaker: Speaker label, if known.
        start_s: Start of the span within the recording, in seconds.
        duration_s: Length of the span in seconds; null reaches to the end of the recording.
        error: Why it cannot be used, where that is known before its audio is read.
        content: Name of the recording's content when the data set was read (:mod:`bench.data.content`); null where
            nobody has looked.
    """

    utterance_id: str
    path: Path
    text: str
    speaker: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    error: str | None = None
    content: str | None = None


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
        number: Which of the study's trials this is, in the order they began, from 0.
        point: What is particular to the trial, as JSON: the settings that vary, with their values.
        part: What the data is for: ``search``, or ``holdout`` for what was kept aside.
        race: What the run has to beat to be completed; null where it is completed in any case.
        training: What the model is trained on before it transcribes; nothing where it is taken as it is.
        fold: Which fold of the data is transcribed, from 0; null without cross-validation.
        repeat: Which division of the data the fold is of, from 0.
        trained_model: Folder for the model that is trained.
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
    number: int = 0
    point: str = "{}"
    part: str = "search"
    race: Race | None = None
    training: tuple[Utterance, ...] = ()
    fold: int | None = None
    repeat: int | None = None
    trained_model: str = ""

    @property
    def run_id(self) -> str:
        """Unique name of the run: the trial and the replicate."""
        return f"{self.trial_id}-{self.replicate}"


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
        latency_s: Seconds from its samples to its text with nothing else going on (``measure.single_stream``).
        seams_s: Seconds from the start of the recording at which its windows are joined, rising.
        snr_db: How far its speech stands out from the noise (:mod:`bench.score.snr`); null where that cannot be told.
    """

    utterance: Utterance
    audio_s: float | None
    windows: int | None
    hypothesis: str | None
    counts: WordCounts | None
    error: str | None = None
    words: tuple[Word, ...] = ()
    degeneracy: Degeneracy | None = None
    latency_s: float | None = None
    seams_s: tuple[float, ...] = ()
    snr_db: float | None = None


@dataclass(frozen=True)
class TrialOutcome:
    """What the run's own process reports at its end.

    Attributes:
        load_s: Seconds from the start of loading to a model ready on its device; its files were in memory already.
        audio_decode_s: Seconds to decode and resample all recordings.
        warmup_s: Seconds of each warm-up pass; the first is the cold call.
        passes: One entry a timed repeat.
        cpu_s: CPU seconds the process used in each timed repeat, all threads together.
        batch_size: Windows that were decoded together, at most.
        batch_size_searched: Whether the run found that number by itself (``decode.batch_size=auto``).
        audio_files_decoded: Recordings that this run decoded; the others' samples were in the cache.
        files_s: Seconds to read the model's files once, so that loading meets them in memory.
        single_stream_s: Seconds that transcribing utterances one at a time took, all of them.
        laps: The batches of all timed passes.
        counters: What happened on the machine during the timed passes.
        standing: How the run did in a race, where it took part in one.
        training: How the model was trained before, where it was.
    """

    load_s: float
    audio_decode_s: float
    warmup_s: tuple[float, ...]
    passes: tuple[PhaseTimes, ...]
    cpu_s: tuple[float, ...]
    memory: MemoryUse
    utterances: tuple[UtteranceResult, ...]
    batch_size: int = 1
    batch_size_searched: bool = False
    audio_files_decoded: int = 0
    files_s: float = 0.0
    single_stream_s: float = 0.0
    laps: tuple[Lap, ...] = ()
    counters: Counters | None = None
    footprint: Footprint = field(default_factory=Footprint)
    runtime: Runtime = field(default_factory=Runtime)
    standing: Standing | None = None
    training: Training | None = None

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
class RunResult:
    """One finished run, whatever its end; ``outcome`` is null unless the process reached it.

    Attributes:
        wall_s: Seconds from asking for the process until it was gone.
        started_at: UTC time in ISO 8601.
        marks: The beginnings of its phases.
        energy: Energy of the timed passes.
        gpu_memory_before_mib: Memory in use on the GPU just before the run, all processes.
        cgroup_peak_mib: Peak memory of the container meanwhile, page cache too; null where it had been higher before.
        standing: How it did in a race, where it took part in one; a run that was ended early has this and no outcome.
        certificate: How far its timing can be trusted; null where nothing was timed.
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
    marks: tuple[PhaseMark, ...] = ()
    energy: EnergyUse = field(default_factory=EnergyUse)
    gpu_memory_before_mib: float | None = None
    cgroup_peak_mib: float | None = None
    standing: Standing | None = None
    certificate: Certificate | None = None
