"""Parquet is the record: one file a run, written at once and whole, read back as pandas frames.

Layout of a study's folder::

    study.yaml                                        composed configuration, space, environment
    utterances/<run_id>.<attempt>.<status>.parquet    a row an utterance of the run
    timeline/<run_id>.<attempt>.<status>.parquet      a row a sample of the run's process
    curves/<run_id>.<attempt>.<status>.parquet        a row a look at the run's training, where it trained
    runs/<run_id>.<attempt>.<status>.parquet          a row: the run itself, written last
    */merged-<number>-<token>.parquet                 the same of many runs (:mod:`bench.compaction`)
    folds.parquet                                     a row an utterance and repeat: its group and fold (fine-tuning)
    journal.log                                       the same as optuna-dashboard reads it; never read back
    scores/<run_id>.<attempt>.<normalizer>.parquet    a row an utterance, its text scored anew (:mod:`bench.rescoring`)

A run exists once its file in ``runs/`` does; whatever a killed driver left without one is overwritten by the next
attempt. The folder may be one of this machine or of an object store (:mod:`bench.storage`); a reader sees all of a file
or nothing, and any tool that reads parquet folders reads these as they are. The columns are in :mod:`bench.schema`.
"""

import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from bench import layout
from bench.attempts import Attempt, History
from bench.config import NormalizerName
from bench.errors import StoreError
from bench.parquet import MADE_ANEW, read_file, write_table
from bench.records import RunResult, Status
from bench.row_faults import fault
from bench.rows import Row, curve_rows, run_row, timeline_rows, utterance_rows
from bench.schema import CURVE_SCHEMA, LEDGER_SCHEMA, RUN_SCHEMA, SCHEMA_VERSION, TIMELINE_SCHEMA, UTTERANCE_SCHEMA
from bench.storage import Place, folders, place, remove_unfinished, require_file, sizes, workspace, write_atomically

UNFINISHED_MODEL = ".training-"
"""How the name of a folder begins that holds a model while it is trained."""

# What PyYAML raises of a scalar that is not what its tag or its looks promise: a date in month 13, "!!int x".
_NOT_BUILT = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)

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


def histories(study_dir: Place) -> dict[str, History]:
    """Map every ``run_id`` of a study to its attempts, without reading a row; empty for a new study."""
    found: dict[str, list[Attempt]] = {}
    for attempt in layout.look(study_dir / "runs").attempts:
        found.setdefault(attempt.run_id, []).append(attempt)
    return {run_id: History(tuple(sorted(each, key=lambda one: one.attempt))) for run_id, each in found.items()}


def unmerged(study_dir: Place) -> int:
    """Count the attempts that have a file of their own."""
    return len(layout.look(study_dir / "runs").own)


def remove_leftovers(study_dir: Place) -> None:
    """Remove what a writer or a training left that was killed; call it only while no other process writes."""
    remove_unfinished(study_dir)
    for folder in workspace(study_dir).rglob(f"{UNFINISHED_MODEL}*"):
        shutil.rmtree(folder, ignore_errors=True)


def write_run(study_dir: Place, result: RunResult) -> Row:
    """Persist a finished run: its timeline and utterances first, the run itself last; returns the run's row."""
    name = Attempt(result.job.run_id, result.job.attempt, result.status).file_name
    write_table(study_dir / "timeline" / name, TIMELINE_SCHEMA, timeline_rows(result))
    write_table(study_dir / "utterances" / name, UTTERANCE_SCHEMA, utterance_rows(result))
    if curve := curve_rows(result):
        write_table(study_dir / "curves" / name, CURVE_SCHEMA, curve)
    row = run_row(result)
    write_table(study_dir / "runs" / name, RUN_SCHEMA, [row])
    return row


