"""A finished run as rows of the three tables."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from bench.config import AUTO, flatten
from bench.records import PHASES, RunResult, TrialOutcome, UtteranceResult, WordCounts
from bench.schema import SCHEMA_VERSION

Row = dict[str, Any]

_OUTSIDE_PEAK = ("start", "load", "score")


def run_row(result: RunResult) -> Row:
    """Describe the run itself, whatever its end."""
    job = result.job
    environment = result.environment
    row: Row = {
        **dict(flatten(job.config)),
        "decode.batch_size": None if job.config.decode.batch_size == AUTO else job.config.decode.batch_size,
        **_keys(result),
        "status_reason": result.status_reason,
        "retryable": result.retryable,
        "traceback": result.traceback,
        "started_at": result.started_at,
        "model.fingerprint": job.model_fingerprint,
        "data.name": job.data_name,
        "data.fingerprint": job.data_fingerprint,
        "utterances": len(job.utterances),
        "wall_s": result.wall_s,
    }
    if result.outcome is not None:
        row |= _outcome_columns(result.outcome, result.wall_s)
        environment = dataclasses.replace(environment, torch_threads=result.outcome.torch_threads)
    if row.get("peak_rss_mib") is None:
        row |= _sampled_peak(result)
    row["peak_gpu_process_mib"] = max(
        (sample.gpu_process_mib for sample in result.timeline if sample.gpu_process_mib is not None), default=None
    )
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
    accounted_s = outcome.load_s + outcome.audio_decode_s + sum(outcome.warmup_s) + sum(inference_s)
    return {
        "utterances_failed": sum(item.error is not None for item in outcome.utterances),
        "audio_s": outcome.audio_s,
        "audio_files_decoded": outcome.audio_files_decoded,
        "batch_size": outcome.batch_size,
        "load_s": outcome.load_s,
        "audio_decode_s": outcome.audio_decode_s,
        "warmup_s": list(outcome.warmup_s),
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
    }


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
        sample.rss_mib for sample in result.timeline if sample.rss_mib is not None and sample.phase not in _OUTSIDE_PEAK
    ]
    return {"peak_rss_mib": max(sampled, default=None), "peak_rss_source": "sampled" if sampled else None}


def _storable(row: Row) -> Row:
    """Replace lone surrogates, which Python's strings may hold and parquet's may not."""
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }
