"""LibriSpeech and what is laid out like it: split/speaker/chapter/, with a table of transcripts a chapter."""

from collections.abc import Iterator
from pathlib import Path

from bench.data.sources.entries import Entry
from bench.data.sources.folder import files_below
from bench.errors import DataError

_TABLE = ".trans.txt"
_ENDINGS = (".flac", ".wav", ".mp3", ".opus")  # the corpus's own, and what mirrors of it use


def read_librispeech(folder: Path) -> Iterator[Entry]:
    """Read every chapter below a folder, in the order of their names.

    Args:
        folder: The corpus, a split of it, or any folder below.

    Raises:
        DataError: There is no such folder, or no chapter in it.
    """
    if not folder.is_dir():
        inside = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
        found = f" ({folder.parent} holds {', '.join(inside)})" if inside else ""
        raise DataError(
            f"no folder at {folder}{found}; give data.path=LibriSpeech and data.split=test-clean or the like"
        )
    tables = [path for path in files_below(folder) if path.name.endswith(_TABLE)]
    if not tables:
        raise DataError(f"{folder} holds no *{_TABLE}; give data.path=the folder that LibriSpeech was unpacked to")
    for table in tables:
        yield from _chapter(folder, table)


def _chapter(folder: Path, table: Path) -> Iterator[Entry]:
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{table} cannot be read ({error}); unpack the corpus again") from None
    names = {path.name for path in table.parent.iterdir()}
    for number, line in enumerate(lines, 1):
        name, _, text = line.strip().partition(" ")
        if not name:
            continue
        ending = next((each for each in _ENDINGS if name + each in names), _ENDINGS[0])
        path = (table.parent / f"{name}{ending}").relative_to(folder).as_posix()
        yield Entry(f"{table} line {number}", path, text or None, name.partition("-")[0])
