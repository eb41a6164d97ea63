"""Parquet is the record: one file a run, written at once and whole, read back as pandas frames.

Layout of a study's folder::

    study.yaml                                        composed configuration, space, environment
    utterances/<run_id>.<attempt>.<status>.parquet    a row an utterance of the run
    timeline/<run_id>.<attempt>.<status>.parquet      a row a sample of the run's process
    curves/<run_id>.<attempt>.<status>.parquet        a row a look at the run's training, where it trained
    runs/<run_id>.<attempt>.<status>.parquet          a row: the run itself, written last
    folds.parquet                                     a row an utterance and repeat: its group and fold (fine-tuning)
    journal.log                                       the same as optuna-dashboard reads it; never read back
    scores/<run_id>.<attempt>.<normalizer>.parquet    a row an utterance, its text scored anew (:mod:`bench.rescoring`)

A run exists once its file in ``runs/`` does; whatever a killed driver left without one is overwritten by the next
attempt. Every file is written under a hidden temporary name in its own folder, flushed to disk and renamed, so a reader
sees all of it or nothing, and any tool that reads parquet folders reads these as they are. The columns are in
:mod:`bench.schema`.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import yaml

from bench.attempts import Attempt, History
from bench.config import NormalizerName
from bench.errors import StoreError
from bench.records import RunResult
from bench.rows import curve_rows, run_row, timeline_rows, utterance_rows
from bench.schema import CURVE_SCHEMA, LEDGER_SCHEMA, RUN_SCHEMA, SCHEMA_VERSION, TIMELINE_SCHEMA, UTTERANCE_SCHEMA

_FILES_AT_ONCE = 100
"""Files read as one. pyarrow keeps what it knows of all files of a dataset, a mebibyte a run (pyarrow 26)."""

_TEMPORARY = ".writing-"  # hidden, so that tools which read whole folders pass it over

UNFINISHED_MODEL = ".training-"
"""How the name of a folder begins that holds a model while it is trained."""

_KEYS = ("schema_version", "study", "trial_id", "run_id", "attempt", "utterance_id")
_TEXTS = ("reference", "hypothesis", "error")
_COUNTS = ("substitutions", "deletions", "insertions", "hits", "reference_words", "wer")
_TEXT_SCHEMA = pa.schema([UTTERANCE_SCHEMA.field(name) for name in (*_KEYS, *_TEXTS)])
SCORE_SCHEMA = pa.schema(
    [
        *(UTTERANCE_SCHEMA.field(name) for name in _KEYS),
        pa.field("normalizer", pa.string()),
        *(UTTERANCE_SCHEMA.field(name) for name in _COUNTS),
    ]
)
"""Columns of ``scores/``."""

FOLD_SCHEMA = pa.schema(
    [
        pa.field("schema_version", pa.int32()),
        pa.field("data.fingerprint", pa.string()),
        pa.field("utterance_id", pa.string()),
        pa.field("group", pa.int32()),
        pa.field("repeat", pa.int32()),
        pa.field("fold", pa.int32()),
    ]
)
"""Columns of ``folds.parquet``."""


def histories(study_dir: Path) -> dict[str, History]:
    """Map every ``run_id`` of a study to its attempts, from file names alone; empty for a new study."""
    found: dict[str, list[Attempt]] = {}
    for path in _parquet_files(study_dir / "runs"):
        attempt = Attempt.of(path)
        found.setdefault(attempt.run_id, []).append(attempt)
    return {run_id: History(tuple(sorted(each, key=lambda one: one.attempt))) for run_id, each in found.items()}


def remove_leftovers(study_dir: Path) -> None:
    """Remove what a writer or a training left that was killed; call it only while no other process writes."""
    for path in study_dir.rglob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)
    for folder in study_dir.rglob(f"{UNFINISHED_MODEL}*"):
        shutil.rmtree(folder, ignore_errors=True)


def write_run(study_dir: Path, result: RunResult) -> None:
    """Persist a finished run: its timeline and utterances first, the run itself last."""
    name = Attempt(result.job.run_id, result.job.attempt, result.status).file_name
    _write_table(study_dir / "timeline" / name, TIMELINE_SCHEMA, timeline_rows(result))
    _write_table(study_dir / "utterances" / name, UTTERANCE_SCHEMA, utterance_rows(result))
    if curve := curve_rows(result):
        _write_table(study_dir / "curves" / name, CURVE_SCHEMA, curve)
    _write_table(study_dir / "runs" / name, RUN_SCHEMA, [run_row(result)])


def load_runs(study_dir: str | Path) -> pd.DataFrame:
    """Load a study's runs, the standing attempt of each, in the order they were started.

    Raises:
        StoreError: There is no such study.
    """
    folder = _existing(study_dir)
    runs = _read(folder / "runs", RUN_SCHEMA, _standing(folder))
    return runs.sort_values(["started_at", "run_id"], ignore_index=True)


def read_rows(study_dir: Path) -> list[dict[str, Any]]:
    """Read what decides how a study goes on, of all attempts: a mapping each, of :data:`bench.schema.LEDGER_SCHEMA`.

    Raises:
        StoreError: A file cannot be read.
    """
    paths = _parquet_files(study_dir / "runs")
    return [row for path in paths for row in _read_file(path, LEDGER_SCHEMA).to_pylist()]


def load_utterances(
    study_dir: str | Path, runs: Collection[str] | None = None, without: Collection[str] = ()
) -> pd.DataFrame:
    """Load the utterances of a study's runs, of the standing attempt of each (:class:`bench.attempts.History`).

    The column ``words`` holds an array of mappings, the fields of :class:`bench.records.Word`; null without a text.

    Args:
        study_dir: The study's folder.
        runs: The ``run_id`` of those wanted; null wants all.
        without: Columns that are not read; ``words`` takes more memory than all others together.

    Raises:
        StoreError: There is no such study.
    """
    folder = _existing(study_dir)
    wanted = [attempt for attempt in _standing(folder) if runs is None or attempt.run_id in runs]
    schema = pa.schema([field for field in UTTERANCE_SCHEMA if field.name not in without])
    return _read(folder / "utterances", schema, wanted)


def load_timeline(study_dir: str | Path) -> pd.DataFrame:
    """Load the samples of a study's runs, of the standing attempt of each (:class:`bench.attempts.History`).

    Raises:
        StoreError: There is no such study.
    """
    folder = _existing(study_dir)
    return _read(folder / "timeline", TIMELINE_SCHEMA, _standing(folder))


def load_curves(study_dir: str | Path) -> pd.DataFrame:
    """Load the curves of a study's trainings, of the standing attempt of each run.

    Raises:
        StoreError: There is no such study.
    """
    folder = _existing(study_dir)
    trained = [attempt for attempt in _standing(folder) if (folder / "curves" / attempt.file_name).exists()]
    return _read(folder / "curves", CURVE_SCHEMA, trained)


def write_folds(study_dir: Path, rows: list[dict[str, Any]]) -> None:
    """Persist how the data of a study is divided, rows of :data:`FOLD_SCHEMA`."""
    _write_table(study_dir / "folds.parquet", FOLD_SCHEMA, [{"schema_version": SCHEMA_VERSION} | row for row in rows])


def load_folds(study_dir: str | Path) -> pd.DataFrame:
    """Load how the data of a study is divided: for each utterance its group, and in each repeat its fold.

    Raises:
        StoreError: There is no such study.
    """
    path = _existing(study_dir) / "folds.parquet"
    table = _read_file(path, FOLD_SCHEMA) if path.exists() else FOLD_SCHEMA.empty_table()
    frame: pd.DataFrame = table.to_pandas()
    return frame


def standing_attempts(study_dir: str | Path) -> list[Attempt]:
    """List the attempts that count, one a run.

    Raises:
        StoreError: There is no such study.
    """
    return _standing(_existing(study_dir))


def read_texts(study_dir: Path, attempt: Attempt) -> list[dict[str, Any]]:
    """Read the utterances of an attempt: what names each, ``reference``, ``hypothesis`` and ``error``."""
    rows: list[dict[str, Any]] = _read_file(study_dir / "utterances" / attempt.file_name, _TEXT_SCHEMA).to_pylist()
    return rows


def has_scores(study_dir: Path, attempt: Attempt, normalizer: NormalizerName) -> bool:
    """Tell whether an attempt's texts were scored anew under a normaliser."""
    return _score_file(study_dir, attempt, normalizer).exists()


