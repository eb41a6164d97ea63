"""Parquet is the record: one file a run, written at once and whole, read back as pandas frames.

Layout of a study's folder::

    study.yaml                                        composed configuration, space, environment
    utterances/<run_id>.<attempt>.<status>.parquet    a row an utterance of the run
    timeline/<run_id>.<attempt>.<status>.parquet      a row a sample of the run's process
    runs/<run_id>.<attempt>.<status>.parquet          a row: the run itself, written last

A run exists once its file in ``runs/`` does; whatever a killed driver left without one is overwritten by the next
attempt. Every file is written under a hidden temporary name in its own folder, flushed to disk and renamed, so a reader
sees all of it or nothing, and any tool that reads parquet folders reads these as they are.

Schema versions:
    1: first.
"""

import dataclasses
import os
import tempfile
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from bench.config import Config, flatten
from bench.errors import StoreError
from bench.records import Environment, RunResult, Sample, Status, TrialOutcome, WordCounts

SCHEMA_VERSION = 1

# Where results lie is no property of a run, and the study has a column of its own.
_NOT_COLUMNS = {"study", "results.root", "results.reports"}

_PARQUET_TYPES: Mapping[type, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    str: pa.string(),
}

_KEYS = [
    ("schema_version", pa.int32()),
    ("study", pa.string()),
    ("trial_id", pa.string()),
    ("run_id", pa.string()),
    ("replicate", pa.int32()),
    ("attempt", pa.int32()),
    ("status", pa.string()),
]

_RUN_COLUMNS = [
    *_KEYS,
    ("status_reason", pa.string()),
    ("retryable", pa.bool_()),
    ("traceback", pa.string()),
    ("started_at", pa.string()),
    ("data.name", pa.string()),
    ("data.fingerprint", pa.string()),
    ("utterances", pa.int64()),
    ("utterances_failed", pa.int64()),
    ("audio_s", pa.float64()),
    ("load_s", pa.float64()),
    ("audio_decode_s", pa.float64()),
    ("warmup_s", pa.list_(pa.float64())),
    ("inference_s", pa.list_(pa.float64())),
    ("features_s", pa.float64()),
    ("encode_s", pa.float64()),
    ("decode_s", pa.float64()),
    ("merge_s", pa.float64()),
    ("overhead_s", pa.float64()),
    ("wall_s", pa.float64()),
    ("rtf", pa.float64()),
    ("rtfx", pa.float64()),
    ("cpu_pct", pa.float64()),
    ("wer", pa.float64()),
    ("substitutions", pa.int64()),
    ("deletions", pa.int64()),
    ("insertions", pa.int64()),
    ("hits", pa.int64()),
    ("reference_words", pa.int64()),
    ("rss_at_start_mib", pa.float64()),
    ("load_peak_rss_mib", pa.float64()),
    ("rss_after_load_mib", pa.float64()),
    ("peak_rss_mib", pa.float64()),
    ("peak_rss_source", pa.string()),
    ("peak_gpu_allocated_mib", pa.float64()),
    ("peak_gpu_reserved_mib", pa.float64()),
    ("peak_gpu_process_mib", pa.float64()),
]

_UTTERANCE_COLUMNS = [
    *_KEYS,
    ("utterance_id", pa.string()),
    ("path", pa.string()),
    ("speaker", pa.string()),
    ("start_s", pa.float64()),
    ("audio_s", pa.float64()),
    ("windows", pa.int64()),
    ("reference", pa.string()),
    ("hypothesis", pa.string()),
    ("substitutions", pa.int64()),
    ("deletions", pa.int64()),
    ("insertions", pa.int64()),
    ("hits", pa.int64()),
    ("reference_words", pa.int64()),
    ("wer", pa.float64()),
    ("error", pa.string()),
]

_TIMELINE_COLUMNS = [
    *_KEYS,
    ("t_s", pa.float64()),
    ("phase", pa.string()),
    ("cpu_pct", pa.float64()),
    ("rss_mib", pa.float64()),
    ("gpu_util_pct", pa.float64()),
    ("gpu_memory_mib", pa.float64()),
    ("gpu_process_mib", pa.float64()),
    ("gpu_power_w", pa.float64()),
]


