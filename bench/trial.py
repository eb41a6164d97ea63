"""One run, start to end, within its own process: load, decode audio, warm up, repeat, score."""

import math
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from bench.config import Config, Weights
from bench.data.audio import load_recordings
from bench.errors import AudioError
from bench.inference.batch_size import largest
from bench.inference.engine import Engine
from bench.inference.models import load_engine
from bench.inference.transcribe import Plans, decode_once, plan, transcribe
from bench.measure import device, memory
from bench.measure.clock import PhaseClock
from bench.records import (
    PHASES,
    Job,
    MemoryUse,
    PhaseTimes,
    Samples,
    Transcript,
    TrialOutcome,
    Utterance,
    UtteranceResult,
)
from bench.score.degenerate import judge
from bench.score.normalize import normalizer
from bench.score.wer import count_words

Mark = Callable[[str], None]
"""Tells the outside which phase begins."""


def run(job: Job, mark: Mark) -> TrialOutcome:
    """Execute one run and report what it measured.

    A recording that cannot be decoded is left out of the measurement and reported with its reason.

    Args:
        job: What to run.
        mark: Called at the start of each phase: load, audio, warm-up, inference, score.

    Raises:
        BenchError: The run cannot be done as asked; the message says why.
    """
    config = job.config
    device.require(config.device)
    memory.bound_heap()
    _seed(config)
    synchronize = device.synchronizer(config.device)
    rss_at_start_mib = memory.resident_mib()

    mark("load")
    clock = PhaseClock(synchronize)
    started = time.perf_counter()  # not the device's clock: making its context is part of loading
    engine = load_engine(config, job.model_path)
    load_s = clock.now() - started
    load_peak_rss_mib = memory.peak_resident_mib()
    rss_after_load_mib = memory.resident_mib()
    # From here on the peak is that of audio and inference: a high peak while loading must not hide it.
    peak_rss_source = "vmhwm" if memory.reset_peak() else "vmhwm_since_start"
    device.reset_gpu_peaks(config.device)

    mark("audio")
    started = clock.now()
    loaded = load_recordings(job.utterances, engine.rate_hz)
    audio = loaded.recordings
    audio_decode_s = clock.now() - started
    recordings = [samples for samples in audio if not isinstance(samples, AudioError)]
    if not recordings:
        raise AudioError(f"none of the {len(audio)} utterances can be used; the first: {audio[0]}")

    plans = plan(engine, recordings, config.decode)
    batch_size = config.decode.batch_size
    if isinstance(batch_size, str):
        mark("batch size")
        batch_size = _largest_batch(engine, recordings, plans, config)
        # What was tried and did not fit is no part of what inference needs.
        memory.reset_peak()
        device.reset_gpu_peaks(config.device)

    mark("warm-up")
    warmup_s = [_warm_up(engine, recordings, plans, batch_size, synchronize) for _ in range(config.measure.warmup)]

    mark("inference")
    transcripts, passes, cpu_s = _measure(engine, recordings, batch_size, config, synchronize)
    gpu_allocated_mib, gpu_reserved_mib = device.gpu_peaks_mib(config.device)
    peak_rss_mib = memory.peak_resident_mib()

    # Every peak has been read: what scoring loads belongs to none.
    mark("score")
    return TrialOutcome(
        load_s=load_s,
        audio_decode_s=audio_decode_s,
        warmup_s=tuple(warmup_s),
        passes=passes,
        cpu_s=cpu_s,
        memory=MemoryUse(
            rss_at_start_mib=rss_at_start_mib,
            load_peak_rss_mib=load_peak_rss_mib,
            rss_after_load_mib=rss_after_load_mib,
            peak_rss_mib=peak_rss_mib,
            peak_rss_source=None if peak_rss_mib is None else peak_rss_source,
            peak_gpu_allocated_mib=gpu_allocated_mib,
            peak_gpu_reserved_mib=gpu_reserved_mib,
        ),
        utterances=_score(job.utterances, audio, transcripts, engine.rate_hz, config),
        batch_size=batch_size,
        audio_files_decoded=loaded.decoded,
        torch_threads=torch.get_num_threads(),
    )


def _seed(config: Config) -> None:
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    random.seed(config.seed)
    np.random.seed(config.seed)
    torch.manual_seed(config.seed)


def _largest_batch(engine: Engine, recordings: Sequence[Samples], plans: Plans, config: Config) -> int:
    on_cpu = config.device == "cpu"

    def attempt(size: int) -> None:
        try:
            decode_once(engine, recordings, plans, size, PhaseClock())
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()  # what the failed batch left would be in the way of the next one
            raise MemoryError from error

    return largest(
        attempt,
        most=max(1, sum(map(len, plans))),
        free_mib=memory.available_mib if on_cpu else lambda: math.inf,
        used_mib=lambda: memory.peak_resident_mib() or 0.0,
    )


def _warm_up(
    engine: Engine, recordings: Sequence[Samples], plans: Plans, batch_size: int, synchronize: Callable[[], None]
) -> float:
    clock = PhaseClock(synchronize)
    started = clock.now()
    decode_once(engine, recordings, plans, batch_size, clock)
    return clock.now() - started


def _measure(
    engine: Engine, recordings: Sequence[Samples], batch_size: int, config: Config, synchronize: Callable[[], None]
) -> tuple[list[Transcript], tuple[PhaseTimes, ...], tuple[float, ...]]:
    """Time ``measure.repeats`` passes over all recordings; the transcripts are those of the first."""
    first: list[Transcript] = []
    passes, cpu_s = [], []
    for _ in range(config.measure.repeats):
        clock = PhaseClock(synchronize)
        cpu_started, started = time.process_time(), clock.now()
        transcripts = transcribe(engine, recordings, config.decode, batch_size, clock, prefetch=config.device != "cpu")
        inference_s = clock.now() - started
        cpu_s.append(time.process_time() - cpu_started)
        phases = {name: clock.seconds(name.removesuffix("_s")) for name in PHASES}
        passes.append(PhaseTimes(inference_s, **phases))
        first = first or transcripts
    return first, tuple(passes), tuple(cpu_s)


def _score(
    utterances: Sequence[Utterance],
    audio: Sequence[Samples | AudioError],
    transcripts: Sequence[Transcript],
    rate_hz: int,
    config: Config,
) -> tuple[UtteranceResult, ...]:
    """Pair every utterance with its transcript, or with the reason why it has none.

    Random weights say nothing that could be compared: such utterances keep their length and windows, and no text.
    """
    normalize = normalizer(config.score.normalizer)
    remaining = iter(transcripts)
    results = []
    for utterance, samples in zip(utterances, audio, strict=True):
        if isinstance(samples, AudioError):
            results.append(UtteranceResult(utterance, None, None, None, None, error=str(samples)))
            continue
        transcript = next(remaining)
        audio_s, windows = len(samples) / rate_hz, len(transcript.windows)
        if config.model.weights is Weights.random:
            results.append(UtteranceResult(utterance, audio_s, windows, None, None))
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
            )
        )
    return tuple(results)