def write_scores(study_dir: Path, attempt: Attempt, normalizer: NormalizerName, rows: list[dict[str, Any]]) -> None:
    """Persist the scores of an attempt's texts under a normaliser, rows of :data:`SCORE_SCHEMA`."""
    _write_table(_score_file(study_dir, attempt, normalizer), SCORE_SCHEMA, rows)


def load_scores(study_dir: str | Path) -> pd.DataFrame:
    """Load what ``asr-sweep rescore`` added to a study: a row an utterance, run and normaliser, of standing attempts.

    Raises:
        StoreError: There is no such study, or a file cannot be read.
    """
    folder = _existing(study_dir)
    wanted = (_score_file(folder, attempt, name) for attempt in _standing(folder) for name in NormalizerName)
    cure = "delete it, and score the study anew"
    tables = [_read_file(path, SCORE_SCHEMA, cure) for path in wanted if path.exists()]
    frame: pd.DataFrame = pa.concat_tables([SCORE_SCHEMA.empty_table(), *tables]).to_pandas()
    return frame


def write_study(study_dir: Path, description: Mapping[str, Any]) -> None:
    """Write ``study.yaml``: the composed configuration, the space and the environment of the latest start."""
    text = yaml.safe_dump(dict(description), sort_keys=False, allow_unicode=True, width=120)
    write_atomically(study_dir / "study.yaml", text.encode())


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
        reason = " ".join(str(error).split())
        raise StoreError(
            f"{path} cannot be read ({reason}); restore it, or delete it to have it written anew"
        ) from None
    if not (isinstance(description, dict) and _is_study(description)):
        raise StoreError(f"{path} is not what a study writes; restore it, or delete it to have it written anew")
    return description


