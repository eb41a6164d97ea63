"""Manifests: a table that names recordings and what is said in them, as CSV, TSV or JSONL."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.data.sources.entries import Entry
from bench.errors import DataError

COLUMNS = "path,text[,speaker,start_s,duration_s]"

# Beside our own names those of NeMo's manifests, and of the library `datasets` for a folder of audio.
_NAMES: Mapping[str, Sequence[str]] = {
    "path": ("path", "audio_filepath", "file_name"),
    "text": ("text", "sentence", "transcription", "transcript"),
    "speaker": ("speaker", "speaker_id"),
    "start_s": ("start_s", "offset"),
    "duration_s": ("duration_s", "duration"),
}
_LONGEST_CELL = 2**28  # the module's own limit of 128 KiB is less than a long recording's transcript
_TABS = frozenset({".tsv", ".tab"})
_OBJECTS = frozenset({".jsonl", ".json", ".ndjson"})


def read_manifest(path: Path) -> Iterator[Entry]:
    """Read a manifest with the columns ``path,text[,speaker,start_s,duration_s]``; other columns are ignored.

    NeMo's names of them (``audio_filepath``, ``offset``, ``duration``) serve as well. The audio files are not opened.

    Args:
        path: ``*.jsonl`` or ``*.json`` with an object a line; ``*.tsv`` with tabs and no quotes; anything else is CSV.
            Tables have a header, and all are UTF-8.

    Raises:
        DataError: The file is missing, or not of this form.
    """
    if not path.is_file():
        raise DataError(f"no manifest at {path}; give data.path=FILE, a CSV, TSV or JSONL with {COLUMNS}")
    suffix = path.suffix.lower()
    try:
        if suffix in _OBJECTS:
            yield from _objects(path)
        else:
            yield from _entries(path, rows_of(path, tabs=suffix in _TABS))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path} is not readable CSV ({error}); save it as UTF-8 CSV with {COLUMNS}") from None


def rows_of(path: Path, *, tabs: bool) -> Iterator[tuple[int, Sequence[str]]]:
    """Read the rows of a table, its header first, each with the number of its last line; empty lines are no rows.

    Args:
        path: The file, in UTF-8.
        tabs: Cells are divided by tabs, and a quotation mark is a character like any other; otherwise it is CSV.

    Raises:
        UnicodeDecodeError: It is not UTF-8.
        csv.Error: It is no CSV; an unclosed quote would swallow the rows after it.
    """
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        if tabs:
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
        else:
            reader = csv.reader(file, strict=True)
        for cells in reader:
            if cells:
                yield reader.line_num, cells


def _entries(path: Path, rows: Iterator[tuple[int, Sequence[str]]]) -> Iterator[Entry]:
    _, header = next(rows, (0, []))
    columns = {wanted: _column(header, names) for wanted, names in _NAMES.items()}
    missing = sorted(wanted for wanted in ("path", "text") if columns[wanted] is None)
    if missing:
        found = ",".join(header) or "none"
        raise DataError(f"{path} lacks the column {' and '.join(missing)} (found: {found}); it needs {COLUMNS}")
    places = [columns[wanted] for wanted in ("path", "text", "speaker", "start_s", "duration_s")]
    for number, cells in rows:
        values = [cells[place] if place is not None and place < len(cells) else None for place in places]
        yield Entry(f"{path} line {number}", *values)


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _objects(path: Path) -> Iterator[Entry]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"{path} line {number}"
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Entry(place, None, None, wrong=f"is not JSON ({error}); give one object a line")
                continue
            if not isinstance(values, dict):
                yield Entry(place, None, None, wrong=f"is no JSON object; give one object a line, with {COLUMNS}")
                continue
            yield Entry(place, **{wanted: _value(values, names) for wanted, names in _NAMES.items()})


def _value(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if name in values), None)
