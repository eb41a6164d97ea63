"""Manifests: a CSV or JSONL file that names recordings and what is said in them."""

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DataError
from bench.records import Utterance

_COLUMNS = "path,text[,speaker,start_s,duration_s]"
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")  # no file name, no UTF-8


@dataclass(frozen=True)
class _Row:
    """A row of a manifest and where it stands, for messages."""

    place: str
    values: Mapping[str, Any]


def read_manifest(
    path: Path, root: Path | None = None, *, allow_outside_root: bool = False, limit: int | None = None
) -> list[Utterance]:
    """Read a manifest with the columns ``path,text[,speaker,start_s,duration_s]``; other columns are ignored.

    The audio files are not opened: one that is missing or broken becomes an utterance with an error when it runs.
    ``duration_s`` cuts a span only together with ``start_s``; alone it is a note on the file's length.

    Args:
        path: ``*.jsonl`` or ``*.json`` with an object a line; anything else is read as CSV with a header, in UTF-8.
        root: Folder that relative audio paths start from; null is the manifest's own.
        allow_outside_root: Accept audio paths that leave ``root``, through ``..``, links or as absolute paths.
        limit: Read the first ``limit`` utterances only.

    Raises:
        DataError: The file is missing or not of this form, holds no utterance, or names a file outside its root.
    """
    if not path.is_file():
        raise DataError(f"no manifest at {path}; give data.path=FILE, a CSV or JSONL with {_COLUMNS}")
    root = (root or path.parent).resolve()
    if not root.is_dir():
        raise DataError(f"data.root={root} is not a folder; give the folder that the manifest's paths start from")
    seen: Counter[str] = Counter()
    utterances: list[Utterance] = []
    for row in _rows(path):
        utterances.append(_utterance(row, root, allow_outside_root, seen))
        if len(utterances) == limit:
            break
    if not utterances:
        raise DataError(f"{path} names no utterance; give at least one row with {_COLUMNS}")
    return utterances


def _rows(path: Path) -> Iterator[_Row]:
    read = _jsonl_rows if path.suffix.lower() in {".jsonl", ".json"} else _csv_rows
    try:
        yield from read(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path} is not readable CSV ({error}); save it as UTF-8 CSV with {_COLUMNS}") from None


def _csv_rows(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)  # an unclosed quote would swallow the rows after it
        missing = {"path", "text"} - set(reader.fieldnames or ())
        if missing:
            found = ",".join(reader.fieldnames or ()) or "none"
            raise DataError(
                f"{path} lacks the column {' and '.join(sorted(missing))} (found: {found}); it needs {_COLUMNS}"
            )
        for values in reader:
            yield _Row(f"{path} line {reader.line_num}", values)


def _jsonl_rows(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"{path} line {number}"
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{place} is not JSON ({error}); give one object a line") from None
            if not isinstance(values, dict):
                raise DataError(f"{place} is no JSON object; give one object a line, with {_COLUMNS}")
            yield _Row(place, values)


def _utterance(row: _Row, root: Path, allow_outside_root: bool, seen: Counter[str]) -> Utterance:
    name = _text(row, "path")
    if not name.strip():
        raise DataError(f"{row.place} has no path; name the audio file of every row")
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError) as error:  # up to Python 3.12, a loop of links is a RuntimeError
        raise DataError(f"{row.place}: {name} cannot be followed ({error}); name the audio file itself") from None
    if not allow_outside_root and not path.is_relative_to(root):
        raise DataError(
            f"{row.place}: {name} leaves the data root {root}; move the file there, name the right data.root, or say"
            " data.allow_outside_root=true"
        )
    start_s = _seconds(row, "start_s")
    duration_s = _seconds(row, "duration_s") if start_s is not None else None
    span = "" if start_s is None else f"@{start_s:g}" + ("" if duration_s is None else f"+{duration_s:g}")
    key = name + span
    seen[key] += 1
    while seen[key] > 1:  # a file may itself be called "a.wav#2"
        key = f"{key}#{seen[key]}"
        seen[key] += 1
    return Utterance(
        utterance_id=key,
        path=path,
        text=_text(row, "text"),
        speaker=_text(row, "speaker") or None,
        start_s=start_s or 0.0,
        duration_s=duration_s,
    )


def _text(row: _Row, column: str) -> str:
    value = row.values.get(column)
    if value is None:
        if column == "text":
            raise DataError(f"{row.place} has no text; give its transcript, or an empty one for silence")
        return ""
    if not isinstance(value, str) or _NOT_TEXT.search(value):
        raise DataError(f"{row.place}: {column} is {value!r:.80}, not text; give a string")
    return value


def _seconds(row: _Row, column: str) -> float | None:
    value = row.values.get(column)
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    least_ok = seconds >= 0 if column == "start_s" else seconds > 0
    if isinstance(value, bool) or not (math.isfinite(seconds) and least_ok):
        raise DataError(
            f"{row.place}: {column}={value!r:.80} is no number of seconds; leave it empty for the whole file"
        )
    return seconds