def _is_study(description: Mapping[str, Any]) -> bool:
    """Tell whether the parts that are read again have the form they were written in; any may be missing."""
    mappings = [description.get(key, {}) for key in ("config", "space", "environment")]
    lists = {key: description.get(key, []) for key in ("commands", "skipped")}
    return (
        all(isinstance(part, dict) for part in mappings)
        and all(isinstance(part, list) for part in lists.values())
        and all(isinstance(command, str) for command in lists["commands"])
        and all(isinstance(point, dict) and isinstance(point.get("settings"), dict) for point in lists["skipped"])
    )


def list_studies(root: Path) -> list[Path]:
    """List the folders under ``root`` that hold a study, by name."""
    return sorted(path.parent for path in root.glob("*/study.yaml"))


def _score_file(folder: Path, attempt: Attempt, normalizer: NormalizerName) -> Path:
    return folder / "scores" / f"{attempt.run_id}.{attempt.attempt}.{normalizer.value}.parquet"


def _standing(folder: Path) -> list[Attempt]:
    return [history.standing for history in histories(folder).values()]


def _existing(study_dir: str | Path) -> Path:
    folder = Path(study_dir)
    if not (folder / "study.yaml").exists():
        known = ", ".join(path.name for path in list_studies(folder.parent)) or "none"
        raise StoreError(f"no study at {folder}; studies in {folder.parent}: {known}")
    return folder


def _parquet_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))


def _read(folder: Path, schema: pa.Schema, attempts: Iterable[Attempt]) -> pd.DataFrame:
    paths = [folder / attempt.file_name for attempt in attempts]
    table = _read_at_once(paths, schema)
    if table is None:
        table = pa.concat_tables([schema.empty_table(), *(_read_file(path, schema) for path in paths)])
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _read_at_once(paths: list[Path], schema: pa.Schema) -> pa.Table | None:
    """Read files as one table, in a fifth of the time; null where one of them has something to be told of."""
    tables = [schema.empty_table()]
    try:
        for first in range(0, len(paths), _FILES_AT_ONCE):
            part = [str(path) for path in paths[first : first + _FILES_AT_ONCE]]
            tables.append(pa.dataset.dataset(part, schema=schema, format="parquet").to_table().combine_chunks())
    except (OSError, pa.ArrowException):
        return None
    table = pa.concat_tables(tables)
    versions = table["schema_version"]
    latest = pc.max(versions).as_py()
    return table if versions.null_count == 0 and (latest is None or latest <= SCHEMA_VERSION) else None


def _read_file(path: Path, schema: pa.Schema, cure: str | None = None) -> pa.Table:
    try:
        table = pq.read_table(path, columns=_present(path, schema))
        version = max((row for row in table["schema_version"].to_pylist() if row is not None), default=SCHEMA_VERSION)
        if version > SCHEMA_VERSION:
            raise StoreError(f"{path} has schema version {version}, this one reads {SCHEMA_VERSION}; upgrade asr-sweep")
        # A column that a later version added is null in an earlier row.
        columns = [
            table[column.name].cast(column.type)
            if column.name in table.column_names
            else pa.nulls(table.num_rows, column.type)
            for column in schema
        ]
    except (OSError, KeyError, pa.ArrowException) as error:
        cure = cure or f"delete {path.parent.parent / 'runs' / path.name}, and the study runs it again"
        reason = " ".join(str(error).split())
        raise StoreError(f"{path} cannot be read ({reason}); {cure}") from None
    return pa.Table.from_arrays(columns, schema=schema)


def _present(path: Path, schema: pa.Schema) -> list[str]:
    """Name the columns of a schema that a file has."""
    present = set(pq.read_schema(path).names)
    return [name for name in schema.names if name in present]


def _write_table(path: Path, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    write_atomically(path, sink.getvalue())


def write_atomically(path: Path, content: Any) -> None:
    """Write a file so that a reader, or a crash, sees the whole of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
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
