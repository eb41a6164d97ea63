"""A finished run as rows of the tables."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.config import AUTO, Config, flatten, left_to_engine
from bench.readings import PHASES, Certificate, Sample
from bench.records import RunResult, TrialOutcome, UtteranceResult, WordCounts
from bench.schema import PERCENTILES, SCHEMA_VERSION
from bench.trainings import Training

Row = dict[str, Any]

_PEAK_PHASES = ("audio", "warm-up", "inference")  # as the kernel's and torch's own peaks have it


def run_row(result: RunResult) -> Row:
    """Describe the run itself, whatever its end."""
    job = result.job
    environment = result.environment
    row: Row = {
        **dict(flatten(job.config)),
        **{name: None for name, value in flatten(job.config) if value == AUTO and name.endswith("batch_size")},
        **{name: None for name, _ in flatten(job.config) if left_to_engine(job.config.decode, name)},
        **_keys(result),
        "trial_number": job.number,
        "point": job.point,
        "part": job.part,
        "fold": job.fold,
        "repeat": job.repeat,
        "status_reason": result.status_reason,
        "retryable": result.retryable,
        "traceback": result.traceback,
        "started_at": result.started_at,
        "model.fingerprint": job.model_fingerprint,
        "data.name": job.data_name,
        "data.fingerprint": job.data_fingerprint,
        "utterances": len(job.utterances),
        "wall_s": result.wall_s,
        "marks": [dataclasses.asdict(mark) for mark in result.marks],
        "cgroup_peak_mib": result.cgroup_peak_mib,
        "peak_descendants_rss_mib": _highest(result.timeline, "descendants_rss_mib"),
    }
    if result.outcome is not None:
        row |= _outcome_columns(result.outcome, result.wall_s)
        row |= _energy_columns(result, result.outcome) | _price_columns(job.config, result.outcome)
        environment = dataclasses.replace(environment, **dataclasses.asdict(result.outcome.runtime))
    if job.race is not None:
        row["race_goal"] = job.race.goal
    if result.standing is not None:
        told = dataclasses.asdict(result.standing)
        # A run that was ended reports nothing else; of the others these are not the whole peaks.
        peaks_mib = told.pop("peaks_mib")
        row |= {f"race_{name}": value for name, value in told.items()}
        row |= peaks_mib if result.outcome is None else {}
    if result.certificate is not None:
        row |= _certificate_columns(result.certificate)
    if row.get("peak_rss_mib") is None:
        row |= _sampled_peak(result)
    row |= _gpu_columns(result)
    row["activations_mib"] = _rest_of_peak(row, on_gpu=job.config.device != "cpu")
    return _storable(row | {f"env.{name}": value for name, value in flatten(environment)})


def utterance_rows(result: RunResult) -> list[Row]:
    """Describe every utterance of a run; none for a run that did not reach its end."""
    keys = _keys(result)
    return [
        _storable(
            {
                **keys,
                "utterance_id": item.utterance.utterance_id,
                "path": str(item.utterance.path),
                "speaker": item.utterance.speaker,
                "start_s": item.utterance.start_s,
                "audio_s": item.audio_s,
                "windows": item.windows,
                "reference": item.utterance.text,
                "hypothesis": item.hypothesis,
                **({} if item.counts is None else _count_columns(item.counts) | {"wer": item.counts.wer}),
                **({} if item.degeneracy is None else dataclasses.asdict(item.degeneracy)),
                "latency_s": item.latency_s,
                "snr_db": item.snr_db,
                "seams_s": None if item.windows is None else list(item.seams_s),
                "words": None
                if item.hypothesis is None
                else [_storable(dataclasses.asdict(word)) for word in item.words],
                "error": item.error,
            }
        )
        for item in (result.outcome.utterances if result.outcome is not None else ())
    ]


def timeline_rows(result: RunResult) -> list[Row]:
    """Describe every look at the run's process."""
    keys = _keys(result)
    return [keys | dataclasses.asdict(sample) for sample in result.timeline]


