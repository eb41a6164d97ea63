"""The columns of the three tables, typed; every file of a table has all of them, null where nothing is known.

Schema versions:
    1: first.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from enum import StrEnum

import pyarrow as pa

from bench.config import Config
from bench.records import PHASES, Degeneracy, Environment

SCHEMA_VERSION = 1

# Where results lie is no property of a run, and the study has a column of its own.
_NOT_COLUMNS = {"study", "results.root", "results.reports"}

_PARQUET_TYPES: Mapping[type, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    str: pa.string(),
}


def _leaf_columns(record: type, prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Yield the parquet column of every leaf of a dataclass, from its annotations.

    A number that may also be a word (``decode.batch_size=auto``) is stored as the number, null for the word.
    """
    for name, annotation in typing.get_type_hints(record).items():
        if dataclasses.is_dataclass(annotation):
            yield from _leaf_columns(typing.cast(type, annotation), f"{prefix}{name}.")
            continue
        options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
        kinds = {str if issubclass(option, StrEnum) else option for option in options} - {types.NoneType}
        (kind,) = kinds - {str} or kinds
        yield prefix + name, _PARQUET_TYPES[kind]


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
    ("model.fingerprint", pa.string()),
    ("data.name", pa.string()),
    ("data.fingerprint", pa.string()),
    ("utterances", pa.int64()),
    ("utterances_failed", pa.int64()),
    ("audio_s", pa.float64()),
    ("audio_files_decoded", pa.int64()),
    ("batch_size", pa.int64()),
    ("load_s", pa.float64()),
    ("audio_decode_s", pa.float64()),
    ("warmup_s", pa.list_(pa.float64())),
    ("inference_s", pa.list_(pa.float64())),
    *((name, pa.float64()) for name in PHASES),
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
    ("utterances_looping", pa.int64()),
    ("utterances_text_in_silence", pa.int64()),
    ("utterances_wrong_language", pa.int64()),
    ("compression_ratio", pa.float64()),
    ("rss_at_start_mib", pa.float64()),
    ("load_peak_rss_mib", pa.float64()),
    ("rss_after_load_mib", pa.float64()),
    ("peak_rss_mib", pa.float64()),
    ("peak_rss_source", pa.string()),
    ("peak_gpu_allocated_mib", pa.float64()),
    ("peak_gpu_reserved_mib", pa.float64()),
    ("peak_gpu_process_mib", pa.float64()),
]

_WORD = pa.struct(
    [
        ("text", pa.string()),
        ("window", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("seam_s", pa.float64()),
    ]
)

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
    *_leaf_columns(Degeneracy),
    ("words", pa.list_(_WORD)),
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


_SETTING_COLUMNS = [column for column in _leaf_columns(Config) if column[0] not in _NOT_COLUMNS]
SETTINGS = tuple(name for name, _ in _SETTING_COLUMNS)
"""Names of the settings stored with every run, dotted as in the configuration."""

RUN_SCHEMA = pa.schema([*_RUN_COLUMNS, *_SETTING_COLUMNS, *_leaf_columns(Environment, "env.")])
UTTERANCE_SCHEMA = pa.schema(_UTTERANCE_COLUMNS)
TIMELINE_SCHEMA = pa.schema(_TIMELINE_COLUMNS)