def _leaf_columns(record: type, prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Yield the parquet column of every leaf of a dataclass, from its annotations."""
    for name, annotation in typing.get_type_hints(record).items():
        if dataclasses.is_dataclass(annotation):
            yield from _leaf_columns(typing.cast(type, annotation), f"{prefix}{name}.")
            continue
        options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
        (kind,) = (option for option in options if option is not types.NoneType)
        yield prefix + name, _PARQUET_TYPES[str if issubclass(kind, StrEnum) else kind]


_SETTING_COLUMNS = [column for column in _leaf_columns(Config) if column[0] not in _NOT_COLUMNS]
SETTINGS = tuple(name for name, _ in _SETTING_COLUMNS)
"""Names of the settings stored with every run, dotted as in the configuration."""

RUN_SCHEMA = pa.schema([*_RUN_COLUMNS, *_SETTING_COLUMNS, *_leaf_columns(Environment, "env.")])
UTTERANCE_SCHEMA = pa.schema(_UTTERANCE_COLUMNS)
TIMELINE_SCHEMA = pa.schema(_TIMELINE_COLUMNS)


@dataclass(frozen=True)
class Attempt:
    """What a run file's name says: which run, which attempt, and how it ended."""

    run_id: str
    attempt: int
    status: Status

    @property
    def file_name(self) -> str:
        """Name of the run's file in each of the study's folders."""
        return f"{self.run_id}.{self.attempt}.{self.status.value}.parquet"

    @classmethod
    def of(cls, path: Path) -> "Attempt":
        """Read a file name.

        Raises:
            StoreError: The name is not one this store writes.
        """
        try:
            run_id, attempt, status, _ = path.name.split(".")
            return cls(run_id, int(attempt), Status(status))
        except ValueError:
            raise StoreError(
                f"{path} is not a run file (<run_id>.<attempt>.<status>.parquet); move it out of the study's folder"
            ) from None


def last_attempts(study_dir: Path) -> dict[str, Attempt]:
    """Map every ``run_id`` of a study to its last attempt, from file names alone; empty for a new study."""
    last: dict[str, Attempt] = {}
    for path in _parquet_files(study_dir / "runs"):
        attempt = Attempt.of(path)
        if attempt.run_id not in last or last[attempt.run_id].attempt < attempt.attempt:
            last[attempt.run_id] = attempt
    return last


def write_run(study_dir: Path, result: RunResult) -> None:
    """Persist a finished run: its timeline and utterances first, the run itself last."""
    job = result.job
    name = Attempt(job.run_id, job.attempt, result.status).file_name
    keys = {
        "schema_version": SCHEMA_VERSION,
        "study": job.study,
        "trial_id": job.trial_id,
        "run_id": job.run_id,
        "replicate": job.replicate,
        "attempt": job.attempt,
        "status": result.status.value,
    }
    _write_table(study_dir / "timeline" / name, TIMELINE_SCHEMA, _timeline_rows(result.timeline, keys))
    _write_table(study_dir / "utterances" / name, UTTERANCE_SCHEMA, _utterance_rows(result.outcome, keys))
    _write_table(study_dir / "runs" / name, RUN_SCHEMA, [_run_row(result, keys)])


def load_runs(study_dir: str | Path) -> pd.DataFrame:
    """Load a study's runs, the last attempt of each, in the order they were started.

    Raises:
        StoreError: There is no such study.
    """
    folder = _existing(study_dir)
    runs = _read(folder / "runs", RUN_SCHEMA, last_attempts(folder).values())
    return runs.sort_values(["started_at", "run_id"], ignore_index=True)


def load_utterances(study_dir: str | Path) -> pd.DataFrame:
    """Load the utterances of a study's runs, of the last attempt of each.

    Raises:
        StoreError: There is no such study.
    """
    folder = _existing(study_dir)
    return _read(folder / "utterances", UTTERANCE_SCHEMA, last_attempts(folder).values())


def load_timeline(study_dir: str | Path) -> pd.DataFrame:
    """Load the samples of a study's runs, of the last attempt of each.

    Raises:
        StoreError: There is no such study.
    """
    folder = _existing(study_dir)
    return _read(folder / "timeline", TIMELINE_SCHEMA, last_attempts(folder).values())


def write_study(study_dir: Path, description: Mapping[str, Any]) -> None:
    """Write ``study.yaml``: the composed configuration, the space and the environment of the latest start."""
    text = yaml.safe_dump(dict(description), sort_keys=False, allow_unicode=True, width=120)
    _write_atomically(study_dir / "study.yaml", text.encode())


def read_study(study_dir: Path) -> dict[str, Any] | None:
    """Read ``study.yaml``; null for a study that was never started.

    Raises:
        StoreError: The file is not what :func:`write_study` writes.
    """
    path = study_dir / "study.yaml"
    if not path.exists():
        return None
    try:
        description = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it, or delete it to have it written anew") from None
    if not isinstance(description, dict):
        raise StoreError(f"{path} holds no mapping; restore it, or delete it to have it written anew")
    return description


def list_studies(root: Path) -> list[Path]:
    """List the folders under ``root`` that hold a study, by name."""
    return sorted(path.parent for path in root.glob("*/study.yaml"))


def _run_row(result: RunResult, keys: Mapping[str, Any]) -> dict[str, Any]:
    job = result.job
    environment = result.environment
    row: dict[str, Any] = {
        **keys,
        "status_reason": result.status_reason,
        "retryable": result.retryable,
        "traceback": result.traceback,
        "started_at": result.started_at,
        "data.name": job.data_name,
        "data.fingerprint": job.data_fingerprint,
        "utterances": len(job.utterances),
        "wall_s": result.wall_s,
        **dict(flatten(job.config)),
    }
    if result.outcome is not None:
        row |= _outcome_columns(result.outcome, result.wall_s)
        environment = dataclasses.replace(environment, torch_threads=result.outcome.torch_threads)
    if row.get("peak_rss_mib") is None:
        sampled = [sample.rss_mib for sample in result.timeline if sample.rss_mib is not None]
        row |= {"peak_rss_mib": max(sampled, default=None), "peak_rss_source": "sampled" if sampled else None}
    row["peak_gpu_process_mib"] = max(
        (sample.gpu_process_mib for sample in result.timeline if sample.gpu_process_mib is not None), default=None
    )
    return row | {f"env.{name}": value for name, value in flatten(environment)}


def _outcome_columns(outcome: TrialOutcome, wall_s: float) -> dict[str, Any]:
    inference_s = [one.inference_s for one in outcome.passes]
    # The phases of one pass add up; medians taken phase by phase would not.
    typical = sorted(outcome.passes, key=lambda one: one.inference_s)[(len(outcome.passes) - 1) // 2]
    counts = outcome.counts
    accounted_s = outcome.load_s + outcome.audio_decode_s + sum(outcome.warmup_s) + sum(inference_s)
    return {
        "utterances_failed": sum(item.error is not None for item in outcome.utterances),
        "audio_s": outcome.audio_s,
        "load_s": outcome.load_s,
        "audio_decode_s": outcome.audio_decode_s,
        "warmup_s": list(outcome.warmup_s),
        "inference_s": inference_s,
        "features_s": typical.features_s,
        "encode_s": typical.encode_s,
        "decode_s": typical.decode_s,
        "merge_s": typical.merge_s,
        "overhead_s": wall_s - accounted_s,
        "rtf": 1 / outcome.rtfx,
        "rtfx": outcome.rtfx,
        "cpu_pct": 100 * sum(outcome.cpu_s) / sum(inference_s),
        "wer": counts.wer,
        **_count_columns(counts),
        **dataclasses.asdict(outcome.memory),
        "peak_rss_source": None if outcome.memory.peak_rss_mib is None else "vmhwm",
    }


def _count_columns(counts: WordCounts) -> dict[str, int]:
    return {**dataclasses.asdict(counts), "reference_words": counts.reference_words}


def _utterance_rows(outcome: TrialOutcome | None, keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
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
            "error": item.error,
        }
        for item in (outcome.utterances if outcome is not None else ())
    ]


def _timeline_rows(timeline: Iterable[Sample], keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**keys, **dataclasses.asdict(sample)} for sample in timeline]


