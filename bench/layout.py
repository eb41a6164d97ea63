"""Which file of a table's folder holds the rows of which attempt.

An attempt's rows are in a file of their own, ``<run_id>.<attempt>.<status>.parquet``, until :mod:`bench.compaction`
merges it with others into ``merged-<number>-<token>.parquet`` and then removes it. A merged file names the attempts it
holds in its footer, and is never merged again nor changed.

Readers see the rows of each attempt exactly once, at every instant and after a crash at any step:

- None is missed. A folder is listed twice, files of one attempt from the first list and merged ones from the second. A
  file that is gone from the first list was merged before that list ended, so the second list, begun later, has the
  merged file, which stays. A file that goes between the list and its reading makes the reader look again.
- None is seen twice. Between the writing of the merged file and the removal of its members there are two copies of
  each; the attempt's own file is taken then, and of several merged files the last. They differ only where somebody
  deleted records by hand to have a run made again, and then that is the newer one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.attempts import Attempt
from bench.errors import StoreError
from bench.parquet import MADE_ANEW, Gone, read_file, read_files, read_footer
from bench.schema import RUN_SCHEMA
from bench.storage import Place, sizes, together

MERGED = "merged-"
"""How names of merged files begin; no ``run_id`` does."""

MEMBERS = b"asr-sweep.attempts"
"""Key in a merged file's footer: the names of the files it replaces, a line each."""

_MERGED_NAME = re.compile(rf"{MERGED}[0-9]{{6,18}}-\w+\.parquet", re.ASCII)
_KEYS = ("run_id", "attempt", "status")
_LOOKS = 100  # each that fails means that a whole merge came to its end meanwhile


@dataclass(frozen=True)
class Layout:
    """The files of a table at one instant.

    Attributes:
        folder: The table's folder.
        own: Attempts with a file of their own, and its bytes.
        merged: Attempts in merged files, and the name of the file that counts.
        files: Merged files, and all attempts in each.
    """

    folder: Place
    own: Mapping[Attempt, int]
    merged: Mapping[Attempt, str]
    files: Mapping[str, frozenset[Attempt]]

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts there are, by the name of their file."""
        return sorted((*self.own, *self.merged), key=lambda one: one.file_name)

    def read(self, schema: pa.Schema, attempts: Sequence[Attempt]) -> pa.Table:
        """Read the rows of some attempts, in no particular order but that of each attempt's own.

        Raises:
            Gone: A file was merged since.
            StoreError: A file cannot be read, or an attempt has none.
        """
        wide = pa.schema([*schema, *(RUN_SCHEMA.field(name) for name in _KEYS if name not in schema.names)])
        wanted_of: dict[str, list[Attempt]] = {}
        own = []
        for one in attempts:
            if one in self.own:
                own.append(one)
            elif one in self.merged:
                wanted_of.setdefault(self.merged[one], []).append(one)
            else:
                raise StoreError(
                    f"{self.folder / one.file_name} cannot be read (it is missing); start the study again, which makes"
                    " it anew"
                )
        tables = [read_own(self.folder, wide, own)]
        for name, wanted in wanted_of.items():
            tables.append(self._of_merged(name, wide, wanted))
        return pa.concat_tables(tables).select(schema.names)

    def _of_merged(self, name: str, wide: pa.Schema, wanted: Sequence[Attempt]) -> pa.Table:
        path = self.folder / name
        if len(wanted) == len(self.files[name]):
            whole = read_files([path], wide)
            _refuse_others(path, whole, wanted)
            return whole
        runs = sorted({one.run_id for one in wanted})
        run_id = pc.field("run_id")  # the bounds spare reading most of a file that is sorted by it
        rows = (run_id >= runs[0]) & (run_id <= runs[-1]) & run_id.isin(runs)
        table = read_files([path], wide, rows)
        return table.filter(pc.is_in(_names(table), value_set=pa.array([one.file_name for one in wanted])))


def look(folder: Place) -> Layout:
    """List which file holds which attempt.

    Raises:
        StoreError: A file has a strange name, or a merged one cannot be read.
    """
    first, second = _parquet(folder), _parquet(folder)
    own = {Attempt.of(folder / name): size for name, size in first.items() if not name.startswith(MERGED)}
    names = sorted(name for name in second if name.startswith(MERGED))
    files = dict(zip(names, together(_members, [folder / name for name in names]), strict=True))
    merged = {attempt: name for name in names for attempt in files[name] if attempt not in own}
    return Layout(folder, own, merged, files)


def read(folder: Place, schema: pa.Schema, attempts: Iterable[Attempt] | None = None) -> pa.Table:
    """Read the rows of some attempts, or of all, whatever is being merged meanwhile.

    Args:
        folder: The table's folder.
        schema: The columns wanted.
        attempts: Those wanted, in this order; null wants all, by name.

    Raises:
        StoreError: A file cannot be read, or an attempt has none.
    """
    wanted = None if attempts is None else list(attempts)
    for _ in range(_LOOKS):
        layout = look(folder)
        try:
            return layout.read(schema, layout.attempts if wanted is None else wanted)
        except Gone:
            continue
    raise StoreError(f"{folder}: its files are merged faster than they can be read; read them once that has ended")


def read_own(folder: Place, schema: pa.Schema, attempts: Sequence[Attempt]) -> pa.Table:
    """Read the files that attempts have to themselves, as one table.

    Raises:
        Gone: One of them is not there any more.
        StoreError: One cannot be read, or holds rows of another attempt than its name says.
    """
    table = read_files([folder / one.file_name for one in attempts], schema)
    if _of_others(table, attempts):
        for one in attempts:
            path = folder / one.file_name
            _refuse_others(path, read_file(path, schema), [one])
    return table


def _of_others(table: pa.Table, attempts: Sequence[Attempt]) -> bool:
    known = pa.array([one.file_name for one in attempts], pa.string())
    return bool(pc.index_in(_names(table), value_set=known).null_count)


def _refuse_others(path: Place, table: pa.Table, attempts: Sequence[Attempt]) -> None:
    if _of_others(table, attempts):
        raise StoreError(f"{path} holds rows of other runs than it says; {MADE_ANEW}")


def places(table: pa.Table, attempts: Sequence[Attempt]) -> NDArray[np.int64]:
    """Return the place of each row's attempt among some."""
    known = pa.array([one.file_name for one in attempts], pa.string())
    found: NDArray[np.int64] = pc.index_in(_names(table), value_set=known).to_numpy().astype(np.int64)
    return found


def _names(table: pa.Table) -> pa.ChunkedArray:
    """Write the name of the file that an attempt's rows had to themselves, row by row."""
    number = pc.cast(table["attempt"], pa.string())
    return pc.binary_join_element_wise(table["run_id"], number, table["status"], "parquet", ".")


def _parquet(folder: Place) -> dict[str, int]:
    listed = sizes(folder).items()
    return {name: size for name, size in listed if name.endswith(".parquet") and not name.startswith(".")}


@lru_cache(maxsize=256)  # a file of that name never changes
def _members(path: Place) -> frozenset[Attempt]:
    names = (read_footer(path).metadata or {}).get(MEMBERS)
    try:
        listed = None if names is None else names.decode().splitlines()
    except UnicodeDecodeError:
        listed = None
    if listed is None or not _MERGED_NAME.fullmatch(path.name):
        raise StoreError(f"{path} does not say what it holds; move it out of the study's folder")
    return frozenset(Attempt.of(path.parent / name) for name in listed)
