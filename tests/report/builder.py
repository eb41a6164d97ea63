"""Study folders made of hand-written records, written by the real store."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.config import Config, DecodeConfig
from bench.races import Standing
from bench.readings import (
    Certificate,
    Doubt,
    EnergyUse,
    Environment,
    Finding,
    Footprint,
    Lap,
    MemoryUse,
    PhaseMark,
    PhaseTimes,
    Runtime,
    Sample,
)
from bench.records import (
    Degeneracy,
    Job,
    RunResult,
    Status,
    TrialOutcome,
    Utterance,
    UtteranceResult,
    WordCounts,
)
from bench.store import write_run, write_study

MACHINE = Environment(
    cpu_model="Test CPU 9000",
    cpu_cores=8,
    cpu_usable=4,
    ram_mib=16000.0,
    gpu=None,
    gpu_driver=None,
    os="Linux 6.1",
    python="3.11.9",
    torch="2.5.0",
    transformers="4.50.0",
    harness="0.1.0",
    commit="0123456",
)

SOUND = Degeneracy(1.2, 0, looping=False, silent_words=0, hypothesis_language="en", reference_language="en",
                   wrong_language=False)  # fmt: skip
LOOPING = dataclasses.replace(SOUND, compression_ratio=11.5, looped_words=80, looping=True)
IN_SILENCE = dataclasses.replace(SOUND, silent_words=3)
IN_WELSH = dataclasses.replace(SOUND, hypothesis_language="cy", wrong_language=True)


VALID = Certificate()


def doubted(*doubts: tuple[Doubt, str], unchecked: Sequence[Doubt] = ()) -> Certificate:
    """Make a certificate with doubts, each with its detail."""
    return Certificate(tuple(Finding(doubt, detail) for doubt, detail in doubts), tuple(unchecked))


def config(chunk_s: float = 10.0, stride_s: float = 1.0, **changes: Any) -> Config:
    """Make a configuration; ``changes`` replace top-level fields."""
    decode = DecodeConfig(chunk_length_s=chunk_s, stride_length_s=stride_s)
    return dataclasses.replace(Config(study="hand", decode=decode), **changes)


def utterance_result(
    number: int,
    errors: int = 0,
    words: int = 100,
    *,
    failed: bool = False,
    reference: str | None = None,
    hypothesis: str = "what was heard",
    degeneracy: Degeneracy = SOUND,
    latency_s: float | None = None,
) -> UtteranceResult:
    """Make one scored utterance with ``errors`` substitutions, or one that could not be read."""
    utterance = Utterance(f"rec{number}", Path(f"rec{number}.wav"), reference or f"what was said {number}")
    if failed:
        return UtteranceResult(utterance, None, None, None, None, error="cannot be decoded: truncated file")
    counts = WordCounts(substitutions=errors, hits=words - errors)
    return UtteranceResult(utterance, 50.0, 4, hypothesis, counts, degeneracy=degeneracy, latency_s=latency_s)


def unscored(number: int) -> UtteranceResult:
    """Make one utterance as random weights leave it: without text."""
    return UtteranceResult(Utterance(f"rec{number}", Path(f"rec{number}.wav"), "what was said"), 50.0, 4, None, None)


def run(
    trial: str,
    settings: Config | None = None,
    *,
    errors: int = 10,
    inference_s: float | Sequence[float] = 10.0,
    peak_mib: float | None = 800.0,
    gpu_mib: float | None = None,
    status: Status = Status.ok,
    reason: str | None = None,
    replicate: int = 0,
    utterances: Sequence[UtteranceResult] | None = None,
    data: tuple[str, str] = ("demo", "f00d"),
    machine: Environment = MACHINE,
    threads: int = 4,
    timeline: Sequence[Sample] = (),
    started_at: str | None = None,
    peak_source: str = "vmhwm",
    certificate: Certificate | None = None,
    warmup_s: Sequence[float] = (1.0,),
    laps: Sequence[Lap] = (),
    marks: Sequence[PhaseMark] = (),
    energy: EnergyUse | None = None,
    footprint: Footprint | None = None,
    memory: Mapping[str, Any] | None = None,
    gpu_before_mib: float | None = None,
    number: int = 0,
    part: str = "search",
    standing: Standing | None = None,
    engine_version: str | None = None,
) -> RunResult:
    """Make one run: 100 s of audio in two recordings of 100 words each unless ``utterances`` says otherwise."""
    settings = settings or config()
    results = tuple(utterances or (utterance_result(1, errors), utterance_result(2)))
    job = Job(
        study="hand",
        trial_id=trial,
        replicate=replicate,
        attempt=1,
        config=settings,
        model_path="models/tiny",
        utterances=tuple(item.utterance for item in results),
        model_fingerprint="weights",
        data_name=data[0],
        data_fingerprint=data[1],
        number=number,
        point=json.dumps({"decode.chunk_length_s": settings.decode.chunk_length_s}),
        part=part,
    )
    times = (inference_s,) if isinstance(inference_s, float | int) else tuple(inference_s)
    outcome = TrialOutcome(
        load_s=1.5,
        audio_decode_s=0.25,
        warmup_s=tuple(warmup_s),
        passes=tuple(
            PhaseTimes(time, *(share * time for share in (0.01, 0.1, 0.3, 0.5, 0.02, 0.05))) for time in times
        ),
        cpu_s=tuple(2 * time for time in times),
        memory=dataclasses.replace(
            MemoryUse(
                *(300.0, 700.0, 600.0, peak_mib, peak_source),
                peak_gpu_allocated_mib=gpu_mib and gpu_mib - 100,
                peak_gpu_reserved_mib=gpu_mib,
            ),
            **(memory or {}),
        ),
        utterances=results,
        laps=tuple(laps),
        footprint=footprint or Footprint(),
        runtime=Runtime(torch_threads=threads, engine_version=engine_version),
    )
    return RunResult(
        job=job,
        status=status,
        status_reason=reason,
        retryable=False,
        started_at=started_at or f"2025-01-01T00:00:{replicate:02d}Z",
        wall_s=20.0,
        outcome=outcome if status is Status.ok else None,
        timeline=tuple(timeline),
        environment=machine,
        marks=tuple(marks),
        energy=energy or EnergyUse(),
        gpu_memory_before_mib=gpu_before_mib,
        certificate=certificate,
        standing=standing,
    )


def pruned(trial: str, settings: Config, share: float, wer: float, by: str, **more: Any) -> RunResult:
    """Make a run that racing ended after a share of the data."""
    so_far = Standing(share, (share,), (10.0 * share,), (0,), wer, 10.0, beaten_by=by)
    reason = f"worse than {by} beyond doubt after {100 * share:.0f} % of the audio (search.racing)"
    return run(trial, settings, status=Status.pruned, reason=reason, standing=so_far, **more)


def completed(share: float = 1.0, wer: float = 0.05) -> Standing:
    """Make how a run did that came through a race."""
    return Standing(share, (share,), (10.0,), (0,), wer, 10.0)


def searched_study(folder: Path, runs: Sequence[RunResult], **search: Any) -> Path:
    """Write the folder of a study with settings of its search, by their names in ``search.*``."""
    usual = {"sampler": "grid", "objectives": ["wer", "rtfx"], "constraints": [], "trials": 40}
    asked = {f"search.{name}": value for name, value in (usual | search).items()}
    return study(folder, runs, config={"device": "cpu"} | asked)


def samples(phases: Sequence[str] = ("load", "audio", "warm-up", "inference"), each: int = 10) -> tuple[Sample, ...]:
    """Make a timeline of 0.1 s steps that climbs through the phases."""
    return tuple(
        Sample(0.1 * (each * at + step), phase, 100.0 + 60 * at, 300.0 + 100 * at + step)
        for at, phase in enumerate(phases)
        for step in range(each)
    )


def study(folder: Path, runs: Sequence[RunResult], **description: Any) -> Path:
    """Write a study's folder as the sweep does."""
    told: dict[str, Any] = {
        "command": "python -m bench run -m decode.chunk_length_s=5,10 decode.stride_length_s=1,2",
        "config": {"device": "cpu", "decode": {"chunk_length_s": 10.0}},
        "space": {"decode.chunk_length_s": [5.0, 10.0], "decode.stride_length_s": [1.0, 2.0]},
        "environment": {"cpu_model": "Test CPU 9000", "python": "3.11.9"},
        "skipped": [],
    }
    write_study(folder, told | description)
    for result in runs:
        write_run(folder, result)
    return folder


