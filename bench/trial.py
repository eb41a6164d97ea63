"""One run, start to end, within its own process: load, decode audio, warm up, repeat, score."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from bench.config import Config, OnError, Weights
from bench.data.audio import load_recordings
from bench.errors import AudioError
from bench.inference.batch_size import largest
from bench.inference.engine import Engine
from bench.inference.models import load_engine
from bench.inference.passes import Work
from bench.inference.transcribe import Plans, decode_once, plan
from bench.measure import device, memory
from bench.measure.clock import PhaseClock
from bench.readings import MemoryUse
from bench.records import Job, Samples, Transcript, TrialOutcome, Utterance, UtteranceResult
from bench.score.degenerate import judge
from bench.score.normalize import normalizer
from bench.score.race import Referee
from bench.score.wer import count_words

Mark = Callable[[str], None]
"""Tells the outside which phase begins."""


def run(job: Job, mark: Mark) -> TrialOutcome:
    """Execute one run and report what it measured.

    A recording that cannot be decoded is left out of the measurement and reported with its reason.

    Args:
        job: What to run.
        mark: Called at the start of each phase: files, load, audio, batch size, warm-up, inference, memory, single
            stream, score.

    Raises:
        BenchError: The run cannot be done as asked; the message says why.
        Beaten: The run takes part in a race and was ended.
    """
    config = job.config
    device.require(config.device)
    synchronize = device.synchronizer(config.device)
    memory.bound_heap()
    seed_everything(config)
    rss_at_start_mib = memory.resident_mib()

    engine, loading = _load(job, synchronize, mark)

    mark("audio")
    utterances = _with_words(job.utterances, config)
    started = time.perf_counter()
    loaded = load_recordings(utterances, engine.rate_hz, config.data.max_duration_s)
    audio_decode_s = time.perf_counter() - started
    work = _prepare(engine, loaded.recordings, config, synchronize, mark)

    mark("warm-up")
    warmup_s = tuple(work.warm_up() for _ in range(config.measure.warmup))

    mark("inference")
    referee = _referee(job, loaded.recordings)
    timed = work.timed(config.measure.repeats, referee)
    mark("memory")
    use = _memory_use(rss_at_start_mib, loading, config.device)

    mark("single stream")
    started = time.perf_counter()
    latency_s = work.one_at_a_time(config.measure.single_stream)
    single_stream_s = time.perf_counter() - started

    mark("score")
    return TrialOutcome(
        load_s=loading.load_s,
        audio_decode_s=audio_decode_s,
        warmup_s=warmup_s,
        passes=timed.passes,
        cpu_s=timed.cpu_s,
        memory=use,
        utterances=_score(job.utterances, loaded.recordings, timed.transcripts, latency_s, engine.rate_hz, config),
        batch_size=work.batch_size,
        batch_size_searched=isinstance(config.decode.batch_size, str),
        audio_files_decoded=loaded.decoded,
        files_s=loading.files_s,
        single_stream_s=single_stream_s,
        laps=timed.laps,
        counters=timed.counters,
        standing=None if referee is None else referee.standing,
        footprint=engine.footprint,
        runtime=device.runtime(),
    )


@dataclass(frozen=True)
class _Loading:
    """What loading a model took; ``peak_source`` says since when the kernel counts the process's peak."""

    files_s: float
    load_s: float
    peak_rss_mib: float | None
    rss_after_mib: float | None
    peak_source: str


def _load(job: Job, synchronize: Callable[[], None], mark: Mark) -> tuple[Engine, _Loading]:
    """Load the model, and count peaks of memory anew."""
    mark("files")
    started = time.perf_counter()
    if job.model_path:
        # A disk is no property of a model: what loading reads is in memory by then.
        memory.read_through(Path(job.model_path))
    files_s = time.perf_counter() - started

    mark("load")
    started = time.perf_counter()
    engine = load_engine(job.config, job.model_path)
    synchronize()
    load_s = time.perf_counter() - started
    peak_rss_mib, rss_after_mib = memory.peak_resident_mib(), memory.resident_mib()
    # From here on the peak is that of audio and inference: a high peak while loading must not hide it.
    peak_source = "vmhwm" if memory.reset_peak() else "vmhwm_since_start"
    device.reset_gpu_peaks(job.config.device)
    return engine, _Loading(files_s, load_s, peak_rss_mib, rss_after_mib, peak_source)


def _memory_use(rss_at_start_mib: float | None, loading: _Loading, on: str) -> MemoryUse:
    """Read every peak; what follows belongs to none."""
    gpu_allocated_mib, gpu_reserved_mib = device.gpu_peaks_mib(on)
    peak_rss_mib = memory.peak_resident_mib()
    return MemoryUse(
        rss_at_start_mib=rss_at_start_mib,
        load_peak_rss_mib=loading.peak_rss_mib,
        rss_after_load_mib=loading.rss_after_mib,
        peak_rss_mib=peak_rss_mib,
        peak_rss_source=None if peak_rss_mib is None else loading.peak_source,
        peak_gpu_allocated_mib=gpu_allocated_mib,
        peak_gpu_reserved_mib=gpu_reserved_mib,
        **memory.kinds(),
    )


def _with_words(utterances: Sequence[Utterance], config: Config) -> list[Utterance]:
    """Mark utterances whose references have no words: against them nothing can be right.

    Random weights are compared with nothing, and need none.
    """
    if config.model.weights is Weights.random:
        return list(utterances)
    normalize = normalizer(config.score.normalizer)

    def why(text: str) -> str:
        said = f"{text!r:.80} has no words under score.normalizer={config.score.normalizer}" if text else "is empty"
        return f"its transcript {said}; give what is said, or take it out of the data"

    return [
        # A normaliser may leave a full stop, which is no word.
        item
        if item.error is not None or any(map(str.isalnum, normalize(item.text)))
        else replace(item, error=why(item.text))
        for item in utterances
    ]


def _prepare(
    engine: Engine,
    audio: Sequence[Samples | AudioError],
    config: Config,
    synchronize: Callable[[], None],
    mark: Mark,
) -> Work:
    """Cut what could be decoded into windows, and settle how many go together."""
    recordings = [samples for samples in audio if not isinstance(samples, AudioError)]
    unusable = [samples for samples in audio if isinstance(samples, AudioError)]
    if not recordings:
        raise AudioError(f"none of the {len(audio)} utterances can be used; the first: {unusable[0]}")
    if unusable and config.data.on_error is OnError.fail:
        raise AudioError(
            f"{len(unusable)} of the {len(audio)} utterances cannot be used (data.on_error=fail); the first:"
            f" {unusable[0]}"
        )
    plans = plan(engine, recordings, config.decode)
    batch_size = config.decode.batch_size
    if isinstance(batch_size, str):
        mark("batch size")
        batch_size = largest_batch(engine, recordings, plans, config)
        # What was tried and did not fit is no part of what inference needs.
        memory.reset_peak()
        device.reset_gpu_peaks(config.device)
    return Work(engine, recordings, plans, config.decode, batch_size, synchronize, prefetch=config.device != "cpu")


def _referee(job: Job, audio: Sequence[Samples | AudioError]) -> Referee | None:
    """Make the referee of a race, who sees the utterances that could be decoded."""
    if job.race is None:
        return None
    usable = [item for item, samples in zip(job.utterances, audio, strict=True) if not isinstance(samples, AudioError)]

    def peaks_mib() -> dict[str, float | None]:
        allocated, reserved = device.gpu_peaks_mib(job.config.device)
        resident = memory.peak_resident_mib()
        return {
            "peak_rss_mib": resident,
            "peak_gpu_allocated_mib": allocated,
            "peak_gpu_reserved_mib": reserved,
        }

    return Referee(job.race, usable, normalizer(job.config.score.normalizer), job.config.seed, peaks_mib)


def seed_everything(config: Config) -> None:
    """Seed every random generator of this process, and set its threads."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    random.seed(config.seed)
    np.random.seed(config.seed)
    torch.manual_seed(config.seed)


def largest_batch(engine: Engine, recordings: Sequence[Samples], plans: Plans, config: Config) -> int:
    """Find how many windows go together at most, by decoding ever larger batches.

    Args:
        engine: A loaded model.
        recordings: Mono audio at ``engine.rate_hz``, each of shape ``(samples,)``.
        plans: Their windows.
        config: Where the model runs.

    Raises:
        MemoryError: Not even one window fits.
    """

    def attempt(size: int) -> None:
        try:
            decode_once(engine, recordings, plans, size, PhaseClock())
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()  # what the failed batch left would be in the way of the next one
            raise MemoryError from error

    return largest(
        attempt,
        most=max(1, sum(map(len, plans))),
        free_mib=memory.available_mib if config.device == "cpu" else lambda: math.inf,
        used_mib=lambda: memory.peak_resident_mib() or 0.0,
    )


def _score(
    utterances: Sequence[Utterance],
    audio: Sequence[Samples | AudioError],
    transcripts: Sequence[Transcript],
    latency_s: Sequence[float],
    rate_hz: int,
    config: Config,
) -> tuple[UtteranceResult, ...]:
    """Pair every utterance with its transcript, or with the reason why it has none.

    The first usable utterances have a latency each, as many as were transcribed by themselves.

    Random weights say nothing that could be compared: such utterances keep their length and windows, and no text.
    """
    normalize = normalizer(config.score.normalizer)
    remaining = iter(zip_longest(transcripts, latency_s))
    results = []
    for utterance, samples in zip(utterances, audio, strict=True):
        if isinstance(samples, AudioError):
            results.append(UtteranceResult(utterance, None, None, None, None, error=str(samples)))
            continue
        transcript, latency = next(remaining)
        audio_s, windows = len(samples) / rate_hz, len(transcript.windows)
        if config.model.weights is Weights.random:
            results.append(UtteranceResult(utterance, audio_s, windows, None, None, latency_s=latency))
            continue
        results.append(
            UtteranceResult(
                utterance,
                audio_s,
                windows,
                transcript.text,
                count_words(normalize(utterance.text), normalize(transcript.text)),
                words=transcript.words,
                degeneracy=judge(utterance.text, transcript, samples, normalize),
                latency_s=latency,
            )
        )
    return tuple(results)
