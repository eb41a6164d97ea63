"""Common Voice, as its archives unpack: a folder a language, with a table a split and the clips as MP3."""

import csv
from collections.abc import Iterator
from pathlib import Path

from bench.data.sources.entries import Entry
from bench.data.sources.manifest import rows_of
from bench.errors import DataError

CLIPS = "clips"
_DURATIONS = "clip_durations.tsv"


def read_common_voice(folder: Path, split: str) -> Iterator[Entry]:
    """Read a split: the table ``<split>.tsv``, whose ``client_id`` are the speakers; paths start from ``clips/``.

    Sentences may hold any quotation marks: these tables quote nothing.

    Args:
        folder: A language's folder, such as ``cv-corpus-22.0-2025-06-20/cy``.
        split: ``train``, ``dev``, ``test``, ``validated``, ``other`` or ``invalidated``.

    Raises:
        DataError: The folder, the table or one of its columns is missing.
    """
    table = folder / f"{split}.tsv"
    if not table.is_file():
        raise DataError(f"no split {split} of Common Voice in {folder}; {_hint(folder)}")
    try:
        durations = dict(_durations_s(folder / _DURATIONS))
        rows = rows_of(table, tabs=True)
        _, header = next(rows, (0, []))
        missing = [name for name in ("client_id", "path", "sentence") if name not in header]
        if missing:
            raise DataError(f"{table} lacks the column {' and '.join(missing)}; it is no table of Common Voice")
        places = [header.index(name) for name in ("path", "sentence", "client_id")]
        for number, cells in rows:
            name, text, speaker = (cells[place] if place < len(cells) else None for place in places)
            yield Entry(f"{table} line {number}", name, text, speaker, None, durations.get(name))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is no table of Common Voice ({error}); unpack the archive again") from None


def _durations_s(table: Path) -> Iterator[tuple[str | None, str]]:
    """Read the lengths of clips, which newer releases tell in milliseconds."""
    if not table.is_file():
        return
    rows = rows_of(table, tabs=True)
    next(rows, None)
    for _, cells in rows:
        if len(cells) > 1 and cells[1].isdecimal() and int(cells[1]):
            yield cells[0], str(int(cells[1]) / 1000)


def _begins(path: Path, with_bytes: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(with_bytes)) == with_bytes


def _hint(folder: Path) -> str:
    if not folder.is_dir():
        return "there is no such folder; give data.path=the folder of one language, which holds train.tsv and clips/"
    splits = sorted(path.stem for path in folder.glob("*.tsv") if _begins(path, b"client_id"))
    if splits:
        return f"give data.split=one of {', '.join(splits)}"
    languages = sorted(path.parent.name for path in folder.glob(f"*/{CLIPS}"))
    if languages:
        return f"give the folder of one language: data.path={folder / languages[0]} (found: {', '.join(languages)})"
    return "give data.path=the folder of one language, which holds train.tsv and clips/"