def load_runs(study_dir: str | Place) -> pd.DataFrame:
    """Load a study's runs, the standing attempt of each, in the order they were started.

    Args:
        study_dir: The study's folder, by its path or URL.

    Raises:
        StoreError: There is no such study.
    """
    folder = existing(study_dir)
    runs = _read(folder / "runs", RUN_SCHEMA, _standing(folder))
    return runs.sort_values(["started_at", "run_id"], ignore_index=True)


def read_rows(study_dir: Place) -> list[dict[str, Any]]:
    """Read what decides how a study goes on, of all attempts: a mapping each, of :data:`bench.schema.LEDGER_SCHEMA`.

    Raises:
        StoreError: A file cannot be read.
    """
    table = layout.read(study_dir / "runs", LEDGER_SCHEMA)
    _refuse_faults(study_dir / "runs", table)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def load_utterances(
    study_dir: str | Place, runs: Collection[str] | None = None, without: Collection[str] = ()
) -> pd.DataFrame:
    """Load the utterances of a study's runs, of the standing attempt of each (:class:`bench.attempts.History`).

    The column ``words`` holds an array of mappings, the fields of :class:`bench.records.Word`; null without a text.

    Args:
        study_dir: The study's folder, by its path or URL.
        runs: The ``run_id`` of those wanted; null wants all.
        without: Columns that are not read; ``words`` takes more memory than all others together.

    Raises:
        StoreError: There is no such study.
    """
    folder = existing(study_dir)
    wanted = [attempt for attempt in _standing(folder) if runs is None or attempt.run_id in runs]
    schema = pa.schema([field for field in UTTERANCE_SCHEMA if field.name not in without])
    return _read(folder / "utterances", schema, wanted)


def load_timeline(study_dir: str | Place) -> pd.DataFrame:
    """Load the samples of a study's runs, of the standing attempt of each (:class:`bench.attempts.History`).

    Raises:
        StoreError: There is no such study.
    """
    folder = existing(study_dir)
    return _read(folder / "timeline", TIMELINE_SCHEMA, _standing(folder))


def load_curves(study_dir: str | Place) -> pd.DataFrame:
    """Load the curves of a study's trainings, of the standing attempt of each run.

    Raises:
        StoreError: There is no such study.
    """
    folder = existing(study_dir)
    trained = set(layout.look(folder / "curves").attempts)
    return _read(folder / "curves", CURVE_SCHEMA, [attempt for attempt in _standing(folder) if attempt in trained])


def write_folds(study_dir: Place, rows: list[dict[str, Any]]) -> None:
    """Persist how the data of a study is divided, rows of :data:`FOLD_SCHEMA`."""
    write_table(study_dir / "folds.parquet", FOLD_SCHEMA, [{"schema_version": SCHEMA_VERSION} | row for row in rows])


def load_folds(study_dir: str | Place) -> pd.DataFrame:
    """Load how the data of a study is divided: for each utterance its group, and in each repeat its fold.

    Raises:
        StoreError: There is no such study.
    """
    path = existing(study_dir) / "folds.parquet"
    table = read_file(path, FOLD_SCHEMA) if path.exists() else FOLD_SCHEMA.empty_table()
    frame: pd.DataFrame = table.to_pandas()
    return frame


def standing_attempts(study_dir: str | Place) -> list[Attempt]:
    """List the attempts that count, one a run.

    Raises:
        StoreError: There is no such study.
    """
    return _standing(existing(study_dir))


def read_texts(study_dir: Place, attempts: Iterable[Attempt]) -> list[dict[str, Any]]:
    """Read the utterances of attempts: what names each, ``reference``, ``hypothesis`` and ``error``."""
    rows: list[dict[str, Any]] = layout.read(study_dir / "utterances", _TEXT_SCHEMA, attempts).to_pylist()
    return rows


def scored(study_dir: Place, normalizer: NormalizerName) -> set[Attempt]:
    """List the attempts whose texts were scored anew under a normaliser."""
    there = sizes(study_dir / "scores")
    return {one for one in standing_attempts(study_dir) if _score_file(one, normalizer) in there}


