"""Folders of audio, with a transcript beside each file or in one table."""

import os
from collections.abc import Iterator
from pathlib import Path

from bench.data.sources.entries import Entry
from bench.data.sources.manifest import read_manifest
from bench.errors import DataError

AUDIO = frozenset(
    [
        *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".caf", ".wma", ".amr"),
        *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".3gp", ".m4b"),
    ]
)
"""Endings of audio and video files, in lower case."""

_TABLES = ("metadata.csv", "metadata.jsonl")


def read_folder(folder: Path) -> Iterator[Entry]:
    """Read a folder and those below it, in the order of the files' names.

    Where it holds ``metadata.csv`` or ``metadata.jsonl`` that table names the files (``file_name``) and what is said in
    them; otherwise ``a.wav`` has its transcript in ``a.txt``.

    Raises:
        DataError: There is no such folder, or no audio in it, or the table is not of its form.
    """
    if not folder.is_dir():
        raise DataError(f"no folder at {folder}; give data.path=FOLDER with audio files and a .txt beside each")
    for name in _TABLES:
        if (folder / name).is_file():
            yield from read_manifest(folder / name)
            return
    empty = True
    for path in _files(folder):
        empty = False
        text = path.with_suffix(".txt")
        place = str(path)
        try:
            said = text.read_text(encoding="utf-8-sig").strip()
        except FileNotFoundError:
            yield Entry(
                place, _name(path, folder), None, wrong=f"has no {text.name} beside it; put its transcript there"
            )
        except (OSError, UnicodeDecodeError) as error:
            yield Entry(
                place,
                _name(path, folder),
                None,
                wrong=f"has a {text.name} that is not UTF-8 ({error})",
            )
        else:
            yield Entry(place, _name(path, folder), said)
    if empty:
        raise DataError(f"{folder} holds no audio ({', '.join(sorted(AUDIO))}); give data.path=FOLDER that does")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in files_below(folder) if path.suffix.lower() in AUDIO)


def files_below(folder: Path) -> Iterator[Path]:
    """List the files below a folder, in the order of their names; links to folders are followed, each folder once.

    Hidden files and folders are left out: systems and editors leave twins behind, and ``._a.wav`` is no audio.
    """
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = str(Path(parent).resolve())
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent) / name for name in sorted(names) if not name.startswith("."))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
