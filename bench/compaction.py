"""Merging the files of finished runs into few, beside whatever runs or reads: ``asr-sweep compact STUDY``.

A study of many runs is slow to open file by file. For each table the files of some attempts are read, written as one
merged file, and only then removed; :mod:`bench.layout` says why readers see each row once all the while, wherever this
is killed. What was left undone is done by the next call.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from bench.attempts import Attempt
from bench.claim import claimed
from bench.errors import StoreError
from bench.layout import MEMBERS, MERGED, Layout, look, read_own
from bench.parquet import Gone, read_file
from bench.schema import CURVE_SCHEMA, RUN_SCHEMA, TIMELINE_SCHEMA, UTTERANCE_SCHEMA
from bench.storage import Place, remove, remove_unfinished, write_atomically

ROLL_AT = 1000
"""Runs with a file of their own at which a driver merges them."""

TABLES = {"runs": RUN_SCHEMA, "utterances": UTTERANCE_SCHEMA, "timeline": TIMELINE_SCHEMA, "curves": CURVE_SCHEMA}
"""Folders whose files are merged."""

_LOCK = ".compact.lock"
_TEMPORARY = ".merging-"  # not what a driver that starts meanwhile removes
_MOST_BYTES = 128 * 2**20  # of members, about what the merged file is held in before it is written
_MOST_MEMBERS = 1000
_READ_AT_ONCE = 100
_ROW_GROUP_BYTES = 16 * 2**20  # as read; the least that reading a single attempt takes


@dataclass(frozen=True)
class Compacted:
    """What a call did.

    Attributes:
        files_before: Parquet files of the study's tables.
        files_after: Those of them that are left.
        left: What could not be merged, and why, a line each.
    """

    files_before: int
    files_after: int
    left: tuple[str, ...] = ()


def compact(study_dir: Place, told: Callable[[str], None] = lambda _: None) -> Compacted:
    """Merge the files of a study's finished runs; the study may be running meanwhile, and reports be written.

    Args:
        study_dir: The study's folder.
        told: Told now and then how far it is.

    Raises:
        StoreError: There is no such study, another process is merging its files, or its folder holds a strange file.
    """
    before = after = 0
    left: list[str] = []
    with claimed(study_dir, "wait until it has ended", _LOCK, "merging the files of the study"):
        for folder in TABLES:
            remove_unfinished(study_dir / folder, _TEMPORARY)
        finished = set(look(study_dir / "runs").attempts)
        for folder, schema in TABLES.items():
            layout = look(study_dir / folder)
            told(f"merging {len(layout.own)} files of {folder}")
            before += len(layout.own) + len(layout.files)
            left += _compact_table(layout, schema, finished)
            now = look(study_dir / folder)
            after += len(now.own) + len(now.files)
    return Compacted(before, after, tuple(left))


def _compact_table(layout: Layout, schema: pa.Schema, finished: set[Attempt]) -> list[str]:
    """Merge the files of a table; returns what could not be merged."""
    folder = layout.folder
    copies = {one for members in layout.files.values() for one in members} & set(layout.own)
    left = _remove_copies(layout, schema, copies)
    # What has no file in runs/ is being written, or was left by a killed driver and is overwritten by the next attempt.
    own = [one for one in layout.attempts if one in layout.own and one in finished and one not in copies]
    number = max((int(name.split("-")[1]) for name in layout.files), default=0)
    for members in _groups(own, layout):
        content, merged, unreadable = _merged(folder, schema, members)
        left += unreadable
        if len(merged) > 1:
            number += 1
            write_atomically(folder / f"{MERGED}{number:06}-{uuid4().hex[:8]}.parquet", content, _TEMPORARY)
            remove(folder / one.file_name for one in merged)
    return left


def _groups(attempts: Iterable[Attempt], layout: Layout) -> Iterator[list[Attempt]]:
    """Divide attempts among merged files."""
    group: list[Attempt] = []
    held = 0
    for one in attempts:
        if group and (len(group) == _MOST_MEMBERS or held + layout.own[one] > _MOST_BYTES):
            yield group
            group, held = [], 0
        group.append(one)
        held += layout.own[one]
    if len(group) > 1:
        yield group


def _merged(folder: Place, schema: pa.Schema, attempts: Sequence[Attempt]) -> tuple[Any, list[Attempt], list[str]]:
    """Make one file of several; returns its bytes, the attempts in it, and what could not be read."""
    merged: list[Attempt] = []
    left: list[str] = []
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, write_page_checksum=True) as writer:
        pending: list[pa.Table] = []
        for first in range(0, len(attempts), _READ_AT_ONCE):
            table, read, unreadable = _read(folder, schema, attempts[first : first + _READ_AT_ONCE])
            pending.append(table)
            merged += read
            left += unreadable
            if sum(one.nbytes for one in pending) >= _ROW_GROUP_BYTES or first + _READ_AT_ONCE >= len(attempts):
                together = pa.concat_tables(pending)
                writer.write_table(together, row_group_size=max(1, together.num_rows))
                pending = []
        writer.add_key_value_metadata({MEMBERS: "\n".join(one.file_name for one in merged)})
    return sink.getvalue(), merged, left


def _read(folder: Place, schema: pa.Schema, attempts: Sequence[Attempt]) -> tuple[pa.Table, list[Attempt], list[str]]:
    """Read files as one table, without those that cannot be read; returns also which those are, and why not."""
    try:
        return read_own(folder, schema, attempts), list(attempts), []
    except (StoreError, Gone):
        pass
    tables, read, left = [schema.empty_table()], [], []
    for one in attempts:
        try:
            tables.append(read_own(folder, schema, [one]))
            read.append(one)
        except StoreError as error:
            left.append(str(error))
        except Gone:  # another compactor merged it, or somebody deleted it
            continue
    return pa.concat_tables(tables), read, left


def _remove_copies(layout: Layout, schema: pa.Schema, copies: set[Attempt]) -> list[str]:
    """Remove files whose rows a merged one has too, as a call leaves them that is killed at the end."""
    left = []
    for one in sorted(copies, key=lambda one: one.file_name):
        path = layout.folder / one.file_name
        try:
            elsewhere = dataclasses.replace(layout, own={}, merged={one: _holder(layout, one)})
            if read_file(path, schema).equals(elsewhere.read(schema, [one])):
                remove([path])
            else:  # made again by hand; it counts, and the merged rows do not
                left.append(f"{path} differs from the rows of the same name in {_holder(layout, one)}")
        except StoreError as error:
            left.append(str(error))
        except Gone:  # another compactor did that
            continue
    return left


def _holder(layout: Layout, attempt: Attempt) -> str:
    return max(name for name, members in layout.files.items() if attempt in members)