def write_scores(study_dir: Place, attempt: Attempt, normalizer: NormalizerName, rows: list[dict[str, Any]]) -> None:
    """Persist the scores of an attempt's texts under a normaliser, rows of :data:`SCORE_SCHEMA`."""
    write_table(study_dir / "scores" / _score_file(attempt, normalizer), SCORE_SCHEMA, rows)


def load_scores(study_dir: str | Place) -> pd.DataFrame:
    """Load what ``asr-sweep rescore`` added to a study: a row an utterance, run and normaliser, of standing attempts.

    Raises:
        StoreError: There is no such study, or a file cannot be read.
    """
    folder = existing(study_dir)
    there = sizes(folder / "scores")
    wanted = [_score_file(attempt, name) for attempt in _standing(folder) for name in NormalizerName]
    cure = "delete it, and score the study anew"
    tables = [read_file(folder / "scores" / name, SCORE_SCHEMA, cure) for name in wanted if name in there]
    frame: pd.DataFrame = pa.concat_tables([SCORE_SCHEMA.empty_table(), *tables]).to_pandas()
    return frame


def write_study(study_dir: Place, description: Mapping[str, Any]) -> None:
    """Write ``study.yaml``: the composed configuration, the space and the environment of the latest start."""
    text = yaml.safe_dump(dict(description), sort_keys=False, allow_unicode=True, width=120)
    write_atomically(study_dir / "study.yaml", text.encode())


def read_study(study_dir: Place) -> dict[str, Any] | None:
    """Read ``study.yaml``; null for a study that was never started.

    Raises:
        StoreError: The file is not what :func:`write_study` writes.
    """
    path = study_dir / "study.yaml"
    if not path.exists():
        return None
    require_file(path)
    try:
        description = yaml.safe_load(path.read_bytes())  # of bytes it reads UTF-8, whatever the locale
    except (yaml.YAMLError, *_NOT_BUILT) as error:
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


def list_studies(root: Place) -> list[Place]:
    """List the folders under ``root`` that hold a study, by name."""
    return [folder for folder in folders(root) if (folder / "study.yaml").exists()]


def existing(study_dir: str | Place) -> Place:
    """Return the folder of a study that there is.

    Raises:
        StoreError: There is no such study; the message lists those that there are.
    """
    folder = place(study_dir)
    if not (folder / "study.yaml").exists():
        known = ", ".join(path.name for path in list_studies(folder.parent)) or "none"
        raise StoreError(f"no study at {folder}; studies in {folder.parent}: {known}")
    return folder


def _score_file(attempt: Attempt, normalizer: NormalizerName) -> str:
    return f"{attempt.run_id}.{attempt.attempt}.{normalizer.value}.parquet"


def _standing(folder: Place) -> list[Attempt]:
    return [history.standing for history in histories(folder).values()]


def _read(folder: Place, schema: pa.Schema, attempts: Sequence[Attempt]) -> pd.DataFrame:
    table = layout.read(folder, schema, attempts)
    if schema is RUN_SCHEMA:
        _refuse_faults(folder, table)
    frame: pd.DataFrame = table.to_pandas()
    places = layout.places(table, attempts)
    if np.any(np.diff(places) < 0):  # merged files hold them in another order
        frame = frame.take(np.argsort(places, kind="stable")).reset_index(drop=True)
    return frame


def _refuse_faults(folder: Place, runs: pa.Table) -> None:
    """Refuse rows that no run wrote, and name the file that holds the first."""
    if (found := fault(runs)) is None:
        return
    place, reason = found
    row = runs.slice(place, 1).to_pylist()[0]
    attempt = Attempt(row["run_id"], row["attempt"], Status(row["status"]))
    path = folder / layout.look(folder).merged.get(attempt, attempt.file_name)
    raise StoreError(f"{path} holds a row that no run wrote ({reason}); {MADE_ANEW}")