def _existing(study_dir: str | Path) -> Path:
    folder = Path(study_dir)
    if not (folder / "study.yaml").exists():
        known = ", ".join(path.name for path in list_studies(folder.parent)) or "none"
        raise StoreError(f"no study at {folder}; studies in {folder.parent}: {known}")
    return folder


def _parquet_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))


def _read(folder: Path, schema: pa.Schema, attempts: Iterable[Attempt]) -> pd.DataFrame:
    tables = [_read_file(folder / attempt.file_name, schema) for attempt in attempts]
    frame: pd.DataFrame = pa.concat_tables([schema.empty_table(), *tables]).to_pandas()
    return frame


def _read_file(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}); delete it, and the study will run it again") from None
    (version,) = set(table["schema_version"].to_pylist()) or {SCHEMA_VERSION}
    if version > SCHEMA_VERSION:
        raise StoreError(f"{path} has schema version {version}, this version reads {SCHEMA_VERSION}; upgrade asr-sweep")
    # A column that a later version added is null in an earlier row.
    columns = [
        table[column.name].cast(column.type) if column.name in table.column_names
        else pa.nulls(table.num_rows, column.type)
        for column in schema
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=schema)


def _write_table(path: Path, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    _write_atomically(path, sink.getvalue())


def _write_atomically(path: Path, content: Any) -> None:
    """Write a file so that a reader, or a crash, sees the whole of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush a rename to disk; only POSIX lets a folder be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
