"""The columns of the tables, typed; every file of a table has all of them, null where nothing is known.

Schema versions:
    1: first.
    2: certificate, latencies, marks, energy, counters, footprint, the memory's kinds, more of the environment.
    3: the trial's number and point, the part of the data, racing.
    4: the source of the data and its choice, what a race was for.
    5: training: its settings, the fold, how it went, and a table of curves.
    6: of an utterance: its seams, and its signal-to-noise ratio.
    7: the versions of the packages that an engine consists of, the executor, decode.parity.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from enum import StrEnum

import pyarrow as pa

from bench.config import Config
from bench.metrics import ALL as METRICS
from bench.readings import PHASES, Counters, Environment, Footprint, MemoryUse, Sample
from bench.records import Degeneracy
from bench.trainings import CurvePoint, Training

SCHEMA_VERSION = 8

# The study has a column of its own; where a cluster is, is no property of a run.
_NOT_COLUMNS = {"study", "executor.address"}
# Where results lie is no property of a run, nor is how its point was chosen; but these say what a run was.
_NOT_COLUMN_PREFIXES = ("results.", "search.")
_COLUMNS_NONETHELESS = {"search.racing", "search.holdout"}

_PARQUET_TYPES: Mapping[type, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    str: pa.string(),
}


def _leaf_columns(record: type, prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Yield the parquet column of every leaf of a dataclass, from its annotations.

    A number that may also be a word (``decode.batch_size=auto``) is stored as the number, null for the word. Lists
    have no column: those of settings hold for a study as a whole, and a curve is a table of its own.
    """
    for name, annotation in typing.get_type_hints(record).items():
        if typing.get_origin(annotation) in (list, tuple):
            continue
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

_FINDING = pa.struct([("doubt", pa.string()), ("detail", pa.string())])
_LAP = pa.struct([("windows", pa.int32()), ("seconds", pa.float64())])
_MARK = pa.struct([("phase", pa.string()), ("t_s", pa.float64())])

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}
"""Percentiles of latencies that are stored."""

_RUN_COLUMNS = [
    *_KEYS,
    ("trial_number", pa.int32()),
    ("point", pa.string()),
    ("part", pa.string()),
    ("fold", pa.int32()),
    ("repeat", pa.int32()),
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
    ("race_goal", pa.string()),
    ("race_share", pa.float64()),
    ("race_stage_share", pa.list_(pa.float64())),
    ("race_stage_s", pa.list_(pa.float64())),
    ("race_stage_words", pa.list_(pa.int64())),
    ("race_wer", pa.float64()),
    ("race_rtfx", pa.float64()),
    ("race_beaten_by", pa.string()),
    ("valid", pa.bool_()),
    ("doubts", pa.list_(_FINDING)),
    ("unchecked", pa.list_(pa.string())),
    ("files_s", pa.float64()),
    ("load_s", pa.float64()),
    ("audio_decode_s", pa.float64()),
    ("warmup_s", pa.list_(pa.float64())),
    ("cold_s", pa.float64()),
    ("inference_s", pa.list_(pa.float64())),
    *((name, pa.float64()) for name in PHASES),
    ("single_stream_s", pa.float64()),
    ("overhead_s", pa.float64()),
    ("wall_s", pa.float64()),
    ("rtf", pa.float64()),
    ("rtfx", pa.float64()),
    *((f"{what}_latency_{rank}_s", pa.float64()) for what in ("window", "utterance") for rank in PERCENTILES),
    ("laps", pa.list_(_LAP)),
    ("marks", pa.list_(_MARK)),
    ("cpu_pct", pa.float64()),
    ("energy_j", pa.float64()),
    ("energy_cpu_j", pa.float64()),
    ("energy_gpu_j", pa.float64()),
    ("energy_scope", pa.string()),
    ("energy_missing", pa.string()),
    ("energy_j_per_audio_h", pa.float64()),
    ("cost_per_audio_h", pa.float64()),
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
    *_leaf_columns(MemoryUse),
    *_leaf_columns(Footprint),
    ("activations_mib", pa.float64()),
    ("peak_descendants_rss_mib", pa.float64()),
    ("cgroup_peak_mib", pa.float64()),
    ("gpu_memory_before_mib", pa.float64()),
    ("peak_gpu_device_mib", pa.float64()),
    ("peak_gpu_process_mib", pa.float64()),
    ("gpu_memory_source", pa.string()),
    ("gpu_unexplained_mib", pa.float64()),
    *_leaf_columns(Counters, "during."),
    *_leaf_columns(Training, "train."),
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
    ("latency_s", pa.float64()),
    ("snr_db", pa.float64()),
    ("seams_s", pa.list_(pa.float64())),
    ("words", pa.list_(_WORD)),
    ("error", pa.string()),
]

_CURVE_COLUMNS = [*_KEYS, ("fold", pa.int32()), ("repeat", pa.int32()), *_leaf_columns(CurvePoint)]
_TIMELINE_COLUMNS = [*_KEYS, *_leaf_columns(Sample)]


def _is_column(name: str) -> bool:
    if name in _COLUMNS_NONETHELESS:
        return True
    return name not in _NOT_COLUMNS and not name.startswith(_NOT_COLUMN_PREFIXES)


_SETTING_COLUMNS = [column for column in _leaf_columns(Config) if _is_column(column[0])]
SETTINGS = tuple(name for name, _ in _SETTING_COLUMNS)
"""Names of the settings stored with every run, dotted as in the configuration."""

RUN_SCHEMA = pa.schema([*_RUN_COLUMNS, *_SETTING_COLUMNS, *_leaf_columns(Environment, "env.")])
_LEDGER = {
    *(name for name, _ in _KEYS),
    *(
        "trial_number",
        "point",
        "part",
        "fold",
        "repeat",
        "started_at",
        "valid",
        "wall_s",
        "energy_missing",
        "model.fingerprint",
        "data.fingerprint",
    ),
    *("race_goal", "race_share", "race_stage_share", "race_stage_s", "race_stage_words"),
    *("race_wer", "race_rtfx", "race_beaten_by"),
    *METRICS,
    *SETTINGS,
}
LEDGER_SCHEMA = pa.schema([field for field in RUN_SCHEMA if field.name in _LEDGER])
UTTERANCE_SCHEMA = pa.schema(_UTTERANCE_COLUMNS)
TIMELINE_SCHEMA = pa.schema(_TIMELINE_COLUMNS)
CURVE_SCHEMA = pa.schema(_CURVE_COLUMNS)