def grid_study(folder: Path) -> Path:
    """Write a realistic sweep: chunk by stride, one out of memory, one error, impossible points skipped."""
    runs, skipped = [], []
    words = 1432
    for chunk in (5.0, 10.0, 20.0, 30.0):
        for stride in (0.0, 1.0, 2.0, 3.0, 5.0):
            if 2 * stride >= chunk:
                settings = {"decode.chunk_length_s": chunk, "decode.stride_length_s": stride}
                skipped.append(
                    {"settings": settings, "reason": f"stride {stride:g} is half of chunk {chunk:g} or more"}
                )
                continue
            if (chunk, stride) == (20.0, 5.0):
                continue
            errors = round(words * (0.055 + 0.22 / chunk + 0.06 / (1 + 2 * stride) + (0.004 if stride == 5 else 0)))
            time = 10.0 * chunk / (chunk - 2 * stride) * (1 + 1.5 / chunk)
            ended: dict[str, Any] = {}
            if (chunk, stride) == (30.0, 0.0):
                ended = {"status": Status.oom, "reason": "the kernel's out-of-memory killer ended the run at 7613 MiB"}
            if (chunk, stride) == (5.0, 2.0):
                ended = {
                    "status": Status.error,
                    "reason": "ModelError: the tokenizer returned no token | <b>at all</b>",
                }
            runs.append(
                run(
                    f"t{chunk:02.0f}{stride:02.0f}",
                    config(chunk, stride),
                    inference_s=(time * 1.02, time, time * 1.05),
                    peak_mib=620.0 + 14 * chunk + 3 * stride,
                    utterances=[
                        utterance_result(1, errors // 2, words // 2),
                        utterance_result(2, errors - errors // 2, words - words // 2),
                    ],
                    timeline=samples(),
                    **ended,
                )
            )
    return study(folder, runs, skipped=skipped)