def curve_rows(result: RunResult) -> list[Row]:
    """Describe every look at the run's training; none for a run that trains nothing."""
    training = None if result.outcome is None else result.outcome.training
    keys = _keys(result) | {"fold": result.job.fold, "repeat": result.job.repeat}
    return [keys | dataclasses.asdict(point) for point in (training.curve if training else ())]


def _keys(result: RunResult) -> Row:
    job = result.job
    return {
        "schema_version": SCHEMA_VERSION,
        "study": job.study,
        "trial_id": job.trial_id,
        "run_id": job.run_id,
        "replicate": job.replicate,
        "attempt": job.attempt,
        "status": result.status.value,
    }


def _outcome_columns(outcome: TrialOutcome, wall_s: float) -> Row:
    inference_s = [one.inference_s for one in outcome.passes]
    # The phases of one pass add up; medians taken phase by phase would not.
    typical = sorted(outcome.passes, key=lambda one: one.inference_s)[(len(outcome.passes) - 1) // 2]
    counts = outcome.counts
    accounted_s = outcome.files_s + outcome.load_s + outcome.audio_decode_s + sum(outcome.warmup_s)
    accounted_s += sum(inference_s) + outcome.single_stream_s
    if (training := outcome.training) is not None:
        accounted_s += training.load_s + training.search_s + training.train_s + training.validate_s
    return {
        "utterances_failed": sum(item.error is not None for item in outcome.utterances),
        "audio_s": outcome.audio_s,
        "audio_files_decoded": outcome.audio_files_decoded,
        "batch_size": outcome.batch_size,
        "files_s": outcome.files_s,
        "load_s": outcome.load_s,
        "audio_decode_s": outcome.audio_decode_s,
        "warmup_s": list(outcome.warmup_s),
        # A search for the largest batch has run the model before.
        "cold_s": outcome.warmup_s[0] if outcome.warmup_s and not outcome.batch_size_searched else None,
        "single_stream_s": outcome.single_stream_s,
        "laps": [dataclasses.asdict(lap) for lap in outcome.laps],
        **_latency_columns(outcome),
        "inference_s": inference_s,
        **{name: getattr(typical, name) for name in PHASES},
        "overhead_s": wall_s - accounted_s,
        "rtf": 1 / outcome.rtfx,
        "rtfx": outcome.rtfx,
        "cpu_pct": 100 * sum(outcome.cpu_s) / sum(inference_s),
        "wer": counts.wer,
        # What nothing was compared with has no errors to count, which is not the same as none.
        **(_count_columns(counts) if any(item.counts is not None for item in outcome.utterances) else {}),
        **_degenerate_columns(outcome.utterances),
        **dataclasses.asdict(outcome.memory),
        **dataclasses.asdict(outcome.footprint),
        **({} if outcome.counters is None else _prefixed("during", dataclasses.asdict(outcome.counters))),
        **({} if outcome.training is None else _prefixed("train", _training_columns(outcome.training))),
    }


def _training_columns(training: Training) -> Row:
    told = dataclasses.asdict(training)
    del told["curve"]  # a table of its own
    return told


def _latency_columns(outcome: TrialOutcome) -> Row:
    """Percentiles of what a window waits for its batch, and of utterances served one at a time."""
    windows = [lap.seconds for lap in outcome.laps for _ in range(lap.windows)]
    utterances = [item.latency_s for item in outcome.utterances if item.latency_s is not None]
    return {
        f"{what}_latency_{rank}_s": float(np.percentile(seconds, share))
        for what, seconds in (("window", windows), ("utterance", utterances))
        if seconds
        for rank, share in PERCENTILES.items()
    }


def _energy_columns(result: RunResult, outcome: TrialOutcome) -> Row:
    """Energy of the timed passes; the sum holds the parts that ``energy_scope`` names."""
    energy = result.energy
    parts = {name: joules for name, joules in (("cpu", energy.cpu_j), ("gpu", energy.gpu_j)) if joules is not None}
    total = sum(parts.values()) if parts else None
    hours = outcome.audio_s * len(outcome.passes) / 3600
    return {
        "energy_j": total,
        "energy_cpu_j": energy.cpu_j,
        "energy_gpu_j": energy.gpu_j,
        "energy_scope": "+".join(parts) or None,
        "energy_missing": energy.missing,
        "energy_j_per_audio_h": None if total is None else total / hours,
    }


def _price_columns(config: Config, outcome: TrialOutcome) -> Row:
    """What transcribing an hour of audio costs: the device's price an hour, for the hours it takes."""
    price = getattr(config.measure.price_per_hour, config.device.partition(":")[0])
    return {"cost_per_audio_h": None if price is None else price / outcome.rtfx}


def _certificate_columns(certificate: Certificate) -> Row:
    return {
        "valid": certificate.valid,
        "doubts": [{"doubt": one.doubt.value, "detail": one.detail} for one in certificate.findings],
        "unchecked": [doubt.value for doubt in certificate.unchecked],
    }


def _gpu_columns(result: RunResult) -> Row:
    """Memory of the GPU as its driver sees it, and what of it torch's allocator does not explain.

    Containers often hide which process uses what. The device's use beyond that before the run then stands for the
    process's, and says so: it holds whatever others took meanwhile.
    """
    seen = [sample for sample in result.timeline if sample.phase in _PEAK_PHASES]
    process, device = (_highest(seen, name) for name in ("gpu_process_mib", "gpu_memory_mib"))
    before = result.gpu_memory_before_mib
    difference = None if device is None or before is None else max(0.0, device - before)
    used = difference if process is None else process
    reserved = None if result.outcome is None else result.outcome.memory.peak_gpu_reserved_mib
    source = "device_difference" if process is None else "process"
    return {
        "gpu_memory_before_mib": before,
        "peak_gpu_device_mib": difference,
        "peak_gpu_process_mib": process,
        "gpu_memory_source": None if used is None else source,
        "gpu_unexplained_mib": None if used is None or reserved is None else used - reserved,
    }


def _rest_of_peak(row: Row, on_gpu: bool) -> float | None:
    """What weights, features and cache leave of the peak on the run's device: activations and workspace, mostly."""
    peak, base = (
        (row.get("peak_gpu_allocated_mib"), 0.0) if on_gpu else (row["peak_rss_mib"], row.get("rss_at_start_mib"))
    )
    known = [row.get(name) for name in ("weights_mib", "features_mib", "cache_mib")]
    if peak is None or base is None or None in known:
        return None
    return float(peak - base - sum(part for part in known if part is not None))


def _highest(timeline: Sequence[Sample], name: str) -> float | None:
    return max((value for sample in timeline if (value := getattr(sample, name)) is not None), default=None)


def _prefixed(prefix: str, row: Row) -> Row:
    return {f"{prefix}.{name}": value for name, value in row.items()}


def _degenerate_columns(utterances: Sequence[UtteranceResult]) -> Row:
    """Count the utterances whose text is degenerate; null where none was looked at."""
    found = [item.degeneracy for item in utterances if item.degeneracy is not None]
    if not found:
        return {}
    ratios = [one.compression_ratio for one in found if one.compression_ratio is not None]
    return {
        "utterances_looping": sum(one.looping for one in found),
        "utterances_text_in_silence": sum(one.silent_words > 0 for one in found),
        "utterances_wrong_language": sum(one.wrong_language is True for one in found),
        "compression_ratio": max(ratios, default=None),
    }


def _count_columns(counts: WordCounts) -> Row:
    return {**dataclasses.asdict(counts), "reference_words": counts.reference_words}


def _sampled_peak(result: RunResult) -> Row:
    """The highest sample after loading, for a run that could not ask the kernel: a lower bound, marked as such."""
    sampled = [
        sample.rss_mib for sample in result.timeline if sample.rss_mib is not None and sample.phase in _PEAK_PHASES
    ]
    return {"peak_rss_mib": max(sampled, default=None), "peak_rss_source": "sampled" if sampled else None}


def _storable(row: Row) -> Row:
    """Replace lone surrogates, which Python's strings may hold and parquet's may not."""
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }
