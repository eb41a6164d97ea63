"""One run, start to end, within its own process: train where asked, load, decode audio, warm up, repeat, score."""

import gc
import math
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from bench.config import AUTO, Config, DecodeConfig, OnError, Parity, Task, Weights
from bench.data.audio import load_recordings
from bench.errors import AudioError
from bench.inference.batch_size import largest
from bench.inference.engine import Engine
from bench.inference.engines import engine_version, load_engine
from bench.inference.passes import Work
from bench.inference.seams import seams_s
from bench.inference.transcribe import Plans, decode_once, plan, transcribe
from bench.measure import device, memory
from bench.measure.clock import PhaseClock
from bench.readings import MemoryUse
from bench.records import Job, Samples, Transcript, TrialOutcome, Utterance, UtteranceResult, WordCounts
from bench.score.degenerate import judge
from bench.score.normalize import normalizer
from bench.score.race import Referee
from bench.score.snr import snr_db
from bench.score.wer import count_words
from bench.store import UNFINISHED_MODEL

Mark = Callable[[str], None]
"""Tells the outside which phase begins."""

Tell = Callable[[str], None]
"""Tells the outside how far something is that takes long, for people."""


def run(job: Job, mark: Mark, tell: Tell = lambda _: None) -> TrialOutcome:
    """Execute one run and report what it measured.

    A recording that cannot be decoded is left out of the measurement and reported with its reason.

    Args:
        job: What to run.
        mark: Called at the start of each phase: files, load, audio, batch size, warm-up, inference, memory, single
            stream, score; and before those of a training: training data, training batch size, training, validation.
        tell: Told now and then how far a training is.

    Raises:
        BenchError: The run cannot be done as asked; the message says why.
        Beaten: The run takes part in a race and was ended.
    """
    device.require(job.config.device)
    seed_everything(job.config)
    return _trained(job, mark, tell) if job.config.task is Task.finetune else _transcribed(job, mark)


def _trained(job: Job, mark: Mark, tell: Tell) -> TrialOutcome:
    """Train the model, and transcribe with it as with any other."""
    from bench.finetune.train import train  # the trainer takes seconds to import, which other runs need not pay

    folder = Path(job.trained_model)
    on_the_way = folder.with_name(f"{UNFINISHED_MODEL}{folder.name}")
    config = replace(job.config, model=replace(job.config.model, weights=Weights.pretrained))

    def validate(model: Path) -> float | None:
        return _wer(replace(job, config=config, model_path=str(model)))

    try:
        training = train(job.config, job.model_path, job.training, on_the_way, validate, mark, tell)
        gc.collect()
        device.empty_cache(config.device)
        memory.give_back_freed()
        outcome = _transcribed(replace(job, config=config, model_path=str(on_the_way)), mark)
        last = replace(training.curve[-1], loss=None, learning_rate=None, grad_norm=None, wer=outcome.counts.wer)
        if config.finetune.save:
            shutil.rmtree(folder, ignore_errors=True)
            on_the_way.replace(folder)
        return replace(outcome, training=replace(training, curve=(*training.curve, last)))
    finally:
        shutil.rmtree(on_the_way, ignore_errors=True)


def _wer(job: Job) -> float | None:
    """Transcribe a run's utterances without measuring anything; returns their word error rate."""
    config = job.config
    engine = load_engine(config, job.model_path)
    normalize = normalizer(config.score.normalizer)
    loaded = load_recordings(_with_words(job.utterances, config), engine.rate_hz, config.data.max_duration_s)
    usable = [
        (item.text, samples)
        for item, samples in zip(job.utterances, loaded.recordings, strict=True)
        if not isinstance(samples, AudioError)
    ]
    batch_size = DecodeConfig().batch_size if config.decode.batch_size == AUTO else config.decode.batch_size
    said = transcribe(engine, [samples for _, samples in usable], config.decode, int(batch_size), PhaseClock())
    pairs = zip((text for text, _ in usable), said, strict=True)
    return sum((count_words(normalize(text), normalize(one.text)) for text, one in pairs), WordCounts()).wer


def _transcribed(job: Job, mark: Mark) -> TrialOutcome:
    config = job.config
    synchronize = device.synchronizer(config.device)
    memory.bound_heap()
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
    rate_hz, footprint, batch_size = engine.rate_hz, engine.footprint, work.batch_size
    del engine, work  # so that scoring takes no memory beyond what inference took
    memory.give_back_freed()
    return TrialOutcome(
        load_s=loading.load_s,
        audio_decode_s=audio_decode_s,
        warmup_s=warmup_s,
        passes=timed.passes,
        cpu_s=timed.cpu_s,
        memory=use,
        utterances=_score(job.utterances, loaded.recordings, timed.transcripts, latency_s, rate_hz, config),
        batch_size=batch_size,
        batch_size_searched=config.decode.parity is Parity.locked and isinstance(config.decode.batch_size, str),
        audio_files_decoded=loaded.decoded,
        files_s=loading.files_s,
        single_stream_s=single_stream_s,
        laps=timed.laps,
        counters=timed.counters,
        standing=None if referee is None else referee.standing,
        footprint=footprint,
        runtime=replace(device.runtime(), engine_version=engine_version(config.engine)),
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
    # An engine that decodes by its own defaults takes one recording after another.
    batch_size = 1 if config.decode.parity is Parity.native else config.decode.batch_size
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
        seams, heard_db = tuple(seams_s(transcript.windows, rate_hz)), snr_db(samples, rate_hz)
        if config.model.weights is Weights.random:
            results.append(
                UtteranceResult(
                    utterance,
                    audio_s,
                    windows,
                    None,
                    None,
                    latency_s=latency,
                    seams_s=seams,
                    snr_db=heard_db,
                )
            )
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
                seams_s=seams,
                snr_db=heard_db,
            )
        )
    return tuple(results)
