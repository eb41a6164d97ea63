"""What of a study's records cannot be read: it is set aside, never deleted, and the study runs it again.

No crash leaves such a file, since each is written whole or not at all. A failing disk, an interrupted copy or another
program may.
"""

import base64
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.layout import MERGED, look
from bench.storage import Place

FOLDER = "damaged"
"""Where damaged files go, in the study's folder, each with its table's name before its own."""

_TABLES = ("runs", "utterances", "timeline", "curves", "scores")
_OF_EVERY_RUN = ("utterances", "timeline")
_ARROW_SCHEMA = b"ARROW:schema"  # key in every footer that Arrow writes, with its schema as an IPC message in base64
_MAGIC = b"PAR1"  # begins and ends every parquet file (Apache Parquet, "File Format")


def set_aside(study_dir: Place, *, thorough: bool = False) -> list[str]:
    """Move damaged files into ``damaged/``, and those of the runs they belong to; only while no other process writes.

    What an object store holds is left alone: it checks by itself that it returns what it was given.

    Args:
        study_dir: The study's folder.
        thorough: Read every file to its end. Otherwise that is done only of those that changed after their run had been
            written; of the others a look at both ends tells whether they are complete.

    Returns:
        What was found, a sentence a file.

    Raises:
        StoreError: A file has a name that no study gives.
        OSError: A file may not be read or moved.
    """
    if not isinstance(study_dir, Path):
        return []
    told = []
    for table in _TABLES:
        for path in _files(study_dir / table):
            try:
                reason = _damage(path, to_its_end=thorough or _changed_later(path))
            except FileNotFoundError:  # a compactor merged it meanwhile
                continue
            if reason is not None:
                _move(path)
                told.append(f"{path} {reason}; it was moved to {study_dir / FOLDER}, and {_outlook(path)}")
                if table not in ("runs", "scores"):
                    _move(study_dir / "runs" / path.name)
    for table in _OF_EVERY_RUN:
        runs, there = look(study_dir / "runs"), set(look(study_dir / table).attempts)
        lacking = [attempt for attempt in runs.attempts if attempt not in there]
        for name in sorted({runs.merged.get(attempt, attempt.file_name) for attempt in lacking}):
            _move(study_dir / "runs" / name)
            told.append(
                f"{study_dir / 'runs' / name} lacks its {table}; it was moved to {study_dir / FOLDER}, and what it"
                " belongs to runs again"
            )
    if told:
        _move_scores(study_dir)
    return told


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if path.is_file() and not path.name.startswith("."))


def _outlook(path: Path) -> str:
    """Tell what becomes of what a damaged file held."""
    match path.parent.name:
        case "scores":
            return "asr-sweep rescore writes it anew"
        case "curves" if path.name.startswith(MERGED):  # runs may be without, so nothing tells whose they were
            return "the curves of training in it are lost"
        case _:
            return "what it belongs to runs again"


def _changed_later(path: Path) -> bool:
    """Tell whether a file is younger than that of its run, which is written last; merged ones never change."""
    run = path.parent.parent / "runs" / path.name
    if path.name.startswith(MERGED) or path == run:
        return False
    return not run.exists() or path.stat().st_mtime_ns > run.stat().st_mtime_ns


def _damage(path: Path, to_its_end: bool) -> str | None:
    """Say what is wrong with a file; null where nothing is."""
    try:
        if to_its_end:
            pq.read_table(path, page_checksum_verification=True).validate(full=True)
            return None if _says_twice_the_same(path) else "does not agree with itself about its columns"
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
            file.seek(-min(len(_MAGIC), path.stat().st_size), 2)
            return None if begins == file.read() == _MAGIC else "is not complete"
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: not base64
        # The file system gives a number to what it refuses, which says nothing of the file.
        if getattr(error, "errno", None) is not None:
            raise
        return f"cannot be read ({' '.join(str(error).split())})"


def _says_twice_the_same(path: Path) -> bool:
    """Compare a footer's columns with Arrow's own copy of them: no checksum covers a footer."""
    said = (pq.read_metadata(path).metadata or {}).get(_ARROW_SCHEMA)
    if said is None:
        return False
    columns: pa.Schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said)))
    return bool(columns.equals(pq.read_schema(path)))


def _move_scores(study_dir: Path) -> None:
    """Move the scores of texts that are going to be made again."""
    there = {(one.run_id, str(one.attempt)) for one in look(study_dir / "runs").attempts}
    for path in _files(study_dir / "scores"):
        run_id, attempt, *_ = path.name.split(".")
        if (run_id, attempt) not in there:
            _move(path)


def _move(path: Path) -> None:
    """Move a file of a table, if there is one, under a name that is free."""
    if not path.exists():
        return
    folder = path.parent.parent / FOLDER
    folder.mkdir(exist_ok=True)
    names = (f"{path.parent.name}.{number}{path.name}" for number in ("", *(f"{again}." for again in range(2, 10_000))))
    path.rename(next(folder / name for name in names if not (folder / name).exists()))
